import { Context } from '@temporalio/activity';
import { type Blocker, blockersText } from '../src/model/blockers.js';
import { StageswapError } from '../src/model/failures.js';
import { control, physicalTable } from '../src/model/names.js';
import type { RunSpec, TableSpec } from '../src/model/spec.js';
import { applicationTriggers } from '../src/mysql/application-triggers.js';
import { Session } from '../src/mysql/connection.js';
import { definitionsOf, pointingFromOutside } from '../src/mysql/fingerprint.js';
import { type LockRequest, lockWithBackOff } from '../src/mysql/lock.js';
import { logTriggers, touchTriggers } from '../src/sql/capture.js';
import { holdForRollback } from '../src/sql/control.js';
import { orphansOfReplay } from '../src/sql/cut-over.js';
import { tablesOfReplay } from '../src/sql/group.js';
import { locksOfSettling } from '../src/sql/settle.js';
import { id, join, raw, sql } from '../src/sql/text.js';
import { olderSnapshotLives, raiseBarrier } from './barrier.js';
import {
  activity,
  type Dependencies,
  isSwapped,
  loadSpec,
  onTarget,
  type RunRef,
  setPhase,
  target,
} from './context.js';
import { missingIndexes } from './group.js';
import { holdersOf } from './holders.js';
import { pendingEdits, replayGroup, replayRounds } from './replay.js';
import { hasForeignKeys, markerOf, triggersOf } from './tables.js';

export interface CutOver {
  attempts: number;
  heldMs: number;
  queuedMs: number;
  /** edits replayed right before the lock */
  replayedBefore: number;
  replayedUnderLock: number;
  /** milliseconds under the lock: checks, drain, RENAME */
  checkMs: number;
  drainMs: number;
  swapMs: number;
  /** the worker died at the RENAME: heldMs is what was measured before it, so the least */
  incomplete?: true;
}

/** What a call of the cut-over hands on to the next, where the lock was not granted within one. */
export interface Tried {
  attempts: number;
  queuedMs: number;
  /** MySQL keeps a limited number of barriers, over all calls */
  barriers: number;
  /** stage was written since the last barrier */
  isStale: boolean;
}
export const NOTHING_TRIED: Tried = { attempts: 0, queuedMs: 0, barriers: 0, isStale: true };

/** The lock was not granted, so that the run can say who holds the tables, or think again: nothing was swapped. */
export interface NotYet {
  notYet: 'blocked' | 'late';
  tried: Tried;
  /** edits replayed meanwhile */
  replayedBefore: number;
  blockers: Blocker[];
  killed: Blocker[];
}

/** After so many milliseconds a call hands back: the workflow says what it waits for, and calls again. */
const CALL_MS_MAX = 10_000;

/** So few edits are drained under the lock that it is held hardly longer than the RENAME takes. */
const DRAIN_EDITS_MAX = 10;
/**
 * More than so many, which came while an attempt was pending, are replayed outside of it: the lock is given back first. Fifty clients
 * that write without a pause make some 300 in that time, which were merged in 45 ms (bench).
 */
const UNDER_LOCK_EDITS_MAX = 400;
const TAIL_MS_MAX = 5_000;

/** A session that holds the lock must not outlive its worker: MySQL closes it after this. */
const CUT_OVER_WAIT_TIMEOUT_SECONDS = 20;

