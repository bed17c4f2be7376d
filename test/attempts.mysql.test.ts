import mysql from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { parseMysqlAddress } from '../src/config/address.js';
import { control } from '../src/model/names.js';
import { type Attempt, enter, evictUpTo, forgetAttempts } from '../src/mysql/attempts.js';
import { Session } from '../src/mysql/connection.js';
import { createControlTables } from '../src/sql/control.js';
import { id, sql } from '../src/sql/text.js';

/** Attempts of activities as MySQL knows them, by a user who has no right outside of the schema. */
const SCHEMA = 'stageswap_test_attempts';
const url = new URL(inject('mysqlUrl'));
url.pathname = `/${SCHEMA}`;
let server: mysql.Connection;
let plain: URL;

beforeAll(async () => {
  server = await mysql.createConnection(inject('mysqlUrl'));
  await server.query(`DROP DATABASE IF EXISTS ${SCHEMA}`);
  await server.query(`CREATE DATABASE ${SCHEMA}`);
  await server.query("CREATE USER IF NOT EXISTS 'stageswap_test_plain'@'%' IDENTIFIED BY 'plain'");
  await server.query(
    `GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, LOCK TABLES, TRIGGER ON ${SCHEMA}.* TO 'stageswap_test_plain'@'%'`,
  );
  plain = new URL(url);
  [plain.username, plain.password] = ['stageswap_test_plain', 'plain'];
  const session = await Session.open(parseMysqlAddress(plain.href));
  for (const statement of createControlTables()) await session.run(statement);
  await session.run(sql`INSERT INTO ${id(control.pipeline)} (pipeline, generation) VALUES ('p', 5)`);
  await session.close();
});
afterAll(async () => {
  await server?.query(`DROP DATABASE IF EXISTS ${SCHEMA}`);
  await server?.query("DROP USER IF EXISTS 'stageswap_test_plain'@'%'");
  await server?.end();
});

const ATTEMPT: Attempt = {
  pipeline: 'p',
  generation: 5,
  activity: 'run/1',
  type: 'reconcile',
  attempt: 1,
  shared: false,
  ofEnded: false,
};
async function entered(attempt: Partial<Attempt>): Promise<Session> {
  const session = await Session.open(parseMysqlAddress(plain.href));
  try {
    await enter(session, { ...ATTEMPT, ...attempt });
  } catch (error) {
    await session.close();
    throw error;
  }
  return session;
}
const answers = (session: Session) =>
  session.rows(sql`SELECT 1 AS found`).then(
    () => true,
    () => false,
  );
async function closing(sessions: Session[], work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } finally {
    for (const session of sessions) session.destroy();
  }
}

describe('an attempt', () => {
  it('ends the connection of the one before it, with the transaction and the locks that it holds', async () => {
    const first = await entered({ activity: 'run/2' });
    await first.run(sql`START TRANSACTION`);
    await first.rows(sql`SELECT generation FROM ${id(control.pipeline)} FOR SHARE`);
    const second = await entered({ activity: 'run/2', attempt: 2 });
    await closing([first, second], async () => {
      expect(await answers(first)).toBe(false);
      await second.run(sql`SET SESSION innodb_lock_wait_timeout = 1`);
      await second.run(sql`UPDATE ${id(control.pipeline)} SET held_reason = NULL`); // waits for nobody
    });
  });

  it('is refused where a later one has begun, and where a newer run owns the pipeline', async () => {
    const second = await entered({ activity: 'run/3', attempt: 2 });
    await closing([second], async () => {
      await expect(entered({ activity: 'run/3' })).rejects.toThrow(/a later attempt of reconcile/);
      await expect(entered({ activity: 'run/4', generation: 4 })).rejects.toThrow(/a newer run of p/);
      expect(await answers(second)).toBe(true);
    });
  });

  it('of an ended run may take back what is its own', async () => {
    const undo = await entered({ activity: 'run/5', generation: 4, ofEnded: true });
    await closing([undo], async () => expect(await answers(undo)).toBe(true));
  });

  it('leaves others of its type alone only where they share the work', async () => {
    const slots = [
      await entered({ activity: 'run/6', type: 'ingestChunks', shared: true }),
      await entered({ activity: 'run/7', type: 'ingestChunks', shared: true }),
    ];
    const merges = [await entered({ activity: 'run/8' }), await entered({ activity: 'run/9' })];
    await closing([...slots, ...merges], async () => {
      expect(await Promise.all(slots.map(answers))).toEqual([true, true]);
      expect(await Promise.all(merges.map(answers))).toEqual([false, true]);
    });
  });

  it('is ended with its whole run by a newer one, which then forgets it', async () => {
    const old = [
      await entered({ activity: 'run/10' }),
      await entered({ activity: 'run/11', type: 'capture' }),
    ];
    const newer = await Session.open(parseMysqlAddress(plain.href));
    await closing([...old, newer], async () => {
      await old[1]?.run(sql`LOCK TABLES ${id(control.pipeline)} WRITE`);
      await evictUpTo(newer, 'p', 5);
      expect(await Promise.all(old.map(answers))).toEqual([false, false]);
      await forgetAttempts(newer, 'p', 6);
      expect(await newer.rows(sql`SELECT name FROM ${id(control.attempt)}`)).toEqual([]);
    });
  });

  it('of another pipeline is left alone', async () => {
    const other = await entered({ pipeline: 'q', ofEnded: true });
    const mine = await entered({ activity: 'run/12' });
    await closing([other, mine], async () => {
      await evictUpTo(mine, 'p', 9);
      expect(await Promise.all([other, mine].map(answers))).toEqual([true, true]);
    });
  });
});
