import mysql, { type RowDataPacket } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { type MySqlEngine, startMySql } from '../demo/engines/mysql.js';
import { startTemporal, type TemporalEngine } from '../demo/engines/temporal.js';
import { MOMENTS, MOMENTS_OF_ROLLBACK, type Moment } from './support/moments.js';
import { PipelineUnderTest } from './support/pipeline-under-test.js';
import { expectPublished, expectRolledBack, publishFirst } from './support/strike.js';

/** MySQL that is killed and started again over its data, at every moment of a run and of a rollback, while clients edit. */
const LANES = 2;
const names = Array.from({ length: LANES }, (_, lane) => `crash-mysql-${lane}`);
let temporal: TemporalEngine;

beforeAll(async () => {
  temporal = await startTemporal(() => {}, { owned: true, namespaces: names });
});
afterAll(async () => {
  await temporal?.stop();
});

for (const [lane, name] of names.entries()) {
  describe.concurrent(`MySQL that is killed, pipeline ${name}`, () => {
    let engine: MySqlEngine;
    let pipeline: PipelineUnderTest;
    const killMySql = async () => {
      await engine.kill();
      await engine.start();
    };

    beforeAll(async () => {
      engine = await startMySql(() => {}, { owned: true });
      await expectDurable(engine.url);
      pipeline = await PipelineUnderTest.create({
        name,
        mysqlUrl: engine.url,
        mssqlUrl: inject('mssqlUrl'),
        temporalAddress: temporal.address,
        namespace: name,
        seed: 200 + lane,
      });
      pipeline.startWorker();
      await publishFirst(pipeline);
    });
    afterAll(async () => {
      await pipeline?.end();
      await engine?.stop();
    });

    const ofLane = (moments: readonly Moment[]) => moments.filter((_, index) => index % LANES === lane);
    it.sequential(`in ${ofLane(MOMENTS).join(', ')}: the run is published, and nothing is lost`, async () => {
      await expectPublished(pipeline, ofLane(MOMENTS), killMySql);
    });
    it.sequential(`in ${ofLane(MOMENTS_OF_ROLLBACK).join(', ')}: the rollback ends, and nothing is lost`, async () => {
      await expectRolledBack(pipeline, ofLane(MOMENTS_OF_ROLLBACK), killMySql);
    });
  });
}

/** Else a kill may take what clients were told was saved, and the test would blame the product. */
async function expectDurable(url: string): Promise<void> {
  const connection = await mysql.createConnection(url);
  const [rows] = await connection.query<RowDataPacket[]>(
    'SELECT @@innodb_flush_log_at_trx_commit AS redo, @@sync_binlog AS binlog',
  );
  await connection.end();
  expect(rows).toEqual([{ redo: 1, binlog: 1 }]);
}
