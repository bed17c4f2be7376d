import type { TableConfig } from '../config/load.js';
import { physicalTable } from '../model/names.js';
import type { RunSpec } from '../model/spec.js';
import type { Session } from '../mysql/connection.js';
import { definitionOf } from '../mysql/fingerprint.js';
import type { LiveTable } from '../mysql/schema.js';
import { col, id, join, raw, sql } from '../sql/text.js';
import { quoted, type SourcePool } from '../sql-server/connection.js';
import type { SourceTable } from '../sql-server/schema.js';
import { localKeyColumn } from './local-keys.js';
import { sourceColumnOf } from './source-names.js';

/** Where the application's range of keys begins, and in which column; undefined where no range is configured that fits. */
function rangeOf(
  table: TableConfig,
  live: LiveTable | undefined,
): { column: string; from: string } | undefined {
  if (typeof table.localKeys !== 'object' || !live) return undefined;
  const column = localKeyColumn(table, live);
  return column && { column: column.name, from: table.localKeys.from };
}

/** The lowest key of the source in the application's range, by an index range that should be empty. */
export async function lowestInRange(
  pool: SourcePool,
  table: TableConfig,
  live: LiveTable | undefined,
  source: SourceTable,
): Promise<string | undefined> {
  const range = rangeOf(table, live);
  const from = range && sourceColumnOf(source, table.columns[range.column]?.from ?? '');
  if (!range || !from) return undefined;
  const key = quoted(from.name);
  const answer = await pool
    .request()
    .query<{ k: string }>(
      `SELECT TOP (1) CONVERT(varchar(50), ${key}) AS k FROM ${quoted(source.schema)}.${quoted(source.name)} WHERE ${key} >= ${range.from} ORDER BY ${key}`,
    );
  return answer.recordset[0]?.k;
}

/** The next key that live gives by itself. */
export async function nextKey(session: Session, live: LiveTable): Promise<string | undefined> {
  if (!live.columns.some(({ autoIncrement }) => autoIncrement)) return undefined;
  return (await definitionOf(session, live.name)).autoIncrement ?? '1';
}

/**
 * A row of live that has no base, and that localKeys says the application does not make. Looks through all of live where
 * there is none, so that only `check` asks.
 */
export async function rowOutside(
  session: Session,
  table: TableConfig,
  live: LiveTable,
  published: RunSpec | null,
): Promise<string | undefined> {
  const base = published?.tables.find((candidate) => candidate.live === table.live);
  const range = rangeOf(table, live);
  if (!published || !base || table.localKeys === undefined || (table.localKeys !== 'none' && !range))
    return undefined;
  const [first = ''] = table.key;
  const key = range?.column ?? first;
  const same = table.key.map((name) => sql`${col('a', name)} = ${col('l', name)}`);
  const outside = range ? sql`${col('l', range.column)} < ${raw(range.from)}` : raw('TRUE');
  const rows = await session.rows<{ k: string }>(
    sql`SELECT CAST(${col('l', key)} AS CHAR) AS k FROM ${id(table.live)} AS l LEFT JOIN ${id(physicalTable(published.generation, 'baseNext', table.live))} AS a ON ${join(same, ' AND ')} WHERE ${col('a', first)} IS NULL AND ${outside} LIMIT 1`,
  );
  return rows[0]?.k;
}
