import { setTimeout as sleep } from 'node:timers/promises';
import type mssql from 'mssql';
import mysql, { type Connection } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { parseMssqlAddress, parseMysqlAddress } from '../src/config/address.js';
import type { LiveColumn, TableSpec } from '../src/model/spec.js';
import { Session } from '../src/mysql/connection.js';
import { isPassing as isPassingAtTarget } from '../src/mysql/errors.js';
import { loadRows, RowStream } from '../src/mysql/load.js';
import { sql } from '../src/sql/text.js';
import { isPassing as isPassingAtSource, openSource } from '../src/sql-server/connection.js';
import { countRows, readRange } from '../src/sql-server/read.js';
import { TcpProxy } from './support/proxy.js';

/** Every way in which a bulk transfer can break ends it, and is told as trouble that passes. */
const SCHEMA = 'stageswap_test_cut';
const ROWS = 20_000;
const column = (name: string, type: string, columnType: string): LiveColumn => ({
  name,
  type,
  columnType,
  nullable: true,
  charset: type === 'varchar' ? 'utf8mb4' : null,
  collation: type === 'varchar' ? 'utf8mb4_0900_ai_ci' : null,
  precision: null,
  scale: null,
  fractionDigits: null,
});
const from = (name: string, type: string) => ({ name, type, maxLengthBytes: 8, precision: 19, scale: 0 });
const table: TableSpec = {
  source: { schema: 'dbo', table: 'CutRows' },
  live: 'cut_rows',
  ordinal: 0,
  key: ['id'],
  columns: [
    { source: from('Id', 'bigint'), live: column('id', 'bigint', 'bigint') },
    { source: from('Text', 'nvarchar'), live: column('text', 'varchar', 'varchar(200)') },
  ],
  unmapped: [],
  units: [],
  foreignKeys: [],
  uniqueIndexes: [],
  onSourceDelete: 'delete',
  onLiveDelete: 'respect',
  fingerprint: '',
};

let toSource: TcpProxy;
let toTarget: TcpProxy;
let billing: mssql.ConnectionPool;
let server: Connection;

beforeAll(async () => {
  toSource = await TcpProxy.before(inject('mssqlUrl'));
  toTarget = await TcpProxy.before(inject('mysqlUrl'));
  billing = await openSource(parseMssqlAddress(inject('mssqlUrl')));
  await billing.request().batch('DROP TABLE IF EXISTS dbo.CutRows');
  await billing
    .request()
    .batch('CREATE TABLE dbo.CutRows (Id bigint NOT NULL PRIMARY KEY, Text nvarchar(200) NULL)');
  for (let id = 0; id < ROWS; id += 500) {
    const rows = Array.from({ length: 500 }, (_, index) => `(${id + index}, N'${'x'.repeat(150)}')`);
    await billing.request().batch(`INSERT INTO dbo.CutRows (Id, Text) VALUES ${rows.join(', ')}`);
  }
  server = await mysql.createConnection(inject('mysqlUrl'));
  await server.query(`DROP DATABASE IF EXISTS ${SCHEMA}`);
  await server.query(`CREATE DATABASE ${SCHEMA} CHARACTER SET utf8mb4`);
  await server.query(
    `CREATE TABLE ${SCHEMA}.cut_rows (id BIGINT PRIMARY KEY, text VARCHAR(200), _ss_chunk INT NOT NULL, _ss_crc INT UNSIGNED)`,
  );
});
afterAll(async () => {
  await billing?.request().batch('DROP TABLE IF EXISTS dbo.CutRows');
  await billing?.close();
  await server?.query(`DROP DATABASE IF EXISTS ${SCHEMA}`);
  await server?.end();
  await toSource?.end();
  await toTarget?.end();
});

const never = new AbortController().signal;

