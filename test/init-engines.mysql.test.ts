import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import type { ConnectionPool } from 'mssql';
import mysql, { type Connection } from 'mysql2/promise';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { type SqlServerEngine, startSqlServer } from '../demo/engines/sql-server.js';
import { parseMssqlAddress } from '../src/config/address.js';
import { loadConfig } from '../src/config/load.js';
import { openSource } from '../src/sql-server/connection.js';
import { readSourceTables, type SourceTable } from '../src/sql-server/schema.js';

const NAME = `stageswap_test_init_${process.pid}`;

let sqlServer: SqlServerEngine;
let server: ConnectionPool;
let pool: ConnectionPool;
let connection: Connection;
let folder: string;
let env: { MSSQL_URL: string; MYSQL_URL: string };

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'stageswap-init-'));
  sqlServer = await startSqlServer(() => {}, { databases: [`${NAME}_first`] });
  server = await openSource({ ...parseMssqlAddress(sqlServer.url), database: 'master' });
  await server.request().batch(`CREATE DATABASE ${NAME}`);
  const url = new URL(sqlServer.url);
  url.pathname = `/${NAME}`;
  pool = await openSource(parseMssqlAddress(url.href));
  for (const statement of [
    `CREATE TABLE dbo.Customer (
       CustomerId INT IDENTITY(1,1) NOT NULL,
       Email NVARCHAR(60) NULL,
       Balance DECIMAL(12,2) NOT NULL,
       SeenAt DATETIME2(3) NULL,
       Note VARCHAR(MAX) NULL,
       CONSTRAINT PK_Customer PRIMARY KEY (CustomerId))`,
    'CREATE UNIQUE INDEX UX_Email ON dbo.Customer (Email, Balance)',
    `CREATE TABLE dbo.InvoiceLine (
       InvoiceId BIGINT NOT NULL, LineNumber SMALLINT NOT NULL, CustomerId INT NOT NULL,
       CONSTRAINT PK_InvoiceLine PRIMARY KEY (LineNumber, InvoiceId),
       CONSTRAINT FK_Line_Customer FOREIGN KEY (CustomerId) REFERENCES dbo.Customer (CustomerId))`,
    'CREATE TABLE dbo.Unrelated (Id INT NOT NULL PRIMARY KEY)',
    "INSERT INTO dbo.Customer (Email, Balance) VALUES (N'a@b', 1.50)",
  ]) {
    await pool.request().batch(statement);
  }
  connection = await mysql.createConnection(inject('mysqlUrl'));
  await connection.query(`CREATE DATABASE ${NAME}`);
  await connection.query(`USE ${NAME}`);
  await connection.query(
    `CREATE TABLE customer (customer_id INT PRIMARY KEY, email VARCHAR(60), balance DECIMAL(12,2) NOT NULL,
       seen_at DATETIME(3), note LONGTEXT, own TEXT) CHARACTER SET utf8mb4`,
  );
  await connection.query(
    `CREATE TABLE invoice_lines (line_number SMALLINT, invoice_id BIGINT, customer_id INT NOT NULL,
       PRIMARY KEY (invoice_id, line_number),
       CONSTRAINT line_customer FOREIGN KEY (customer_id) REFERENCES customer (customer_id))`,
  );
  env = { MSSQL_URL: url.href, MYSQL_URL: new URL(NAME, inject('mysqlUrl')).href };
});

