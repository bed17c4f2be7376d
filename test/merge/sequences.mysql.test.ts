import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import type { SetAside } from '../support/by-hand.js';
import { CUSTOMERS_AND_INVOICES } from './group-cases.js';
import { type Group, identityOf, type Row, type Value } from './oracle.js';
import { foldsOf, openShape, type Shape, type ShapedTable } from './shape.js';
import { type Edit, Story } from './story.js';

/**
 * Runs upon runs over one pipeline, with conflicts, settlements, rows set aside and held back, aborts and rollbacks between
 * them. After each run live, base and conflicts are the oracle's; what is expected beside that is for the reader.
 */
const [CUSTOMER, INVOICE] = CUSTOMERS_AND_INVOICES;
if (!CUSTOMER || !INVOICE) throw new Error('two tables');
const SHAPE: Shape = {
  firstRun: 'source',
  chunkRows: 2,
  more: 'badRows: quarantine',
  tables: CUSTOMERS_AND_INVOICES,
};

let story: Story;
beforeEach(async () => {
  const hand = await openShape(inject('mysqlUrl'), 'stageswap_test_sequences', SHAPE);
  story = new Story(hand, SHAPE);
});
afterEach(() => story?.hand.close());

const c = (id: number, email: Value, name: string): Row => ({ id: String(id), email, name });
const i = (id: number, of: number, memo: string): Row => ({
  id: String(id),
  customer_id: String(of),
  memo,
  number: null,
});
const group = (customers: Row[], invoices: Row[] = []): Group => ({
  customer: new Map(customers.map((row) => [identityOf(CUSTOMER, row), row])),
  invoice: new Map(invoices.map((row) => [identityOf(INVOICE, row), row])),
});
const statement = (table: typeof CUSTOMER, id: number, text: string, ...values: Value[]): Edit => ({
  text,
  values,
  table,
  keys: [JSON.stringify([String(id)])],
});
const setName = (id: number, name: string) =>
  statement(CUSTOMER, id, `UPDATE customer SET name = ? WHERE id = ${id}`, name);
const setEmail = (id: number, email: string) =>
  statement(CUSTOMER, id, `UPDATE customer SET email = ? WHERE id = ${id}`, email);
const make = (id: number, email: string, name: string) =>
  statement(CUSTOMER, id, `INSERT INTO customer VALUES (${id}, ?, ?)`, email, name);
const remove = (id: number) => statement(CUSTOMER, id, `DELETE FROM customer WHERE id = ${id}`);
const bill = (id: number, of: number, memo: string) =>
  statement(INVOICE, id, `INSERT INTO invoice VALUES (${id}, ${of}, ?, NULL)`, memo);
const unbill = (id: number) => statement(INVOICE, id, `DELETE FROM invoice WHERE id = ${id}`);
const bad = (live: string, id: number): SetAside => ({
  live,
  key: [String(id)],
  column: 'name',
  reason: 'does not fit',
});
const customers = () =>
  [...(story.seen.customer?.values() ?? [])].map(({ id, email, name }) => `${id} ${email} ${name}`).sort();
const invoices = () => [...(story.seen.invoice?.values() ?? [])].map(({ id }) => id).sort();

const BASE = [c(1, 'a', 'Ada'), c(2, 'b', 'Bob'), c(3, 'c', 'Cyd')];
const AT_BILLING = [c(1, 'a', 'Ada B.'), c(2, 'b', 'Bob B.'), c(3, 'c', 'Cyd')];

