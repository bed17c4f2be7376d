import { control } from '../model/names.js';
import { type ForeignKey, mappedNames, type RunSpec, type TableSpec, tableOf } from '../model/spec.js';
import { at, inRange, type KeyText, keyColumns, keyTexts, keyValue, sameKey } from './columns.js';
import { collectWork, refers } from './group.js';
import { absent, ancestorOf, as, keyNames, keyOf, physical } from './shape.js';
import { ROW_CHECKSUM } from './stage.js';
import { type Fragment, id, join, raw, sql } from './text.js';

/**
 * Keys of which a source that was not read as of one moment is asked again: a row that moved while it was read may have come to
 * look new or gone, and a parent that came meanwhile may be missing. `work` has the keys that are asked now, `replayKeys` those
 * that wait. Neither is used for anything else before the merge.
 */

/** Steps of the ledger under which rows of base_next came: as chunks of the source, and when they were asked for again. */
export const LOADED: Fragment = raw("step IN ('ingest', 'asked')");

/** Numbers of what is asked again begin here, far from those of chunks: rows of base_next have one or the other. */
export const ASKED_FROM = 2_000_000_000;

/**
 * Puts keys that came or went since the base into `work`: of both kinds the first so many in the key's order.
 *
 * @param from inclusive; null: from the first
 */
export function collectCameOrWent(
  spec: RunSpec,
  table: TableSpec,
  from: KeyText,
  rowsMax: number,
): Fragment[] {
  const ancestor = ancestorOf(spec, table);
  const tables = {
    i: sql`${physical(spec, table, 'baseNext')} AS ${as(table, 'i')}`,
    a: ancestor === null ? null : sql`${id(ancestor)} AS ${as(table, 'a')}`,
  };
  const onlyIn = (here: Fragment, role: string, there: Fragment | null, other: string) => {
    const missing = there && sql`LEFT JOIN ${there} ON ${sameKey(table, role, other)}`;
    return collectWork(
      spec,
      table,
      sql`SELECT ${keyOf(table, role)} FROM ${here} ${missing ?? raw('')} WHERE ${inRange(table, role, from, null)} AND ${there ? absent(table, other) : raw('TRUE')} ORDER BY ${keyOf(table, role)} LIMIT ${raw(String(rowsMax))}`,
    );
  };
  return [onlyIn(tables.i, 'i', tables.a, 'a'), ...(tables.a ? [onlyIn(tables.a, 'a', tables.i, 'i')] : [])];
}

/** Takes the keys from this one on out of `work`: there were more than are asked together. */
export function notYetFrom(spec: RunSpec, table: TableSpec, from: string[]): Fragment {
  return sql`DELETE ${as(table, 'w')} FROM ${physical(spec, table, 'work')} AS ${as(table, 'w')} WHERE ${inRange(table, 'w', from, null)}`;
}

/** Puts keys that wait into `work`. */
export function collectWaiting(spec: RunSpec, table: TableSpec, rowsMax: number): Fragment {
  return collectWork(
    spec,
    table,
    sql`SELECT ${keyOf(table, 'k')} FROM ${physical(spec, table, 'replayKeys')} AS ${as(table, 'k')} ORDER BY ${keyOf(table, 'k')} LIMIT ${raw(String(rowsMax))}`,
  );
}

/** Puts given keys into `work`, but for those of which base_next has a row. @param key canonical texts */
export function collectUnlessThere(spec: RunSpec, table: TableSpec, key: string[]): Fragment {
  const values = keyColumns(table).map((column, index) => keyValue(column, key[index] ?? ''));
  const there = keyColumns(table).map(
    (column, index) => sql`${at(table, 'i', column.name)} = ${keyValue(column, key[index] ?? '')}`,
  );
  return collectWork(
    spec,
    table,
    sql`SELECT ${join(values)} FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM ${physical(spec, table, 'baseNext')} AS ${as(table, 'i')} WHERE ${join(there, ' AND ')})`,
  );
}

/** The keys in `work` as canonical texts, in the key's order. */
export function keysAsked(spec: RunSpec, table: TableSpec): Fragment {
  return sql`SELECT ${keyTexts(table, 'w')} FROM ${physical(spec, table, 'work')} AS ${as(table, 'w')} ORDER BY ${keyOf(table, 'w')}`;
}

