import { setTimeout as sleep } from 'node:timers/promises';
import { MockActivityEnvironment } from '@temporalio/testing';
import mysql, { type RowDataPacket } from 'mysql2/promise';
import { afterEach, describe, expect, inject, it } from 'vitest';
import { createActivities } from '../activities/index.js';
import { readBackups } from '../src/mysql/backups.js';
import { ByHand, type ByHandOptions, sourceTable } from './support/by-hand.js';

/** Two pipelines in one schema: both count their generations from 1, and neither may touch what belongs to the other. */
const SCHEMA = 'stageswap_test_neighbours';
const ONE = [[1, 'one']];
const TWO = [[1, 'two']];

let first: ByHand;
let other: ByHand;
const clients: mysql.Connection[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await other?.close();
  await first?.close();
});

const mapping = (...lives: string[]) =>
  lives
    .map(
      (live) =>
        `\n  - { source: dbo.${live.toUpperCase()}, live: ${live}, key: [id], columns: { id: Id, body: Body } }`,
    )
    .join('');
const source = (...lives: string[]) =>
  lives.map((live) => sourceTable(live.toUpperCase(), { Id: 'int', Body: 'nvarchar' }, ['Id']));
const tables = (...lives: string[]) =>
  lives.map((live) => `CREATE TABLE ${live} (id INT PRIMARY KEY, body VARCHAR(20))`);
const open = (made: string[], mapped: string[], options: ByHandOptions = {}) =>
  ByHand.open(inject('mysqlUrl'), SCHEMA, tables(...made), mapping(...mapped), source(...mapped), options);
const remap = (pipeline: ByHand, ...lives: string[]) => pipeline.remap(mapping(...lives), source(...lives));

async function values(statement: string): Promise<unknown[]> {
  const [rows] = await first.application.query<RowDataPacket[]>({
    sql: statement,
    rowsAsArray: true,
  } as never);
  return (rows as unknown as unknown[][]).map(([value]) => value);
}
const triggersOn = (live: string) =>
  values(
    `SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = DATABASE() AND event_object_table = '${live}' ORDER BY 1`,
  );
const tablesOf = (live: string) => values(`SHOW TABLES LIKE '\\_ss%\\_${live}'`);
const clientWrites = (live: string) =>
  first.application.query(`UPDATE ${live} SET body = 'client' WHERE id = 1`);
const connect = async () => {
  const client = await mysql.createConnection({ uri: inject('mysqlUrl'), database: SCHEMA });
  clients.push(client);
  return client;
};

/** What the repair workflow does in MySQL. @returns what it found */
async function repair(pipeline: ByHand): Promise<string[]> {
  const activities = createActivities({ config: () => pipeline.config });
  const run = <R>(work: () => Promise<R>) => new MockActivityEnvironment().run(work) as Promise<R>;
  const { begun, found } = await run(() => activities.beginRepair(pipeline.pipeline, 'a repair'));
  if (begun)
    for (const step of ['repairTriggers', 'repairRuns', 'repairTables'] as const)
      await run(() => activities[step](begun));
  return found.map(({ what }) => what);
}

/** Table b goes from the first to the other, which publishes it as often as it is told rows. */
async function handOver(...published: (typeof ONE)[]): Promise<void> {
  first = await open(['a', 'b'], ['a', 'b'], { more: 'backups: 1' });
  await first.publish({ a: ONE, b: ONE });
  remap(first, 'a');
  for (let publish = 2; publish <= 4; publish += 1) await first.publish({ a: ONE });
  expect(await values('SELECT live FROM _stageswap_claim')).toEqual(['a']);
  other = await open([], ['b'], { pipeline: 'other' });
  for (const b of published) await other.publish({ b });
}

describe('the rollback window of one pipeline', () => {
  it('stays open when that of another, of the same generation, is closed', async () => {
    first = await open(['a'], ['a']);
    other = await open(['b'], ['b'], { pipeline: 'other' });
    await first.publish({ a: ONE });
    await other.publish({ b: ONE });
    expect(await first.cleanUp(true)).toMatchObject({ closed: 1 });
    expect([await triggersOn('a'), await tablesOf('b')]).toEqual([[], expect.arrayContaining(['_ss1t_b'])]);
    expect(await triggersOn('b')).toHaveLength(3);
    await clientWrites('b');
    await other.rollBackTo();
    expect(await values('SELECT body FROM b')).toEqual(['client']);
  });

  it('stays open when another, whose window is broken, is repaired', async () => {
    first = await open(['a'], ['a']);
    other = await open(['b'], ['b'], { pipeline: 'other' });
    await first.publish({ a: ONE });
    await other.publish({ b: ONE });
    await first.application.query('DROP TRIGGER _ss1tu_a');
    expect(await repair(first)).toEqual([expect.stringContaining('triggers on live are missing')]);
    expect(await triggersOn('a')).toEqual([]);
    expect(await triggersOn('b')).toHaveLength(3);
    expect((await readBackups(other.session, 'other')).map(({ name }) => name)).toContain('1-with-edits');
  });
});

