import mysql, { type ResultSetHeader, type RowDataPacket } from 'mysql2/promise';
import { afterEach, describe, expect, inject, it } from 'vitest';
import { ByHand, type SourceRows, sourceTable } from './support/by-hand.js';

/** What clients see while a run works: their writes answer as without it, and readers never see half a group. */
const SCHEMA = 'stageswap_test_clients';
const definition = (name: string) =>
  `CREATE TABLE ${name} (id INT AUTO_INCREMENT PRIMARY KEY, code VARCHAR(8) UNIQUE, body VARCHAR(12), n INT, CONSTRAINT small_${name} CHECK (n < 1000)) COLLATE utf8mb4_0900_as_cs`;
const TABLES = '\n  - { source: dbo.T, live: t, key: [id], columns: { id: Id, code: Code, body: Body } }';
const SOURCE = [sourceTable('T', { Id: 'int', Code: 'nvarchar', Body: 'nvarchar' }, ['Id'])];
const ROWS: SourceRows = { t: Array.from({ length: 20 }, (_, at) => [at + 1, `c${at + 1}`, 'published']) };

let pipeline: ByHand;
afterEach(async () => {
  await pipeline?.close();
});

/** Every kind of write, on a table of the name; the same on one that is captured and on one that is not. */
const writes = (t: string, run: number) => [
  `INSERT INTO ${t} (code, body) VALUES ('a${run}', 'one'), ('b${run}', 'two'), ('d${run}', 'three')`,
  `SELECT LAST_INSERT_ID(), ROW_COUNT()`,
  `INSERT IGNORE INTO ${t} (code, body) VALUES ('a${run}', 'ignored'), ('e${run}', 'a body that is too long for it')`,
  `INSERT INTO ${t} (code, body, n) VALUES ('a${run}', 'x', 1) ON DUPLICATE KEY UPDATE n = COALESCE(n, 0) + 1`,
  `INSERT INTO ${t} (code) VALUES ('a${run}') ON DUPLICATE KEY UPDATE code = code`,
  `INSERT INTO ${t} (code) VALUES ('b${run}') ON DUPLICATE KEY UPDATE id = LAST_INSERT_ID(id), body = 'upserted'`,
  `SELECT LAST_INSERT_ID()`,
  `REPLACE INTO ${t} (id, code, body) VALUES (${run + 1}, 'c${run + 1}', 'replaced')`,
  `REPLACE INTO ${t} (id, code, body) VALUES (${run + 5}, 'c${run + 8}', 'both rows')`,
  `UPDATE ${t} SET body = 'edited' WHERE id IN (${run + 10}, ${run + 11})`,
  `UPDATE ${t} SET body = body WHERE id = ${run + 10}`,
  `UPDATE ${t} SET id = id + 1000 * ${run} WHERE id = ${run + 12} OR id = ${run + 14} ORDER BY id DESC`,
  `UPDATE ${t} SET id = id + 1 WHERE id > 900 ORDER BY id DESC`,
  `UPDATE ${t} AS x JOIN (SELECT ${run + 15} AS id) AS y ON y.id = x.id SET x.body = 'joined', x.n = 7`,
  `DELETE FROM ${t} WHERE id = ${run + 16}`,
  `INSERT INTO ${t} (id, code, body) VALUES (${run + 16}, 'again${run}', 'born again')`,
  `INSERT INTO ${t} (code, body) SELECT CONCAT(code, 'x'), body FROM ${t} WHERE id < 3`,
  `INSERT INTO ${t} (code) VALUES ('a${run}')`, // 1062
  `UPDATE ${t} SET n = 5000 WHERE id = 2`, // 3819
  `UPDATE ${t} SET code = 'longer than eight' WHERE id = 2`, // 1406
  `INSERT INTO ${t} (code, body) VALUES ('f${run}', 'kept'), ('a${run}', 'not')`, // 1062 after one row
  'START TRANSACTION',
  `UPDATE ${t} SET body = 'in vain' WHERE id = 3`,
  `DELETE FROM ${t} WHERE id = 4`,
  'ROLLBACK',
  'START TRANSACTION',
  `UPDATE ${t} SET body = 'kept' WHERE id = 3`,
  'SAVEPOINT s',
  `INSERT INTO ${t} (code) VALUES ('g${run}')`,
  'ROLLBACK TO SAVEPOINT s',
  'COMMIT',
  `SELECT FOUND_ROWS(), @@warning_count, @@identity`,
];

