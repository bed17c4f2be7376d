import { type RunSpec, type TableSpec, writtenNames } from '../model/spec.js';
import { at, inRange, sameKey, storable } from './columns.js';
import { liveOnlyStays, mergedValue, type Scope } from './merge.js';
import {
  absent,
  as,
  columnNamed,
  keyNames,
  keyOf,
  physical,
  type Shape,
  sameUnit,
  shapeOf,
} from './shape.js';
import { type Fragment, id, join, raw, sql } from './text.js';

/**
 * The merge of a range by its differences. Of most rows both sides say the same: live's row is the merged row, nothing is counted,
 * nothing is a conflict. The keys of all others go into the table of replay keys; only for those are the three versions compared unit by
 * unit. Measured on 12 columns: 10 µs a row of MySQL's CPU where nothing differs, 23 µs by comparing every unit of every row.
 */

/** A half-open range of keys. */
export type Range = Extract<Scope, { kind: 'range' }>;

const within = (table: TableSpec, role: string, { from, to }: Range) => inRange(table, role, from, to);
const keys = (spec: RunSpec, table: TableSpec) => physical(spec, table, 'replayKeys');

/** Does a row that both sides have, and that has an ancestor, differ in any column that merges? */
function differs(table: TableSpec, shape: Shape): Fragment {
  return join(
    shape.units.map((unit) => sql`NOT (${sameUnit(table, unit, 'i', 'l')})`),
    ' OR ',
    'FALSE',
  );
}

/** A row without an ancestor is one that both sides made, where a publish came before: for the merge to look at. */
const needsAncestor = (spec: RunSpec, shape: Shape) => shape.ancestor !== null && spec.kind === 'publish';

/** Collects the keys of incoming rows that live has not, or not the same. */
export function findDifferences(spec: RunSpec, table: TableSpec, range: Range): Fragment {
  const shape = shapeOf(spec, table);
  const ancestor = needsAncestor(spec, shape)
    ? {
        join: sql`\nLEFT JOIN ${id(shape.ancestor ?? '')} AS ${as(table, 'a')} ON ${sameKey(table, 'a', 'i')}`,
        isAbsent: sql` OR ${absent(table, 'a')}`,
      }
    : { join: raw(''), isAbsent: raw('') };
  return sql`INSERT INTO ${keys(spec, table)} (${keyNames(table)})
SELECT ${keyOf(table, 'i')}
FROM ${id(shape.incoming)} AS ${as(table, 'i')}
LEFT JOIN ${id(table.live)} AS ${as(table, 'l')} ON ${sameKey(table, 'l', 'i')}${ancestor.join}
WHERE ${within(table, 'i', range)} AND (${absent(table, 'l')}${ancestor.isAbsent} OR ${differs(table, shape)})`;
}

/**
 * Rows of a range in tables that do not change: incoming ones, ancestors, and incoming ones that have no ancestor. Where
 * `ancestors` is `incoming - without_ancestor`, the source has deleted none.
 */
export function countSides(spec: RunSpec, table: TableSpec, range: Range): Fragment {
  const shape = shapeOf(spec, table);
  const rows = (name: string, role: string) =>
    sql`(SELECT COUNT(*) FROM ${id(name)} AS ${as(table, role)} WHERE ${within(table, role, range)})`;
  if (!needsAncestor(spec, shape))
    return sql`SELECT ${rows(shape.incoming, 'i')} AS incoming, 0 AS ancestors, 0 AS without_ancestor`;
  return sql`SELECT ${rows(shape.incoming, 'i')} AS incoming, ${rows(shape.ancestor ?? '', 'a')} AS ancestors,
  (SELECT COUNT(*) FROM ${keys(spec, table)} AS ${as(table, 'k')} JOIN ${id(shape.incoming)} AS ${as(table, 'n')} ON ${sameKey(table, 'n', 'k')}
   LEFT JOIN ${id(shape.ancestor ?? '')} AS ${as(table, 'p')} ON ${sameKey(table, 'p', 'k')} WHERE ${within(table, 'k', range)} AND ${absent(table, 'p')}) AS without_ancestor`;
}

/**
 * Collects the keys of rows that the incoming side has not, and that live may have to give up: those that it had before; in a
 * rollback any row of live.
 */
export function findGone(spec: RunSpec, table: TableSpec, range: Range): Fragment {
  const shape = shapeOf(spec, table);
  const before = spec.kind === 'publish' ? (shape.ancestor ?? '') : table.live;
  return sql`INSERT IGNORE INTO ${keys(spec, table)} (${keyNames(table)})
SELECT ${keyOf(table, 'b')}
FROM ${id(before)} AS ${as(table, 'b')}
LEFT JOIN ${id(shape.incoming)} AS ${as(table, 'i')} ON ${sameKey(table, 'i', 'b')}
WHERE ${within(table, 'b', range)} AND ${absent(table, 'i')}`;
}

/** Whether rows can be gone at the incoming side, by what `countSides` says. */
export function mayHaveGone(spec: RunSpec, table: TableSpec, sides: Record<string, string>): boolean {
  if (spec.kind === 'rollback') return true;
  if (!shapeOf(spec, table).ancestor) return false;
  return Number(sides.ancestors) !== Number(sides.incoming) - Number(sides.without_ancestor);
}

/**
 * Copies the range of live into stage, in the order of its key, and merges the rows of the collected keys on the way. Rows
 * that only the incoming side has come after it.
 */
export function mergeLive(spec: RunSpec, table: TableSpec, range: Range): Fragment {
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
  return sql`INSERT INTO ${physical(spec, table, 'stage')} (${join(all.map(id))})
SELECT ${join(values)}
FROM ${id(table.live)} AS ${as(table, 'l')}
LEFT JOIN ${keys(spec, table)} AS ${as(table, 'k')} ON ${sameKey(table, 'k', 'l')}${beside(shape.incoming, 'i')}${shape.ancestor ? beside(shape.ancestor, 'a') : raw('')}
WHERE ${within(table, 'l', range)} AND (${absent(table, 'k')} OR NOT (${absent(table, 'i')}) OR ${liveOnlyStays(spec, table, shape)})`;
}

/** Narrows replay keys to those that were collected as work. */
export function amongWork(spec: RunSpec, table: TableSpec): Fragment {
  return sql`${physical(spec, table, 'work')} AS ${as(table, 'w')} ON ${sameKey(table, 'w', 'k')}`;
}
