import { bytesMax } from '../model/live-type.js';
import { control, physicalTable } from '../model/names.js';
import {
  type LiveColumn,
  type MergeUnit,
  mappedNames,
  type RunSpec,
  type TableSpec,
  writtenNames,
} from '../model/spec.js';
import {
  asText,
  at,
  inRange,
  type KeyText,
  keyColumns,
  keyHash,
  same,
  sameKey,
  storable,
} from './columns.js';
import {
  absent,
  as,
  changedAtSource,
  columnNamed,
  editedSince,
  firstRunDecides,
  isSetAside,
  keyNames,
  keyOf,
  neverHasBase,
  physical,
  type Shape,
  sameUnit,
  shapeOf,
  shownOfBase,
  unitHasBase,
} from './shape.js';
import { type Fragment, id, join, literal, raw, sql } from './text.js';

/**
 * The three-way merge, in sets. One shape serves publishing and rollback:
 *
 * | | incoming `i` | ancestor `a` | live `l` |
 * |---|---|---|---|
 * | publish | baseNext: the source now | the base: the source when live was last published | live |
 * | rollback | the backup | rows as published, stored at their first touch since | live |
 * | rollback to an older backup | that backup | none: it takes the backup as it is | live |
 *
 * The merge reads only these and writes stage; it never reads stage, so merging again gives the same answer (I3).
 * INSERT … SELECT reads live without locks in READ COMMITTED, so clients are not blocked.
 */

/** Which rows a merge covers: a half-open key range, or the keys that were collected into the table of replay keys. */
export type Scope =
  | { kind: 'range'; from: KeyText; to: KeyText }
  | {
      kind: 'keys';
      /** of these only the keys in a range: others are being merged beside them */
      within?: { from: KeyText; to: KeyText };
      /** what further narrows the keys: a table with its ON, joined right behind them */
      among?: Fragment;
    };

/**
 * The merged value of one column, for a row that both sides have.
 *
 * @param read how a side's value is read; by default as it is stored
 */
export function mergedValue(
  spec: RunSpec,
  table: TableSpec,
  unit: MergeUnit,
  name: string,
  read: (column: LiveColumn, value: Fragment) => Fragment = storable,
): Fragment {
  const column = columnNamed(table, name);
  const incoming = read(column, at(table, 'i', name));
  const live = read(column, at(table, 'l', name));
  if (spec.restores !== undefined) return incoming;
  if (spec.kind === 'rollback') {
    return sql`CASE WHEN ${absent(table, 'a')} THEN ${incoming} WHEN ${at(table, 'a', '_ss_existed')} = 1 AND ${sameUnit(table, unit, 'l', 'a')} THEN ${incoming} ELSE ${live} END`;
  }
  const first = spec.firstRun === 'source' ? incoming : live;
  if (!shapeOf(spec, table).ancestor) {
    if (unit.owner !== 'merge') return unit.owner === 'source' ? incoming : live;
    return first;
  }
  // No base of the row although there was a publish: both sides made the same key. Live stays as it is (conflict sameKey).
  if (unit.owner === 'live') return live;
  if (unit.owner === 'source') return sql`CASE WHEN ${absent(table, 'a')} THEN ${live} ELSE ${incoming} END`;
  if (neverHasBase(table, unit)) return sql`CASE WHEN ${absent(table, 'a')} THEN ${live} ELSE ${first} END`;
  const hasBase = unitHasBase(table, unit);
  return unit.onConflict === 'live'
    ? sql`CASE WHEN ${absent(table, 'a')} THEN ${live} WHEN NOT ${hasBase} THEN ${first} WHEN ${sameUnit(table, unit, 'l', 'a')} THEN ${incoming} ELSE ${live} END`
    : sql`CASE WHEN ${absent(table, 'a')} THEN ${live} WHEN NOT ${hasBase} THEN ${first} WHEN ${sameUnit(table, unit, 'i', 'a')} THEN ${live} ELSE ${incoming} END`;
}

function joinAncestor(shape: Shape, table: TableSpec, other: string): Fragment {
  if (!shape.ancestor) return raw('');
  return sql`\nLEFT JOIN ${id(shape.ancestor)} AS ${as(table, 'a')} ON ${sameKey(table, 'a', other)}`;
}

