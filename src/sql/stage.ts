import { constraintName, physicalTable } from '../model/names.js';
import { type LiveColumn, leavesGaps, type RunSpec, type TableSpec, writtenNames } from '../model/spec.js';
import { checksOfSource } from './checks.js';
import { at, columnDefinition, inRange, type KeyText, keyColumns } from './columns.js';
import { as, GAPS, keyNames, physical } from './shape.js';
import { type Fragment, id, join, raw, sql } from './text.js';

/** DDL of the tables that a run makes. Each statement may be repeated: an activity that is retried finds its tables. */

function primaryKey(table: TableSpec): Fragment {
  return sql`PRIMARY KEY (${keyNames(table)})`;
}

/** Column of base_next: the CRC-32 of the row's canonical texts, as they were sent; NULL in a row that was carried over. */
export const ROW_CHECKSUM = '_ss_crc';

/**
 * baseNext: the mapped columns as MySQL stores them; for the proof, the chunk that each row came with, and its checksum; where the
 * mapping changed, the gaps of rows that are carried over. Where CHECK constraints are asked of each chunk, an index finds its rows.
 */
export function createBaseNext(spec: RunSpec, table: TableSpec): Fragment {
  const columns = table.columns.map((column) =>
    columnDefinition(column.live, !table.key.includes(column.live.name)),
  );
  return sql`CREATE TABLE IF NOT EXISTS ${physical(spec, table, 'baseNext')} (
  ${join(columns, ',\n  ')},
  _ss_chunk INT UNSIGNED NOT NULL,
  ${id(ROW_CHECKSUM)} INT UNSIGNED NULL,${checksOfSource(table).length > 0 ? raw('\n  KEY _ss_by_chunk (_ss_chunk),') : raw('')}${leavesGaps(table) ? sql`\n  ${id(GAPS)} JSON NULL,` : raw('')}
  ${primaryKey(table)}
) ENGINE=InnoDB`;
}

/** stage: live's own definition, keys and checks included, without its foreign keys. */
export function createStage(spec: RunSpec, table: TableSpec): Fragment {
  return sql`CREATE TABLE IF NOT EXISTS ${physical(spec, table, 'stage')} LIKE ${id(table.live)}`;
}

/** The copy of live that is written before the swap where the configuration wants one: live's definition without foreign keys. */
export function createCopy(spec: RunSpec, table: TableSpec): Fragment {
  return sql`CREATE TABLE IF NOT EXISTS ${physical(spec, table, 'copy')} LIKE ${id(table.live)}`;
}
/** Copies one half-open key range of live as it is, each range as of the moment at which it is read. */
export function copyRange(
  spec: RunSpec,
  table: TableSpec,
  into: 'copy' | 'stage',
  { from, to }: { from: KeyText; to: KeyText },
): Fragment {
  const names = writtenNames(table);
  return sql`INSERT INTO ${physical(spec, table, into)} (${join(names.map(id))})
SELECT ${join(names.map((name) => at(table, 'l', name)))}
FROM ${id(table.live)} AS ${as(table, 'l')}
WHERE ${inRange(table, 'l', from, to)}`;
}

/** Gives stage the group's foreign keys, to the group's other stage tables; one ALTER, or null where there are none. */
export function addForeignKeys(spec: RunSpec, table: TableSpec): Fragment | null {
  if (table.foreignKeys.length === 0) return null;
  const clauses = table.foreignKeys.map(
    (key) =>
      sql`ADD CONSTRAINT ${id(constraintName(key.name, spec.generation))} FOREIGN KEY (${join(key.columns.map(id))}) REFERENCES ${id(physicalTable(spec.generation, 'stage', key.parent))} (${join(key.parentColumns.map(id))})`,
  );
  return sql`ALTER TABLE ${physical(spec, table, 'stage')} ${join(clauses, ', ')}`;
}

function keyTable(
  spec: RunSpec,
  table: TableSpec,
  kind: 'replayKeys' | 'work' | 'heldBack',
  more: Fragment[] = [],
): Fragment {
  const columns = [...keyColumns(table).map((column) => columnDefinition(column, false)), ...more];
  return sql`CREATE TABLE IF NOT EXISTS ${physical(spec, table, kind)} (
  ${join(columns)},
  ${primaryKey(table)}
) ENGINE=InnoDB`;
}
/** Keys on their way: those of a replay, and those that a rule across the group has found. */
export function createKeyTables(spec: RunSpec, table: TableSpec): Fragment[] {
  return [keyTable(spec, table, 'replayKeys'), keyTable(spec, table, 'work')];
}
/** Keys of source rows that were not published, why, and what becomes of their base. */
export function createHeldBack(spec: RunSpec, table: TableSpec): Fragment {
  return keyTable(spec, table, 'heldBack', [
    raw('_ss_reason VARCHAR(10) CHARACTER SET ascii NOT NULL'),
    // 1: the row keeps the base that it had; 0: it gets none, and is tried again as new
    raw('_ss_keeps_base TINYINT NOT NULL'),
    raw('_ss_detail JSON NULL'),
  ]);
}

/** A table like stage, for merged rows that may collide in unique indexes. */
export function createMerged(spec: RunSpec, table: TableSpec): Fragment {
  return sql`CREATE TABLE IF NOT EXISTS ${physical(spec, table, 'merged')} LIKE ${physical(spec, table, 'stage')}`;
}

function prefixed(columns: LiveColumn[], prefix: string): Fragment[] {
  return columns.map((column) => columnDefinition({ ...column, name: prefix + column.name }, true));
}

/** The log: operation, time, user, old key and new key typed like live; images are for people only. */
export function createLog(spec: RunSpec, table: TableSpec): Fragment {
  const keys = keyColumns(table);
  return sql`CREATE TABLE IF NOT EXISTS ${physical(spec, table, 'log')} (
  _ss_id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
  _ss_operation CHAR(1) NOT NULL,
  _ss_at DATETIME(6) NOT NULL,
  _ss_user VARCHAR(288) CHARACTER SET utf8mb4 NOT NULL,
  _ss_applied TINYINT NOT NULL DEFAULT 0,
  _ss_changed JSON NULL,
  ${join([...prefixed(keys, 'old_'), ...prefixed(keys, 'new_')])},
  KEY _ss_pending (_ss_applied, _ss_id)
) ENGINE=InnoDB`;
}

/** The first-touch table: live's written columns as published, typed like live, all but the key nullable. */
export function createFirstTouch(spec: RunSpec, table: TableSpec): Fragment {
  const columns = [...table.columns.map((column) => column.live), ...table.unmapped];
  return sql`CREATE TABLE IF NOT EXISTS ${physical(spec, table, 'firstTouch')} (
  ${join(columns.map((column) => columnDefinition(column, !table.key.includes(column.name))))},
  _ss_existed TINYINT NOT NULL,
  ${primaryKey(table)}
) ENGINE=InnoDB`;
}
