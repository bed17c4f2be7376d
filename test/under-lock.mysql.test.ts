import mysql, { type Connection, type RowDataPacket } from 'mysql2/promise';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { NotYet } from '../activities/cut-over.js';
import { type MySqlEngine, startMySql } from '../demo/engines/mysql.js';
import { ByHand, sourceTable } from './support/by-hand.js';

/** With live locked nothing waits for others, and nothing is rebuilt: the lock is given back, and asked for again. */
const SCHEMA = 'stageswap_test_under_lock';
const CUSTOMER = 'CREATE TABLE customer (id INT PRIMARY KEY, email VARCHAR(40))';
const AUDIT = 'CREATE TABLE audit (id INT AUTO_INCREMENT PRIMARY KEY, email VARCHAR(40))';
const AUDITED =
  'CREATE TRIGGER customer_audit AFTER UPDATE ON customer FOR EACH ROW INSERT INTO audit (email) VALUES (OLD.email)';
const TABLES = '  - { source: dbo.Customer, live: customer, key: [id], columns: { id: Id, email: Email } }\n';
const SOURCE = [sourceTable('Customer', { Id: 'int', Email: 'nvarchar' }, ['Id'])];
const LOGIN = 'blind:stageswap-blind';

let engine: MySqlEngine;
let pipeline: ByHand;
let connections: Connection[] = [];

async function server(...statements: string[]): Promise<void> {
  const root = await mysql.createConnection(engine.url);
  for (const statement of statements) await root.query(statement);
  await root.end();
}
// its own: nobody else is to wait while the whole instance is locked
beforeAll(async () => {
  engine = await startMySql(() => {}, { owned: true });
});
afterAll(() => engine?.stop());
beforeEach(() => server('DROP USER IF EXISTS blind', `CREATE USER blind IDENTIFIED BY 'stageswap-blind'`));
afterEach(async () => {
  for (const connection of connections) connection.destroy();
  connections = [];
  await pipeline?.close();
  await server('DROP USER IF EXISTS blind');
});

async function open(
  definitions: string[],
  options: { cutOver?: string; login?: string; lockAttemptMsMax?: number } = {},
) {
  if (options.login)
    await server(
      `GRANT ALL ON ${SCHEMA}.* TO blind`,
      'GRANT SYSTEM_VARIABLES_ADMIN, SET_ANY_DEFINER, ALLOW_NONEXISTENT_DEFINER ON *.* TO blind',
    );
  pipeline = await ByHand.open(engine.url, SCHEMA, definitions, TABLES, SOURCE, {
    lockAttemptMsMax: 20,
    ...options,
  });
}
async function connect(): Promise<Connection> {
  const connection = await mysql.createConnection({ uri: `${engine.url}${SCHEMA}` });
  connections.push(connection);
  return connection;
}
const emails = () => pipeline.read('SELECT email FROM customer ORDER BY id');

/** A client that would rather fail than wait for a second: as long as it goes on, nobody has kept live from it for so long. */
async function impatient() {
  const client = await connect();
  await client.query('SET SESSION lock_wait_timeout = 1');
  let ended = false;
  const edits = (async () => {
    for (let edit = 1; !ended; edit += 1)
      await client.query('UPDATE customer SET email = ? WHERE id = 2', [`edit ${edit}`]);
  })();
  edits.catch(() => {}); // told when it is stopped
  return async () => {
    ended = true;
    await edits;
  };
}

