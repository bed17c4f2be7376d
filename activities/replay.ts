import { physicalTable } from '../src/model/names.js';
import { TAIL_EDITS_MAX } from '../src/model/replay.js';
import { hasChecks, type RunSpec, type TableSpec, tableOf } from '../src/model/spec.js';
import type { Session } from '../src/mysql/connection.js';
import { collectReplayKeys, markMerged, pendingIds, takePending } from '../src/sql/capture.js';
import { findBroken } from '../src/sql/checks.js';
import {
  closeDownwards,
  closeOverUnique,
  closeUpwards,
  emptyMerged,
  findBadRows,
  mergedIntoStage,
  waitsInMerged,
} from '../src/sql/group.js';
import {
  countMerge,
  forget,
  mergeInto,
  recordConflicts,
  recordHeldBack,
  type Scope,
} from '../src/sql/merge.js';
import { markTried } from '../src/sql/settle.js';
import { type Fragment, id, join, raw, sql } from '../src/sql/text.js';
import {
  againAfterRace,
  type Dependencies,
  holdFence,
  onlyOneAtATime,
  onRun,
  stopIfCancelled,
  WORK_MS_MAX,
} from './context.js';
import { foreignKeyRules, separateReplayed, takeAsLive } from './group.js';
import { collectUntried, settleKeys } from './settlements.js';

const EDITS_A_ROUND_MAX = 5_000;

export interface Replayed {
  /** edits that were merged again */
  replayed: number;
  /** edits that wait in the log */
  pending: number;
}

/** Replay: merges the keys of logged edits again, by state, through the same merge. */
export function replayActivities(dependencies: Dependencies) {
  /** Replays in rounds until few edits wait. */
  const replay = onRun(dependencies, 'replay', async (session, spec): Promise<Replayed> => {
    await replaySettlements(session, spec);
    return replayRounds(session, spec, { pendingMax: TAIL_EDITS_MAX, workMsMax: WORK_MS_MAX });
  });
  return { replay };
}

/** Replays round after round, each a transaction, until at most `pendingMax` edits wait or the time is over. */
export async function replayRounds(
  session: Session,
  spec: RunSpec,
  limits: { pendingMax: number; workMsMax: number },
): Promise<Replayed> {
  const until = Date.now() + limits.workMsMax;
  let replayed = 0;
  for (;;) {
    stopIfCancelled();
    const round = async () => {
      await holdFence(session, spec);
      await onlyOneAtATime(session, spec);
      const pending = new Map<string, string[]>();
      for (const table of spec.tables) {
        const rows = await session.rows<{ id: string }>(pendingIds(spec, table, EDITS_A_ROUND_MAX));
        pending.set(
          table.live,
          rows.map((row) => row.id),
        );
      }
      return replayGroup(session, spec, (table) => pending.get(table.live) ?? []);
    };
    replayed += await againAfterRace(() => session.transaction(round));
    const pending = await pendingEdits(session, spec);
    if (pending <= limits.pendingMax || Date.now() > until) return { replayed, pending };
  }
}

/**
 * Merges what an operator has settled since this run looked last, by key, like logged edits. May be repeated until the
 * cut-over: conflicts are settled while the run waits for approval.
 */
export async function replaySettlements(session: Session, spec: RunSpec): Promise<void> {
  if (spec.kind === 'rollback') return;
  for (let more = true; more; ) {
    const batch = async () => {
      await holdFence(session, spec);
      await onlyOneAtATime(session, spec);
      await session.runAll(forgetKeys(spec));
      const settled: TableSpec[] = [];
      const tried: string[] = [];
      for (const table of spec.tables) {
        const settlements = await collectUntried(session, spec, table);
        if (settlements.length > 0) settled.push(table);
        tried.push(...settlements);
      }
      if (tried.length === 0) return false;
      await mergeGroup(session, spec, settled);
      await session.run(markTried(spec, tried));
      return true;
    };
    more = await againAfterRace(() => session.transaction(batch));
  }
}

const forgetKeys = (spec: RunSpec): Fragment[] =>
  spec.tables.map(({ live }) => sql`DELETE FROM ${id(physicalTable(spec.generation, 'replayKeys', live))}`);

/**
 * Merges pending keys of the whole group again, with the rows that hang on them by foreign keys and unique indexes, as
 * one set; part of the caller's transaction or lock.
 *
 * @returns edits replayed
 */
