import { setTimeout as sleep } from 'node:timers/promises';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import type { BillingPlan } from './billing-changes.js';
import {
  type BillingChange,
  type Bookkeeping,
  type Cell,
  type Edit,
  type Latency,
  same,
} from './bookkeeping.js';
import type { Chinook } from './chinook.js';
import type { InvoiceSide } from './invoice-side.js';
import { Random } from './random.js';
import { DEMO_TABLES, type TableName, unitOf, type Value } from './tables.js';

/** Errors that MySQL documents as: try the transaction again. */
export const RETRYABLE = new Set([1205, 1213, 1412]);
const RETRIES_MAX = 20;

/** What writers and readers share, and where they write down what they saw. */
export interface Stage {
  pipeline: string;
  app: InvoiceSide;
  data: Chinook;
  plan: BillingPlan;
  books: Bookkeeping;
  /** what each of the clients owns: the keys with key % owners = its own number */
  owners: number;
  writes: Latency;
  /** retryable errors that clients met, by number */
  retried: Map<number, number>;
  /** errors of writes that no retry cured */
  refused: string[];
  signal: AbortSignal;
}

/** One field to set. */
export interface Setting extends Cell {
  token: string;
}

/** The keys and fields of one client. No two clients ever edit the same field, so that its last edit is known. */
export class Territory {
  readonly random: Random;
  readonly hot: BillingChange[];
  readonly #changed: Set<string>;
  #tokens = 0;

  constructor(
    readonly stage: Stage,
    readonly owner: number,
  ) {
    this.random = new Random(stage.data.seed * 1000 + owner);
    const { changes } = stage.plan;
    this.hot = changes.filter(
      (change) =>
        change.kind === 'update' &&
        Number(change.key) % stage.owners === owner &&
        change.table !== 'invoice_line' &&
        DEMO_TABLES[change.table].columns[change.unit]?.owner === 'merge',
    );
    this.#changed = new Set(changes.map(({ table, key, unit }) => `${table}/${key}/${unit}`));
  }

  token(): string {
    this.#tokens += 1;
    return `c${this.owner}-${this.#tokens.toString(36)}`;
  }

  key(table: TableName): string {
    const { owners, data, plan } = this.stage;
    for (;;) {
      const key = this.random.below(Math.ceil(data.counts[table] / owners)) * owners + this.owner;
      if (key >= 1 && key <= data.counts[table] && !plan.deleted[table].has(key)) return String(key);
    }
  }

  /** Whether a client may edit the field: billing will not change its unit, and no edit of it is in doubt. */
  isFree(cell: Cell): boolean {
    const { books } = this.stage;
    return (
      !this.#changed.has(`${cell.table}/${cell.key}/${unitOf(cell.table, cell.column)}`) &&
      !books.isDoubtful(cell)
    );
  }

  setting(table: TableName, column: string, key = this.key(table)): Setting | undefined {
    const setting = { table, key, column, token: this.valueOf(column) };
    return this.isFree(setting) ? setting : undefined;
  }

  valueOf(column: string): string {
    const token = this.token();
    switch (column) {
      case 'email':
        return `${token}@client.example`;
      case 'phone':
      case 'fax':
        return `+00 ${token}`;
      case 'purchase_order':
        return `PO ${token}`;
      case 'postal_code':
      case 'billing_postal_code':
        return token.slice(0, 10);
      case 'city':
      case 'billing_city':
        return `Zürich ${token}`;
      default:
        return `Straße ${token}`;
    }
  }
}

const CUSTOMER_FIELDS = ['email', 'phone', 'fax', 'portal_note'] as const;
const ADDRESS = ['address', 'city', 'postal_code'] as const;
const BILLING_ADDRESS = ['billing_address', 'billing_city', 'billing_postal_code'] as const;

/** A client of the application that edits by SQL, one statement or transaction after the other. */
export class SqlWriter {
  readonly #territory: Territory;
  #connection: Connection | undefined;
  /** the application's own rows that this client made, in customer and invoice each */
  ownRowsSaved = 0;
  #ownRows = 0;

  constructor(
    readonly stage: Stage,
    owner: number,
    readonly pauseMs: number,
  ) {
    this.#territory = new Territory(stage, owner);
  }

