import { control, markerTable } from '../model/names.js';
import type { RunSpec } from '../model/spec.js';
import { type Fragment, id, raw, sql } from './text.js';

/** DDL of the control tables; every statement may be repeated. `utf8mb4_bin`, because names compare as bytes. */
export function createControlTables(): Fragment[] {
  return [
    `CREATE TABLE IF NOT EXISTS ${control.pipeline} (
       pipeline VARCHAR(40) PRIMARY KEY,
       generation INT UNSIGNED NOT NULL DEFAULT 0,
       held_reason TEXT NULL,
       held_at DATETIME(6) NULL
     )`,
    `CREATE TABLE IF NOT EXISTS ${control.claim} (
       live VARCHAR(64) PRIMARY KEY,
       pipeline VARCHAR(40) NOT NULL
     )`,
    `CREATE TABLE IF NOT EXISTS ${control.run} (
       pipeline VARCHAR(40) NOT NULL,
       generation INT UNSIGNED NOT NULL,
       run_id VARCHAR(64) NOT NULL UNIQUE,
       kind VARCHAR(10) NOT NULL,
       phase VARCHAR(20) NOT NULL,
       started_at DATETIME(6) NOT NULL,
       ended_at DATETIME(6) NULL,
       outcome VARCHAR(20) NULL,
       spec JSON NOT NULL,
       cut_over JSON NULL,
       report JSON NULL,
       plan JSON NULL,
       PRIMARY KEY (pipeline, generation)
     )`,
    `CREATE TABLE IF NOT EXISTS ${control.chunk} (
       pipeline VARCHAR(40) NOT NULL,
       generation INT UNSIGNED NOT NULL,
       live VARCHAR(64) NOT NULL,
       step VARCHAR(10) NOT NULL,
       seq INT UNSIGNED NOT NULL,
       range_from JSON NULL,
       range_to JSON NULL,
       done TINYINT NOT NULL DEFAULT 0,
       row_count BIGINT UNSIGNED NULL,
       checksum_sum BIGINT UNSIGNED NULL,
       counts JSON NULL,
       PRIMARY KEY (pipeline, generation, live, step, seq)
     )`,
    `CREATE TABLE IF NOT EXISTS ${control.conflict} (
       id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
       pipeline VARCHAR(40) NOT NULL,
       generation INT UNSIGNED NOT NULL,
       live VARCHAR(64) NOT NULL,
       row_key JSON NOT NULL,
       key_hash BINARY(16) NOT NULL,
       kind VARCHAR(20) NOT NULL,
       columns_json JSON NOT NULL,
       base_json JSON NULL,
       source_json JSON NULL,
       live_json JSON NULL,
       detail JSON NULL,
       found_at DATETIME(6) NOT NULL,
       state VARCHAR(10) NOT NULL DEFAULT 'open',
       closed_in INT UNSIGNED NULL,
       KEY by_key (pipeline, generation, live, key_hash),
       KEY by_state (pipeline, state, live, key_hash)
     )`,
    `CREATE TABLE IF NOT EXISTS ${control.settlement} (
       id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
       pipeline VARCHAR(40) NOT NULL,
       live VARCHAR(64) NOT NULL,
       row_key JSON NOT NULL,
       key_hash BINARY(16) NOT NULL,
       kind VARCHAR(20) NOT NULL,
       columns_json JSON NOT NULL,
       source_json JSON NULL,
       live_json JSON NULL,
       side VARCHAR(6) NOT NULL,
       settled_by VARCHAR(255) NOT NULL,
       settled_at DATETIME(6) NOT NULL,
       state VARCHAR(10) NOT NULL DEFAULT 'pending',
       tried_in INT UNSIGNED NULL,
       applied_in INT UNSIGNED NULL,
       closed_in INT UNSIGNED NULL,
       KEY by_key (pipeline, live, key_hash),
       KEY by_state (pipeline, state, live)
     )`,
    `CREATE TABLE IF NOT EXISTS ${control.edit} (
       pipeline VARCHAR(40) NOT NULL,
       edit_id VARCHAR(128) NOT NULL,
       live VARCHAR(64) NOT NULL,
       edited_by VARCHAR(255) NULL,
       outcome VARCHAR(20) NOT NULL,
       problem TEXT NULL,
       applied_at DATETIME(6) NOT NULL,
       PRIMARY KEY (pipeline, edit_id)
     )`,
    `CREATE TABLE IF NOT EXISTS ${control.attempt} (
       name CHAR(64) CHARACTER SET ascii PRIMARY KEY,
       pipeline VARCHAR(40) NOT NULL,
       generation INT UNSIGNED NOT NULL,
       activity VARCHAR(120) NOT NULL,
       type VARCHAR(60) NOT NULL,
       attempt INT UNSIGNED NOT NULL,
       KEY by_activity (pipeline, generation, activity)
     )`,
  ].map((text) => raw(`${text} ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`));
}

/** The marker of a pipeline that has never published. It has a key, since servers with sql_require_primary_key want one. */
export function createMarker(pipeline: string): Fragment {
  return sql`CREATE TABLE IF NOT EXISTS ${id(markerTable(pipeline, 0))} (nothing TINYINT PRIMARY KEY) ENGINE=InnoDB`;
}

/** The pipeline's row, where a generation owns it: no row back means that it does not. For sessions that hold the table locked. */
export function owner(pipeline: string, generation: number): Fragment {
  return sql`SELECT generation FROM ${id(control.pipeline)} WHERE pipeline = ${pipeline} AND generation = ${generation}`;
}

/**
 * The fence: the first read of every writing transaction. It takes a shared lock on the pipeline's row, so that a
 * newer run, which raises the generation, waits for us; no row back means that we are not the owner any more.
 */
export function fence(pipeline: string, generation: number): Fragment {
  return sql`${owner(pipeline, generation)} FOR SHARE`;
}

const rolledBackBy = (spec: RunSpec) => `rolled back by ${spec.runId}`;

/**
 * Holds the pipeline for a rollback that is about to swap: whatever becomes of its steps after the swap, the next night must
 * not publish the same data again. Only its owner may; what an operator said before stays.
 */
export function holdForRollback(spec: RunSpec): Fragment {
  return sql`UPDATE ${id(control.pipeline)} SET held_reason = ${rolledBackBy(spec)}, held_at = UTC_TIMESTAMP(6)
WHERE pipeline = ${spec.pipeline} AND generation = ${spec.generation} AND held_reason IS NULL`;
}

/** Takes back what `holdForRollback` wrote, of a rollback that was not executed. */
export function releaseFromRollback(spec: RunSpec): Fragment {
  return sql`UPDATE ${id(control.pipeline)} SET held_reason = NULL, held_at = NULL WHERE pipeline = ${spec.pipeline} AND held_reason = ${rolledBackBy(spec)}`;
}
