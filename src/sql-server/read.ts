import mssql from 'mssql';
import { BadValueError } from '../model/bad-value.js';
import { type Conversion, conversionOf } from '../model/conversion.js';
import { StageswapError } from '../model/failures.js';
import { type SourceKeyValue, sourceKeyValue } from '../model/source-key.js';
import type { TableSpec } from '../model/spec.js';
import { askUntil, quoted } from './connection.js';
import {
  BadRow,
  KEYS_ASKED_TOGETHER,
  type KeyText,
  keysAre,
  quotedTable,
  rangeOf,
  selectList,
  keyText as textOfKey,
} from './keys.js';

/** Takes rows of canonical texts; `write` says false where the reader should wait for `drained`. */
export interface RowSink {
  write(fields: (string | null)[]): boolean;
  drained(): Promise<void>;
}

/** A source that reads: a pool, or a transaction on one connection. */
export type Reader = mssql.ConnectionPool | mssql.Transaction;

export function requestOn(reader: Reader): mssql.Request {
  return reader instanceof mssql.Transaction ? new mssql.Request(reader) : new mssql.Request(reader);
}

/** Several bad rows of one range. */
export class BadRows extends Error {
  constructor(readonly rows: BadRow[]) {
    super(rows[0]?.message);
  }
}

/** Rows of a range that are not to be stored, by the text of their key. */
export interface Aside {
  has(key: string): boolean;
  /** so many bad rows are collected before reading stops */
  readonly roomFor: number;
}

/**
 * Reads one half-open key range into a sink, with back-pressure, without sorting.
 *
 * @param aside rows that are passed over and counted; with it, bad rows are collected to the end of the range
 * @returns rows received; it equals the row count with which the server ended the statement
 * @throws {BadRow} names table, key, column and reason
 * @throws {BadRows} all that were found, where `aside` is given
 * @throws {StageswapError} ProofFailed: the counts differ, as after a cut connection, where the driver says done, too
 */
export async function readRange(
  reader: Reader,
  table: TableSpec,
  from: KeyText,
  to: KeyText,
  sink: RowSink,
  signal: AbortSignal,
  aside?: Aside,
): Promise<number> {
  return readWhere(reader, table, (request) => rangeOf(request, table, from, to), sink, signal, aside);
}

/**
 * Reads rows by their keys into a sink, as `readRange` does.
 *
 * @param keys canonical texts of live's keys, in key order. Rows whose key only the source takes for one of these are read, too
 */
export async function readKeys(
  reader: Reader,
  table: TableSpec,
  keys: string[][],
  sink: RowSink,
  signal: AbortSignal,
  aside?: Aside,
): Promise<void> {
  const asked = keys.map((key) => sourceKeyOf(table, key)).filter((key) => key !== undefined);
  for (let at = 0; at < asked.length; at += KEYS_ASKED_TOGETHER) {
    const together = asked.slice(at, at + KEYS_ASKED_TOGETHER);
    const where = (request: mssql.Request) => keysAre(request, table, together, 'exact');
    await readWhere(reader, table, where, sink, signal, aside);
  }
}

/**
 * Reads the row of a key as canonical texts, in the order of the mapping.
 *
 * @param key canonical texts of live's key, in key order
 * @param spelling as `keysAre` takes it
 * @returns none: the source has no such row. What is found may have a key that only the source takes for the same
 */
export async function readRowsOfKey(
  reader: Reader,
  table: TableSpec,
  key: string[],
  spelling: 'exact' | 'loose',
): Promise<(string | null)[][]> {
  const values = sourceKeyOf(table, key);
  if (!values) return [];
  const rows: (string | null)[][] = [];
  const sink: RowSink = {
    write(fields) {
      rows.push(fields);
      return true;
    },
    drained: () => Promise.resolve(),
  };
  const where = (request: mssql.Request) => keysAre(request, table, [values], spelling);
  await readWhere(reader, table, where, sink, new AbortController().signal);
  return rows;
}

/** Whether a row of the source may have this key of live at all. @param key canonical texts */
export const canBeAsked = (table: TableSpec, key: string[]) => sourceKeyOf(table, key) !== undefined;

/** What the source holds where live has this key; undefined: nothing of the source becomes that. */
function sourceKeyOf(table: TableSpec, key: string[]): SourceKeyValue[] | undefined {
  const values: SourceKeyValue[] = [];
  for (const [index, text] of key.entries()) {
    const column = table.columns.find(({ live }) => live.name === table.key[index]);
    const value = column && sourceKeyValue(column, text);
    if (!value) return undefined;
    values.push(value);
  }
  return values;
}

