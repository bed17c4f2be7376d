import type { Connection } from 'mysql2/promise';
import { expect } from 'vitest';
import { type Moment, newestGeneration, untilMoment } from './moments.js';
import type { Ended, PipelineUnderTest } from './pipeline-under-test.js';

/** Runs a command to its end; at one moment of its run after the other something is killed, and started again. */
export async function struckAt(
  pipeline: PipelineUnderTest,
  command: 'run' | 'rollback',
  moments: readonly Moment[],
  strike: () => Promise<void>,
): Promise<Ended> {
  const { name } = pipeline.options;
  const before = await onConnection(pipeline, (watch) => newestGeneration(watch, name));
  const ended = pipeline.stageswap(command);
  for (const moment of moments) {
    await onConnection(pipeline, async (watch) => {
      await untilMoment(watch, name, moment, before);
      await strike();
    });
  }
  return ended;
}

/** A connection for one strike, since what is killed may be MySQL. */
async function onConnection<T>(
  pipeline: PipelineUnderTest,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  const connection = await pipeline.connect();
  connection.on('error', () => {});
  try {
    return await work(connection);
  } finally {
    connection.destroy();
  }
}

/** Does something while the client program edits; afterwards it is at rest. */
export async function whileClientsEdit<T>(pipeline: PipelineUnderTest, work: () => Promise<T>): Promise<T> {
  pipeline.clients.start();
  try {
    return await work();
  } finally {
    await pipeline.clients.stop();
  }
}

/** A run that is struck while clients edit: it is published, and nothing is lost or left. */
export async function expectPublished(
  pipeline: PipelineUnderTest,
  moments: readonly Moment[],
  strike: () => Promise<void>,
): Promise<Ended> {
  const { books } = pipeline.clients;
  const { acknowledged } = books;
  await pipeline.billing.change();
  const run = await whileClientsEdit(pipeline, () => struckAt(pipeline, 'run', moments, strike));
  expect(run.report, JSON.stringify(run.report)).toMatchObject({ outcome: 'published' });
  expect(books.acknowledged).toBeGreaterThan(acknowledged + 100);
  pipeline.wasPublished(pipeline.billing.saysNow());
  await expectWhole(pipeline);
  return run;
}

/** A rollback that is struck while clients edit: live is what it was before the run, with what clients saved. */
export async function expectRolledBack(
  pipeline: PipelineUnderTest,
  moments: readonly Moment[],
  strike: () => Promise<void>,
): Promise<Ended> {
  const back = await whileClientsEdit(pipeline, () => struckAt(pipeline, 'rollback', moments, strike));
  expect(back.report, JSON.stringify(back.report)).toMatchObject({ outcome: 'rolledBack' });
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
