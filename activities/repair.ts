import type { Config } from '../src/config/load.js';
import { lineFrom } from '../src/model/lineage.js';
import {
  control,
  isSnapshotUpTo,
  markerTable,
  physicalTable,
  snapshotDatabasePrefix,
} from '../src/model/names.js';
import type { RepairFinding, Report } from '../src/model/report.js';
import type { RunSpec } from '../src/model/spec.js';
import { forgetAttempts } from '../src/mysql/attempts.js';
import type { Session } from '../src/mysql/connection.js';
import { endRun, insertRun } from '../src/mysql/run-row.js';
import { findingsOf, type Survey, standing, survey, type Unfinished } from '../src/mysql/survey.js';
import { dropTables } from '../src/mysql/tables.js';
import { createControlTables } from '../src/sql/control.js';
import { takeBackSince } from '../src/sql/settle.js';
import { createKeyTables } from '../src/sql/stage.js';
import { id, sql } from '../src/sql/text.js';
import { sentence } from '../src/sql-server/connection.js';
import { databasesNamed, dropDatabaseSnapshot } from '../src/sql-server/moment.js';
import { carryBaseOf } from './carry-base.js';
import {
  activity,
  type Dependencies,
  onSource,
  onTarget,
  type RunRef,
  source,
  stopIfCancelled,
} from './context.js';
import { pendingEdits } from './replay.js';
import { type Begun, beginning, evictOthers, nextGeneration, shutOutOlder } from './runs.js';
import { closeOver } from './settlements.js';
import { dropTriggers } from './under-lock.js';
import { takeBackTables } from './undo.js';

/** What a step of repair did, and what it could not do; a sentence each. */
export interface Repaired {
  done: string[];
  left: string[];
}

/**
 * Repair: order again from what MySQL says alone, when Temporal's history is gone or a run was terminated. Every step looks
 * anew, and does nothing where nothing is found.
 */
export function repairActivities(dependencies: Dependencies) {
  const look = (session: Session, pipeline: string) => {
    const config = dependencies.config(pipeline);
    return survey(session, pipeline, livesOf(config), config.backups);
  };
  /** A step on a survey of its own. */
  const step = (work: (session: Session, ref: RunRef, found: Survey, told: Repaired) => Promise<void>) =>
    activity(async (ref: RunRef): Promise<Repaired> => {
      const told: Repaired = { done: [], left: [] };
      await onTarget(dependencies, ref, async (session) => {
        const found = await look(session, ref.pipeline);
        if (found && found.undecided.length === 0) await work(session, ref, found, told);
      });
      return told;
    });

  /** Looks, and takes the pipeline if there is something to do: whoever else is at work loses it. Repeatable by run id. */
  const beginRepair = activity(
    async (
      pipeline: string,
      runId: string,
    ): Promise<{ begun: Begun | null; found: RepairFinding[]; undecided: RepairFinding[] }> =>
      onTarget(dependencies, beginning(pipeline), async (session) => {
        // A run whose workflow is gone may still be beginning: it would write its record behind this look.
        await evictOthers(session, pipeline);
        const seen = await look(session, pipeline);
        const found = seen ? findingsOf(seen) : [];
        const undecided = seen?.undecided ?? [];
        if (found.length === 0 || undecided.length > 0) return { begun: null, found, undecided };
        for (const statement of createControlTables()) await session.run(statement);
        const generation = await session.transaction(async () => {
          const known = await session.rows<{ generation: string }>(
            sql`SELECT generation FROM ${id(control.run)} WHERE pipeline = ${pipeline} AND run_id = ${runId}`,
          );
          if (known[0]) return Number(known[0].generation);
          const next = await nextGeneration(session, pipeline);
          await insertRun(session, { pipeline, runId, generation: next, tables: [] }, 'repair');
          return next;
        });
        await shutOutOlder(session, { pipeline, generation });
        const { replay, cutOver } = dependencies.config(pipeline);
        const begun: Begun = {
          pipeline,
          generation,
          runId,
          tables: [],
          parallel: 1,
          firstPublish: false,
          approve: 'never',
          approvalHoursMax: 0,
          replay,
          heldMsMax: cutOver.heldMsMax,
        };
        return { begun, found, undecided };
      }),
  );

  /** Triggers first: one whose log is gone lets every write of a client fail. */
  const repairTriggers = step(async (session, ref, found, { done }) => {
    const { window } = found;
    const doomed = found.brokenWindow ? [...found.triggers, ...window.triggers] : found.triggers;
    // Also where the table has left the configuration: clients read it, and would queue behind a pending DROP TRIGGER.
    const dropped = await dropTriggers(dependencies, session, lockingOf(dependencies, ref), doomed);
    for (const [on, names] of dropped)
      done.push(`dropped ${names.length} triggers on ${on}: ${names.join(', ')}`);
    if (!found.brokenWindow) return;
    await dropTables(session, window.images);
    done.push(`closed the rollback window of generation ${found.at}`);
  });

  /** Runs that have not ended: taken back where live is as it was before, finished where the swap was executed. */
  const repairRuns = step(async (session, ref, found, told) => {
    for (const run of found.unfinished) {
      const called = `${run.kind} ${run.generation}`;
      if (!run.swapped) {
        await takeBackTables(dependencies, session, run.spec);
        await closeRun(session, run, 'aborted', 'its workflow was gone: taken back by stageswap repair');
        told.done.push(`took ${called} back, and closed it as aborted`);
        continue;
      }
      const left = await finish(session, ref, found, run);
      if (left !== undefined) {
        told.left.push(left);
        continue;
      }
      const outcome = run.kind === 'rollback' ? 'rolledBack' : 'published';
      await closeRun(
        session,
        run,
        outcome,
        'its workflow was gone after the swap: finished by stageswap repair',
      );
      told.done.push(`finished ${called}, and closed it as ${outcome}`);
    }
  });

  /** What no rollback needs: tables of ended runs, rows of the ledger, and what dead runs did to conflicts and settlements. */
  const repairTables = step(async (session, ref, found, { done }) => {
    if (found.tables.length > 0) {
      await session.run(sql`SET SESSION foreign_key_checks = 0`);
      await dropTables(session, found.tables);
      done.push(`dropped ${found.tables.length} tables`);
    }
    if (found.states > 0) {
      await session.transaction(async () => {
        for (const statement of takeBackSince(ref.pipeline, found.at, ref.generation, standing(found)))
          await session.run(statement);
      });
      done.push(`put ${found.states} conflicts and settlements back`);
    }
    if (found.strayMarker) {
      await dropTables(session, [markerTable(ref.pipeline, 0)]);
      done.push('dropped the marker of nothing published');
    }
    await forgetAttempts(session, ref.pipeline, ref.generation);
  });

  /** Database snapshots that dead runs have left at the source; a source that is away keeps nothing else from being repaired. */
  const repairSource = activity(async (ref: RunRef): Promise<Repaired> => {
    const { database } = source(dependencies.config(ref.pipeline));
    try {
      return await onSource(
        dependencies,
        ref.pipeline,
        async (pool) => {
          const prefix = snapshotDatabasePrefix(database, ref.pipeline);
          const names = (await databasesNamed(pool, prefix)).filter((name) =>
            isSnapshotUpTo(name, prefix, ref.generation),
          );
          for (const name of names) await dropDatabaseSnapshot(pool, name);
          return { done: names.map((name) => `dropped database snapshot ${name} at the source`), left: [] };
        },
        { msMax: 60_000 }, // a source that hangs keeps nothing else from being repaired, either
      );
    } catch (error) {
      stopIfCancelled();
      const left = `database snapshots at the source, if there are any: ${sentence((error as Error).message)} The next run drops them.`;
      return { done: [], left: [left] };
    }
  });

  return { beginRepair, repairTriggers, repairRuns, repairTables, repairSource };
}