/** All that a client is told of a statement; the table's name aside. */
async function answer(client: mysql.Connection, statement: string, table: string): Promise<unknown> {
  const plain = (text: string) =>
    text.replaceAll(`'${table}.`, "'_.").replace(/small_(t|plain)(__ss\d+)?/, 'small');
  try {
    const [result] = await client.query<ResultSetHeader | RowDataPacket[]>(statement);
    if (Array.isArray(result)) return result.map((row) => Object.values(row));
    const { affectedRows, insertId, info, warningStatus, changedRows } = result;
    const [warnings] = await client.query<RowDataPacket[]>('SHOW WARNINGS');
    return [
      { affectedRows, insertId, info, warningStatus, changedRows },
      warnings.map((row) => [row.Code, plain(String(row.Message))]),
    ];
  } catch (error) {
    const { errno, sqlState, message } = error as { errno: number; sqlState: string; message: string };
    return [errno, sqlState, plain(message)];
  }
}

async function contents(table: string): Promise<unknown> {
  const [rows] = await pipeline.application.query({
    sql: `SELECT id, code, body, n FROM ${table} ORDER BY id`,
    rowsAsArray: true,
  } as mysql.QueryOptions);
  return rows;
}

describe('a client that writes', () => {
  it('is told the same with capture and without, and all of it is in live after the swap', async () => {
    pipeline = await ByHand.open(
      inject('mysqlUrl'),
      SCHEMA,
      [definition('t'), definition('plain')],
      TABLES,
      SOURCE,
    );
    await pipeline.publish(ROWS);
    await pipeline.application.query('INSERT INTO plain SELECT * FROM t');
    const uri = new URL(inject('mysqlUrl'));
    uri.pathname = `/${SCHEMA}`;
    const client = await mysql.createConnection(uri.href);
    /** Session state is its own on each connection: transactions and LAST_INSERT_ID are said to both. */
    const saidToBoth = async (run: number) => {
      for (const [index, statement] of writes('t', run).entries()) {
        const twin = writes('plain', run)[index] ?? '';
        const seen = await answer(client, statement, 't');
        expect(seen, statement).toEqual(await answer(pipeline.application, twin, 'plain'));
      }
    };
    await saidToBoth(1); // in the rollback window, with its triggers
    expect(await contents('t')).toEqual(await contents('plain'));
    // What billing has is what was published: nothing but the clients' writes may change live.
    await pipeline.publish(ROWS, {
      captured: () => saidToBoth(2),
      merged: () => saidToBoth(3),
      replayed: () => saidToBoth(4),
    });
    expect(await contents('t')).toEqual(await contents('plain'));
    await saidToBoth(5); // the counter goes on where it was
    expect(await contents('t')).toEqual(await contents('plain'));
    await client.end();
  });
});

