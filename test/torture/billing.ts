import type mssql from 'mssql';
import { Random } from '../../demo/app/random.js';
import { identityOf, type Row, type Value } from '../merge/oracle.js';
import {
  classOf,
  copyOf,
  customerKey,
  emptyGroup,
  lineKey,
  METER,
  mappedColumns,
  type Shape,
  STABLE_CUSTOMERS,
  sourceDefinitions,
  sourceDelete,
  sourceInsert,
  sourceUpdate,
  type TableName,
  tablesOf,
} from './shape.js';

/** Customers beyond the stable ones, and invoices, that billing begins with. */
const WILD_CUSTOMERS = 30;
const INVOICES = 60;
/** Lines of an invoice have places from 1 to this. */
const LINES_MAX = 5;
const CODES = ['alpha', 'Alpha', 'beta', 'BETA', 'gamma', 'delta', 'epsilon', 'zeta', 'éta', 'eta'];

type State = Record<TableName, Map<string, Row>>;

/** What the source says after one of billing's transactions. */
export interface Version {
  rows: State;
  /** somebody broke the export: a run that publishes this has to ask before */
  broken: boolean;
}

/**
 * Billing: transactions at the source, each of which changes several rows of several tables and raises the meter, so that
 * the meter tells of which moment a row of live is. Invoices that are summed always add up.
 */
export class Billing {
  /** by the meter; the first is 1 */
  readonly versions: Version[] = [];
  #rows: State = emptyGroup();
  #nextCustomer = STABLE_CUSTOMERS + WILD_CUSTOMERS + 1;
  #nextInvoice = INVOICES + 1;
  #cents = 0;
  readonly #random: Random;
  /** one transaction after the other, whoever asks for them */
  #last: Promise<void> = Promise.resolve();

  constructor(
    readonly pool: mssql.ConnectionPool,
    readonly database: string,
    readonly shape: Shape,
    readonly seed: number,
  ) {
    this.#random = new Random(seed * 271 + 3);
  }