export const livesOf = (config: Config) => config.tables.map((table) => table.live);

/** What asking for a lock on live goes by: the configuration of now, since the run of that time may be gone. */
export function lockingOf(dependencies: Dependencies, { pipeline, generation }: RunRef) {
  return { pipeline, generation, cutOver: dependencies.config(pipeline).cutOver };
}

/**
 * The steps after the swap: no edit from before it may be left, what was held back gets its base, conflicts are closed.
 *
 * @returns what a person must look at; undefined: it is finished
 */
async function finish(
  session: Session,
  ref: RunRef,
  found: Survey,
  run: Unfinished,
): Promise<string | undefined> {
  const { spec } = run;
  if (await hasLog(session, spec)) {
    const pending = await pendingEdits(session, spec);
    if (pending > 0)
      return `${pending} edits from before the swap of run ${run.generation} are in its log and not in live: compare the tables _ss${run.generation}l_* with live`;
  }
  if (run.kind !== 'publish' || lineFrom(found.at, found.runs)[0] !== run.generation) return undefined;
  await carryBaseOf(session, ref, run.generation);
  for (const table of spec.tables)
    for (const statement of createKeyTables(spec, table)) await session.run(statement);
  await closeOver(session, spec);
  return undefined;
}

async function hasLog(session: Session, spec: RunSpec): Promise<boolean> {
  const first = physicalTable(spec.generation, 'log', '');
  const rows = await session.rows<{ name: string }>(
    sql`SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name LIKE ${`${first.replaceAll('_', '\\_')}%`}`,
  );
  return spec.tables.every((table) =>
    rows.some(({ name }) => name === physicalTable(spec.generation, 'log', table.live)),
  );
}

/** Closes a run's row, with a report of what is known of it. */
async function closeRun(
  session: Session,
  run: Unfinished,
  outcome: Report['outcome'],
  problem: string,
): Promise<void> {
  const { pipeline, runId } = run.spec;
  const report: Report = {
    pipeline,
    runId,
    outcome,
    moment: '',
    ms: 0,
    tables: [],
    edits: { captured: 0, replayedBefore: 0, replayedUnderLock: 0, handedIn: 0 },
    cutOver: { attempts: 0, heldMs: 0, queuedMs: 0 },
    phases: [],
    problem,
  };
  await endRun(session, run.spec, report, 'open');
}