/** Cut-over: lock → drain → swap → unlock; and the steps beside it. */
export function cutOverActivities(dependencies: Dependencies) {
  /**
   * The cut-over of the whole group. Repeatable: if the tables say that the RENAME was executed, it says so and is done.
   *
   * @param tried  what calls before this one did; without it there is but one call, which goes on to the last attempt
   * @param untilMs milliseconds since 1970 at which the run may not swap any more
   * @throws {StageswapError} LockNotGranted, with those who hold the tables by name
   */
  const cutOver = activity(
    async (ref: RunRef, tried?: Tried, untilMs?: number): Promise<CutOver | NotYet> =>
      onTarget(
        dependencies,
        ref,
        async (session) => {
          const spec = await loadSpec(session, ref);
          if (await isSwapped(session, spec)) return rememberedCutOver(session, ref);
          await setPhase(session, ref, 'cutOver');
          const address = target(dependencies.config(ref.pipeline));
          const watchdog = await Session.open(address);
          try {
            await refuseIncompleteStage(session, spec);
            const counters = await carryAutoIncrement(session, spec);
            if (spec.kind === 'rollback') await session.run(holdForRollback(spec));
            const result = await swapUnderLock(session, watchdog, spec, counters, { tried, untilMs });
            if (!('notYet' in result)) await rememberCutOver(watchdog, ref, result);
            return result;
          } catch (error) {
            // The connection may have died around the RENAME: a fresh one looks at the tables and decides.
            if (error instanceof StageswapError) throw error;
            session.destroy();
            const looked = await Session.open(address);
            try {
              if (await isSwapped(looked, spec)) return await rememberedCutOver(looked, ref);
            } finally {
              await looked.close();
            }
            throw error;
          } finally {
            await watchdog.close();
          }
        },
        { waitTimeoutSeconds: CUT_OVER_WAIT_TIMEOUT_SECONDS },
      ),
  );

  /** Final sync: proves that no edit from before the swap is left in the log. */
  const finalSync = activity(
    async (ref: RunRef): Promise<{ captured: number; left: number }> =>
      onTarget(dependencies, ref, async (session) => {
        const spec = await loadSpec(session, ref);
        await setPhase(session, ref, 'finalSync');
        let captured = 0;
        for (const table of spec.tables) {
          const rows = await session.rows<{ n: string }>(
            sql`SELECT COUNT(*) AS n FROM ${id(physicalTable(spec.generation, 'log', table.live))}`,
          );
          captured += Number(rows[0]?.n ?? 0);
        }
        const left = await pendingEdits(session, spec);
        if (left > 0) {
          throw new StageswapError(
            'ProofFailed',
            `${left} edits from before the swap are in the log and not in live. Nothing was cleaned up: compare the log tables _ss${spec.generation}l_* with live, and roll back if in doubt.`,
          );
        }
        return { captured, left };
      }),
  );

  return { cutOver, finalSync };
}

