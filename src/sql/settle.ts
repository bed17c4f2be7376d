import { isBytes } from '../model/live-type.js';
import { control } from '../model/names.js';
import { type Decision, MERGE_KINDS } from '../model/settlement.js';
import { type LiveColumn, mappedNames, type RunSpec, type TableSpec, writtenNames } from '../model/spec.js';
import { aliasOf, at, keyColumns, keyHash, same, sameKey } from './columns.js';
import { incomingHas } from './group.js';
import { incomingWithLive, jsonOf, mergedValue, type Scope } from './merge.js';
import {
  absent,
  as,
  columnNamed,
  incomingOf,
  isSetAside,
  keyNames,
  physical,
  sameUnit,
  shapeOf,
} from './shape.js';
import { col, type Fragment, id, join, list, literal, raw, sql } from './text.js';

/**
 * Settlements in the merge. What a settled unit takes follows from base, base_next, live and the settlements alone, like
 * all of the merge: keys that have settlements are merged again, and then the rows that these decide are made anew.
 *
 * All statements work on the keys that were collected into the table of replay keys. Live is read by SELECT and
 * INSERT … SELECT only: UPDATE … JOIN would lock its rows.
 */

const replayKeys = (spec: RunSpec, table: TableSpec) => physical(spec, table, 'replayKeys');

/** The settlement table beside the keys, by the key's hash. */
function besideKeys(spec: RunSpec, table: TableSpec): Fragment {
  return sql`${id(control.settlement)} AS ${as(table, 'se')} FORCE INDEX (by_key)
ON ${at(table, 'se', 'pipeline')} = ${spec.pipeline} AND ${at(table, 'se', 'live')} = ${table.live} AND ${at(table, 'se', 'key_hash')} = ${keyHash(table, 'k')}`;
}

/** Every alias of a control table that a merge under the lock uses: LOCK TABLES wants each (1100). */
export function locksOfSettling(table: TableSpec): { name: string; alias: string; mode: 'READ' }[] {
  return [{ name: control.settlement, alias: aliasOf(table, 'se'), mode: 'READ' }];
}

/** Whether anything of the pipeline is settled and not closed: mostly not, and then nothing is asked by key. @param table gives the alias */
export function anyPending(spec: RunSpec, table: TableSpec): Fragment {
  return sql`SELECT 1 AS found FROM ${id(control.settlement)} AS ${as(table, 'se')} WHERE pipeline = ${spec.pipeline} AND state = 'pending' LIMIT 1`;
}

/** Settlements that this run has not looked at; an operator may add some until the cut-over. */
export function untriedSettlements(spec: RunSpec, table: TableSpec, rowsMax: number): Fragment {
  return sql`SELECT id FROM ${id(control.settlement)}
WHERE pipeline = ${spec.pipeline} AND live = ${table.live} AND state = 'pending' AND (tried_in IS NULL OR tried_in <> ${spec.generation})
ORDER BY id LIMIT ${raw(String(rowsMax))}`;
}
export function markTried(spec: RunSpec, settlements: string[]): Fragment {
  return sql`UPDATE ${id(control.settlement)} SET tried_in = ${spec.generation} WHERE id IN (${list(settlements)})`;
}
export function markApplied(spec: RunSpec, settlements: string[]): Fragment {
  return sql`UPDATE ${id(control.settlement)} SET applied_in = ${spec.generation} WHERE id IN (${list(settlements)})`;
}
export function markNotApplied(settlements: string[]): Fragment {
  return sql`UPDATE ${id(control.settlement)} SET applied_in = NULL WHERE id IN (${list(settlements)})`;
}

/** A key value from canonical text, as it is assigned to its column. */
function assigned(column: LiveColumn, text: Fragment): Fragment {
  if (isBytes(column)) return sql`UNHEX(${text})`;
  return column.type === 'bit' ? sql`CAST(${text} AS UNSIGNED)` : text;
}

