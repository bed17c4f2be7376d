import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import mssql from 'mssql';
import mysql from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { parseMssqlAddress } from '../src/config/address.js';
import { snapshotDatabase } from '../src/model/names.js';
import type { Report } from '../src/model/report.js';
import { openSource } from '../src/sql-server/connection.js';
import { createDatabaseSnapshot } from '../src/sql-server/moment.js';

/** The whole sync as a user runs it: the built command line, a worker process, Temporal, MySQL and a T-SQL source. */
const SCHEMA = 'stageswap_test_e2e';
const CUSTOMERS = 2_500;
const folder = mkdtempSync(join(tmpdir(), 'ssw-e2e-'));
const file = join(folder, 'stageswap.yaml');
const cli = join(import.meta.dirname, '..', 'dist', 'src', 'cli', 'main.js');

const target = new URL(inject('mysqlUrl'));
target.pathname = `/${SCHEMA}`;
const environment = {
  MYSQL_URL: target.href,
  MSSQL_URL: inject('mssqlUrl'),
  TEMPORAL_ADDRESS: inject('temporalAddress'),
};

let source: mssql.ConnectionPool;
let application: mysql.Connection;
let worker: { kill(signal: 'SIGTERM'): boolean } & PromiseLike<unknown>;

const configuration = (moment: string) => `
pipeline: e2e
source: { url: "\${MSSQL_URL}", moment: ${moment} }
target: { url: "\${MYSQL_URL}" }
firstRun: source
cutOver: { heldMsMax: 600000 }
chunkRows: 400
tables:
  - source: dbo.Customer
    live: customer
    key: [customer_id]
    columns:
      customer_id: CustomerId
      name: Name
      email: Email
      balance: { from: Balance, owner: source }
      since: Since
      changed_at: ChangedAt
`;

beforeAll(async () => {
  const address = parseMssqlAddress(environment.MSSQL_URL);
  source = await new mssql.ConnectionPool({
    server: address.host,
    port: address.port,
    user: address.user,
    password: address.password,
    database: address.database,
    options: { encrypt: address.encrypt, trustServerCertificate: true, useUTC: true },
  }).connect();
  await source.request().batch(`ALTER DATABASE [${address.database}] SET ALLOW_SNAPSHOT_ISOLATION ON`);
  await source.request().batch('DROP TABLE IF EXISTS dbo.Customer');
  await source
    .request()
    .batch(
      'CREATE TABLE dbo.Customer (CustomerId bigint NOT NULL PRIMARY KEY, Name nvarchar(80) NOT NULL, Email nvarchar(80) NULL, Balance decimal(19,4) NOT NULL, Since date NULL, ChangedAt datetime2(6) NULL)',
    );
  for (let from = 1; from <= CUSTOMERS; from += 500) {
    const rows = Array.from({ length: 500 }, (_, index) => {
      const id = from + index;
      const email = id % 7 === 0 ? 'NULL' : `N'c${id}@old.example'`;
      return `(${id}, N'Zoë \\ ${id}', ${email}, 12345678901234.${String(id % 10_000).padStart(4, '0')}, '2020-02-29', '2024-05-06 07:08:09.123456')`;
    });
    await source
      .request()
      .batch(
        `INSERT INTO dbo.Customer (CustomerId, Name, Email, Balance, Since, ChangedAt) VALUES ${rows.join(', ')}`,
      );
  }
  const server = await mysql.createConnection(inject('mysqlUrl'));
  await server.query(`DROP DATABASE IF EXISTS ${SCHEMA}`);
  await server.query(`CREATE DATABASE ${SCHEMA} CHARACTER SET utf8mb4`);
  await server.end();
  application = await mysql.createConnection({
    uri: target.href,
    charset: 'utf8mb4',
    dateStrings: true,
    supportBigNumbers: true,
  });
  await application.query(
    'CREATE TABLE customer (customer_id BIGINT PRIMARY KEY, name VARCHAR(80) NOT NULL, email VARCHAR(80), balance DECIMAL(19,4), since DATE, changed_at DATETIME(6), portal_note VARCHAR(40))',
  );
  writeFileSync(file, configuration('auto'));
  worker = execa('node', [cli, 'worker', '--config', file], { env: environment, reject: false, all: true });
});
afterAll(async () => {
  worker?.kill('SIGTERM');
  await worker;
  await application?.end();
  await source?.close();
});