async function swapUnderLock(
  session: Session,
  watchdog: Session,
  spec: RunSpec,
  counters: Counters,
  call: { tried: Tried | undefined; untilMs: number | undefined },
): Promise<CutOver | NotYet> {
  const { cancellationSignal: signal, info } = Context.current();
  await session.run(sql`SET SESSION lock_wait_timeout = 1`);
  await session.run(sql`SET SESSION autocommit = 0`);
  // An attempt of this call that died may have written to stage, and said so to nobody.
  const tried = { ...(call.tried ?? NOTHING_TRIED), ...(info.attempt > 1 ? { isStale: true } : {}) };
  const before = beforeLock(session, watchdog, spec, tried);
  const holders = holdersOf(session, watchdog, spec);
  const late = () => call.untilMs !== undefined && Date.now() >= call.untilMs;
  if (late()) return { notYet: 'late', tried, replayedBefore: 0, blockers: [], killed: [] };
  const { lockAttemptMsMax, attemptsMax } = spec.cutOver;
  let granted = 0;
  let tooMany = false;
  const accept = async () => {
    granted = performance.now();
    tooMany = (await pendingEdits(session, spec, UNDER_LOCK_EDITS_MAX + 1)) > UNDER_LOCK_EDITS_MAX;
    return !tooMany;
  };
  const lasts = Math.min(call.tried ? Date.now() + CALL_MS_MAX : Infinity, call.untilMs ?? Infinity);
  const locks = await lockWithBackOff(
    session,
    watchdog,
    locksOf(spec),
    { attemptMs: lockAttemptMsMax, attemptsMax, attemptsBefore: tried.attempts, untilMs: lasts, accept },
    async (attempt) => {
      signal.throwIfAborted();
      tooMany = false;
      if (attempt > tried.attempts + 1) await holders.look();
      await before.prepare();
    },
  );
  const queuedMs = round(Math.max(locks.queuedMs, tried.queuedMs));
  if (!locks.granted) {
    await holders.look();
    if (locks.attempts >= attemptsMax) {
      const many = `the last was given back, since more than ${UNDER_LOCK_EDITS_MAX} edits had come while it was pending, too many to merge under the lock; `;
      throw new StageswapError(
        'LockNotGranted',
        `the tables could not be locked within ${attemptsMax} attempts of ${lockAttemptMsMax} ms: ${tooMany ? many : ''}${blockersText(holders.blockers)}. Live is untouched. End such transactions, or run again at a quieter time.`,
      );
    }
    return {
      notYet: late() ? 'late' : 'blocked',
      tried: { attempts: locks.attempts, queuedMs, ...before.state() },
      replayedBefore: before.replayed(),
      blockers: holders.blockers,
      killed: holders.killed,
    };
  }
  try {
    await refuseIfNotOurs(session, spec);
    await refuseIfChanged(session, spec, counters);
    const checked = performance.now();
    const replayedUnderLock = await replayGroup(session, spec, () => 'all');
    if (replayedUnderLock > 0) for (const table of spec.tables) await refuseNewOrphans(session, spec, table);
    await session.connection.query('COMMIT');
    const written = before.state().isStale || replayedUnderLock > 0;
    if (written && (await olderSnapshotLives(session))) await raiseBarrier(session, spec);
    const drained = performance.now();
    const figures = {
      attempts: locks.attempts,
      queuedMs,
      heldMs: round(drained - granted),
      checkMs: round(checked - granted),
      drainMs: round(drained - checked),
      swapMs: 0,
      replayedBefore: before.replayed(),
      replayedUnderLock,
    };
    // Beside the RENAME, not before it: for whoever finds it executed, should this worker die now.
    const noted = rememberCutOver(watchdog, spec, { ...figures, incomplete: true }).catch(() => {});
    await session.run(renameOf(spec));
    const swapped = performance.now();
    await session.connection.query('UNLOCK TABLES');
    const heldMs = round(performance.now() - granted);
    await noted;
    return { ...figures, heldMs, swapMs: round(swapped - drained) };
  } catch (error) {
    await session.connection.query('ROLLBACK').catch(() => {});
    await session.connection.query('UNLOCK TABLES').catch(() => {});
    throw error;
  }
}

/** More barriers than this before the lock would have MySQL rebuild stage: it keeps 64 instant changes, two a barrier. */
const BARRIERS_BEFORE_LOCK_MAX = 8;

/**
 * What comes before each attempt to lock: the tail of the log is replayed, and where stage was written since the last
 * barrier a new one is raised: a reader whose snapshot is older than that replay's commit would read an edit's old value.
 * Where edits come too quickly, or barriers are used up, the barrier is left to the lock.
 */
function beforeLock(session: Session, watchdog: Session, spec: RunSpec, tried: Tried) {
  let replayed = 0;
  let { barriers, isStale } = tried;
  const shortenTail = async () => {
    const limits = { pendingMax: DRAIN_EDITS_MAX, workMsMax: TAIL_MS_MAX };
    const round = (await replayRounds(session, spec, spec, limits)).replayed;
    replayed += round;
    if (round > 0) isStale = true;
  };
  const prepare = async () => {
    await waitForOpenTransactions(watchdog, spec);
    await shortenTail();
    if (!isStale || barriers >= BARRIERS_BEFORE_LOCK_MAX) return;
    await raiseBarrier(session, spec);
    barriers += 1;
    isStale = false;
    await waitForOpenTransactions(watchdog, spec);
    if ((await pendingEdits(session, spec)) > DRAIN_EDITS_MAX) await shortenTail();
  };
  return { prepare, replayed: () => replayed, state: () => ({ barriers, isStale }) };
}

/**
 * What was built on stage is looked at once more: DDL cannot be fenced, so an attempt of an earlier step that slept could
 * have taken it away again.
 */