/** Fills the replay keys with the keys of rows of a control table, each once. @param which WHERE on that table's columns */
export function collectKeysOf(
  spec: RunSpec,
  table: TableSpec,
  from: 'settlement' | 'conflict',
  which: string[],
): Fragment[] {
  const values = keyColumns(table).map((column) =>
    assigned(
      column,
      sql`JSON_UNQUOTE(JSON_EXTRACT(ANY_VALUE(row_key), ${literal(`$.${JSON.stringify(column.name)}`)}))`,
    ),
  );
  return [
    sql`DELETE FROM ${replayKeys(spec, table)}`,
    sql`INSERT INTO ${replayKeys(spec, table)} (${keyNames(table)}) SELECT ${join(values)} FROM ${id(control[from])} WHERE id IN (${list(which)}) GROUP BY key_hash`,
  ];
}

/** All mapped values of a row as JSON, or NULL where there is no row. */
function rowJson(table: TableSpec, alias: string): Fragment {
  const columns = mappedNames(table).map((name) => columnNamed(table, name));
  return sql`IF(${absent(table, alias)}, NULL, ${jsonOf(table, columns, alias)})`;
}

/** Does a side still say what was shown? Values are strings in JSON, which MySQL compares by their bytes. */
function stillSays(shown: Fragment, now: Fragment): Fragment {
  return sql`IF(${shown} IS NULL, ${now} IS NULL, COALESCE(JSON_CONTAINS(${now}, ${shown}), 0))`;
}

/**
 * The pending settlements of the keys, in no order: whether they hold, that is, whether both sides still say what was shown, and
 * whether this run's stage has them. Those that the run before carried out are not pending any more. They are not sorted
 * here, since MySQL would sort the rows' values with them.
 */
export function settlementsOfKeys(spec: RunSpec, table: TableSpec): Fragment {
  const shape = shapeOf(spec, table);
  const holds = sql`(${at(table, 'se', 'kind')} = 'resync' OR (${stillSays(at(table, 'se', 'source_json'), rowJson(table, 'i'))} AND ${stillSays(at(table, 'se', 'live_json'), rowJson(table, 'l'))}))`;
  return sql`SELECT ${at(table, 'se', 'id')} AS id, HEX(${at(table, 'se', 'key_hash')}) AS key_hash, ${at(table, 'se', 'kind')} AS kind, ${at(table, 'se', 'side')} AS side,
  CAST(${at(table, 'se', 'columns_json')} AS CHAR) AS columns_json, ${at(table, 'se', 'applied_in')} IS NOT NULL AS applied, ${holds} AS holds,
  NOT (${absent(table, 'i')}) AS in_source, NOT (${absent(table, 'l')}) AS in_live
FROM ${replayKeys(spec, table)} AS ${as(table, 'k')} STRAIGHT_JOIN ${besideKeys(spec, table)}
LEFT JOIN ${id(shape.incoming)} AS ${as(table, 'i')} ON ${sameKey(table, 'i', 'k')}
LEFT JOIN ${id(table.live)} AS ${as(table, 'l')} ON ${sameKey(table, 'l', 'k')}
WHERE ${at(table, 'se', 'state')} = 'pending' AND (${at(table, 'se', 'applied_in')} IS NULL OR ${at(table, 'se', 'applied_in')} = ${spec.generation}) AND NOT ${isSetAside(spec, table, 'k')}`;
}

/**
 * Of settled rows to insert: those of which a parent is not in live. They wait until it is. A statement a foreign key; none for
 * a key over columns of the application's own, of which a new row has the defaults.
 */
export function withoutParent(spec: RunSpec, table: TableSpec, settlements: string[]): Fragment[] {
  const shape = shapeOf(spec, table);
  const keys = table.foreignKeys.filter((key) => incomingHas(spec, table, key.columns));
  return keys.map((key) => {
    const pairs = key.columns.map((column, index) => [column, key.parentColumns[index] ?? ''] as const);
    const given = join(
      pairs.map(([column]) => sql`${at(table, 'i', column)} IS NOT NULL`),
      ' AND ',
    );
    const isParent = join(
      pairs.map(([column, parent]) => sql`${col(id(key.parent).text, parent)} = ${at(table, 'i', column)}`),
      ' AND ',
    );
    return sql`SELECT ${at(table, 'se', 'id')} AS id FROM ${replayKeys(spec, table)} AS ${as(table, 'k')} STRAIGHT_JOIN ${besideKeys(spec, table)}
JOIN ${id(shape.incoming)} AS ${as(table, 'i')} ON ${sameKey(table, 'i', 'k')}
WHERE ${at(table, 'se', 'id')} IN (${list(settlements)}) AND ${given} AND NOT EXISTS (SELECT 1 FROM ${id(key.parent)} WHERE ${isParent})`;
  });
}

