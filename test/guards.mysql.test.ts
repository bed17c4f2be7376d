import { afterEach, describe, expect, inject, it } from 'vitest';
import type { Reason } from '../src/model/approval.js';
import { ByHand, type SetAside, type SourceRows, sourceTable } from './support/by-hand.js';

/** Guards say, with counts, what a run must be asked about before its cut-over; what they let pass is published. */
const CUSTOMER = 'CREATE TABLE customer (id INT PRIMARY KEY, email VARCHAR(40), balance DECIMAL(18,4))';
const INVOICE = 'CREATE TABLE invoice (id INT PRIMARY KEY, customer_id INT NOT NULL, total DECIMAL(18,4))';
const TABLES = `
  - { source: dbo.Customer, live: customer, key: [id], columns: { id: Id, email: Email, balance: Balance } }
  - { source: dbo.Invoice, live: invoice, key: [id], columns: { id: Id, customer_id: CustomerId, total: Total } }
`;
const SOURCE = [
  sourceTable('Customer', { Id: 'int', Email: 'nvarchar', Balance: 'decimal' }, ['Id']),
  sourceTable('Invoice', { Id: 'int', CustomerId: 'int', Total: 'decimal' }, ['Id']),
];
const GUARDS = `
guards: { deleteShareMax: 0.25, changeShareMax: 0.5, emptyShareMax: 0.2 }
assertions:
  - name: balances are the sums of invoices
    sql: |
      SELECT c.id FROM {customer} c LEFT JOIN {invoice} i ON i.customer_id = c.id
      GROUP BY c.id, c.balance HAVING c.balance <> COALESCE(SUM(i.total), 0);
`;
const ROWS = 10;
const source = (
  change: (customer: (string | number | null)[], id: number) => void = () => {},
): SourceRows => ({
  customer: Array.from({ length: ROWS }, (_, index) => {
    const row: (string | number | null)[] = [index + 1, `c${index + 1}@x`, `${index + 1}.0000`];
    change(row, index + 1);
    return row;
  }),
  invoice: Array.from({ length: ROWS }, (_, index) => [index + 1, index + 1, `${index + 1}.0000`]),
});
const withoutCustomers = (count: number): SourceRows => ({
  customer: (source().customer ?? []).slice(count),
  invoice: (source().invoice ?? []).slice(count),
});

let pipeline: ByHand;
afterEach(async () => pipeline?.close());

/** What the guards say of a second run; nothing if they let it pass. */
async function second(rows: SourceRows, bad: SetAside[] = []): Promise<string[]> {
  pipeline = await ByHand.open(
    inject('mysqlUrl'),
    'stageswap_test_guards',
    [CUSTOMER, INVOICE],
    TABLES,
    SOURCE,
    {
      more: bad.length > 0 ? `${GUARDS}badRows: quarantine\n` : GUARDS,
    },
  );
  await pipeline.publish(source());
  let said: Reason[] = [];
  const guards = async () => {
    said = await pipeline.guards();
  };
  await pipeline.publish(rows, guards, bad);
  return said.map(({ kind, of, measure, text }) => `${kind} ${of} ${measure}: ${text}`);
}

describe('a run passes the guards', () => {
  it('when nothing changed', async () => expect(await second(source())).toEqual([]));
  it('when it deletes no greater share than allowed', async () =>
    expect(await second(withoutCustomers(2))).toEqual([]));
});

it('a run passes the guards when live keeps what it sets aside', async () => {
  const bad = (live: string) =>
    ['1', '2', '3'].map((key) => ({ live, key: [key], column: 'Id', reason: 'planted' }));
  expect(await second(withoutCustomers(3), [...bad('customer'), ...bad('invoice')])).toEqual([]);
});

describe('a guard trips', () => {
  it('when the run would delete a greater share of a table', async () => {
    expect(await second(withoutCustomers(3))).toEqual([
      'deleteShare customer 3: the run would delete 3 of 10 rows of customer (30.0 %), more than guards.deleteShareMax (0.25)',
      'deleteShare invoice 3: the run would delete 3 of 10 rows of invoice (30.0 %), more than guards.deleteShareMax (0.25)',
    ]);
  });
  it('when a table is empty at the source, and was not before; what follows from it is said, too', async () => {
    const said = await second({ ...source(), invoice: [] });
    expect(said[0]).toContain('dbo.Invoice is empty, and had 10 rows when invoice was last published');
    expect(said[1]).toContain('delete 10 of 10 rows of invoice');
    expect(said[2]).toContain('"balances are the sums of invoices" is broken by 10 rows');
    expect(said).toHaveLength(3);
  });
  it('when a column changed in a greater share of the rows, and says which', async () => {
    const rows = source((row, id) => {
      if (id <= 6) row[1] = `moved${id}@x`;
    });
    expect(await second(rows)).toEqual([
      'changeShare customer.email 6: the source changed customer.email in 6 of 10 rows (60.0 %), more than guards.changeShareMax (0.5)',
    ]);
  });
  it('when a column became NULL, zero or empty in a greater share of the rows', async () => {
    const rows = source((row, id) => {
      if (id <= 3) row[1] = [null, '', null][id - 1] ?? null;
    });
    expect(await second(rows)).toEqual([
      'emptyShare customer.email 3: the source emptied customer.email in 3 of 10 rows (30.0 %), more than guards.emptyShareMax (0.2)',
    ]);
  });
  it('when an assertion of the pipeline does not hold, and names it', async () => {
    const rows = source((row, id) => {
      if (id === 4) row[2] = '99.0000';
    });
    expect(await second(rows)).toEqual([
      'assertion balances are the sums of invoices 1: the assertion "balances are the sums of invoices" is broken by 1 row',
    ]);
  });
});

it('an assertion that MySQL cannot run, or of another table, is refused before anything is touched', async () => {
  pipeline = await ByHand.open(
    inject('mysqlUrl'),
    'stageswap_test_guards',
    [CUSTOMER, INVOICE],
    TABLES,
    SOURCE,
    {
      more: `
assertions:
  - { name: typo, sql: "SELECT nothing FROM {customer}" }
  - { name: stranger, sql: "SELECT 1 FROM {ledger}" }
`,
    },
  );
  const found = (await pipeline.decide()).refusals.map(({ where, what }) => `${where}: ${what}`);
  expect(found).toContainEqual(expect.stringContaining("typo\": Unknown column 'nothing'"));
  expect(found).toContainEqual(expect.stringContaining('stranger": {ledger} is no live table'));
});
