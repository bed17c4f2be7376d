import mysql, { type Connection, type RowDataPacket } from 'mysql2/promise';
import { toCents } from './billing.js';
import type { FailPoints } from './fail-points.js';
import { classOf, type InvoiceClass } from './shape.js';

/** Deadlock with the swap's lock; a snapshot from before it. Both are documented, and help is to repeat. */
const RETRYABLE = new Set([1213, 1412]);
const GONE = new Set([1053, 1077, 1079, 1317, 1927, 3169]);
const PACE_POINTS = 25;
const PACE_MS_MAX = 700;
const ISOLATIONS = ['REPEATABLE READ', 'READ COMMITTED', 'SERIALIZABLE'] as const;

const HEADERS = 'SELECT invoice_id, amount FROM invoice';
const LINES = 'SELECT invoice_id, amount FROM line';
const TOGETHER =
  'SELECT invoice.invoice_id, invoice.amount, COALESCE(SUM(line.amount), 0) AS total FROM invoice LEFT JOIN line ON line.invoice_id = invoice.invoice_id GROUP BY invoice.invoice_id, invoice.amount';
const CUSTOMERS = 'SELECT COUNT(*) AS n FROM customer WHERE customer_id IN (?)';

interface Amount {
  invoice_id: string | number;
  amount: string;
  total?: string;
}

/**
 * Readers of live: single statements, prepared ones, and transactions of every isolation level, which read an invoice's
 * sum and its lines one after the other. They never may see a table that is missing or empty, or half of a publish.
 */
export class Readers {
  /** what readers must not see */
  readonly wrong: string[] = [];
  readonly surprises: string[] = [];
  readonly repeated = new Map<number, number>();
  reads = 0;
  /**
   * Invoices that add up. A rollback keeps a row that clients have touched since it was published, and takes back its lines:
   * from then on only those that clients never touch do.
   */
  summed: InvoiceClass[] = ['memoOnly', 'billingOnly'];
  #running: Promise<void>[] = [];
  #stopping = false;

  /** @param always keys of customers that live never lacks */
  constructor(
    readonly url: string,
    readonly always: string[],
    readonly points: FailPoints,
  ) {}

  start(): void {
    this.#stopping = false;
    this.#running = [
      this.#work((at, n) => this.#transact(at, n)),
      this.#work((at, n) => this.#single(at, n)),
    ];
  }
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#running);
    this.#running = [];
  }

  async #work(read: (connection: Connection, n: number) => Promise<void>): Promise<void> {
    let connection: Connection | undefined;
    for (let n = 0; !this.#stopping; n += 1) {
      try {
        connection ??= await this.#connect();
        await read(connection, n);
        this.reads += 1;
      } catch (error) {
        const number = (error as { errno?: number }).errno ?? 0;
        if (RETRYABLE.has(number)) this.repeated.set(number, (this.repeated.get(number) ?? 0) + 1);
        else if (number > 1000 && !GONE.has(number)) this.surprises.push((error as Error).message);
        connection?.destroy();
        connection = undefined;
      }
      await this.points.pace(PACE_POINTS, PACE_MS_MAX);
    }
    await connection?.end().catch(() => {});
  }

  async #connect(): Promise<Connection> {
    const connection = await mysql.createConnection({
      uri: this.url,
      charset: 'utf8mb4',
      supportBigNumbers: true,
      bigNumberStrings: true,
    });
    connection.on('error', () => {}); // the next statement reports it
    return connection;
  }

  async #transact(connection: Connection, n: number): Promise<void> {
    const isolation = ISOLATIONS[n % ISOLATIONS.length] ?? 'REPEATABLE READ';
    await connection.query(`SET TRANSACTION ISOLATION LEVEL ${isolation}`);
    await connection.query('START TRANSACTION');
    const [headers] = await connection.query<RowDataPacket[]>(HEADERS);
    const [lines] = await connection.query<RowDataPacket[]>(LINES);
    await this.#expectCustomers(connection, false);
    await connection.query('COMMIT');
    // in READ COMMITTED two statements are two moments of billing's changes only if a swap came between: the locks forbid it
    const sums = new Map<string, bigint>();
    for (const { invoice_id, amount } of lines as Amount[])
      sums.set(String(invoice_id), (sums.get(String(invoice_id)) ?? 0n) + toCents(amount));
    for (const { invoice_id, amount } of headers as Amount[])
      this.#compare(isolation, String(invoice_id), toCents(amount), sums.get(String(invoice_id)) ?? 0n);
  }

  async #single(connection: Connection, n: number): Promise<void> {
    const [rows] =
      n % 2 === 0
        ? await connection.execute<RowDataPacket[]>(TOGETHER)
        : await connection.query<RowDataPacket[]>(TOGETHER);
    for (const { invoice_id, amount, total } of rows as Required<Amount>[])
      this.#compare(
        n % 2 === 0 ? 'prepared' : 'one statement',
        String(invoice_id),
        toCents(amount),
        toCents(total),
      );
    await this.#expectCustomers(connection, n % 2 === 0);
  }

  async #expectCustomers(connection: Connection, prepared: boolean): Promise<void> {
    const places = this.always.map(() => '?').join(', ');
    const [rows] = prepared
      ? await connection.execute<RowDataPacket[]>(CUSTOMERS.replace('?', places), this.always)
      : await connection.query<RowDataPacket[]>(CUSTOMERS, [this.always]);
    const n = Number((rows[0] as { n: string }).n);
    if (n !== this.always.length)
      this.wrong.push(`a reader found ${n} of ${this.always.length} customers that are always there`);
  }

  #compare(how: string, invoice: string, amount: bigint, lines: bigint): void {
    if (amount === lines || !this.summed.includes(classOf(Number(invoice)))) return;
    this.wrong.push(`${how}: invoice ${invoice} says ${amount}, its lines ${lines} ten-thousandths`);
  }
}
