import { readFileSync } from 'node:fs';
import { hashed } from './random.js';
import type { Row, TableName } from './tables.js';

/**
 * The rows of the Chinook sample, repeated with shifted keys and seeded variation.
 *
 * Every row is a pure function of seed and key, so that nothing needs to be kept: what billing held at first can be
 * asked for at any time. Keys are 1..count in every table.
 */
export class Chinook {
  readonly counts: Record<TableName, number>;
  readonly copies: number;
  readonly #base: Record<TableName, Record<string, string | null>[]>;

  /** @param rows about how many rows the three tables have together; rounded to whole copies of the sample */
  constructor(
    rows: number,
    readonly seed: number,
  ) {
    this.#base = { customer: read('customer'), invoice: read('invoice'), invoice_line: read('invoice_line') };
    const { customer, invoice, invoice_line } = this.#base;
    this.copies = Math.max(1, Math.round(rows / (customer.length + invoice.length + invoice_line.length)));
    this.counts = {
      customer: customer.length * this.copies,
      invoice: invoice.length * this.copies,
      invoice_line: invoice_line.length * this.copies,
    };
  }

  get rows(): number {
    return this.counts.customer + this.counts.invoice + this.counts.invoice_line;
  }

  *all(table: TableName): Generator<Row> {
    for (let key = 1; key <= this.counts[table]; key += 1) yield this.row(table, key);
  }

  /** One row by its key, with the application's column names. @throws {RangeError} no such key */
  row(table: TableName, key: number): Row {
    const base = this.#base[table];
    const copy = Math.floor((key - 1) / base.length);
    const from = base[(key - 1) % base.length];
    if (from === undefined || copy >= this.copies) throw new RangeError(`no ${table} ${key}`);
    switch (table) {
      case 'customer':
        return this.#customer(from, key, copy);
      case 'invoice':
        return this.#invoice(from, key, copy);
      case 'invoice_line':
        return this.#line(from, key, copy);
    }
  }

  #customer(from: Record<string, string | null>, key: number, copy: number): Row {
    const at = (part: number) => hashed(this.seed, 1, key, part);
    const [name, host] = (from.Email ?? '').split('@');
    return {
      customer_id: key,
      first_name: from.FirstName ?? null,
      last_name: from.LastName ?? null,
      company: from.Company ?? null,
      address: copy === 0 ? (from.Address ?? null) : `${from.Address} / ${1 + Math.floor(at(1) * 99)}`,
      city: from.City ?? null,
      state: from.State ?? null,
      country: from.Country ?? null,
      postal_code: from.PostalCode ?? null,
      phone: from.Phone
        ? from.Phone.replace(/\d{3}$/, String(Math.floor(at(2) * 1000)).padStart(3, '0'))
        : null,
      fax: from.Fax ?? null,
      email: copy === 0 ? (from.Email ?? null) : `${name}.${copy}@${host}`,
      support_rep_id: Number(from.SupportRepId),
      balance: (Math.floor(at(3) * 10_000_000) / 10_000).toFixed(4),
      updated_at: timeOf(at(4)),
    };
  }

  #invoice(from: Record<string, string | null>, key: number, copy: number): Row {
    const at = (part: number) => hashed(this.seed, 2, key, part);
    const day = new Date(`${(from.InvoiceDate ?? '').replace(' ', 'T')}Z`);
    day.setUTCDate(day.getUTCDate() + Math.floor(at(1) * 300));
    return {
      invoice_id: key,
      customer_id: Number(from.CustomerId) + copy * this.#base.customer.length,
      invoice_date: `${day.toISOString().slice(0, 10)} 00:00:00.000`,
      billing_address: from.BillingAddress ?? null,
      billing_city: from.BillingCity ?? null,
      billing_state: from.BillingState ?? null,
      billing_country: from.BillingCountry ?? null,
      billing_postal_code: from.BillingPostalCode ?? null,
      total: Number(from.Total).toFixed(2),
      purchase_order: at(2) < 0.5 ? null : `PO-${Math.floor(at(3) * 1_000_000)}`,
      status: at(4) < 0.8 ? 'paid' : 'open',
      updated_at: timeOf(at(5)),
    };
  }

  #line(from: Record<string, string | null>, key: number, copy: number): Row {
    return {
      invoice_line_id: key,
      invoice_id: Number(from.InvoiceId) + copy * this.#base.invoice.length,
      track_id: Number(from.TrackId),
      unit_price: Number(from.UnitPrice).toFixed(2),
      quantity: Number(from.Quantity),
      updated_at: timeOf(hashed(this.seed, 3, key, 1)),
    };
  }
}

/** A time in 2025, to the microsecond, as MySQL prints it. */
function timeOf(share: number): string {
  const micros = Math.floor(share * 365 * 86_400) * 1_000_000 + (Math.floor(share * 1e9) % 1_000_000);
  const day = new Date(Date.UTC(2025, 0, 1) + Math.floor(micros / 1000)).toISOString();
  return `${day.slice(0, 10)} ${day.slice(11, 23)}${String(micros % 1000).padStart(3, '0')}`;
}

function read(table: TableName): Record<string, string | null>[] {
  const text = readFileSync(new URL(`../data/chinook/${table}.csv`, import.meta.url), 'utf8');
  const [head = [], ...rows] = parseCsv(text);
  return rows.map((row) => Object.fromEntries(head.map((name, index) => [name, row[index] || null])));
}

/** Fields in double quotes may hold commas, newlines and doubled quotes. */
export function parseCsv(text: string): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  const field = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/y;
  while (field.lastIndex < text.length) {
    const match = field.exec(text);
    if (!match) throw new Error('not a CSV file');
    row.push(match[1] === undefined ? (match[2] ?? '') : match[1].replaceAll('""', '"'));
    if (match[3] !== ',') {
      rows.push(row);
      row = [];
    }
  }
  return rows;
}
