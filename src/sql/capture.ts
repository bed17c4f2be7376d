import { isOpaque } from '../model/live-type.js';
import { physicalTable, physicalTrigger } from '../model/names.js';
import { type LiveColumn, type RunSpec, type TableSpec, writtenNames } from '../model/spec.js';
import { asText, at, keyColumns, same } from './columns.js';
import { as, keyNames, physical } from './shape.js';
import { col, type Fragment, id, join, list, literal, raw, sql } from './text.js';

/**
 * Capture: triggers on live that log every edit by key, and triggers that store a row as published when a client
 * first touches it. Our own sessions set @stageswap_silent, so that a merge into a table with triggers logs nothing.
 */
const GUARD = raw('IF @stageswap_silent IS NULL THEN');

function trigger(name: string, when: string, on: string, body: Fragment): Fragment {
  return sql`CREATE TRIGGER ${id(name)} AFTER ${raw(when)} ON ${id(on)} FOR EACH ROW BEGIN ${GUARD} ${body} END IF; END`;
}

/**
 * Made without strictness (run-triggers.ts), a trigger cuts what does not fit. These fail all the same where a migration has made
 * another type of the column: 3140, 3141, 3144 and 3146 no JSON; 1416 and 3643 no geometry, or one of another reference system.
 */
const NEVER_CUT = raw('3140, 3141, 3144, 3146, 1416, 3643');

/** A statement of a trigger, and what is written where an image is no value of its column any more. */
function orElse(table: TableSpec, statement: Fragment, otherwise: Fragment): Fragment {
  const columns = [...table.columns.map((column) => column.live), ...table.unmapped];
  if (!columns.some((column) => column.type === 'json' || isOpaque(column))) return statement;
  return sql`BEGIN DECLARE EXIT HANDLER FOR ${NEVER_CUT} ${otherwise} ${statement} END;`;
}

/** Of a long value the image has so much: two of them in one statement could be longer than MySQL takes, and fail the client's. */
const IMAGE_CHARACTERS_MAX = 1_000;

/** A value for the image; of a long one its beginning, and how long it is. */
function shown(column: LiveColumn, value: Fragment): Fragment {
  const cut = (beginning: Fragment, length: Fragment, unit: string) =>
    sql`IF(${length} > ${raw(String(IMAGE_CHARACTERS_MAX))}, CONCAT(${beginning}, ' ... (cut: ', ${length}, ${literal(` ${unit})`)}), ${asText(column, value)})`;
  const most = raw(String(IMAGE_CHARACTERS_MAX));
  if (column.type === 'json')
    return cut(sql`LEFT(${asText(column, value)}, ${most})`, sql`JSON_STORAGE_SIZE(${value})`, 'bytes');
  if (column.type.endsWith('text'))
    return cut(sql`CONVERT(LEFT(${value}, ${most}) USING utf8mb4)`, sql`CHAR_LENGTH(${value})`, 'characters');
  if (column.type.endsWith('blob') || isOpaque(column))
    return cut(
      sql`HEX(LEFT(CAST(${value} AS BINARY), ${most}))`,
      sql`LENGTH(CAST(${value} AS BINARY))`,
      'bytes',
    );
  return asText(column, value);
}

/** The changed columns before and after, as JSON for people; correctness never rests on it. */
function changed(table: TableSpec): Fragment {
  const columns = [...table.columns.map((column) => column.live), ...table.unmapped];
  const entries = columns.map((column) => {
    const [before, after] = [col('OLD', column.name), col('NEW', column.name)];
    return sql`IF(${same(column, before, after)}, JSON_OBJECT(), JSON_OBJECT(${literal(column.name)}, JSON_ARRAY(${shown(column, before)}, ${shown(column, after)})))`;
  });
  return entries.length === 1 ? (entries[0] as Fragment) : sql`JSON_MERGE_PRESERVE(${join(entries)})`;
}

/** The triggers of capture, on live. */
export function logTriggers(spec: RunSpec, table: TableSpec): { name: string; create: Fragment }[] {
  const log = physical(spec, table, 'log');
  const keys = keyColumns(table);
  const into = (operation: string, sides: ('old' | 'new')[], image: Fragment) => {
    const names = sides.flatMap((side) => keys.map((key) => id(`${side}_${key.name}`)));
    const values = sides.flatMap((side) => keys.map((key) => col(side === 'old' ? 'OLD' : 'NEW', key.name)));
    return sql`INSERT INTO ${log} (_ss_operation, _ss_at, _ss_user, _ss_changed, ${join(names)}) VALUES (${literal(operation)}, UTC_TIMESTAMP(6), USER(), ${image}, ${join(values)});`;
  };
  const make = (kind: 'logInsert' | 'logUpdate' | 'logDelete', when: string, body: Fragment) => {
    const name = physicalTrigger(spec.generation, kind, table.live);
    return { name, create: trigger(name, when, table.live, body) };
  };
  return [
    make('logInsert', 'INSERT', into('I', ['new'], raw('NULL'))),
    make(
      'logUpdate',
      'UPDATE',
      orElse(table, into('U', ['old', 'new'], changed(table)), into('U', ['old', 'new'], raw('NULL'))),
    ),
    make('logDelete', 'DELETE', into('D', ['old'], raw('NULL'))),
  ];
}