/** Of settled rows to delete: those to which a row of live still refers. They wait until none does. */
export function withChildren(spec: RunSpec, table: TableSpec, settlements: string[]): Fragment[] {
  return spec.tables.flatMap((child) =>
    child.foreignKeys
      .filter((key) => key.parent === table.live)
      .map((key) => {
        const refers = join(
          key.columns.map(
            (column, index) =>
              sql`${col(id(child.live).text, column)} = ${at(table, 'l', key.parentColumns[index] ?? '')}`,
          ),
          ' AND ',
        );
        return sql`SELECT ${at(table, 'se', 'id')} AS id FROM ${replayKeys(spec, table)} AS ${as(table, 'k')} STRAIGHT_JOIN ${besideKeys(spec, table)}
JOIN ${id(table.live)} AS ${as(table, 'l')} ON ${sameKey(table, 'l', 'k')}
WHERE ${at(table, 'se', 'id')} IN (${list(settlements)}) AND EXISTS (SELECT 1 FROM ${id(child.live)} WHERE ${refers})`;
      }),
  );
}

/**
 * Makes the rows of one decision anew in stage, from base, base_next and live.
 *
 * @param settlements one of each row that the decision is for: they name the keys
 * @param into where the merge of these keys has put their rows
 */
export function settleRows(
  spec: RunSpec,
  table: TableSpec,
  decision: Decision,
  settlements: string[],
  into: 'stage' | 'merged',
): Fragment[] {
  const shape = shapeOf(spec, table);
  const target = physical(spec, table, into);
  const role = into === 'merged' ? 'm' : 's';
  const held = physical(spec, table, 'heldBack');
  const among = sql`${besideKeys(spec, table)} AND ${at(table, 'se', 'id')} IN (${list(settlements)})`;
  const scope: Scope = { kind: 'keys', among };
  const keys = sql`FROM ${replayKeys(spec, table)} AS ${as(table, 'k')} STRAIGHT_JOIN ${among}`;
  const statements: Fragment[] = [];
  if (decision.row !== 'merge' || decision.units.length > 0)
    statements.push(
      sql`DELETE ${as(table, role)} ${keys} STRAIGHT_JOIN ${target} AS ${as(table, role)} ON ${sameKey(table, role, 'k')}`,
    );
  if (decision.row === 'merge' && decision.units.length > 0) {
    const sides = new Map(
      decision.units.flatMap(([unit, side]) =>
        (shape.units[unit]?.columns ?? []).map((name) => [name, side]),
      ),
    );
    const unitOf = new Map(shape.units.flatMap((unit) => unit.columns.map((name) => [name, unit] as const)));
    const values = writtenNames(table).map((name) => {
      const side = sides.get(name);
      if (side) return at(table, side === 'source' ? 'i' : 'l', name);
      const unit = unitOf.get(name);
      return unit ? mergedValue(spec, table, unit, name) : at(table, 'l', name);
    });
    statements.push(
      sql`INSERT INTO ${target} (${join(writtenNames(table).map(id))})\nSELECT ${join(values)}\n${incomingWithLive(spec, table, shape, scope, 'JOIN')}`,
    );
  }
  if (decision.row === 'insert') {
    const { newColumns } = shape;
    statements.push(
      sql`INSERT INTO ${target} (${join(newColumns.map(({ name }) => id(name)))})\nSELECT ${join(newColumns.map(({ value }) => value))}\n${keys} STRAIGHT_JOIN ${id(shape.incoming)} AS ${as(table, 'i')} ON ${sameKey(table, 'i', 'k')}`,
    );
  }
  if (decision.unhold)
    statements.push(
      sql`DELETE ${as(table, 'hk')} ${keys} STRAIGHT_JOIN ${held} AS ${as(table, 'hk')} ON ${sameKey(table, 'hk', 'k')}`,
    );
  return statements;
}

