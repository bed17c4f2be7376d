import type { Connection, RowDataPacket } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { startTemporal } from '../demo/engines/temporal.js';
import type { Plan } from '../src/model/plan.js';
import type { Report } from '../src/model/report.js';
import type { Conflict } from '../src/mysql/settlements.js';
import { PipelineUnderTest } from './support/pipeline-under-test.js';

/** Conflicts as an operator meets them: planned, found by a run, explained, settled, carried out by the next run. */
let pipeline: PipelineUnderTest;
let application: Connection;
let temporal: Awaited<ReturnType<typeof startTemporal>>;

beforeAll(async () => {
  // of its own: another test's worker would take this pipeline's tasks, and knows nothing of it
  temporal = await startTemporal(() => {}, { owned: true });
  pipeline = await PipelineUnderTest.create({
    name: 'conflicts',
    mysqlUrl: inject('mysqlUrl'),
    mssqlUrl: inject('mssqlUrl'),
    temporalAddress: temporal.address,
    customers: 200,
    invoices: 300,
    chunkRows: 100,
  });
  application = await pipeline.connect();
  pipeline.startWorker();
});
afterAll(async () => {
  await application?.end();
  await pipeline?.end();
  await temporal?.stop();
});

interface Explained {
  row: string;
  columns: {
    column: string;
    owner: string;
    base: string | null;
    source: string | null;
    live: string | null;
    verdict: string;
    decidedIn: number | null;
  }[];
  conflicts: Conflict[];
}

/** Runs a command. @returns what it printed as JSON, and its exit code */
async function stageswap<T>(...rest: string[]): Promise<T & { exitCode: number | undefined }> {
  const { report, exitCode } = await pipeline.stageswap(...rest);
  return { ...(report as unknown as T), exitCode };
}
const billing = (text: string) =>
  pipeline.billing.pool.request().batch(text.replaceAll('~', `dbo.${pipeline.billing.prefix}`));
const emails = async () => {
  const [rows] = await application.query<RowDataPacket[]>(
    'SELECT email FROM customer WHERE customer_id <= 6 ORDER BY customer_id',
  );
  return rows.map((row) => row.email as string | null);
};
/** Everything that a client could notice: rows, definitions, triggers. */
async function everything(): Promise<unknown> {
  const parts: unknown[] = [];
  for (const text of [
    'SELECT * FROM customer ORDER BY 1',
    'SELECT * FROM invoice ORDER BY 1',
    'SHOW CREATE TABLE customer',
    'SHOW CREATE TABLE invoice',
    'SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = DATABASE() ORDER BY 1',
    'SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 1',
  ])
    parts.push((await application.query(text))[0]);
  return parts;
}
const counts = ({ tables }: Pick<Report, 'tables'>) =>
  tables.map(({ table, rowsRead, rowsStaged, inserted, updated, deleted, keptLive, conflicts }) => ({
    ...{ table, rowsRead, rowsStaged, inserted, updated, deleted, keptLive, conflicts },
  }));
const planned = ({ tables }: Plan) =>
  tables.map(({ table, inserted, updated, deleted, keptLive, conflicts }) => ({
    ...{ table, inserted, updated, deleted, keptLive, conflicts },
  }));

