import mysql, { type Connection, type RowDataPacket } from 'mysql2/promise';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import type { NotYet } from '../activities/cut-over.js';
import { ByHand, type SourceRows, sourceTable } from './support/by-hand.js';

/** Readers that repeat their reads: after the swap they read what they may see, or an error that says "try again". */
const TABLES = '  - { source: dbo.Customer, live: customer, key: [id], columns: { id: Id, email: Email } }\n';
const SOURCE = [sourceTable('Customer', { Id: 'int', Email: 'nvarchar' }, ['Id'])];
const ROWS: SourceRows = {
  customer: [
    [1, 'a@x'],
    [2, 'b@x'],
  ],
};
const DEFINITION_CHANGED = 1412;

let pipeline: ByHand;
let connections: Connection[];
beforeEach(async () => {
  const definition = 'CREATE TABLE customer (id INT PRIMARY KEY, email VARCHAR(40))';
  const options = { lockAttemptMsMax: 50 };
  const open = ByHand.open(
    inject('mysqlUrl'),
    'stageswap_test_snapshots',
    [definition],
    TABLES,
    SOURCE,
    options,
  );
  pipeline = await open;
  connections = [];
});
afterEach(async () => {
  for (const connection of connections) connection.destroy();
  await pipeline?.close();
});

async function connect(): Promise<Connection> {
  const connection = await mysql.createConnection({ uri: `${inject('mysqlUrl')}${pipeline.schema}` });
  connections.push(connection);
  return connection;
}
async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 2));
}
const first = (reader: Connection) => reader.query('SELECT email FROM customer WHERE id = 1');
const snapshot = (reader: Connection) => reader.query('START TRANSACTION WITH CONSISTENT SNAPSHOT');

describe('a reader in REPEATABLE READ', () => {
  it('whose snapshot is older than the load of stage gets a retryable error, not an empty table', async () => {
    await pipeline.publish(ROWS);
    const reader = await connect();
    await snapshot(reader);
    await pipeline.publish(ROWS);
    await expect(first(reader)).rejects.toMatchObject({ errno: DEFINITION_CHANGED });
    await reader.query('ROLLBACK');
    expect((await first(reader))[0]).toEqual([{ email: 'a@x' }]);
  });

  it('whose snapshot is older than a replay between two calls of the cut-over gets that error', async () => {
    await pipeline.publish(ROWS);
    await pipeline.beforeCutOver(ROWS);
    const [blocker, reader] = [await connect(), await connect()];
    await blocker.query('START TRANSACTION');
    await first(blocker);
    const late = (await pipeline.tryCutOver(undefined, Date.now() + 1_500)) as NotYet;
    expect(late).toMatchObject({ notYet: 'late', tried: { isStale: false } });
    await blocker.query('COMMIT');
    await pipeline.application.query("UPDATE customer SET email = 'edit@x' WHERE id = 1");
    await snapshot(reader);
    await pipeline.again('replay', 2);
    expect(await pipeline.tryCutOver(late.tried)).toMatchObject({ replayedUnderLock: 0 });
    await expect(first(reader)).rejects.toMatchObject({ errno: DEFINITION_CHANGED });
    await reader.query('ROLLBACK');
    expect((await first(reader))[0]).toEqual([{ email: 'edit@x' }]);
  });

  it('whose snapshot is older than a replay before the lock gets that error, not the edit’s old value', async () => {
    await pipeline.publish(ROWS);
    const [blocker, editor, reader, observer] = await Promise.all([
      connect(),
      connect(),
      connect(),
      connect(),
    ]);
    const waiting = async () => {
      const [rows] = await observer.query<RowDataPacket[]>(
        'SELECT COUNT(*) AS n FROM _ss2l_customer WHERE _ss_applied <> 1',
      );
      return Number(rows[0]?.n) > 0;
    };
    const lockWasRefused = async () => {
      const [rows] = await observer.query<RowDataPacket[]>(
        "SELECT 1 AS found FROM performance_schema.metadata_locks WHERE object_schema = DATABASE() AND lock_type = 'SHARED_NO_READ_WRITE' AND lock_status = 'PENDING'",
      );
      return rows.length > 0;
    };
    const edited = async () => {
      await until(lockWasRefused); // the barrier of the first attempt is up
      // A snapshot between an edit and its replay; where the replay was quicker, another one.
      do {
        await reader.query('ROLLBACK');
        await editor.query("UPDATE customer SET email = CONCAT('c', email) WHERE id = 1");
        await snapshot(reader);
      } while (!(await waiting()));
      await until(async () => !(await waiting()));
      await blocker.query('COMMIT');
    };
    let editing: Promise<void> | undefined;
    await pipeline.publish(ROWS, {
      replayed: async () => {
        await blocker.query('START TRANSACTION');
        await first(blocker); // holds the table, so that the lock is refused again and again
        editing = edited();
      },
    });
    await editing;
    await expect(first(reader)).rejects.toMatchObject({ errno: DEFINITION_CHANGED });
    await reader.query('ROLLBACK');
    expect((await first(reader))[0]).toEqual([{ email: expect.stringMatching(/^c+a@x$/) }]);
  });
});