/** What stage makes of live: one row of counts, where settlements have changed what the merge has counted. */
export function countStaged(spec: RunSpec, table: TableSpec): Fragment {
  const stage = physical(spec, table, 'stage');
  const differs = (side: string) =>
    join(
      mappedNames(table).map(
        (name) => sql`NOT (${same(columnNamed(table, name), at(table, 's', name), at(table, side, name))})`,
      ),
      ' OR ',
    );
  const inLive = sql`NOT (${absent(table, 'l')})`;
  return sql`SELECT COALESCE(SUM(${absent(table, 'l')}), 0) AS inserted,
  COALESCE(SUM(${inLive} AND (${differs('l')})), 0) AS updated,
  COALESCE(SUM(${inLive} AND NOT (${absent(table, 'i')}) AND (${differs('i')})), 0) AS kept_live,
  (SELECT COUNT(*) FROM ${id(table.live)} AS ${as(table, 'c')} LEFT JOIN ${stage} AS ${as(table, 'p')} ON ${sameKey(table, 'p', 'c')} WHERE ${absent(table, 'p')}) AS deleted
FROM ${stage} AS ${as(table, 's')}
LEFT JOIN ${id(table.live)} AS ${as(table, 'l')} ON ${sameKey(table, 'l', 's')}
LEFT JOIN ${id(incomingOf(spec, table))} AS ${as(table, 'i')} ON ${sameKey(table, 'i', 's')}`;
}
export function anySettled(spec: RunSpec): Fragment {
  return sql`SELECT 1 AS found FROM ${id(control.settlement)} WHERE pipeline = ${spec.pipeline} AND state = 'pending' AND applied_in = ${spec.generation} LIMIT 1`;
}

/** Rows that a rule across the group takes as live has them are not settled by this run, whatever the merge had made of them. */
export function unsettleWork(spec: RunSpec, table: TableSpec): Fragment {
  return sql`UPDATE ${physical(spec, table, 'work')} AS ${as(table, 'w')}
STRAIGHT_JOIN ${id(control.settlement)} FORCE INDEX (by_key) ON pipeline = ${spec.pipeline} AND live = ${table.live} AND key_hash = ${keyHash(table, 'w')}
SET applied_in = NULL
WHERE state = 'pending' AND applied_in = ${spec.generation}`;
}

/** Closes what settlements decided, whichever run of the line carried them out. */
export function closeSettled(spec: RunSpec): Fragment {
  const e = (name: string) => col('e', name);
  const c = (name: string) => col('c', name);
  const shown = sql`${c('kind')} = ${e('kind')} AND ${c('columns_json')} = ${e('columns_json')} AND ${c('source_json')} <=> ${e('source_json')} AND ${c('live_json')} <=> ${e('live_json')}`;
  return sql`UPDATE ${id(control.conflict)} AS c JOIN ${id(control.settlement)} AS e
  ON ${e('pipeline')} = ${c('pipeline')} AND ${e('live')} = ${c('live')} AND ${e('key_hash')} = ${c('key_hash')}
SET ${c('state')} = 'settled', ${c('closed_in')} = ${spec.generation}
WHERE ${c('pipeline')} = ${spec.pipeline} AND ${c('state')} = 'open' AND ${e('applied_in')} <= ${spec.generation} AND ${c('generation')} <= ${e('applied_in')} AND (${e('kind')} IN ('resync', 'unique', 'check') OR (${shown}))`;
}