describe('a client that reads while a group is swapped', () => {
  const PARENT = 'CREATE TABLE parent (id INT PRIMARY KEY, version INT NOT NULL)';
  const CHILD =
    'CREATE TABLE child (id INT PRIMARY KEY, parent_id INT NOT NULL, version INT NOT NULL, CONSTRAINT of_parent FOREIGN KEY (parent_id) REFERENCES parent (id))';
  const GROUP = `
  - { source: dbo.Parent, live: parent, key: [id], columns: { id: Id, version: { from: Version, owner: source } } }
  - { source: dbo.Child, live: child, key: [id], columns: { id: Id, parent_id: ParentId, version: { from: Version, owner: source } } }`;
  const GROUP_SOURCE = [
    sourceTable('Parent', { Id: 'int', Version: 'int' }, ['Id']),
    sourceTable('Child', { Id: 'int', ParentId: 'int', Version: 'int' }, ['Id']),
  ];
  const version = (of: number): SourceRows => ({
    parent: Array.from({ length: 50 }, (_, at) => [at, of]),
    child: Array.from({ length: 50 }, (_, at) => [at, at, of]),
  });
  /** Retryable, and documented: the table's definition has changed; a deadlock with the lock. */
  const RETRYABLE = new Set([1412, 1213]);

  interface Seen {
    reads: number;
    retries: number;
    odd: string[];
  }

  /** Reads parent and child in one transaction, again and again: 50 rows, all of one version, the same in both. */
  async function read(
    connection: mysql.Connection,
    how: { isolation?: string; prepared: boolean },
    goOn: () => boolean,
  ): Promise<Seen> {
    const seen: Seen = { reads: 0, retries: 0, odd: [] };
    if (how.isolation) await connection.query(`SET SESSION TRANSACTION ISOLATION LEVEL ${how.isolation}`);
    const ask = async (table: string) => {
      const statement = `SELECT COUNT(*) AS n, MIN(version) AS low, MAX(version) AS high FROM ${table}`;
      const [rows] = how.prepared
        ? await connection.execute<RowDataPacket[]>(statement)
        : await connection.query<RowDataPacket[]>(statement);
      return JSON.stringify(Object.values(rows[0] ?? {}));
    };
    while (goOn()) {
      try {
        if (how.isolation) await connection.query('START TRANSACTION');
        const parent = await ask('parent');
        const child = await ask('child');
        if (how.isolation) await connection.query('COMMIT');
        seen.reads += 1;
        const whole = (text: string) => /^\[50,(\d+),\1\]$/.test(text);
        if (!whole(parent) || !whole(child)) seen.odd.push(`${parent} ${child}`);
        if (how.isolation && parent !== child) seen.odd.push(`half of the group: ${parent} ${child}`);
      } catch (error) {
        const { errno, message } = error as { errno: number; message: string };
        if (RETRYABLE.has(errno)) seen.retries += 1;
        else seen.odd.push(`${errno} ${message}`);
        await connection.query('ROLLBACK');
      }
    }
    return seen;
  }

  it('sees each version of it whole, in every isolation level, with autocommit and with prepared statements', async () => {
    pipeline = await ByHand.open(inject('mysqlUrl'), SCHEMA, [PARENT, CHILD], GROUP, GROUP_SOURCE);
    await pipeline.publish(version(1));
    const uri = new URL(inject('mysqlUrl'));
    uri.pathname = `/${SCHEMA}`;
    const levels = [undefined, 'READ UNCOMMITTED', 'READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE'];
    const hows = levels.flatMap((isolation) =>
      [false, true].map((prepared) => ({ ...(isolation ? { isolation } : {}), prepared })),
    );
    const connections = await Promise.all(hows.map(() => mysql.createConnection(uri.href)));
    let reading = true;
    const readers = hows.map((how, index) =>
      read(connections[index] as mysql.Connection, how, () => reading),
    );
    for (let of = 2; of <= 5; of += 1) await pipeline.publish(version(of));
    reading = false;
    const seen = await Promise.all(readers);
    for (const [index, { reads, odd }] of seen.entries()) {
      expect(odd, JSON.stringify(hows[index])).toEqual([]);
      expect(reads).toBeGreaterThan(10);
    }
    await Promise.all(connections.map((connection) => connection.end()));
  });
});

it('a transaction that writes tables in the order of their names is the victim of no deadlock, whatever a run locks', async () => {
  pipeline = await ByHand.open(
    inject('mysqlUrl'),
    SCHEMA,
    [
      'CREATE TABLE customer (id INT PRIMARY KEY, note VARCHAR(20))',
      'CREATE TABLE invoice (id INT PRIMARY KEY, customer_id INT NOT NULL, note VARCHAR(20), CONSTRAINT of_customer FOREIGN KEY (customer_id) REFERENCES customer (id))',
      "INSERT INTO customer VALUES (1, 'one')",
      "INSERT INTO invoice VALUES (1, 1, 'one')",
    ],
    `
  - { source: dbo.Customer, live: customer, key: [id], columns: { id: Id } }
  - { source: dbo.Invoice, live: invoice, key: [id], columns: { id: Id, customer_id: CustomerId } }`,
    [
      sourceTable('Customer', { Id: 'int' }, ['Id']),
      sourceTable('Invoice', { Id: 'int', CustomerId: 'int' }, ['Id']),
    ],
  );
  const url = new URL(inject('mysqlUrl'));
  url.pathname = `/${SCHEMA}`;
  const [client, looker] = await Promise.all([
    mysql.createConnection(url.href),
    mysql.createConnection(url.href),
  ]);
  let ended = false;
  let waited = 0;
  const isWaitedFor = async () => {
    const [rows] = await looker.query<RowDataPacket[]>(
      "SELECT 1 FROM information_schema.processlist WHERE db = DATABASE() AND state = 'Waiting for table metadata lock'",
    );
    return rows.length > 0;
  };
  const edits = (async () => {
    while (!ended) {
      await client.query('START TRANSACTION');
      await client.query("UPDATE customer SET note = 'edited' WHERE id = 1");
      for (let look = 0; look < 20 && !ended; look += 1)
        if (await isWaitedFor()) {
          waited += 1;
          break;
        }
      await client.query("UPDATE invoice SET note = 'edited' WHERE id = 1");
      await client.query('COMMIT');
    }
  })();
  const failed = edits.catch((error: Error) => error.message);
  try {
    for (let run = 0; run < 2; run += 1) await pipeline.publish({ customer: [[1]], invoice: [[1, 1]] });
  } finally {
    ended = true;
    expect(await failed).toBeUndefined();
    await Promise.all([client.end(), looker.end()]);
  }
  expect(waited).toBeGreaterThan(3); // capture of both tables, and the swap
});