/** Takes out of base_next, and of the ledger's counts and sums, what was read of the keys in `work`, and what was set aside of them. */
export function forgetAsked(spec: RunSpec, table: TableSpec): Fragment[] {
  const asked = sql`${physical(spec, table, 'work')} AS ${as(table, 'w')}`;
  const loaded = sql`${asked} STRAIGHT_JOIN ${physical(spec, table, 'baseNext')} AS ${as(table, 'i')} ON ${sameKey(table, 'i', 'w')}`;
  return [
    sql`UPDATE ${id(control.chunk)} AS c JOIN (
  SELECT ${at(table, 'i', '_ss_chunk')} AS seq, COUNT(*) AS row_count, SUM(${at(table, 'i', ROW_CHECKSUM)}) AS checksum_sum FROM ${loaded} GROUP BY ${at(table, 'i', '_ss_chunk')}
) AS f ON c.seq = f.seq
SET c.row_count = c.row_count - f.row_count, c.checksum_sum = c.checksum_sum - f.checksum_sum
WHERE c.pipeline = ${spec.pipeline} AND c.generation = ${spec.generation} AND c.live = ${table.live} AND c.${LOADED}`,
    sql`DELETE ${as(table, 'i')} FROM ${loaded}`,
    sql`DELETE ${as(table, 'h')} FROM ${asked} STRAIGHT_JOIN ${physical(spec, table, 'heldBack')} AS ${as(table, 'h')} ON ${sameKey(table, 'h', 'w')} WHERE ${at(table, 'h', '_ss_reason')} = 'bad'`,
  ];
}

/** Nothing is asked any more, and what was asked does not wait any more. */
export function askedFor(spec: RunSpec, table: TableSpec): Fragment[] {
  return [
    sql`DELETE ${as(table, 'k')} FROM ${physical(spec, table, 'work')} AS ${as(table, 'w')} STRAIGHT_JOIN ${physical(spec, table, 'replayKeys')} AS ${as(table, 'k')} ON ${sameKey(table, 'k', 'w')}`,
    nothingOf(spec, table, 'work'),
  ];
}

export const nothingOf = (spec: RunSpec, table: TableSpec, kind: 'work' | 'replayKeys') =>
  sql`DELETE FROM ${physical(spec, table, kind)}`;

/** Foreign keys by which a missing parent can be asked for: they say the parent's whole key, in columns that the source knows. */
export function askableKeys(spec: RunSpec, table: TableSpec): ForeignKey[] {
  return table.foreignKeys.filter(({ parent, columns, parentColumns }) => {
    const { key } = tableOf(spec, parent);
    const isWhole = key.length === parentColumns.length && key.every((name) => parentColumns.includes(name));
    return isWhole && columns.every((name) => mappedNames(table).includes(name));
  });
}

/** Rows of base_next that name a parent which base_next does not have. */
function orphansOf(spec: RunSpec, table: TableSpec, key: ForeignKey): Fragment {
  const parent = tableOf(spec, key.parent);
  const named = key.columns.map((column) => sql`${at(table, 'i', column)} IS NOT NULL`);
  return sql`FROM ${physical(spec, table, 'baseNext')} AS ${as(table, 'i')}
LEFT JOIN ${physical(spec, parent, 'baseNext')} AS ${as(parent, 'p')} ON ${refers(parent, 'p', table, 'i', key)}
WHERE ${join(named, ' AND ')} AND ${absent(parent, 'p')}`;
}

/** Puts the keys of orphans among those that wait: they may be gone by now, as their parents are. */
export function orphansWait(spec: RunSpec, table: TableSpec, key: ForeignKey): Fragment {
  return sql`INSERT IGNORE INTO ${physical(spec, table, 'replayKeys')} (${keyNames(table)}) SELECT ${keyOf(table, 'i')} ${orphansOf(spec, table, key)}`;
}

/** Puts the keys of parents that orphans name among those that wait. */
export function parentsWait(spec: RunSpec, table: TableSpec, key: ForeignKey): Fragment {
  const parent = tableOf(spec, key.parent);
  const named = parent.key.map((name) => at(table, 'i', key.columns[key.parentColumns.indexOf(name)] ?? ''));
  return sql`INSERT IGNORE INTO ${physical(spec, parent, 'replayKeys')} (${keyNames(parent)}) SELECT DISTINCT ${join(named)} ${orphansOf(spec, table, key)}`;
}