async function refuseIncompleteStage(session: Session, spec: RunSpec): Promise<void> {
  const definitions = await definitionsOf(
    session,
    spec.tables.map((table) => table.live),
  );
  for (const table of spec.tables) {
    if (definitions.get(table.live)?.fingerprint !== table.fingerprint) continue; // live changed: told under the lock
    const stage = physicalTable(spec.generation, 'stage', table.live);
    const missing = (await missingIndexes(session, spec, table)).map(({ name }) => `index ${name}`);
    if (table.foreignKeys.length > 0 && !(await hasForeignKeys(session, stage)))
      missing.push('its foreign keys');
    if (spec.kind === 'publish') {
      const triggers = await triggersOf(session, stage);
      for (const { name } of touchTriggers(spec, table))
        if (!triggers.includes(name)) missing.push(`trigger ${name}`);
    }
    const carried = (await applicationTriggers(session, stage)).map(({ name }) => name);
    for (const { name } of await applicationTriggers(session, table.live))
      if (!carried.includes(name)) missing.push(`the application's trigger ${name}`);
    if (missing.length > 0)
      throw new StageswapError(
        'ProofFailed',
        `the next version of ${table.live} lacks ${missing.join(', ')}. Live is untouched. Run again.`,
      );
  }
}

/** The fence, read under its lock: a newer run would have raised the generation. */
async function refuseIfNotOurs(session: Session, spec: RunSpec): Promise<void> {
  const owner = await session.rows<{ generation: number }>(
    sql`SELECT generation FROM ${id(control.pipeline)} WHERE pipeline = ${spec.pipeline}`,
  );
  if (Number(owner[0]?.generation) === spec.generation) return;
  throw new StageswapError(
    'Fenced',
    `a newer run of ${spec.pipeline} owns its tables; run ${spec.generation} changes nothing more`,
  );
}

/** A migration of live would be lost by the swap. Carries the counters that moved since they were carried last. */
async function refuseIfChanged(session: Session, spec: RunSpec, counters: Counters): Promise<void> {
  const names = spec.tables.map((table) => table.live);
  const definitions = await definitionsOf(session, names);
  for (const table of spec.tables) {
    const live = definitions.get(table.live);
    if (live?.fingerprint !== table.fingerprint)
      throw new StageswapError(
        'LiveChanged',
        `${table.live} was changed as a whole while the run worked: by a migration, or by TRUNCATE, which no trigger logs. Live is untouched. Run again.`,
      );
    const missing = logTriggers(spec, table).filter(({ name }) => !live.runTriggers.includes(name));
    if (missing.length > 0)
      throw new StageswapError(
        'LiveChanged',
        `somebody has dropped triggers of ${table.live} that log its edits: ${missing.map(({ name }) => name).join(', ')}. Edits may be missing in the log. Live is untouched. Run again.`,
      );
    await raiseCounter(session, spec, table, live.autoIncrement, counters.get(table.live) ?? null);
  }
  const outside = await pointingFromOutside(session, names);
  if (outside.length > 0)
    throw new StageswapError(
      'LiveChanged',
      `a foreign key from outside of the group points at it since the run began: ${outside.join(', ')}. Live is untouched. Drop it, or take that table into the pipeline.`,
    );
}

const round = (ms: number) => Math.round(ms * 10) / 10;

/** The swap: the whole group and the marker in one atomic statement. */
function renameOf(spec: RunSpec) {
  const marker = markerOf(spec);
  const steps = spec.tables.flatMap((table) => [
    sql`${id(table.live)} TO ${id(physicalTable(spec.generation, 'backup', table.live))}`,
    sql`${id(physicalTable(spec.generation, 'stage', table.live))} TO ${id(table.live)}`,
  ]);
  return sql`RENAME TABLE ${join([...steps, sql`${id(marker.from)} TO ${id(marker.to)}`])}`;
}

