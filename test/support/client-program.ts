import { setTimeout as sleep } from 'node:timers/promises';
import mysql, { type Connection, type RowDataPacket } from 'mysql2/promise';
import { Random } from '../../demo/app/random.js';
import { COLUMNS, KEY, type Row, type Rows, type TableName, type Value } from './invoice-app.js';

/** What clients were told was saved: the state of every row that they touched, as of its last acknowledged edit. */
export class Books {
  /** rows that a client made, whole */
  readonly born: Rows = { customer: new Map(), invoice: new Map() };
  /** keys of rows that a client deleted */
  readonly deleted: Record<TableName, Set<string>> = { customer: new Set(), invoice: new Set() };
  /** fields that a client set, by row */
  readonly set: Rows = { customer: new Map(), invoice: new Map() };
  acknowledged = 0;

  note(edits: Edit[]): void {
    this.acknowledged += 1;
    for (const edit of edits) {
      const { table, key } = edit;
      if (edit.kind === 'insert') this.born[table].set(key, edit.row);
      else if (edit.kind === 'delete') this.deleted[table].add(key);
      else this.set[table].set(key, { ...this.set[table].get(key), [edit.column]: edit.value });
    }
  }

  /** What live must hold when the source's rows were published: the source's fields, and on top what clients saved. */
  over(source: Rows): Rows {
    const expected: Rows = { customer: new Map(), invoice: new Map() };
    for (const table of ['customer', 'invoice'] as const) {
      for (const [key, row] of [...source[table], ...this.born[table]]) {
        if (this.deleted[table].has(key)) continue;
        expected[table].set(key, { ...row, ...this.set[table].get(key) });
      }
    }
    return expected;
  }
}

export type Edit =
  | { kind: 'update'; table: TableName; key: string; column: string; value: string }
  | { kind: 'insert'; table: TableName; key: string; row: Row }
  | { kind: 'delete'; table: TableName; key: string };

/** Errors after which an application repeats its transaction: lock wait, deadlock, a table that was exchanged. */
const RETRYABLE = new Set([1205, 1213, 1412]);
/** MySQL ends, or has ended: what the statement did is not known. */
const GONE = new Set([1053, 1077, 1079, 1317]);
const PACE_MS = 3;

export interface ClientProgramOptions {
  /** with the schema */
  url: string;
  seed: number;
  /** customers and invoices with keys from 1 to these are edited; the upper half of the invoices also deleted */
  owns: { customers: number; invoices: number };
  /** connections that edit side by side, each with rows of its own */
  connections?: number;
}

/**
 * A client application: it edits live by plain SQL, knowing nothing of runs, and remembers an edit as acknowledged when
 * its commit returned. Every value that it writes occurs once. After a lost connection it looks whether the edit is
 * there before it goes on, so that at rest nothing about its edits is doubtful.
 */
export class ClientProgram {
  readonly books = new Books();
  /** errors that no application should see; an empty list when all went well */
  readonly surprises: string[] = [];
  /** the longest that a transaction took while its connection held */
  stallMsMax = 0;
  #running: Promise<void>[] = [];
  #stopping = false;
  #n = 0;

  constructor(readonly options: ClientProgramOptions) {}

  start(): void {
    if (this.#running.length > 0) throw new Error('the client program runs already');
    this.#stopping = false;
    const hands = this.options.connections ?? 2;
    this.#running = Array.from({ length: hands }, (_, hand) => this.#work(hand, hands));
  }

  /** Ends after the edits under way; their outcome is known then. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#running);
    this.#running = [];
  }

  async #work(hand: number, hands: number): Promise<void> {
    const random = new Random(this.options.seed * 31 + hand + this.#n);
    let connection: Connection | undefined;
    while (!this.#stopping) {
      const edits = this.#invent(random, hand, hands);
      connection = await this.#save(edits, connection);
      await sleep(PACE_MS);
    }
    await connection?.end().catch(() => {});
  }

  /** Saves one transaction, whatever it takes, and writes it into the books. @returns the connection to go on with */
  async #save(edits: Edit[], connection: Connection | undefined): Promise<Connection | undefined> {
    let at = connection;
    for (;;) {
      try {
        at ??= await this.#connect();
        const began = performance.now();
        await transact(at, edits);
        this.stallMsMax = Math.max(this.stallMsMax, performance.now() - began);
        this.books.note(edits);
        return at;
      } catch (error) {
        const errno = (error as { errno?: number }).errno;
        if (errno !== undefined && RETRYABLE.has(errno)) {
          await at?.query('ROLLBACK').catch(() => {});
          continue;
        }
        if (errno !== undefined && errno > 1000 && !GONE.has(errno)) {
          this.surprises.push(`${(error as Error).message} (${JSON.stringify(edits)})`);
          await at?.query('ROLLBACK').catch(() => {});
          return at;
        }
        at?.destroy();
        at = await this.#connect();
        if (await isThere(at, edits)) {
          this.books.note(edits);
          return at;
        }
      }
    }
  }

