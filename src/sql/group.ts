import { physicalTable, type TableKind } from '../model/names.js';
import {
  type ForeignKey,
  hasChecks,
  mappedNames,
  type RunSpec,
  type TableSpec,
  tableOf,
  writtenNames,
} from '../model/spec.js';
import { aliasOf, at, keyColumns, keyValue, sameKey } from './columns.js';
import { forget, recordRowConflict } from './merge.js';
import { ancestorOf, as, incomingOf, isHeldBack, keyNames, keyOf, physical } from './shape.js';
import { type Fragment, id, join, raw, sql } from './text.js';

/**
 * The rules across the group: what the merge of single rows cannot see. Each rule finds keys and puts them into the
 * table's work keys; an action then takes those rows as live has them. Rules look at all of stage after reconcile, and
 * at the replayed keys in a replay.
 *
 * @see test/merge/group-cases.ts, their specification; ARCHITECTURE "Merge and rules"
 */
export type Within = 'all' | 'keys';

/**
 * Which children a rule looks at: all of stage; in a replay the replayed ones, those of replayed parents, or, where a
 * parent is not named by its key, all that are in stage beside the replayed ones.
 */
export type Children = Within | 'childrenOfKeys' | 'besideKeys';

/** Why a source's row is not published, or a row of live stays: the kind of its conflict. */
export type GroupConflict = 'parent' | 'orphan' | 'unique' | 'check' | 'bad';

const firstOf = (table: TableSpec, role: string) => at(table, role, table.key[0] ?? '');

/**
 * Puts the keys that a rule finds into the table's work keys. Repeatable: a key that is there stays.
 *
 * @param select of the key's columns, in key order
 */
export function collectWork(spec: RunSpec, table: TableSpec, select: Fragment): Fragment {
  return sql`INSERT IGNORE INTO ${physical(spec, table, 'work')} (${keyNames(table)}) ${select}`;
}

/** As `collectWork`, into the replay keys: these rows are merged again, too. */
export function replayToo(spec: RunSpec, table: TableSpec, select: Fragment): Fragment {
  return sql`INSERT IGNORE INTO ${physical(spec, table, 'replayKeys')} (${keyNames(table)}) ${select}`;
}

/** `parent.referenced = child.referencing`, column by column. */
export function refers(
  parent: TableSpec,
  parentRole: string,
  child: TableSpec,
  childRole: string,
  key: ForeignKey,
): Fragment {
  return join(
    key.columns.map(
      (column, index) =>
        sql`${at(parent, parentRole, key.parentColumns[index] ?? '')} = ${at(child, childRole, column)}`,
    ),
    ' AND ',
  );
}

/** A replay's rows wait in `merged` where unique indexes or CHECK constraints of stage could refuse them, until all rules are done. */
export function waitsInMerged(table: TableSpec): boolean {
  return table.uniqueIndexes.length > 0 || hasChecks(table);
}

/** Where the children are that a rule looks at, and the role that they have there. */
function childrenOf(
  spec: RunSpec,
  table: TableSpec,
  key: ForeignKey,
  children: Children,
): { role: string; from: Fragment } {
  const parent = tableOf(spec, key.parent);
  const inStage = sql`${physical(spec, table, 'stage')} AS ${as(table, 'c')}`;
  const keys = (of: TableSpec) => sql`${physical(spec, of, 'replayKeys')} AS ${as(of, 'k')}`;
  if (children === 'all' || children === 'besideKeys') return { role: 'c', from: inStage };
  if (children === 'childrenOfKeys')
    return {
      role: 'c',
      from: sql`${keys(parent)} STRAIGHT_JOIN ${inStage} ON ${refers(parent, 'k', table, 'c', key)}`,
    };
  return waitsInMerged(table)
    ? { role: 'm', from: sql`${physical(spec, table, 'merged')} AS ${as(table, 'm')}` }
    : { role: 'c', from: sql`${keys(table)} STRAIGHT_JOIN ${inStage} ON ${sameKey(table, 'c', 'k')}` };
}

/** Children whose parent is not in stage, nor on its way there in a replay. */
function parentless(
  spec: RunSpec,
  table: TableSpec,
  key: ForeignKey,
  children: Children,
): { role: string; from: Fragment; where: Fragment } {
  const parent = tableOf(spec, key.parent);
  const { role, from } = childrenOf(spec, table, key, children);
  const places: [string, 'stage' | 'merged'][] =
    children !== 'all' && waitsInMerged(parent)
      ? [
          ['p', 'stage'],
          ['n', 'merged'],
        ]
      : [['p', 'stage']];
  const parents = places.map(
    ([parentRole, kind]) =>
      sql`LEFT JOIN ${physical(spec, parent, kind)} AS ${as(parent, parentRole)} ON ${refers(parent, parentRole, table, role, key)}`,
  );
  return {
    role,
    from: sql`FROM ${from} ${join(parents, ' ')}`,
    where: join(
      [
        ...key.columns.map((column) => sql`${at(table, role, column)} IS NOT NULL`),
        ...places.map(([parentRole]) => sql`${at(parent, parentRole, key.parentColumns[0] ?? '')} IS NULL`),
      ],
      ' AND ',
    ),
  };
}

