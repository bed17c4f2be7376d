import { parseMysqlAddress } from '../config/address.js';
import type { PipelineTarget } from '../config/load.js';
import { control } from '../model/names.js';
import type { Plan } from '../model/plan.js';
import type { Report } from '../model/report.js';
import type { RollbackFindings } from '../model/rollback.js';
import { type Row, type Session, withSession } from '../mysql/connection.js';
import { errorNumber, NO_SUCH_TABLE } from '../mysql/errors.js';
import { createControlTables } from '../sql/control.js';
import { type Fragment, id, sql } from '../sql/text.js';

/** What the command line reads and writes in the control tables: no running workflow is needed for any of it. */

export interface Held {
  reason: string;
  /** UTC, as MySQL prints it */
  at: string;
}

export interface RunRow {
  generation: number;
  runId: string;
  kind: string;
  phase: string;
  /** UTC, as MySQL prints it */
  startedAt: string;
  endedAt: string | null;
  outcome: string | null;
  report: Report | null;
}

/** A session on the pipeline's target, closed when the work ends. */
export function onTarget<T>(
  { target }: Pick<PipelineTarget, 'target'>,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  return withSession(parseMysqlAddress(target.url), work);
}

/** A pipeline that never ran has no control tables: that is an empty answer. */
async function rowsIfAny(session: Session, statement: Fragment): Promise<Row[]> {
  try {
    return await session.rows(statement);
  } catch (error) {
    if (errorNumber(error) === NO_SUCH_TABLE) return [];
    throw error;
  }
}

export async function readHeld(session: Session, pipeline: string): Promise<Held | undefined> {
  const [row] = await rowsIfAny(
    session,
    sql`SELECT held_reason, held_at FROM ${id(control.pipeline)} WHERE pipeline = ${pipeline} AND held_reason IS NOT NULL`,
  );
  return row ? { reason: row.held_reason ?? '', at: row.held_at ?? '' } : undefined;
}

/** Holds a pipeline: runs are refused until it is released. May be repeated; the newest reason stands. */
export async function hold(session: Session, pipeline: string, reason: string): Promise<void> {
  for (const statement of createControlTables()) await session.run(statement);
  await session.run(
    sql`INSERT INTO ${id(control.pipeline)} (pipeline, held_reason, held_at) VALUES (${pipeline}, ${reason}, UTC_TIMESTAMP(6))
ON DUPLICATE KEY UPDATE held_reason = ${reason}, held_at = UTC_TIMESTAMP(6)`,
  );
}

/** @returns whether it was held */
export async function release(session: Session, pipeline: string): Promise<boolean> {
  const held = await readHeld(session, pipeline);
  if (!held) return false;
  await session.run(
    sql`UPDATE ${id(control.pipeline)} SET held_reason = NULL, held_at = NULL WHERE pipeline = ${pipeline}`,
  );
  return true;
}

/** What a dry run found; undefined: there is none by this run id. */
export async function readPlan(session: Session, pipeline: string, runId: string): Promise<Plan | undefined> {
  const [row] = await rowsIfAny(
    session,
    sql`SELECT CAST(plan AS CHAR) AS plan FROM ${id(control.run)} WHERE pipeline = ${pipeline} AND run_id = ${runId} AND plan IS NOT NULL`,
  );
  return row?.plan ? (JSON.parse(row.plan) as Plan) : undefined;
}

/** What a rollback found of edits since the swap; undefined: there is none by this run id. */
export async function readRollback(
  session: Session,
  pipeline: string,
  runId: string,
): Promise<RollbackFindings | undefined> {
  const [row] = await rowsIfAny(
    session,
    sql`SELECT CAST(plan AS CHAR) AS plan FROM ${id(control.run)} WHERE pipeline = ${pipeline} AND run_id = ${runId} AND kind = 'rollback' AND plan IS NOT NULL`,
  );
  return row?.plan ? (JSON.parse(row.plan) as RollbackFindings) : undefined;
}

/** The latest runs, newest first. */
export async function readRuns(session: Session, pipeline: string, rowsMax: number): Promise<RunRow[]> {
  const rows = await rowsIfAny(
    session,
    sql`SELECT generation, run_id, kind, phase, started_at, ended_at, outcome, CAST(report AS CHAR) AS report
FROM ${id(control.run)} WHERE pipeline = ${pipeline} ORDER BY generation DESC LIMIT ${rowsMax}`,
  );
  return rows.map((row) => ({
    generation: Number(row.generation),
    runId: row.run_id ?? '',
    kind: row.kind ?? '',
    phase: row.phase ?? '',
    startedAt: row.started_at ?? '',
    endedAt: row.ended_at ?? null,
    outcome: row.outcome ?? null,
    report: row.report ? (JSON.parse(row.report) as Report) : null,
  }));
}
