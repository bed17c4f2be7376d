import type { Group, Row, Value } from './oracle.js';
import { foldsOf, type ShapedTable } from './shape.js';

/** The specification of the rules across the group: customers and their invoices, with an e-mail and a number that are unique. */

const CUSTOMER = { id: 'bigint', email: 'text', name: 'text' } as const;
const INVOICE = { id: 'bigint', customer_id: 'bigint', memo: 'text', number: 'text' } as const;
const unit = (column: string) => ({
  columns: [column],
  owner: 'merge' as const,
  onConflict: 'live' as const,
});

export const CUSTOMERS_AND_INVOICES: ShapedTable[] = [
  {
    name: 'customer',
    types: CUSTOMER,
    key: ['id'],
    units: [unit('email'), unit('name')],
    own: {},
    onSourceDelete: 'delete',
    onLiveDelete: 'respect',
    references: [],
    unique: [['email']],
    folds: foldsOf(CUSTOMER),
  },
  {
    name: 'invoice',
    types: INVOICE,
    key: ['id'],
    units: [unit('customer_id'), unit('memo'), unit('number')],
    own: {},
    onSourceDelete: 'delete',
    onLiveDelete: 'respect',
    references: [{ columns: ['customer_id'], parent: 'customer', parentColumns: ['id'] }],
    unique: [['number']],
    folds: foldsOf(INVOICE),
  },
];

/** A row as it is written here: its table and its values in order; keys are small numbers, of the case alone. */
type Written =
  | ['customer', id: number, email: Value, name: string]
  | ['invoice', id: number, of: number | null, memo: string, number: Value];
const c = (id: number, email: Value = `${id}`, name = 'n'): Written => ['customer', id, email, name];
const i = (id: number, of: number | null, memo = 'm', number: Value = null): Written => [
  'invoice',
  id,
  of,
  memo,
  number,
];

export interface GroupCase {
  name: string;
  base: Written[];
  source: Written[];
  live: Written[];
  merged: Written[];
  /** kind, table and key: `orphan invoice 1` */
  conflicts: string[];
  nextBase: Written[];
}