describe('run after run', () => {
  it('a settlement waits through an abort, goes back with a rollback, and is carried out again', async () => {
    expect(await story.publish(group(BASE))).toEqual([]);
    await story.edit([setName(1, 'Ada L.'), setName(2, 'Bob L.')]);
    expect(await story.publish(group(AT_BILLING))).toEqual([]);
    expect(customers()).toEqual(['1 a Ada L.', '2 b Bob L.', '3 c Cyd']);
    expect(await story.settle(({ key }) => (key === '["1"]' ? 'source' : 'live'))).toBe(2);
    expect(await story.abort(group(AT_BILLING))).toEqual([]);
    expect(customers()).toEqual(['1 a Ada L.', '2 b Bob L.', '3 c Cyd']);
    const late = () => story.edit([setName(3, 'Cyd L.')]);
    expect(await story.publish(group(AT_BILLING), { replayed: late })).toEqual([]);
    expect(customers()).toEqual(['1 a Ada B.', '2 b Bob L.', '3 c Cyd L.']);
    await story.edit([setEmail(1, 'a@since')]);
    expect(await story.rollBack()).toEqual([]);
    expect(customers()).toEqual(['1 a@since Ada L.', '2 b Bob L.', '3 c Cyd L.']);
    expect(await story.publish(group(AT_BILLING))).toEqual([]);
    expect(customers()).toEqual(['1 a@since Ada B.', '2 b Bob L.', '3 c Cyd L.']);
    expect(await story.publish(group(BASE))).toEqual([]);
    expect(customers()).toEqual(['1 a@since Ada', '2 b Bob L.', '3 c Cyd L.']);
  });

  it('a settlement is void once either side says something else', async () => {
    expect(await story.publish(group(BASE))).toEqual([]);
    await story.edit([setName(1, 'Ada L.'), setName(2, 'Bob L.')]);
    expect(await story.publish(group(AT_BILLING))).toEqual([]);
    expect(await story.settle(() => 'source')).toBe(2);
    const late = () => story.edit([setName(1, 'Ada later')]);
    const newer = [c(1, 'a', 'Ada B.'), c(2, 'b', 'Bob newer'), c(3, 'c', 'Cyd')];
    expect(await story.publish(group(newer), { replayed: late })).toEqual([]);
    expect(customers()).toEqual(['1 a Ada later', '2 b Bob L.', '3 c Cyd']);
    expect(await story.publish(group(newer))).toEqual([]);
    expect(customers()).toEqual(['1 a Ada later', '2 b Bob L.', '3 c Cyd']);
  });

  it('a row whose key a client changes while the run works is there once, under its new key', async () => {
    expect(await story.publish(group(BASE))).toEqual([]);
    const keys = [JSON.stringify(['3']), JSON.stringify(['30'])];
    const rekey: Edit = {
      text: 'UPDATE customer SET id = 30 WHERE id = 3',
      values: [],
      table: CUSTOMER,
      keys,
    };
    expect(await story.publish(group(AT_BILLING), { merged: () => story.edit([rekey]) })).toEqual([]);
    expect(customers()).toEqual(['1 a Ada B.', '2 b Bob B.', '30 c Cyd']);
    expect(await story.publish(group(AT_BILLING))).toEqual([]);
    expect(customers()).toEqual(['1 a Ada B.', '2 b Bob B.', '30 c Cyd']);
  });

  it('a row that is set aside is never taken for gone, and merges with its old base when it fits again', async () => {
    expect(await story.publish(group(BASE, [i(1, 1, 'm'), i(2, 2, 'm')]))).toEqual([]);
    await story.edit([setEmail(1, 'a@client')]);
    const without1 = BASE.slice(1);
    const set = [bad('customer', 1)];
    expect(await story.publish(group(without1, [i(1, 1, 'm'), i(2, 2, 'm')]), {}, set)).toEqual([]);
    expect(customers()).toEqual(['1 a@client Ada', '2 b Bob', '3 c Cyd']);
    const late = () => story.edit([setEmail(1, 'a@later')]);
    const more = group(without1, [i(1, 1, 'new'), i(2, 2, 'm'), i(4, 4, 'of a new one')]);
    expect(await story.publish(more, { merged: late }, [...set, bad('customer', 4)])).toEqual([]);
    expect(customers()).toEqual(['1 a@later Ada', '2 b Bob', '3 c Cyd']);
    expect(invoices()).toEqual(['1', '2']); // invoice 4 waits for its parent
    const fits = group([...AT_BILLING, c(4, 'd', 'Dan')], [i(1, 1, 'new'), i(4, 4, 'of a new one')]);
    expect(await story.abort(fits)).toEqual([]);
    expect(await story.publish(fits)).toEqual([]);
    expect(customers()).toEqual(['1 a@later Ada B.', '2 b Bob B.', '3 c Cyd', '4 d Dan']);
    expect(invoices()).toEqual(['1', '4']);
    expect(await story.rollBack()).toEqual([]);
    expect(invoices()).toEqual(['1', '2']);
    expect(await story.publish(fits)).toEqual([]);
    expect(invoices()).toEqual(['1', '4']);
  });

  it('held-back rows are tried again in each run, until what holds them back is gone', async () => {
    expect(await story.publish(group(BASE, [i(2, 2, 'm')]))).toEqual([]);
    await story.edit([remove(1), make(5, 'own', 'own'), setEmail(3, 'taken')]);
    const said = group(
      [...BASE, c(5, 'e', 'Eve'), c(6, 'taken', 'Fay')],
      [i(2, 2, 'm'), i(1, 1, 'of 1'), i(5, 5, 'of 5'), i(6, 6, 'of 6')],
    );
    expect(await story.publish(said)).toEqual([]);
    expect(customers()).toEqual(['2 b Bob', '3 taken Cyd', '5 own own']);
    expect(invoices()).toEqual(['2']);
    await story.edit([setEmail(3, 'free')]);
    expect(await story.abort(said, { merged: () => story.edit([remove(5)]) })).toEqual([]);
    expect(await story.publish(said)).toEqual([]);
    expect(customers()).toEqual(['2 b Bob', '3 free Cyd', '5 e Eve', '6 taken Fay']);
    expect(invoices()).toEqual(['2', '5', '6']);
    await story.edit([setName(5, 'Eve since')]);
    expect(await story.rollBack()).toEqual([]);
    expect(customers()).toEqual(['2 b Bob', '3 free Cyd', '5 e Eve since']);
    expect(invoices()).toEqual(['2']);
    const back = () => story.edit([remove(5), make(1, 'a', 'Ada again')]);
    expect(await story.publish(said, { replayed: back })).toEqual([]);
    expect(customers()).toEqual(['1 a Ada again', '2 b Bob', '3 free Cyd', '5 e Eve', '6 taken Fay']);
    expect(invoices()).toEqual(['1', '2', '5', '6']);
  });

  it('a parent that is kept stays the application’s own; one that nobody needs any more goes in time', async () => {
    expect(await story.publish(group(BASE))).toEqual([]);
    await story.edit([bill(900, 1, 'own'), bill(901, 2, 'own')]);
    const only3 = group([c(3, 'c', 'Cyd')]);
    const settled = () => story.edit([unbill(901)]);
    expect(await story.publish(only3, { merged: settled })).toEqual([]);
    expect(customers()).toEqual(['1 a Ada', '3 c Cyd']);
    await story.edit([unbill(900)]);
    expect(await story.publish(only3)).toEqual([]);
    expect(customers()).toEqual(['1 a Ada', '3 c Cyd']);
    await story.edit([bill(902, 3, 'own')]);
    expect(await story.rollBack()).toEqual([]);
    expect(await story.publish(group(BASE), { locking: () => story.edit([remove(1)]) })).toEqual([]);
    expect(customers()).toEqual(['1 a Ada', '2 b Bob', '3 c Cyd']);
  });
});