/** FROM … for the scope: the driving alias, behind the replay keys where those decide. */
function from(spec: RunSpec, table: TableSpec, name: string, alias: string, scope: Scope): Fragment {
  return scope.kind === 'range'
    ? sql`FROM ${id(name)} AS ${as(table, alias)}`
    : sql`FROM ${physical(spec, table, 'replayKeys')} AS ${as(table, 'k')}${scope.among ? sql` STRAIGHT_JOIN ${scope.among}` : raw('')} STRAIGHT_JOIN ${id(name)} AS ${as(table, alias)} ON ${sameKey(table, alias, 'k')}`;
}
function within(table: TableSpec, alias: string, scope: Scope): Fragment {
  if (scope.kind === 'range') return inRange(table, alias, scope.from, scope.to);
  return scope.within ? inRange(table, 'k', scope.within.from, scope.within.to) : raw('TRUE');
}

/** WHERE of a row of live that the incoming side does not have, and that stays. */
export function liveOnlyStays(spec: RunSpec, table: TableSpec, shape: Shape): Fragment {
  if (spec.restores !== undefined) return raw('FALSE');
  if (spec.kind === 'rollback') return sql`NOT (${absent(table, 'a')})`;
  if (!shape.ancestor || table.onSourceDelete === 'keep') return raw('TRUE');
  return sql`(${absent(table, 'a')} OR ${editedSince(table, shape)})`;
}

/** WHERE of an incoming row that live does not have, and that becomes a row. */
function newRowComes(spec: RunSpec, table: TableSpec, shape: Shape): Fragment {
  if (spec.restores !== undefined) return raw('TRUE');
  if (spec.kind === 'rollback') return absent(table, 'a');
  if (!shape.ancestor || table.onLiveDelete === 'restore') return raw('TRUE');
  return absent(table, 'a');
}

export function incomingWithLive(
  spec: RunSpec,
  table: TableSpec,
  shape: Shape,
  scope: Scope,
  joinLive: string,
): Fragment {
  return sql`${from(spec, table, shape.incoming, 'i', scope)}
${raw(joinLive)} ${id(table.live)} AS ${as(table, 'l')} ON ${sameKey(table, 'l', 'i')}${joinAncestor(shape, table, 'i')}`;
}
function liveWithoutIncoming(spec: RunSpec, table: TableSpec, shape: Shape, scope: Scope): Fragment {
  return sql`${from(spec, table, table.live, 'l', scope)}
LEFT JOIN ${id(shape.incoming)} AS ${as(table, 'i')} ON ${sameKey(table, 'i', 'l')}${joinAncestor(shape, table, 'l')}`;
}

/**
 * Merges one scope into a table like live: rows of both sides field by field, rows new to live, rows that only live has.
 * The three are disjoint by their join conditions; run them in one transaction.
 */
export function mergeInto(
  spec: RunSpec,
  table: TableSpec,
  scope: Scope,
  into: 'stage' | 'merged',
): Record<'both' | 'incomingOnly' | 'liveOnly', Fragment> {
  const shape = shapeOf(spec, table);
  const target = physical(spec, table, into);
  const all = writtenNames(table);
  const unitOf = new Map(shape.units.flatMap((unit) => unit.columns.map((name) => [name, unit] as const)));
  const merged = all.map((name) => {
    const unit = unitOf.get(name);
    return unit ? mergedValue(spec, table, unit, name) : at(table, 'l', name);
  });
  const insert = (names: string[], values: Fragment[], rest: Fragment) =>
    sql`INSERT INTO ${target} (${join(names.map(id))})\nSELECT ${join(values)}\n${rest}`;
  return {
    both: insert(
      all,
      merged,
      sql`${incomingWithLive(spec, table, shape, scope, 'JOIN')}\nWHERE ${within(table, 'i', scope)}`,
    ),
    incomingOnly: insert(
      shape.newColumns.map(({ name }) => name),
      shape.newColumns.map(({ value }) => value),
      sql`${incomingWithLive(spec, table, shape, scope, 'LEFT JOIN')}\nWHERE ${within(table, 'i', scope)} AND ${absent(table, 'l')} AND ${newRowComes(spec, table, shape)}`,
    ),
    liveOnly: insert(
      all,
      all.map((name) => at(table, 'l', name)),
      sql`${liveWithoutIncoming(spec, table, shape, scope)}\nWHERE ${within(table, 'l', scope)} AND ${absent(table, 'i')} AND ${liveOnlyStays(spec, table, shape)}`,
    ),
  };
}

/** Both sides made the key since the last publish, and do not say the same of it. */
export function madeTwice(table: TableSpec, shape: Shape): Fragment {
  const agree = join(
    shape.units.map((unit) => sameUnit(table, unit, 'i', 'l')),
    ' AND ',
    'TRUE',
  );
  return sql`${absent(table, 'a')} AND NOT (${agree})`;
}