/** Does the key refer to columns of the parent's primary key, so that a replayed key alone finds its children? */
export function refersToKey(spec: RunSpec, key: ForeignKey): boolean {
  const parent = tableOf(spec, key.parent);
  return key.parentColumns.every((column) => parent.key.includes(column));
}

/** Does the incoming side say these columns? A source does not know those that are the application's own; a backup has all. */
export function incomingHas(spec: RunSpec, table: TableSpec, columns: string[]): boolean {
  return spec.kind === 'rollback' || columns.every((column) => mappedNames(table).includes(column));
}

/** Parents that are in live and not in stage although stage has a child of theirs: gone at the source, and still needed. */
export function findParentsToKeep(
  spec: RunSpec,
  table: TableSpec,
  key: ForeignKey,
  children: Children,
): Fragment {
  const parent = tableOf(spec, key.parent);
  const { role, from, where } = parentless(spec, table, key, children);
  return collectWork(
    spec,
    parent,
    sql`SELECT DISTINCT ${keyOf(parent, 'l')} ${from} JOIN ${id(parent.live)} AS ${as(parent, 'l')} ON ${refers(parent, 'l', table, role, key)} WHERE ${where}`,
  );
}

/**
 * Rows of stage whose parent the incoming side has, but stage has not: it stays deleted in live, or is held back. A
 * parent that neither side has is the source's own mistake, and is refused elsewhere.
 *
 * @returns null where the incoming side cannot say it, since the key refers to columns of the application's own: a row of
 *   live has its parent in live, which is kept for it, and a new row has such a parent only by its default
 */
export function findOrphansToHold(
  spec: RunSpec,
  table: TableSpec,
  key: ForeignKey,
  children: Children,
): Fragment | null {
  const parent = tableOf(spec, key.parent);
  if (!incomingHas(spec, parent, key.parentColumns)) return null;
  const { role, from, where } = parentless(spec, table, key, children);
  // Of a row that was set aside its key alone is known: by other columns each of them may be the parent.
  const mayBeParent = refersToKey(spec, key)
    ? refers(parent, 'hk', table, role, key)
    : sql`${at(parent, 'hk', '_ss_reason')} = 'bad'`;
  const orSetAside =
    spec.badRows === 'quarantine'
      ? sql` OR EXISTS (SELECT 1 FROM ${physical(spec, parent, 'heldBack')} AS ${as(parent, 'hk')} WHERE ${mayBeParent})`
      : raw('');
  return collectWork(
    spec,
    table,
    sql`SELECT DISTINCT ${keyOf(table, role)}
${from}
LEFT JOIN ${id(incomingOf(spec, parent))} AS ${as(parent, 'i')} ON ${refers(parent, 'i', table, role, key)}
WHERE ${where} AND (${firstOf(parent, 'i')} IS NOT NULL${orSetAside}) AND NOT ${isHeldBack(spec, table, role)}`,
  );
}

/**
 * New rows whose parent both sides made: the parent's row in live is the application's own, and not the one that the
 * source's child belongs to.
 */
export function findChildrenOfSameKey(
  spec: RunSpec,
  table: TableSpec,
  key: ForeignKey,
  children: Children,
): Fragment {
  const parent = tableOf(spec, key.parent);
  const { role, from } = childrenOf(spec, table, key, children);
  const held = sql`${physical(spec, parent, 'heldBack')} AS ${as(parent, 'h')} ON ${refers(parent, 'h', table, role, key)}`;
  return collectWork(
    spec,
    table,
    sql`SELECT DISTINCT ${keyOf(table, role)}
FROM ${from}
JOIN ${held}
LEFT JOIN ${id(table.live)} AS ${as(table, 'l')} ON ${sameKey(table, 'l', role)}
WHERE ${at(parent, 'h', '_ss_reason')} = 'sameKey' AND ${firstOf(table, 'l')} IS NULL`,
  );
}

