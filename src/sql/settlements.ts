import { control, physicalTable } from '../model/names.js';
import { COLUMN_KINDS, SETTLEABLE } from '../model/settlement.js';
import {
  type MergeUnit,
  mappedNames,
  type RunSpec,
  type Side,
  type TableSpec,
  writtenNames,
} from '../model/spec.js';
import { asText, at, keyColumns, keyHash, keyValue, sameKey, typedKey, widened } from './columns.js';
import { jsonOf, keyJson } from './merge.js';
import {
  as,
  columnNamed,
  GAPS,
  isHeldBack,
  keyNames,
  keyOf,
  physical,
  sameUnit,
  shownOfBase,
  unitHasBase,
} from './shape.js';
import { type Fragment, id, join, list, literal, raw, sql } from './text.js';

/** What an operator asks of conflicts and settlements, and writes; runs read it (src/sql/settle.ts). */

export interface ConflictFilter {
  ids?: string[];
  table?: string;
  key?: ConflictKey;
  /** of conflicts about single columns; never of a whole row's */
  column?: string;
  kind?: string;
  /** of the run that found it */
  generation?: number;
  /** an SQL condition on the columns of `conflict`; see conflictView */
  where?: string;
  /** closed ones, too */
  all?: boolean;
}

/** A row's key, in whatever spelling; with the table as it was published, it is compared as live compares keys. */
export interface ConflictKey {
  /** as text, by column */
  values: Record<string, string>;
  table?: TableSpec | undefined;
}

/** What an operator's WHERE sees: one row a conflict, its values as JSON objects by column. */
export const CONFLICT_COLUMNS =
  'id, table_name, kind, state, run, `key`, columns, base, source, live, found_at';

function conflictView(pipeline: string): Fragment {
  return sql`(SELECT id, live AS table_name, kind, state, generation AS run, row_key AS ${id('key')}, columns_json AS columns, base_json AS base, source_json AS source, live_json AS live, found_at
  FROM ${id(control.conflict)} WHERE pipeline = ${pipeline}) AS conflict`;
}

function filtered(filter: ConflictFilter): Fragment {
  const { ids, table, key, column, kind, generation, where, all } = filter;
  const parts: Fragment[] = [];
  if (!all) parts.push(sql`state = 'open'`);
  if (ids) parts.push(sql`id IN (${list(ids)})`);
  if (table !== undefined) parts.push(sql`table_name = ${table}`);
  if (key) parts.push(keyInJson(key, id('key')));
  // a whole row's conflict lists all its columns: who names one of them has not named the row
  if (column !== undefined)
    parts.push(
      sql`kind IN (${list(COLUMN_KINDS)}) AND JSON_CONTAINS(columns, CAST(${JSON.stringify(column)} AS JSON))`,
    );
  if (kind !== undefined) parts.push(sql`kind = ${kind}`);
  if (generation !== undefined) parts.push(sql`run = ${generation}`);
  if (where !== undefined) parts.push(sql`(${raw(where)}\n)`);
  return join(parts, ' AND ', 'TRUE');
}

/** Is the key that a control table holds as JSON this one? */
function keyInJson({ values, table }: ConflictKey, json: Fragment): Fragment {
  const parts = Object.entries(values).map(([name, value]) => {
    const text = sql`JSON_UNQUOTE(JSON_EXTRACT(${json}, ${`$.${JSON.stringify(name)}`}))`;
    const column = table?.columns.find(({ live }) => live.name === name)?.live;
    return column
      ? sql`${typedKey(column, text)} = ${typedKey(column, sql`${value}`)}`
      : sql`${text} = ${value}`;
  });
  return join(parts, ' AND ', 'TRUE');
}

/**
 * The conflicts that fit, without their values. It is materialized: MySQL sorts whole rows, the JSON that a condition reads
 * included, and fails where one of them does not fit its sort buffer (1038), which is 256 kB.
 */
