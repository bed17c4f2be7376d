import type mysql from 'mysql2/promise';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it, vi } from 'vitest';
import { control } from '../src/model/names.js';
import { type MergeUnit, type TableSpec, tableOf } from '../src/model/spec.js';
import { publishedSpec } from '../src/mysql/published.js';
import {
  type Conflict,
  notSettleable,
  readConflicts,
  readEdits,
  resync,
  settle,
  yieldTo,
} from '../src/mysql/settlements.js';
import { setAside } from '../src/sql/group.js';
import type { ConflictFilter } from '../src/sql/settlements.js';
import { id, sql } from '../src/sql/text.js';
import { ByHand, sourceTable } from './support/by-hand.js';
import { WAIT_MS_MAX } from './support/patience.js';

/** Settling conflicts, giving edits back to billing, taking rows from billing again: what the runs after it make of that. */
const SCHEMA = 'stageswap_test_settle';
let hand: ByHand;

type Customer = [
  id: number,
  email: string | null,
  street: string | null,
  city: string | null,
  balance: string,
];
const BASE: Customer[] = [
  [1, 'a@old', 'Elm 1', 'Oslo', '1.0000'],
  [2, 'b@old', 'Oak 2', 'Bonn', '2.0000'],
  [3, 'c@old', 'Ash 3', 'Rome', '3.0000'],
];
/** The rows of billing with changes by key: columns in the order of the mapping. */
const billing = (changes: Record<number, Partial<Record<1 | 2 | 3 | 4, string | null>>> = {}): Customer[] =>
  BASE.map((row) => row.map((value, at) => changes[row[0]]?.[at as 1] ?? value) as Customer);
const source = (customers: Customer[], invoices: [number, number, string][] = []) => ({
  customer: customers,
  invoice: invoices,
});

const open = async () => {
  hand = await ByHand.open(
    inject('mysqlUrl'),
    SCHEMA,
    [
      `CREATE TABLE customer (customer_id BIGINT PRIMARY KEY, email VARCHAR(60), street VARCHAR(60), city VARCHAR(60), balance DECIMAL(18,4), note VARCHAR(60) DEFAULT 'none', UNIQUE KEY by_email (email))`,
      `CREATE TABLE invoice (invoice_id BIGINT PRIMARY KEY, customer_id BIGINT NOT NULL, memo VARCHAR(60), CONSTRAINT of_customer FOREIGN KEY (customer_id) REFERENCES customer (customer_id))`,
    ],
    `
  - source: dbo.Customer
    live: customer
    key: [customer_id]
    columns: { customer_id: Id, email: Email, street: Street, city: City, balance: { from: Balance, owner: source } }
    groups: [[street, city]]
  - source: dbo.Invoice
    live: invoice
    key: [invoice_id]
    columns: { invoice_id: Id, customer_id: CustomerId, memo: Memo }
guards: { deleteShareMax: 1 }
badRows: quarantine
badRowsMax: 10
`,
    [
      sourceTable(
        'Customer',
        { Id: 'bigint', Email: 'nvarchar', Street: 'nvarchar', City: 'nvarchar', Balance: 'decimal' },
        ['Id'],
      ),
      sourceTable('Invoice', { Id: 'bigint', CustomerId: 'bigint', Memo: 'nvarchar' }, ['Id']),
    ],
  );
};
beforeAll(open);
beforeEach(async () => {
  await hand.close();
  await open();
  await hand.publish(source(BASE));
});
afterAll(async () => hand?.close());

const edit = (text: string) => hand.application.query(text);
const live = async (columns = 'customer_id, email, street, city, balance') => {
  const [rows] = await hand.application.query<mysql.RowDataPacket[]>({
    sql: `SELECT ${columns} FROM customer ORDER BY customer_id`,
    rowsAsArray: true,
  } as mysql.QueryOptions);
  return rows as unknown as unknown[][];
};
const conflicts = async (filter: ConflictFilter = {}): Promise<Conflict[]> =>
  (await readConflicts(hand.session, 'hand', filter, 100)).conflicts;
