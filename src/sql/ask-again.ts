import { control } from '../model/names.js';
import { type ForeignKey, mappedNames, type RunSpec, type TableSpec, tableOf } from '../model/spec.js';
import { at, inRange, type KeyText, keyColumns, keyTexts, keyValue, sameKey } from './columns.js';
import { collectWork, refers, replayToo } from './group.js';
import { absent, ancestorOf, as, keyOf, physical } from './shape.js';
import { ROW_CHECKSUM } from './stage.js';
import { type Fragment, id, join, raw, sql } from './text.js';

/**
 * Keys of which a source that was not read as of one moment is asked again: a row that moved while it was read may have come to
 * look new or gone, and a parent that came meanwhile may be missing. `replayKeys` has the keys that wait, also over a crash, and
 * `work` those that are asked now. Neither is used for anything else before the merge.
 */

/** Steps of the ledger under which rows of base_next came: as chunks of the source, and when they were asked for again. */
export const LOADED: Fragment = raw("step IN ('ingest', 'asked')");

/** Numbers of what is asked again begin here, far from those of chunks: rows of base_next have one or the other. */
export const ASKED_FROM = 2_000_000_000;

/** Lets keys of a range wait that came or went since the base. */
export function cameOrWentWait(
  spec: RunSpec,
  table: TableSpec,
  { from, to }: { from: KeyText; to: KeyText },
): Fragment[] {
  const ancestor = ancestorOf(spec, table);
  const incoming = sql`${physical(spec, table, 'baseNext')} AS ${as(table, 'i')}`;
  const within = (role: string, tables: Fragment, alone: Fragment) =>
    replayToo(
      spec,
      table,
      sql`SELECT ${keyOf(table, role)} FROM ${tables} WHERE ${inRange(table, role, from, to)} AND ${alone}`,
    );
  if (ancestor === null) return [within('i', incoming, raw('TRUE'))];
  const base = sql`${id(ancestor)} AS ${as(table, 'a')}`;
  const only = (role: string, here: Fragment, other: string, there: Fragment) =>
    within(role, sql`${here} LEFT JOIN ${there} ON ${sameKey(table, role, other)}`, absent(table, other));
  return [only('i', incoming, 'a', base), only('a', base, 'i', incoming)];
}

/** Lets a key wait unless base_next has a row of it. @param key canonical texts */
export function waitsUnlessThere(spec: RunSpec, table: TableSpec, key: string[]): Fragment {
  const values = keyColumns(table).map((column, index) => keyValue(column, key[index] ?? ''));
  const there = keyColumns(table).map(
    (column, index) => sql`${at(table, 'i', column.name)} = ${keyValue(column, key[index] ?? '')}`,
  );
  return replayToo(
    spec,
    table,
    sql`SELECT ${join(values)} FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM ${physical(spec, table, 'baseNext')} AS ${as(table, 'i')} WHERE ${join(there, ' AND ')})`,
  );
}

/** Takes the first of the keys that wait into `work`, and nothing else. */
export function askNow(spec: RunSpec, table: TableSpec, rowsMax: number): Fragment[] {
  return [
    nothingAsked(spec, table),
    collectWork(
      spec,
      table,
      sql`SELECT ${keyOf(table, 'k')} FROM ${physical(spec, table, 'replayKeys')} AS ${as(table, 'k')} ORDER BY ${keyOf(table, 'k')} LIMIT ${raw(String(rowsMax))}`,
    ),
  ];
}

/** The keys in `work` as canonical texts, and whether base_next has a row of each (`_ss_read`). */
export function keysAsked(spec: RunSpec, table: TableSpec): Fragment {
  return sql`SELECT ${keyTexts(table, 'w')}, NOT ${absent(table, 'i')} AS _ss_read
FROM ${physical(spec, table, 'work')} AS ${as(table, 'w')}
LEFT JOIN ${physical(spec, table, 'baseNext')} AS ${as(table, 'i')} ON ${sameKey(table, 'i', 'w')}`;
}

/** Takes out of base_next, and of the ledger's counts and sums, what was read of the keys in `work`, and what was set aside of them. */
export function forgetAsked(spec: RunSpec, table: TableSpec): Fragment[] {
  const asked = sql`${physical(spec, table, 'work')} AS ${as(table, 'w')}`;
  const loaded = sql`${asked} STRAIGHT_JOIN ${physical(spec, table, 'baseNext')} AS ${as(table, 'i')} ON ${sameKey(table, 'i', 'w')}`;
  return [
    sql`UPDATE (
  SELECT ${at(table, 'i', '_ss_chunk')} AS seq, COUNT(*) AS row_count, SUM(${at(table, 'i', ROW_CHECKSUM)}) AS checksum_sum FROM ${loaded} GROUP BY ${at(table, 'i', '_ss_chunk')}
) AS f
STRAIGHT_JOIN ${id(control.chunk)} AS c
  ON c.pipeline = ${spec.pipeline} AND c.generation = ${spec.generation} AND c.live = ${table.live} AND c.step = IF(f.seq > ${ASKED_FROM}, 'asked', 'ingest') AND c.seq = f.seq
SET c.row_count = c.row_count - f.row_count, c.checksum_sum = c.checksum_sum - f.checksum_sum`,
    sql`DELETE ${as(table, 'i')} FROM ${loaded}`,
    sql`DELETE ${as(table, 'h')} FROM ${asked} STRAIGHT_JOIN ${physical(spec, table, 'heldBack')} AS ${as(table, 'h')} ON ${sameKey(table, 'h', 'w')} WHERE ${at(table, 'h', '_ss_reason')} = 'bad'`,
  ];
}

/** What was asked does not wait any more, and nothing is asked now. */
export function wasAsked(spec: RunSpec, table: TableSpec): Fragment[] {
  return [
    sql`DELETE ${as(table, 'k')} FROM ${physical(spec, table, 'work')} AS ${as(table, 'w')} STRAIGHT_JOIN ${physical(spec, table, 'replayKeys')} AS ${as(table, 'k')} ON ${sameKey(table, 'k', 'w')}`,
    nothingAsked(spec, table),
  ];
}

const nothingAsked = (spec: RunSpec, table: TableSpec) => sql`DELETE FROM ${physical(spec, table, 'work')}`;

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

/** Lets orphans wait: they may be gone by now, as their parents are. */
export function orphansWait(spec: RunSpec, table: TableSpec, key: ForeignKey): Fragment {
  return replayToo(spec, table, sql`SELECT ${keyOf(table, 'i')} ${orphansOf(spec, table, key)}`);
}

/** Lets parents wait that orphans name. */
export function parentsWait(spec: RunSpec, table: TableSpec, key: ForeignKey): Fragment {
  const parent = tableOf(spec, key.parent);
  const named = parent.key.map((name) => at(table, 'i', key.columns[key.parentColumns.indexOf(name)] ?? ''));
  return replayToo(spec, parent, sql`SELECT DISTINCT ${join(named)} ${orphansOf(spec, table, key)}`);
}