export async function replayGroup(
  session: Session,
  spec: RunSpec,
  take: (table: TableSpec) => string[] | 'all',
): Promise<number> {
  const pending = spec.tables
    .map((table) => ({ table, ids: take(table) }))
    .filter(({ ids }) => ids.length > 0);
  const counts = await session.runAll(pending.map(({ table, ids }) => takePending(spec, table, ids)));
  const edited = pending.filter((_, index) => (counts[index] ?? 0) > 0).map(({ table }) => table);
  if (edited.length === 0) return 0;
  await session.runAll([...forgetKeys(spec), ...edited.flatMap((table) => collectReplayKeys(spec, table))]);
  await mergeGroup(session, spec, edited);
  await session.runAll(edited.map((table) => markMerged(spec, table)));
  return counts.reduce((sum, count) => sum + count, 0);
}

/** Merges the collected keys of some tables, and their closure, again. */
async function mergeGroup(session: Session, spec: RunSpec, collected: TableSpec[]): Promise<void> {
  const active = new Set(collected.map((table) => table.live));
  await close(session, spec, active);
  await session.runAll(spec.tables.filter(waitsInMerged).map((table) => emptyMerged(spec, table)));
  const of = () => spec.tables.filter((table) => active.has(table.live));
  const counts = await session.rowsOfAll<Record<string, string>>(
    of().flatMap((table) => {
      const { incoming, liveOnly } = countMerge(spec, table, KEYS);
      return [incoming, liveOnly];
    }),
  );
  for (const [index, table] of of().entries())
    await mergeKeys(session, spec, table, counts[2 * index]?.[0] ?? {}, counts[2 * index + 1]?.[0] ?? {});
  // In the order of `settleGroup`: a row that is held back for its parent collides with none.
  do {
    await foreignKeyRules(session, spec, 'keys', active);
  } while (await separateReplayed(session, spec, active));
  await session.runAll(
    of()
      .filter(waitsInMerged)
      .map((table) => mergedIntoStage(spec, table)),
  );
}

/**
 * The closure of the replayed keys: what the rules across the group decided because of them is decided again, and what
 * was decided because of that, until no key comes to it.
 */
async function close(session: Session, spec: RunSpec, active: Set<string>): Promise<void> {
  let added: number;
  do {
    const steps: { table: TableSpec; find: Fragment }[] = [];
    for (const table of [...spec.tables].reverse())
      for (const key of table.foreignKeys)
        if (active.has(table.live))
          steps.push({ table: tableOf(spec, key.parent), find: closeUpwards(spec, table, key) });
    for (const table of spec.tables) {
      for (const key of table.foreignKeys)
        if (active.has(key.parent)) steps.push({ table, find: closeDownwards(spec, table, key) });
      if (table.uniqueIndexes.length > 0 && active.has(table.live))
        steps.push({ table, find: closeOverUnique(spec, table) });
    }
    const found = await session.runAll(steps.map(({ find }) => find));
    for (const [index, { table }] of steps.entries()) if ((found[index] ?? 0) > 0) active.add(table.live);
    added = found.reduce((sum, count) => sum + count, 0);
  } while (added > 0);
}

const KEYS: Scope = { kind: 'keys' };

/** What is seldom needed is asked for first: under the lock each statement counts. */
async function mergeKeys(
  session: Session,
  spec: RunSpec,
  table: TableSpec,
  incoming: Record<string, string>,
  liveOnly: Record<string, string>,
): Promise<void> {
  const into = waitsInMerged(table) ? 'merged' : 'stage';
  const merge = mergeInto(spec, table, KEYS, into);
  const held = recordHeldBack(spec, table, KEYS);
  await session.runAll([
    ...Object.values(forget(spec, table, 'replayKeys')),
    merge.both,
    ...(Number(incoming.incoming) > Number(incoming.in_both) ? [merge.incomingOnly] : []),
    merge.liveOnly,
    ...(Number(incoming.conflicts) + Number(liveOnly.conflicts) > 0
      ? [...(held ? [held] : []), ...recordConflicts(spec, table, KEYS)]
      : []),
  ]);
  await settleKeys(session, spec, table, into);
  if (hasChecks(table))
    await takeAsLive(session, spec, table, [findBroken(spec, table)], 'check', 'keys', into);
  if (spec.badRows === 'quarantine')
    await takeAsLive(session, spec, table, [findBadRows(spec, table, 'keys')], 'bad', 'keys', into);
}

/** Edits in the log that no replay has merged. @param most of each table no more than so many are counted; undefined: all */
export async function pendingEdits(session: Session, spec: RunSpec, most?: number): Promise<number> {
  const limit = raw(most === undefined ? '' : `LIMIT ${most}`);
  const counts = spec.tables.map(
    ({ live }) =>
      sql`(SELECT COUNT(*) FROM (SELECT 1 FROM ${id(physicalTable(spec.generation, 'log', live))} WHERE _ss_applied = 0 ${limit}) AS pending)`,
  );
  const [row] = await session.rows<{ n: string }>(sql`SELECT ${join(counts, ' + ')} AS n`);
  return Number(row?.n ?? 0);
}