const states = async () =>
  (await conflicts({ all: true })).map(({ generation, kind, state }) => `${generation} ${kind} ${state}`);
const settleAs = (side: 'source' | 'live', filter: ConflictFilter = {}) =>
  settle(hand.session, 'hand', filter, { side, by: 'test' });
const settlements = async () =>
  (
    await hand.session.rows<{ state: string; applied_in: string | null }>(
      sql`SELECT state, applied_in FROM ${id(control.settlement)} ORDER BY id`,
    )
  ).map(({ state, applied_in }) => `${state} ${applied_in ?? '-'}`);
/** Publishes while a client's transaction is open, which is committed when the lock already waits for it: its edits are left for the drain. */
async function publishedBeside(rows: ReturnType<typeof source>, edits: string[]): Promise<void> {
  let edited = () => {};
  const ready = new Promise<void>((resolve) => {
    edited = resolve;
  });
  const publishing = hand.publish(rows, async () => {
    await edit('START TRANSACTION');
    for (const statement of edits) await edit(statement);
    edited();
  });
  await ready;
  await vi.waitFor(
    async () =>
      expect(
        await hand.session.rows(
          sql`SELECT 1 AS found FROM performance_schema.metadata_locks WHERE object_schema = ${SCHEMA} AND lock_status = 'PENDING'`,
        ),
      ).not.toHaveLength(0),
    { timeout: WAIT_MS_MAX, interval: 5 },
  );
  await edit('COMMIT');
  await publishing;
}
async function published(table = 'customer'): Promise<{
  spec: NonNullable<Awaited<ReturnType<typeof publishedSpec>>>;
  table: TableSpec;
  unit(column: string): MergeUnit;
}> {
  const spec = await publishedSpec(hand.session, 'hand');
  if (!spec) throw new Error('never published');
  const found = tableOf(spec, table);
  return {
    spec,
    table: found,
    unit: (column) => found.units.find(({ columns }) => columns.includes(column)) as MergeUnit,
  };
}

