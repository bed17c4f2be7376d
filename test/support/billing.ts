import type mssql from 'mssql';
import { Random } from '../../demo/app/random.js';
import type { Row, Rows } from './invoice-app.js';

const ROWS_A_STATEMENT = 500;

/**
 * The billing side: two tables at the source, and in memory what they say. Clients may edit customers and invoices
 * below `clientsOwn`; billing changes fields of those, but inserts and deletes only above, so that what must be in live
 * after a run follows from the two sides without knowing how a run merges.
 */
export class Billing {
  /** what the source says */
  rows: Rows = { customer: new Map(), invoice: new Map() };
  #n = 0;
  #nextInvoice: number;
  #nextCustomer: number;
  readonly #random: Random;

  constructor(
    readonly pool: mssql.ConnectionPool,
    readonly prefix: string,
    readonly size: { customers: number; invoices: number },
    seed: number,
  ) {
    this.#random = new Random(seed);
    this.#nextCustomer = size.customers + 1;
    this.#nextInvoice = size.invoices + 1;
  }

  /** Keys from 1 to this are never inserted or deleted by billing. */
  get clientsOwn(): { customers: number; invoices: number } {
    return { customers: Math.floor(this.size.customers / 2), invoices: Math.floor(this.size.invoices / 2) };
  }

  async create(): Promise<void> {
    const { prefix, size } = this;
    await this.#run(`DROP TABLE IF EXISTS dbo.${prefix}Invoice`);
    await this.#run(`DROP TABLE IF EXISTS dbo.${prefix}Customer`);
    await this.#run(
      `CREATE TABLE dbo.${prefix}Customer (CustomerId bigint NOT NULL PRIMARY KEY, Name nvarchar(80) NOT NULL, Email nvarchar(80) NULL, Balance decimal(19,4) NOT NULL)`,
    );
    await this.#run(
      `CREATE TABLE dbo.${prefix}Invoice (InvoiceId bigint NOT NULL PRIMARY KEY, CustomerId bigint NOT NULL, Amount decimal(19,4) NOT NULL, Memo nvarchar(80) NULL)`,
    );
    await this.#insertCustomers(1, size.customers);
    await this.#insertInvoices(1, size.invoices);
  }

  /** One batch of changes of every kind, each of them a commit of its own. */
  async change(): Promise<void> {
    this.#n += 1;
    const { customers, invoices } = this.clientsOwn;
    const n = this.#n;
    for (let index = 0; index < 5; index += 1) {
      const at = 1 + this.#random.below(this.size.customers - 40);
      await this.#set('customer', 'CustomerId', at, at + 19, { balance: `${n * 100 + index}.2500` });
      const named = 1 + this.#random.below(customers);
      await this.#set('customer', 'CustomerId', named, named + 4, { name: `renamed ${n}.${index}` });
      const mailed = 1 + this.#random.below(customers);
      await this.#set('customer', 'CustomerId', mailed, mailed + 4, { email: `b${n}.${index}@billing` });
      const billed = 1 + this.#random.below(invoices);
      await this.#set('invoice', 'InvoiceId', billed, billed + 9, {
        amount: `${n}.5000`,
        memo: `billing ${n}`,
      });
    }
    const gone = [...this.rows.invoice.keys()].map(Number).filter((key) => key > invoices);
    const from = this.#random.pick(gone);
    await this.#run(
      `DELETE FROM dbo.${this.prefix}Invoice WHERE InvoiceId >= ${from} AND InvoiceId < ${from + 20}`,
    );
    for (let key = from; key < from + 20; key += 1) this.rows.invoice.delete(String(key));
    await this.#insertCustomers(this.#nextCustomer, this.#nextCustomer + 4);
    this.#nextCustomer += 5;
    await this.#insertInvoices(this.#nextInvoice, this.#nextInvoice + 19);
    this.#nextInvoice += 20;
  }

  /** A copy of what the source says now. */
  saysNow(): Rows {
    const copy = (table: Map<string, Row>) => new Map([...table].map(([key, row]) => [key, { ...row }]));
    return { customer: copy(this.rows.customer), invoice: copy(this.rows.invoice) };
  }

  async #run(text: string): Promise<void> {
    await this.pool.request().batch(text);
  }

  async #set(
    table: 'customer' | 'invoice',
    key: string,
    from: number,
    to: number,
    values: Row,
  ): Promise<void> {
    const name = `dbo.${this.prefix}${table === 'customer' ? 'Customer' : 'Invoice'}`;
    const set = Object.entries(values).map(
      ([column, value]) => `${column[0]?.toUpperCase()}${column.slice(1)} = N'${value}'`,
    );
    await this.#run(`UPDATE ${name} SET ${set.join(', ')} WHERE ${key} BETWEEN ${from} AND ${to}`);
    for (let at = from; at <= to; at += 1) {
      const row = this.rows[table].get(String(at));
      if (row) Object.assign(row, values);
    }
  }

  async #insertCustomers(from: number, to: number): Promise<void> {
    await this.#insert(from, to, `dbo.${this.prefix}Customer (CustomerId, Name, Email, Balance)`, (key) => {
      const row = {
        customer_id: String(key),
        name: `Zoë \\ ${key}`,
        email: key % 7 === 0 ? null : `c${key}@old.example`,
        balance: `12345678901.${String(key % 10_000).padStart(4, '0')}`,
      };
      this.rows.customer.set(row.customer_id, { ...row, note: null });
      return Object.values(row);
    });
  }

  async #insertInvoices(from: number, to: number): Promise<void> {
    await this.#insert(from, to, `dbo.${this.prefix}Invoice (InvoiceId, CustomerId, Amount, Memo)`, (key) => {
      const row = {
        invoice_id: String(key),
        customer_id: String(1 + (key % this.size.customers)),
        amount: `${key % 1000}.7500`,
        memo: `memo of ${key}`,
      };
      this.rows.invoice.set(row.invoice_id, row);
      return Object.values(row);
    });
  }

  async #insert(
    from: number,
    to: number,
    into: string,
    rowOf: (key: number) => (string | null)[],
  ): Promise<void> {
    for (let at = from; at <= to; at += ROWS_A_STATEMENT) {
      const rows: string[] = [];
      for (let key = at; key <= Math.min(to, at + ROWS_A_STATEMENT - 1); key += 1) {
        const values = rowOf(key).map((value, index) =>
          value === null ? 'NULL' : index === 0 ? value : `N'${value}'`,
        );
        rows.push(`(${values.join(', ')})`);
      }
      await this.#run(`INSERT INTO ${into} VALUES ${rows.join(', ')}`);
    }
  }
}
