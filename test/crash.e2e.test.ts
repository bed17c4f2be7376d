import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { startTemporal, type TemporalEngine } from '../demo/engines/temporal.js';
import { type Moment, newestGeneration, PUBLISH_MOMENTS, untilMoment } from './support/moments.js';
import { type Ended, PipelineUnderTest } from './support/pipeline-under-test.js';
import type { WorkerProcess } from './support/worker-process.js';

/**
 * A worker that dies like its machine, at every moment of a run and of a rollback, while clients edit. Pipelines of
 * their own, each in a namespace of Temporal, so that a kill takes one of them only and they can be tried side by side.
 */
const LANES = 3;
const names = Array.from({ length: LANES }, (_, lane) => `crash-${lane}`);
let temporal: TemporalEngine;

beforeAll(async () => {
  temporal = await startTemporal((line) => console.log(`engines: ${line}`), {
    owned: true,
    namespaces: names,
  });
});
afterAll(async () => {
  await temporal?.stop();
});

/** Kills the worker at a moment of a command's run, starts another, and waits for the command. */
async function killedAt(
  pipeline: PipelineUnderTest,
  worker: WorkerProcess,
  command: string,
  moment: Moment,
): Promise<Ended & { worker: WorkerProcess }> {
  const watch = await pipeline.connect();
  const before = await newestGeneration(watch, pipeline.options.name);
  const ended = pipeline.stageswap(command);
  await untilMoment(watch, pipeline.options.name, moment, before);
  await worker.kill();
  const next = pipeline.startWorker();
  await watch.end();
  return { ...(await ended), worker: next };
}

for (const [lane, name] of names.entries()) {
  describe.concurrent(`a worker that is killed, pipeline ${name}`, () => {
    let pipeline: PipelineUnderTest;
    let worker: WorkerProcess;

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
      const first = await pipeline.stageswap('run', '--yes');
      expect(first.report, JSON.stringify(first.report)).toMatchObject({ outcome: 'published' });
      pipeline.wasPublished(pipeline.billing.saysNow());
    });
    afterAll(async () => {
      await pipeline?.end();
    });

    const moments = PUBLISH_MOMENTS.filter((_, index) => index % LANES === lane);
    it.sequential.each(moments)(
      'in %s: the run and its rollback end, and nothing is lost',
      async (moment) => {
        await pipeline.billing.change();
        pipeline.clients.start();
        const run = await killedAt(pipeline, worker, 'run', moment);
        worker = run.worker;
        expect(run.report, `${JSON.stringify(run.report)} ${worker.output}`).toMatchObject({
          outcome: 'published',
        });
        await pipeline.clients.stop();
        pipeline.wasPublished(pipeline.billing.saysNow());
        expect(await pipeline.wrongInLive()).toEqual([]);
        expect(await pipeline.leftovers()).toEqual([]);

        if (moment === 'ingest') return; // a rollback reads no source
        pipeline.clients.start();
        const back = await killedAt(pipeline, worker, 'rollback', moment);
        worker = back.worker;
        expect(back.report, JSON.stringify(back.report)).toMatchObject({ outcome: 'rolledBack' });
        await pipeline.clients.stop();
        pipeline.wasRolledBack();
        expect(await pipeline.wrongInLive()).toEqual([]);
        expect(await pipeline.leftovers()).toEqual([]);
        expect(pipeline.clients.surprises).toEqual([]);
        await pipeline.stageswap('release');
      },
    );
  });
}