  get meter(): number {
    return this.versions.length;
  }
  /** Keys that billing will give next: clients who make them, too, meet it there. */
  get next(): { customer: number; invoice: number } {
    return { customer: this.#nextCustomer, invoice: this.#nextInvoice };
  }

  /** Makes the source's tables with their first rows. */
  async create(): Promise<void> {
    const { shape } = this;
    for (let number = 1; number <= STABLE_CUSTOMERS + WILD_CUSTOMERS; number += 1) this.#putCustomer(number);
    for (let number = 1; number <= INVOICES; number += 1) this.#putInvoice(number);
    this.#set('customer', this.#key('customer', METER), { balance: '1.0000' });
    for (const statement of sourceDefinitions(shape)) await this.pool.request().batch(statement);
    for (const table of tablesOf(shape))
      await this.pool.request().batch(sourceInsert(table, [...this.#rows[table.name].values()]));
    this.versions.push({ rows: copyOf(this.#rows) as State, broken: false });
  }

  /** One transaction of a usual day. */
  change(): Promise<void> {
    return this.#transact(() => {
      const times = 2 + this.#random.below(4);
      for (let index = 0; index < times; index += 1) this.#act();
    });
  }

  /** An export that lost most of its rows, or has them twice; `mend` brings back what it said before. */
  break(how: 'truncated' | 'doubled'): Promise<void> {
    return this.#transact(() => {
      if (how === 'truncated') {
        for (const table of [...tablesOf(this.shape)].reverse()) {
          for (const row of [...this.#rows[table.name].values()])
            if (!this.#isMeter(table.name, row)) this.#delete(table.name, row);
        }
        return;
      }
      for (let number = this.#nextInvoice; number < this.#nextInvoice + INVOICES; number += 1)
        this.#putInvoice(number);
      this.#nextInvoice += INVOICES;
    }, how === 'truncated');
  }
  async mend(): Promise<void> {
    const sound = this.versions.findLast(({ broken }) => !broken);
    if (!sound) return;
    await this.#transact(() => {
      for (const table of tablesOf(this.shape))
        for (const [key, row] of sound.rows[table.name])
          if (!this.#rows[table.name].has(key)) this.#rows[table.name].set(key, row);
    });
  }

  #transact(change: () => void, broken = false): Promise<void> {
    const transaction = this.#last.then(async () => {
      const before = copyOf(this.#rows) as State;
      change();
      const meter = this.#key('customer', METER);
      this.#set('customer', meter, { balance: `${this.meter + 1}.0000` });
      await this.#write(before);
      this.versions.push({ rows: copyOf(this.#rows) as State, broken });
    });
    this.#last = transaction.catch(() => {});
    return transaction;
  }

  /** Writes at the source what differs, in one transaction. */
  async #write(before: State): Promise<void> {
    const transaction = this.pool.transaction();
    await transaction.begin();
    try {
      for (const table of tablesOf(this.shape)) {
        const [was, is] = [before[table.name], this.#rows[table.name]];
        for (const [key, row] of was)
          if (!is.has(key)) await transaction.request().batch(sourceDelete(table, row));
        const born: Row[] = [];
        for (const [key, row] of is) {
          const old = was.get(key);
          if (!old) born.push(row);
          else if (old !== row) {
            const changed = Object.entries(row).filter(([column, value]) => old[column] !== value);
            if (changed.length > 0)
              await transaction.request().batch(sourceUpdate(table, row, Object.fromEntries(changed)));
          }
        }
        if (born.length > 0) await transaction.request().batch(sourceInsert(table, born));
      }
      await transaction.commit();
    } catch (error) {
      await transaction.rollback().catch(() => {});
      throw error;
    }
  }

  #act(): void {
    const random = this.#random;
    const dice = random.below(100);
    if (dice < 30) this.#changeCustomer();
    else if (dice < 60) this.#changeInvoice();
    else if (dice < 75) {
      this.#putInvoice(this.#nextInvoice);
      this.#nextInvoice += 1;
    } else if (dice < 85) {
      this.#putCustomer(this.#nextCustomer);
      this.#nextCustomer += 1;
    } else if (dice < 95) this.#deleteInvoice();
    else this.#deleteCustomer();
  }

  #changeCustomer(): void {
    const row = this.#pick('customer', (candidate) => !this.#isMeter('customer', candidate));
    if (!row) return;
    const set: Record<string, Value> = {};
    const what = this.#random.below(6);
    if (what === 0) set.name = this.#word('name');
    if (what === 1) set.email = this.#random.chance(0.2) ? null : this.#word('mail');
    if (what === 2) Object.assign(set, { street: this.#word('street'), postcode: this.#word('code') });
    if (what === 3) set.balance = this.#money();
    if (what === 4) set.seen_at = this.#moment();
    if (what === 5 && this.#isWild(row)) set.code = this.#freeCode();
    this.#set('customer', row, set);
  }

  /** Changes the sum and the lines of an invoice together. */
  #changeInvoice(): void {
    const row = this.#pick('invoice', () => true);
    if (!row) return;
    if (this.#random.chance(0.3)) this.#set('invoice', row, { memo: this.#word('memo') });
    if (this.#random.chance(0.2)) this.#set('invoice', row, { status: this.#random.pick(['open', 'paid']) });
    const lines = this.#linesOf(row);
    const line = lines.length > 0 ? this.#random.pick(lines) : undefined;
    if (line && this.#random.chance(0.3)) this.#set('line', line, { text: this.#word('text') });
    const free = this.#freePlace(Number(row.invoice_id));
    if (line && lines.length > 1 && this.#random.chance(0.3)) this.#delete('line', line);
    else if (free && this.#random.chance(0.3)) this.#putLine(Number(row.invoice_id), free);
    else if (line) this.#set('line', line, { amount: this.#money() });
    this.#addUp(row);
  }

  #deleteInvoice(): void {
    const row = this.#pick('invoice', ({ invoice_id }) => classOf(Number(invoice_id)) !== 'memoOnly');
    if (!row || this.#rows.invoice.size < INVOICES / 2) return;
    for (const line of this.#linesOf(row)) this.#delete('line', line);
    this.#delete('invoice', row);
  }

  #deleteCustomer(): void {
    const { customer, invoice } = this.#rows;
    const used = new Set([...invoice.values()].map(({ customer_id }) => customer_id));
    for (const row of customer.values()) if (row.boss_id) used.add(row.boss_id);
    const row = this.#pick(
      'customer',
      (candidate) => this.#isWild(candidate) && !used.has(candidate.customer_id ?? ''),
    );
    if (row && customer.size > STABLE_CUSTOMERS + WILD_CUSTOMERS / 2) this.#delete('customer', row);
  }

  #putCustomer(number: number): void {
    const stable = number <= STABLE_CUSTOMERS;
    const row: Record<string, Value> = {
      customer_id: customerKey(this.shape, number),
      code: stable ? `stable ${number}` : this.#freeCode(),
      name: this.#word('Zoë \\'),
      email: this.#random.chance(0.2) ? null : this.#word("o'mail"),
      street: this.#word('street'),
      city: this.#word('city'),
      postcode: this.#word('code'),
      balance: this.#money(),
      seen_at: this.#moment(),
    };
    if ('boss_id' in this.shape.tables.customer.types) {
      const boss = this.#random.chance(0.6) ? 1 + this.#random.below(STABLE_CUSTOMERS) : undefined;
      row.boss_id = stable || boss === undefined ? null : customerKey(this.shape, boss);
    }
    this.#put('customer', row);
  }

  #putInvoice(number: number): void {
    const wild = classOf(number) === 'wild';
    const customers = [...this.#rows.customer.values()].filter((row) => wild || !this.#isWild(row));
    this.#put('invoice', {
      invoice_id: String(number),
      customer_id: this.#random.pick(customers).customer_id ?? null,
      amount: '0.0000',
      memo: this.#word('memo'),
      status: 'open',
    });
    const lines = 1 + this.#random.below(LINES_MAX - 1);
    for (let no = 1; no <= lines; no += 1) this.#putLine(number, no);
    this.#addUp(this.#key('invoice', number));
  }

  #putLine(invoice: number, no: number): void {
    this.#put('line', {
      ...lineKey(this.shape, invoice, no),
      amount: this.#money(),
      text: this.#word('text'),
    });
  }

  #addUp(row: Row): void {
    const cents = this.#linesOf(row).reduce((sum, line) => sum + toCents(line.amount ?? '0'), 0n);
    this.#set('invoice', row, { amount: fromCents(cents) });
  }

  #linesOf({ invoice_id }: Row): Row[] {
    return [...this.#rows.line.values()].filter((line) => line.invoice_id === invoice_id);
  }
  #freePlace(invoice: number): number | undefined {
    const taken = new Set(this.#linesOf({ invoice_id: String(invoice) }).map(({ no }) => Number(no)));
    return Array.from({ length: LINES_MAX }, (_, index) => index + 1).find((no) => !taken.has(no));
  }

  #isMeter = (table: TableName, row: Row) =>
    table === 'customer' && row.customer_id === customerKey(this.shape, METER);
  #isWild = (row: Row) => !row.code?.startsWith('stable ');

  #key(table: 'customer' | 'invoice', number: number): Row {
    return table === 'customer'
      ? { customer_id: customerKey(this.shape, number) }
      : { invoice_id: String(number) };
  }
  #put(table: TableName, row: Row): void {
    const spec = this.shape.tables[table];
    const whole = Object.fromEntries(mappedColumns(spec).map((column) => [column, row[column] ?? null]));
    this.#rows[table].set(identityOf(spec, whole), whole);
  }
  #set(table: TableName, row: Row, set: Row): void {
    const key = identityOf(this.shape.tables[table], row);
    const old = this.#rows[table].get(key);
    if (old) this.#rows[table].set(key, { ...old, ...set });
  }
  #delete(table: TableName, row: Row): void {
    this.#rows[table].delete(identityOf(this.shape.tables[table], row));
  }
  #pick(table: TableName, which: (row: Row) => boolean): Row | undefined {
    const rows = [...this.#rows[table].values()].filter(which);
    return rows.length > 0 ? this.#random.pick(rows) : undefined;
  }