/** Source rows whose key both sides made: live's row stays, and the source's gets no base, so that it is tried again. */
export function recordHeldBack(spec: RunSpec, table: TableSpec, scope: Scope): Fragment | null {
  const shape = shapeOf(spec, table);
  if (spec.kind === 'rollback' || !shape.ancestor) return null;
  return sql`INSERT INTO ${physical(spec, table, 'heldBack')} (${keyNames(table)}, _ss_reason, _ss_keeps_base)
SELECT ${keyOf(table, 'i')}, 'sameKey', 0
${incomingWithLive(spec, table, shape, scope, 'JOIN')}
WHERE ${within(table, 'i', scope)} AND ${madeTwice(table, shape)}`;
}

/** Takes keys out of stage, held-back rows and conflicts, so that they are merged afresh. */
export function forget(
  spec: RunSpec,
  table: TableSpec,
  which: 'replayKeys' | 'work',
): Record<'stage' | 'heldBack' | 'conflicts', Fragment> {
  const role = which === 'work' ? 'w' : 'k';
  const keys = sql`${physical(spec, table, which)} AS ${as(table, role)}`;
  const stage = physical(spec, table, 'stage');
  const held = physical(spec, table, 'heldBack');
  return {
    stage: sql`DELETE ${as(table, 's')} FROM ${keys} STRAIGHT_JOIN ${stage} AS ${as(table, 's')} ON ${sameKey(table, 's', role)}`,
    heldBack: sql`DELETE ${as(table, 'hk')} FROM ${keys} STRAIGHT_JOIN ${held} AS ${as(table, 'hk')} ON ${sameKey(table, 'hk', role)} WHERE ${at(table, 'hk', '_ss_reason')} <> 'bad'`,
    conflicts: sql`DELETE ${id(control.conflict)}
FROM ${keys}
STRAIGHT_JOIN ${id(control.conflict)} FORCE INDEX (by_key) ON pipeline = ${spec.pipeline}
AND generation = ${spec.generation} AND live = ${table.live} AND key_hash = ${keyHash(table, role)}`,
  };
}

/** Conditions under which a row of a join is a conflict, by kind; the same for finding, counting and recording. */
function conflictsOf(table: TableSpec, shape: Shape) {
  const both = sql`NOT (${absent(table, 'l')}) AND NOT (${absent(table, 'a')})`;
  return {
    field: shape.units
      .filter((unit) => unit.owner === 'merge' && !neverHasBase(table, unit))
      .map((unit) => ({
        unit,
        when: sql`${both} AND ${unitHasBase(table, unit)} AND NOT (${sameUnit(table, unit, 'i', 'l')}) AND NOT (${sameUnit(table, unit, 'l', 'a')}) AND NOT (${sameUnit(table, unit, 'i', 'a')})`,
      })),
    sameKey: sql`NOT (${absent(table, 'l')}) AND ${madeTwice(table, shape)}`,
    deletedInLive: sql`${absent(table, 'l')} AND NOT (${absent(table, 'a')}) AND ${changedAtSource(table, shape)}`,
    deletedAtSource: sql`NOT (${absent(table, 'a')}) AND ${editedSince(table, shape)}`,
  };
}

/** Any conflict of a row that the incoming side has. */
function anyIncomingConflict(spec: RunSpec, table: TableSpec, shape: Shape): Fragment {
  if (!shape.ancestor || spec.kind === 'rollback') return raw('FALSE');
  const { field, sameKey, deletedInLive } = conflictsOf(table, shape);
  return join(
    [...field.map(({ when }) => when), sameKey, deletedInLive].map((when) => sql`(${when})`),
    ' OR ',
  );
}

/** Collects the keys of a scope's conflicts as work, so that they are recorded from few rows and not by scans of all. */
export function collectConflictKeys(spec: RunSpec, table: TableSpec, scope: Scope): Fragment[] {
  const shape = shapeOf(spec, table);
  if (!shape.ancestor || spec.kind === 'rollback') return [];
  const into = (alias: string, rest: Fragment) =>
    sql`INSERT IGNORE INTO ${physical(spec, table, 'work')} (${keyNames(table)}) SELECT ${keyOf(table, alias)}\n${rest}`;
  return [
    into(
      'i',
      sql`${incomingWithLive(spec, table, shape, scope, 'LEFT JOIN')}\nWHERE ${within(table, 'i', scope)} AND (${anyIncomingConflict(spec, table, shape)})`,
    ),
    into(
      'l',
      sql`${liveWithoutIncoming(spec, table, shape, scope)}\nWHERE ${within(table, 'l', scope)} AND ${absent(table, 'i')} AND ${conflictsOf(table, shape).deletedAtSource}`,
    ),
  ];
}

