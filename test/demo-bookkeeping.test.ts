import { describe, expect, test } from 'vitest';
import { type BillingChange, Bookkeeping, Latency, same } from '../demo/app/bookkeeping.js';
import { Chinook, parseCsv } from '../demo/app/chinook.js';
import type { Row, TableName } from '../demo/app/tables.js';

const cell = { table: 'customer' as const, key: '7', column: 'email' };
const liveWith = (row: Row | undefined) => (table: TableName, key: string) =>
  table === 'customer' && key === '7' ? row : undefined;

function edited(...tokens: string[]): Bookkeeping {
  const books = new Bookkeeping();
  for (const token of tokens) books.settle(books.begin(cell, token, 'sql'), 'done');
  return books;
}

const change = (more: Partial<BillingChange> = {}): BillingChange => ({
  kind: 'update',
  table: 'customer',
  key: '7',
  unit: 'email',
  columns: { email: { from: 'old', to: 'billing' } },
  seen: false,
  ...more,
});

describe('the books of client edits', () => {
  test('the last acknowledged edit of a field in live means that nothing is lost', () => {
    expect(edited('a', 'b').verifyEdits(liveWith({ email: 'b' }))).toMatchObject({
      edits: 2,
      cells: 1,
      lost: [],
    });
  });

  test('an earlier edit in live means that the later ones are lost', () => {
    const { lost } = edited('a', 'b', 'c').verifyEdits(liveWith({ email: 'a' }));
    expect(lost.map(({ edit, found }) => [edit.token, found])).toEqual([
      ['b', 'a'],
      ['c', 'a'],
    ]);
  });

  test('a foreign value, NULL or a missing row means that all edits of the field are lost', () => {
    for (const row of [{ email: 'billing' }, { email: null }, undefined]) {
      expect(edited('a', 'b').verifyEdits(liveWith(row)).lost).toHaveLength(2);
    }
  });

  test('an edit that was lost once stays lost when the field is edited again', () => {
    const books = edited('a');
    expect(books.verifyEdits(liveWith({ email: 'billing' })).lost).toHaveLength(1);
    books.settle(books.begin(cell, 'b', 'sql'), 'done');
    expect(books.verifyEdits(liveWith({ email: 'b' }))).toMatchObject({
      edits: 2,
      lost: [{ edit: { token: 'a' } }],
    });
  });

  test('order is that of acknowledgement, not that of sending', () => {
    const books = new Bookkeeping();
    const first = books.begin(cell, 'a', 'sql');
    const second = books.begin(cell, 'b', 'sql');
    books.settle(second, 'done');
    books.settle(first, 'done');
    expect(books.verifyEdits(liveWith({ email: 'a' })).lost).toEqual([]);
  });

  test('an edit whose outcome nobody knows may be in live or not, and its field is not edited again', () => {
    const books = edited('a');
    books.settle(books.begin(cell, 'b', 'update'), 'unknown');
    expect(books.verifyEdits(liveWith({ email: 'b' }))).toMatchObject({ edits: 1, unknown: 1, lost: [] });
    expect(books.verifyEdits(liveWith({ email: 'a' })).lost).toEqual([]);
    expect(books.isDoubtful(cell)).toBe(true);
    expect(books.verifyEdits(liveWith({ email: 'billing' })).lost).toHaveLength(1);
  });

  test('a refused edit is not counted and must not hide a loss', () => {
    const books = edited('a');
    books.settle(books.begin(cell, 'b', 'sql'), 'failed');
    expect(books.verifyEdits(liveWith({ email: 'b' }))).toMatchObject({
      edits: 1,
      lost: [{ edit: { token: 'a' } }],
    });
  });
});

