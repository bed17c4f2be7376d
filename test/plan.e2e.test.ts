import type { Connection, RowDataPacket } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { startTemporal } from '../demo/engines/temporal.js';
import type { Plan, PlannedTable } from '../src/model/plan.js';
import type { Report, TableReport } from '../src/model/report.js';
import type { Conflict } from '../src/mysql/settlements.js';
import { readLive } from './support/client-program.js';
import { COLUMNS, KEY, type Row, type Rows, type TableName } from './support/invoice-app.js';
import { PipelineUnderTest } from './support/pipeline-under-test.js';

/** What a plan says, what the run after it reports, and what it wrote are one thing, rules across the group included. */
let pipeline: PipelineUnderTest;
let application: Connection;
let temporal: Awaited<ReturnType<typeof startTemporal>>;

beforeAll(async () => {
  temporal = await startTemporal(() => {}, { owned: true });
  pipeline = await PipelineUnderTest.create({
    name: 'plan',
    mysqlUrl: inject('mysqlUrl'),
    mssqlUrl: inject('mssqlUrl'),
    temporalAddress: temporal.address,
    customers: 200,
    invoices: 400,
    chunkRows: 100,
    more: 'badRows: quarantine\nbadRowsMax: 20',
  });
  application = await pipeline.connect();
  await application.query('ALTER TABLE customer MODIFY name VARCHAR(40) NOT NULL, ADD UNIQUE KEY (email)');
  pipeline.startWorker();
});
afterAll(async () => {
  await application?.end();
  await pipeline?.end();
  await temporal?.stop();
});

async function stageswap<T>(...rest: string[]): Promise<T> {
  const { report, exitCode } = await pipeline.stageswap(...rest);
  expect(exitCode, JSON.stringify(report)).toBe(0);
  return report as unknown as T;
}
const billing = (text: string) =>
  pipeline.billing.pool.request().batch(text.replaceAll('~', `dbo.${pipeline.billing.prefix}`));
const clients = (text: string) => application.query<RowDataPacket[]>(text);
const countsOf = ({
  table,
  inserted,
  updated,
  deleted,
  keptLive,
  conflicts,
}: TableReport | PlannedTable) => ({
  ...{ table, inserted, updated, deleted, keptLive, conflicts },
});

/** What became of live's rows, and of which of their columns. */
function written(before: Rows, after: Rows, table: TableName) {
  const changed: Record<string, number> = {};
  let [inserted, updated, deleted] = [0, 0, 0];
  for (const [key, row] of after[table]) {
    const was = before[table].get(key);
    if (!was) inserted += 1;
    else if (COLUMNS[table].some((column) => row[column] !== was[column])) updated += 1;
    if (was)
      for (const column of COLUMNS[table])
        if (row[column] !== was[column]) changed[column] = (changed[column] ?? 0) + 1;
  }
  for (const key of before[table].keys()) if (!after[table].has(key)) deleted += 1;
  return { inserted, updated, deleted, changed };
}

/** Plans, runs, and compares the two with each other and with what live holds before and after. */
async function planAndRun(): Promise<{ plan: Plan; run: Report; after: Rows }> {
  const before = await readLive(application);
  const { plan } = await stageswap<{ plan: Plan }>('plan', '--limit', '1000');
  expect(plan.stops).toEqual([]);
  expect(await readLive(application)).toEqual(before);
  const run = await stageswap<Report>('run');
  const after = await readLive(application);
  expect(run.tables.map(countsOf)).toEqual(plan.tables.map(countsOf));
  for (const planned of plan.tables) {
    const table = planned.table as TableName;
    const { changed, ...rows } = written(before, after, table);
    expect(planned, table).toMatchObject(rows);
    for (const { columns, takeSource, settled } of planned.verdicts)
      expect({ columns, taken: takeSource + settled }, table).toEqual({
        columns,
        taken: changed[columns.join()] ?? 0,
      });
    const keys = (rowsOf: Map<string, Row>, others: Map<string, Row>) =>
      [...rowsOf.keys()].filter((key) => !others.has(key)).map((key) => ({ [KEY[table]]: key }));
    expect(planned.insert).toEqual(keys(after[table], before[table]));
    expect(planned.delete).toEqual(keys(before[table], after[table]));
  }
  const { conflicts } = await stageswap<{ conflicts: Conflict[] }>('conflicts', '--limit', '1000');
  const found = conflicts.filter(({ generation }) => generation === conflicts[0]?.generation);
  const shown = ({ table, key, kind, columns, base, source, live }: Plan['conflicts'][0] | Conflict) =>
    JSON.stringify({ table, key, kind, columns, base, source, live });
  expect(found.map(shown).sort()).toEqual(plan.conflicts.map(shown).sort());
  return { plan, run, after };
}

