import { StageswapError } from '../src/model/failures.js';
import type { TableSpec } from '../src/model/spec.js';
import type { Session } from '../src/mysql/connection.js';
import { COLLISION_CURE, KeysCollide, RowRefused, type RowStream, rowCrc } from '../src/mysql/load.js';
import { collidingKeys } from '../src/sql/collisions.js';
import { badValue, type KeyText, keyName } from '../src/sql-server/keys.js';
import { type Reader, readRange } from '../src/sql-server/read.js';

const COLLISIONS_SHOWN = 5;

/** The chunk that failed, and how to read it again: the moment is the same, so the rows are. */
export interface FailedChunk {
  table: TableSpec;
  /** baseNext's name */
  into: string;
  from: KeyText;
  to: KeyText;
  rows: RowStream;
  reader: Reader;
  signal: AbortSignal;
}

/**
 * MySQL names a bad row by its place in the load. This reads the chunk again and names its key instead; nothing is kept
 * in memory for it but four bytes a row while a chunk loads.
 *
 * @returns what to throw: `error` itself where it is of another kind, or where the row cannot be found again
 */
export async function withKeys(session: Session, chunk: FailedChunk, error: unknown): Promise<unknown> {
  try {
    if (error instanceof RowRefused) return (await refusedRow(chunk, error)) ?? error;
    if (error instanceof KeysCollide) return (await collision(session, chunk)) ?? error;
  } catch {
    // What is reported is why the chunk failed, not why its key could not be found.
  }
  return error;
}

async function refusedRow(chunk: FailedChunk, error: RowRefused): Promise<StageswapError | undefined> {
  const { table, rows } = chunk;
  const wanted = error.row === undefined ? undefined : rows.crcOf(error.row);
  if (wanted === undefined) return undefined;
  let key: (string | null)[] | undefined;
  await readAgain(chunk, (fields) => {
    if (!key && rowCrc(fields) === wanted) key = fields.slice(0, table.key.length);
  });
  if (!key) return undefined;
  const column = table.columns.find(({ live }) => live.name === error.column)?.source.name;
  return badValue(table, key, column ?? error.column ?? 'unknown', error.reason, error.cure);
}

async function collision(session: Session, chunk: FailedChunk): Promise<StageswapError | undefined> {
  const { table } = chunk;
  const keys: (string | null)[][] = [];
  await readAgain(chunk, (fields) => keys.push(fields.slice(0, table.key.length)));
  const found = await session.rows<Record<string, string>>(
    collidingKeys(table, chunk.into, keys, COLLISIONS_SHOWN),
  );
  if (found.length === 0) return undefined;
  const pairs = found.map((row) => {
    const side = (prefix: string) =>
      keyName(
        table,
        table.key.map((_, index) => row[`${prefix}${index}`] ?? null),
      );
    return `${side('a')} and ${side('b')}`;
  });
  return new StageswapError(
    'BadValue',
    `${table.source.schema}.${table.source.table}: keys that are one key in MySQL: ${pairs.join('; ')}. ${COLLISION_CURE}`,
  );
}

async function readAgain(chunk: FailedChunk, see: (fields: (string | null)[]) => void): Promise<void> {
  const sink = {
    write(fields: (string | null)[]) {
      see(fields);
      return true;
    },
    drained: () => Promise.resolve(),
  };
  await readRange(chunk.reader, chunk.table, chunk.from, chunk.to, sink, chunk.signal);
}
