import type { RowDataPacket } from 'mysql2/promise';
import { afterEach, describe, expect, inject, it } from 'vitest';
import { control } from '../src/model/names.js';
import { id, sql } from '../src/sql/text.js';
import { ByHand, type SourceRows, sourceTable } from './support/by-hand.js';

/** The rules across the group: parent, orphan, sameKey and unique, in the merge and in replay; and what base becomes. */
const CUSTOMER =
  'CREATE TABLE customer (id INT PRIMARY KEY, email VARCHAR(40), name VARCHAR(40), note VARCHAR(40), UNIQUE KEY by_email (email), KEY by_name (name))';
const INVOICE =
  'CREATE TABLE invoice (id INT PRIMARY KEY, customer_id INT NOT NULL, memo VARCHAR(40), CONSTRAINT of_customer FOREIGN KEY (customer_id) REFERENCES customer (id))';
const LINE =
  'CREATE TABLE line (invoice_id INT, no INT, text VARCHAR(40), PRIMARY KEY (invoice_id, no), CONSTRAINT of_invoice FOREIGN KEY (invoice_id) REFERENCES invoice (id))';
const TABLES = `
  - { source: dbo.Customer, live: customer, key: [id], columns: { id: Id, email: Email, name: Name } }
  - { source: dbo.Invoice, live: invoice, key: [id], columns: { id: Id, customer_id: CustomerId, memo: Memo } }
  - { source: dbo.Line, live: line, key: [invoice_id, no], columns: { invoice_id: InvoiceId, no: No, text: Text } }
`;
const SOURCE = [
  sourceTable('Customer', { Id: 'int', Email: 'nvarchar', Name: 'nvarchar' }, ['Id']),
  sourceTable('Invoice', { Id: 'int', CustomerId: 'int', Memo: 'nvarchar' }, ['Id']),
  sourceTable('Line', { InvoiceId: 'int', No: 'int', Text: 'nvarchar' }, ['InvoiceId', 'No']),
];
const SCHEMA = 'stageswap_test_group';

let pipeline: ByHand;
afterEach(async () => pipeline?.close());

/** Live as the source was first published, and what clients did since. */
async function published(first: SourceRows, ...edits: string[]): Promise<void> {
  pipeline = await ByHand.open(inject('mysqlUrl'), SCHEMA, [CUSTOMER, INVOICE, LINE], TABLES, SOURCE);
  await pipeline.publish(first);
  await clients(...edits);
}
async function clients(...edits: string[]): Promise<void> {
  for (const edit of edits) await pipeline.application.query(edit);
}
async function live(table: string): Promise<unknown[][]> {
  const [rows] = await pipeline.application.query<RowDataPacket[]>({
    sql: `SELECT * FROM ${table} ORDER BY 1, 2`,
    rowsAsArray: true,
  });
  return rows as unknown as unknown[][];
}
async function conflicts(): Promise<string[]> {
  const rows = await pipeline.session.rows<{ what: string }>(
    sql`SELECT CONCAT(kind, ' ', live, ' ', JSON_EXTRACT(row_key, '$.*')) AS what FROM ${id(control.conflict)} WHERE generation = (SELECT MAX(generation) FROM ${id(control.conflict)} AS newest) ORDER BY what`,
  );
  return rows.map((row) => row.what.replaceAll('"', ''));
}
const GROUP: SourceRows = {
  customer: [
    [1, 'a@x', 'Ada'],
    [2, 'b@x', 'Bob'],
    [3, 'c@x', 'Cyd'],
  ],
  invoice: [[10, 2, 'first']],
  line: [[10, 1, 'one']],
};
const without = (key: number): SourceRows => ({
  ...GROUP,
  customer: (GROUP.customer ?? []).filter(([customer]) => customer !== key),
});

