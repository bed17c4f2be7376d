import { isInteger } from '../model/live-type.js';
import { type RunSpec, type TableSpec, writtenNames } from '../model/spec.js';
import { at, inRange, keyColumns, sameKey, storable } from './columns.js';
import { liveOnlyStays, mergedValue, type Scope } from './merge.js';
import {
  absent,
  as,
  columnNamed,
  incomingOf,
  keyNames,
  keyOf,
  physical,
  type Shape,
  sameUnit,
  shapeOf,
} from './shape.js';
import { type Fragment, id, join, raw, sql } from './text.js';

/**
 * The merge of a range by its differences. Of most rows both sides say the same: live's row is the merged row, whatever the base says,
 * nothing is counted, nothing is a conflict. The keys of all others go into the table of replay keys; only for those are the three
 * versions compared unit by unit. Two joins of two tables find them: a join of three took twice as long as the join of two, and
 * keys alone are found in half of that.
 */

/**
 * How the row of a key is found in another table: in its index, key by key, or by a hash of the range's rows, which MySQL makes in
 * memory and which takes a third to a half of the time. By hash only whole numbers: they are equal by their value alone.
 */
export type KeyJoin = 'index' | 'hash';

/** Memory that MySQL may take for the hash of a range. What does not fit goes to a temporary file. */
export const HASH_BYTES_MAX = 32 * 1024 * 1024;
const hint = (by: KeyJoin) => raw(by === 'hash' ? ` /*+ SET_VAR(join_buffer_size=${HASH_BYTES_MAX}) */` : '');

/** May ranges be joined by hash? Whether it is worth it, and would be done so, is asked of the server. */
export function mayHash(table: TableSpec): boolean {
  return keyColumns(table).every(isInteger);
}

/** The key is the same in two roles. By hash: an expression, which no index answers, so that MySQL makes a hash of the range. */
function joined(table: TableSpec, by: KeyJoin, role: string, to: string, range: Range): Fragment {
  if (by === 'index') return sameKey(table, role, to);
  const keys = table.key.map((name) => sql`${at(table, role, name)} + 0 = ${at(table, to, name)}`);
  return sql`${join(keys, ' AND ')} AND ${within(table, role, range)}`;
}

/** A half-open range of keys. */
export type Range = Extract<Scope, { kind: 'range' }>;

const within = (table: TableSpec, role: string, { from, to }: Range) => inRange(table, role, from, to);
const keys = (spec: RunSpec, table: TableSpec) => physical(spec, table, 'replayKeys');

/** Does a row that both sides have differ in any column that merges? */
function differs(table: TableSpec, shape: Shape): Fragment {
  return join(
    shape.units.map((unit) => sql`NOT (${sameUnit(table, unit, 'i', 'l')})`),
    ' OR ',
    'FALSE',
  );
}

/** Collects the keys of incoming rows that live has not, or not the same. */
export function findDifferences(spec: RunSpec, table: TableSpec, range: Range, by: KeyJoin): Fragment {
  const shape = shapeOf(spec, table);
  return sql`INSERT${hint(by)} INTO ${keys(spec, table)} (${keyNames(table)})
SELECT ${keyOf(table, 'i')}
FROM ${id(shape.incoming)} AS ${as(table, 'i')}
LEFT JOIN ${id(table.live)} AS ${as(table, 'l')} ON ${joined(table, by, 'l', 'i', range)}
WHERE ${within(table, 'i', range)} AND (${absent(table, 'l')} OR ${differs(table, shape)})`;
}

/** Incoming rows of a range. */
export function countIncoming(spec: RunSpec, table: TableSpec, range: Range): Fragment {
  return sql`SELECT COUNT(*) AS incoming FROM ${id(incomingOf(spec, table))} AS ${as(table, 'i')} WHERE ${within(table, 'i', range)}`;
}

/**
 * Collects the keys of rows that the incoming side has not, and that live may have to give up: those that it had before; in a
 * rollback any row of live.
 */
export function findGone(spec: RunSpec, table: TableSpec, range: Range, by: KeyJoin): Fragment {
  const shape = shapeOf(spec, table);
  const before = spec.kind === 'publish' ? (shape.ancestor ?? '') : table.live;
  return sql`INSERT${hint(by)} IGNORE INTO ${keys(spec, table)} (${keyNames(table)})
SELECT ${keyOf(table, 'b')}
FROM ${id(before)} AS ${as(table, 'b')}
LEFT JOIN ${id(shape.incoming)} AS ${as(table, 'i')} ON ${joined(table, by, 'i', 'b', range)}
WHERE ${within(table, 'b', range)} AND ${absent(table, 'i')}`;
}

/** Whether rows can be gone at the incoming side: without an ancestor nothing says that it had them. */
export function mayHaveGone(spec: RunSpec, table: TableSpec): boolean {
  return spec.kind === 'rollback' || shapeOf(spec, table).ancestor !== null;
}

/**
 * Copies the range of live into stage, in the order of its key, and merges the rows of the collected keys on the way. Rows
 * that only the incoming side has come after it.
 */
export function mergeLive(spec: RunSpec, table: TableSpec, range: Range, by: KeyJoin): Fragment {
  const shape = shapeOf(spec, table);
  const unitOf = new Map(shape.units.flatMap((unit) => unit.columns.map((name) => [name, unit] as const)));
  const all = writtenNames(table);
  const values = all.map((name) => {
    const unit = unitOf.get(name);
    const live = storable(columnNamed(table, name), at(table, 'l', name));
    // neither a key that was collected nor a row of live's own has an incoming row here
    return unit
      ? sql`CASE WHEN ${absent(table, 'i')} THEN ${live} ELSE ${mergedValue(spec, table, unit, name)} END`
      : at(table, 'l', name);
  });
  const beside = (name: string, role: string) =>
    sql`\nLEFT JOIN ${id(name)} AS ${as(table, role)} ON ${sameKey(table, role, 'k')}`;
  return sql`INSERT${hint(by)} INTO ${physical(spec, table, 'stage')} (${join(all.map(id))})
SELECT ${join(values)}
FROM ${id(table.live)} AS ${as(table, 'l')}
LEFT JOIN ${keys(spec, table)} AS ${as(table, 'k')} ON ${joined(table, by, 'k', 'l', range)}${beside(shape.incoming, 'i')}${shape.ancestor ? beside(shape.ancestor, 'a') : raw('')}
WHERE ${within(table, 'l', range)} AND (${absent(table, 'k')} OR NOT (${absent(table, 'i')}) OR ${liveOnlyStays(spec, table, shape)})`;
}

/** Narrows replay keys to those that were collected as work. */
export function amongWork(spec: RunSpec, table: TableSpec): Fragment {
  return sql`${physical(spec, table, 'work')} AS ${as(table, 'w')} ON ${sameKey(table, 'w', 'k')}`;
}
