import { expect } from 'vitest';
import { type Moment, newestGeneration, untilMoment } from './moments.js';
import type { Ended, PipelineUnderTest } from './pipeline-under-test.js';

/** Runs a command to its end; at a moment of its run something is killed, and started again. */
export async function struckAt(
  pipeline: PipelineUnderTest,
  command: 'run' | 'rollback',
  moment: Moment,
  strike: () => Promise<void>,
): Promise<Ended> {
  const watch = await pipeline.connect();
  watch.on('error', () => {}); // what is killed may be MySQL
  const before = await newestGeneration(watch, pipeline.options.name);
  const ended = pipeline.stageswap(command);
  try {
    await untilMoment(watch, pipeline.options.name, moment, before);
    await strike();
  } finally {
    watch.destroy();
  }
  return ended;
}

/** A run that is struck while clients edit: it is published, and nothing is lost or left. */
export async function expectPublished(
  pipeline: PipelineUnderTest,
  moment: Moment,
  strike: () => Promise<void>,
): Promise<Ended> {
  const { books } = pipeline.clients;
  const { acknowledged } = books;
  await pipeline.billing.change();
  pipeline.clients.start();
  const run = await struckAt(pipeline, 'run', moment, strike);
  expect(run.report, JSON.stringify(run.report)).toMatchObject({ outcome: 'published' });
  await pipeline.clients.stop();
  expect(books.acknowledged).toBeGreaterThan(acknowledged + 100);
  pipeline.wasPublished(pipeline.billing.saysNow());
  await expectWhole(pipeline);
  return run;
}

/** A rollback that is struck while clients edit: live is what it was before the run, with what clients saved. */
export async function expectRolledBack(
  pipeline: PipelineUnderTest,
  moment: Moment,
  strike: () => Promise<void>,
): Promise<Ended> {
  pipeline.clients.start();
  const back = await struckAt(pipeline, 'rollback', moment, strike);
  expect(back.report, JSON.stringify(back.report)).toMatchObject({ outcome: 'rolledBack' });
  await pipeline.clients.stop();
  pipeline.wasRolledBack();
  await expectWhole(pipeline);
  await pipeline.stageswap('release');
  return back;
}

/** Every row of live is what the source and the clients say, no client saw an odd error, and nothing is left behind. */
export async function expectWhole(pipeline: PipelineUnderTest): Promise<void> {
  expect(await pipeline.wrongInLive()).toEqual([]);
  expect(await pipeline.leftovers()).toEqual([]);
  expect(pipeline.clients.surprises).toEqual([]);
}

/** The first publish, with nobody watching: live is empty before. */
export async function publishFirst(pipeline: PipelineUnderTest): Promise<void> {
  const first = await pipeline.stageswap('run', '--yes');
  expect(first.report, JSON.stringify(first.report)).toMatchObject({ outcome: 'published' });
  pipeline.wasPublished(pipeline.billing.saysNow());
}