describe('a source whose connection is cut', () => {
  it.each(['while rows arrive', 'while reading waits for the sink'])('%s fails as passing', async (when) => {
    const pool = await openSource(parseMssqlAddress(toSource.through(inject('mssqlUrl'))));
    const waits = when !== 'while rows arrive';
    let rows = 0;
    let makeRoom = () => {};
    const room = new Promise<void>((resolve) => {
      makeRoom = resolve;
    });
    const sink = {
      write() {
        rows += 1;
        if (rows === 100)
          setImmediate(() => {
            toSource.cut();
            setImmediate(makeRoom);
          });
        return !waits || rows < 100;
      },
      drained: () => room,
    };
    const failure = await readRange(pool, table, null, null, sink, never).catch((error: unknown) => error);
    await pool.close();
    expect(failure).toBeInstanceOf(Error);
    expect(isPassingAtSource(failure), String(failure)).toBe(true);
    expect(rows).toBeLessThan(ROWS);
  });
});

describe('a source that is not to be read any more', () => {
  it('is not read where the cancellation came before anybody listened', async () => {
    const pool = await openSource(parseMssqlAddress(inject('mssqlUrl')));
    let rows = 0;
    const sink = {
      write() {
        rows += 1;
        return true;
      },
      drained: () => Promise.resolve(),
    };
    const cancelled = AbortSignal.abort(new Error('paused'));
    await expect(readRange(pool, table, null, null, sink, cancelled)).rejects.toThrow('paused');
    await expect(countRows(pool, table, cancelled)).rejects.toThrow('paused');
    expect(rows).toBe(0);
    await pool.close();
  });
});

describe('a target whose connection is cut', () => {
  it('fails as passing while rows are loaded, and the reader does not wait for it', async () => {
    const url = new URL(toTarget.through(inject('mysqlUrl')));
    url.pathname = `/${SCHEMA}`;
    const session = await Session.open(parseMysqlAddress(url.href), { localInfile: true });
    const rows = new RowStream();
    const loaded = loadRows(session, table, 'cut_rows', { column: '_ss_chunk', value: 1 }, rows).catch(
      (error: Error) => {
        rows.fail(error);
        return error;
      },
    );
    const writing = async () => {
      for (let id = 0; id < 10 * ROWS; id += 1) {
        if (!rows.write([String(id), 'x'.repeat(150)])) await rows.drained();
        if (id === ROWS) toTarget.cut();
      }
    };
    const stopped = await writing().catch((error: unknown) => error);
    const failure = await loaded;
    expect(stopped).toBe(failure);
    session.destroy();
    expect(isPassingAtTarget(failure), String(failure)).toBe(true);
    const [found] = await server.query(`SELECT COUNT(*) AS n FROM ${SCHEMA}.cut_rows`);
    expect(found).toEqual([{ n: 0 }]);
  });
  it('makes the reader wait while MySQL takes nothing, instead of keeping the rows in memory', async () => {
    const url = new URL(toTarget.through(inject('mysqlUrl')));
    url.pathname = `/${SCHEMA}`;
    const session = await Session.open(parseMysqlAddress(url.href), { localInfile: true });
    await session.run(sql`DELETE FROM cut_rows`);
    const rows = new RowStream();
    const loading = loadRows(session, table, 'cut_rows', { column: '_ss_chunk', value: 1 }, rows);
    const [most, value] = [300_000, 'x'.repeat(190)];
    const isWaiting = async () => (await Promise.race([rows.drained(), sleep(1_000, 'waits')])) === 'waits';
    let sent = 0;
    let waited = false;
    for (; sent < most && !waited; sent += 1) {
      const more = rows.write([String(sent), value]);
      if (sent === 1_000) toTarget.freeze();
      if (!more) waited = await isWaiting();
    }
    expect(waited).toBe(true);
    // what is on its way: the streams' and the sockets' buffers, of both ends
    expect(rows.sent.bytes).toBeLessThan(24_000_000);
    toTarget.thaw();
    for (; sent < most; sent += 1) if (!rows.write([String(sent), value])) await rows.drained();
    rows.end();
    await loading;
    await session.close();
    const [found] = await server.query(`SELECT COUNT(*) AS n FROM ${SCHEMA}.cut_rows`);
    expect(found).toEqual([{ n: most }]);
    await server.query(`DELETE FROM ${SCHEMA}.cut_rows`);
  });
  it('does not end the process when the source fails before MySQL has asked for the rows', async () => {
    const rows = new RowStream();
    rows.fail(new Error('the source is away'));
    await rows.drained();
  });
});
