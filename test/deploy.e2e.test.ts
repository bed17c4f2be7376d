import { Client, Connection } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { startTemporal, type TemporalEngine } from '../demo/engines/temporal.js';
import { PipelineUnderTest } from './support/pipeline-under-test.js';
import { expectPublished, expectRolledBack, publishFirst } from './support/strike.js';
import type { WorkerProcess } from './support/worker-process.js';

/** A deployment: the new worker starts, the old one is told to end, in the middle of a run and again and again. */
let temporal: TemporalEngine;
let connection: Connection;
let pipeline: PipelineUnderTest;
let worker: WorkerProcess;
const exits: (number | undefined)[] = [];

beforeAll(async () => {
  temporal = await startTemporal(() => {}, { owned: true });
  connection = await Connection.connect({ address: temporal.address });
  pipeline = await PipelineUnderTest.create({
    name: 'deploy',
    mysqlUrl: inject('mysqlUrl'),
    mssqlUrl: inject('mssqlUrl'),
    temporalAddress: temporal.address,
    seed: 300,
    moment: 'transaction', // the reading that has most to lose
  });
  worker = pipeline.startWorker();
  await publishFirst(pipeline);
});
afterAll(async () => {
  await pipeline?.end();
  await connection?.close();
  await temporal?.stop();
});

async function deploy(): Promise<void> {
  const old = worker;
  worker = pipeline.startWorker();
  exits.push(await old.stop());
}

/** Attempts of the latest run's activities that nobody ended: what a machine that fails leaves behind. */
async function timeouts(): Promise<unknown[]> {
  const { events } = await new Client({ connection }).workflow.getHandle('stageswap-deploy').fetchHistory();
  return (events ?? []).filter((event) => event.activityTaskTimedOutEventAttributes);
}

describe('a deployment', () => {
  it('in the middle of a run costs it nothing: it is published, no edit is lost, and every worker ends by itself', async () => {
    await expectPublished(pipeline, ['ingest', 'reconcile', 'replay', 'cleanup'], deploy);
    expect(exits).toEqual([0, 0, 0, 0]);
    expect(await timeouts()).toEqual([]);
  });

  it('in the middle of a rollback costs it nothing either', async () => {
    exits.length = 0;
    await expectRolledBack(pipeline, ['capture', 'finalSync'], deploy);
    expect(exits).toEqual([0, 0]);
    expect(await timeouts()).toEqual([]);
  });
});