describe('conflicts at the command line', () => {
  it('are planned without touching live, as the run then finds them', async () => {
    const empty = await stageswap<Report & { plan: Plan }>('plan');
    expect(planned(empty.plan)).toMatchObject([{ inserted: 200 }, { inserted: 300 }]);
    const first = await stageswap<Report>('run', '--yes');
    expect(first.outcome).toBe('published');
    expect(counts(first)).toEqual(counts(empty));
    await application.query(
      "UPDATE customer SET email = CONCAT(customer_id, '@client') WHERE customer_id <= 6",
    );
    await application.query("INSERT INTO customer (customer_id, name) VALUES (9000, 'own')");
    await application.query('DELETE FROM invoice WHERE invoice_id IN (1, 2)');
    await billing("UPDATE ~Customer SET Email = N'x@billing' WHERE CustomerId <= 3");
    await billing("UPDATE ~Customer SET Name = N'renamed' WHERE CustomerId BETWEEN 10 AND 14");
    await billing("UPDATE ~Invoice SET Memo = N'changed' WHERE InvoiceId = 1");
    await billing('DELETE FROM ~Invoice WHERE InvoiceId IN (298, 299, 300)');
    await billing("INSERT INTO ~Customer (CustomerId, Name, Email, Balance) VALUES (1001, N'new', NULL, 1)");

    const before = await everything();
    const plan = await stageswap<Report & { plan: Plan }>('plan', '--limit', '2');
    expect(plan.exitCode).toBe(0);
    expect(plan).toMatchObject({ outcome: 'planned', plan: { stops: [] } });
    expect(await everything()).toEqual(before);
    expect(planned(plan.plan)).toEqual([
      { table: 'customer', inserted: 1, updated: 5, deleted: 0, keptLive: 6, conflicts: 3 },
      { table: 'invoice', inserted: 0, updated: 0, deleted: 3, keptLive: 0, conflicts: 1 },
    ]);
    const [customer, invoice] = plan.plan.tables;
    expect(customer?.verdicts).toEqual([
      { columns: ['name'], agreed: 195, takeSource: 5, keepLive: 0, conflict: 0, settled: 0 },
      { columns: ['email'], agreed: 194, takeSource: 0, keepLive: 3, conflict: 3, settled: 0 },
      { columns: ['balance'], agreed: 200, takeSource: 0, keepLive: 0, conflict: 0, settled: 0 },
    ]);
    expect(customer?.insert).toEqual([{ customer_id: '1001' }]);
    expect(invoice?.delete).toEqual([{ invoice_id: '298' }, { invoice_id: '299' }]);
    expect(plan.plan.conflicts).toHaveLength(2);
    expect(plan.plan.conflicts[0]).toMatchObject({
      table: 'customer',
      key: { customer_id: '1' },
      kind: 'field',
      columns: ['email'],
      base: { email: 'c1@old.example' },
      source: { email: 'x@billing' },
      live: { email: '1@client' },
    });
    expect((await stageswap<{ count: number }>('conflicts')).count).toBe(0);

    const run = await stageswap<Report>('run');
    expect(run.outcome, JSON.stringify(run)).toBe('published');
    expect(counts(run)).toEqual(counts(plan));
    const found = await stageswap<{ count: number; conflicts: Conflict[] }>('conflicts');
    expect(found.count).toBe(4);
    expect(found.conflicts.slice(0, 2)).toMatchObject(plan.plan.conflicts);
  });

  it('are explained and settled, by key, by condition and in bulk; edits are yielded and rows resynced', async () => {
    const explained = await stageswap<Explained>('explain', 'customer', '1');
    expect(explained).toMatchObject({
      row: 'merge',
      conflicts: [{ kind: 'field', columns: ['email'], state: 'open' }],
    });
    expect(explained.columns.map(({ column, owner, verdict }) => [column, owner, verdict])).toEqual([
      ['customer_id', 'key', 'key'],
      ['name', 'merge', 'agreed'],
      ['email', 'merge', 'keepLive'],
      ['balance', 'source', 'agreed'],
      ['note', 'application', 'kept'],
    ]);
    expect(explained.columns[2]).toMatchObject({
      base: 'x@billing',
      source: 'x@billing',
      live: '1@client',
      decidedIn: explained.conflicts[0]?.generation,
    });
    expect(await stageswap<Explained>('explain', 'invoice', '2')).toMatchObject({ row: 'staysDeleted' });
    expect(await stageswap<Explained>('explain', 'customer', '9000')).toMatchObject({ row: 'keep' });

    expect(
      await stageswap('conflicts', '--table', 'customer', '--key', '1', '--settle', 'source'),
    ).toMatchObject({
      settled: 1,
      exitCode: 0,
    });
    expect((await stageswap('conflicts', '--settle', 'live')).exitCode).toBe(2); // several, and nobody is asked
    expect(
      await stageswap('conflicts', '--where', "live->>'$.email' = '2@client'", '--settle', 'live'),
    ).toMatchObject({ settled: 1 });
    expect(
      await stageswap(
        'conflicts',
        '--table',
        'invoice',
        '--kind',
        'deletedInLive',
        '--settle',
        'source',
        '--yes',
      ),
    ).toMatchObject({ settled: 1 });
    expect(await stageswap('yield', 'customer', '4', 'email')).toMatchObject({ yielded: 1, exitCode: 0 });
    expect(
      await stageswap('yield', 'customer', '--column', 'email', '--where', "email LIKE '5@%'", '--yes'),
    ).toMatchObject({ yielded: 1 });
    expect((await stageswap('yield', 'customer', '20', 'email')).exitCode).toBe(3); // nobody edited it
    expect((await stageswap('resync', 'customer', '6', '77777', '--yes')).exitCode).toBe(3);
    expect(await stageswap('resync', 'customer', '6', '7', '--yes')).toMatchObject({ exitCode: 0 });
    expect((await stageswap<Explained>('explain', 'customer', '1')).columns[2]?.verdict).toBe(
      'settled: source',
    );
    expect((await stageswap<Explained>('explain', 'customer', '6')).row).toBe('resync');

    const plan = await stageswap<Report & { plan: Plan }>('plan');
    expect(plan.plan.tables[0]?.verdicts[1]).toEqual({
      ...{ columns: ['email'], agreed: 195, takeSource: 0, keepLive: 6, conflict: 0 },
      settled: 6, // 1, 2, 4, 5 by word, 6 and 7 with their rows
    });
    const run = await stageswap<Report>('run');
    expect(counts(run)).toEqual(counts(plan));
    expect(counts(run)).toMatchObject([
      { table: 'customer', updated: 4, keptLive: 2 },
      { table: 'invoice', inserted: 1 },
    ]);
    expect(await emails()).toEqual([
      'x@billing',
      '2@client',
      '3@client',
      'c4@old.example',
      'c5@old.example',
      'c6@old.example',
    ]);
    const [[invoice]] = await application.query<RowDataPacket[]>(
      'SELECT memo FROM invoice WHERE invoice_id = 1',
    );
    expect(invoice?.memo).toBe('changed');
    const all = await stageswap<{ conflicts: Conflict[] }>('conflicts', '--all');
    expect(all.conflicts.map(({ key, state }) => `${Object.values(key)} ${state}`)).toEqual([
      '1 settled',
      '2 settled',
      '3 open',
      '1 settled',
    ]);
  });

  it('a plan says what a run would ask about', async () => {
    await billing('DELETE FROM ~Invoice WHERE InvoiceId > 20');
    const plan = await stageswap<Report & { plan: Plan }>('plan');
    expect(plan.exitCode).toBe(4);
    expect(plan.plan.stops.join()).toMatch(/would delete 277 of 296 rows of invoice/);
    expect(await stageswap<Report>('run')).toMatchObject({ outcome: 'waiting', exitCode: 4 });
    await stageswap('abort');
  });
});
