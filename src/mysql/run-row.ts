import { control } from '../model/names.js';
import type { Report } from '../model/report.js';
import type { RunSpec } from '../model/spec.js';
import { type Fragment, id, sql } from '../sql/text.js';
import type { Session } from './connection.js';
import { jsonOf } from './json.js';

/** The row of a run: it has one from its beginning, and keeps it with its report. */

/** The specification that a run was started with; undefined: MySQL has no row of it. @param by its generation, or its id */
export async function specOf(
  session: Session,
  pipeline: string,
  by: { generation: number } | { runId: string },
): Promise<RunSpec | undefined> {
  const which = 'runId' in by ? sql`run_id = ${by.runId}` : sql`generation = ${by.generation}`;
  const rows = await session.rows<{ spec: string | RunSpec }>(
    sql`SELECT spec FROM ${id(control.run)} WHERE pipeline = ${pipeline} AND ${which}`,
  );
  return rows[0] && jsonOf<RunSpec>(rows[0].spec);
}

/** Writes down that a run begins. A repair has no tables: it does what it finds to be done. */
export async function insertRun(
  session: Session,
  spec: Pick<RunSpec, 'pipeline' | 'runId' | 'generation' | 'tables'>,
  kind: RunSpec['kind'] | 'plan' | 'repair',
): Promise<void> {
  const phase = kind === 'repair' ? 'repair' : 'preflight';
  await session.run(
    sql`INSERT INTO ${id(control.run)} (pipeline, generation, run_id, kind, phase, started_at, spec) VALUES (${spec.pipeline}, ${spec.generation}, ${spec.runId}, ${kind}, ${phase}, UTC_TIMESTAMP(6), ${JSON.stringify(spec)})`,
  );
}

/** Writes down how a run has ended. @param which 'open': only if nobody has written that yet */
export async function endRun(
  session: Session,
  { pipeline, generation }: Pick<RunSpec, 'pipeline' | 'generation'>,
  report: Report,
  which: 'any' | 'open' = 'any',
): Promise<void> {
  const open: Fragment = which === 'open' ? sql` AND outcome IS NULL` : sql``;
  await session.run(
    sql`UPDATE ${id(control.run)} SET report = ${JSON.stringify(report)}, outcome = ${report.outcome}, phase = 'ended', ended_at = UTC_TIMESTAMP(6) WHERE pipeline = ${pipeline} AND generation = ${generation}${open}`,
  );
}
