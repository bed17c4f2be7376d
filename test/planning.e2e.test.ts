import { MockActivityEnvironment } from '@temporalio/testing';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { afterEach, beforeEach, describe, expect, inject, it, vi } from 'vitest';
import { target } from '../activities/context.js';
import { createActivities } from '../activities/index.js';
import type { Begun } from '../activities/runs.js';
import { loadConfig } from '../src/config/load.js';
import { control, physicalTable } from '../src/model/names.js';
import { Session } from '../src/mysql/connection.js';
import { sql } from '../src/sql/text.js';
import { WAIT_MS_MAX } from './support/patience.js';
import { PipelineUnderTest } from './support/pipeline-under-test.js';
import { TcpProxy } from './support/proxy.js';

/** The plan of chunks, step by step, with a source that takes its time: longer than MySQL lets a session be idle. */
const WAIT_TIMEOUT_SECONDS = 4;
const SILENCE_MS = 2.5 * WAIT_TIMEOUT_SECONDS * 1_000;

let proxy: TcpProxy;
let pipeline: PipelineUnderTest;
let connection: Connection;
beforeEach(async () => {
  proxy = await TcpProxy.before(inject('mssqlUrl'));
  pipeline = await PipelineUnderTest.create({
    name: 'planning',
    mysqlUrl: inject('mysqlUrl'),
    mssqlUrl: inject('mssqlUrl'),
    temporalAddress: inject('temporalAddress'),
    through: { mssql: (url) => proxy.through(url) },
    customers: 100,
    invoices: 16_000,
    chunkRows: 100,
  });
  connection = await pipeline.connect();
  const open = Session.open;
  vi.spyOn(Session, 'open').mockImplementation((address, options) =>
    open.call(Session, address, { waitTimeoutSeconds: WAIT_TIMEOUT_SECONDS, ...options }),
  );
});
afterEach(async () => {
  vi.restoreAllMocks();
  await connection?.end();
  await pipeline?.end();
  await proxy?.end();
});

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
type Planned = { seq: number; range_from: string[] | null; range_to: string[] | null; row_count: number };
async function planned(): Promise<Planned[]> {
  const [rows] = await connection.query<RowDataPacket[]>(
    `SELECT seq, range_from, range_to, row_count FROM ${control.chunk} WHERE live = 'invoice' AND step = 'ingest' ORDER BY seq`,
  );
  return rows as Planned[];
}
/** Freezes the source when some chunks are planned, and not all. */
async function freezeInBetween(): Promise<void> {
  while ((await planned()).length === 0) await sleep(1);
  proxy.freeze();
}
async function begun() {
  const config = loadConfig(pipeline.file, pipeline.environment);
  const activities = createActivities({ config: () => config });
  const environment = new MockActivityEnvironment();
  const ref = (await environment.run(() => activities.begin('planning', 'run-1'))) as Begun;
  await environment.run(() => activities.prepare(ref));
  await environment.run(() => activities.openMoment(ref));
  return { activities, ref };
}

/** An activity as Temporal names it: the sessions of two of one name would end each other. */
const named = (activityType: string, slot = 0) =>
  new MockActivityEnvironment({ activityType, activityId: `${activityType}-${slot}` });

describe('a plan of chunks', () => {
  it('outlives a source that is silent for longer than MySQL lets a session be idle', async () => {
    const { activities, ref } = await begun();
    const plan = new MockActivityEnvironment().run(() => activities.planIngest(ref, 'invoice'));
    await freezeInBetween();
    await sleep(SILENCE_MS);
    proxy.thaw();
    expect(await plan).toEqual({ chunks: 160, more: false });
    expect(await planned()).toHaveLength(160);
    await new MockActivityEnvironment().run(() => activities.closeMoment(ref));
  });

  it('goes on where an attempt of it was interrupted', async () => {
    const { activities, ref } = await begun();
    const interrupted = new MockActivityEnvironment();
    const plan = interrupted.run(() => activities.planIngest(ref, 'invoice'));
    const ended = expect(plan).rejects.toThrow(/cancelled/i);
    await freezeInBetween();
    interrupted.cancel();
    proxy.thaw();
    await ended;
    const before = await planned();
    expect(before.length).toBeGreaterThan(0);
    expect(before.length).toBeLessThan(160);
    await connection.query(`UPDATE ${control.chunk} SET row_count = 7 WHERE step = 'ingest'`);
    expect(await new MockActivityEnvironment().run(() => activities.planIngest(ref, 'invoice'))).toEqual({
      chunks: 160,
      more: false,
    });
    const after = await planned();
    expect(after.filter((chunk) => Number(chunk.row_count) === 7)).toHaveLength(before.length);
    expect(after.map(({ seq }) => seq)).toEqual(after.map((_, index) => index));
    for (const [index, chunk] of after.entries())
      expect(chunk.range_from).toEqual(after[index - 1]?.range_to ?? null);
    expect(after.at(-1)?.range_to).toBeNull();
    await new MockActivityEnvironment().run(() => activities.closeMoment(ref));
  });

  it('is loaded while it is made: nothing is proved before all is planned, and each chunk is loaded once', async () => {
    const { activities, ref } = await begun();
    const plan = (part?: 'first') =>
      named('planIngest').run(() => activities.planIngest(ref, 'invoice', part));
    expect(await plan('first')).toEqual({ chunks: 2, more: true });
    expect(await plan('first')).toEqual({ chunks: 2, more: true });
    const load = (slot: number) =>
      named('ingestWhilePlanned', slot).run(() =>
        activities.ingestWhilePlanned(ref, 'invoice', slot, 2),
      ) as ReturnType<typeof activities.ingestWhilePlanned>;
    const slots = [load(0), load(1)];
    const ended = Promise.race(slots).then(
      () => 'ended',
      () => 'ended',
    );
    const loaded = async () => (await planned()).filter(({ row_count }) => Number(row_count) === 100).length;
    await vi.waitUntil(async () => (await loaded()) === 2, { timeout: WAIT_MS_MAX });
    expect(await Promise.race([ended, sleep(1_000)])).toBeUndefined();
    expect(await plan()).toEqual({ chunks: 160, more: false });
    const done = await Promise.all(slots);
    expect(done.map(({ finished }) => finished)).toEqual([true, true]);
    expect(Math.max(...done.map(({ chunksDone }) => chunksDone))).toBe(160);
    expect(Math.max(...done.map(({ rows }) => rows))).toBe(16_000);
    const [rows] = await connection.query<RowDataPacket[]>(
      `SELECT COUNT(*) AS n, COUNT(DISTINCT _ss_chunk) AS chunks FROM ${physicalTable(ref.generation, 'baseNext', 'invoice')}`,
    );
    expect(rows[0]).toMatchObject({ n: 16_000, chunks: 160 });
    await new MockActivityEnvironment().run(() => activities.closeMoment(ref));
  });
});

describe('a session', () => {
  it('is closed by MySQL when it is idle for too long, and not while it is kept alive', async () => {
    const config = loadConfig(pipeline.file, pipeline.environment);
    const [idle, kept] = [await Session.open(target(config)), await Session.open(target(config))];
    await kept.keptAlive(() => sleep(SILENCE_MS));
    expect(await kept.rows(sql`SELECT 1 AS one`)).toEqual([{ one: '1' }]);
    await expect(idle.rows(sql`SELECT 1 AS one`)).rejects.toThrow();
    await kept.close();
    idle.destroy();
  });
});
