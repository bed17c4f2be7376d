import { MockActivityEnvironment } from '@temporalio/testing';
import mysql from 'mysql2/promise';
import { afterAll, expect, inject, test } from 'vitest';
import { waitForTarget } from '../activities/stand-back.js';
import { startTemporal } from '../demo/engines/temporal.js';
import { parseMysqlAddress } from '../src/config/address.js';
import type { RunSpec } from '../src/model/spec.js';
import { type Session, withSession } from '../src/mysql/connection.js';
import { sql } from '../src/sql/text.js';
import { PipelineUnderTest } from './support/pipeline-under-test.js';

/** The run stands back for the live systems, as configured, and says so. */
const ends: (() => Promise<unknown>)[] = [];
afterAll(async () => {
  for (const end of ends.reverse()) await end();
});

test('reading is held to the rows a second that are configured, and the report says what the run cost', async () => {
  const temporal = await startTemporal(() => {}, { owned: true });
  ends.push(() => temporal.stop());
  const pipeline = await PipelineUnderTest.create({
    name: 'gentle',
    mysqlUrl: inject('mysqlUrl'),
    mssqlUrl: inject('mssqlUrl'),
    temporalAddress: temporal.address,
    customers: 200,
    invoices: 200,
    rowsPerSecondMax: 100, // so few that a busy machine is quicker, too
  });
  ends.push(() => pipeline.end());
  pipeline.startWorker();
  const { report } = await pipeline.stageswap('run', '--yes');
  expect(report.outcome).toBe('published');
  const ingest = report.phases.find(({ name }) => name === 'ingest');
  expect(ingest?.ms).toBeGreaterThan(1_500);
  expect(report.cost?.source.rows).toBe(400);
  expect(report.cost?.source.waitedMs).toBeGreaterThan(500);
  expect(report.cost?.source.readMs).toBeGreaterThan(1_000);
  expect(report.cost?.target.bytes).toBeGreaterThan(10_000);
  expect(report.cost?.target.loadMs).toBeGreaterThan(1_000);
  expect(report.cost?.target.mergeMs).toBeGreaterThan(0);
  expect(report.cost?.target.waitedMs).toBe(0);
});

const SLEEPERS = 60;

test('no chunk is begun while too many threads work at the target', async () => {
  const address = parseMysqlAddress(new URL('/mysql', inject('mysqlUrl')).href);
  const environment = new MockActivityEnvironment();
  const wait = (threadsRunningMax?: number) =>
    withSession(address, (session: Session) =>
      environment.run(() => waitForTarget(session, { threadsRunningMax } as RunSpec)),
    ) as Promise<number>;
  const sleepers = await Promise.all(
    Array.from({ length: SLEEPERS }, () => mysql.createConnection(inject('mysqlUrl'))),
  );
  ends.push(() => Promise.all(sleepers.map((sleeper) => sleeper.end())));
  const asleep = Promise.all(sleepers.map((sleeper) => sleeper.query('SELECT SLEEP(2)')));
  await withSession(address, async (session) => {
    const working = async () => (await session.rows(sql`SHOW GLOBAL STATUS LIKE 'Threads_running'`))[0];
    while (Number((await working())?.Value) < SLEEPERS);
  });
  expect(await wait()).toBe(0);
  expect(await wait(SLEEPERS - 20)).toBeGreaterThan(0);
  await asleep;
  expect(await wait(400)).toBe(0);
});