describe('the books of billing changes', () => {
  test('a change is arrived, held back by a client edit of the same unit, or missing', () => {
    expect(new Bookkeeping().judge(change(), liveWith({ email: 'billing' }))).toBe('arrived');
    expect(edited('a').judge(change(), liveWith({ email: 'a' }))).toBe('conflict');
    expect(new Bookkeeping().judge(change(), liveWith({ email: 'old' }))).toBe('missing');
  });

  test('an edit of another field of the row is no excuse', () => {
    expect(
      edited('a').judge(
        change({ unit: 'phone', columns: { phone: { from: '1', to: '2' } } }),
        liveWith({ email: 'a', phone: '1' }),
      ),
    ).toBe('missing');
  });

  test('an edit of any column of an address holds back the whole address', () => {
    const books = new Bookkeeping();
    books.settle(books.begin({ ...cell, column: 'city' }, 'mine', 'sql'), 'done');
    const address = change({
      unit: 'address',
      columns: { address: { from: 'a', to: 'b' }, postal_code: { from: '1', to: '2' } },
    });
    expect(books.judge(address, liveWith({ address: 'a', city: 'mine', postal_code: '1' }))).toBe('conflict');
  });

  test('a change that a client saw before editing over it has arrived', () => {
    expect(edited('a').judge(change({ seen: true }), liveWith({ email: 'a' }))).toBe('arrived');
  });

  test('inserted rows must be there whole, deleted rows gone', () => {
    const books = new Bookkeeping();
    const insert = change({ kind: 'insert', columns: { email: { from: null, to: 'x' } } });
    expect(books.judge(insert, liveWith({ email: 'x' }))).toBe('arrived');
    expect(books.judge(insert, liveWith({ email: 'y' }))).toBe('missing');
    expect(books.judge(insert, liveWith(undefined))).toBe('missing');
    expect(books.judge(change({ kind: 'delete' }), liveWith(undefined))).toBe('arrived');
    expect(books.judge(change({ kind: 'delete' }), liveWith({ email: 'old' }))).toBe('missing');
  });

  test('after a rollback a value is back unless a client edited its unit', () => {
    const books = new Bookkeeping();
    expect(books.judgeRolledBack(change(), liveWith({ email: 'old' }))).toBe('back');
    expect(books.judgeRolledBack(change(), liveWith({ email: 'billing' }))).toBe('notBack');
    expect(edited('a').judgeRolledBack(change(), liveWith({ email: 'a' }))).toBe('client');
    expect(books.judgeRolledBack(change({ kind: 'insert' }), liveWith({ email: 'x' }))).toBe('notBack');
    expect(books.judgeRolledBack(change({ kind: 'delete' }), liveWith({ email: 'old' }))).toBe('back');
    expect(books.judgeRolledBack(change({ kind: 'delete' }), liveWith(undefined))).toBe('notBack');
  });
});

test('NULL is the same as NULL only, and numbers are the same as their text', () => {
  expect([same(null, null), same(null, ''), same(7, '7'), same(undefined, null)]).toEqual([
    true,
    false,
    true,
    false,
  ]);
});

test('latency knows the longest and the usual time', () => {
  const latency = new Latency();
  for (const ms of [1, 1, 1, 40]) latency.add(ms);
  expect([latency.count, latency.msMax, latency.quantile(0.5)]).toEqual([4, 40, 1]);
});

describe('the demo rows', () => {
  test('fields in quotes may hold commas and quotes', () => {
    expect(parseCsv('a,b\n"x, ""y""",\n')).toEqual([
      ['a', 'b'],
      ['x, "y"', ''],
    ]);
  });

  test('are the same for the same seed, about as many as asked for, and whole in their references', () => {
    const data = new Chinook(10_000, 5);
    expect(data.rows).toBe(4 * 2711);
    const key = data.counts.invoice_line;
    expect(data.row('invoice_line', key)).toEqual(new Chinook(10_000, 5).row('invoice_line', key));
    expect(data.row('customer', 60)).not.toEqual(new Chinook(10_000, 6).row('customer', 60));
    const ids = new Set([...data.all('customer')].map((row) => row.customer_id));
    expect(ids.size).toBe(data.counts.customer);
    for (const invoice of data.all('invoice')) expect(ids.has(invoice.customer_id ?? null)).toBe(true);
    expect(() => data.row('customer', data.counts.customer + 1)).toThrow(RangeError);
  });
});
