import { appendFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { startTemporal, type TemporalEngine } from '../demo/engines/temporal.js';
import { PipelineUnderTest } from './support/pipeline-under-test.js';
import type { WorkerProcess } from './support/worker-process.js';

/** What people outside hear and see of runs: the webhook, Prometheus, and the worker's log. No row's value is among it. */
let pipeline: PipelineUnderTest;
// of its own, since every worker of this machine polls the same task queue
let temporal: TemporalEngine;
let worker: WorkerProcess;
let server: Server;
let metricsUrl: string;
/** what the webhook heard; the first request of each event is answered by 503 */
const heard: { event: string; text: string; failure?: string; pipeline: string }[] = [];
const refusedOnce = new Set<string>();

const freePort = () =>
  new Promise<number>((resolve) => {
    const probe = createServer();
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });

beforeAll(async () => {
  server = createServer((request, response) => {
    let body = '';
    request.on('data', (data) => {
      body += data;
    });
    request.on('end', () => {
      const notice = JSON.parse(body) as (typeof heard)[number];
      if (!refusedOnce.has(notice.event)) {
        refusedOnce.add(notice.event);
        response.writeHead(503).end();
        return;
      }
      heard.push(notice);
      response.writeHead(204).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  temporal = await startTemporal(() => {}, { owned: true });
  pipeline = await PipelineUnderTest.create({
    name: 'observed',
    mysqlUrl: inject('mysqlUrl'),
    mssqlUrl: inject('mssqlUrl'),
    temporalAddress: temporal.address,
    customers: 300,
    invoices: 300,
  });
  appendFileSync(pipeline.file, '\nwebhook: { url: "$'.concat('{HOOK}", conflictsMax: 0 }\n'));
  pipeline.environment.HOOK = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hidden-path`;
  const metrics = `127.0.0.1:${await freePort()}`;
  metricsUrl = `http://${metrics}/metrics`;
  worker = pipeline.startWorker('--metrics', metrics, '--log-level', 'debug');
});
afterAll(async () => {
  await pipeline?.end();
  await temporal?.stop();
  server?.close();
});

const events = () => heard.map(({ event }) => event);
const lines = () =>
  worker.output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Record<string, unknown>);

describe('people outside', () => {
  it('read in the log which chunk of which table in which run and phase was stored', async () => {
    expect((await pipeline.stageswap('run')).report.outcome).toBe('published');
    expect(lines()).toContainEqual(
      expect.objectContaining({
        level: 'debug',
        msg: 'chunk stored',
        pipeline: 'observed',
        run: 1,
        table: 'customer',
        chunk: 0,
        phase: 'ingest',
        rows: 300,
      }),
    );
    expect(lines()).toContainEqual(
      expect.objectContaining({
        msg: 'reconcile is done',
        pipeline: 'observed',
        table: 'invoice',
        phase: 'reconcile',
      }),
    );
  });

  it('find rows, bytes, conflicts, the lag of the log and the time under the lock beside the metrics of Temporal', async () => {
    const text = await (await fetch(metricsUrl)).text();
    const value = (pattern: RegExp) => Number(pattern.exec(text)?.[1]);
    expect(value(/^stageswap_rows_ingested_total\{[^}]*table="customer"[^}]*\} (\d+)/m)).toBe(300);
    expect(value(/^stageswap_bytes_ingested_total\{[^}]*table="customer"[^}]*\} (\d+)/m)).toBeGreaterThan(
      3_000,
    );
    expect(value(/^stageswap_log_pending\{[^}]*pipeline="observed"[^}]*\} (\d+)/m)).toBe(0);
    expect(value(/^stageswap_cut_over_held_ms\{[^}]*pipeline="observed"[^}]*\} ([\d.]+)/m)).toBeGreaterThan(
      0,
    );
    expect(value(/^stageswap_runs_total\{[^}]*outcome="published"[^}]*\} (\d+)/m)).toBe(1);
    expect(text).toMatch(/^temporal_/m);
  });

  it('are told of conflicts above the limit and of a rollback that holds the pipeline, although the webhook was busy', async () => {
    const connection = await pipeline.connect();
    const [rows] = await connection.query(
      'SELECT customer_id AS id FROM customer ORDER BY customer_id LIMIT 1',
    );
    const key = String((rows as { id: number }[])[0]?.id);
    await connection.query("UPDATE customer SET email = 'ada@secret.example' WHERE customer_id = ?", [key]);
    await connection.end();
    await pipeline.billing.pool
      .request()
      .batch(`UPDATE dbo.observed_Customer SET Email = N'billing@secret.example' WHERE CustomerId = ${key}`);
    const { report } = await pipeline.stageswap('run');
    expect(report.outcome).toBe('published');
    expect(events()).toEqual(['conflictLimit']);
    expect(heard[0]?.text).toContain('1 conflicts, more than 0');
    expect((await pipeline.stageswap('rollback')).report.outcome).toBe('rolledBack');
    expect(events()).toEqual(['conflictLimit', 'rolledBack', 'held']);
  });

  it('are told of a run that the held pipeline refused, with no word of a row, and it is counted', async () => {
    const { exitCode } = await pipeline.stageswap('run'); // the pipeline is held
    expect(exitCode).toBe(3);
    expect(heard.at(-1)).toMatchObject({
      event: 'held',
      pipeline: 'observed',
      text: expect.stringContaining('stageswap release'),
    });
    const text = await (await fetch(metricsUrl)).text();
    expect(text).toMatch(/^stageswap_runs_total\{[^}]*outcome="failed"[^}]*\} 1/m);
    const all = JSON.stringify(heard) + worker.output;
    expect(all).not.toContain('secret.example');
    for (const url of [pipeline.environment.MSSQL_URL, pipeline.environment.HOOK])
      expect(all).not.toContain(url);
    expect(worker.output).not.toContain('hidden-path');
  });
});