  /** A code that no customer of billing's has; clients use the same words. */
  #freeCode(): string | null {
    const { customer } = this.shape.tables;
    const fold = customer.folds.code ?? ((text: string) => text);
    const taken = new Set([...this.#rows.customer.values()].map(({ code }) => code && fold(code)));
    const free = CODES.filter((code) => !taken.has(fold(code)));
    return free.length === 0 || this.#random.chance(0.6) ? null : this.#random.pick(free);
  }
  #word(of: string): string {
    this.#cents += 1;
    return `${of} b${this.seed}.${this.#cents}`;
  }
  #money(): string {
    this.#cents += 1;
    return fromCents(
      BigInt(this.#random.below(1_000_000_000)) * 1_000_000_000n + BigInt(this.#cents * 10_000 + 25),
    );
  }
  #moment(): string {
    this.#cents += 1;
    return `2024-02-29 12:00:00.${String(this.#cents % 1_000_000).padStart(6, '0')}`;
  }
}

export const CLIENT_CODES = CODES;

/** Amounts as ten-thousandths, since none may become a JavaScript number. */
export const toCents = (amount: string): bigint => BigInt(amount.replace('.', ''));
const fromCents = (cents: bigint): string => {
  const text = cents.toString().padStart(5, '0');
  return `${text.slice(0, -4)}.${text.slice(-4)}`;
};