describe('a conflict of a field', () => {
  beforeEach(async () => {
    await edit(`UPDATE customer SET email = 'a@client', note = 'own' WHERE customer_id = 1`);
    await edit(`UPDATE customer SET street = 'Client 2' WHERE customer_id = 2`);
  });
  const changed = () => billing({ 1: { 1: 'a@billing', 4: '9.0000' }, 2: { 3: 'Berlin' } });

  it('is kept with all three values, and settled as the source by the next run', async () => {
    await hand.publish(source(changed()));
    expect(await conflicts()).toMatchObject([
      {
        table: 'customer',
        key: { customer_id: '2' },
        kind: 'field',
        columns: ['street', 'city'],
        base: { street: 'Oak 2', city: 'Bonn' },
        source: { street: 'Oak 2', city: 'Berlin' },
        live: { street: 'Client 2', city: 'Bonn' },
        generation: 2,
        settledAs: null,
      },
      {
        key: { customer_id: '1' },
        columns: ['email'],
        base: { email: 'a@old' },
        source: { email: 'a@billing' },
        live: { email: 'a@client' },
      },
    ]);
    expect(await settleAs('source', { column: 'city' })).toBe(1);
    expect(await settleAs('source', { key: { values: { customer_id: '1' } } })).toBe(1);
    expect((await conflicts()).map(({ settledAs }) => settledAs)).toEqual(['source', 'source']);
    await hand.publish(source(changed()));
    expect(await live()).toEqual([
      [1, 'a@billing', 'Elm 1', 'Oslo', '9.0000'],
      [2, 'b@old', 'Oak 2', 'Berlin', '2.0000'],
      BASE[2],
    ]);
    expect((await live('note')).flat()).toEqual(['own', 'none', 'none']);
    expect(await states()).toEqual(['2 field settled', '2 field settled']);
    expect(await settlements()).toEqual(['applied 3', 'applied 3']);
  });

  it('that is settled as live is closed, and live stays', async () => {
    await hand.publish(source(changed()));
    await settleAs('live', { ids: [(await conflicts({ column: 'email' }))[0]?.id ?? ''] });
    await hand.publish(source(changed()));
    expect((await live())[0]).toEqual([1, 'a@client', 'Elm 1', 'Oslo', '9.0000']);
    expect(await states()).toEqual(['2 field open', '2 field settled']);
  });

  it('is settled in the very run that found it, if that is before its cut-over', async () => {
    await hand.publish(source(changed()), async () => {
      expect(await settleAs('source', { where: "live ->> '$.email' LIKE '%@client'" })).toBe(1);
    });
    expect((await live())[0]).toEqual([1, 'a@billing', 'Elm 1', 'Oslo', '9.0000']);
    expect(await states()).toEqual(['2 field open', '2 field settled']);
    expect(await settlements()).toEqual(['applied 2']);
  });

  it('stays as the client wants it if they edit the field after it was settled: the settlement is void', async () => {
    await hand.publish(source(changed()));
    await settleAs('source');
    await edit(`UPDATE customer SET email = 'a@later' WHERE customer_id = 1`);
    await hand.publish(source(changed()), async () => {
      await edit(`UPDATE customer SET city = 'Cologne' WHERE customer_id = 2`); // after the merge took it from billing
    });
    expect(await live()).toEqual([
      [1, 'a@later', 'Elm 1', 'Oslo', '9.0000'],
      [2, 'b@old', 'Client 2', 'Cologne', '2.0000'],
      BASE[2],
    ]);
    expect(await settlements()).toEqual(['void -', 'void -']);
    expect(await states()).toEqual(['2 field open', '2 field open']);
  });

  it('is replaced by a newer one, and the settlement of the older is void', async () => {
    await hand.publish(source(changed()));
    await settleAs('source', { column: 'email' });
    await hand.publish(source(billing({ 1: { 1: 'a@newer' }, 2: { 3: 'Berlin' } })));
    expect((await live())[0]?.[1]).toBe('a@client');
    expect(await states()).toEqual(['3 field open', '2 field open', '2 field replaced']);
    expect(await settlements()).toEqual(['void -']);
  });

  it('is over when both sides agree', async () => {
    await hand.publish(source(changed()));
    await edit(`UPDATE customer SET email = 'a@billing' WHERE customer_id = 1`);
    await edit('DELETE FROM customer WHERE customer_id = 2');
    await hand.publish(source(changed()));
    expect(await states()).toEqual(['2 field replaced', '2 field agreed']);
  });

  it('that a rolled back run settled is open again, and its settlement waits for the next run', async () => {
    await hand.publish(source(changed()));
    await settleAs('source', { column: 'email' });
    const settled = await hand.publish(source(changed()));
    expect((await live())[0]?.[1]).toBe('a@billing');
    await hand.rollBack(settled);
    expect((await live())[0]?.[1]).toBe('a@client');
    expect(await states()).toEqual(['2 field open', '2 field open']);
    expect(await settlements()).toEqual(['pending -']);
    await hand.publish(source(changed()));
    expect((await live())[0]?.[1]).toBe('a@billing');
    expect(await settlements()).toEqual(['applied 5']);
  });

  it('goes with the run that found it when that is rolled back', async () => {
    await hand.rollBack(await hand.publish(source(changed())));
    expect(await states()).toEqual(['2 field undone', '2 field undone']);
    expect(await conflicts()).toEqual([]);
  });

  it('keeps its settlement when the run that carried it out is aborted', async () => {
    await hand.publish(source(changed()));
    await settleAs('source', { column: 'email' });
    await hand.abort(source(changed()), async () => expect(await settlements()).toEqual(['pending 3']));
    expect(await settlements()).toEqual(['pending -']);
    expect((await live())[0]?.[1]).toBe('a@client');
    await hand.publish(source(changed()));
    expect((await live())[0]?.[1]).toBe('a@billing');
  });

  it('is settled once: an edit that brings the old value back stays', async () => {
    await hand.publish(source(changed()));
    await settleAs('source', { column: 'email' });
    await hand.publish(source(changed()));
    await edit(`UPDATE customer SET email = 'a@client' WHERE customer_id = 1`);
    await hand.publish(source(changed()));
    expect((await live())[0]?.[1]).toBe('a@client');
  });

  it('takes the newest word, and a word can be taken back', async () => {
    await hand.publish(source(changed()));
    await settleAs('source');
    await settleAs('live', { column: 'email' });
    expect(await settle(hand.session, 'hand', { column: 'city' }, { side: undefined, by: 'test' })).toBe(1);
    await hand.publish(source(changed()));
    expect((await live())[0]?.[1]).toBe('a@client');
    expect((await live())[1]?.[2]).toBe('Client 2');
    expect(await settlements()).toEqual(['withdrawn -', 'replaced -', 'applied 3']);
  });

  it('is looked at again under the lock, when a client edits its row at the last moment', async () => {
    await hand.publish(source(changed()));
    await settleAs('source');
    await publishedBeside(source(changed()), [
      `UPDATE customer SET note = 'late' WHERE customer_id = 1`,
      `UPDATE customer SET city = 'Cologne' WHERE customer_id = 2`,
    ]);
    expect(await live('customer_id, email, city, note')).toEqual([
      [1, 'a@billing', 'Oslo', 'late'], // what was settled holds: only another column was edited
      [2, 'b@old', 'Cologne', 'none'], // void: the client changed the very value
      [3, 'c@old', 'Rome', 'none'],
    ]);
    expect(await settlements()).toEqual(['void -', 'applied 3']);
  });

  it('is looked at again under the lock with edits of other tables, whichever table of the group it is in', async () => {
    await hand.publish(source(BASE, [[10, 1, 'old']]));
    await edit(`UPDATE invoice SET memo = 'of a client' WHERE invoice_id = 10`);
    const changedMemo = source(BASE, [[10, 1, 'of billing']]);
    await hand.publish(changedMemo);
    await settleAs('source', { table: 'invoice' });
    await publishedBeside(changedMemo, [
      `UPDATE customer SET note = 'late' WHERE customer_id = 1`,
      'UPDATE invoice SET customer_id = 2 WHERE invoice_id = 10',
    ]);
    const [invoices] = await hand.application.query('SELECT * FROM invoice');
    expect(invoices).toEqual([{ invoice_id: 10, customer_id: 2, memo: 'of billing' }]);
    expect((await live('note'))[0]).toEqual(['late']);
    expect(await settlements()).toEqual(['applied 4']);
  });

  it('that would collide in a unique index when settled stays as it is, and its settlement waits', async () => {
    await hand.publish(source(changed()));
    await edit("INSERT INTO customer (customer_id, email) VALUES (9, 'a@billing')");
    await settleAs('source', { column: 'email' });
    await hand.publish(source(changed()));
    expect((await live())[0]?.[1]).toBe('a@client');
    expect(await settlements()).toEqual(['pending -']);
    await edit('DELETE FROM customer WHERE customer_id = 9');
    await hand.publish(source(changed()));
    expect((await live())[0]?.[1]).toBe('a@billing');
    expect(await settlements()).toEqual(['applied 4']);
  });

  it('refuses a condition that MySQL does not understand, and one that writes', async () => {
    await hand.publish(source(changed()));
    await expect(conflicts({ where: 'nothing = 1' })).rejects.toMatchObject({ type: 'Mistyped' });
    await expect(conflicts({ where: '1 = 1) UNION (SELECT 1' })).rejects.toThrow();
  });
});

