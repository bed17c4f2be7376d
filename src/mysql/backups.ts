import { StageswapError } from '../model/failures.js';
import { lineFrom } from '../model/lineage.js';
import { control, physicalTable } from '../model/names.js';
import type { RunSpec } from '../model/spec.js';
import { id, sql } from '../sql/text.js';
import type { Session } from './connection.js';
import { namesOf, pastRuns, runRowsOf } from './past-runs.js';
import { publishedGeneration } from './published.js';

/** A predecessor of live that is still there. */
export interface Backup {
  /** `7-with-edits`: the latest, a rollback keeps what clients changed since; `5-without-edits`: it is restored as it is */
  name: string;
  /** of the publish that it was live before */
  generation: number;
  keepsEdits: boolean;
  /** UTC, as MySQL prints it: when that run ended; null: it is not known to have ended */
  publishedAt: string | null;
  spec: RunSpec;
}

const NAME = /^([1-9]\d{0,6})-(with|without)-edits$/;

/** Backups of the line that is live, newest first; only those whose tables and base are all there. */
export async function readBackups(session: Session, pipeline: string): Promise<Backup[]> {
  const at = await publishedGeneration(session, pipeline);
  if (at === 0) return [];
  const rows = await runRowsOf(session, pipeline);
  const { tables } = await namesOf(session, pipeline);
  const there = new Set(tables);
  const line = lineFrom(at, pastRuns(rows, at, there));
  const ended = await session.rows<{ generation: string; ended_at: string | null }>(
    sql`SELECT generation, ended_at FROM ${id(control.run)} WHERE pipeline = ${pipeline}`,
  );
  return line.flatMap((generation) => {
    const spec = rows.find((row) => row.spec.generation === generation)?.spec;
    if (!spec) return [];
    const has = (of: number, kind: 'backup' | 'firstTouch' | 'baseNext') =>
      spec.tables.every((table) => there.has(physicalTable(of, kind, table.live)));
    const base = spec.baseGeneration;
    if (!has(generation, 'backup') || (base !== null && !has(base, 'baseNext'))) return [];
    const endedAt = ended.find((row) => Number(row.generation) === generation)?.ended_at ?? null;
    const called = (keepsEdits: boolean): Backup => ({
      name: `${generation}-${keepsEdits ? 'with' : 'without'}-edits`,
      generation,
      keepsEdits,
      publishedAt: endedAt,
      spec,
    });
    return [...(generation === at && has(generation, 'firstTouch') ? [called(true)] : []), called(false)];
  });
}

/** A rollback that took the latest publish back. */
export interface TakenBack {
  /** the publish that it took back */
  undid: number;
  generation: number;
  /** UTC, as MySQL prints it; null: it is not known to have ended */
  endedAt: string | null;
  runId: string;
}

/** The rollback since which nothing was published; undefined: the latest publish stands. */
export async function readTakenBack(session: Session, pipeline: string): Promise<TakenBack | undefined> {
  const [row] = await session.rows<
    Record<'generation' | 'run_id' | 'undid', string> & { ended_at: string | null }
  >(
    sql`SELECT generation, run_id, ended_at, JSON_VALUE(spec, '$.undoes') AS undid FROM ${id(control.run)}
WHERE pipeline = ${pipeline} AND kind IN ('publish', 'rollback') AND outcome IN ('published', 'rolledBack')
ORDER BY generation DESC LIMIT 1`,
  );
  if (!row?.undid) return undefined;
  return {
    undid: Number(row.undid),
    generation: Number(row.generation),
    endedAt: row.ended_at,
    runId: row.run_id,
  };
}

/**
 * The backup that a rollback goes to.
 *
 * @param takenBack why the latest publish has no backup with edits: a rollback took it back, or there was none
 * @param name as `readBackups` says it; undefined: the latest, with edits
 * @throws {StageswapError} NothingToRollBack: there is none, or none of that name; Mistyped: none has such a name
 */
export function chooseBackup(
  pipeline: string,
  backups: Backup[],
  name: string | undefined,
  takenBack?: TakenBack | 'never',
): Backup {
  const found = backups.find((backup) => (name === undefined ? backup.keepsEdits : backup.name === name));
  if (found) return found;
  const names = backups.map((backup) => backup.name).join(', ');
  if (name !== undefined && !NAME.test(name))
    throw new StageswapError(
      'Mistyped',
      `${name} is no name of a backup, such as 5-without-edits. There are: ${names || 'none'}.`,
    );
  const rest =
    names === '' ? 'No backup is left.' : `What is left is restored by rollback --to-backup: ${names}.`;
  if (takenBack === 'never')
    throw new StageswapError(
      'NothingToRollBack',
      `${pipeline} has never published, so that there is nothing to roll back.`,
    );
  if (name === undefined && takenBack) {
    const { undid, generation, endedAt, runId } = takenBack;
    const when = endedAt === null ? '' : ` at ${endedAt.slice(0, 19)} UTC`;
    throw new StageswapError(
      'NothingToRollBack',
      `The latest publish of ${pipeline}, number ${undid} of stageswap history, was rolled back already${when}, by number ${generation} (run ${runId}). ${rest}`,
    );
  }
  throw new StageswapError(
    'NothingToRollBack',
    name === undefined
      ? `${pipeline} has published nothing that could be rolled back with the edits since: its rollback window has closed. ${rest}`
      : `${pipeline} has no backup ${name}. ${rest}`,
  );
}