  /** Connects, as often as it takes. */
  async #connect(): Promise<Connection> {
    for (;;) {
      try {
        const connection = await mysql.createConnection({ uri: this.options.url, charset: 'utf8mb4' });
        connection.on('error', () => {}); // the next statement reports it
        return connection;
      } catch {
        await sleep(50);
      }
    }
  }

  #invent(random: Random, hand: number, hands: number): Edit[] {
    const { customers, invoices } = this.options.owns;
    const mine = (end: number) => String(1 + hand + hands * random.below(Math.floor((end - hand) / hands)));
    const token = () => {
      this.#n += 1;
      return `t${this.options.seed}.${this.#n}`;
    };
    const update = (): Edit => {
      const column = random.pick(['email', 'note', 'memo'] as const);
      const table = column === 'memo' ? 'invoice' : 'customer';
      const key = mine(table === 'customer' ? customers : invoices / 2);
      return { kind: 'update', table, key, column, value: token() };
    };
    const dice = random.next();
    if (dice < 0.7) return [update()];
    if (dice < 0.85) return [update(), update()];
    if (dice < 0.9) {
      const key = String(Math.floor(invoices / 2) + Number(mine(invoices / 2)));
      if (this.books.deleted.invoice.has(key)) return [update()];
      return [{ kind: 'delete', table: 'invoice', key }];
    }
    const value = token();
    const key = String(1_000_000_000 + this.#n);
    const customer: Row = { customer_id: key, name: value, email: null, balance: '0.0000', note: null };
    if (dice < 0.93) return [{ kind: 'insert', table: 'customer', key, row: customer }];
    const invoice: Row = {
      invoice_id: key,
      customer_id: mine(customers),
      amount: '1.0000',
      memo: value,
    };
    return [{ kind: 'insert', table: 'invoice', key, row: invoice }, update()];
  }
}

async function transact(connection: Connection, edits: Edit[]): Promise<void> {
  const [only] = edits;
  if (edits.length === 1 && only) return perform(connection, only);
  await connection.query('START TRANSACTION');
  for (const edit of edits) await perform(connection, edit);
  await connection.query('COMMIT');
}

async function perform(connection: Connection, edit: Edit): Promise<void> {
  const where = `WHERE ${KEY[edit.table]} = ?`;
  if (edit.kind === 'insert') {
    await connection.query(`INSERT INTO ${edit.table} SET ?`, [edit.row]);
  } else if (edit.kind === 'delete') {
    await connection.query(`DELETE FROM ${edit.table} ${where}`, [edit.key]);
  } else {
    const set = `UPDATE ${edit.table} SET ${edit.column} = ? ${where}`;
    const [result] = await connection.query(set, [edit.value, edit.key]);
    const { affectedRows } = result as { affectedRows: number };
    if (affectedRows !== 1)
      throw Object.assign(new Error(`${edit.table} ${edit.key} is missing`), { errno: 9999 });
  }
}

/** Whether a transaction took effect: it did as a whole or not at all, so its first edit tells. */
async function isThere(connection: Connection, edits: Edit[]): Promise<boolean> {
  const [edit] = edits;
  if (!edit) return true;
  // FOR UPDATE waits for a transaction of the lost connection that has not ended yet
  const [found] = await connection.query<RowDataPacket[]>(
    `SELECT * FROM ${edit.table} WHERE ${KEY[edit.table]} = ? FOR UPDATE`,
    [edit.key],
  );
  const row = found[0] as Row | undefined;
  if (edit.kind === 'insert') return row !== undefined;
  return edit.kind === 'delete' ? row === undefined : row?.[edit.column] === edit.value;
}

/** Live as it is, every value as text. */
export async function readLive(connection: Connection): Promise<Rows> {
  const rows: Rows = { customer: new Map(), invoice: new Map() };
  for (const table of ['customer', 'invoice'] as const) {
    const columns = COLUMNS[table];
    const [found] = await connection.query<RowDataPacket[]>({
      sql: `SELECT ${columns.map((name) => `CAST(${name} AS CHAR) AS ${name}`).join(', ')} FROM ${table}`,
    });
    for (const row of found as Row[]) rows[table].set(row[KEY[table]] ?? '', { ...row });
  }
  return rows;
}

/** Where live differs from what it must hold, for people; empty if it does not. */
export function differences(expected: Rows, live: Rows, linesMax = 10): string[] {
  const lines: string[] = [];
  for (const table of ['customer', 'invoice'] as const) {
    for (const [key, row] of expected[table]) {
      const found = live[table].get(key);
      if (!found) lines.push(`${table} ${key} is missing`);
      else
        for (const [column, value] of Object.entries(row))
          if (found[column] !== value) lines.push(differs(table, key, column, value, found[column]));
    }
    for (const key of live[table].keys())
      if (!expected[table].has(key)) lines.push(`${table} ${key} should not be there`);
  }
  return lines.length > linesMax ? [...lines.slice(0, linesMax), `… ${lines.length} in all`] : lines;
}

function differs(
  table: TableName,
  key: string,
  column: string,
  wanted: Value,
  found: Value | undefined,
): string {
  return `${table} ${key}: ${column} is ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`;
}
