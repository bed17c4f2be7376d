import mysql, { type Connection } from 'mysql2/promise';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import type { NotYet } from '../activities/cut-over.js';
import { blockersText } from '../src/model/blockers.js';
import { ByHand, sourceTable } from './support/by-hand.js';

/** Who keeps the cut-over from its lock is told by name, and ended only where the configuration says so. */
const SCHEMA = 'stageswap_test_blockers';
const CUSTOMER = 'CREATE TABLE customer (id INT PRIMARY KEY, email VARCHAR(40))';
const TABLES = '  - { source: dbo.Customer, live: customer, key: [id], columns: { id: Id, email: Email } }\n';
const SOURCE = [sourceTable('Customer', { Id: 'int', Email: 'nvarchar' }, ['Id'])];
const LOGIN = 'teller:stageswap-teller';

let pipeline: ByHand;
let blocker: Connection;
let sessionId: number;

beforeEach(async () => {
  const server = await mysql.createConnection(inject('mysqlUrl'));
  await server.query(`DROP USER IF EXISTS teller`);
  await server.query(`CREATE USER teller IDENTIFIED BY 'stageswap-teller'`);
  await server.query(`GRANT ALL ON ${SCHEMA}.* TO teller`);
  await server.end();
});
afterEach(async () => {
  blocker?.destroy();
  await pipeline?.application.query('DROP USER IF EXISTS teller');
  await pipeline?.close();
});

/** A run right before its cut-over, or its capture, while another user's transaction holds live. */
async function blocked(cutOver = '', when: 'cutOver' | 'capture' = 'cutOver'): Promise<void> {
  pipeline = await ByHand.open(inject('mysqlUrl'), SCHEMA, [CUSTOMER], TABLES, SOURCE, {
    ...{ lockAttemptMsMax: 20, cutOver },
  });
  await pipeline.publish({ customer: [[1, 'first@x']] });
  const url = new URL(inject('mysqlUrl'));
  [url.username = '', url.password = ''] = LOGIN.split(':');
  url.pathname = `/${SCHEMA}`;
  blocker = await mysql.createConnection(url.href);
  blocker.on('error', () => {});
  const [rows] = await blocker.query('SELECT CONNECTION_ID() AS id');
  sessionId = Number((rows as { id: number }[])[0]?.id);
  if (when === 'capture') await hold();
  await pipeline.beforeCutOver({ customer: [[1, 'second@x']] });
  await hold();
}
async function hold(): Promise<void> {
  await blocker.query('START TRANSACTION');
  await blocker.query('SELECT * FROM customer');
}
const isAlive = () =>
  blocker.query('SELECT 1').then(
    () => true,
    () => false,
  );
const email = async () => {
  const [rows] = await pipeline.application.query('SELECT email FROM customer');
  return (rows as { email: string }[])[0]?.email;
};

it('a capture that gets no lock on live says who holds it', async () => {
  await expect(blocked('attemptsMax: 2', 'capture')).rejects.toThrow(
    /no lock on customer within 2 attempts: session \d+, teller@.* has held customer for \d+ s/,
  );
});

describe('a cut-over whose lock is not granted', () => {
  it('hands back within seconds, says who holds the tables, leaves them alone, and goes on where it was', async () => {
    await blocked();
    const first = (await pipeline.tryCutOver()) as NotYet;
    expect(first).toMatchObject({ notYet: 'blocked', killed: [] });
    expect(first.blockers).toMatchObject([{ sessionId, user: 'teller', tables: ['customer'] }]);
    expect(first.blockers[0]?.ageSeconds).toBeGreaterThan(2);
    expect(first.blockers[0]?.ageSeconds).toBeLessThan(120);
    expect(first.tried.attempts).toBeGreaterThan(1);
    expect(await isAlive()).toBe(true);
    expect(await email()).toBe('first@x');
    await blocker.query('COMMIT');
    const second = await pipeline.tryCutOver(first.tried);
    expect(second).toMatchObject({ attempts: first.tried.attempts + 1 });
    expect(await email()).toBe('second@x');
  });

  it('by a prepared XA transaction whose session has ended, says so, and takes its edit when it is committed', async () => {
    await blocked();
    await blocker.query('ROLLBACK');
    for (const step of ["XA START 'x'", "UPDATE customer SET email = 'xa@x'", "XA END 'x'", "XA PREPARE 'x'"])
      await blocker.query(step);
    await blocker.end();
    const waits = (await pipeline.tryCutOver()) as NotYet;
    await pipeline.application.query("XA COMMIT 'x'");
    expect(waits.blockers).toMatchObject([{ sessionId: null, withoutSession: true, tables: ['customer'] }]);
    expect(blockersText(waits.blockers)).toMatch(/a prepared XA transaction .* holds customer \(XA RECOVER/);
    expect(await pipeline.tryCutOver(waits.tried)).toMatchObject({ attempts: waits.tried.attempts + 1 });
    expect(await email()).toBe('xa@x');
  });

  it('gives up after attemptsMax, and its failure names who holds the tables', async () => {
    await blocked('attemptsMax: 2');
    await expect(pipeline.tryCutOver()).rejects.toThrow(
      new RegExp(`within 2 attempts.*session ${sessionId}, teller@.* has held customer for \\d+ s`),
    );
    expect(await email()).toBe('first@x');
  });

  it('ends who has held them for killBlockersAfterMs, where that is configured, and swaps', async () => {
    await blocked('killBlockersAfterMs: 1000');
    let last = await pipeline.tryCutOver();
    while ('notYet' in last) {
      if (last.killed.length > 0) expect(last.killed).toMatchObject([{ sessionId, user: 'teller' }]);
      last = await pipeline.tryCutOver(last.tried);
    }
    expect(await isAlive()).toBe(false);
    expect(await email()).toBe('second@x');
  });

  it('leaves younger ones alone also where that is configured', async () => {
    await blocked('killBlockersAfterMs: 3600000');
    expect(await pipeline.tryCutOver()).toMatchObject({ notYet: 'blocked', killed: [] });
    expect(await isAlive()).toBe(true);
  });

  it('does not swap when it is too late for it, whether somebody holds the tables or not', async () => {
    await blocked();
    expect(await pipeline.tryCutOver(undefined, Date.now() + 2_000)).toMatchObject({ notYet: 'late' });
    await blocker.query('COMMIT');
    expect(await pipeline.tryCutOver(undefined, Date.now() - 1)).toMatchObject({ notYet: 'late' });
    expect(await email()).toBe('first@x');
  });
});
