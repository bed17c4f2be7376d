import mysql, { type RowDataPacket } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { forgetOld } from '../activities/retention.js';
import { parseMysqlAddress } from '../src/config/address.js';
import type { RunSpec } from '../src/model/spec.js';
import { Session } from '../src/mysql/connection.js';
import { createControlTables } from '../src/sql/control.js';

/** What is deleted when a run ends, and what a rollback still needs. */
const SCHEMA = 'stageswap_test_retention';
const url = new URL(inject('mysqlUrl'));
url.pathname = `/${SCHEMA}`;
let server: mysql.Connection;
let session: Session;

const OLD = 'UTC_TIMESTAMP(6) - INTERVAL 40 DAY';
const NEW = 'UTC_TIMESTAMP(6) - INTERVAL 20 DAY';
const RETENTION = { conflictsDays: 30, editsDays: 30, reportsDays: 30 };

beforeAll(async () => {
  server = await mysql.createConnection(inject('mysqlUrl'));
  await server.query(`DROP DATABASE IF EXISTS ${SCHEMA}`);
  await server.query(`CREATE DATABASE ${SCHEMA}`);
  await server.query(`USE ${SCHEMA}`);
  session = await Session.open(parseMysqlAddress(url.href));
  for (const statement of createControlTables()) await session.run(statement);
  for (const [generation, ended] of [
    [1, OLD],
    [2, OLD],
    [3, NEW],
    [5, OLD],
  ]) {
    await server.query(
      `INSERT INTO _stageswap_run (pipeline, generation, run_id, kind, phase, started_at, ended_at, outcome, spec, report) VALUES ('p', ${generation}, 'r${generation}', 'publish', 'ended', ${ended}, ${ended}, 'published', '{}', '{}')`,
    );
    await server.query(
      `INSERT INTO _stageswap_chunk (pipeline, generation, live, step, seq) VALUES ('p', ${generation}, 'c', 'ingest', 0)`,
    );
  }
  const conflict = (name: string, generation: number, state: string, closedIn: number | null, at: string) =>
    server.query(
      `INSERT INTO _stageswap_conflict (pipeline, generation, live, row_key, key_hash, kind, columns_json, found_at, state, closed_in) VALUES ('p', ${generation}, '${name}', '{}', '', 'field', '[]', ${at}, '${state}', ${closedIn})`,
    );
  await conflict('old and closed', 1, 'settled', 2, OLD);
  await conflict('old and open', 1, 'open', null, OLD);
  await conflict('old, closed since the base', 1, 'settled', 5, OLD);
  await conflict('closed lately', 1, 'agreed', 2, NEW);
  for (const [name, at] of [
    ['old', OLD],
    ['new', NEW],
  ])
    await server.query(
      `INSERT INTO _stageswap_edit (pipeline, edit_id, live, outcome, applied_at) VALUES ('p', '${name}', 'c', 'applied', ${at}), ('other', '${name}', 'c', 'applied', ${at})`,
    );
});
afterAll(async () => {
  await session?.close();
  await server?.query(`DROP DATABASE IF EXISTS ${SCHEMA}`);
  await server?.end();
});

const values = async (statement: string) => {
  const [rows] = await server.query<RowDataPacket[]>({ sql: statement, rowsAsArray: true });
  return (rows as unknown as unknown[][]).map(([value]) => value);
};
const spec = (change: Partial<RunSpec>) =>
  ({ pipeline: 'p', kind: 'publish', baseGeneration: 5, ...change }) as RunSpec;

describe('the records of runs', () => {
  it('stay when a rollback ends, and at a first publish', async () => {
    await forgetOld(session, spec({ kind: 'rollback' }), RETENTION);
    await forgetOld(session, spec({ baseGeneration: null }), RETENTION);
    expect(await values('SELECT COUNT(*) FROM _stageswap_edit')).toEqual([4]);
  });

  it('are deleted when they are old, but not what is open, of another pipeline, or needed by a rollback', async () => {
    await forgetOld(session, spec({}), RETENTION);
    expect(await values('SELECT live FROM _stageswap_conflict ORDER BY id')).toEqual([
      'old and open',
      'old, closed since the base',
      'closed lately',
    ]);
    expect(await values("SELECT CONCAT(pipeline, ' ', edit_id) FROM _stageswap_edit ORDER BY 1")).toEqual([
      'other new',
      'other old',
      'p new',
    ]);
    expect(await values('SELECT generation FROM _stageswap_run WHERE report IS NOT NULL ORDER BY 1')).toEqual(
      [3, 5],
    );
    expect(await values('SELECT generation FROM _stageswap_run ORDER BY 1')).toEqual([1, 2, 3, 5]);
    expect(await values('SELECT generation FROM _stageswap_chunk ORDER BY 1')).toEqual([3, 5]);
  });
});
