import { control } from '../model/names.js';
import { type Fragment, id, sql } from './text.js';

/** Days for which the records of runs are kept. */
export interface Retention {
  conflictsDays: number;
  editsDays: number;
  reportsDays: number;
}

/** A statement deletes so many rows at a time: one of millions would keep its locks, and its undo, for minutes. */
const FORGOTTEN_ROWS_MAX = 10_000;

/**
 * Statements that delete what is older than the retention says; each is to be repeated until it affects no row.
 *
 * @param keepFrom the generation that a rollback would return to: what is of it, or closed since, is kept whatever its age
 */
export function forgetStatements(pipeline: string, keepFrom: number, retention: Retention): Fragment[] {
  const { conflictsDays, editsDays, reportsDays } = retention;
  const of = sql`pipeline = ${pipeline}`;
  const before = (days: number) => sql`UTC_TIMESTAMP(6) - INTERVAL ${days} DAY`;
  const limit = sql`LIMIT ${FORGOTTEN_ROWS_MAX}`;
  const oldRuns = sql`SELECT generation FROM ${id(control.run)} WHERE ${of} AND generation < ${keepFrom} AND ended_at < ${before(reportsDays)}`;
  return [
    sql`DELETE FROM ${id(control.conflict)}
WHERE ${of} AND state <> 'open' AND generation < ${keepFrom} AND COALESCE(closed_in, 0) < ${keepFrom} AND found_at < ${before(conflictsDays)} ${limit}`,
    sql`DELETE FROM ${id(control.settlement)}
WHERE ${of} AND state <> 'pending' AND COALESCE(closed_in, 0) < ${keepFrom} AND COALESCE(applied_in, 0) < ${keepFrom} AND settled_at < ${before(conflictsDays)} ${limit}`,
    sql`DELETE FROM ${id(control.edit)} WHERE ${of} AND applied_at < ${before(editsDays)} ${limit}`,
    sql`DELETE FROM ${id(control.chunk)} WHERE ${of} AND generation IN (${oldRuns}) ${limit}`,
    // The run's own row stays: it says what its generation was.
    sql`UPDATE ${id(control.run)} SET report = NULL, plan = NULL WHERE ${of} AND generation < ${keepFrom} AND ended_at < ${before(reportsDays)} AND (report IS NOT NULL OR plan IS NOT NULL) ${limit}`,
  ];
}
