import { StageswapError } from '../src/model/failures.js';
import { originalConstraintName } from '../src/model/names.js';
import type { RunSpec, TableSpec } from '../src/model/spec.js';
import type { Session } from '../src/mysql/connection.js';
import { COLLISION_CURE, KeysCollide, RowRefused, type RowStream, rowCrc } from '../src/mysql/load.js';
import { brokenOfSource, checksOfSource } from '../src/sql/checks.js';
import { collidingAside, collidingKeys, keyAside } from '../src/sql/collisions.js';
import { setAside } from '../src/sql/group.js';
import { BadRow, keyName, keyText, sourceKey } from '../src/sql-server/keys.js';
import { BadRows, type RowSink } from '../src/sql-server/read.js';

const COLLISIONS_SHOWN = 5;

/** What failed, and how to read it again: where the moment is the same, the rows are. */
interface FailedChunk {
  table: TableSpec;
  /** baseNext's name */
  into: string;
  rows: RowStream;
  /** as the failed attempt did: without what was set aside by then */
  read(sink: RowSink): Promise<unknown>;
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
  return new BadRow(table, key, column ?? error.column ?? 'unknown', error.reason, error.cure);
}

async function collision(session: Session, chunk: FailedChunk): Promise<StageswapError | undefined> {
  const { table } = chunk;
  const keys: (string | null)[][] = [];
  await readAgain(chunk, (fields) => keys.push(fields.slice(0, table.key.length)));
  const found = await session.rows<Record<string, string>>(
    collidingKeys(table, chunk.into, keys, COLLISIONS_SHOWN),
  );
  return found.length === 0 ? undefined : keysAreOne(table, found);
}

/** @param pairs rows of a0, a1 … and b0, b1 …: the two keys as canonical text */
function keysAreOne(table: TableSpec, pairs: Record<string, string | null>[]): StageswapError {
  const named = pairs.map((row) => {
    const side = (prefix: string) =>
      keyName(
        table,
        table.key.map((_, index) => row[`${prefix}${index}`] ?? null),
      );
    return `${side('a')} and ${side('b')}`;
  });
  return new StageswapError(
    'BadValue',
    `${table.source.schema}.${table.source.table}: keys that are one key in MySQL: ${named.join('; ')}. ${COLLISION_CURE}`,
  );
}

/**
 * Sets the bad rows of a chunk aside.
 *
 * @throws {StageswapError} BadValue: MySQL takes the key of one for that of another bad row
 */
export async function setRowsAside(
  session: Session,
  spec: RunSpec,
  table: TableSpec,
  rows: Quarantine['rows'],
): Promise<void> {
  for (const row of rows) {
    if ((await session.run(setAside(spec, table, row))) > 0) continue;
    const [other] = await session.rows<Record<string, string>>(keyAside(spec, table, row.key));
    // without one moment a row may be met again, beside one that only the source takes for the same
    if (spec.moment === 'fuzzy' && row.key.every((text, index) => other?.[`a${index}`] === text)) continue;
    const mine = Object.fromEntries(row.key.map((text, index) => [`b${index}`, text]));
    throw keysAreOne(table, [{ ...other, ...mine }]);
  }
}

/**
 * Refuses rows of a chunk that break a CHECK constraint of live by themselves. They are asked for when the chunk is stored, since LOAD
 * DATA LOCAL leaves such rows out without a word.
 *
 * @throws {BadRow} where one stops the run
 * @throws {BadRows} where they are to be set aside
 */
export async function refuseBroken(
  session: Session,
  spec: RunSpec,
  table: TableSpec,
  chunk: number,
): Promise<void> {
  const checks = checksOfSource(table);
  if (checks.length === 0) return;
  const limit = spec.badRows === 'stop' ? 1 : spec.badRowsMax + 1;
  const found = await session.rows<Record<string, string | null>>(brokenOfSource(spec, table, chunk, limit));
  if (found.length === 0) return;
  const broken = found.map((row) => {
    const { name = '', columns = [] } = checks[Number(row.place)] ?? {};
    const said = table.columns.filter(({ live }) => columns.includes(live.name));
    return new BadRow(
      table,
      table.key.map((_, index) => row[`k${index}`] ?? null),
      said.map(({ source }) => source.name).join(', '),
      `what CHECK constraint ${originalConstraintName(name)} of ${table.live} does not allow`,
      "Correct it at the source, or change live's constraint.",
    );
  });
  throw spec.badRows === 'stop' ? broken[0] : new BadRows(broken);
}

/**
 * When all chunks are there: MySQL may take the key of a row that was set aside for that of one that was not, whose row
 * would then be set aside with it.
 *
 * @throws {StageswapError} BadValue
 */
export async function refuseKeysOfAside(session: Session, spec: RunSpec, table: TableSpec): Promise<void> {
  if (spec.badRows === 'stop') return;
  const found = await session.rows<Record<string, string>>(collidingAside(spec, table, COLLISIONS_SHOWN));
  if (found.length > 0) throw keysAreOne(table, found);
}

async function readAgain(chunk: FailedChunk, see: (fields: (string | null)[]) => void): Promise<void> {
  await chunk.read({
    write(fields) {
      see(fields);
      return true;
    },
    drained: async () => {},
  });
}

/** Bad rows of one chunk that are set aside instead of stopping the run. */
export class Quarantine {
  readonly #rows = new Map<string, BadRow>();
  constructor(
    readonly table: TableSpec,
    readonly roomFor: number,
  ) {}

  has(key: string): boolean {
    return this.#rows.size > 0 && this.#rows.has(key);
  }

  get rows(): { key: (string | null)[]; column: string; reason: string }[] {
    return [...this.#rows.values()].map(({ key, sourceColumn, reason }) => ({
      key,
      column: sourceColumn,
      reason,
    }));
  }

  /**
   * Takes the bad rows that a chunk failed by.
   *
   * @returns false for another failure, and for a row that cannot be told from others: its key itself is bad
   * @throws {StageswapError} BadValue: there are more than may be set aside
   */
  takes(error: unknown): boolean {
    const bad = error instanceof BadRows ? error.rows : error instanceof BadRow ? [error] : [];
    const key = new Set(sourceKey(this.table).map(({ name }) => name));
    for (const row of bad) {
      if (key.has(row.sourceColumn) || row.key.includes(null)) throw row;
      this.#rows.set(keyText(row.key), row);
    }
    if (this.#rows.size > this.roomFor) throw tooMany(this.table, this.roomFor);
    return bad.length > 0;
  }
}

export function tooMany(table: TableSpec, max: number): StageswapError {
  return new StageswapError(
    'BadValue',
    `${table.source.schema}.${table.source.table}: more than ${max} rows have a value that ${table.live} cannot hold (badRowsMax). Correct them at the source, or raise the limit; stageswap run with badRows: stop names the first.`,
  );
}