describe('a parent that is gone at the source', () => {
  it('stays while a child of the application’s own needs it, and is the application’s own from then on', async () => {
    await published(GROUP, "INSERT INTO invoice VALUES (900, 1, 'own')");
    await pipeline.publish(without(1));
    expect((await live('customer')).map(([key]) => key)).toEqual([1, 2, 3]);
    expect(await conflicts()).toEqual(['parent customer [1]']);
    await clients('DELETE FROM invoice WHERE id = 900');
    await pipeline.publish(without(1));
    expect((await live('customer')).map(([key]) => key)).toEqual([1, 2, 3]);
  });
  it('stays for a child that a client makes while the run works', async () => {
    await published(GROUP);
    await pipeline.publish(without(1), () => clients("INSERT INTO invoice VALUES (900, 1, 'own')"));
    expect((await live('customer')).map(([key]) => key)).toEqual([1, 2, 3]);
    expect(await conflicts()).toEqual(['parent customer [1]']);
  });
  it('goes when the child for which it was kept goes while the run works, and not while another child needs it', async () => {
    await published(GROUP, "INSERT INTO invoice VALUES (900, 1, 'own'), (901, 3, 'own'), (902, 3, 'own')");
    const source = { ...GROUP, customer: [[2, 'b@x', 'Bob']] };
    await pipeline.publish(source, () => clients('DELETE FROM invoice WHERE id IN (900, 901)'));
    expect((await live('customer')).map(([key]) => key)).toEqual([2, 3]);
    expect(await conflicts()).toEqual(['parent customer [3]']);
  });
});

describe('a new row of the source', () => {
  const more: SourceRows = {
    ...GROUP,
    invoice: [...(GROUP.invoice ?? []), [11, 1, 'new']],
    line: [...(GROUP.line ?? []), [11, 1, 'new line']],
  };
  it('is held back with its children while its parent stays deleted, and is tried again in the next run', async () => {
    await published(GROUP, 'DELETE FROM customer WHERE id = 1');
    await pipeline.publish(more);
    expect((await live('invoice')).map(([key]) => key)).toEqual([10]);
    expect(await live('line')).toHaveLength(1);
    expect(await conflicts()).toEqual(['orphan invoice [11]', 'orphan line [1, 11]']);
    await clients("INSERT INTO customer VALUES (1, 'a@x', 'Ada', NULL)");
    await pipeline.publish(more);
    expect((await live('invoice')).map(([key]) => key)).toEqual([10, 11]);
    expect(await live('line')).toHaveLength(2);
  });
  it('is held back when a client deletes its parent while the run works', async () => {
    await published(GROUP);
    await pipeline.publish(more, () => clients('DELETE FROM customer WHERE id = 1'));
    expect((await live('customer')).map(([key]) => key)).toEqual([2, 3]);
    expect((await live('invoice')).map(([key]) => key)).toEqual([10]);
    expect(await conflicts()).toEqual(['orphan invoice [11]', 'orphan line [1, 11]']);
  });
  it('comes when a client brings its parent back while the run works', async () => {
    await published(GROUP, 'DELETE FROM customer WHERE id = 1');
    await pipeline.publish(more, () => clients("INSERT INTO customer VALUES (1, 'a@x', 'Ada', NULL)"));
    expect((await live('invoice')).map(([key]) => key)).toEqual([10, 11]);
    expect(await live('line')).toHaveLength(2);
  });
  it('is held back where the application made a parent of the same key', async () => {
    await published(GROUP, "INSERT INTO customer VALUES (5, 'own@x', 'Own', NULL)");
    await pipeline.publish({
      ...more,
      customer: [...(GROUP.customer ?? []), [5, 'five@x', 'Five']],
      invoice: [...(GROUP.invoice ?? []), [12, 5, 'of five']],
      line: [...(GROUP.line ?? []), [12, 1, 'line of five']],
    });
    expect(await live('customer')).toContainEqual([5, 'own@x', 'Own', null]);
    expect((await live('invoice')).map(([key]) => key)).toEqual([10]);
    expect(await conflicts()).toEqual(['orphan invoice [12]', 'orphan line [1, 12]', 'sameKey customer [5]']);
  });
});

