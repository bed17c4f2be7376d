import mysql from 'mysql2/promise';
import { Random } from '../../demo/app/random.js';
import { identityOf, type Row, type Value } from '../merge/oracle.js';
import { CLIENT_CODES } from './billing.js';
import {
  classOf,
  customerKey,
  lineKey,
  METER,
  type Shape,
  STABLE_CUSTOMERS,
  type TableName,
  type TortureTable,
} from './shape.js';

/** What a client does at once. An update's values occur nowhere else, so that one of them in live tells where it came from. */
export type Operation = { table: TableName } & (
  | { kind: 'update'; keys: Row[]; set: Row }
  /**
   * UPDATE … SET v = v: nothing changes, but triggers fire. The binary log would not tell of it: a row of the witness
   * stands for it in the same transaction.
   */
  | { kind: 'touch'; keys: Row[]; column: string }
  | { kind: 'insert' | 'insertIgnore' | 'replace'; rows: Row[] }
  /** INSERT … ON DUPLICATE KEY UPDATE */
  | { kind: 'upsert'; rows: Row[]; set: Row }
  | { kind: 'delete'; keys: Row[] }
  | { kind: 'rekey'; keys: Row[]; to: Row }
);

export type Model = Record<TableName, Map<string, Row>>;

/** A table of the clients' own, outside of the group. */
export const WITNESS = 'CREATE TABLE witness (n BIGINT AUTO_INCREMENT PRIMARY KEY)';

/** The statements of an operation; the comment is how it is known again in the binary log. */
export function textsOf(shape: Shape, number: number, operation: Operation): string[] {
  const text = textOf(shape, number, operation);
  if (operation.kind !== 'touch') return [text];
  return [`/*op ${number}*/ INSERT INTO witness () VALUES ()`, text.replace(/^\S+ \S+ /, '')];
}

function textOf(shape: Shape, number: number, operation: Operation): string {
  const table = shape.tables[operation.table];
  const head = `/*op ${number}*/`;
  const assign = (row: Row, separator: string) =>
    Object.entries(row)
      .map(([column, value]) => `${column} = ${mysql.escape(value)}`)
      .join(separator);
  const where = (keys: Row[]) => keys.map((key) => `(${assign(only(key, table.key), ' AND ')})`).join(' OR ');
  const values = (rows: Row[]) => {
    const columns = Object.keys(table.types);
    const list = rows.map(
      (row) => `(${columns.map((column) => mysql.escape(row[column] ?? null)).join(', ')})`,
    );
    return `INTO ${table.name} (${columns.join(', ')}) VALUES ${list.join(', ')}`;
  };
  switch (operation.kind) {
    case 'update':
      return `${head} UPDATE ${table.name} SET ${assign(operation.set, ', ')} WHERE ${where(operation.keys)}`;
    case 'rekey':
      return `${head} UPDATE ${table.name} SET ${assign(operation.to, ', ')} WHERE ${where(operation.keys)}`;
    case 'touch':
      return `${head} UPDATE ${table.name} SET ${operation.column} = ${operation.column} WHERE ${where(operation.keys)}`;
    case 'delete':
      return `${head} DELETE FROM ${table.name} WHERE ${where(operation.keys)}`;
    case 'insert':
      return `${head} INSERT ${values(operation.rows)}`;
    case 'insertIgnore':
      return `${head} INSERT IGNORE ${values(operation.rows)}`;
    case 'replace':
      return `${head} REPLACE ${values(operation.rows)}`;
    case 'upsert':
      return `${head} INSERT ${values(operation.rows)} ON DUPLICATE KEY UPDATE ${assign(operation.set, ', ')}`;
  }
}
const only = (row: Row, columns: string[]): Row =>
  Object.fromEntries(columns.map((column) => [column, row[column] ?? null]));

/**
 * What a statement that MySQL has carried out does to the rows.
 *
 * @param touched is told every key whose row a trigger would see
 */