afterAll(async () => {
  await pool?.close();
  await server?.request().batch(`DROP DATABASE ${NAME}`);
  await server?.close();
  await connection?.query(`DROP DATABASE IF EXISTS ${NAME}`);
  await connection?.end();
  await sqlServer?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function table(name: string): Promise<SourceTable> {
  const [found] = await readSourceTables(pool, [{ schema: 'DBO', table: name.toLowerCase() }]);
  if (!found) throw new Error(`${name} was not found`);
  return found;
}

test('source columns are described as they are', async () => {
  const { schema, name, columns } = await table('Customer');
  expect({ schema, name }).toEqual({ schema: 'dbo', name: 'Customer' });
  expect(columns).toMatchObject([
    { name: 'CustomerId', type: 'int', nullable: false, identity: true, computed: false, collation: null },
    { name: 'Email', type: 'nvarchar', maxLengthBytes: 120, nullable: true, identity: false },
    { name: 'Balance', type: 'decimal', precision: 12, scale: 2, nullable: false },
    { name: 'SeenAt', type: 'datetime2', scale: 3 },
    { name: 'Note', type: 'varchar', maxLengthBytes: -1 },
  ]);
  expect(columns[1]?.collation).toMatch(/_CI_/);
});

test('source keys keep the order of their columns', async () => {
  expect((await table('InvoiceLine')).primaryKey).toEqual(['LineNumber', 'InvoiceId']);
  expect((await table('Customer')).uniqueIndexes).toEqual([
    { name: 'UX_Email', columns: ['Email', 'Balance'] },
  ]);
});

test('source foreign keys name both ends', async () => {
  expect((await table('InvoiceLine')).foreignKeys).toEqual([
    {
      name: 'FK_Line_Customer',
      columns: ['CustomerId'],
      referencedSchema: 'dbo',
      referencedTable: 'Customer',
      referencedColumns: ['CustomerId'],
    },
  ]);
});

test('every source table is listed if none is asked for', async () => {
  expect((await readSourceTables(pool)).map(({ name }) => name)).toEqual([
    'Customer',
    'InvoiceLine',
    'Unrelated',
  ]);
});

function stageswap(...args: string[]) {
  const main = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url));
  return execa(process.execPath, ['--import', 'tsx', main, ...args], { reject: false, env });
}

const INIT = ['init', '--source-env', 'MSSQL_URL', '--target-env', 'MYSQL_URL'];

test('init writes a configuration that loads and passes check, and never overwrites one', async () => {
  const file = join(folder, 'stageswap.yaml');
  const args = [...INIT, '--map', 'dbo.InvoiceLine=invoice_lines', '--out', file];
  const { stdout, stderr, exitCode } = await stageswap(...args);
  expect(exitCode, stderr).toBe(0);
  expect(stdout).toContain('publishes customer, invoice_lines');
  expect(stderr).toContain('dbo.Unrelated: no live table of that name');
  const config = loadConfig(file, env);
  expect(config).toMatchObject({ pipeline: NAME.replaceAll('_', '-'), firstRun: 'source' });
  expect(config.tables.map((one) => [one.source, one.live, one.key])).toEqual([
    ['dbo.Customer', 'customer', ['customer_id']],
    ['dbo.InvoiceLine', 'invoice_lines', ['invoice_id', 'line_number']],
  ]);
  expect(readFileSync(file, 'utf8')).toContain("live's own is left alone: no source column of that name");

  const checked = await stageswap('check', '--json', '--config', file);
  expect(JSON.parse(checked.stdout)).toMatchObject({ refusals: [] });
  expect(checked.exitCode).toBe(0);

  const again = await stageswap(...args);
  expect(again.exitCode).toBe(2);
  expect(again.stderr).toContain('exists');
});

test('init wants --first-run where live has rows', async () => {
  await connection.query("INSERT INTO customer VALUES (1, 'a@b', 1.5, NULL, NULL, NULL)");
  const args = [
    ...INIT,
    '--map',
    'dbo.InvoiceLine=invoice_lines',
    '--json',
    '--out',
    join(folder, 'rows.yaml'),
  ];
  const without = await stageswap(...args);
  expect(without.exitCode).toBe(2);
  expect(without.stderr).toContain('customer has rows');
  const { stdout, exitCode } = await stageswap(...args, '--first-run', 'live');
  expect(exitCode).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ tables: ['customer', 'invoice_lines'] });
  expect(loadConfig(join(folder, 'rows.yaml'), env).firstRun).toBe('live');
});

test('check exits with 3 and names what a run would refuse', async () => {
  const file = join(folder, 'stageswap.yaml');
  const long = `own_${'x'.repeat(56)}`;
  await connection.query(`CREATE TRIGGER ${long} BEFORE UPDATE ON customer FOR EACH ROW SET NEW.own = 1`);
  const { stdout, exitCode } = await stageswap('check', '--config', file);
  expect(exitCode).toBe(3);
  expect(stdout).toContain(long);
  expect(stdout).toContain('cure:');
});
