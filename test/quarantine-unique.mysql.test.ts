import { afterEach, expect, inject, it } from 'vitest';
import { readConflicts } from '../src/mysql/settlements.js';
import { ByHand, sourceTable } from './support/by-hand.js';

/** A parent that was set aside, and children that refer to it by another column than its key. */
let hand: ByHand;
afterEach(async () => hand?.close());

const ids = async () =>
  ((await hand.application.query('SELECT id FROM invoice ORDER BY id'))[0] as { id: number }[]).map(
    ({ id }) => id,
  );

it('holds back the children of a parent that was set aside, where they refer to a UNIQUE column of it', async () => {
  hand = await ByHand.open(
    inject('mysqlUrl'),
    'stageswap_test_quarantine_unique',
    [
      'CREATE TABLE customer (id INT PRIMARY KEY, code VARCHAR(10) NOT NULL, n INT, UNIQUE KEY (code))',
      'CREATE TABLE invoice (id INT PRIMARY KEY, code VARCHAR(10), FOREIGN KEY (code) REFERENCES customer (code))',
    ],
    `  - { source: dbo.Customer, live: customer, key: [id], columns: { id: Id, code: Code, n: N } }
  - { source: dbo.Invoice, live: invoice, key: [id], columns: { id: Id, code: Code } }
`,
    [
      sourceTable('Customer', { Id: 'int', Code: 'nvarchar', N: 'int' }, ['Id']),
      sourceTable('Invoice', { Id: 'int', Code: 'nvarchar' }, ['Id']),
    ].map((table) => ({
      ...table,
      columns: table.columns.map((column) => ({ ...column, nullable: false, maxLengthBytes: 20 })),
    })),
    { more: 'badRows: quarantine' },
  );
  await hand.publish({ customer: [[1, 'a', 1]], invoice: [[10, 'a']] });
  const invoice = [
    [10, 'a'],
    [11, 'b'],
  ];
  await hand.publish({ customer: [[1, 'a', 1]], invoice }, {}, [
    { live: 'customer', key: ['2'], column: 'N', reason: 'a number outside of its range' },
  ]);
  expect(await ids()).toEqual([10]);
  const { conflicts } = await readConflicts(hand.session, 'hand', {}, 9);
  expect(conflicts.map(({ table, kind, key }) => [table, kind, key.id]).sort()).toEqual([
    ['customer', 'badValue', '2'],
    ['invoice', 'orphan', '11'],
  ]);
  await hand.publish({
    customer: [
      [1, 'a', 1],
      [2, 'b', 2],
    ],
    invoice,
  });
  expect(await ids()).toEqual([10, 11]);
});

it('refuses a child without a parent where no parent was set aside', async () => {
  hand = await ByHand.open(
    inject('mysqlUrl'),
    'stageswap_test_quarantine_unique',
    [
      'CREATE TABLE customer (id INT PRIMARY KEY, code VARCHAR(10) NOT NULL, UNIQUE KEY (code))',
      'CREATE TABLE invoice (id INT PRIMARY KEY, code VARCHAR(10), FOREIGN KEY (code) REFERENCES customer (code))',
    ],
    `  - { source: dbo.Customer, live: customer, key: [id], columns: { id: Id, code: Code } }
  - { source: dbo.Invoice, live: invoice, key: [id], columns: { id: Id, code: Code } }
`,
    [
      sourceTable('Customer', { Id: 'int', Code: 'nvarchar' }, ['Id']),
      sourceTable('Invoice', { Id: 'int', Code: 'nvarchar' }, ['Id']),
    ].map((table) => ({
      ...table,
      columns: table.columns.map((column) => ({ ...column, nullable: false, maxLengthBytes: 20 })),
    })),
    { more: 'badRows: quarantine' },
  );
  await expect(hand.publish({ customer: [[1, 'a']], invoice: [[11, 'b']] })).rejects.toThrow(
    /would have no parent/,
  );
});