describe('while somebody has locked the instance for a backup', () => {
  it('a run does not lock live for its cut-over, says who keeps it waiting, and swaps afterwards', async () => {
    await open([CUSTOMER]);
    await pipeline.publish({ customer: [[1, 'first@x']] });
    await pipeline.beforeCutOver({ customer: [[1, 'second@x']] });
    const backup = await connect();
    await backup.query('LOCK INSTANCE FOR BACKUP');
    const stop = await impatient();
    const waits = (await pipeline.tryCutOver()) as NotYet;
    await stop();
    expect(waits.notYet).toBe('blocked');
    expect(waits.blockers[0]).toMatchObject({ tables: ['LOCK INSTANCE FOR BACKUP'] }); // the oldest
    expect(await emails()).toEqual([['first@x']]);
    await backup.query('UNLOCK INSTANCE');
    expect(await pipeline.tryCutOver(waits.tried)).toMatchObject({ attempts: waits.tried.attempts + 1 });
    expect(await emails()).toEqual([['second@x']]);
  });

  it('a run that may not see that gives the lock back instead of waiting with live locked', async () => {
    await open([CUSTOMER], { login: LOGIN });
    await pipeline.publish({ customer: [[1, 'first@x']] });
    await pipeline.beforeCutOver({ customer: [[1, 'second@x']] });
    await pipeline.application.query("INSERT INTO customer VALUES (2, 'own@x')");
    const backup = await connect();
    await backup.query('LOCK INSTANCE FOR BACKUP');
    const stop = await impatient();
    const waits = (await pipeline.tryCutOver()) as NotYet;
    await stop();
    expect(waits).toMatchObject({ notYet: 'blocked', blockers: [] });
    expect(waits.tried.attempts).toBeGreaterThan(1);
    await backup.query('UNLOCK INSTANCE');
    let swapped = await pipeline.tryCutOver(waits.tried);
    while ('notYet' in swapped) swapped = await pipeline.tryCutOver(swapped.tried);
    expect(await emails()).toEqual([['second@x'], [expect.stringMatching(/^edit \d+$/)]]);
  });

  it.each([
    ['a run that may see it', undefined],
    ['a run that may not', LOGIN],
  ])('%s makes no trigger on live, and does not wait for it with live locked', async (_, login) => {
    await open([CUSTOMER], { cutOver: 'attemptsMax: 8', ...(login ? { login } : {}) });
    await pipeline.publish({ customer: [[1, 'first@x']] });
    const published = await pipeline.beforeCutOver({ customer: [[1, 'second@x']] });
    const triggers = () =>
      pipeline.read(
        `SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = '${SCHEMA}' AND event_object_table = 'customer' AND trigger_name LIKE '\\_ss${published.generation}%'`,
      );
    for (const [name] of await triggers()) await pipeline.application.query(`DROP TRIGGER ${name}`);
    const backup = await connect();
    await backup.query('LOCK INSTANCE FOR BACKUP');
    const stop = await impatient();
    await expect(pipeline.again('capture', published.generation)).rejects.toThrow(
      login ? /no lock on customer within 8 attempts/ : /root@.* has held LOCK INSTANCE FOR BACKUP/,
    );
    await stop();
    expect(await triggers()).toEqual([]);
    await backup.query('UNLOCK INSTANCE');
    await pipeline.again('capture', published.generation);
    expect(await triggers()).not.toEqual([]);
  });
});

it('an attempt that waits for a flush of tables, with all other locks granted, is taken back like any', async () => {
  await open([CUSTOMER]);
  await pipeline.publish({ customer: [[1, 'first@x']] });
  await pipeline.beforeCutOver({ customer: [[1, 'second@x']] });
  const [reader, flusher] = [await connect(), await connect()];
  const reading = reader.query('SELECT SLEEP(5) FROM _ss1n_customer');
  await until(`state = 'User sleep' AND id = ${reader.threadId}`);
  const flushing = flusher.query('FLUSH TABLES');
  await until(`state LIKE 'Waiting for table flush' AND id = ${flusher.threadId}`);
  let result = await pipeline.tryCutOver();
  while ('notYet' in result) result = await pipeline.tryCutOver(result.tried);
  expect(result.attempts).toBeGreaterThan(1);
  expect(result.queuedMs).toBeLessThan(900); // the lock's own time is a second
  await Promise.all([reading, flushing]);
});
/** Waits until a query has an answer. */
const appears = async (asked: string) => {
  while ((await pipeline.read(asked)).length === 0) await new Promise((resolve) => setTimeout(resolve, 2));
};
const until = (holds: string) => appears(`SELECT 1 FROM information_schema.processlist WHERE ${holds}`);

it('who holds a table that a trigger of live writes to is named: LOCK TABLES waits for it, too', async () => {
  await open([CUSTOMER, AUDIT, AUDITED]);
  await pipeline.publish({ customer: [[1, 'first@x']] });
  await pipeline.beforeCutOver({ customer: [[1, 'second@x']] });
  const reader = await connect();
  await reader.query('START TRANSACTION');
  await reader.query('SELECT * FROM audit');
  const waits = (await pipeline.tryCutOver()) as NotYet;
  expect(waits).toMatchObject({
    notYet: 'blocked',
    blockers: [{ sessionId: reader.threadId, tables: ['audit'] }],
  });
  await reader.query('COMMIT');
  expect(await pipeline.tryCutOver(waits.tried)).toMatchObject({ attempts: waits.tried.attempts + 1 });
});

