import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import type { ConnectionPool } from 'mssql';
import mysql, { type Connection, type RowDataPacket } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { startTemporal, type TemporalEngine } from '../demo/engines/temporal.js';
import { parseMssqlAddress } from '../src/config/address.js';
import type { Report } from '../src/model/report.js';
import { openSource } from '../src/sql-server/connection.js';
import { CLI } from './support/worker-process.js';

/** Gates and refusals as an operator meets them: the built command line, a worker, Temporal, both engines. */
const PIPELINES = ['gated', 'empty', 'always', 'expiring', 'refused', 'unreachable'] as const;
type Pipeline = (typeof PIPELINES)[number];
const schemaOf = (pipeline: Pipeline) => `stageswap_test_gate_${pipeline}`;
const folder = mkdtempSync(join(tmpdir(), 'stageswap-gate-'));
const fileOf = (pipeline: Pipeline) => join(folder, `${pipeline}.yaml`);

let temporal: TemporalEngine;
let source: ConnectionPool;
let application: Connection;
let worker: ReturnType<typeof startWorker>;
let environment: Record<string, string>;

const startWorker = () =>
  execa('node', [CLI, 'worker', ...PIPELINES.flatMap((pipeline) => ['--config', fileOf(pipeline)])], {
    env: environment,
    reject: false,
  });