const MATERIALIZED = raw('/*+ NO_MERGE(found) */');
function found(pipeline: string, filter: ConflictFilter): Fragment {
  return sql`(SELECT id, kind, run FROM ${conflictView(pipeline)} WHERE ${filtered(filter)}) AS found`;
}

/** Which conflicts fit, newest run first. */
export function newestConflicts(pipeline: string, filter: ConflictFilter, rowsMax: number): Fragment {
  return sql`SELECT ${MATERIALIZED} id FROM ${found(pipeline, filter)} ORDER BY run DESC, id LIMIT ${raw(String(rowsMax))}`;
}
/** Conflicts by their ids, in no order, with the side that a pending settlement gives each. */
export function showConflicts(conflicts: string[]): Fragment {
  const json = (name: string, as: string) => sql`CAST(c.${id(name)} AS CHAR) AS ${id(as)}`;
  return sql`SELECT c.id, c.live AS table_name, c.kind, c.state, c.generation AS run,
  ${json('row_key', 'key')}, ${json('columns_json', 'columns')}, ${json('base_json', 'base')}, ${json('source_json', 'source')}, ${json('live_json', 'live')},
  c.found_at, c.closed_in,
  (SELECT e.side FROM ${id(control.settlement)} AS e WHERE e.id = (SELECT MAX(n.id) FROM ${id(control.settlement)} AS n WHERE ${settles('n', 'c')} AND n.state = 'pending')) AS settled_as
FROM ${id(control.conflict)} AS c WHERE c.id IN (${list(conflicts)})`;
}
export function countConflicts(pipeline: string, filter: ConflictFilter): Fragment {
  return sql`SELECT COUNT(*) AS n FROM ${conflictView(pipeline)} WHERE ${filtered(filter)}`;
}
/** How many there are of each kind. */
export function conflictKinds(pipeline: string, filter: ConflictFilter): Fragment {
  return sql`SELECT ${MATERIALIZED} kind, COUNT(*) AS n FROM ${found(pipeline, filter)} GROUP BY kind ORDER BY kind`;
}
export function conflictIds(pipeline: string, filter: ConflictFilter): Fragment {
  return sql`SELECT ${MATERIALIZED} id FROM ${found(pipeline, filter)} ORDER BY id`;
}

/** Is this settlement one of that conflict, with the very values? */
function settles(settlement: string, conflict: string): Fragment {
  const [e, c] = [raw(settlement), raw(conflict)];
  return sql`${e}.pipeline = ${c}.pipeline AND ${e}.live = ${c}.live AND ${e}.key_hash = ${c}.key_hash
AND ${e}.kind = ${c}.kind AND ${e}.columns_json = ${c}.columns_json AND ${e}.source_json <=> ${c}.source_json AND ${e}.live_json <=> ${c}.live_json`;
}

/** Settles conflicts that are open, bound to the values that they show; an older word on the same values no longer counts. */
export function settleConflicts(
  pipeline: string,
  conflicts: string[],
  side: Side,
  by: string,
): [replace: Fragment, insert: Fragment] {
  const which = sql`c.pipeline = ${pipeline} AND c.state = 'open' AND c.kind IN (${list(SETTLEABLE)}) AND c.id IN (${list(conflicts)})`;
  return [
    sql`UPDATE ${id(control.settlement)} AS e JOIN ${id(control.conflict)} AS c ON ${settles('e', 'c')} SET e.state = 'replaced' WHERE e.state = 'pending' AND ${which}`,
    sql`INSERT INTO ${id(control.settlement)} (pipeline, live, row_key, key_hash, kind, columns_json, source_json, live_json, side, settled_by, settled_at)
SELECT c.pipeline, c.live, c.row_key, c.key_hash, c.kind, c.columns_json, c.source_json, c.live_json, ${side}, ${by}, UTC_TIMESTAMP(6) FROM ${id(control.conflict)} AS c FORCE INDEX (PRIMARY) WHERE ${which} ORDER BY c.id`,
  ];
}
export function withdrawSettlements(conflicts: string[]): Fragment {
  return sql`UPDATE ${id(control.settlement)} AS e JOIN ${id(control.conflict)} AS c ON ${settles('e', 'c')} SET e.state = 'withdrawn' WHERE e.state = 'pending' AND c.id IN (${list(conflicts)})`;
}