describe('a table that has gone from one pipeline to another', () => {
  it('keeps its base and its backup when the first one cleans up, or is repaired', async () => {
    await handOver(ONE, TWO);
    const before = await tablesOf('b');
    expect(before).toEqual(expect.arrayContaining(['_ss2n_b', '_ss2o_b', '_ss2t_b']));
    expect((await first.cleanUp(false)).dropped).toEqual([]);
    expect(await repair(first)).toEqual([]);
    expect(await tablesOf('b')).toEqual(before);
    expect(await triggersOn('b')).toHaveLength(3);
    await other.publish({ b: ONE });
  });

  it('is captured by the other while the first one cleans up: the edit is not lost', async () => {
    await handOver(ONE);
    const captured = async () => {
      await first.cleanUp(false);
      expect(await repair(first)).toEqual([]);
      await clientWrites('b');
    };
    await other.publish({ b: TWO }, { captured });
    expect(await values('SELECT body FROM b')).toEqual(['client']);
  });

  it("does not make a run that the first one aborted look swapped, by the other's backup", async () => {
    first = await open(['a', 'b'], ['a', 'b'], { more: 'backups: 1' });
    await first.publish({ a: ONE, b: ONE });
    await first.abort({ a: TWO, b: TWO });
    remap(first, 'a');
    for (let publish = 3; publish <= 5; publish += 1) await first.publish({ a: ONE });
    other = await open([], ['b'], { pipeline: 'other' });
    await other.publish({ b: ONE });
    await other.publish({ b: TWO });
    expect(await tablesOf('b')).toContain('_ss2o_b');
    await first.application.query(
      "UPDATE _stageswap_run SET outcome = NULL WHERE pipeline = 'hand' AND generation = 2",
    );
    expect(await repair(first)).toEqual([
      expect.stringMatching(/^publish 2 has not ended .* live is as it was/),
    ]);
    expect(await tablesOf('b')).toEqual(expect.arrayContaining(['_ss2n_b', '_ss2o_b', '_ss2t_b']));
    expect(await triggersOn('b')).toHaveLength(3);
    await clientWrites('b');
  });
});

describe('a table that a configuration names by mistake', () => {
  it("keeps all that belongs to its own pipeline at the other one's cleanup and repair", async () => {
    first = await open(['a'], ['a']);
    other = await open(['b'], ['b'], { pipeline: 'other' });
    await first.publish({ a: ONE });
    for (const b of [ONE, TWO]) await other.publish({ b });
    const before = await tablesOf('b');
    remap(first, 'a', 'b');
    expect(await first.cleanUp(false)).toMatchObject({ closed: null, dropped: [] });
    expect(await repair(first)).toEqual([]);
    expect(await first.cleanUp(true)).toMatchObject({ closed: 1, dropped: [] });
    expect(await tablesOf('b')).toEqual(before);
    expect(await triggersOn('b')).toHaveLength(3);
    await clientWrites('b');
  });

  it('loses only what no run knows, and only where no other pipeline claims it', async () => {
    first = await open(['a', 'c'], ['a', 'c']);
    other = await open(['b'], ['b'], { pipeline: 'other' });
    await first.publish({ a: ONE, c: ONE });
    await other.publish({ b: ONE });
    for (const forgotten of ['_ss7w_b', '_ss7w_c'])
      await first.application.query(`CREATE TABLE ${forgotten} (id INT PRIMARY KEY)`);
    remap(first, 'a', 'b', 'c');
    expect((await first.cleanUp(false)).dropped).toEqual(['_ss7w_c']);
    expect((await other.cleanUp(false)).dropped).toEqual(['_ss7w_b']);
  });

  it('keeps what a plan of another is making, although a plan claims nothing', async () => {
    first = await open(['a'], ['a']);
    await first.publish({ a: ONE });
    await first.application.query(
      `INSERT INTO _stageswap_run (pipeline, generation, run_id, kind, phase, started_at, spec) VALUES ('other', 7, 'p', 'plan', 'ingest', NOW(), '{"tables": [{"live": "b"}]}')`,
    );
    await first.application.query('CREATE TABLE _ss7n_b (id INT PRIMARY KEY)');
    remap(first, 'a', 'b');
    expect((await first.cleanUp(false)).dropped).toEqual([]);
  });
});

describe('a cut-over', () => {
  it("names another pipeline's transaction that holds the records, which it lets live, and swaps after it", async () => {
    const cutOver = 'attemptsMax: 2, killBlockersAfterMs: 1000';
    first = await open(['a'], ['a'], { lockAttemptMsMax: 50, cutOver });
    await first.publish({ a: ONE });
    await first.beforeCutOver({ a: TWO });
    const merge = await connect();
    await merge.query('START TRANSACTION');
    await merge.query("DELETE FROM _stageswap_conflict WHERE pipeline = 'other'");
    await sleep(2_100); // old enough to be ended, if it held a table of the group
    await expect(first.tryCutOver()).rejects.toThrow(
      new RegExp(`within 2 attempts.*session ${merge.threadId}, \\w+@.* has held _stageswap_conflict for`),
    );
    await merge.query('COMMIT');
    expect(await first.tryCutOver()).toMatchObject({ attempts: 1 });
    expect(await values('SELECT body FROM a')).toEqual(['two']);
  });
});

describe('repair', () => {
  it('takes a trigger from a table that has left the configuration, and no reader queues behind it', async () => {
    first = await open(['a', 'b'], ['a', 'b'], { lockAttemptMsMax: 50 });
    await first.publish({ a: ONE, b: ONE });
    remap(first, 'a');
    await first.application.query('DROP TRIGGER _ss1tu_a');
    const [long, reader] = [await connect(), await connect()];
    await long.query('START TRANSACTION');
    await long.query('SELECT * FROM b');
    const done = repair(first);
    while ((await triggersOn('a')).length > 0) await sleep(20);
    const waits: number[] = [];
    for (let read = 0; read < 20; read += 1) {
      const began = performance.now();
      const giveUp = setTimeout(() => void long.query('COMMIT'), 5_000);
      await reader.query('SELECT * FROM b');
      clearTimeout(giveUp);
      waits.push(performance.now() - began);
      await sleep(20);
    }
    expect(await triggersOn('b')).toHaveLength(3);
    await long.query('COMMIT');
    await done;
    expect(await triggersOn('b')).toEqual([]);
    expect(Math.max(...waits)).toBeLessThan(2_000);
  });
});
