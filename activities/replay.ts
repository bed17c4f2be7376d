import { StageswapError } from '../src/model/failures.js';
import { physicalTable } from '../src/model/names.js';
import { TAIL_EDITS_MAX } from '../src/model/replay.js';
import { hasChecks, type RunSpec, type TableSpec, tableOf } from '../src/model/spec.js';
import type { Session } from '../src/mysql/connection.js';
import {
  collectReplayKeys,
  countPending,
  type LoggedEdits,
  markMerged,
  pendingIds,
  takePending,
} from '../src/sql/capture.js';
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
import { anyPending, markTried } from '../src/sql/settle.js';
import { type Fragment, id, sql } from '../src/sql/text.js';
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
      return replayTaken(session, spec, pending);
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

/** Merges the edits of a round again: rows of the log, by id. @returns how many they were */
async function replayTaken(session: Session, spec: RunSpec, pending: Map<string, string[]>): Promise<number> {
  const idsOf = (table: TableSpec) => pending.get(table.live) ?? [];
  const taking = spec.tables.filter((table) => idsOf(table).length > 0);
  const counts = await session.runAll(taking.map((table) => takePending(spec, table, idsOf(table))));
  const edited = taking.filter((_, index) => (counts[index] ?? 0) > 0);
  await replayEdited(session, spec, edited, 'taken');
  return sum(counts);
}

/**
 * Merges all pending edits, again. Only under the lock, where none can come to them.
 *
 * @param pending by table
 * @throws {StageswapError} ProofFailed: as many were not merged
 */
export async function replayPending(session: Session, spec: RunSpec, pending: number[]): Promise<void> {
  const edited = spec.tables.filter((_, index) => (pending[index] ?? 0) > 0);
  const merged = sum(await replayEdited(session, spec, edited, 'pending'));
  if (merged !== sum(pending))
    throw new StageswapError(
      'ProofFailed',
      `${sum(pending)} edits were pending under the lock, and ${merged} were merged. Live is untouched. Run again.`,
    );
}

/**
 * Merges the keys of logged edits of the whole group again, with the rows that hang on them by foreign keys and unique indexes, as
 * one set; part of the caller's transaction or lock.
 *
 * @returns edits that are merged now, by table
 */
async function replayEdited(
  session: Session,
  spec: RunSpec,
  edited: TableSpec[],
  edits: LoggedEdits,
): Promise<number[]> {
  if (edited.length === 0) return [];
  const collect = edited.flatMap((table) => collectReplayKeys(spec, table, edits));
  await session.runAll([...forgetKeys(spec), ...collect]);
  await mergeGroup(session, spec, edited);
  return session.runAll(edited.map((table) => markMerged(spec, table, edits)));
}

/** Merges the collected keys of some tables, and their closure, again. */
async function mergeGroup(session: Session, spec: RunSpec, collected: TableSpec[]): Promise<void> {
  const active = new Set(collected.map((table) => table.live));
  await close(session, spec, active);
  await session.runAll(spec.tables.filter(waitsInMerged).map((table) => emptyMerged(spec, table)));
  const of = () => spec.tables.filter((table) => active.has(table.live));
  await mergeKeys(session, spec, of());
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
    added = sum(found);
  } while (added > 0);
}

const KEYS: Scope = { kind: 'keys' };

/** Merges the collected keys of tables, all at once. What is seldom needed is asked for first: under the lock each statement counts. */
async function mergeKeys(session: Session, spec: RunSpec, tables: TableSpec[]): Promise<void> {
  const counting = tables.flatMap((table) => {
    const { incoming, liveOnly } = countMerge(spec, table, KEYS);
    return [incoming, liveOnly];
  });
  const settling = spec.kind === 'publish' ? tables.slice(0, 1).map((table) => anyPending(spec, table)) : [];
  const found = await session.rowsOfAll<Record<string, string>>([...counting, ...settling]);
  const countsOf = (index: number) => ({
    incoming: found[2 * index]?.[0],
    liveOnly: found[2 * index + 1]?.[0],
  });
  await session.runAll(tables.flatMap((table, index) => mergeOf(spec, table, countsOf(index))));
  const isSettling = (found[counting.length]?.length ?? 0) > 0;
  for (const table of tables) {
    const into = targetOf(table);
    if (isSettling) await settleKeys(session, spec, table, into);
    if (hasChecks(table))
      await takeAsLive(session, spec, table, [findBroken(spec, table)], 'check', 'keys', into);
    if (spec.badRows === 'quarantine')
      await takeAsLive(session, spec, table, [findBadRows(spec, table, 'keys')], 'bad', 'keys', into);
  }
}

const targetOf = (table: TableSpec) => (waitsInMerged(table) ? 'merged' : 'stage');

/** The statements that merge the collected keys of a table, without those that its counts make needless. */
function mergeOf(
  spec: RunSpec,
  table: TableSpec,
  { incoming = {}, liveOnly = {} }: Record<'incoming' | 'liveOnly', Record<string, string> | undefined>,
): Fragment[] {
  const merge = mergeInto(spec, table, KEYS, targetOf(table));
  const held = recordHeldBack(spec, table, KEYS);
  return [
    ...Object.values(forget(spec, table, 'replayKeys')),
    merge.both,
    ...(Number(incoming.incoming) > Number(incoming.in_both) ? [merge.incomingOnly] : []),
    merge.liveOnly,
    ...(Number(incoming.conflicts) + Number(liveOnly.conflicts) > 0
      ? [...(held ? [held] : []), ...recordConflicts(spec, table, KEYS)]
      : []),
  ];
}

/** Edits in the log that no replay has merged. */
export async function pendingEdits(session: Session, spec: RunSpec): Promise<number> {
  return sum(await pendingByTable(session, spec));
}

/** The same by table, in the order of the group. @param most of each no more than so many are counted; undefined: all */
export async function pendingByTable(session: Session, spec: RunSpec, most?: number): Promise<number[]> {
  const [row] = await session.rows<Record<string, string>>(countPending(spec, most));
  return spec.tables.map(({ ordinal, live }) => {
    const count = row?.[`n${ordinal}`];
    if (count === undefined) throw new Error(`the log of ${live} was not counted`);
    return Number(count);
  });
}

export const sum = (counts: number[]) => counts.reduce((total, count) => total + count, 0);