/** Which rows of a live table: those of a key, or those that fulfil an SQL condition on live's columns. */
export type LiveRows = { key: string[] } | { where: string };

/** Where live has another value than its base, of the rows asked for; the base is the published run's. */
function editedRows(spec: RunSpec, table: TableSpec, unit: MergeUnit, rows: LiveRows): Fragment {
  const which =
    'key' in rows
      ? keyIs(table, 'l', rows.key)
      : sql`(${keyOf(table, 'l')}) IN (SELECT ${keyNames(table)} FROM ${id(table.live)} WHERE ${raw(rows.where)}\n)`;
  return sql`FROM ${id(table.live)} AS ${as(table, 'l')}
JOIN ${physical(spec, table, 'baseNext')} AS ${as(table, 'a')} ON ${sameKey(table, 'a', 'l')}
WHERE ${which} AND ${unitHasBase(table, unit)} AND NOT (${sameUnit(table, unit, 'l', 'a')}) AND NOT ${isHeldBack(spec, table, 'l')}`;
}
function keyIs(table: TableSpec, alias: string, key: string[]): Fragment {
  return join(
    keyColumns(table).map(
      (column, index) => sql`${at(table, alias, column.name)} = ${keyValue(column, key[index] ?? '')}`,
    ),
    ' AND ',
  );
}

/** A key that an operator has written, as MySQL would print it; NULL where it is no value of its column. */
export function printedKey(table: TableSpec, key: string[]): Fragment {
  const texts = keyColumns(table).map(
    (column, index) =>
      sql`${asText(column, typedKey(column, sql`${key[index] ?? ''}`))} AS ${id(column.name)}`,
  );
  return sql`SELECT ${join(texts)}`;
}

/** Are two keys one, as live's collations compare them? One row of one flag. */
export function isOneKey(table: TableSpec, left: string[], right: string[]): Fragment {
  const equal = keyColumns(table).map(
    (column, index) =>
      sql`${typedKey(column, sql`${left[index] ?? ''}`)} = ${typedKey(column, sql`${right[index] ?? ''}`)}`,
  );
  return sql`SELECT ${join(equal, ' AND ')} AS is_one`;
}

/** The client's edits that `yieldEdits` would give back: how many, and some of them with both values. */
export function countEdits(spec: RunSpec, table: TableSpec, unit: MergeUnit, rows: LiveRows): Fragment {
  return sql`SELECT COUNT(*) AS n ${editedRows(spec, table, unit, rows)}`;
}
export function showEdits(
  spec: RunSpec,
  table: TableSpec,
  unit: MergeUnit,
  rows: LiveRows,
  rowsMax: number,
): Fragment {
  const columns = unit.columns.map((name) => columnNamed(table, name));
  return sql`SELECT CAST(${keyJson(table, 'l')} AS CHAR) AS row_key, CAST(${jsonOf(table, columns, 'a')} AS CHAR) AS source, CAST(${jsonOf(table, columns, 'l')} AS CHAR) AS live
${editedRows(spec, table, unit, rows)} LIMIT ${raw(String(rowsMax))}`;
}

/** Gives edits back to billing: settlements as the source, bound to what both sides say now. */
export function yieldEdits(
  spec: RunSpec,
  table: TableSpec,
  unit: MergeUnit,
  rows: LiveRows,
  by: string,
): Fragment {
  const columns = unit.columns.map((name) => columnNamed(table, name));
  return sql`INSERT INTO ${id(control.settlement)} (pipeline, live, row_key, key_hash, kind, columns_json, source_json, live_json, side, settled_by, settled_at)
SELECT ${spec.pipeline}, ${table.live}, ${keyJson(table, 'l')}, ${keyHash(table, 'l')}, 'field', CAST(${JSON.stringify(unit.columns)} AS JSON), ${jsonOf(table, columns, 'a')}, ${jsonOf(table, columns, 'l')}, 'source', ${by}, UTC_TIMESTAMP(6)
${editedRows(spec, table, unit, rows)}`;
}