describe('a table that MySQL cannot change instantly, such as one with a full-text index', () => {
  const SEARCHED = 'CREATE TABLE customer (id INT PRIMARY KEY, email VARCHAR(40), FULLTEXT KEY (email))';
  const DEFINITION_CHANGED = 1412;
  const first = (reader: Connection) => reader.query('SELECT email FROM customer WHERE id = 1');

  it('is rebuilt before the lock and not under it, when a snapshot is older than an edit that was merged under it', async () => {
    await open([SEARCHED], { cutOver: 'attemptsMax: 100' });
    await pipeline.publish({ customer: [[1, 'first@x']] });
    const reader = await connect();
    await pipeline.publish(
      { customer: [[1, 'first@x']] },
      {
        // in a transaction for which the lock waits: it is in the log only when the lock is granted
        locking: async () => {
          await pipeline.application.query("UPDATE customer SET email = 'edit@x' WHERE id = 1");
          await reader.query('START TRANSACTION WITH CONSISTENT SNAPSHOT');
        },
      },
    );
    const [run] = await pipeline.read(
      "SELECT JSON_VALUE(cut_over, '$.attempts') FROM _stageswap_run WHERE generation = 2",
    );
    expect(Number(run?.[0])).toBeGreaterThan(1);
    await expect(first(reader)).rejects.toMatchObject({ errno: DEFINITION_CHANGED });
    await reader.query('ROLLBACK');
    expect((await first(reader))[0]).toEqual([{ email: 'edit@x' }]);
  });

  it('is swapped at the first attempt where such a transaction ends in time', async () => {
    await open([SEARCHED], { lockAttemptMsMax: 10_000 });
    const rows = { customer: [[1, 'first@x'] as [number, string]] };
    await pipeline.publish(rows);
    await pipeline.beforeCutOver(rows);
    const [holder, reader] = [await connect(), await connect()];
    await holder.query('START TRANSACTION');
    await holder.query("UPDATE customer SET email = 'edit@x' WHERE id = 1"); // in the log when it is committed
    const done = pipeline.tryCutOver();
    await until("state = 'Waiting for table metadata lock' AND info LIKE 'LOCK TABLES%'");
    await reader.query('START TRANSACTION WITH CONSISTENT SNAPSHOT');
    await holder.query('COMMIT');
    await appears(
      "SELECT 1 FROM performance_schema.metadata_locks WHERE object_schema = DATABASE() AND object_name = 'customer' AND lock_type = 'SHARED_NO_READ_WRITE' AND lock_status = 'GRANTED'",
    );
    await new Promise((resolve) => setTimeout(resolve, 500)); // the drain is over, and the reader waited for
    await reader.query('COMMIT');
    expect(await done).toMatchObject({ attempts: 1, replayedUnderLock: 1 });
    expect(await emails()).toEqual([['edit@x']]);
  });

  it('is not swapped when it has become too late while it was rebuilt', async () => {
    await open([SEARCHED]);
    const rows = { customer: [[1, 'first@x'] as [number, string]] };
    await pipeline.publish(rows);
    await pipeline.beforeCutOver(rows);
    const reader = await connect();
    await reader.query('START TRANSACTION WITH CONSISTENT SNAPSHOT');
    expect(await pipeline.tryCutOver(undefined, Date.now() + 500)).toMatchObject({ notYet: 'late' });
  });

  it('is swapped while clients edit it and short transactions repeat their reads, of which none reads what was so before it began', async () => {
    // long enough for the readers' transactions to end, however slow the machine is
    await open([SEARCHED, 'CREATE TABLE other (id INT)'], { lockAttemptMsMax: 500 });
    const rows = { customer: [[1, 'edit 0'] as [number, string]] };
    await pipeline.publish(rows);
    await pipeline.beforeCutOver(rows);
    let ended = false;
    let acknowledged = 0;
    const editor = await connect();
    const edits = (async () => {
      for (let edit = 1; !ended; edit += 1) {
        await editor.query("UPDATE customer SET email = CONCAT('edit ', ?) WHERE id = 1", [edit]);
        acknowledged = edit;
      }
    })();
    const tooOld: string[] = [];
    const repeats = async (read: (reader: Connection) => Promise<unknown>) => {
      const reader = await connect();
      while (!ended) {
        await reader.query('START TRANSACTION');
        await read(reader);
        await reader.query('COMMIT');
      }
    };
    const elsewhere = async (reader: Connection) => {
      await reader.query('SELECT * FROM other');
      await new Promise((resolve) => setTimeout(resolve, 5));
    };
    const here = async (reader: Connection) => {
      const before = acknowledged;
      const [[row]] = await reader.query<RowDataPacket[]>('SELECT email FROM customer WHERE id = 1');
      if (!(Number(row?.email.slice('edit '.length)) >= before)) tooOld.push(`${row?.email} after ${before}`);
    };
    const readers = [elsewhere, elsewhere, elsewhere, here].map(repeats);
    try {
      let swapped = await pipeline.tryCutOver();
      while ('notYet' in swapped) swapped = await pipeline.tryCutOver(swapped.tried);
      expect(swapped.replayedUnderLock).toBeGreaterThan(0);
    } finally {
      ended = true;
      await Promise.all([edits, ...readers]);
    }
    expect(tooOld).toEqual([]);
    expect(await emails()).toEqual([[`edit ${acknowledged}`]]);
  });
});
