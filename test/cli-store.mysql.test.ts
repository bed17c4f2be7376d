import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import mysql, { type Connection } from 'mysql2/promise';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { control } from '../src/model/names.js';

const SCHEMA = `stageswap_test_store_${process.pid}`;

let connection: Connection;
let folder: string;
let url: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'stageswap-store-'));
  connection = await mysql.createConnection(inject('mysqlUrl'));
  await connection.query(`CREATE DATABASE ${SCHEMA}`);
  await connection.query(`USE ${SCHEMA}`);
  url = new URL(SCHEMA, inject('mysqlUrl')).href;
  writeFileSync(
    join(folder, 'stageswap.yaml'),
    `pipeline: billing
source: { url: "\${MSSQL_URL}" }
target: { url: "\${MYSQL_URL}" }
firstRun: source
tables: [{ source: dbo.T, live: t, key: [id], columns: { id: Id } }]
`,
  );
});

afterAll(async () => {
  await connection?.query(`DROP DATABASE IF EXISTS ${SCHEMA}`);
  await connection?.end();
  rmSync(folder, { recursive: true, force: true });
});

function stageswap(...args: string[]) {
  const main = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url));
  const config = join(folder, 'stageswap.yaml');
  return execa(process.execPath, ['--import', 'tsx', main, ...args, '--config', config], {
    reject: false,
    env: { MSSQL_URL: 'mssql://sa:x@127.0.0.1:1/b', MYSQL_URL: url, TEMPORAL_ADDRESS: '127.0.0.1:1' },
  });
}

test('a pipeline that never ran has no history, and is not held', async () => {
  expect((await stageswap('history')).stdout).toBe('billing has never run');
  expect(JSON.parse((await stageswap('release', '--json')).stdout)).toMatchObject({ wasHeld: false });
});

test('hold can be repeated, the newest reason stands, and release ends it', async () => {
  expect((await stageswap('hold', '--reason', 'first')).exitCode).toBe(0);
  expect((await stageswap('hold', '--reason', "the month's end")).stdout).toContain("the month's end");
  const [held] = await connection.query(`SELECT pipeline, held_reason FROM ${control.pipeline}`);
  expect(held).toEqual([{ pipeline: 'billing', held_reason: "the month's end" }]);
  expect((await stageswap('release')).stdout).toBe('billing is released');
  const [released] = await connection.query(`SELECT held_reason, held_at FROM ${control.pipeline}`);
  expect(released).toEqual([{ held_reason: null, held_at: null }]);
});

test('history lists runs newest first, with their reports', async () => {
  const report = {
    pipeline: 'billing',
    runId: 'r-2',
    outcome: 'published',
    ms: 1500,
    tables: [{ table: 't', inserted: 3, updated: 1234, deleted: 0, conflicts: 2 }],
  };
  await connection.query(
    `INSERT INTO ${control.run} (pipeline, generation, run_id, kind, phase, started_at, ended_at, outcome, spec, report) VALUES
     ('billing', 1, 'r-1', 'publish', 'ingest', '2030-01-01 00:00:00', NULL, NULL, '{}', NULL),
     ('billing', 2, 'r-2', 'publish', 'done', '2030-01-02 00:00:00', '2030-01-02 00:01:00', 'published', '{}', ?),
     ('other', 3, 'r-3', 'publish', 'done', '2030-01-03 00:00:00', NULL, NULL, '{}', NULL)`,
    [JSON.stringify(report)],
  );
  const { runs } = JSON.parse((await stageswap('history', '--json')).stdout);
  expect(runs).toMatchObject([
    { generation: 2, runId: 'r-2', outcome: 'published', report },
    { generation: 1, runId: 'r-1', outcome: null, endedAt: null, report: null },
  ]);
  const { stdout } = await stageswap('history', '--limit', '1');
  expect(stdout).toContain('1,234');
  expect(stdout).not.toContain('r-1');
  expect((await stageswap('history', '--limit', '0')).exitCode).toBe(2);
});

test('a column that no table of the pipeline has is refused, as such a table is', async () => {
  for (const what of ['column', 'table']) {
    const { stderr, exitCode } = await stageswap('conflicts', `--${what}`, 'nosuch', '--settle', 'source');
    expect(exitCode).toBe(2);
    expect(stderr).toContain(`the pipeline has no ${what} nosuch`);
  }
});