export function carryOut(
  shape: Shape,
  model: Model,
  operation: Operation,
  touched: (table: TableName, key: string) => void,
): void {
  const table = shape.tables[operation.table];
  const rows = model[operation.table];
  const put = (row: Row) => {
    const key = identityOf(table, row);
    rows.set(key, row);
    touched(table.name, key);
  };
  const remove = (key: string) => {
    if (rows.delete(key)) touched(table.name, key);
  };
  switch (operation.kind) {
    case 'update':
    case 'touch':
    case 'rekey':
      for (const wanted of operation.keys) {
        const key = identityOf(table, wanted);
        const row = rows.get(key);
        if (!row) continue;
        const to =
          operation.kind === 'update' ? operation.set : operation.kind === 'rekey' ? operation.to : {};
        remove(key);
        put({ ...row, ...to });
      }
      return;
    case 'delete':
      for (const wanted of operation.keys) remove(identityOf(table, wanted));
      return;
    case 'insert':
      for (const row of operation.rows) put(row);
      return;
    case 'insertIgnore':
      for (const row of operation.rows)
        if (inTheWay(table, model, row).length === 0 && hasParents(shape, model, table, row)) put(row);
      return;
    case 'replace':
      for (const row of operation.rows) {
        for (const key of inTheWay(table, model, row)) remove(key);
        put(row);
      }
      return;
    case 'upsert':
      for (const row of operation.rows) {
        const [key] = inTheWay(table, model, row);
        const there = key === undefined ? undefined : rows.get(key);
        if (there) put({ ...there, ...operation.set });
        else put(row);
      }
  }
}

/** Keys of rows with which a new row collides, that of the primary key first. */
function inTheWay(table: TortureTable, model: Model, row: Row): string[] {
  const rows = model[table.name];
  const found = new Set<string>();
  const key = identityOf(table, row);
  if (rows.has(key)) found.add(key);
  for (const columns of table.unique) {
    if (columns.some((column) => row[column] === null)) continue;
    const value = identityOf(table, row, columns);
    for (const [other, candidate] of rows)
      if (!columns.some((column) => candidate[column] === null))
        if (identityOf(table, candidate, columns) === value) found.add(other);
  }
  return [...found];
}

function hasParents(shape: Shape, model: Model, table: TortureTable, row: Row): boolean {
  return table.references.every(({ columns, parent, parentColumns }) => {
    if (columns.some((column) => row[column] === null)) return true;
    const wanted = Object.fromEntries(
      parentColumns.map((column, index) => [column, row[columns[index] ?? ''] ?? null]),
    );
    const name = parent as TableName;
    return model[name].has(identityOf(shape.tables[name], wanted));
  });
}

/** From here on keys are those of clients' own rows. */
const OWN_KEYS = 1_000_000;

/** Draws what a client does. Many of its statements fail or find nothing: that is what clients do, too. */
export class ClientMind {
  #n = 0;
  #born: { customer: number[]; invoice: number[] } = { customer: [], invoice: [] };
  readonly #random: Random;

  /** @param next keys that billing will give next */
  constructor(
    readonly shape: Shape,
    readonly seed: number,
    readonly hand: number,
    readonly next: () => { customer: number; invoice: number },
  ) {
    this.#random = new Random(seed * 977 + hand * 31 + 7);
  }

  get random(): Random {
    return this.#random;
  }