/** Closes older conflicts for which one of this run stands. What only keeps a row from being merged does not stand for one of the merge. */
export function closeReplaced(spec: RunSpec): Fragment {
  return sql`UPDATE ${id(control.conflict)} AS c JOIN ${id(control.conflict)} AS n
  ON n.pipeline = c.pipeline AND n.generation = ${spec.generation} AND n.live = c.live AND n.key_hash = c.key_hash
SET c.state = 'replaced', c.closed_in = ${spec.generation}
WHERE c.pipeline = ${spec.pipeline} AND c.state = 'open' AND c.generation < ${spec.generation}
  AND (n.kind = c.kind OR n.kind IN (${list(MERGE_KINDS)}))
  AND (JSON_CONTAINS(n.columns_json, c.columns_json) OR JSON_CONTAINS(c.columns_json, n.columns_json))`;
}

/** Closes what is about tables that the pipeline does not publish any more. */
export function closeOfOthers(spec: RunSpec): Fragment[] {
  const lives = list(spec.tables.map(({ live }) => live));
  const of = sql`pipeline = ${spec.pipeline} AND live NOT IN (${lives})`;
  return [
    sql`UPDATE ${id(control.conflict)} SET state = 'replaced', closed_in = ${spec.generation} WHERE ${of} AND state = 'open'`,
    sql`UPDATE ${id(control.settlement)} SET state = 'void', closed_in = ${spec.generation} WHERE ${of} AND state = 'pending'`,
  ];
}

export function openConflicts(spec: RunSpec, table: TableSpec, after: string, rowsMax: number): Fragment {
  return sql`SELECT id FROM ${id(control.conflict)} WHERE pipeline = ${spec.pipeline} AND state = 'open' AND live = ${table.live} AND id > ${after} ORDER BY id LIMIT ${raw(String(rowsMax))}`;
}

/** Conflicts of the keys that are over, and how: nothing is left to decide, since the sides agree or the row's case is another. */
export function overConflicts(spec: RunSpec, table: TableSpec, conflicts: string[]): Fragment {
  const shape = shapeOf(spec, table);
  const both = sql`NOT (${absent(table, 'i')}) AND NOT (${absent(table, 'l')})`;
  const agree = join(
    shape.units.map(
      (unit) =>
        sql`(c.columns_json = CAST(${JSON.stringify(unit.columns)} AS JSON) AND ${sameUnit(table, unit, 'i', 'l')})`,
    ),
    ' OR ',
    'FALSE',
  );
  const isUnit = join(
    shape.units.map((unit) => sql`c.columns_json = CAST(${JSON.stringify(unit.columns)} AS JSON)`),
    ' OR ',
    'FALSE',
  );
  const state = sql`CASE
    WHEN ${absent(table, 'i')} AND ${absent(table, 'l')} THEN 'agreed'
    WHEN c.kind = 'field' THEN CASE WHEN NOT (${both}) OR NOT (${isUnit}) THEN 'replaced' WHEN ${agree} THEN 'agreed' END
    WHEN c.kind = 'deletedInLive' THEN CASE WHEN ${absent(table, 'i')} THEN 'replaced' WHEN ${both} THEN 'agreed' END
    WHEN c.kind IN ('deletedAtSource', 'parent') THEN CASE WHEN ${absent(table, 'l')} THEN 'replaced' WHEN ${both} THEN 'agreed' END
    WHEN c.generation < ${spec.generation} THEN 'agreed' END`;
  return sql`SELECT c.id AS id, ${state} AS state
FROM ${replayKeys(spec, table)} AS ${as(table, 'k')}
STRAIGHT_JOIN ${id(control.conflict)} AS c FORCE INDEX (by_state) ON c.pipeline = ${spec.pipeline} AND c.state = 'open' AND c.live = ${table.live} AND c.key_hash = ${keyHash(table, 'k')}
LEFT JOIN ${id(shape.incoming)} AS ${as(table, 'i')} ON ${sameKey(table, 'i', 'k')}
LEFT JOIN ${id(table.live)} AS ${as(table, 'l')} ON ${sameKey(table, 'l', 'k')}
WHERE c.id IN (${list(conflicts)}) AND ${state} IS NOT NULL AND NOT ${isSetAside(spec, table, 'k')}`;
}
export function closeConflicts(spec: RunSpec, state: string, conflicts: string[]): Fragment {
  return sql`UPDATE ${id(control.conflict)} SET state = ${state}, closed_in = ${spec.generation} WHERE state = 'open' AND id IN (${list(conflicts)})`;
}

