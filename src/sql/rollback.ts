import { physicalTable } from '../model/names.js';
import type { MergeUnit, RunSpec, TableSpec } from '../model/spec.js';
import { at, sameKey } from './columns.js';
import { jsonOf, keyJson } from './merge.js';
import { absent, as, columnNamed, incomingOf, physical, sameUnit, shapeOf } from './shape.js';
import { type Fragment, id, raw, sql } from './text.js';

/** What a rollback tells people about edits since the swap. All of it is read from live, the backup and the first touches. */

const touch = (spec: RunSpec, table: TableSpec) =>
  id(physicalTable(spec.undoes ?? 0, 'firstTouch', table.live));

/**
 * Units that are as the backup has them, and were published otherwise: set back since the swap. A person may have meant it;
 * a form that was opened before the swap and saved after it does the same.
 */
function staleOf(spec: RunSpec, table: TableSpec, unit: MergeUnit): Fragment {
  return sql`FROM ${touch(spec, table)} AS ${as(table, 'a')}
STRAIGHT_JOIN ${id(table.live)} AS ${as(table, 'l')} ON ${sameKey(table, 'l', 'a')}
STRAIGHT_JOIN ${id(incomingOf(spec, table))} AS ${as(table, 'i')} ON ${sameKey(table, 'i', 'a')}
WHERE ${at(table, 'a', '_ss_existed')} = 1 AND ${sameUnit(table, unit, 'l', 'i')} AND NOT (${sameUnit(table, unit, 'l', 'a')})`;
}

export function countStale(spec: RunSpec, table: TableSpec): Fragment[] {
  return shapeOf(spec, table).units.map((unit) => sql`SELECT COUNT(*) AS n ${staleOf(spec, table, unit)}`);
}

/** The first of them, a statement a unit. @param rowsMax of each */
export function listStale(spec: RunSpec, table: TableSpec, rowsMax: number): Fragment[] {
  return shapeOf(spec, table).units.map((unit) => {
    const columns = unit.columns.map((name) => columnNamed(table, name));
    return sql`SELECT CAST(${keyJson(table, 'a')} AS CHAR) AS row_key, CAST(${jsonOf(table, columns, 'a')} AS CHAR) AS published, CAST(${jsonOf(table, columns, 'i')} AS CHAR) AS backup
${staleOf(spec, table, unit)} LIMIT ${raw(String(rowsMax))}`;
  });
}

/** Rows of stage that the backup does not have: clients made them, changed them, or need them for rows that stay. */
function stayingOf(spec: RunSpec, table: TableSpec): Fragment {
  const stage = physical(spec, table, 'stage');
  return sql`FROM ${stage} AS ${as(table, 's')}
LEFT JOIN ${id(incomingOf(spec, table))} AS ${as(table, 'i')} ON ${sameKey(table, 'i', 's')}
LEFT JOIN ${touch(spec, table)} AS ${as(table, 'a')} ON ${sameKey(table, 'a', 's')}
WHERE ${absent(table, 'i')}`;
}

export function countStaying(spec: RunSpec, table: TableSpec): Fragment {
  return sql`SELECT COUNT(*) AS n ${stayingOf(spec, table)}`;
}
export function listStaying(spec: RunSpec, table: TableSpec, rowsMax: number): Fragment {
  return sql`SELECT CAST(${keyJson(table, 's')} AS CHAR) AS row_key, CASE ${at(table, 'a', '_ss_existed')} WHEN 0 THEN 'made by a client' WHEN 1 THEN 'changed by a client' ELSE 'has rows that stay' END AS why
${stayingOf(spec, table)} LIMIT ${raw(String(rowsMax))}`;
}

/**
 * A row that was published from the source, is in the backup, and went from live without a trigger: by TRUNCATE, for instance. The
 * backup would bring it back.
 */
export function findGoneUnlogged(spec: RunSpec, table: TableSpec): Fragment {
  const base = id(physicalTable(spec.undoes ?? 0, 'baseNext', table.live));
  return sql`SELECT CAST(${keyJson(table, 'b')} AS CHAR) AS row_key FROM ${base} AS ${as(table, 'b')}
STRAIGHT_JOIN ${id(incomingOf(spec, table))} AS ${as(table, 'i')} ON ${sameKey(table, 'i', 'b')}
LEFT JOIN ${id(table.live)} AS ${as(table, 'l')} ON ${sameKey(table, 'l', 'b')}
LEFT JOIN ${touch(spec, table)} AS ${as(table, 'a')} ON ${sameKey(table, 'a', 'b')}
WHERE ${absent(table, 'l')} AND ${absent(table, 'a')} LIMIT 1`;
}

/** Rows that clients have touched since the swap. */
export function countTouched(spec: RunSpec, table: TableSpec): Fragment {
  return sql`SELECT COUNT(*) AS n FROM ${touch(spec, table)}`;
}
