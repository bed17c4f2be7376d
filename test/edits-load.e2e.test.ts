import { setTimeout as sleep } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import type { Connection as MysqlConnection, RowDataPacket } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { startTemporal, type TemporalEngine } from '../demo/engines/temporal.js';
import { EditClient, type EditOutcome } from '../src/client.js';
import { TEST_MS_MAX } from './support/patience.js';
import { PipelineUnderTest } from './support/pipeline-under-test.js';

/**
 * An application's edits at 200 a second: while no run works, through one that goes on as new executions again and again
 * and while it ends. After its acknowledgement each field is set to something else, so that an edit which is applied a
 * second time shows. Here for 24 seconds; STAGESWAP_EDITS_SECONDS=600 makes it the ten minutes of the promise.
 */
const SECONDS = Number(process.env.STAGESWAP_EDITS_SECONDS ?? 24);
const EDITS_A_SECOND = 200;
const CUSTOMERS = 4_000;
/** A machine that cannot keep up with them is not buried under them. */
const UNANSWERED_MAX = 2_000;
/** Temporal's own suggestion comes after 4,096 events; with this one an execution lasts for seconds */
const EVENTS_AN_EXECUTION = 250;

let temporal: TemporalEngine;
let connection: Connection;
let client: Client;
let pipeline: PipelineUnderTest;
let application: MysqlConnection;
let edits: EditClient<{ customer: { key: 'customer_id'; set: 'email' } }>;

beforeAll(async () => {
  temporal = await startTemporal(() => {}, {
    owned: true,
    settings: [`limit.historyCount.suggestContinueAsNew=${EVENTS_AN_EXECUTION}`],
  });
  connection = await Connection.connect({ address: temporal.address });
  client = new Client({ connection });
  pipeline = await PipelineUnderTest.create({
    name: 'edits-load',
    mysqlUrl: inject('mysqlUrl'),
    mssqlUrl: inject('mssqlUrl'),
    temporalAddress: temporal.address,
    customers: CUSTOMERS,
    invoices: 10,
  });
  application = await pipeline.connect();
  edits = new EditClient({
    pipeline: 'edits-load',
    temporal: client,
    mysqlUrl: pipeline.url,
    tables: [{ live: 'customer', key: ['customer_id'] }],
  });
});
afterAll(async () => {
  await edits?.close();
  await application?.end();
  await pipeline?.end();
  await connection?.close();
  await temporal?.stop();
});

/** The row of the n-th edit: keys as billing made them, one after the other. */
const keys: string[] = [];
const keyOf = (number: number) => keys[number % keys.length] ?? '';
const outcomes = new Map<number, EditOutcome>();
const overwritten: number[] = [];

/** Sends edits at their times, without waiting for those before, until it is told to stop. */
async function stream(until: () => boolean): Promise<number> {
  const startedAt = Date.now();
  let sent = 0;
  while (!until()) {
    const due = Math.floor(((Date.now() - startedAt) * EDITS_A_SECOND) / 1000);
    for (; sent < due && sent - outcomes.size < UNANSWERED_MAX; sent += 1) {
      const number = sent;
      void edits
        .edit({
          editId: `load-${number}`,
          table: 'customer',
          key: { customer_id: keyOf(number) },
          set: { email: `e${number}` },
          by: 'load',
        })
        .then((outcome) => {
          outcomes.set(number, outcome);
          overwritten.push(number);
        });
    }
    await sleep(20);
  }
  await edits.flush();
  return sent;
}

/** A client that writes over what was acknowledged: an edit that came again would take this back. */
async function overwrite(until: () => boolean): Promise<void> {
  while (!until() || overwritten.length > 0) {
    const numbers = overwritten.splice(0);
    if (numbers.length > 0) {
      const rows = numbers.map((number) => `WHEN ${keyOf(number)} THEN 'acknowledged ${number}'`);
      const [result] = await application.query(
        `UPDATE customer SET email = CASE customer_id ${rows.join(' ')} END WHERE customer_id IN (${numbers.map(keyOf).join()})`,
      );
      expect((result as { affectedRows: number }).affectedRows).toBe(numbers.length);
    }
    await sleep(200);
  }
}

async function executions(): Promise<number> {
  let count = 0;
  for await (const { workflowId } of client.workflow.list())
    if (workflowId === 'stageswap-edits-load') count += 1;
  return count;
}

describe('an application that edits 200 times a second', () => {
  it('has every edit applied once, before, through and after a run of many executions', {
    timeout: TEST_MS_MAX + SECONDS * 3_000,
  }, async () => {
    pipeline.startWorker();
    expect((await pipeline.stageswap('run')).report.outcome).toBe('published');
    const [rows] = await application.query<RowDataPacket[]>(
      'SELECT customer_id AS id FROM customer ORDER BY customer_id',
    );
    keys.push(...rows.map((row) => String(row.id)));
    expect(keys.length).toBeGreaterThan(SECONDS >= 60 ? 1_000 : 500);

    let stopped = false;
    let written = false;
    const sending = stream(() => stopped);
    const writing = overwrite(() => written);
    await sleep(2_000);
    await pipeline.stageswap('run', '--no-wait');
    await pipeline.stageswap('pause');
    await sleep(SECONDS * 1_000);
    await expect.poll(() => outcomes.size, { interval: 500 }).toBeGreaterThan(SECONDS * EDITS_A_SECOND);
    // on a slow machine the same edits come in fewer, larger batches, which make fewer events
    await expect.poll(executions, { interval: 500 }).toBeGreaterThan(3);
    await pipeline.stageswap('resume');
    const report = await client.workflow.getHandle('stageswap-edits-load').result();
    await sleep(2_000);
    stopped = true;
    const sent = await sending;
    await edits.close();
    written = true;
    await writing;

    expect(report).toMatchObject({ outcome: 'published' });
    expect(sent).toBeGreaterThan(SECONDS * EDITS_A_SECOND);
    expect(outcomes.size).toBe(sent);
    expect([...outcomes.values()].filter(({ outcome }) => outcome === 'refused')).toEqual([]);
    const [counted] = await application.query<RowDataPacket[]>(
      "SELECT COUNT(*) AS n FROM _stageswap_edit WHERE pipeline = 'edits-load' AND outcome = 'applied'",
    );
    expect(Number(counted[0]?.n)).toBe(sent);
    const last = new Map(
      Array.from({ length: sent }, (_, number) => [keyOf(number), `acknowledged ${number}`]),
    );
    const [live] = await application.query<RowDataPacket[]>('SELECT customer_id AS id, email FROM customer');
    const wrong = live.filter(({ id, email }) => last.has(String(id)) && last.get(String(id)) !== email);
    expect(wrong.slice(0, 5)).toEqual([]);
    expect((report as { edits: { handedIn: number } }).edits.handedIn).toBeGreaterThan(
      (SECONDS * EDITS_A_SECOND) / 2,
    );
    await expect.poll(executions).toBeGreaterThan(3);
  });

  it('takes no more when it is closed', async () => {
    await expect(
      edits.edit({ table: 'customer', key: { customer_id: '1' }, set: { email: 'late' } }),
    ).rejects.toThrow('closed');
  });
});
