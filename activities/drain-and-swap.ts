import { StageswapError } from '../src/model/failures.js';
import { markerTable, physicalTable } from '../src/model/names.js';
import type { RunSpec, TableSpec } from '../src/model/spec.js';
import type { Session } from '../src/mysql/connection.js';
import { definitionsOf, pointingFromOutside } from '../src/mysql/fingerprint.js';
import type { GIVE_BACK } from '../src/mysql/lock.js';
import { refuseNewer } from '../src/mysql/owner.js';
import { mayLive, olderSnapshots } from '../src/mysql/snapshots.js';
import { logTriggers } from '../src/sql/capture.js';
import { orphansOfReplay } from '../src/sql/orphans.js';
import { type MarkerNames, type SwapNames, swapGroup } from '../src/sql/swap.js';
import { id, raw, sql } from '../src/sql/text.js';
import { liveChanged } from './context.js';
import { type Readiness, UNDER_LOCK_EDITS_MAX } from './readiness.js';
import { pendingByTable, replayPending, sum } from './replay.js';

/** Where the milliseconds under the lock went: checks, drain, RENAME. */
export interface UnderLock {
  /** from the lock to the unlock; before there is one, to the RENAME */
  heldMs: number;
  /** checks before the drain, and what those beside it took longer than it */
  checkMs: number;
  drainMs: number;
  swapMs: number;
  replayedUnderLock: number;
}

/**
 * What is done under the lock: checks, drain, and the RENAME that is the swap.
 *
 * @param session holds the lock
 * @param beside reads live's definition while `session` drains: nobody can change it meanwhile
 * @param aboutToSwap told the figures right before the RENAME is sent
 * @returns GIVE_BACK where it would take too long: what was drained stays drained
 */
export async function drainAndSwap(
  { session, beside }: { session: Session; beside: Session },
  spec: RunSpec,
  counters: Counters,
  readiness: Readiness,
  aboutToSwap: (figures: UnderLock) => void,
): Promise<UnderLock | typeof GIVE_BACK> {
  const granted = performance.now();
  const pending = await pendingByTable(session, spec, UNDER_LOCK_EDITS_MAX + 1);
  const replayedUnderLock = sum(pending);
  if (replayedUnderLock > UNDER_LOCK_EDITS_MAX) return readiness.giveBack('tooManyEdits');
  await refuseNewer(session, spec);
  const [checked, drained] = await Promise.allSettled([
    refuseIfChanged(beside, spec),
    drain(session, spec, pending, readiness),
  ]);
  // first what has changed: a drain into another definition fails in words that do not say so
  if (checked.status === 'rejected') throw checked.reason;
  if (drained.status === 'rejected') throw drained.reason;
  await raiseCounters(session, spec, checked.value, counters);
  if (readiness.isStale) {
    const older = await olderSnapshots(session);
    if (mayLive(older) && !(await readiness.raiseUnderLock(older))) return readiness.giveBack('oldSnapshots');
  }
  const drainMs = drained.value;
  const ready = performance.now();
  const heldMs = ready - granted;
  const figures = { heldMs, checkMs: heldMs - drainMs, drainMs, swapMs: 0, replayedUnderLock };
  aboutToSwap(figures);
  await session.run(swapGroup(namesOf(spec), markerOf(spec)));
  return { ...figures, swapMs: performance.now() - ready };
}

/** Merges the edits that are left, and commits them. @param pending by table @returns milliseconds */
async function drain(
  session: Session,
  spec: RunSpec,
  pending: number[],
  readiness: Readiness,
): Promise<number> {
  const begun = performance.now();
  await replayPending(session, spec, pending);
  if (pending.some((count) => count > 0)) {
    await refuseNewOrphans(session, spec);
    readiness.isStale = true;
  }
  await session.connection.query('COMMIT');
  return performance.now() - begun;
}

