import { control, physicalTable, TABLE_KINDS, type TableKind } from '../src/model/names.js';
import type { RunSpec } from '../src/model/spec.js';
import { evictUpTo } from '../src/mysql/attempts.js';
import { belongingsOf } from '../src/mysql/belongings.js';
import type { Session } from '../src/mysql/connection.js';
import { dropTables } from '../src/mysql/tables.js';
import { logTriggers } from '../src/sql/capture.js';
import { releaseFromRollback } from '../src/sql/control.js';
import { takeBackRun } from '../src/sql/settle.js';
import { id, sql } from '../src/sql/text.js';
import { type Dependencies, isSwapped, onRun } from './context.js';
import { dropOwnTriggers } from './under-lock.js';

/** What a run makes for each table, live's predecessor aside. */
const RUN_TABLES = (Object.keys(TABLE_KINDS) as TableKind[]).filter((kind) => kind !== 'backup');

/** Compensation: a run that does not come to its swap takes back what it has made. */
export function undoActivities(dependencies: Dependencies) {
  /** Compensation: everything that the run made goes, live stays as it is. After the swap it does nothing: the tables decide. */
  const undo = onRun(
    dependencies,
    null,
    async (session, spec): Promise<{ undone: boolean }> => {
      // The steps before have ended: one of them that is still there has slept, and may hold the fence.
      await evictUpTo(session, spec.pipeline, spec.generation);
      if (!(await shutOut(session, spec))) return { undone: false };
      await takeBackTables(dependencies, session, spec);
      return { undone: true };
    },
    { ofEnded: true },
  );
  return { undo };
}

/** Drops what a run made before its swap, triggers before the tables that they write to, and what it wrote down. */
export async function takeBackTables(
  dependencies: Dependencies,
  session: Session,
  spec: RunSpec,
): Promise<void> {
  const { pipeline, generation } = spec;
  if (spec.kind === 'rollback') await session.run(releaseFromRollback(spec));
  // A plan claims nothing: what has the same name may be another pipeline's by now.
  const belongs = await belongingsOf(session, pipeline);
  const ours = spec.tables.filter(({ live }) => belongs({ generation, live }));
  for (const table of ours) {
    const names = logTriggers(spec, table).map(({ name }) => name);
    await dropOwnTriggers(dependencies, session, spec, table.live, (name) => names.includes(name));
  }
  await session.run(sql`SET SESSION foreign_key_checks = 0`);
  const made = [...ours]
    .reverse()
    .flatMap(({ live }) => RUN_TABLES.map((kind) => physicalTable(generation, kind, live)));
  await dropTables(session, made);
  for (const written of [control.chunk, control.conflict])
    await session.run(
      sql`DELETE FROM ${id(written)} WHERE pipeline = ${pipeline} AND generation = ${generation}`,
    );
  await session.run(takeBackRun(spec));
}

/**
 * Before anything is taken back, the run loses the pipeline: an attempt that slept, its cut-over above all, finds the
 * fence shut when it wakes up. Else it could swap while capture's triggers are already gone.
 *
 * @returns false if the swap was executed: then nothing is taken back, and the run keeps the pipeline
 */
async function shutOut(session: Session, spec: RunSpec): Promise<boolean> {
  return session.transaction(async () => {
    // Waits for a cut-over, which holds this table locked, and keeps the next one waiting until this is decided.
    await session.rows(
      sql`SELECT generation FROM ${id(control.pipeline)} WHERE pipeline = ${spec.pipeline} FOR UPDATE`,
    );
    if (await isSwapped(session, spec)) return false;
    await session.run(
      sql`UPDATE ${id(control.pipeline)} SET generation = generation + 1 WHERE pipeline = ${spec.pipeline} AND generation = ${spec.generation}`,
    );
    return true;
  });
}
