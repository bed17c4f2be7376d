import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import type { Connection as MysqlConnection, RowDataPacket } from 'mysql2/promise';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it, vi } from 'vitest';
import { startTemporal } from '../demo/engines/temporal.js';
import type { Progress } from '../src/model/messages.js';
import { parsePhysicalName } from '../src/model/names.js';
import type { Report } from '../src/model/report.js';
import { WAIT_MS_MAX } from './support/patience.js';
import { PipelineUnderTest } from './support/pipeline-under-test.js';

/** What makes a run wait, ask or read again before its cut-over: the built command line, a worker, all three engines. */
const NAME = 'gates';
const SOURCE_AGE_SECONDS_MAX = 20;

/** Its own, so that workers of other tests do not take its steps, and die with them. */
let temporal: Awaited<ReturnType<typeof startTemporal>>;
let connection: Connection;
let pipeline: PipelineUnderTest;
let database: MysqlConnection;

beforeAll(async () => {
  temporal = await startTemporal(() => {}, { owned: true });
  connection = await Connection.connect({ address: temporal.address });
});
afterAll(async () => {
  await connection?.close();
  await temporal?.stop();
});
beforeEach(async () => {
  pipeline = await PipelineUnderTest.create({
    name: NAME,
    mysqlUrl: inject('mysqlUrl'),
    mssqlUrl: inject('mssqlUrl'),
    temporalAddress: temporal.address,
    customers: 200,
    invoices: 200,
  });
  database = await pipeline.connect();
});
afterEach(async () => {
  await database?.end();
  await pipeline?.end();
});

const run = () => new Client({ connection }).workflow.getHandle(`stageswap-${NAME}`);
const until = (reached: (progress: Progress) => void) =>
  vi.waitFor(
    async () => {
      const progress = await run().query<Progress>('progress');
      reached(progress);
      return progress;
    },
    { timeout: WAIT_MS_MAX, interval: 100 },
  );

/** Publishes once as it is, then configures what is to be tested, and begins a second run. */
async function secondRun(change: (configuration: string) => string): Promise<void> {
  const first = pipeline.startWorker();
  expect((await pipeline.stageswap('run', '--yes')).report.outcome).toBe('published');
  await first.stop();
  writeFileSync(pipeline.file, change(readFileSync(pipeline.file, 'utf8')));
  pipeline.startWorker();
  await pipeline.stageswap('run', '--no-wait');
}

/** Generations of tables that runs have made, by kind. */
async function generationsOf(kind: string): Promise<number[]> {
  const [rows] = await database.query<RowDataPacket[]>(
    "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name LIKE '\\_ss%'",
  );
  const parsed = rows.map(({ name }) => parsePhysicalName(name as string));
  return [...new Set(parsed.flatMap((made) => (made?.kind === kind ? [made.generation] : [])))];
}
const edit = (email: string, customerId = 1) =>
  database.query('UPDATE customer SET email = ? WHERE customer_id = ?', [email, customerId]);
const customer = async (customerId = 1) => {
  const [rows] = await database.query<RowDataPacket[]>(
    'SELECT name, email FROM customer WHERE customer_id = ?',
    [customerId],
  );
  return rows[0];
};
const rename = (name: string) =>
  pipeline.billing.pool
    .request()
    .query(`UPDATE dbo.${NAME}_Customer SET Name = '${name}' WHERE CustomerId = 1`);

describe('a run whose source became too old while it waited', () => {
  it('reads it again, keeps the edits made before and after, publishes what it says then, and leaves nothing behind', async () => {
    await secondRun((text) =>
      text.replace('approve: never', `approve: always\nsourceAgeMax: ${SOURCE_AGE_SECONDS_MAX}s`),
    );
    const waiting = await until(({ waitingFor }) => expect(waitingFor).toContain('approve: always'));
    const [before] = await generationsOf('s');
    expect(before).toBe(waiting.generation);
    await edit('before@x', 2);
    await rename('said later');
    const readAt = Date.parse(waiting.report?.momentAt ?? '');
    await sleep(Math.max(0, readAt + SOURCE_AGE_SECONDS_MAX * 1_000 + 100 - Date.now()));
    await pipeline.stageswap('approve');
    await until(({ generation }) => expect(generation).toBeGreaterThan(waiting.generation));
    await edit('after@x');
    const report = (await run().result()) as Report;
    expect(report).toMatchObject({ outcome: 'published', approved: [expect.stringContaining('always')] });
    expect(Date.parse(report.momentAt ?? '')).toBeGreaterThan(readAt + SOURCE_AGE_SECONDS_MAX * 1_000);
    expect(await customer()).toMatchObject({ name: 'said later', email: 'after@x' });
    expect(await customer(2)).toMatchObject({ email: 'before@x' });
    expect(await pipeline.leftovers()).toEqual([]);
  });
});

describe('a run whose cut-over would lock live for longer than configured', () => {
  it('has rehearsed it, and asks before live is touched', async () => {
    await secondRun((text) => text.replace('heldMsMax: 600000', 'heldMsMax: 1'));
    const { reasons } = await until(({ waitingFor }) =>
      expect(waitingFor).toMatch(/would lock live for about [\d.]+ ms, as rehearsed/),
    );
    expect(reasons).toMatchObject([{ kind: 'heldMs' }]);
    for (const kind of ['rl', 'rs', 'ro', 'ra', 'rb']) expect(await generationsOf(kind)).toEqual([]);
    await pipeline.stageswap('approve');
    expect(await run().result()).toMatchObject({ outcome: 'published' });
    expect(await pipeline.leftovers()).toEqual([]);
  });
});

describe('a run that is ready outside of its window', () => {
  it('says until when it waits, takes edits meanwhile, and publishes when it opens', async () => {
    const opensAtMs = (Math.floor(Date.now() / 60_000) + 2) * 60_000; // Kathmandu is not whole hours away
    const clock = (ms: number) =>
      new Intl.DateTimeFormat('en-GB', {
        timeZone: 'Asia/Kathmandu',
        hour: '2-digit',
        minute: '2-digit',
        hourCycle: 'h23',
      }).format(ms);
    const window = `${clock(opensAtMs)}-${clock(opensAtMs + 1_800_000)} Asia/Kathmandu`;
    await secondRun((text) => `${text}window: "${window}"\n`);
    const { delayedBy, waitingFor } = await until((progress) =>
      expect(progress).toMatchObject({ delayedBy: expect.stringContaining('outside its window') }),
    );
    expect(delayedBy).toContain(`(${window}), which opens at ${new Date(opensAtMs).toISOString()}`);
    expect(waitingFor).toBeUndefined();
    const status = await pipeline.stageswap('status');
    expect(JSON.stringify(status.report)).toContain('outside its window');
    await edit('while@x');
    const report = (await run().result()) as Report;
    const swapped = report.phases.find(({ name }) => name === 'cutOver');
    expect(Date.parse(swapped?.startedAt ?? '')).toBeGreaterThanOrEqual(opensAtMs);
    expect(report).toMatchObject({ outcome: 'published' });
    expect(await customer()).toMatchObject({ email: 'while@x' });
    expect(await pipeline.leftovers()).toEqual([]);
  });
});