/** Rows that ingest has set aside; in a replay, the replayed ones of them. */
export function findBadRows(spec: RunSpec, table: TableSpec, within: Within): Fragment {
  const held = sql`${physical(spec, table, 'heldBack')} AS ${as(table, 'h')}`;
  const from =
    within === 'all'
      ? held
      : sql`${physical(spec, table, 'replayKeys')} AS ${as(table, 'k')} STRAIGHT_JOIN ${held} ON ${sameKey(table, 'h', 'k')}`;
  return collectWork(
    spec,
    table,
    sql`SELECT ${keyOf(table, 'h')} FROM ${from} WHERE ${at(table, 'h', '_ss_reason')} = 'bad'`,
  );
}

/**
 * Acts on the work keys: the source's rows are not published, live's rows, if any, stay as they are.
 * @param into where live's rows go: a replay collects its rows in `merged` before they go into stage
 */
export function keepAsLive(
  spec: RunSpec,
  table: TableSpec,
  kind: GroupConflict,
  into: 'stage' | 'merged',
): Fragment[] {
  const work = sql`${physical(spec, table, 'work')} AS ${as(table, 'w')}`;
  const gone = forget(spec, table, 'work');
  const fromMerged = sql`DELETE ${as(table, 'm')} FROM ${work} STRAIGHT_JOIN ${physical(spec, table, 'merged')} AS ${as(table, 'm')} ON ${sameKey(table, 'm', 'w')}`;
  const conflict = recordRowConflict(spec, table, kind);
  return [
    gone.conflicts,
    ...(conflict ? [conflict] : []),
    // A parent that is kept is not at the source: there is nothing that was not published.
    // Of a bad row it is known already.
    ...(kind === 'parent' || kind === 'bad' ? [] : [holdBack(spec, table, kind)]),
    gone.stage,
    ...(into === 'merged' ? [fromMerged] : []),
    copyLive(spec, table, into),
  ];
}

/** Notes of the work keys that the source's rows are not published; a row that live has keeps its base. @param within WHERE on the work keys */
export function holdBack(
  spec: RunSpec,
  table: TableSpec,
  kind: GroupConflict,
  within: Fragment = raw('TRUE'),
): Fragment {
  return sql`INSERT IGNORE INTO ${physical(spec, table, 'heldBack')} (${keyNames(table)}, _ss_reason, _ss_keeps_base)
SELECT ${keyOf(table, 'w')}, ${kind}, ${firstOf(table, 'l')} IS NOT NULL
FROM ${physical(spec, table, 'work')} AS ${as(table, 'w')}
LEFT JOIN ${id(table.live)} AS ${as(table, 'l')} ON ${sameKey(table, 'l', 'w')}
WHERE ${within}`;
}

function copyLive(spec: RunSpec, table: TableSpec, into: 'stage' | 'merged'): Fragment {
  const names = writtenNames(table);
  return sql`INSERT INTO ${physical(spec, table, into)} (${join(names.map(id))})
SELECT ${join(names.map((name) => at(table, 'l', name)))}
FROM ${physical(spec, table, 'work')} AS ${as(table, 'w')}
STRAIGHT_JOIN ${id(table.live)} AS ${as(table, 'l')} ON ${sameKey(table, 'l', 'w')}`;
}

/** The work keys of a table are done. */
export function emptyWork(spec: RunSpec, table: TableSpec): Fragment {
  return sql`DELETE FROM ${physical(spec, table, 'work')}`;
}

/** The work keys become part of the replay, so that what hangs on them is looked at, too; then they are done. */
export function workIsDone(spec: RunSpec, table: TableSpec, within: Within): Fragment[] {
  const empty = emptyWork(spec, table);
  if (within === 'all') return [empty];
  return [
    replayToo(
      spec,
      table,
      sql`SELECT ${keyOf(table, 'w')} FROM ${physical(spec, table, 'work')} AS ${as(table, 'w')}`,
    ),
    empty,
  ];
}

/**
 * The closure of a replay, upwards: parents of the replayed rows, as stage has them, that the incoming side has not.
 * Such a parent may have been kept for this child alone.
 */
export function closeUpwards(spec: RunSpec, table: TableSpec, key: ForeignKey): Fragment {
  const parent = tableOf(spec, key.parent);
  return replayToo(
    spec,
    parent,
    sql`SELECT DISTINCT ${keyOf(parent, 'p')}
FROM ${physical(spec, table, 'replayKeys')} AS ${as(table, 'k')}
STRAIGHT_JOIN ${physical(spec, table, 'stage')} AS ${as(table, 'c')} ON ${sameKey(table, 'c', 'k')}
JOIN ${physical(spec, parent, 'stage')} AS ${as(parent, 'p')} ON ${refers(parent, 'p', table, 'c', key)}
LEFT JOIN ${id(incomingOf(spec, parent))} AS ${as(parent, 'i')} ON ${sameKey(parent, 'i', 'p')}
WHERE ${firstOf(parent, 'i')} IS NULL`,
  );
}