export const GROUP_CASES: GroupCase[] = [
  {
    name: "parent: kept for a child of the application's own, and the application's own from now on",
    base: [c(1), c(2)],
    source: [c(2)],
    live: [c(1), c(2), i(1, 1)],
    merged: [c(1), c(2), i(1, 1)],
    conflicts: ['parent customer 1'],
    nextBase: [c(2)],
  },
  {
    name: 'parent: kept for a child that a client edited before it went at the source',
    base: [c(1), i(1, 1)],
    source: [],
    live: [c(1), i(1, 1, 'mine')],
    merged: [c(1), i(1, 1, 'mine')],
    conflicts: ['deletedAtSource invoice 1', 'parent customer 1'],
    nextBase: [],
  },
  {
    name: 'parent: gone with its child',
    base: [c(1), i(1, 1)],
    source: [],
    live: [c(1), i(1, 1)],
    merged: [],
    conflicts: [],
    nextBase: [],
  },
  {
    name: 'parent: kept for a child that a client moved to it',
    base: [c(1), c(2), i(1, 2)],
    source: [c(2), i(1, 2)],
    live: [c(1), c(2), i(1, 1)],
    merged: [c(1), c(2), i(1, 1)],
    conflicts: ['parent customer 1'],
    nextBase: [c(2), i(1, 2)],
  },
  {
    name: 'orphan: a new child of a parent that stays deleted is held back',
    base: [c(1)],
    source: [c(1), i(1, 1)],
    live: [],
    merged: [],
    conflicts: ['orphan invoice 1'],
    nextBase: [c(1)],
  },
  {
    name: 'orphan: a child that the application deleted with its parent stays deleted',
    base: [c(1), i(1, 1)],
    source: [c(1), i(1, 1)],
    live: [],
    merged: [],
    conflicts: [],
    nextBase: [c(1), i(1, 1)],
  },
  {
    name: 'orphan: a row of live to which the source gave a parent that stays deleted keeps its own, and its base',
    base: [c(1), c(2), i(1, 2)],
    source: [c(1), c(2), i(1, 1, 'new')],
    live: [c(2), i(1, 2)],
    merged: [c(2), i(1, 2)],
    conflicts: ['orphan invoice 1'],
    nextBase: [c(1), c(2), i(1, 2)],
  },
  {
    name: 'orphan: a new child of a parent in conflict merges normally',
    base: [c(1, 'b')],
    source: [c(1, 's'), i(1, 1)],
    live: [c(1, 'l')],
    merged: [c(1, 'l'), i(1, 1)],
    conflicts: ['field customer 1'],
    nextBase: [c(1, 's'), i(1, 1)],
  },
  {
    name: 'orphan: a child without a parent is nobody’s orphan',
    base: [c(1)],
    source: [c(1), i(1, null)],
    live: [],
    merged: [i(1, null)],
    conflicts: [],
    nextBase: [c(1), i(1, null)],
  },
  {
    name: "sameKey: the source's row is held back with its children that are not in live",
    base: [],
    source: [c(1, 's'), i(1, 1), i(2, 1)],
    live: [c(1, 'l'), i(2, 1, 'mine')],
    merged: [c(1, 'l'), i(2, 1, 'mine')],
    conflicts: ['orphan invoice 1', 'sameKey customer 1', 'sameKey invoice 2'],
    nextBase: [],
  },
  {
    name: 'sameKey: a child that is in live merges',
    base: [c(2), i(1, 2)],
    source: [c(1, 's'), c(2), i(1, 2, 'new')],
    live: [c(1, 'l'), c(2), i(1, 2)],
    merged: [c(1, 'l'), c(2), i(1, 2, 'new')],
    conflicts: ['sameKey customer 1'],
    nextBase: [c(2), i(1, 2, 'new')],
  },
  {
    name: 'unique: both fall back to live, whole rows, and keep their base',
    base: [c(1, 'a'), c(2, 'b')],
    source: [c(1, 'x', 'new'), c(2, 'b', 'new')],
    live: [c(1, 'a'), c(2, 'x')],
    merged: [c(1, 'a'), c(2, 'x')],
    conflicts: ['unique customer 1', 'unique customer 2'],
    nextBase: [c(1, 'a'), c(2, 'b')],
  },
  {
    name: 'unique: equal by collation is equal',
    base: [c(1, 'a'), c(2, 'b')],
    source: [c(1, 'X'), c(2, 'b')],
    live: [c(1, 'a'), c(2, 'x')],
    merged: [c(1, 'a'), c(2, 'x')],
    conflicts: ['unique customer 1', 'unique customer 2'],
    nextBase: [c(1, 'a'), c(2, 'b')],
  },
  {
    name: 'unique: a new row is held back with its children',
    base: [c(1, 'a')],
    source: [c(1, 'a'), c(2, 'x'), i(1, 2)],
    live: [c(1, 'x')],
    merged: [c(1, 'x')],
    conflicts: ['orphan invoice 1', 'unique customer 1', 'unique customer 2'],
    nextBase: [c(1, 'a')],
  },
  {
    name: 'unique: falling back goes on until none collides',
    base: [c(1, 'a'), c(2, 'b'), c(3, 'c')],
    source: [c(1, 'b'), c(2, 'x'), c(3, 'c')],
    live: [c(1, 'a'), c(2, 'b'), c(3, 'x')],
    merged: [c(1, 'a'), c(2, 'b'), c(3, 'x')],
    conflicts: ['unique customer 1', 'unique customer 2', 'unique customer 3'],
    nextBase: [c(1, 'a'), c(2, 'b'), c(3, 'c')],
  },
  {
    name: 'unique: values that the source exchanged do not collide',
    base: [c(1, 'a'), c(2, 'b')],
    source: [c(1, 'b'), c(2, 'a')],
    live: [c(1, 'a'), c(2, 'b')],
    merged: [c(1, 'b'), c(2, 'a')],
    conflicts: [],
    nextBase: [c(1, 'b'), c(2, 'a')],
  },
  {
    name: 'unique: NULL collides with nothing',
    base: [c(1, 'a'), c(2, 'b')],
    source: [c(1, null), c(2, null)],
    live: [c(1, 'a'), c(2, 'b')],
    merged: [c(1, null), c(2, null)],
    conflicts: [],
    nextBase: [c(1, null), c(2, null)],
  },
  {
    name: 'unique: a parent that is kept collides with the row that has its value now',
    base: [c(1, 'a')],
    source: [c(2, 'a')],
    live: [c(1, 'a'), i(1, 1)],
    merged: [c(1, 'a'), i(1, 1)],
    conflicts: ['unique customer 1', 'unique customer 2'],
    nextBase: [c(1, 'a')],
  },
  {
    name: 'unique: a child that falls back needs its parent, which collides with the row that has its value now',
    base: [c(1, 'a'), c(2, 'b'), i(1, 1, 'm', 'x'), i(2, 2, 'm', 'y')],
    source: [c(2, 'b'), c(3, 'a'), i(1, 2, 'm', 'z'), i(2, 2, 'm', 'y')],
    live: [c(1, 'a'), c(2, 'b'), i(1, 1, 'm', 'x'), i(2, 2, 'm', 'z')],
    merged: [c(1, 'a'), c(2, 'b'), i(1, 1, 'm', 'x'), i(2, 2, 'm', 'z')],
    conflicts: ['unique customer 1', 'unique customer 3', 'unique invoice 1', 'unique invoice 2'],
    nextBase: [c(1, 'a'), c(2, 'b'), i(1, 1, 'm', 'x'), i(2, 2, 'm', 'y')],
  },
  {
    name: 'unique: a new row that is held back as an orphan collides with none',
    base: [c(1), c(2), i(1, 2, 'm', 'x')],
    source: [c(1), c(2), i(1, 2, 'm', 'y'), i(2, 1, 'm', 'y')],
    live: [c(2), i(1, 2, 'm', 'x')],
    merged: [c(2), i(1, 2, 'm', 'y')],
    conflicts: ['orphan invoice 2'],
    nextBase: [c(1), c(2), i(1, 2, 'm', 'y')],
  },
  {
    name: 'unique: a row that is gone at the source gives its value free',
    base: [c(1, 'a')],
    source: [c(2, 'a')],
    live: [c(1, 'a')],
    merged: [c(2, 'a')],
    conflicts: [],
    nextBase: [c(2, 'a')],
  },
];

/** Case number `n` keeps to keys and e-mails of its own, so that all can share two tables. */
export function groupOf(cases: [n: number, rows: Written[]][]): Group {
  const group = { customer: new Map<string, Row>(), invoice: new Map<string, Row>() };
  for (const [n, rows] of cases) {
    const key = (id: number | null) => (id === null ? null : String(n * 100 + id));
    const own = (value: Value) => (value === null ? null : `${n}-${value}`);
    for (const [table, id, of, text, number = null] of rows) {
      const row: Row =
        table === 'customer'
          ? { id: key(id), email: own(of), name: text }
          : { id: key(id), customer_id: key(of), memo: text, number: own(number) };
      group[table].set(JSON.stringify([row.id]), row);
    }
  }
  return group;
}
/** `orphan invoice 1` of case `n`, with the identity of the key. */
export function conflictOf(n: number, written: string): { kind: string; table: string; key: string } {
  const [kind = '', table = '', id = ''] = written.split(' ');
  return { kind, table, key: JSON.stringify([String(n * 100 + Number(id))]) };
}