async function stageswap(
  ...rest: string[]
): Promise<{ exitCode: number | undefined; report: Report; stderr: string }> {
  const done = await execa('node', [cli, ...rest, '--config', file, '--json'], {
    env: environment,
    reject: false,
  });
  if (!done.stdout) throw new Error(done.stderr);
  return { exitCode: done.exitCode, report: JSON.parse(done.stdout) as Report, stderr: done.stderr };
}

/** A worker that hangs keeps the database snapshot of an earlier run in use, so that it cannot be dropped. */
async function readOldSnapshot(): Promise<mssql.ConnectionPool> {
  const address = parseMssqlAddress(environment.MSSQL_URL);
  const snapshot = snapshotDatabase(address.database, 'e2e', 1);
  await createDatabaseSnapshot(source, address.database, snapshot);
  const reader = await openSource({ ...address, database: snapshot }, { connectionsMax: 1 });
  await reader.request().query('SELECT TOP (1) CustomerId FROM dbo.Customer');
  return reader;
}

describe('a whole sync from a T-SQL source', () => {
  it('publishes, merges with what clients changed, and rolls back', async () => {
    const first = await stageswap('run', '--yes');
    expect(first.report, JSON.stringify(first.report)).toMatchObject({ outcome: 'published' });
    expect(first.exitCode).toBe(0);
    expect(first.report.tables[0]).toMatchObject({
      rowsRead: CUSTOMERS,
      rowsStaged: CUSTOMERS,
      inserted: CUSTOMERS,
      chunks: 7,
      chunksVerified: 7,
    });
    const [rows] = await application.query('SELECT * FROM customer WHERE customer_id IN (7, 42)');
    expect(rows).toEqual([
      {
        customer_id: 7,
        name: 'Zoë \\ 7',
        email: null,
        balance: '12345678901234.0007',
        since: '2020-02-29',
        changed_at: '2024-05-06 07:08:09.123456',
        portal_note: null,
      },
      {
        customer_id: 42,
        name: 'Zoë \\ 42',
        email: null,
        balance: '12345678901234.0042',
        since: '2020-02-29',
        changed_at: '2024-05-06 07:08:09.123456',
        portal_note: null,
      },
    ]);

    await application.query('ANALYZE TABLE customer UPDATE HISTOGRAM ON since, balance WITH 16 BUCKETS');
    await application.query('ANALYZE TABLE customer UPDATE HISTOGRAM ON email WITH 8 BUCKETS AUTO UPDATE');
    const histograms = async () => {
      const [found] = await application.query<mysql.RowDataPacket[]>(
        `SELECT column_name AS name, histogram->>'$."number-of-buckets-specified"' AS buckets, histogram->>'$."auto-update"' AS auto_update FROM information_schema.column_statistics WHERE schema_name = DATABASE() AND table_name = 'customer' ORDER BY column_name`,
      );
      return found;
    };
    const wanted = await histograms();
    expect(wanted).toHaveLength(3);
    await application.query(
      "UPDATE customer SET email = 'client@example', portal_note = 'vip' WHERE customer_id <= 10",
    );
    await source
      .request()
      .batch(
        "UPDATE dbo.Customer SET Email = N'billing@example', Balance = 1 WHERE CustomerId BETWEEN 6 AND 20",
      );
    const hanging = await readOldSnapshot();
    const second = await stageswap('run');
    expect(second.report, JSON.stringify(second.report)).toMatchObject({
      outcome: 'published',
      moment: 'snapshot',
    });
    await hanging.close();
    expect(second.report.tables[0]).toMatchObject({ updated: 15, conflicts: 5 });
    expect(await histograms()).toEqual(wanted);
    const values = async () => {
      const [found] = await application.query<mysql.RowDataPacket[]>(
        'SELECT customer_id AS id, email, balance FROM customer WHERE customer_id IN (5, 8, 20) ORDER BY id',
      );
      return found.map((row) => [row.id, row.email, row.balance]);
    };
    expect(await values()).toEqual([
      [5, 'client@example', '12345678901234.0005'],
      [8, 'client@example', '1.0000'],
      [20, 'billing@example', '1.0000'],
    ]);

    await application.query("UPDATE customer SET email = 'since@example' WHERE customer_id = 20");
    const back = await stageswap('rollback');
    expect(back.report, JSON.stringify(back.report)).toMatchObject({ outcome: 'rolledBack' });
    expect(await histograms()).toEqual(wanted);
    expect(await values()).toEqual([
      [5, 'client@example', '12345678901234.0005'],
      [8, 'client@example', '12345678901234.0008'],
      [20, 'since@example', '12345678901234.0020'],
    ]);
    const held = await stageswap('run');
    expect(held.exitCode).toBe(3);
  });
});