describe('a conflict of a row', () => {
  it('sameKey: the source takes the row, or live keeps it with a base of its own from then on', async () => {
    await edit(
      `INSERT INTO customer VALUES (8, 'own@8', 's', 'c', 5, 'own'), (9, 'own@9', 's', 'c', 5, 'own')`,
    );
    const with89 = [
      ...BASE,
      [8, 'billing@8', 'S', 'C', '8.0000'] as Customer,
      [9, 'billing@9', 'S', 'C', '9.0000'] as Customer,
    ];
    await hand.publish(source(with89));
    expect(await states()).toEqual(['2 sameKey open', '2 sameKey open']);
    await settleAs('source', { key: { values: { customer_id: '8' } } });
    await settleAs('live', { key: { values: { customer_id: '9' } } });
    await hand.publish(source(with89));
    expect((await live('customer_id, email, street, balance, note')).slice(3)).toEqual([
      [8, 'billing@8', 'S', '8.0000', 'own'],
      [9, 'own@9', 's', '9.0000', 'own'],
    ]);
    expect(await states()).toEqual([
      '3 sameKey settled',
      '3 sameKey settled',
      '2 sameKey settled',
      '2 sameKey settled',
    ]);
    await hand.publish(source(with89.map((row) => [row[0], `new@${row[0]}`, row[2], row[3], row[4]])));
    expect((await live('email')).slice(3).flat()).toEqual(['new@8', 'own@9']);
    expect((await states())[0]).toBe('4 field open');
  });

  it('deletedInLive: the source brings the row back', async () => {
    await edit('DELETE FROM customer WHERE customer_id IN (1, 2)');
    const changed = billing({ 1: { 1: 'a@billing' }, 2: { 1: 'b@billing' } });
    await hand.publish(source(changed));
    expect(await states()).toEqual(['2 deletedInLive open', '2 deletedInLive open']);
    await settleAs('source', { key: { values: { customer_id: '1' } } });
    await settleAs('live', { key: { values: { customer_id: '2' } } });
    await hand.publish(source(changed));
    expect((await live('customer_id, email, note')).slice(0, 2)).toEqual([
      [1, 'a@billing', 'none'],
      [3, 'c@old', 'none'],
    ]);
    expect(await states()).toEqual(['2 deletedInLive settled', '2 deletedInLive settled']);
  });

  it('deletedInLive: is not settled by naming one of its columns', async () => {
    await edit('DELETE FROM customer WHERE customer_id = 1');
    await edit("UPDATE customer SET email = 'b@client' WHERE customer_id = 2");
    await hand.publish(source(billing({ 1: { 1: 'a@billing' }, 2: { 1: 'b@billing' } })));
    const found = await readConflicts(hand.session, 'hand', { column: 'email' }, 10);
    expect(found.conflicts.map(({ kind, key }) => [kind, key])).toEqual([['field', { customer_id: '2' }]]);
    expect(await settleAs('source', { column: 'email' })).toBe(1);
  });

  it('deletedInLive: a child comes back only when its parent is in live', async () => {
    await hand.publish(source(BASE, [[10, 1, 'memo']]));
    await edit('DELETE FROM invoice');
    await edit('DELETE FROM customer WHERE customer_id = 1');
    const changed = source(billing({ 1: { 1: 'a@billing' } }), [[10, 1, 'changed']]);
    await hand.publish(changed);
    await settleAs('source');
    await hand.publish(changed);
    expect(await live('customer_id')).toEqual([[1], [2], [3]]);
    expect(await settlements()).toEqual(['applied 4', 'pending -']);
    await hand.publish(changed);
    const [invoices] = await hand.application.query('SELECT * FROM invoice');
    expect(invoices).toEqual([{ invoice_id: 10, customer_id: 1, memo: 'changed' }]);
  });

  it('deletedAtSource: the source takes the row away, when nothing refers to it any more', async () => {
    await edit(`UPDATE customer SET email = 'a@client' WHERE customer_id = 1`);
    await edit("INSERT INTO invoice VALUES (70, 1, 'own')");
    await hand.publish(source(BASE.slice(1)));
    expect(await states()).toEqual(['2 deletedAtSource open']);
    await settleAs('source');
    await hand.publish(source(BASE.slice(1)));
    expect(await live('customer_id')).toEqual([[1], [2], [3]]);
    expect(await settlements()).toEqual(['pending -']);
    await edit('DELETE FROM invoice');
    await hand.publish(source(BASE.slice(1)));
    expect(await live('customer_id')).toEqual([[2], [3]]);
    expect(await states()).toEqual(['2 deletedAtSource settled']);
  });
});