/** The customers' table as another mapping has it. */
const mapped = (
  change: (customer: ShapedTable) => Partial<ShapedTable>,
  more: ShapedTable[] = [],
): Shape => ({
  ...SHAPE,
  tables: [{ ...CUSTOMER, ...change(CUSTOMER) }, INVOICE, ...more],
});
const unit = (owner: 'merge' | 'source' | 'live', ...columns: string[]) => ({
  columns,
  owner,
  onConflict: 'live' as const,
});
const TAG_TYPES = { id: 'bigint', label: 'text' } as const;
const TAG: ShapedTable = {
  ...{ name: 'tag', types: TAG_TYPES, key: ['id'], units: [unit('merge', 'label')], own: {} },
  ...{ onSourceDelete: 'delete', onLiveDelete: 'respect', references: [], unique: [] },
  folds: foldsOf(TAG_TYPES),
};

describe.each(['source', 'live'] as const)(
  'a mapping that changes between runs, firstRun: %s',
  (firstRun) => {
    const wins = (source: string, live: string) => (firstRun === 'source' ? source : live);
    const begin = async (shape: Shape) => {
      await story.hand.close();
      const first = { ...shape, firstRun };
      story = new Story(await openShape(inject('mysqlUrl'), 'stageswap_test_sequences', first), first);
    };
    const remap = (shape: Shape) => story.remap({ ...shape, firstRun });

    it('a column that joins has no base, in each row until that was published with it', async () => {
      await begin(mapped(() => ({ units: [unit('merge', 'email')], own: { name: null } })));
      expect(await story.publish(group(BASE))).toEqual([]);
      expect(customers()).toEqual(['1 a null', '2 b null', '3 c null']);
      await story.edit([setName(1, 'Ada L.'), setName(2, 'Bob L.'), setName(3, 'Cyd L.'), setEmail(2, 'x')]);
      await remap(SHAPE);
      // 1 and 2 would have one e-mail, so they fall back; 3 is set aside
      const said = group([c(1, 'x', 'Ada B.'), c(2, 'b', 'Bob B.')]);
      expect(await story.abort(said)).toEqual([]);
      expect(await story.publish(said, {}, [bad('customer', 3)])).toEqual([]);
      expect(customers()).toEqual(['1 a Ada L.', '2 x Bob L.', '3 c Cyd L.']);
      await story.edit([setEmail(2, 'y')]);
      const fits = group([c(1, 'x', 'Ada B.'), c(2, 'b', 'Bob B.'), c(3, 'c', 'Cyd B.')]);
      const late = () => story.edit([setName(3, 'Cyd late')]);
      expect(await story.publish(fits, { replayed: late })).toEqual([]);
      const after = [
        `1 x ${wins('Ada B.', 'Ada L.')}`,
        `2 y ${wins('Bob B.', 'Bob L.')}`,
        `3 c ${wins('Cyd B.', 'Cyd late')}`,
      ];
      expect(customers()).toEqual(after);
      expect(await story.rollBack()).toEqual([]);
      expect(customers()).toEqual(['1 a Ada L.', '2 y Bob L.', '3 c Cyd late']);
      expect(await story.publish(fits)).toEqual([]);
      expect(customers()).toEqual(after);
      await story.edit([setName(1, 'Ada since')]);
      expect(await story.publish(group([c(1, 'x', 'Ada B.'), c(2, 'b', 'Bob newer')]))).toEqual([]);
      // 3 is gone at the source: what live kept of it by firstRun is an edit
      const kept = firstRun === 'live' ? ['3 c Cyd late'] : [];
      expect(customers()).toEqual(['1 x Ada since', `2 y ${wins('Bob newer', 'Bob L.')}`, ...kept]);
    });

    it('a base that was lost with a rollback comes back with the one before it', async () => {
      await begin(mapped(() => ({ units: [unit('merge', 'email'), unit('live', 'name')] })));
      expect(await story.publish(group(BASE))).toEqual([]);
      await story.edit([setName(1, 'Ada L.'), setEmail(2, 'b@client')]);
      await remap(SHAPE);
      expect(await story.publish(group(AT_BILLING))).toEqual([]);
      const after = [`1 a ${wins('Ada B.', 'Ada L.')}`, `2 b@client ${wins('Bob B.', 'Bob')}`, '3 c Cyd'];
      expect(customers()).toEqual(after);
      await story.edit([setName(3, 'Cyd since')]);
      expect(await story.rollBack()).toEqual([]);
      expect(customers()).toEqual(['1 a Ada L.', '2 b@client Bob', '3 c Cyd since']);
      // 3 was edited while live owned it: of that the base of now says nothing
      expect(await story.publish(group(AT_BILLING))).toEqual([]);
      expect(customers()).toEqual([...after.slice(0, 2), `3 c ${wins('Cyd', 'Cyd since')}`]);
      await story.edit([setName(3, 'Cyd later')]);
      expect(await story.publish(group(AT_BILLING))).toEqual([]);
      expect(customers()).toEqual([...after.slice(0, 2), '3 c Cyd later']);
    });

    it('columns become a group, and part again: their bases stay what they were', async () => {
      await begin(SHAPE);
      expect(await story.publish(group(BASE))).toEqual([]);
      await story.edit([setName(1, 'Ada L.'), setName(2, 'Bob L.')]);
      expect(await story.publish(group(AT_BILLING))).toEqual([]);
      expect(await story.settle(() => 'source')).toBe(2);
      await remap(mapped(() => ({ units: [unit('merge', 'email', 'name')] })));
      const newer = group([c(1, 'a@billing', 'Ada B.'), c(2, 'b', 'Bob B.'), c(3, 'c', 'Cyd')]);
      story.forgetSettlements(); // of fields that are not merged by themselves any more
      expect(await story.publish(newer)).toEqual([]);
      expect(customers()).toEqual(['1 a Ada L.', '2 b Bob L.', '3 c Cyd']);
      await remap(SHAPE);
      expect(await story.publish(group(AT_BILLING))).toEqual([]);
      expect(customers()).toEqual(['1 a Ada L.', '2 b Bob L.', '3 c Cyd']);
    });

    it('a table joins, leaves and comes back: its base is that of the last publish with it, or none', async () => {
      const withTag = mapped(() => ({}), [TAG]);
      const tags = (...labels: string[]): Group => ({
        ...group(BASE),
        tag: new Map(labels.map((label, n) => [`["${n + 1}"]`, { id: String(n + 1), label }])),
      });
      const label = (n: number, text: string): Edit => ({
        ...{ text: `UPDATE tag SET label = ? WHERE id = ${n}`, values: [text] },
        ...{ table: TAG, keys: [`["${n}"]`] },
      });
      const seen = async () => {
        const [rows] = await story.hand.application.query('SELECT label FROM tag ORDER BY id');
        return (rows as { label: string }[]).map((row) => row.label);
      };
      const left = async () => {
        const [rows] = await story.hand.application.query(
          "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name LIKE '\\_ss%\\_tag' UNION ALL SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = DATABASE() AND event_object_table = 'tag' UNION ALL SELECT live FROM _stageswap_claim WHERE live = 'tag'",
        );
        return (rows as { name: string }[]).map(({ name }) => name).sort();
      };
      await begin(withTag);
      await remap(SHAPE);
      expect(await story.publish(group(BASE))).toEqual([]);
      await story.hand.application.query("INSERT INTO tag VALUES (1, 'one of live'), (2, 'two')");
      await remap(withTag);
      expect(await story.publish(tags('one', 'two', 'three'))).toEqual([]);
      expect(await seen()).toEqual([wins('one', 'one of live'), 'two', 'three']);
      await story.edit([label(2, 'two of a client')]);
      await remap(SHAPE);
      expect(await story.publish(group(AT_BILLING))).toEqual([]);
      expect(await left()).toEqual(['_ss2h_tag', '_ss2n_tag', 'tag']);
      await story.hand.application.query("UPDATE tag SET label = 'three of a client' WHERE id = 3");
      expect(await story.rollBack()).toEqual([]);
      await remap(withTag);
      expect(await story.publish(tags('one', 'two', 'three'))).toEqual([]);
      expect(await seen()).toEqual([wins('one', 'one of live'), 'two of a client', 'three of a client']);
      await remap(SHAPE);
      expect(await story.publish(group(BASE))).toEqual([]);
      expect(await story.publish(group(AT_BILLING))).toEqual([]);
      expect(await left()).toEqual([]);
      await remap(withTag);
      expect(await story.publish(tags('one', 'two', 'three'))).toEqual([]);
      expect(await seen()).toEqual([
        wins('one', 'one of live'),
        wins('two', 'two of a client'),
        wins('three', 'three of a client'),
      ]);
    });

    it('a column that was made longer keeps its base; one of another type has none', async () => {
      const short = { ...CUSTOMER.types, name: 'short' as const };
      await begin(mapped(() => ({ types: short, folds: foldsOf(short) })));
      expect(await story.publish(group(BASE))).toEqual([]);
      await story.edit([setName(1, 'Ada L.')]);
      await remap(SHAPE);
      expect(await story.publish(group(BASE))).toEqual([]);
      expect(customers()).toEqual(['1 a Ada L.', '2 b Bob', '3 c Cyd']);
      const latin = { ...CUSTOMER.types, name: 'latin' as const };
      await remap(mapped(() => ({ types: latin, folds: foldsOf(latin) })));
      // 2 is gone at the source, and nobody can tell whether a client edited it
      const gone = group([c(1, 'a', 'Ada'), c(3, 'c', 'Cyd')]);
      expect(await story.publish(gone)).toEqual([]);
      expect(customers()).toEqual([`1 a ${wins('Ada', 'Ada L.')}`, '2 b Bob', '3 c Cyd']);
    });
  },
);