async function readWhere(
  reader: Reader,
  table: TableSpec,
  whereOf: (request: mssql.Request) => string,
  sink: RowSink,
  signal: AbortSignal,
  aside?: Aside,
): Promise<number> {
  signal.throwIfAborted(); // it may have been before anybody listens to it
  const conversions = table.columns.map(conversionOf);
  const request = requestOn(reader);
  request.stream = true;
  request.arrayRowMode = true;
  const where = whereOf(request);
  const list = selectList(table.columns, (column, index) =>
    (conversions[index] as Conversion).read(quoted(column.source.name)),
  );
  let received = 0;
  const bad: BadRow[] = [];
  const setAside = (key: (string | null)[]) => aside?.has(textOfKey(key)) ?? false;
  const found = (row: BadRow) => {
    if (!aside) return row;
    if (setAside(row.key)) return undefined;
    bad.push(row);
    return bad.length > aside.roomFor ? new BadRows(bad) : undefined;
  };
  return new Promise<number>((resolve, reject) => {
    let failure: Error | undefined;
    const stop = (error: Error) => {
      if (failure) return;
      failure = error;
      request.cancel();
      request.resume();
    };
    const onAbort = () => stop(signal.reason instanceof Error ? signal.reason : new Error('cancelled'));
    signal.addEventListener('abort', onAbort, { once: true });
    request.on('row', (row: unknown[]) => {
      if (failure) return;
      try {
        const fields = new Array<string | null>(conversions.length);
        for (let index = 0; index < conversions.length; index += 1) {
          fields[index] = (conversions[index] as Conversion).convert(row[index]);
        }
        received += 1;
        if (bad.length > 0 || (aside && setAside(fields.slice(0, table.key.length)))) return;
        if (!sink.write(fields)) {
          request.pause();
          void sink.drained().then(() => request.resume());
        }
      } catch (error) {
        if (!(error instanceof BadValueError)) return stop(error as Error);
        received += 1;
        const failed = found(badRow(table, conversions, row));
        if (failed) stop(failed);
      }
    });
    request.on('error', (error: Error) => {
      failure ??= error;
    });
    request.on('done', (result: { rowsAffected?: number[] }) => {
      signal.removeEventListener('abort', onAbort);
      const counted = result?.rowsAffected?.[0];
      if (failure) reject(failure);
      else if (bad.length > 0) reject(new BadRows(bad));
      else if (counted === undefined)
        reject(
          new Error(
            `${table.live}: the source ended the statement without a row count; the connection was cut`,
          ),
        );
      else if (counted !== received)
        reject(
          new StageswapError(
            'ProofFailed',
            `${table.live}: the source says ${counted} rows, ${received} arrived`,
          ),
        );
      else resolve(received);
    });
    request.query(`SELECT ${list} FROM ${quotedTable(table)}${where}`).catch((error: Error) => stop(error));
  });
}

/** The failure of a row that was found bad, with its key: off the hot path, so the row is converted once more. */
function badRow(table: TableSpec, conversions: Conversion[], row: unknown[]): BadRow {
  const key = table.key.map((_, index) => keyText(conversions[index] as Conversion, row[index]));
  for (const [index, column] of table.columns.entries()) {
    try {
      (conversions[index] as Conversion).convert(row[index]);
    } catch (error) {
      if (error instanceof BadValueError)
        return new BadRow(table, key, column.source.name, error.message, error.cure);
    }
  }
  throw new Error(`${table.live}: a row was bad, and is not any more`);
}

/** A key's text for a message; of a value that is bad itself, the driver's own. */
function keyText(conversion: Conversion, value: unknown): string | null {
  try {
    return conversion.convert(value);
  } catch {
    if (value === null || value === undefined) return null;
    return value instanceof Date ? value.toISOString() : String(value);
  }
}

/** Rows of the table, counted by the source. @param signal ends the counting */
export async function countRows(reader: Reader, table: TableSpec, signal?: AbortSignal): Promise<number> {
  const counting = `SELECT COUNT_BIG(*) AS n FROM ${quotedTable(table)}`;
  const result = await askUntil(signal, requestOn(reader), counting);
  return Number((result.recordset[0] as { n: string | number }).n);
}