/** One row of live, its written columns as JSON of canonical texts. */
export function rowOfLive(table: TableSpec, key: string[]): Fragment {
  const shown = writtenNames(table).map((column) => columnNamed(table, column));
  return sql`SELECT CAST(${jsonOf(table, shown, 'l')} AS CHAR) AS found FROM ${id(table.live)} AS ${as(table, 'l')} WHERE ${keyIs(table, 'l', key)}`;
}

/** One row of the base: the columns that it can tell of, as live's types print them, and which of them have gaps. */
export function rowOfBase(table: TableSpec, base: number, key: string[]): Fragment {
  const shown = shownOfBase(table, mappedNames(table)).map((column) => columnNamed(table, column));
  const texts = shown.map(
    (column) => sql`${literal(column.name)}, ${asText(column, widened(column, at(table, 'a', column.name)))}`,
  );
  const gaps = table.gaps ? sql`CAST(${at(table, 'a', GAPS)} AS CHAR)` : raw('NULL');
  return sql`SELECT CAST(JSON_OBJECT(${join(texts)}) AS CHAR) AS found, ${gaps} AS gaps FROM ${id(physicalTable(base, 'baseNext', table.live))} AS ${as(table, 'a')} WHERE ${keyIs(table, 'a', key)}`;
}

/** Settlements of a row that no run has carried out, in no order. */
export function pendingOfRow(pipeline: string, live: string, key: ConflictKey): Fragment {
  return sql`SELECT id, kind, side, settled_by, settled_at, CAST(columns_json AS CHAR) AS columns_json, CAST(source_json AS CHAR) AS source_json, CAST(live_json AS CHAR) AS live_json
FROM ${id(control.settlement)} WHERE pipeline = ${pipeline} AND live = ${live} AND state = 'pending' AND ${keyInJson(key, id('row_key'))}`;
}

/**
 * Marks a row to be taken from billing in the next run, whatever live says. Each of the statements counts only where those
 * before it found nothing: a row that the application deleted is not in live, and a new one that was held back is in live
 * as little as in the base, so that only its conflict tells of it.
 */
export function resyncRow(spec: RunSpec, table: TableSpec, key: string[], by: string): Fragment[] {
  const insert = (rowKey: Fragment, hash: Fragment, rest: Fragment) =>
    sql`INSERT INTO ${id(control.settlement)} (pipeline, live, row_key, key_hash, kind, columns_json, side, settled_by, settled_at)
SELECT ${spec.pipeline}, ${table.live}, ${rowKey}, ${hash}, 'resync', CAST(${JSON.stringify(table.units.flatMap((unit) => unit.columns))} AS JSON), 'source', ${by}, UTC_TIMESTAMP(6)
${rest}`;
  const from = (name: string) =>
    insert(
      keyJson(table, 'l'),
      keyHash(table, 'l'),
      sql`FROM ${id(name)} AS ${as(table, 'l')} WHERE ${keyIs(table, 'l', key)}`,
    );
  const values = Object.fromEntries(table.key.map((name, index) => [name, key[index] ?? '']));
  return [
    from(table.live),
    from(physicalTable(spec.generation, 'baseNext', table.live)),
    insert(
      raw('row_key'),
      raw('key_hash'),
      sql`FROM ${id(control.conflict)} WHERE pipeline = ${spec.pipeline} AND live = ${table.live} AND state = 'open' AND ${keyInJson({ values, table }, raw('row_key'))} LIMIT 1`,
    ),
  ];
}