/** A migration of live would be lost by the swap. @returns live's definitions, which are those of the run's beginning */
async function refuseIfChanged(session: Session, spec: RunSpec): Promise<Definitions> {
  const names = spec.tables.map((table) => table.live);
  const definitions = await definitionsOf(session, names);
  for (const table of spec.tables) {
    const live = definitions.get(table.live);
    if (live?.fingerprint !== table.fingerprint) throw liveChanged(table.live);
    const missing = logTriggers(spec, table).filter(({ name }) => !live.runTriggers.includes(name));
    if (missing.length > 0)
      throw new StageswapError(
        'LiveChanged',
        `somebody has dropped triggers of ${table.live} that log its edits: ${missing.map(({ name }) => name).join(', ')}. Edits may be missing in the log. Live is untouched. Run again.`,
      );
  }
  const outside = await pointingFromOutside(session, names);
  if (outside.length > 0)
    throw new StageswapError(
      'LiveChanged',
      `a foreign key from outside of the group points at it since the run began: ${outside.join(', ')}. Live is untouched. Drop it, or take that table into the pipeline.`,
    );
  return definitions;
}

/** What the group's tables are called in the swap. */
function namesOf(spec: RunSpec): SwapNames[] {
  const of = (kind: 'stage' | 'backup', live: string) => physicalTable(spec.generation, kind, live);
  return spec.tables.map(({ live }) => ({ live, stage: of('stage', live), backup: of('backup', live) }));
}

/** What the marker is called before the swap, and after it. */
export function markerOf(spec: RunSpec): MarkerNames {
  const before = spec.kind === 'rollback' ? (spec.undoes ?? 0) : (spec.baseGeneration ?? 0);
  const after = spec.kind === 'rollback' ? (spec.baseGeneration ?? 0) : spec.generation;
  return { from: markerTable(spec.pipeline, before), to: markerTable(spec.pipeline, after) };
}

type Definitions = Awaited<ReturnType<typeof definitionsOf>>;

/** Next AUTO_INCREMENT of each stage table, by live's name; null where there is none. */
export type Counters = Map<string, string | null>;

/** Gives stage live's counters, so that under the lock only those that move meanwhile are left. */
export async function carryAutoIncrement(session: Session, spec: RunSpec): Promise<Counters> {
  const stageOf = (table: TableSpec) => physicalTable(spec.generation, 'stage', table.live);
  const definitions = await definitionsOf(
    session,
    spec.tables.flatMap((table) => [table.live, stageOf(table)]),
  );
  const ofStage = (table: TableSpec) => definitions.get(stageOf(table))?.autoIncrement ?? null;
  const counters: Counters = new Map(spec.tables.map((table) => [table.live, ofStage(table)]));
  await raiseCounters(session, spec, definitions, counters);
  return counters;
}

/** Raises each of stage's counters that is lower than live's. */
async function raiseCounters(
  session: Session,
  spec: RunSpec,
  definitions: Definitions,
  counters: Counters,
): Promise<void> {
  for (const { live } of spec.tables) {
    const next = definitions.get(live)?.autoIncrement ?? null;
    const current = counters.get(live) ?? null;
    if (next === null || (current !== null && BigInt(current) >= BigInt(next))) continue;
    await session.run(
      sql`ALTER TABLE ${id(physicalTable(spec.generation, 'stage', live))} AUTO_INCREMENT = ${raw(next)}`,
    );
    counters.set(live, next);
  }
}

/** The drain must not leave a child without its parent; looked for among the replayed keys and their children only. */
async function refuseNewOrphans(session: Session, spec: RunSpec): Promise<void> {
  const asked = spec.tables.flatMap((table) =>
    orphansOfReplay(spec, table).map((orphans) => ({ ...orphans, live: table.live })),
  );
  const found = await session.rowsOfAll(asked.map(({ statement }) => statement));
  const orphan = asked.find((_, index) => (found[index]?.length ?? 0) > 0);
  if (orphan)
    throw new StageswapError(
      'Orphans',
      `an edit during the run would leave a row of ${orphan.live} without its parent in ${orphan.parent}. Live is untouched. Run again.`,
    );
}