describe('a plan', () => {
  it('says what the run does where nothing is special', async () => {
    await stageswap<Report>('run', '--yes');
    await billing(
      "UPDATE ~Customer SET Name = N'renamed', Email = NULL WHERE CustomerId BETWEEN 100 AND 104",
    );
    await billing('DELETE FROM ~Invoice WHERE InvoiceId > 390');
    await clients("UPDATE customer SET email = 'mine' WHERE customer_id = 104");
    const { plan } = await planAndRun();
    expect(plan.tables).toMatchObject([
      { updated: 5, keptLive: 1, conflicts: 1 },
      { deleted: 10, conflicts: 0 },
    ]);
  });

  it('says what the run does with collisions, orphans, parents that stay, double keys and bad rows', async () => {
    // 10 would take an e-mail that a client gave 11: both fall back, with all their other columns
    await billing("UPDATE ~Customer SET Email = N'one', Name = N'ten' WHERE CustomerId = 10");
    await billing("UPDATE ~Customer SET Name = N'eleven' WHERE CustomerId = 11");
    await clients("UPDATE customer SET email = 'one' WHERE customer_id = 11");
    // a new row with a client's e-mail is held back, and its invoice with it
    await billing("INSERT INTO ~Customer (CustomerId, Name, Email, Balance) VALUES (1001, N'n', N'two', 1)");
    await billing('INSERT INTO ~Invoice (InvoiceId, CustomerId, Amount, Memo) VALUES (1001, 1001, 1, NULL)');
    await clients("UPDATE customer SET email = 'two' WHERE customer_id = 12");
    // a parent that the application deleted stays deleted, and its new child is held back
    await clients('DELETE FROM invoice WHERE customer_id = 20');
    await clients('DELETE FROM customer WHERE customer_id = 20');
    await billing("UPDATE ~Customer SET Name = N'twenty' WHERE CustomerId = 20");
    await billing('INSERT INTO ~Invoice (InvoiceId, CustomerId, Amount, Memo) VALUES (1002, 20, 1, NULL)');
    // a parent that is gone at billing stays for the child that the application made
    await billing('DELETE FROM ~Invoice WHERE CustomerId = 30');
    await billing('DELETE FROM ~Customer WHERE CustomerId = 30');
    await clients("INSERT INTO invoice VALUES (9001, 30, 1, 'own')");
    // both sides made one key, and billing a child of it
    await clients("INSERT INTO customer (customer_id, name) VALUES (1003, 'ours')");
    await billing(
      "INSERT INTO ~Customer (CustomerId, Name, Email, Balance) VALUES (1003, N'theirs', NULL, 1)",
    );
    await billing('INSERT INTO ~Invoice (InvoiceId, CustomerId, Amount, Memo) VALUES (1003, 1003, 1, NULL)');
    // names that live cannot hold: of a row of both sides that a client has edited, and of a new one with a child
    await billing(
      `UPDATE ~Customer SET Name = N'${'x'.repeat(50)}', Balance = 7 WHERE CustomerId IN (40, 41)`,
    );
    await clients("UPDATE customer SET email = 'forty' WHERE customer_id = 40");
    await billing(
      `INSERT INTO ~Customer (CustomerId, Name, Email, Balance) VALUES (1004, N'${'y'.repeat(50)}', NULL, 1)`,
    );
    await billing('INSERT INTO ~Invoice (InvoiceId, CustomerId, Amount, Memo) VALUES (1004, 1004, 1, NULL)');
    // and what is merged as ever
    await billing("UPDATE ~Customer SET Name = N'fifty', Balance = 50 WHERE CustomerId = 50");
    await billing("INSERT INTO ~Customer (CustomerId, Name, Email, Balance) VALUES (1005, N'new', NULL, 1)");

    const { plan, run, after } = await planAndRun();
    expect(plan.tables).toMatchObject([
      { table: 'customer', inserted: 1, updated: 1, deleted: 0 },
      { table: 'invoice', inserted: 0, updated: 0 },
    ]);
    const kinds = [...new Set(plan.conflicts.map(({ kind }) => kind))].sort();
    expect(kinds).toEqual(['badValue', 'deletedInLive', 'orphan', 'parent', 'sameKey', 'unique']);
    expect(after.customer.get('10')).toMatchObject({ email: 'c10@old.example' });
    expect(run.outcome).toBe('published');
  });

  it('says what the run does with what was held back, once that is over', async () => {
    await clients("UPDATE customer SET email = 'free' WHERE customer_id IN (11)");
    await clients('UPDATE customer SET email = NULL WHERE customer_id = 12');
    await clients('DELETE FROM customer WHERE customer_id = 1003');
    await billing("UPDATE ~Customer SET Name = N'short' WHERE CustomerId IN (40, 41, 1004)");
    const { plan } = await planAndRun();
    expect(plan.tables).toMatchObject([
      { table: 'customer', inserted: 3, updated: 4 },
      { table: 'invoice', inserted: 3 },
    ]);
  });
});