/**
 * The closure downwards: rows that were held back as orphans of a replayed parent. Where its key alone does not find them, or
 * the incoming side does not say their parent, all that were: they are few.
 */
export function closeDownwards(spec: RunSpec, table: TableSpec, key: ForeignKey): Fragment {
  const parent = tableOf(spec, key.parent);
  const reason = sql`${at(table, 'h', '_ss_reason')} = 'orphan'`;
  const held = sql`SELECT ${keyOf(table, 'h')} FROM ${physical(spec, table, 'heldBack')} AS ${as(table, 'h')}`;
  if (!refersToKey(spec, key) || !incomingHas(spec, table, key.columns))
    return replayToo(spec, table, sql`${held} WHERE ${reason}`);
  return replayToo(
    spec,
    table,
    sql`${held}
STRAIGHT_JOIN ${id(incomingOf(spec, table))} AS ${as(table, 'i')} ON ${sameKey(table, 'i', 'h')}
STRAIGHT_JOIN ${physical(spec, parent, 'replayKeys')} AS ${as(parent, 'k')} ON ${refers(parent, 'k', table, 'i', key)}
WHERE ${reason}`,
  );
}

/** The closure over unique values: rows that fell back may do without that now. They are few, so all are tried again. */
export function closeOverUnique(spec: RunSpec, table: TableSpec): Fragment {
  return replayToo(
    spec,
    table,
    sql`SELECT ${keyOf(table, 'h')} FROM ${physical(spec, table, 'heldBack')} AS ${as(table, 'h')} WHERE ${at(table, 'h', '_ss_reason')} = 'unique'`,
  );
}

/** A replay begins with no row in `merged`. */
export function emptyMerged(spec: RunSpec, table: TableSpec): Fragment {
  return sql`DELETE FROM ${physical(spec, table, 'merged')}`;
}

/** The rows of a replay go into stage, when no two of its rows can collide. */
export function mergedIntoStage(spec: RunSpec, table: TableSpec): Fragment {
  const names = writtenNames(table);
  return sql`INSERT INTO ${physical(spec, table, 'stage')} (${join(names.map(id))})
SELECT ${join(names.map((name) => at(table, 'm', name)))}
FROM ${physical(spec, table, 'merged')} AS ${as(table, 'm')}`;
}

/** Every table and alias that a replay under lock reads or writes for one table: LOCK TABLES wants each (1100). */
export function tablesOfReplay(
  spec: RunSpec,
  table: TableSpec,
): { name: string; alias?: string; mode: 'READ' | 'WRITE' }[] {
  const name = (kind: TableKind) => physicalTable(spec.generation, kind, table.live);
  const reads = (of: string, roles: string[]) =>
    roles.map((role) => ({ name: of, alias: aliasOf(table, role), mode: 'READ' as const }));
  const writes = (of: string, roles: string[]) => [
    { name: of, mode: 'WRITE' as const },
    ...roles.map((role) => ({ name: of, alias: aliasOf(table, role), mode: 'WRITE' as const })),
  ];
  const ancestor = ancestorOf(spec, table);
  return [
    ...reads(incomingOf(spec, table), ['i']),
    ...(ancestor === null ? [] : reads(ancestor, ['a'])),
    ...writes(table.live, ['l']),
    ...writes(name('stage'), ['s']),
    ...reads(name('stage'), ['c', 'p']),
    ...writes(name('log'), ['g']),
    ...writes(name('replayKeys'), ['k']),
    ...writes(name('work'), ['w']),
    ...writes(name('heldBack'), ['h', 'hk']),
    ...(waitsInMerged(table) ? [...writes(name('merged'), ['m']), ...reads(name('merged'), ['n'])] : []),
  ];
}

/** Sets a row aside: by its key as the source gave it, with the column and the reason. Repeatable. */
export function setAside(
  spec: RunSpec,
  table: TableSpec,
  row: { key: (string | null)[]; column: string; reason: string },
): Fragment {
  const key = keyColumns(table).map((column, index) => keyValue(column, row.key[index] ?? ''));
  return sql`INSERT IGNORE INTO ${physical(spec, table, 'heldBack')} (${keyNames(table)}, _ss_reason, _ss_keeps_base, _ss_detail)
VALUES (${join(key)}, 'bad', 1, ${JSON.stringify({ column: row.column, reason: row.reason })})`;
}