  async work(until: () => boolean): Promise<void> {
    while (!until() && !this.stage.signal.aborted) {
      await this.#edit();
      await sleep(this.pauseMs * (0.5 + this.#territory.random.next()));
    }
    await this.#connection?.end().catch(() => {});
    this.#connection = undefined;
  }

  async #edit(): Promise<void> {
    const { random } = this.#territory;
    const at = random.next();
    if (at < 0.15) return this.#hot();
    if (at < 0.5) {
      const column = random.chance(0.7) ? random.pick(CUSTOMER_FIELDS) : 'purchase_order';
      return this.#save([
        [this.#territory.setting(column === 'purchase_order' ? 'invoice' : 'customer', column)],
      ]);
    }
    if (at < 0.62) return this.#manyRows();
    if (at < 0.74) return this.#address();
    if (at < 0.89) {
      return this.#save([
        [this.#territory.setting('customer', 'phone')],
        [this.#territory.setting('invoice', 'purchase_order')],
      ]);
    }
    if (at < 0.95) return this.#save([[this.#territory.setting('invoice_line', 'dispute')]]);
    return this.#ownRow();
  }

  /** Several columns of one row: a customer moves, or an invoice gets another address. */
  #address(): Promise<void> {
    const territory = this.#territory;
    const [table, columns] = territory.random.chance(0.6)
      ? (['customer', ADDRESS] as const)
      : (['invoice', BILLING_ADDRESS] as const);
    const key = territory.key(table);
    return this.#save([columns.map((column) => territory.setting(table, column, key))]);
  }

  /** One statement that changes several rows. */
  async #manyRows(): Promise<void> {
    const territory = this.#territory;
    const [table, column] = territory.random.chance(0.5)
      ? (['customer', 'fax'] as const)
      : (['invoice', 'purchase_order'] as const);
    const stem = `${territory.valueOf(column)}/`;
    const keys = [...new Set(Array.from({ length: 5 }, () => territory.key(table)))];
    const settings = keys
      .map((key) => ({ table, column, key, token: `${stem}${key}` }))
      .filter((setting) => territory.isFree(setting));
    if (settings.length === 0) return;
    const { key } = DEMO_TABLES[table];
    await this.commit(this.#begin(settings), 'statement', async (run) => {
      await run(`UPDATE ${table} SET ${column} = CONCAT(?, ${key}) WHERE ${key} IN (?)`, [
        stem,
        settings.map((setting) => setting.key),
      ]);
    });
  }

  /** A row that billing changes too: sometimes the same field, sometimes another of the same row. */
  async #hot(): Promise<void> {
    const territory = this.#territory;
    const { random } = territory;
    if (territory.hot.length === 0) return;
    const change = random.pick(territory.hot);
    const others = change.table === 'customer' ? CUSTOMER_FIELDS : (['purchase_order'] as const);
    const other = random.pick(others);
    if (random.chance(0.5)) return this.#save([[territory.setting(change.table, other, change.key)]]);
    const column = random.pick(Object.keys(change.columns));
    const setting = { table: change.table, key: change.key, column, token: territory.valueOf(column) };
    if (this.stage.books.isDoubtful(setting)) return;
    let seen = false;
    const { key } = DEMO_TABLES[change.table];
    await this.commit(this.#begin([setting]), 'transaction', async (run) => {
      const columns = Object.keys(change.columns);
      const rows = await run(
        `SELECT ${columns.join(', ')} FROM ${change.table} WHERE ${key} = ? FOR UPDATE`,
        [change.key],
      );
      seen =
        rows[0] !== undefined && columns.every((name) => same(rows[0]?.[name], change.columns[name]?.to));
      await run(`UPDATE ${change.table} SET ${column} = ? WHERE ${key} = ?`, [setting.token, change.key]);
    });
    if (seen) change.seen = true;
  }

  /** A customer and an invoice that only the application knows, with keys of its own range. */
  async #ownRow(): Promise<void> {
    const territory = this.#territory;
    this.#ownRows += 1;
    const key = String(2_000_000_000 + territory.owner * 1_000_000 + this.#ownRows);
    const customer = { table: 'customer' as const, key, column: 'email', token: territory.valueOf('email') };
    const invoice = {
      table: 'invoice' as const,
      key,
      column: 'purchase_order',
      token: territory.valueOf('purchase_order'),
    };
    const saved = await this.commit(this.#begin([customer, invoice]), 'transaction', async (run) => {
      await run(
        'INSERT INTO customer (customer_id, first_name, last_name, email, updated_at) VALUES (?, ?, ?, ?, NOW(6))',
        [key, 'Own', 'Customer', customer.token],
      );
      await run(
        `INSERT INTO invoice (invoice_id, customer_id, invoice_date, total, purchase_order, status, updated_at)
         VALUES (?, ?, NOW(3), 1.00, ?, 'draft', NOW(6))`,
        [key, key, invoice.token],
      );
    });
    if (saved) this.ownRowsSaved += 1;
  }

  /** Each inner list is one row's columns, saved by one statement; several statements make a transaction. */
  async #save(settings: (Setting | undefined)[][]): Promise<void> {
    const rows = settings
      .map((row) => row.filter((setting) => setting !== undefined))
      .filter((row) => row.length > 0);
    if (rows.length === 0) return;
    const edits = this.#begin(rows.flat());
    await this.commit(edits, rows.length === 1 ? 'statement' : 'transaction', (run) => updates(run, rows));
  }

  #begin(settings: Setting[]): Edit[] {
    return settings.map((setting) => this.stage.books.begin(setting, setting.token, 'sql'));
  }

  /**
   * Sends edits until they are committed, and writes down what became of them.
   *
   * @param kind one statement that commits by itself, or a transaction
   * @returns whether they are committed
   */
  async commit(
    edits: Edit[],
    kind: 'statement' | 'transaction',
    work: (run: Run) => Promise<void>,
  ): Promise<boolean> {
    const { books, retried, refused, signal } = this.stage;
    const settle = (result: 'done' | 'failed' | 'unknown') => {
      for (const edit of edits) books.settle(edit, result);
      return result === 'done';
    };
    for (let attempt = 1; ; attempt += 1) {
      let sent = false;
      try {
        this.#connection ??= await this.stage.app.connect();
        const connection = this.#connection;
        const run: Run = async (text, values) => {
          sent = true;
          return this.#timed(connection, text, values);
        };
        if (kind === 'transaction') await run('START TRANSACTION');
        await work(run);
        if (kind === 'transaction') await run('COMMIT');
        return settle('done');
      } catch (error) {
        const { errno, fatal, code, message } = error as {
          errno?: number;
          fatal?: boolean;
          code?: string;
          message: string;
        };
        const lost = fatal || errno === undefined || errno < 1000 || errno === 1053;
        if (lost) {
          this.#connection?.destroy();
          this.#connection = undefined;
          if (sent) return settle('unknown');
          if (signal.aborted) return settle('failed');
          await sleep(200);
          continue;
        }
        await this.#connection?.query('ROLLBACK').catch(() => {});
        if (RETRYABLE.has(errno) && attempt <= RETRIES_MAX) {
          retried.set(errno, (retried.get(errno) ?? 0) + 1);
          continue;
        }
        refused.push(`${code}: ${message}`);
        return settle('failed');
      }
    }
  }

  async #timed(connection: Connection, text: string, values?: unknown[]): Promise<RowDataPacket[]> {
    const start = performance.now();
    try {
      const [rows] = await connection.query<RowDataPacket[]>(text, values);
      return Array.isArray(rows) ? rows : [];
    } finally {
      this.stage.writes.add(performance.now() - start);
    }
  }
}

export type Run = (text: string, values?: unknown[]) => Promise<RowDataPacket[]>;

/** One UPDATE a row. */
export async function updates(run: Run, rows: Setting[][]): Promise<void> {
  for (const row of rows) {
    const [first] = row;
    if (!first) continue;
    const set = row.map(({ column }) => `${column} = ?`).join(', ');
    await run(`UPDATE ${first.table} SET ${set} WHERE ${DEMO_TABLES[first.table].key} = ?`, [
      ...row.map(({ token }): Value => token),
      first.key,
    ]);
  }
}
