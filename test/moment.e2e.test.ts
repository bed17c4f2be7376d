import mssql from 'mssql';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { startSqlServer } from '../demo/engines/sql-server.js';
import { parseMssqlAddress } from '../src/config/address.js';
import type { TableSpec } from '../src/model/spec.js';
import { openSource } from '../src/sql-server/connection.js';
import { beginSnapshotTransaction } from '../src/sql-server/moment.js';
import { readRange } from '../src/sql-server/read.js';
import { PipelineUnderTest } from './support/pipeline-under-test.js';

/** One moment of the source where it makes no database snapshot: a SNAPSHOT transaction over the whole group. */
const TABLE = 'stageswap_test_account';
let engine: Awaited<ReturnType<typeof startSqlServer>>;
let pool: mssql.ConnectionPool;

beforeAll(async () => {
  engine = await startSqlServer(() => {}, {
    databases: ['stageswap_test_moment'],
    arguments: ['--no-database-snapshots'],
  });
  const address = parseMssqlAddress(engine.url);
  pool = await openSource(address, { connectionsMax: 3 });
  await pool.request().batch(`ALTER DATABASE [${address.database}] SET ALLOW_SNAPSHOT_ISOLATION ON`);
  await pool.request().batch(`DROP TABLE IF EXISTS dbo.${TABLE}`);
  await pool.request().batch(`CREATE TABLE dbo.${TABLE} (Id int NOT NULL PRIMARY KEY, Amount int NOT NULL)`);
});
afterAll(async () => {
  await pool?.close();
  await engine?.stop();
});

const column = (name: string) => ({
  source: { name, type: 'int', maxLengthBytes: 4, precision: 10, scale: 0 },
  live: {
    name: name.toLowerCase(),
    type: 'int',
    columnType: 'int',
    nullable: false,
    charset: null,
    collation: null,
    precision: 10,
    scale: 0,
    fractionDigits: null,
  },
});
const account: TableSpec = {
  source: { schema: 'dbo', table: TABLE },
  live: 'account',
  ordinal: 0,
  key: ['id'],
  columns: [column('Id'), column('Amount')],
  unmapped: [],
  units: [],
  foreignKeys: [],
  uniqueIndexes: [],
  onSourceDelete: 'delete',
  onLiveDelete: 'respect',
  fingerprint: '',
};

/** Reads accounts 1 to 9 and those from 10 on in two statements; between them 100 moves from the second half to the first. */
async function sumReadIn(begin: () => Promise<mssql.Transaction>): Promise<number> {
  await pool.request().batch(`DELETE FROM dbo.${TABLE}`);
  await pool.request().batch(`INSERT INTO dbo.${TABLE} (Id, Amount) VALUES (1, 100), (20, 500)`);
  const transaction = await begin();
  let sum = 0;
  const sink = {
    write(fields: (string | null)[]) {
      sum += Number(fields[1]);
      return true;
    },
    drained: async () => {},
  };
  const never = new AbortController().signal;
  await readRange(transaction, account, null, ['10'], sink, never);
  await pool
    .request()
    .batch(
      `BEGIN TRANSACTION; UPDATE dbo.${TABLE} SET Amount = Amount + 100 WHERE Id = 1; UPDATE dbo.${TABLE} SET Amount = Amount - 100 WHERE Id = 20; COMMIT`,
    );
  await readRange(transaction, account, ['10'], null, sink, never);
  await transaction.rollback();
  return sum;
}

describe('a source without database snapshots', () => {
  it('is read as of one moment, also when money moves between two reads', async () => {
    expect(await sumReadIn(() => beginSnapshotTransaction(pool, `SELECT TOP (1) Id FROM dbo.${TABLE}`))).toBe(
      600,
    );
  });

  it('would be read torn if the isolation level were forgotten: this source shows that fault', async () => {
    const forgetful = async () => {
      const transaction = new mssql.Transaction(pool);
      await transaction.begin();
      return transaction;
    };
    expect(await sumReadIn(forgetful)).toBe(500);
  });

  it('is published through a transaction, and the report says so', async () => {
    const pipeline = await PipelineUnderTest.create({
      name: 'moment',
      mysqlUrl: inject('mysqlUrl'),
      mssqlUrl: engine.url,
      temporalAddress: inject('temporalAddress'),
      moment: engine.standIn ? 'auto' : 'transaction',
      customers: 1_000,
      invoices: 3_000,
    });
    try {
      pipeline.startWorker();
      const source = pipeline.billing.saysNow();
      const { report, exitCode } = await pipeline.stageswap('run', '--yes');
      expect(report, JSON.stringify(report)).toMatchObject({ outcome: 'published', moment: 'transaction' });
      if (engine.standIn) expect(report).toMatchObject({ momentBecause: expect.stringMatching(/\w/) });
      expect(exitCode).toBe(0);
      pipeline.wasPublished(source);
      expect(await pipeline.wrongInLive()).toEqual([]);
    } finally {
      await pipeline.end();
    }
  });
});
