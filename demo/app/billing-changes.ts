import type { BillingSide } from './billing-side.js';
import type { BillingChange } from './bookkeeping.js';
import type { Chinook } from './chinook.js';
import { Random } from './random.js';
import { batches, DEMO_TABLES, type Row, type TableName, unitOf } from './tables.js';

/** Rows that get the same new values in one statement. */
const ROWS_A_STATEMENT = 50;
const CHANGED_AT = '2026-01-02 03:04:05.678901';

/** Shares of a table's rows; about 1 % of all rows together. */
const SHARES = {
  customer: 0.05,
  invoice: 0.01,
  invoice_line: 0.008,
  linesDeleted: 0.0005,
  invoicesNew: 0.002,
};

interface Step {
  changes: BillingChange[];
  apply: (billing: BillingSide) => Promise<void>;
}

/** What billing will change between the first and the second publish, by seed. */
export interface BillingPlan {
  changes: BillingChange[];
  steps: Step[];
  /** keys that will be deleted, which clients and readers leave alone */
  deleted: Record<TableName, Set<number>>;
  inserted: Record<TableName, number>;
}

/** Ways in which billing changes a row; `n` makes a value of its own for each statement. */
const WAYS: Record<TableName, ((n: number) => Row)[]> = {
  customer: [
    (n) => ({ email: `billing-${n}@ledger.example` }),
    (n) => ({ phone: `+49 30 ${100_000 + n}` }),
    (n) => ({
      address: `Rechnungsweg ${n}`,
      city: 'Köln',
      state: null,
      country: 'Germany',
      postal_code: '50667',
    }),
    (n) => ({ balance: `${100_000 + n}.0625` }),
    (n) => ({ email: `office-${n}@ledger.example`, balance: `${200_000 + n}.5000` }),
  ],
  invoice: [
    (n) => ({ status: 'overdue', total: `${1000 + n}.25` }),
    (n) => ({ billing_address: `Ålesundgata ${n}`, billing_city: 'Oslo', billing_postal_code: '0171' }),
    (n) => ({ purchase_order: `B-PO-${n}` }),
  ],
  invoice_line: [(n) => ({ quantity: 2 + (n % 50) }), (n) => ({ unit_price: `${2 + (n % 90)}.49` })],
};

/** Decides all changes; nothing is written. */
export function planBilling(data: Chinook): BillingPlan {
  const random = new Random(data.seed + 1);
  const plan: BillingPlan = {
    changes: [],
    steps: [],
    deleted: { customer: new Set(), invoice: new Set(), invoice_line: new Set() },
    inserted: { customer: 0, invoice: 0, invoice_line: 0 },
  };
  let n = 0;
  for (const table of ['customer', 'invoice', 'invoice_line'] as const) {
    const keys = distinct(random, data.counts[table], SHARES[table]);
    const ways = WAYS[table];
    // small tables still see every way
    for (const batch of batches(keys, Math.min(ROWS_A_STATEMENT, Math.max(1, Math.ceil(keys.length / 10))))) {
      const set = (ways[n % ways.length] as (n: number) => Row)(n);
      n += 1;
      plan.steps.push(updateOf(data, table, batch, set));
    }
  }
  const taken = new Set(
    plan.steps.flatMap((step) => step.changes.map((change) => `${change.table}/${change.key}`)),
  );
  const gone = distinct(random, data.counts.invoice_line, SHARES.linesDeleted).filter(
    (key) => !taken.has(`invoice_line/${key}`),
  );
  for (const batch of batches(gone, ROWS_A_STATEMENT)) {
    for (const key of batch) plan.deleted.invoice_line.add(key);
    plan.steps.push({
      changes: batch.map((key) => ({
        kind: 'delete',
        table: 'invoice_line',
        key: String(key),
        unit: '',
        columns: Object.fromEntries(
          Object.entries(data.row('invoice_line', key)).map(([column, value]) => [
            column,
            { from: value, to: null },
          ]),
        ),
        seen: false,
      })),
      apply: (billing) => billing.delete('invoice_line', batch),
    });
  }
  addInserts(data, random, plan);
  plan.changes = plan.steps.flatMap((step) => step.changes);
  return plan;
}

function distinct(random: Random, count: number, share: number): number[] {
  const wanted = Math.max(1, Math.round(count * share));
  const keys = new Set<number>();
  while (keys.size < wanted) keys.add(1 + random.below(count));
  return [...keys];
}

/** One change for each unit that the values touch. */
function updateOf(data: Chinook, table: TableName, keys: number[], set: Row): Step {
  const units = new Map<string, string[]>();
  for (const column of Object.keys(set)) {
    const unit = unitOf(table, column);
    units.set(unit, [...(units.get(unit) ?? []), column]);
  }
  const changes = keys.flatMap((key) => {
    const before = data.row(table, key);
    return [...units].map(
      ([unit, columns]): BillingChange => ({
        kind: 'update',
        table,
        key: String(key),
        unit,
        columns: Object.fromEntries(
          columns.map((column) => [column, { from: before[column] ?? null, to: set[column] ?? null }]),
        ),
        seen: false,
      }),
    );
  });
  return { changes, apply: (billing) => billing.update(table, keys, { ...set, updated_at: CHANGED_AT }) };
}

/** New invoices, each with two lines, for customers that exist. */
function addInserts(data: Chinook, random: Random, plan: BillingPlan): void {
  const rows: Record<'invoice' | 'invoice_line', Row[]> = { invoice: [], invoice_line: [] };
  const invoices = Math.max(1, Math.round(data.counts.invoice * SHARES.invoicesNew));
  for (let i = 1; i <= invoices; i += 1) {
    const like = data.row('invoice', 1 + random.below(data.counts.invoice));
    const invoice = data.counts.invoice + i;
    rows.invoice.push({
      ...like,
      invoice_id: invoice,
      status: 'open',
      total: '3.98',
      updated_at: CHANGED_AT,
    });
    for (const line of [2 * i - 1, 2 * i]) {
      rows.invoice_line.push({
        invoice_line_id: data.counts.invoice_line + line,
        invoice_id: invoice,
        track_id: 1 + random.below(3000),
        unit_price: '1.99',
        quantity: 1,
        updated_at: CHANGED_AT,
      });
    }
  }
  for (const table of ['invoice', 'invoice_line'] as const) {
    plan.inserted[table] = rows[table].length;
    for (const batch of batches(rows[table], 20_000)) {
      plan.steps.push({
        changes: batch.map((row) => ({
          kind: 'insert',
          table,
          key: String(row[DEMO_TABLES[table].key]),
          unit: '',
          columns: Object.fromEntries(
            Object.entries(row).map(([column, value]) => [column, { from: null, to: value }]),
          ),
          seen: false,
        })),
        apply: (billing) => billing.insert(table, batch),
      });
    }
  }
}