describe('a conflict of a rule across the group', () => {
  const invoices = async () => {
    const [rows] = await hand.application.query<mysql.RowDataPacket[]>(
      'SELECT invoice_id FROM invoice ORDER BY 1',
    );
    return rows.map((row) => Number(row.invoice_id));
  };
  const open = async () =>
    (await conflicts()).map(({ kind, key }) => `${kind} ${Object.values(key).join()}`).sort();

  it('parent: the source takes it away once no child is left, live keeps it as its own', async () => {
    await edit("INSERT INTO invoice VALUES (70, 1, 'own'), (71, 2, 'own')");
    const only3 = source(BASE.slice(2));
    await hand.publish(only3);
    await hand.publish(only3);
    expect(await open()).toEqual(['parent 1', 'parent 2']); // still: nobody has decided
    await settleAs('source', { key: { values: { customer_id: '1' } } });
    await settleAs('live', { key: { values: { customer_id: '2' } } });
    await hand.publish(only3);
    expect(await live('customer_id')).toEqual([[1], [2], [3]]);
    expect(await settlements()).toEqual(['pending -', 'applied 4']);
    await edit('DELETE FROM invoice');
    await hand.publish(only3);
    expect(await live('customer_id')).toEqual([[2], [3]]);
    expect(await open()).toEqual([]);
  });

  it('unique: live keeps its values, and the other row takes what the source says', async () => {
    await edit("UPDATE customer SET email = 'x', street = 'edited' WHERE customer_id = 2");
    const said = source(billing({ 1: { 1: 'x', 4: '9.0000' }, 2: { 4: '8.0000' } }));
    await hand.publish(said);
    expect(await open()).toEqual(['unique 1', 'unique 2']);
    await settleAs('live', { key: { values: { customer_id: '1' } } });
    await hand.publish(said);
    expect(await live()).toEqual([
      [1, 'a@old', 'Elm 1', 'Oslo', '9.0000'],
      [2, 'x', 'edited', 'Bonn', '8.0000'],
      BASE[2],
    ]);
    expect(await open()).toEqual([]);
    await hand.publish(said);
    expect((await live('email')).flat()).toEqual(['a@old', 'x', 'c@old']);
  });

  it('unique: the source takes both rows; one alone would collide again, so it waits', async () => {
    await edit("UPDATE customer SET email = 'x' WHERE customer_id = 2");
    const said = source(billing({ 1: { 1: 'x' } }));
    await hand.publish(said);
    await settleAs('source', { key: { values: { customer_id: '1' } } });
    await hand.publish(said);
    expect((await live('email')).flat()).toEqual(['a@old', 'x', 'c@old']);
    expect(await settlements()).toEqual(['pending -']);
    await settleAs('source', { key: { values: { customer_id: '2' } } });
    const run = await hand.publish(said);
    expect((await live('email')).flat()).toEqual(['x', 'b@old', 'c@old']);
    expect(await open()).toEqual([]);
    await hand.rollBack(run);
    expect((await live('email')).flat()).toEqual(['a@old', 'x', 'c@old']);
    expect(await settlements()).toEqual(['pending -', 'pending -']);
  });

  it('unique: a new row comes when its value is free, or stays away for good; an orphan follows its parent', async () => {
    await edit("UPDATE customer SET email = 'x' WHERE customer_id = 1");
    const said = source(
      [...BASE, [8, 'x', 'S', 'C', '8.0000'], [9, 'x ', 'S', 'C', '9.0000']],
      [
        [80, 8, 'of 8'],
        [90, 9, 'of 9'],
      ],
    );
    await hand.publish(said);
    expect(await open()).toEqual(['orphan 80', 'unique 1', 'unique 8']);
    expect(await settleAs('source', { kind: 'orphan' })).toBe(0);
    await settleAs('live', { key: { values: { customer_id: '8' } } });
    await hand.publish(said);
    expect(await live('customer_id, email')).toEqual([
      [1, 'x'],
      [2, 'b@old'],
      [3, 'c@old'],
      [9, 'x '],
    ]);
    expect(await open()).toEqual(['orphan 80']);
    const { spec, table } = await published();
    expect(await resync(hand.session, spec, table, ['8'], 'test')).toBe(true);
    await edit("UPDATE customer SET email = 'free' WHERE customer_id = 1");
    await hand.publish(said);
    expect(await live('customer_id, email')).toEqual([
      ...[
        [1, 'free'],
        [2, 'b@old'],
        [3, 'c@old'],
      ],
      ...[
        [8, 'x'],
        [9, 'x '],
      ],
    ]);
    await hand.publish(said);
    expect(await invoices()).toEqual([80, 90]);
    expect(await open()).toEqual([]);
  });

  it('a bad value is not settled, and it is said what to do instead', async () => {
    const { spec, table } = await published();
    const bad = { key: ['1'], column: 'Email', reason: 'half of a pair' };
    await hand.publish(source(BASE.slice(1)), {
      captured: () => hand.session.run(setAside({ ...spec, generation: 2 }, table, bad)),
    });
    expect(await settleAs('source')).toBe(0);
    expect(await notSettleable(hand.session, 'hand', {})).toEqual([
      { kind: 'badValue', count: 1, instead: expect.stringContaining('correct it at the source') },
    ]);
  });
});