describe('rows that would have the same value in a unique index', () => {
  const moved: SourceRows = {
    ...GROUP,
    customer: [
      [1, 'c@client', 'Ada L.'],
      [2, 'b@x', 'Bob'],
      [3, 'c@x', 'Cyd'],
    ],
  };
  it('fall back to live, both, and are merged as before when they no longer collide', async () => {
    await published(GROUP, "UPDATE customer SET email = 'c@client' WHERE id = 3");
    await pipeline.publish(moved);
    expect((await live('customer')).map(([, email, name]) => [email, name])).toEqual([
      ['a@x', 'Ada'],
      ['b@x', 'Bob'],
      ['c@client', 'Cyd'],
    ]);
    expect(await conflicts()).toEqual(['unique customer [1]', 'unique customer [3]']);
    await clients("UPDATE customer SET email = 'c@other' WHERE id = 3");
    await pipeline.publish(moved);
    expect((await live('customer')).map(([, email, name]) => [email, name])).toEqual([
      ['c@client', 'Ada L.'],
      ['b@x', 'Bob'],
      ['c@other', 'Cyd'],
    ]);
  });
  it('fall back when a client makes them collide while the run works, and not when it parts them', async () => {
    await published(GROUP);
    await pipeline.publish(moved, () => clients("UPDATE customer SET email = 'c@client' WHERE id = 3"));
    expect((await live('customer')).map(([, email]) => email)).toEqual(['a@x', 'b@x', 'c@client']);
    expect(await conflicts()).toEqual(['unique customer [1]', 'unique customer [3]']);
    await pipeline.publish(moved, () => clients("UPDATE customer SET email = 'c@other' WHERE id = 3"));
    expect((await live('customer')).map(([, email]) => email)).toEqual(['c@client', 'b@x', 'c@other']);
  });
  it('are counted as kept, and not as updated, once each', async () => {
    await published(GROUP, "UPDATE customer SET email = 'same@x' WHERE id = 1");
    let counts: unknown;
    const changed: SourceRows = {
      ...GROUP,
      customer: [
        [1, 'a@x', 'Ada'],
        [2, 'same@x', 'Bob'],
        [3, 'c@x', 'Cyd'],
      ],
    };
    await pipeline.publish(changed, async () => {
      counts = await pipeline.again('countHeldBack', 2);
    });
    expect(counts).toMatchObject({
      customer: { notInserted: 0, fallenBack: 2, notUpdated: 1, keptAlready: 1, parentsKept: 0 },
    });
  });

  it('exchange their values without falling back', async () => {
    await published(GROUP);
    const exchanged = [
      [1, 'b@x', 'Ada'],
      [2, 'a@x', 'Bob'],
      [3, 'c@x', 'Cyd'],
    ];
    await pipeline.publish({ ...GROUP, customer: exchanged }, () =>
      clients("UPDATE customer SET note = 'seen' WHERE id = 1"),
    );
    expect((await live('customer')).map(([, email, , note]) => [email, note])).toEqual([
      ['b@x', 'seen'],
      ['a@x', null],
      ['c@x', null],
    ]);
  });
  it('are held back where they are new at the source, with their children', async () => {
    await published(GROUP, "UPDATE customer SET email = 'new@x' WHERE id = 3");
    await pipeline.publish({
      customer: [...(GROUP.customer ?? []), [6, 'new@x', 'New']],
      invoice: [...(GROUP.invoice ?? []), [13, 6, 'of new']],
      line: GROUP.line ?? [],
    });
    expect((await live('customer')).map(([key, email]) => [key, email])).toEqual([
      [1, 'a@x'],
      [2, 'b@x'],
      [3, 'new@x'],
    ]);
    expect((await live('invoice')).map(([key]) => key)).toEqual([10]);
    expect(await conflicts()).toEqual(['orphan invoice [13]', 'unique customer [3]', 'unique customer [6]']);
  });
});

it('a rollback keeps what clients built upon since', async () => {
  await published(GROUP);
  const second = await pipeline.publish({
    ...GROUP,
    customer: [...(GROUP.customer ?? []), [7, 'seven@x', 'Seven']],
  });
  await clients("INSERT INTO invoice VALUES (950, 7, 'own')");
  await pipeline.rollBack(second);
  expect((await live('customer')).map(([key]) => key)).toEqual([1, 2, 3, 7]);
  expect(await conflicts()).toEqual(['parent customer [7]']);
});

it('live keeps its indexes and foreign keys, in the order that they had', async () => {
  await published(GROUP);
  await pipeline.publish(GROUP);
  const [rows] = await pipeline.application.query<RowDataPacket[]>('SHOW CREATE TABLE customer');
  expect(rows[0]?.['Create Table']).toContain(
    'PRIMARY KEY (`id`),\n  UNIQUE KEY `by_email` (`email`),\n  KEY `by_name` (`name`)',
  );
  const [invoices] = await pipeline.application.query<RowDataPacket[]>('SHOW CREATE TABLE invoice');
  expect(invoices[0]?.['Create Table']).toContain('FOREIGN KEY (`customer_id`) REFERENCES `customer` (`id`)');
});
