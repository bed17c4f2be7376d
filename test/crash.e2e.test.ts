import { afterAll, beforeAll, describe, inject, it } from 'vitest';
import { startTemporal, type TemporalEngine } from '../demo/engines/temporal.js';
import { PUBLISH_MOMENTS } from './support/moments.js';
import { PipelineUnderTest } from './support/pipeline-under-test.js';
import { expectPublished, expectRolledBack, publishFirst } from './support/strike.js';
import type { WorkerProcess } from './support/worker-process.js';

/**
 * A worker that dies like its machine, at every moment of a run and of a rollback, while clients edit. Pipelines of
 * their own, each in a namespace of Temporal, so that a kill takes one of them only and they can be tried side by side.
 */
const LANES = 4;
const names = Array.from({ length: LANES }, (_, lane) => `crash-${lane}`);
let temporal: TemporalEngine;

beforeAll(async () => {
  temporal = await startTemporal(() => {}, { owned: true, namespaces: names });
});
afterAll(async () => {
  await temporal?.stop();
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
      pipeline = await PipelineUnderTest.create({
        name,
        mysqlUrl: inject('mysqlUrl'),
        mssqlUrl: inject('mssqlUrl'),
        temporalAddress: temporal.address,
        namespace: name,
        seed: 100 + lane,
      });
      worker = pipeline.startWorker();
      await publishFirst(pipeline);
    });
    afterAll(async () => {
      await pipeline?.end();
    });

    const moments = PUBLISH_MOMENTS.filter((_, index) => index % LANES === lane);
    it.sequential.each(moments)(
      'in %s: the run and its rollback end, and nothing is lost',
      async (moment) => {
        await expectPublished(pipeline, moment, killWorker);
        // a rollback reads no source
        if (moment !== 'ingest') await expectRolledBack(pipeline, moment, killWorker);
      },
    );
  });
}
