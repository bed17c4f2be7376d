/** The three tables of the demo, as both sides know them. */

export const TABLES = ['customer', 'invoice', 'invoice_line'] as const;
export type TableName = (typeof TABLES)[number];

/** Numbers are whole numbers; decimals and times are text as MySQL prints them. */
export type Value = string | number | null;
export type Row = Record<string, Value>;

export interface DemoTable {
  /** billing's name */
  source: string;
  key: string;
  /** the application's column: billing's column and who owns it; the key first */
  columns: Record<string, { from: string; owner: 'merge' | 'source' }>;
  /** columns that merge as one value */
  groups: string[][];
}

const merge = (from: string) => ({ from, owner: 'merge' as const });
const source = (from: string) => ({ from, owner: 'source' as const });

export const DEMO_TABLES: Record<TableName, DemoTable> = {
  customer: {
    source: 'dbo.Customer',
    key: 'customer_id',
    columns: {
      customer_id: merge('CustomerId'),
      first_name: merge('FirstName'),
      last_name: merge('LastName'),
      company: merge('Company'),
      address: merge('Address'),
      city: merge('City'),
      state: merge('State'),
      country: merge('Country'),
      postal_code: merge('PostalCode'),
      phone: merge('Phone'),
      fax: merge('Fax'),
      email: merge('Email'),
      support_rep_id: source('SupportRepId'),
      balance: source('Balance'),
      updated_at: source('UpdatedAt'),
    },
    groups: [['address', 'city', 'state', 'country', 'postal_code']],
  },
  invoice: {
    source: 'dbo.Invoice',
    key: 'invoice_id',
    columns: {
      invoice_id: merge('InvoiceId'),
      customer_id: source('CustomerId'),
      invoice_date: source('InvoiceDate'),
      billing_address: merge('BillingAddress'),
      billing_city: merge('BillingCity'),
      billing_state: merge('BillingState'),
      billing_country: merge('BillingCountry'),
      billing_postal_code: merge('BillingPostalCode'),
      total: source('Total'),
      purchase_order: merge('PurchaseOrder'),
      status: source('Status'),
      updated_at: source('UpdatedAt'),
    },
    groups: [['billing_address', 'billing_city', 'billing_state', 'billing_country', 'billing_postal_code']],
  },
  invoice_line: {
    source: 'dbo.InvoiceLine',
    key: 'invoice_line_id',
    columns: {
      invoice_line_id: merge('InvoiceLineId'),
      invoice_id: source('InvoiceId'),
      track_id: source('TrackId'),
      unit_price: source('UnitPrice'),
      quantity: source('Quantity'),
      updated_at: source('UpdatedAt'),
    },
    groups: [],
  },
};

/** The name of the unit in which a column merges: that of its group's first column, else its own. */
export function unitOf(table: TableName, column: string): string {
  return DEMO_TABLES[table].groups.find((group) => group.includes(column))?.[0] ?? column;
}

/** Only databases of these names are made and dropped. @throws {Error} any other name */
export function assertDemoDatabase(name: string): void {
  if (!/^stageswap_demo_[a-z0-9_]+$/.test(name)) {
    throw new Error(`the demo touches only databases named stageswap_demo_*, not ${name}`);
  }
}

/** Calls with arrays of at most `size` rows: what is generated is never all in memory. */
export function* batches<T>(rows: Iterable<T>, size: number): Generator<T[]> {
  let batch: T[] = [];
  for (const row of rows) {
    batch.push(row);
    if (batch.length === size) {
      yield batch;
      batch = [];
    }
  }
  if (batch.length > 0) yield batch;
}
