import { ApplicationFailure, Context } from '@temporalio/activity';
import { type FailureType, StageswapError } from '../src/model/failures.js';
import { isSnapshotUpTo, snapshotDatabase, snapshotDatabasePrefix } from '../src/model/names.js';
import type { Moment, RunSpec } from '../src/model/spec.js';
import { isPassing, type SourcePool } from '../src/sql-server/connection.js';
import { quotedTable } from '../src/sql-server/keys.js';
import { createDatabaseSnapshot, databasesNamed, dropDatabaseSnapshot } from '../src/sql-server/moment.js';
import { type Dependencies, Late, onRun, onSource, source, stopIfCancelled } from './context.js';

/** A run that ends, or is aborted, waits so long for a moment to be given up; the next one drops what is left. */
const CLOSE_LIMITS = { connectMsMax: 5_000, msMax: 60_000 };

/** The moment as of which every table of the source is read, where there is one. */
export function momentActivities(dependencies: Dependencies) {
  /** Opens one moment of the source: a database snapshot, or, where none can be had, the word that it must be a transaction. */
  const openMoment = onRun(
    dependencies,
    'ingest',
    async (_, spec): Promise<{ moment: Moment; because?: string }> => {
      if (spec.moment === 'transaction' || spec.moment === 'fuzzy') return { moment: spec.moment };
      const { database } = source(dependencies.config(spec.pipeline));
      try {
        await onSource(dependencies, spec.pipeline, async (pool) => {
          // One that a worker which hangs still reads cannot go yet, and is no reason to read otherwise.
          await dropSnapshots(pool, database, spec.pipeline, spec.generation - 1).catch((error: unknown) => {
            stopIfCancelled();
            if (isPassing(error)) throw error;
            Context.current().log.warn('a database snapshot of an earlier run could not be dropped', {
              error: error instanceof Error ? error.message : String(error),
            });
          });
          await createDatabaseSnapshot(pool, database, snapshotOf(dependencies, spec));
        });
        await tryToRead(dependencies, spec);
        return { moment: 'snapshot' };
      } catch (error) {
        stopIfCancelled();
        if (isPassing(error) || (error instanceof StageswapError && error.type === 'Unreachable'))
          throw error;
        const because = error instanceof Error ? error.message : String(error);
        if (spec.moment === 'snapshot')
          throw new StageswapError(
            'Refused',
            `The source makes no database snapshot: ${because} Grant the right, or set moment: auto.`,
            { cause: error },
          );
        return { moment: 'transaction', because };
      }
    },
  );

  /** Drops the database snapshots of the pipeline, this run's and those that a terminated one has left. */
  const closeMoment = onRun(
    dependencies,
    null,
    async (_, spec): Promise<void> => {
      if (spec.moment === 'transaction' || spec.moment === 'fuzzy') return;
      const { database } = source(dependencies.config(spec.pipeline));
      await onSource(
        dependencies,
        spec.pipeline,
        (pool) => dropSnapshots(pool, database, spec.pipeline, spec.generation),
        CLOSE_LIMITS,
      ).catch((error: unknown) => {
        throw error instanceof Late ? notDropped(spec, error) : error;
      });
    },
    { ofEnded: true },
  );

  return { openMoment, closeMoment };
}

/** Not tried again: each attempt would wait as long. */
const notDropped = ({ pipeline, generation }: RunSpec, { ms }: Late) =>
  ApplicationFailure.nonRetryable(
    `SQL Server has not dropped the database snapshots of ${pipeline} up to run ${generation} within ${ms / 1_000} s. The next run drops them.`,
    'Unreachable' satisfies FailureType,
  );

/** The name of a run's database snapshot. */
export function snapshotOf(dependencies: Dependencies, spec: RunSpec): string {
  return snapshotDatabase(
    source(dependencies.config(spec.pipeline)).database,
    spec.pipeline,
    spec.generation,
  );
}

/** An engine may take the statement and make an empty database of it: then no table is there to be read. */
async function tryToRead(dependencies: Dependencies, spec: RunSpec): Promise<void> {
  await onSource(
    dependencies,
    spec.pipeline,
    async (pool) => {
      for (const table of spec.tables)
        await pool.request().query(`SELECT TOP (1) 1 AS seen FROM ${quotedTable(table)}`);
    },
    { database: snapshotOf(dependencies, spec), connectionsMax: 1 },
  );
}

/** Drops the pipeline's database snapshots up to a generation; an engine that does not list its databases has none. */
async function dropSnapshots(
  pool: SourcePool,
  database: string,
  pipeline: string,
  generation: number,
): Promise<void> {
  const prefix = snapshotDatabasePrefix(database, pipeline);
  const names = await databasesNamed(pool, prefix).catch((error: unknown) => {
    if (isPassing(error)) throw error;
    return [];
  });
  for (const name of names) {
    if (isSnapshotUpTo(name, prefix, generation)) await dropDatabaseSnapshot(pool, name);
  }
}
