import { setTimeout as sleep } from 'node:timers/promises';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { Latency } from './bookkeeping.js';
import { Random } from './random.js';
import { DEMO_TABLES, TABLES } from './tables.js';
import { RETRYABLE, type Stage } from './writers.js';

/** What all readers saw. */
export class ReaderBooks {
  readonly reads = new Latency();
  readonly errors: string[] = [];
  /** documented as retryable, apart from errors */
  retryable = 0;
  /** reads that found nothing where there always is something */
  emptyReads = 0;
}

/** A client that reads without transactions; every read asks for something that is always there. */
export class Reader {
  readonly #random: Random;
  constructor(
    readonly stage: Stage,
    readonly books: ReaderBooks,
    seed: number,
    readonly pauseMs: number,
  ) {
    this.#random = new Random(seed);
  }

  async work(until: () => boolean): Promise<void> {
    let connection: Connection | undefined;
    while (!until() && !this.stage.signal.aborted) {
      try {
        connection ??= await this.stage.app.connect();
        await this.#read(connection);
      } catch (error) {
        const { errno, fatal, code, message } = error as {
          errno?: number;
          fatal?: boolean;
          code?: string;
          message: string;
        };
        if (RETRYABLE.has(errno ?? 0)) this.books.retryable += 1;
        else if (!this.stage.signal.aborted) this.books.errors.push(`${code}: ${message}`);
        if (fatal || errno === undefined || errno < 1000) {
          connection?.destroy();
          connection = undefined;
          await sleep(200);
        }
      }
      await sleep(this.pauseMs);
    }
    await connection?.end().catch(() => {});
  }

  async #read(connection: Connection): Promise<void> {
    const { data, plan } = this.stage;
    const random = this.#random;
    const table = random.pick(TABLES);
    let key = 1 + random.below(data.counts[table]);
    while (plan.deleted[table].has(key)) key = 1 + random.below(data.counts[table]);
    const at = random.next();
    const start = performance.now();
    let rows: RowDataPacket[];
    if (at < 0.2) {
      [rows] = await connection.query<RowDataPacket[]>(`SELECT 1 FROM ${table} LIMIT 1`);
    } else if (at < 0.4) {
      const customer = 1 + random.below(data.counts.customer);
      [rows] = await connection.query<RowDataPacket[]>(
        'SELECT c.email, i.invoice_id, i.total FROM customer c JOIN invoice i USING (customer_id) WHERE c.customer_id = ? LIMIT 20',
        [customer],
      );
    } else {
      // prepared once a connection: it goes on across a swap
      [rows] = await connection.execute<RowDataPacket[]>(
        `SELECT * FROM ${table} WHERE ${DEMO_TABLES[table].key} = ?`,
        [key],
      );
    }
    this.books.reads.add(performance.now() - start);
    if (rows.length === 0) this.books.emptyReads += 1;
  }
}
