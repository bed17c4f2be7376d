import { setTimeout as sleep } from 'node:timers/promises';
import mysql, { type Connection, type RowDataPacket } from 'mysql2/promise';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { CutOver } from '../activities/cut-over.js';
import { replayPending } from '../activities/replay.js';
import { type MySqlEngine, startMySql } from '../demo/engines/mysql.js';
import { ByHand, type ByHandOptions, type SourceRows, sourceTable } from './support/by-hand.js';

/** What is drained under the lock, and what readers see of it who repeat their reads. */
const SCHEMA = 'stageswap_test_drain';
const DEFINITION = 'CREATE TABLE t (id INT PRIMARY KEY, body VARCHAR(20), code INT UNIQUE)';
const TABLES = '  - { source: dbo.T, live: t, key: [id], columns: { id: Id, body: Body, code: Code } }\n';
const SOURCE = [sourceTable('T', { Id: 'int', Body: 'nvarchar', Code: 'int' }, ['Id'])];

let engine: MySqlEngine;
let pipeline: ByHand;
let connections: Connection[] = [];
// its own: transactions of other tests are old snapshots, too
beforeAll(async () => {
  engine = await startMySql(() => {}, { owned: true });
});
afterAll(() => engine?.stop());
const open = async (options: ByHandOptions) => {
  pipeline = await ByHand.open(engine.url, SCHEMA, [DEFINITION], TABLES, SOURCE, options);
};
async function connect(): Promise<Connection> {
  const connection = await mysql.createConnection({ uri: `${engine.url}${SCHEMA}` });
  connections.push(connection);
  return connection;
}
afterEach(async () => {
  for (const connection of connections) connection.destroy();
  connections = [];
  await pipeline?.close();
});

describe('edits that come while the lock is pending', () => {
  const ROWS: SourceRows = { t: Array.from({ length: 5_000 }, (_, at) => [at + 1, 'published', at]) };

  it('are merged outside of it where they are many, and the lock is asked for again', async () => {
    await open({ chunkRows: 5_000 });
    await pipeline.publish(ROWS);
    await pipeline.publish(ROWS, {
      locking: () => pipeline.application.query("UPDATE t SET body = 'client'"),
    });
    const [[run] = []] = await pipeline.application.query<RowDataPacket[]>(
      'SELECT CAST(cut_over AS CHAR) AS figures FROM _stageswap_run WHERE generation = 2',
    );
    expect(JSON.parse(run?.figures) as CutOver).toMatchObject({
      attempts: 2,
      replayedBefore: 5_000,
      replayedUnderLock: 0,
    });
    const [kept] = await pipeline.application.query<RowDataPacket[]>(
      "SELECT COUNT(*) AS n FROM t WHERE body = 'client'",
    );
    expect(kept).toEqual([{ n: 5_000 }]);
  });

  it('are said where they are why the lock was given back for the last time', async () => {
    await open({ chunkRows: 5_000, cutOver: 'attemptsMax: 1' });
    await pipeline.publish(ROWS);
    const swapped = pipeline.publish(ROWS, {
      locking: () => pipeline.application.query("UPDATE t SET body = 'client'"),
    });
    await expect(swapped).rejects.toThrow(/the last was given back, since more than 400 edits had come/);
  });
});

it('is refused where not as many edits were merged under the lock as were pending', async () => {
  await open({});
  const rows: SourceRows = { t: [[1, 'old', 1]] };
  await pipeline.publish(rows);
  const spec = await pipeline.beforeCutOver(rows);
  await pipeline.application.query("UPDATE t SET body = 'client' WHERE id = 1");
  await expect(replayPending(pipeline.session, spec, [2])).rejects.toThrow(
    '2 edits were pending under the lock, and 1 were merged',
  );
});

/** Instant changes that a table has had: two a barrier, of which one is raised before the lock. */
async function instantChanges(table: string): Promise<number> {
  const [[row] = []] = await pipeline.application.query<RowDataPacket[]>(
    'SELECT total_row_versions AS n FROM information_schema.innodb_tables WHERE name = ?',
    [`${SCHEMA}/${table}`],
  );
  return Number(row?.n);
}

/**
 * A cut-over that merges an edit under the lock: somebody holds the table until the edit is in the log.
 * @param edited what comes right after the edit
 */
async function drainOneEdit(edited: () => Promise<unknown> = async () => {}): Promise<void> {
  const rows: SourceRows = { t: [[1, 'old', 1]] };
  await pipeline.publish(rows);
  await pipeline.beforeCutOver(rows);
  const holder = await connect();
  await holder.query('START TRANSACTION');
  await holder.query('SELECT * FROM t');
  const done = pipeline.tryCutOver();
  while ((await instantChanges('_ss2s_t')) < 2) await sleep(5); // the barrier before the lock is up
  await pipeline.application.query("UPDATE t SET body = 'client' WHERE id = 1");
  await edited();
  await holder.query('COMMIT');
  expect(await done).toMatchObject({ replayedUnderLock: 1 });
}

describe('a reader whose snapshot is older than what is merged under the lock', () => {
  const DEFINITION_CHANGED = 1412;
  async function readsNothingOld(): Promise<void> {
    const reader = await connect();
    await drainOneEdit(async () => {
      await reader.query('START TRANSACTION WITH CONSISTENT SNAPSHOT');
    });
    const read = reader.query('SELECT body FROM t WHERE id = 1');
    await expect(read).rejects.toMatchObject({ errno: DEFINITION_CHANGED });
  }
  it('gets the retryable error', async () => {
    await open({});
    await readsNothingOld();
  });

  it('gets it, too, where a monitor keeps InnoDB from refreshing its list of transactions', async () => {
    await open({});
    const monitor = await connect();
    let watched: Promise<unknown> | undefined;
    const watch = () => {
      watched = monitor.query('SELECT COUNT(*) FROM information_schema.innodb_trx').catch(() => {});
    };
    const timer = setInterval(watch, 20);
    try {
      await readsNothingOld();
    } finally {
      clearInterval(timer);
      await watched;
    }
  });

  it('is looked for: where there is none, no barrier costs time under the lock', async () => {
    await open({});
    await drainOneEdit();
    expect(await instantChanges('t')).toBe(2);
  });
});