beforeAll(async () => {
  temporal = await startTemporal(() => {});
  source = await openSource(parseMssqlAddress(inject('mssqlUrl')));
  application = await mysql.createConnection(inject('mysqlUrl'));
  const nobody = new URL(inject('mssqlUrl'));
  nobody.port = '1';
  environment = {
    TEMPORAL_ADDRESS: temporal.address,
    MSSQL_URL: inject('mssqlUrl'),
    NOBODY_URL: nobody.href,
  };
  for (const pipeline of PIPELINES) {
    const schema = schemaOf(pipeline);
    const url = new URL(inject('mysqlUrl'));
    url.pathname = `/${schema}`;
    environment[`MYSQL_${pipeline}`] = url.href;
    await application.query(`DROP DATABASE IF EXISTS ${schema}`);
    await application.query(`CREATE DATABASE ${schema} CHARACTER SET utf8mb4`);
    await application.query(`CREATE TABLE ${schema}.customer (id BIGINT PRIMARY KEY, name VARCHAR(40))`);
    await application.query(`INSERT INTO ${schema}.customer VALUES (1, 'live'), (9, 'own')`);
    await source.request().batch(`DROP TABLE IF EXISTS dbo.Gate_${pipeline}`);
    await source
      .request()
      .batch(`CREATE TABLE dbo.Gate_${pipeline} (Id bigint NOT NULL PRIMARY KEY, Name nvarchar(40) NULL)`);
    if (pipeline !== 'empty')
      await source
        .request()
        .batch(`INSERT INTO dbo.Gate_${pipeline} (Id, Name) VALUES (1, N'billing'), (2, N'new')`);
    const approve = { empty: 'never', always: 'always' }[pipeline as string] ?? 'firstPublish';
    const from = pipeline === 'refused' ? 'dbo.Gate_nowhere' : `dbo.Gate_${pipeline}`;
    writeFileSync(
      fileOf(pipeline),
      `pipeline: ${pipeline}
source: { url: "\${${pipeline === 'unreachable' ? 'NOBODY_URL' : 'MSSQL_URL'}}" }
target: { url: "\${MYSQL_${pipeline}}" }
firstRun: source
cutOver: { heldMsMax: 600000 }
approve: ${approve}
${pipeline === 'expiring' ? 'approvalHoursMax: 0.001' : ''}
tables: [{ source: ${from}, live: customer, key: [id], columns: { id: Id, name: Name } }]
`,
    );
  }
  worker = startWorker();
});
afterAll(async () => {
  worker?.kill('SIGTERM');
  await worker;
  for (const pipeline of PIPELINES) {
    await application?.query(`DROP DATABASE IF EXISTS ${schemaOf(pipeline)}`);
    await source?.request().batch(`DROP TABLE IF EXISTS dbo.Gate_${pipeline}`);
  }
  await application?.end();
  await source?.close();
  await temporal?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function stageswap(pipeline: Pipeline, ...rest: string[]) {
  const done = await execa('node', [CLI, ...rest, '--config', fileOf(pipeline)], {
    env: environment,
    reject: false,
  });
  return { exitCode: done.exitCode, stdout: done.stdout, stderr: done.stderr };
}
const live = async (pipeline: Pipeline) => {
  const [rows] = await application.query<RowDataPacket[]>(
    `SELECT id, name FROM ${schemaOf(pipeline)}.customer ORDER BY id`,
  );
  return rows.map(({ id, name }) => `${id} ${name}`);
};
const tables = async (pipeline: Pipeline) => {
  const [rows] = await application.query<RowDataPacket[]>(
    'SELECT table_name AS name FROM information_schema.tables WHERE table_schema = ? ORDER BY name',
    [schemaOf(pipeline)],
  );
  return rows.map(({ name }) => String(name));
};
/** Waits until nothing runs any more, and says how the last run ended. */
async function lastOutcome(pipeline: Pipeline): Promise<unknown> {
  const { stdout } = await stageswap(pipeline, 'status', '--watch', '--json');
  return (JSON.parse(stdout) as { lastRun: { outcome: string } | null }).lastRun?.outcome;
}

describe('a first publish over rows of live', () => {
  it('waits with the counts, exits with 4, and is published once it is approved', async () => {
    const waiting = await stageswap('gated', 'run', '--json');
    expect(waiting.exitCode, waiting.stderr).toBe(4);
    const report = JSON.parse(waiting.stdout) as Report;
    expect(report).toMatchObject({
      pipeline: 'gated',
      outcome: 'waiting',
      tables: [{ table: 'customer', rowsRead: 2, inserted: 1, updated: 1, keptLive: 0 }],
    });
    expect(report.problem).toContain('2 rows at the source, 1 to insert, 1 to update');
    expect(report.problem).toContain('stageswap approve');
    expect(await live('gated')).toEqual(['1 live', '9 own']);

    const again = await stageswap('gated', 'run');
    expect(again.exitCode).toBe(3);
    expect(again.stderr).toMatch(/a run is already running since .* for pipeline gated/);
    expect(again.stderr).toContain('waits for a human');
    expect(again.stderr).toContain('`stageswap approve` lets it go on');

    expect((await stageswap('gated', 'approve')).exitCode).toBe(0);
    expect(await lastOutcome('gated')).toBe('published');
    expect(await live('gated')).toEqual(['1 billing', '2 new', '9 own']);
    expect((await stageswap('gated', 'approve')).exitCode).toBe(3);
  });

  it('is followed by runs that do not wait', async () => {
    const next = await stageswap('gated', 'run', '--json');
    expect(next.exitCode, next.stderr).toBe(0);
  });

  it('is followed by a run that asks where the source has become empty, and is taken back by an abort', async () => {
    await source.request().batch('DELETE FROM dbo.Gate_gated');
    const asked = await stageswap('gated', 'run', '--yes', '--json');
    expect(asked.exitCode, asked.stderr).toBe(4);
    const report = JSON.parse(asked.stdout);
    expect(report).toMatchObject({
      outcome: 'waiting',
      progress: {
        phase: 'gate',
        reasons: [
          { kind: 'emptySource', of: 'customer' },
          { kind: 'deleteShare', of: 'customer', measure: 2 },
        ],
      },
    });
    expect(report.problem).toContain('dbo.Gate_gated is empty');
    expect(report.problem).toContain('delete 2 of 3 rows of customer (66.7 %)');
    expect(await live('gated')).toEqual(['1 billing', '2 new', '9 own']);
    const status = JSON.parse((await stageswap('gated', 'status', '--json')).stdout);
    expect(status.progress.waitingFor).toContain('delete 2 of 3 rows');
    const shown = await stageswap('gated', 'status');
    expect(shown.stdout).toContain('delete 2 of 3 rows');
    expect(shown.exitCode).toBe(4);
    expect((await stageswap('gated', 'abort')).exitCode).toBe(0);
    expect(await lastOutcome('gated')).toBe('aborted');
    expect(await live('gated')).toEqual(['1 billing', '2 new', '9 own']);
  });

  it('is followed by one that deletes what was approved, and keeps what clients wrote while it waited', async () => {
    const asked = await stageswap('gated', 'run');
    expect(asked.exitCode, asked.stderr).toBe(4);
    await application.query(`UPDATE ${schemaOf('gated')}.customer SET name = 'client' WHERE id = 2`);
    expect((await stageswap('gated', 'approve')).stdout).toContain('2 reasons');
    expect(await lastOutcome('gated')).toBe('published');
    expect(await live('gated')).toEqual(['2 client', '9 own']);
    const { lastRun } = JSON.parse((await stageswap('gated', 'status', '--json')).stdout);
    expect(lastRun.report.approved).toHaveLength(2);
  });

  it('gives up after approvalHoursMax, takes everything back and says so', async () => {
    await source.request().batch("INSERT INTO dbo.Gate_expiring (Id, Name) VALUES (3, N'third')");
    const asked = await stageswap('expiring', 'run');
    expect(asked.exitCode, asked.stderr).toBe(4);
    expect(await lastOutcome('expiring')).toBe('aborted');
    const { lastRun } = JSON.parse((await stageswap('expiring', 'status', '--json')).stdout);
    expect(lastRun.report).toMatchObject({ outcome: 'aborted', problemType: 'ApprovalExpired' });
    expect(lastRun.report.problem).toContain('nobody approved within 0.001 hours');
    expect(await live('expiring')).toEqual(['1 live', '9 own']);
    expect((await tables('expiring')).filter((name) => /^_ss\d/.test(name))).toEqual([]);
  });
});

describe('an empty first publish', () => {
  it('asks although approve is never, and leaves nothing when it is aborted', async () => {
    const waiting = await stageswap('empty', 'run');
    expect(waiting.exitCode, waiting.stderr).toBe(4);
    expect(waiting.stdout).toContain('no row at the source for customer');
    expect((await stageswap('empty', 'abort')).exitCode).toBe(0);
    expect(await lastOutcome('empty')).toBe('aborted');
    expect(await live('empty')).toEqual(['1 live', '9 own']);
    expect((await tables('empty')).filter((name) => /^_ss\d/.test(name))).toEqual([]);
  });
});

describe('approve: always', () => {
  it('lets --yes pass the gate of the first publish, and asks in every later run', async () => {
    expect((await stageswap('always', 'run', '--yes')).exitCode).toBe(0);
    const waiting = await stageswap('always', 'run', '--yes');
    expect(waiting.exitCode).toBe(4);
    expect(waiting.stdout).toContain('asks in every run');
    expect((await stageswap('always', 'approve')).exitCode).toBe(0);
    expect(await lastOutcome('always')).toBe('published');
  });
});

describe('a run', () => {
  it('that preflight refuses exits with 3, says where and how to cure it, and touches nothing', async () => {
    const refused = await stageswap('refused', 'run');
    expect(refused.exitCode).toBe(3);
    expect(`${refused.stdout}${refused.stderr}`).toMatch(
      /dbo.Gate_nowhere: the source has no such table.*Cure: /,
    );
    expect(await tables('refused')).toEqual(['customer']);
  });

  it('whose source does not answer exits with 6 instead of waiting for it, and touches nothing', async () => {
    const refused = await stageswap('unreachable', 'run');
    expect(refused.exitCode).toBe(6);
    expect(`${refused.stdout}${refused.stderr}`).toContain('SQL Server at 127.0.0.1:1 does not answer');
    expect(await tables('unreachable')).toEqual(['customer']);
  });
});