describe('without a conflict', () => {
  it("a client's edit is given back to billing, by key or by a condition on live", async () => {
    await edit("UPDATE customer SET email = CONCAT(customer_id, '@client'), street = 'edited'");
    const { spec, table, unit } = await published();
    const email = unit('email');
    expect(await readEdits(hand.session, spec, table, email, { where: 'customer_id > 1' }, 1)).toEqual({
      count: 2,
      edits: [{ key: { customer_id: '2' }, source: { email: 'b@old' }, live: { email: '2@client' } }],
    });
    expect(await yieldTo(hand.session, spec, table, email, { where: 'customer_id > 2' }, 'test')).toBe(1);
    expect(await yieldTo(hand.session, spec, table, unit('street'), { key: ['1'] }, 'test')).toBe(1);
    await hand.publish(source(BASE));
    expect(await live()).toEqual([
      [1, '1@client', 'Elm 1', 'Oslo', '1.0000'],
      [2, '2@client', 'edited', 'Bonn', '2.0000'],
      [3, 'c@old', 'edited', 'Rome', '3.0000'],
    ]);
  });

  it('a row is taken from billing again, whatever live says', async () => {
    await edit("INSERT INTO customer VALUES (9, 'own@9', 's', 'c', 5, 'own')");
    await hand.publish(source([...BASE, [9, 'billing@9', 'S', 'C', '9.0000']]));
    await edit(
      "UPDATE customer SET email = 'a@client', street = 'edited', note = 'own' WHERE customer_id = 1",
    );
    await edit('DELETE FROM customer WHERE customer_id = 2');
    const { spec, table } = await published();
    for (const key of ['1', '2', '9'])
      expect(await resync(hand.session, spec, table, [key], 'test')).toBe(true);
    expect(await resync(hand.session, spec, table, ['77'], 'test')).toBe(false);
    await edit("UPDATE customer SET email = 'a@later' WHERE customer_id = 1");
    await hand.publish(
      source([...billing({ 1: { 3: 'Bergen' } }), [9, 'billing@9', 'S', 'C', '9.0000']]),
      () => edit("UPDATE customer SET email = 'a@latest' WHERE customer_id = 1"),
    );
    expect(await live('customer_id, email, street, city, note')).toEqual([
      [1, 'a@old', 'Elm 1', 'Bergen', 'own'],
      [2, 'b@old', 'Oak 2', 'Bonn', 'none'],
      [3, 'c@old', 'Ash 3', 'Rome', 'none'],
      [9, 'billing@9', 'S', 'C', 'own'],
    ]);
    expect((await states()).filter((state) => state.endsWith('open'))).toEqual([]);
    expect(await settlements()).toEqual(['applied 3', 'applied 3', 'applied 3']);
  });

  it('a row that billing does not have is not taken from it', async () => {
    await edit("INSERT INTO customer (customer_id, email) VALUES (9, 'own@9')");
    const { spec, table } = await published();
    await resync(hand.session, spec, table, ['9'], 'test');
    await hand.publish(source(BASE));
    expect((await live('customer_id, email'))[3]).toEqual([9, 'own@9']);
    expect(await settlements()).toEqual(['void -']);
  });
});

