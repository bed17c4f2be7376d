import { StageswapError } from '../src/model/failures.js';
import { control } from '../src/model/names.js';
import type { RunSpec } from '../src/model/spec.js';
import type { Session } from '../src/mysql/connection.js';
import { definitionOf } from '../src/mysql/fingerprint.js';
import { specOf } from '../src/mysql/run-row.js';
import { id, sql } from '../src/sql/text.js';
import { activity, type Dependencies, loadSpec, onTarget, type RunRef } from './context.js';
import { type Begun, beginning, begun, nextGeneration, shutOutOlder } from './runs.js';

/** A run begins again, since what it has read from the source became too old while it waited. */
export function renewActivities(dependencies: Dependencies) {
  /**
   * Gives a run that was taken back a new generation: the same run with the same frozen configuration, and a fence that
   * shuts out whatever still works for the generation before. Repeatable by run id.
   *
   * @param ref the generation that was taken back
   * @throws {StageswapError} LiveChanged: the frozen columns are not live's any more; Fenced: another run owns the pipeline
   */
  const renew = activity(
    async (ref: RunRef, runId: string): Promise<Begun> =>
      onTarget(dependencies, beginning(ref.pipeline), async (session) => {
        const known = await specOf(session, ref.pipeline, { runId });
        const spec =
          known && known.generation !== ref.generation
            ? known
            : await session.transaction(() => renewed(session, ref, runId));
        await shutOutOlder(session, spec);
        return begun(spec, dependencies);
      }),
  );
  return { renew };
}

async function renewed(session: Session, ref: RunRef, runId: string): Promise<RunSpec> {
  await refuseTaken(session, ref);
  const old = await loadSpec(session, ref);
  const generation = await nextGeneration(session, ref.pipeline);
  for (const table of old.tables)
    if ((await definitionOf(session, table.live)).fingerprint !== table.fingerprint)
      throw new StageswapError(
        'LiveChanged',
        `the definition of ${table.live} changed while the run waited (a migration?). Live is untouched. Run again.`,
      );
  const spec = { ...old, generation };
  await session.run(
    sql`UPDATE ${id(control.run)} SET generation = ${generation}, phase = 'preflight', spec = ${JSON.stringify(spec)} WHERE pipeline = ${ref.pipeline} AND run_id = ${runId}`,
  );
  return spec;
}

/** A run that was taken back has raised the generation by one: more, and somebody else has begun. */
async function refuseTaken(session: Session, { pipeline, generation }: RunRef): Promise<void> {
  const rows = await session.rows<{ generation: number }>(
    sql`SELECT generation FROM ${id(control.pipeline)} WHERE pipeline = ${pipeline} FOR UPDATE`,
  );
  if (Number(rows[0]?.generation) === generation + 1) return;
  throw new StageswapError(
    'Fenced',
    `another run of ${pipeline} owns its tables; run ${generation} changes nothing more`,
  );
}