/** One kind of conflict with the values of the sides that have the row, as canonical text. */
function recordConflict(
  spec: RunSpec,
  table: TableSpec,
  conflict: {
    kind: string;
    keyAlias: string;
    names: string[];
    sides: string[];
    rest: Fragment;
    detail?: Fragment;
  },
): Fragment {
  const { kind, keyAlias, names, sides, rest, detail = raw('NULL') } = conflict;
  const columns = (alias: string) =>
    (alias === 'a' ? shownOfBase(table, names) : names).map((name) => columnNamed(table, name));
  const side = (alias: string) =>
    sides.includes(alias)
      ? sql`IF(${absent(table, alias)}, NULL, ${jsonOf(table, columns(alias), alias)})`
      : raw('NULL');
  return sql`INSERT INTO ${id(control.conflict)} (pipeline, generation, live, row_key, key_hash, kind, columns_json, base_json, source_json, live_json, detail, found_at)
SELECT ${spec.pipeline}, ${spec.generation}, ${table.live}, ${keyJson(table, keyAlias)}, ${keyHash(table, keyAlias)}, ${kind}, CAST(${JSON.stringify(names)} AS JSON), ${side('a')}, ${side('i')}, ${side('l')}, ${detail}, UTC_TIMESTAMP(6)
${rest}`;
}

/**
 * A conflict of whole rows, found by a rule across the group: of every work key, with what each side says. A parent is
 * one only where the merge took its row away; a new row of the application's own may just not have been merged yet.
 *
 * @param range of these work keys only
 */
export function recordRowConflict(
  spec: RunSpec,
  table: TableSpec,
  kind: string,
  range?: { from: KeyText; to: KeyText },
): Fragment | null {
  const shape = shapeOf(spec, table);
  if (kind === 'parent' && !shape.ancestor) return null;
  const takenAway = spec.kind === 'publish' ? sql`NOT (${absent(table, 'a')})` : absent(table, 'a');
  const beside = (name: string, role: string) =>
    sql`LEFT JOIN ${id(name)} AS ${as(table, role)} ON ${sameKey(table, role, 'w')}`;
  const bad = kind === 'bad';
  return recordConflict(spec, table, {
    kind: bad ? 'badValue' : kind,
    detail: bad ? at(table, 'h', '_ss_detail') : raw('NULL'),
    keyAlias: 'w',
    names: mappedNames(table),
    sides: shape.ancestor && spec.kind === 'publish' ? ['a', 'i', 'l'] : ['i', 'l'],
    rest: sql`FROM ${physical(spec, table, 'work')} AS ${as(table, 'w')}
${beside(shape.incoming, 'i')}
${beside(table.live, 'l')}
${shape.ancestor ? beside(shape.ancestor, 'a') : raw('')}
${bad ? beside(physicalTable(spec.generation, 'heldBack', table.live), 'h') : raw('')}
WHERE ${kind === 'parent' ? takenAway : raw('TRUE')}${range ? sql` AND ${inRange(table, 'w', range.from, range.to)}` : raw('')}`,
  });
}

/** Conflicts of a scope with all three values, for people: one statement a merge unit, and one a row case. */
export function recordConflicts(spec: RunSpec, table: TableSpec, scope: Scope): Fragment[] {
  const shape = shapeOf(spec, table);
  if (!shape.ancestor || spec.kind === 'rollback') return [];
  const insert = (kind: string, keyAlias: string, names: string[], sides: string[], rest: Fragment) =>
    recordConflict(spec, table, { kind, keyAlias, names, sides, rest });
  const everything = mappedNames(table);
  const { field, sameKey, deletedInLive, deletedAtSource } = conflictsOf(table, shape);
  const among = (joinLive: string, when: Fragment) =>
    sql`${incomingWithLive(spec, table, shape, scope, joinLive)}\nWHERE ${within(table, 'i', scope)} AND ${when}`;
  return [
    ...field.map(({ unit, when }) =>
      insert('field', 'l', unit.columns, ['a', 'i', 'l'], among('JOIN', when)),
    ),
    insert('sameKey', 'l', everything, ['i', 'l'], among('JOIN', sameKey)),
    insert('deletedInLive', 'i', everything, ['a', 'i'], among('LEFT JOIN', deletedInLive)),
    insert(
      'deletedAtSource',
      'l',
      everything,
      ['a', 'l'],
      sql`${liveWithoutIncoming(spec, table, shape, scope)}\nWHERE ${within(table, 'l', scope)} AND ${absent(table, 'i')} AND ${deletedAtSource}`,
    ),
  ];
}