describe('rows of any key', () => {
  const schema = `${SCHEMA}_keys`;
  it('are settled, yielded and resynced: the key travels as text and comes back exactly', async () => {
    const keys = await ByHand.open(
      inject('mysqlUrl'),
      schema,
      [
        `CREATE TABLE thing (code VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_german1_ci, at DATETIME(3), raw VARBINARY(4), price DECIMAL(20,4), color ENUM('red', 'blue'),
           big BIGINT UNSIGNED, name VARCHAR(40), PRIMARY KEY (code, at, raw, price, color, big))`,
      ],
      `
  - source: dbo.Thing
    live: thing
    key: [code, at, raw, price, color, big]
    columns: { code: Code, at: At, raw: Raw, price: Price, color: Color, big: Big, name: Name }
`,
      [
        sourceTable(
          'Thing',
          {
            Code: 'varchar',
            At: 'datetime2',
            Raw: 'varbinary',
            Price: 'decimal',
            Color: 'varchar',
            Big: 'decimal',
            Name: 'nvarchar',
          },
          ['Code', 'At', 'Raw', 'Price', 'Color', 'Big'],
        ),
      ],
    );
    try {
      const row = (code: string, name: string) => [
        ...[code, '2024-02-29 23:59:59.120', Buffer.from([0, 255, 0]), '12345678901234.5000', 'blue'],
        ...['18446744073709551615', name],
      ];
      const said = (...names: string[]) => ({
        thing: ['É a', 'B', 'c'].map((code, at) => row(code, names[at] ?? '')),
      });
      await keys.publish(said('1', '2', '3'));
      await keys.application.query("UPDATE thing SET name = CONCAT(name, ' client')");
      await keys.publish(said('1 billing', '2', '3'));
      expect(await settle(keys.session, 'hand', {}, { side: 'source', by: 'test' })).toBe(1);
      const spec = await publishedSpec(keys.session, 'hand');
      if (!spec) throw new Error('never published');
      const table = tableOf(spec, 'thing');
      const unit = table.units[0] as MergeUnit;
      const key = (code: string) => [
        ...[code, '2024-02-29 23:59:59.120', '00FF00', '12345678901234.5000', 'blue', '18446744073709551615'],
      ];
      expect(await yieldTo(keys.session, spec, table, unit, { key: key('b') }, 'test')).toBe(1);
      expect(await resync(keys.session, spec, table, key('C'), 'test')).toBe(true);
      await expect(
        resync(keys.session, spec, table, [...key('c').slice(0, 5), 'x'], 'test'),
      ).rejects.toMatchObject({
        type: 'Mistyped',
      });
      await keys.publish(said('1 billing', '2', '3'));
      const [rows] = await keys.application.query('SELECT code, name FROM thing ORDER BY name');
      expect(rows).toEqual([
        { code: 'É a', name: '1 billing' },
        { code: 'B', name: '2' },
        { code: 'c', name: '3' },
      ]);
    } finally {
      await keys.close();
    }
  });
});

describe('a row that was set aside', () => {
  it('keeps its conflicts and settlements until the source says a value that live can hold', async () => {
    await edit(`UPDATE customer SET email = 'a@client' WHERE customer_id = 1`);
    const changed = billing({ 1: { 1: 'a@billing' } });
    await hand.publish(source(changed));
    await settleAs('source');
    const { spec, table } = await published();
    await hand.publish(source(changed.slice(1)), {
      captured: () =>
        hand.session.run(
          setAside({ ...spec, generation: 3 }, table, {
            key: ['1'],
            column: 'Email',
            reason: 'half of a pair',
          }),
        ),
    });
    expect((await live())[0]?.[1]).toBe('a@client');
    expect(await settlements()).toEqual(['pending -']);
    expect(await states()).toEqual(['3 badValue open', '2 field open']);
    await hand.publish(source(changed));
    expect((await live())[0]?.[1]).toBe('a@billing');
    expect(await settlements()).toEqual(['applied 4']);
    expect(await states()).toEqual(['3 badValue agreed', '2 field settled']);
  });
});