function locksOf(spec: RunSpec): LockRequest[] {
  return [
    ...spec.tables.flatMap((table) => [...tablesOfReplay(spec, table), ...locksOfSettling(table)]),
    { name: markerOf(spec).from, mode: 'WRITE' },
    { name: control.pipeline, mode: 'READ' },
    { name: control.conflict, mode: 'WRITE' },
    { name: control.settlement, mode: 'WRITE' },
  ];
}

/** Asks for the lock only when no open transaction holds a table of the group; gives up waiting after a second, the watchdog bounds the rest. */
async function waitForOpenTransactions(session: Session, spec: RunSpec): Promise<void> {
  const until = Date.now() + 1_000;
  const names = join(spec.tables.map((table) => sql`${table.live}`));
  while (Date.now() < until) {
    const held = await session
      .rows(
        sql`SELECT 1 AS held FROM performance_schema.metadata_locks WHERE object_type = 'TABLE' AND object_schema = DATABASE() AND object_name IN (${names}) AND lock_duration = 'TRANSACTION' AND lock_status = 'GRANTED' LIMIT 1`,
      )
      .catch(() => []); // without the privilege the watchdog alone protects; check says so
    if (held.length === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Next AUTO_INCREMENT of each stage table, by live's name; null where there is none. */
type Counters = Map<string, string | null>;

/** Gives stage live's counters, so that under the lock only those that move meanwhile are left. */
async function carryAutoIncrement(session: Session, spec: RunSpec): Promise<Counters> {
  const stageOf = (table: TableSpec) => physicalTable(spec.generation, 'stage', table.live);
  const definitions = await definitionsOf(
    session,
    spec.tables.flatMap((table) => [table.live, stageOf(table)]),
  );
  const counters: Counters = new Map();
  for (const table of spec.tables) {
    const next = definitions.get(table.live)?.autoIncrement ?? null;
    const current = definitions.get(stageOf(table))?.autoIncrement ?? null;
    counters.set(table.live, await raiseCounter(session, spec, table, next, current));
  }
  return counters;
}

/** Raises stage's counter to `next` if it is lower. @returns what it is then */
async function raiseCounter(
  session: Session,
  spec: RunSpec,
  table: TableSpec,
  next: string | null,
  current: string | null,
): Promise<string | null> {
  if (next === null || (current !== null && BigInt(current) >= BigInt(next))) return current;
  await session.run(
    sql`ALTER TABLE ${id(physicalTable(spec.generation, 'stage', table.live))} AUTO_INCREMENT = ${raw(next)}`,
  );
  return next;
}

/** The drain must not leave a child without its parent; looked for among the replayed keys and their children only. */
async function refuseNewOrphans(session: Session, spec: RunSpec, table: TableSpec): Promise<void> {
  for (const { parent, statement } of orphansOfReplay(spec, table)) {
    if ((await session.rows(statement)).length === 0) continue;
    throw new StageswapError(
      'Orphans',
      `an edit during the run would leave a row of ${table.live} without its parent in ${parent}. Live is untouched. Run again.`,
    );
  }
}

async function rememberCutOver(session: Session, ref: RunRef, result: CutOver): Promise<void> {
  await session.run(
    sql`UPDATE ${id(control.run)} SET cut_over = ${JSON.stringify(result)} WHERE pipeline = ${ref.pipeline} AND generation = ${ref.generation}`,
  );
}
/** The figures of a cut-over that is done; where the worker died at its RENAME, those of before it, or zero. */
async function rememberedCutOver(session: Session, ref: RunRef): Promise<CutOver> {
  const rows = await session.rows<{ cut_over: string | CutOver | null }>(
    sql`SELECT cut_over FROM ${id(control.run)} WHERE pipeline = ${ref.pipeline} AND generation = ${ref.generation}`,
  );
  const found = rows[0]?.cut_over;
  if (!found)
    return {
      attempts: 1,
      heldMs: 0,
      queuedMs: 0,
      checkMs: 0,
      drainMs: 0,
      swapMs: 0,
      replayedBefore: 0,
      replayedUnderLock: 0,
      incomplete: true,
    };
  return typeof found === 'string' ? (JSON.parse(found) as CutOver) : found;
}
