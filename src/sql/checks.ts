import type { RunSpec, TableSpec } from '../model/spec.js';
import { asText, inRange, keyColumns, sameKey } from './columns.js';
import type { Range } from './differences.js';
import { collectWork, holdBack } from './group.js';
import { recordRowConflict } from './merge.js';
import { as, keyOf, physical } from './shape.js';
import { type Fragment, id, join, raw, sql } from './text.js';

/**
 * The rule of CHECK constraints: a merged row may break one although what each side says of it does not. Such a row stays as
 * live has it, a new one is held back (conflict `check`). Merged rows are looked at in `merged`, which has no constraints, before
 * they go into stage; a clause names columns without an alias, so that it stands where one table alone is read.
 */

/** Is a clause false? NULL is not: MySQL lets such a row in. */
const breaks = (clauses: string[]) =>
  join(
    clauses.map((clause) => sql`(${raw(clause)}) IS FALSE`),
    ' OR ',
    'FALSE',
  );
const clausesOf = (table: TableSpec) => (table.checks ?? []).map(({ clause }) => clause);

/** Rows of `merged` that break a CHECK constraint. @param range of these only */
export function findBroken(spec: RunSpec, table: TableSpec, range?: Range): Fragment {
  const within = range ? inRange(table, 'm', range.from, range.to) : raw('TRUE');
  return collectWork(
    spec,
    table,
    sql`SELECT ${keyOf(table, 'm')} FROM ${physical(spec, table, 'merged')} AS ${as(table, 'm')} WHERE ${within} AND (${breaks(clausesOf(table))})`,
  );
}

/**
 * Acts on the work keys of a range before it is merged: the source's rows are not published. Their keys are no longer among those
 * that differ, so that the merge of the range copies live's rows, and no row where live has none.
 */
export function holdBroken(spec: RunSpec, table: TableSpec, range: Range): Fragment[] {
  const { from, to } = range;
  const work = sql`${physical(spec, table, 'work')} AS ${as(table, 'w')}`;
  const within = inRange(table, 'w', from, to);
  const conflict = recordRowConflict(spec, table, 'check', range);
  return [
    ...(conflict ? [conflict] : []),
    holdBack(spec, table, 'check', within),
    sql`DELETE ${as(table, 'k')} FROM ${work} STRAIGHT_JOIN ${physical(spec, table, 'replayKeys')} AS ${as(table, 'k')} ON ${sameKey(table, 'k', 'w')} WHERE ${within}`,
    emptied(spec, table, 'work', 'w', range),
  ];
}

/** Rows of `merged` in a range are done. */
export const emptyMergedOf = (spec: RunSpec, table: TableSpec, range: Range) =>
  emptied(spec, table, 'merged', 'm', range);

function emptied(
  spec: RunSpec,
  table: TableSpec,
  kind: 'work' | 'merged',
  role: string,
  { from, to }: Range,
): Fragment {
  return sql`DELETE ${as(table, role)} FROM ${physical(spec, table, kind)} AS ${as(table, role)} WHERE ${inRange(table, role, from, to)}`;
}

/**
 * Constraints that the source's rows must keep by themselves: over columns that it says and decides about. One over a column that is
 * live's own, generated or not mapped is looked at when the row is merged.
 */
export function checksOfSource(table: TableSpec): NonNullable<TableSpec['checks']> {
  const decided = new Set(
    table.units.filter(({ owner }) => owner !== 'live').flatMap(({ columns }) => columns),
  );
  for (const name of table.key) decided.add(name);
  return (table.checks ?? []).filter(({ columns }) => columns.every((name) => decided.has(name)));
}

/** Rows of a chunk in base_next that break such a constraint, with its place among them; at most `rowsMax`. */
export function brokenOfSource(spec: RunSpec, table: TableSpec, chunk: number, rowsMax: number): Fragment {
  const clauses = checksOfSource(table).map(({ clause }) => clause);
  const place = join(
    clauses.map((clause, index) => sql`WHEN (${raw(clause)}) IS FALSE THEN ${raw(String(index))}`),
    ' ',
  );
  const keys = keyColumns(table).map(
    (column, index) => sql`${asText(column, id(column.name))} AS ${id(`k${index}`)}`,
  );
  return sql`SELECT ${join(keys)}, CASE ${place} END AS place FROM ${physical(spec, table, 'baseNext')} WHERE _ss_chunk = ${chunk} AND (${breaks(clauses)}) LIMIT ${raw(String(rowsMax))}`;
}
