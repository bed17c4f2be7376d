import { Client, Connection } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { startTemporal, type TemporalEngine } from '../demo/engines/temporal.js';
import { workflowIdOf } from '../src/model/messages.js';
import { MOMENTS, MOMENTS_OF_ROLLBACK, type Moment, newestGeneration } from './support/moments.js';
import { PipelineUnderTest } from './support/pipeline-under-test.js';
import { expectPublished, expectRolledBack, publishFirst } from './support/strike.js';
import type { WorkerProcess } from './support/worker-process.js';

/**
 * A worker that dies like its machine, at every moment of a run and of a rollback, while clients edit. Pipelines of
 * their own, each in a namespace of Temporal, so that a kill takes one of them only and they can be tried side by side.
 */
const LANES = 5;
const names = Array.from({ length: LANES }, (_, lane) => `crash-${lane}`);
const TWO = 'crash-two';
let temporal: TemporalEngine;

beforeAll(async () => {
  temporal = await startTemporal(() => {}, { owned: true, namespaces: [...names, TWO] });
});
afterAll(async () => {
  await temporal?.stop();
});

const create = (name: string, seed: number) =>
  PipelineUnderTest.create({
    name,
    mysqlUrl: inject('mysqlUrl'),
    mssqlUrl: inject('mssqlUrl'),
    temporalAddress: temporal.address,
    namespace: name,
    seed,
  });

for (const [lane, name] of names.entries()) {
  describe.concurrent(`a worker that is killed, pipeline ${name}`, () => {
    let pipeline: PipelineUnderTest;
    let worker: WorkerProcess;
    const killWorker = async () => {
      await worker.kill();
      worker = pipeline.startWorker();
    };

    beforeAll(async () => {
      pipeline = await create(name, 100 + lane);
      worker = pipeline.startWorker();
      await publishFirst(pipeline);
    });
    afterAll(async () => {
      await pipeline?.end();
    });

    const ofLane = (moments: readonly Moment[]) => moments.filter((_, index) => index % LANES === lane);
    it.sequential(`in ${ofLane(MOMENTS).join(', ')}: the run is published, and nothing is lost`, async () => {
      await expectPublished(pipeline, ofLane(MOMENTS), killWorker);
    });
    it.sequential(`in ${ofLane(MOMENTS_OF_ROLLBACK).join(', ')}: the rollback ends, and nothing is lost`, async () => {
      await expectRolledBack(pipeline, ofLane(MOMENTS_OF_ROLLBACK), killWorker);
    });
  });
}

describe.concurrent('two workers of one pipeline', () => {
  let pipeline: PipelineUnderTest;
  let workers: WorkerProcess[];
  let client: Client;

  beforeAll(async () => {
    pipeline = await create(TWO, 200);
    workers = [pipeline.startWorker(), pipeline.startWorker()];
    client = new Client({
      connection: await Connection.connect({ address: temporal.address }),
      namespace: TWO,
    });
    await publishFirst(pipeline);
  });
  afterAll(async () => {
    await pipeline?.end();
    await client?.connection.close();
  });

  it.sequential('go on with one, when the one that merges is killed', async () => {
    await expectPublished(pipeline, ['reconcile'], async () => {
      const { raw } = await client.workflow.getHandle(workflowIdOf(TWO)).describe();
      const busy = raw.pendingActivities?.map((activity) => activity.lastWorkerIdentity?.split('@')[0]);
      const worker = workers.find(({ pid }) => busy?.includes(String(pid)));
      expect(worker, `nobody of ${workers.map(({ pid }) => pid)} is one of ${busy}`).toBeDefined();
      await worker?.kill();
    });
  });

  it.sequential('swap where an attempt has died halfway through the barrier', async () => {
    await expectPublished(pipeline, ['capture'], async () => {
      const connection = await pipeline.connect();
      const stage = `_ss${await newestGeneration(connection, TWO)}s_invoice`;
      await connection.query(
        `ALTER TABLE ${stage} ADD COLUMN _ss_barrier TINYINT NULL INVISIBLE, ALGORITHM=INSTANT`,
      );
      await connection.end();
    });
  });
});
