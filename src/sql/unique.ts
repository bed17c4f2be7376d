import type { RunSpec, TableSpec, UniquePart } from '../model/spec.js';
import { at, keyColumns, keyTexts, keyValue, sameKey } from './columns.js';
import { collectWork } from './group.js';
import { as, isHeldBack, keyOf, physical } from './shape.js';
import { type Fragment, id, join, raw, sql } from './text.js';

/**
 * The rule of unique indexes: rows that would have the same values in one of them. Whole columns are compared column by
 * column, which a join finds by the index. Of an index over expressions or beginnings of columns a join finds nothing by the
 * index; a look-up of single values does, so that a replay looks up row by row.
 */
type Unique = UniquePart[];

const isOfColumns = (unique: Unique): unique is string[] => unique.every((part) => typeof part === 'string');
const places = (unique: Unique, of: (place: number) => Fragment, separator = ', ') =>
  join(
    unique.map((_, place) => of(place)),
    separator,
  );
const value = (place: number) => id(`_ss_value${place}`);
/** An expression names columns without an alias: it must stand where one table alone is read. */
const expressionOf = (part: UniquePart) =>
  typeof part === 'string' ? id(part) : raw(`(${part.expression})`);

/** Keys of a table and the values of its rows in an index, read under an alias of its own. */
function keysAndValues(table: TableSpec, unique: Unique, from: Fragment, role: string): Fragment {
  const values = unique.map((part, place) => sql`${expressionOf(part)} AS ${value(place)}`);
  return sql`(SELECT ${keyOf(table, role)}, ${join(values)} FROM ${from} AS ${as(table, role)})`;
}

function equalColumns(table: TableSpec, columns: string[], left: string, right: string): Fragment {
  return join(
    columns.map((column) => sql`${at(table, left, column)} = ${at(table, right, column)}`),
    ' AND ',
  );
}
function equalValues(table: TableSpec, unique: Unique, left: string, right: string): Fragment {
  const equal = (place: number) =>
    sql`${as(table, left)}.${value(place)} = ${as(table, right)}.${value(place)}`;
  return places(unique, equal, ' AND ');
}

/** Rows of stage, before it has its unique indexes, of which two or more have the same values in one of them. */
export function findCollisions(spec: RunSpec, table: TableSpec): Fragment[] {
  const stage = physical(spec, table, 'stage');
  return table.uniqueIndexes.map((unique) => {
    const all = (role: string) => sql`${keysAndValues(table, unique, stage, role)} AS`;
    const notNull = places(unique, (place) => sql`${value(place)} IS NOT NULL`, ' AND ');
    const doubled = sql`SELECT ${places(unique, value)} FROM ${all('g')} ${as(table, 'x')} WHERE ${notNull} GROUP BY ${places(unique, value)} HAVING COUNT(*) > 1`;
    return collectWork(
      spec,
      table,
      sql`SELECT ${keyOf(table, 'y')} FROM (${doubled}) AS ${as(table, 'd')} JOIN ${all('s')} ${as(table, 'y')} ON ${equalValues(table, unique, 'y', 'd')} WHERE NOT ${isHeldBack(spec, table, 'y')}`,
    );
  });
}

/**
 * As `findCollisions`, for a replay: among its merged rows, and, of indexes over whole columns, between them and the rows of
 * stage beside them. @see lookUpInStage for the others
 */
export function findCollisionsOfReplay(spec: RunSpec, table: TableSpec): Fragment[] {
  const merged = physical(spec, table, 'merged');
  const stage = physical(spec, table, 'stage');
  return table.uniqueIndexes.flatMap((unique) => {
    const all = (role: string) => sql`${keysAndValues(table, unique, merged, role)} AS`;
    const among = sql`SELECT ${keyOf(table, 'x')}
FROM ${all('m')} ${as(table, 'x')}
JOIN ${all('n')} ${as(table, 'y')} ON ${equalValues(table, unique, 'x', 'y')}
WHERE NOT (${sameKey(table, 'x', 'y')}) AND NOT ${isHeldBack(spec, table, 'x')}`;
    if (!isOfColumns(unique)) return [collectWork(spec, table, among)];
    const pair = (role: string) =>
      collectWork(
        spec,
        table,
        sql`SELECT ${keyOf(table, role)}
FROM ${merged} AS ${as(table, 'm')}
STRAIGHT_JOIN ${stage} AS ${as(table, 's')} ON ${equalColumns(table, unique, 's', 'm')}
WHERE NOT (${sameKey(table, 's', 'm')}) AND NOT ${isHeldBack(spec, table, role)}`,
      );
    return [pair('m'), pair('s'), collectWork(spec, table, among)];
  });
}

const keyIs = (table: TableSpec, role: string, key: string[]) =>
  join(
    keyColumns(table).map(
      (column, place) => sql`${at(table, role, column.name)} = ${keyValue(column, key[place] ?? '')}`,
    ),
    ' AND ',
  );

/** Keys of a replay's merged rows that are to be looked up, as canonical text; null where no index asks for it. */
export function keysToLookUp(spec: RunSpec, table: TableSpec): Fragment | null {
  if (table.uniqueIndexes.every(isOfColumns)) return null;
  return sql`SELECT ${keyTexts(table, 'm')} FROM ${physical(spec, table, 'merged')} AS ${as(table, 'm')}`;
}

/**
 * Looks one merged row up in stage, by each index that is not one of whole columns: the first statement keeps its values in
 * the session, the second finds the keys of other rows that have them.
 */
export function lookUpInStage(
  spec: RunSpec,
  table: TableSpec,
  key: string[],
): { keep: Fragment; find: Fragment }[] {
  const kept = (place: number) => raw(`@_ss_value${place}`);
  return table.uniqueIndexes
    .filter((unique) => !isOfColumns(unique))
    .map((unique) => ({
      keep: sql`SELECT ${join(unique.map(expressionOf))} INTO ${places(unique, kept)} FROM ${physical(spec, table, 'merged')} AS ${as(table, 'm')} WHERE ${keyIs(table, 'm', key)}`,
      find: sql`SELECT ${keyTexts(table, 's')} FROM ${physical(spec, table, 'stage')} AS ${as(table, 's')} WHERE ${join(
        unique.map((part, place) => sql`${expressionOf(part)} = ${kept(place)}`),
        ' AND ',
      )} AND NOT (${keyIs(table, 's', key)})`,
    }));
}

/** Puts a row among those that fall back, unless it has. */
export function fallsBack(
  spec: RunSpec,
  table: TableSpec,
  where: 'stage' | 'merged',
  key: string[],
): Fragment {
  const role = where === 'stage' ? 's' : 'm';
  return collectWork(
    spec,
    table,
    sql`SELECT ${keyOf(table, role)} FROM ${physical(spec, table, where)} AS ${as(table, role)} WHERE ${keyIs(table, role, key)} AND NOT ${isHeldBack(spec, table, role)}`,
  );
}