/** What a merge does, counted: one row a statement, by the state of live that it sees; whatever changes later is in the log. */
export function countMerge(
  spec: RunSpec,
  table: TableSpec,
  scope: Scope,
): { incoming: Fragment; liveOnly: Fragment } {
  const shape = shapeOf(spec, table);
  const both = sql`NOT (${absent(table, 'l')})`;
  const values = shape.units.flatMap((unit) =>
    unit.columns.map((name) => ({ name, value: mergedValue(spec, table, unit, name, (_, value) => value) })),
  );
  const differs = (side: string) =>
    join(
      values.map(
        ({ name, value }) => sql`NOT (${same(columnNamed(table, name), value, at(table, side, name))})`,
      ),
      ' OR ',
      'FALSE',
    );
  const decided = shape.units.flatMap((unit) => {
    const decides = firstRunDecides(spec, table, unit);
    return decides ? [sql`(${decides} AND NOT (${sameUnit(table, unit, 'i', 'l')}))`] : [];
  });
  // No row pays for the question where nothing can have been set aside.
  const noneSetAside = spec.badRows === 'stop' || spec.kind === 'rollback';
  const setAside = noneSetAside ? raw('FALSE') : isSetAside(spec, table, 'l');
  return {
    incoming: sql`SELECT COUNT(*) AS incoming,
  COALESCE(SUM(${both}), 0) AS in_both,
  COALESCE(SUM(${absent(table, 'l')} AND ${newRowComes(spec, table, shape)}), 0) AS inserted,
  COALESCE(SUM(${both} AND (${differs('l')})), 0) AS updated,
  COALESCE(SUM(${both} AND (${differs('i')})), 0) AS kept_live,
  COALESCE(SUM(IF(${both}, ${join(decided, ' + ', '0')}, 0)), 0) AS by_first_run,
  COALESCE(SUM(${anyIncomingConflict(spec, table, shape)}), 0) AS conflicts
${incomingWithLive(spec, table, shape, scope, 'LEFT JOIN')}
WHERE ${within(table, 'i', scope)}`,
    liveOnly: sql`SELECT COALESCE(SUM(NOT ${liveOnlyStays(spec, table, shape)} AND NOT ${setAside}), 0) AS deleted,
  COALESCE(SUM(${shape.ancestor && spec.kind === 'publish' ? conflictsOf(table, shape).deletedAtSource : raw('FALSE')}), 0) AS conflicts
${liveWithoutIncoming(spec, table, shape, scope)}
WHERE ${within(table, 'l', scope)} AND ${absent(table, 'i')}`,
  };
}

/** Bytes of a value that are shown at most, and of all values of a row that may be longer: far below any max_allowed_packet. */
const SHOWN_BYTES_MAX = 65_536;
const SHOWN_BYTES_OF_ROW_MAX = 262_144;
const isLong = (column: LiveColumn) =>
  column.type === 'json' || (bytesMax(column) ?? 0) >= SHOWN_BYTES_MAX - 1;

/**
 * Values as a JSON object of canonical texts, for people, and for settlements, which are bound to it. Of a value that is too long
 * to show it says the length and a digest: MySQL makes no JSON longer than max_allowed_packet, and HEX gives NULL there (9.7.4).
 */
export function jsonOf(table: TableSpec, columns: LiveColumn[], alias: string): Fragment {
  const all = [...table.columns.map(({ live }) => live), ...table.unmapped];
  const bytes = Math.floor(SHOWN_BYTES_OF_ROW_MAX / Math.max(1, all.filter(isLong).length));
  const shown = (column: LiveColumn) => {
    const value = at(table, alias, column.name);
    if (!isLong(column)) return asText(column, value);
    return sql`IF(LENGTH(${value}) > ${raw(String(Math.min(SHOWN_BYTES_MAX, bytes)))}, CONCAT('too long to show: ', LENGTH(${value}), ' bytes, SHA-256 ', SHA2(${value}, 256)), ${asText(column, value)})`;
  };
  return sql`JSON_OBJECT(${join(columns.map((column) => sql`${literal(column.name)}, ${shown(column)}`))})`;
}
export function keyJson(table: TableSpec, alias: string): Fragment {
  return jsonOf(table, keyColumns(table), alias);
}