/** The triggers of the rollback window, made on stage before the swap so that they cost nothing under the lock. */
export function touchTriggers(spec: RunSpec, table: TableSpec): { name: string; create: Fragment }[] {
  const touch = physical(spec, table, 'firstTouch');
  const stage = physicalTable(spec.generation, 'stage', table.live);
  const all = writtenNames(table);
  const image = sql`INSERT INTO ${touch} (_ss_existed, ${join(all.map(id))}) VALUES (1, ${join(all.map((name) => col('OLD', name)))}) ON DUPLICATE KEY UPDATE _ss_existed = _ss_existed;`;
  const withoutImage = (side: 'OLD' | 'NEW') =>
    sql`INSERT INTO ${touch} (_ss_existed, ${keyNames(table)}) VALUES (0, ${join(table.key.map((name) => col(side, name)))}) ON DUPLICATE KEY UPDATE _ss_existed = _ss_existed;`;
  const born = withoutImage('NEW');
  // A rollback leaves a row without an image as live has it.
  const keep = orElse(table, image, withoutImage('OLD'));
  const make = (kind: 'touchInsert' | 'touchUpdate' | 'touchDelete', when: string, body: Fragment) => {
    const name = physicalTrigger(spec.generation, kind, table.live);
    return { name, create: trigger(name, when, stage, body) };
  };
  return [
    make('touchInsert', 'INSERT', born),
    make('touchUpdate', 'UPDATE', sql`${keep} ${born}`),
    make('touchDelete', 'DELETE', keep),
  ];
}

/** A log row's state. What replays beside clients takes its rows; under the lock nobody else is there, and all that are pending are meant. */
const LOG_STATES = { pending: 0, merged: 1, taken: 2 };
export type LoggedEdits = 'pending' | 'taken';

/** Pending log rows by table, as n0, n1 and so on. @param most of each no more than so many are counted; undefined: all */
export function countPending(spec: RunSpec, most?: number): Fragment {
  const limit = raw(most === undefined ? '' : `LIMIT ${most}`);
  const counts = spec.tables.map(
    (table) =>
      sql`(SELECT COUNT(*) FROM (SELECT 1 FROM ${physical(spec, table, 'log')} WHERE _ss_applied = ${LOG_STATES.pending} ${limit}) AS pending) AS ${raw(`n${table.ordinal}`)}`,
  );
  return sql`SELECT ${join(counts)}`;
}

/**
 * Takes pending log rows for a replay. They are named one by one, never "up to the highest id": ids are given before
 * commit, so a late commit has a low id.
 */
export function takePending(spec: RunSpec, table: TableSpec, ids: string[]): Fragment {
  return sql`UPDATE ${physical(spec, table, 'log')} SET _ss_applied = ${LOG_STATES.taken} WHERE _ss_applied = ${LOG_STATES.pending} AND _ss_id IN (${list(ids)})`;
}

/** Ids of pending log rows that are committed; rows of open transactions are passed over and wait for a later round. */
export function pendingIds(spec: RunSpec, table: TableSpec, rowsMax: number): Fragment {
  return sql`SELECT _ss_id AS id FROM ${physical(spec, table, 'log')} WHERE _ss_applied = ${LOG_STATES.pending} ORDER BY _ss_id LIMIT ${raw(String(rowsMax))} FOR UPDATE SKIP LOCKED`;
}

/**
 * What a replay was about is merged. Of pending rows that is true only where none can come after `collectReplayKeys`: under the
 * lock, which holds the log as well.
 */
export function markMerged(spec: RunSpec, table: TableSpec, edits: LoggedEdits): Fragment {
  return sql`UPDATE ${physical(spec, table, 'log')} SET _ss_applied = ${LOG_STATES.merged} WHERE _ss_applied = ${LOG_STATES[edits]}`;
}

/** Fills the replay keys from log rows: old key and new key of each. */
export function collectReplayKeys(spec: RunSpec, table: TableSpec, edits: LoggedEdits): Fragment[] {
  const log = physical(spec, table, 'log');
  const keys = physical(spec, table, 'replayKeys');
  const of = (side: 'old' | 'new') =>
    sql`INSERT IGNORE INTO ${keys} (${keyNames(table)})
SELECT ${join(table.key.map((name) => at(table, 'g', `${side}_${name}`)))}
FROM ${log} AS ${as(table, 'g')}
WHERE ${at(table, 'g', '_ss_applied')} = ${LOG_STATES[edits]} AND ${at(table, 'g', `${side}_${table.key[0] ?? ''}`)} IS NOT NULL`;
  return [of('old'), of('new')];
}
