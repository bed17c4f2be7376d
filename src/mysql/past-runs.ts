import { lineFrom, type PastRun } from '../model/lineage.js';
import { control, parsePhysicalName, physicalTable } from '../model/names.js';
import type { RunSpec } from '../model/spec.js';
import { id, sql } from '../sql/text.js';
import { belongingsOf } from './belongings.js';
import type { Session } from './connection.js';

/** A run's row, with the specification that it was started with. */
export interface RunRow {
  kind: string;
  phase: string;
  outcome: string | null;
  spec: RunSpec;
}

/** Runs, rollbacks and plans of a pipeline, oldest first. */
export async function runRowsOf(session: Session, pipeline: string): Promise<RunRow[]> {
  const rows = await session.rows<Omit<RunRow, 'spec'> & { spec: string }>(
    sql`SELECT kind, phase, outcome, CAST(spec AS CHAR) AS spec FROM ${id(control.run)} WHERE pipeline = ${pipeline} AND kind IN ('publish', 'rollback', 'plan') ORDER BY generation`,
  );
  return rows.map((row) => ({ ...row, spec: JSON.parse(row.spec) as RunSpec }));
}

/**
 * Whether a run has swapped: it is on the line, its backup is there, or a rollback has taken it back.
 *
 * @param at the published generation
 * @param tables the pipeline's own
 */
export function pastRuns(rows: RunRow[], at: number, tables: Set<string>): PastRun[] {
  const runs = rows.map(({ kind, spec }): PastRun => {
    const backup = spec.tables.some((table) =>
      tables.has(physicalTable(spec.generation, 'backup', table.live)),
    );
    return {
      generation: spec.generation,
      kind: kind as PastRun['kind'],
      baseGeneration: spec.baseGeneration,
      undoes: spec.undoes,
      swapped: kind !== 'plan' && backup,
    };
  });
  const line = new Set(lineFrom(at, runs));
  const undone = new Set(runs.filter((run) => run.swapped).map((run) => run.undoes));
  for (const run of runs)
    if (run.kind === 'publish' && (line.has(run.generation) || undone.has(run.generation)))
      run.swapped = true;
  return runs;
}

/** The pipeline's runs as rows and tables tell them. @param at the published generation */
export async function pastRunsOf(session: Session, pipeline: string, at: number): Promise<PastRun[]> {
  const { tables } = await namesOf(session, pipeline);
  return pastRuns(await runRowsOf(session, pipeline), at, new Set(tables));
}

/** Everything in the schema that runs of the pipeline have made, by name, and the markers of all pipelines. */
export async function namesOf(
  session: Session,
  pipeline: string,
): Promise<{ tables: string[]; triggers: { name: string; on: string }[] }> {
  const tables = await session.rows<{ name: string }>(
    sql`SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name LIKE ${'\\_ss%'}`,
  );
  const triggers = await session.rows<{ name: string; on_table: string }>(
    sql`SELECT trigger_name AS name, event_object_table AS on_table FROM information_schema.triggers WHERE trigger_schema = DATABASE() AND trigger_name LIKE ${'\\_ss%'}`,
  );
  const belongs = await belongingsOf(session, pipeline);
  const isOurs = ({ name }: { name: string }) => {
    const parsed = parsePhysicalName(name);
    return parsed === undefined || belongs(parsed);
  };
  return {
    tables: tables.filter(isOurs).map(({ name }) => name),
    triggers: triggers.filter(isOurs).map(({ name, on_table }) => ({ name, on: on_table })),
  };
}
