import { Readable } from 'node:stream';
import type sql from 'mssql';
import type { BenchTable } from './tables.js';
import type { TargetSide } from './target.js';

/** What no copy can be faster than: reading alone, and loading alone. */

/** Reads all rows by the `mssql` package in array mode and throws them away. @returns milliseconds */
export async function drain(pool: sql.ConnectionPool, table: BenchTable, rows: number): Promise<number> {
  const startedAt = performance.now();
  const request = pool.request();
  request.stream = true;
  request.arrayRowMode = true;
  let received = 0;
  await new Promise<void>((resolve, reject) => {
    request.on('row', () => {
      received += 1;
    });
    request.on('error', reject);
    request.on('done', () => resolve());
    request.query(`SELECT ${table.columns.map(({ source }) => source).join(', ')} FROM ${table.source}`);
  });
  if (received !== rows) throw new Error(`the source gave ${received} of ${rows} rows`);
  return performance.now() - startedAt;
}

/** Loads ready buffers by LOAD DATA LOCAL into an empty table with live's key. @returns milliseconds */
export async function load(
  target: TargetSide,
  table: BenchTable,
  buffers: Buffer[],
  rows: number,
): Promise<number> {
  const name = `${table.live}_load`;
  await target.define(table, name);
  try {
    const startedAt = performance.now();
    await target.connection.query({
      sql: `LOAD DATA LOCAL INFILE 'bench' INTO TABLE ${name} CHARACTER SET utf8mb4`,
      infileStreamFactory: () => Readable.from(buffers, { objectMode: false }),
    } as Parameters<typeof target.connection.query>[0]);
    const ms = performance.now() - startedAt;
    const stored = await target.rows(name);
    if (stored !== rows) throw new Error(`MySQL stored ${stored} of ${rows} rows`);
    return ms;
  } finally {
    await target.connection.query(`DROP TABLE ${name}`);
  }
}