  /** A transaction: its statements, and how it ends. */
  transaction(): { operations: Operation[]; end: 'autocommit' | 'commit' | 'late' | 'rollback' } {
    const random = this.#random;
    const dice = random.below(100);
    if (dice < 60) {
      const operation = this.#operation();
      return { operations: [operation], end: operation.kind === 'touch' ? 'commit' : 'autocommit' };
    }
    const operations = Array.from({ length: 1 + random.below(3) }, () => this.#operation());
    return { operations, end: dice < 80 ? 'commit' : dice < 90 ? 'late' : 'rollback' };
  }

  /** An edit as it is handed in: one existing row. */
  edit(): { table: TableName; key: Record<string, string>; set: Record<string, string> } {
    const token = this.#token('h');
    const random = this.#random;
    if (random.chance(0.6)) {
      const column = random.pick(['email', 'name', 'note', 'city'] as const);
      return { table: 'customer', key: this.#customer() as Record<string, string>, set: { [column]: token } };
    }
    if (random.chance(0.6)) {
      const invoice = this.#invoice(['memoOnly', 'wild']);
      return {
        table: 'invoice',
        key: { invoice_id: String(invoice) },
        set: { [random.pick(['memo', 'note'])]: token },
      };
    }
    const key = lineKey(this.shape, this.#invoice(['wild']), 1 + random.below(5));
    return {
      table: 'line',
      key: only(key, this.shape.tables.line.key) as Record<string, string>,
      set: { text: token },
    };
  }

  #operation(): Operation {
    const random = this.#random;
    const dice = random.below(100);
    if (dice < 28) return this.#updateCustomer();
    if (dice < 40) return this.#updateInvoice();
    if (dice < 50) return this.#updateLine();
    if (dice < 54) return { table: 'customer', kind: 'touch', keys: [this.#customer()], column: 'name' };
    if (dice < 60) return { table: 'customer', kind: 'insert', rows: [this.#newCustomer()] };
    if (dice < 66) return { table: 'invoice', kind: 'insert', rows: [this.#newInvoice()] };
    if (dice < 70) return { table: 'line', kind: 'insert', rows: [this.#newLine(), this.#newLine()] };
    if (dice < 74) {
      const rows = [this.#newCustomer(), this.#customerAgain(), this.#newCustomer()];
      return { table: 'customer', kind: 'insertIgnore', rows };
    }
    if (dice < 80) return { table: 'customer', kind: 'replace', rows: [this.#customerAgain()] };
    if (dice < 82) return { table: 'line', kind: 'replace', rows: [this.#newLine()] };
    if (dice < 88)
      return {
        table: 'customer',
        kind: 'upsert',
        rows: [random.chance(0.6) ? this.#customerAgain() : this.#newCustomer()],
        set: { email: this.#token() },
      };
    if (dice < 92) return { table: 'line', kind: 'delete', keys: [this.#line()] };
    if (dice < 94)
      return { table: 'invoice', kind: 'delete', keys: [{ invoice_id: String(this.#invoice(['wild'])) }] };
    if (dice < 96) return { table: 'customer', kind: 'delete', keys: [this.#wildCustomer()] };
    if (dice < 98) {
      const to = lineKey(this.shape, this.#invoice(['wild']), 20 + random.below(20));
      return { table: 'line', kind: 'rekey', keys: [this.#line()], to };
    }
    const to = { customer_id: customerKey(this.shape, this.#ownKey()) };
    return { table: 'customer', kind: 'rekey', keys: [this.#wildCustomer()], to };
  }

  #updateCustomer(): Operation {
    const random = this.#random;
    const keys = Array.from({ length: random.chance(0.2) ? 3 : 1 }, () => this.#customer());
    const update = (set: Row): Operation => ({ table: 'customer', kind: 'update', keys, set });
    const token = this.#token();
    const what = random.below(10);
    if (what < 3) return update(random.chance(0.1) ? { email: null, note: token } : { email: token });
    if (what < 5) return update({ name: token });
    if (what < 7) return update({ street: token, city: token, postcode: token });
    if (what < 8) return update({ note: token });
    return {
      table: 'customer',
      kind: 'update',
      keys: [this.#wildCustomer()],
      set: {
        ...(random.chance(0.8) || !('boss_id' in this.shape.tables.customer.types)
          ? { code: random.pick(CLIENT_CODES) }
          : { boss_id: customerKey(this.shape, 2 + random.below(STABLE_CUSTOMERS - 1)) }),
        note: token, // the row may have that value already: MySQL would not log what triggers see
      },
    };
  }

  #updateInvoice(): Operation {
    const random = this.#random;
    const token = this.#token();
    const update = (invoice: number, set: Row): Operation => ({
      table: 'invoice',
      kind: 'update',
      keys: [{ invoice_id: String(invoice) }],
      set,
    });
    if (random.chance(0.6)) return update(this.#invoice(['memoOnly', 'wild']), { memo: token });
    if (random.chance(0.5)) return update(this.#invoice(['wild']), { status: token });
    return update(this.#invoice(['wild']), {
      customer_id: this.#customer().customer_id ?? null,
      note: token,
    });
  }

  #updateLine(): Operation {
    return { table: 'line', kind: 'update', keys: [this.#line()], set: { text: this.#token() } };
  }

  #newCustomer(): Row {
    const number = this.#random.chance(0.15) ? this.next().customer + this.#random.below(3) : this.#ownKey();
    this.#born.customer.push(number);
    return this.#customerRow(customerKey(this.shape, number));
  }
  #customerAgain(): Row {
    return this.#customerRow(this.#wildCustomer().customer_id ?? null);
  }
  #customerRow(key: Value): Row {
    const random = this.#random;
    const token = this.#token();
    return {
      customer_id: key,
      code: random.chance(0.3) ? random.pick(CLIENT_CODES) : null,
      name: token,
      email: random.chance(0.2) ? null : token,
      street: token,
      city: token,
      postcode: token,
      balance: '0.0000',
      seen_at: null,
      ...('boss_id' in this.shape.tables.customer.types ? { boss_id: null } : {}),
      note: random.chance(0.5) ? token : null,
    };
  }

  #newInvoice(): Row {
    const random = this.#random;
    const number = random.chance(0.15)
      ? asWild(this.next().invoice + random.below(4))
      : asWild(this.#ownKey());
    this.#born.invoice.push(number);
    const token = this.#token();
    return {
      invoice_id: String(number),
      customer_id: this.#customer().customer_id ?? null,
      amount: '0.0000',
      memo: token,
      status: 'own',
      note: token,
    };
  }

  #newLine(): Row {
    const key = lineKey(this.shape, this.#invoice(['wild']), 6 + this.#random.below(14));
    const token = this.#token();
    return { ...key, amount: '0.0000', text: token, note: null };
  }
  #line(): Row {
    const key = lineKey(this.shape, this.#invoice(['wild']), 1 + this.#random.below(8));
    return only(key, this.shape.tables.line.key);
  }

  /** Any customer but the meter. */
  #customer(): Row {
    const random = this.#random;
    if (random.chance(0.5)) return this.#wildCustomer();
    return { customer_id: customerKey(this.shape, METER + 1 + random.below(STABLE_CUSTOMERS - METER)) };
  }
  #wildCustomer(): Row {
    const random = this.#random;
    const born = this.#born.customer;
    const number =
      born.length > 0 && random.chance(0.3)
        ? random.pick(born)
        : STABLE_CUSTOMERS + 1 + random.below(this.next().customer - STABLE_CUSTOMERS);
    return { customer_id: customerKey(this.shape, number) };
  }
  #invoice(classes: string[]): number {
    const random = this.#random;
    const born = this.#born.invoice;
    if (classes.includes('wild') && born.length > 0 && random.chance(0.2)) return random.pick(born);
    for (;;) {
      const number = 1 + random.below(this.next().invoice);
      if (classes.includes(classOf(number))) return number;
    }
  }

  #ownKey(): number {
    this.#n += 1;
    return OWN_KEYS * (this.hand + 1) + this.#n;
  }
  #token(of = 'c'): string {
    this.#n += 1;
    return `${of}${this.seed}.${this.hand}.${this.#n}`;
  }
}

/** The next number of an invoice that clients may do anything with. */
const asWild = (number: number): number => (classOf(number) === 'wild' ? number : asWild(number + 1));