/** Settlements that stage has are carried out once it is live. */
export function closeApplied(spec: RunSpec): Fragment {
  return sql`UPDATE ${id(control.settlement)} SET state = 'applied', closed_in = ${spec.generation} WHERE pipeline = ${spec.pipeline} AND state = 'pending' AND applied_in <= ${spec.generation}`;
}
export function pendingSettlements(
  spec: RunSpec,
  table: TableSpec,
  after: string,
  rowsMax: number,
): Fragment {
  return sql`SELECT id FROM ${id(control.settlement)} WHERE pipeline = ${spec.pipeline} AND state = 'pending' AND live = ${table.live} AND id > ${after} ORDER BY id LIMIT ${raw(String(rowsMax))}`;
}
export function closeVoid(spec: RunSpec, settlements: string[]): Fragment {
  return sql`UPDATE ${id(control.settlement)} SET state = 'void', closed_in = ${spec.generation} WHERE state = 'pending' AND applied_in IS NULL AND id IN (${list(settlements)})`;
}

/**
 * Takes back what runs did to conflicts and settlements that are no part of the line any more: rolled back, or dead
 * before their swap. The tables decide: only generations up to the published one stand.
 *
 * @param at     the published generation
 * @param before the run that asks
 * @param except generations that are not gone: a rollback has found its conflicts in live as it is
 */
export function takeBackSince(
  pipeline: string,
  at: number,
  before: number,
  except: number[] = [],
): Fragment[] {
  const gone = goneSince(at, before, except);
  return [
    sql`UPDATE ${id(control.settlement)} SET state = 'applied', closed_in = applied_in WHERE pipeline = ${pipeline} AND state = 'pending' AND applied_in <= ${at}`,
    sql`UPDATE ${id(control.settlement)} SET state = 'pending', applied_in = NULL, closed_in = NULL
WHERE pipeline = ${pipeline} AND ((${gone('applied_in')}) OR (${gone('closed_in')})) AND state IN ('pending', 'applied', 'void')`,
    sql`UPDATE ${id(control.conflict)} SET state = 'undone' WHERE pipeline = ${pipeline} AND ${gone('generation')}`,
    sql`UPDATE ${id(control.conflict)} SET state = 'open', closed_in = NULL WHERE pipeline = ${pipeline} AND generation <= ${at} AND ${gone('closed_in')}`,
  ];
}

/**
 * Counts what `takeBackSince` would take back, a statement each of settlements and conflicts.
 */
export function countSince(pipeline: string, at: number, before: number, except: number[]): Fragment[] {
  const gone = goneSince(at, before, except);
  return [
    sql`SELECT COUNT(*) AS n FROM ${id(control.settlement)} WHERE pipeline = ${pipeline} AND ((${gone('applied_in')}) OR (${gone('closed_in')})) AND state IN ('pending', 'applied', 'void')`,
    sql`SELECT COUNT(*) AS n FROM ${id(control.conflict)} WHERE pipeline = ${pipeline} AND ((state <> 'undone' AND ${gone('generation')}) OR (generation <= ${at} AND ${gone('closed_in')}))`,
  ];
}

function goneSince(at: number, before: number, except: number[]): (name: string) => Fragment {
  const others = list([0, ...except]);
  return (name) => sql`${id(name)} > ${at} AND ${id(name)} < ${before} AND ${id(name)} NOT IN (${others})`;
}

/** Compensation: what a run that ends before its swap has carried out is pending again. */
export function takeBackRun(spec: Pick<RunSpec, 'pipeline' | 'generation'>): Fragment {
  return sql`UPDATE ${id(control.settlement)} SET applied_in = NULL WHERE pipeline = ${spec.pipeline} AND state = 'pending' AND applied_in = ${spec.generation}`;
}
