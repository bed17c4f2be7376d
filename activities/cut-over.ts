import { Context } from '@temporalio/activity';
import { type Blocker, blockersText } from '../src/model/blockers.js';
import { NOTHING_TRIED, type Tried } from '../src/model/cut-over.js';
import { StageswapError } from '../src/model/failures.js';
import { control, physicalTable } from '../src/model/names.js';
import type { RunSpec } from '../src/model/spec.js';
import { applicationTriggers } from '../src/mysql/application-triggers.js';
import { Session } from '../src/mysql/connection.js';
import { definitionsOf } from '../src/mysql/fingerprint.js';
import { jsonOf } from '../src/mysql/json.js';
import { type LockRequest, lockWithBackOff } from '../src/mysql/lock.js';
import { hasForeignKeys, triggersOf } from '../src/mysql/tables.js';
import { touchTriggers } from '../src/sql/capture.js';
import { holdForRollback } from '../src/sql/control.js';
import { tablesOfReplay } from '../src/sql/group.js';
import { locksOfSettling } from '../src/sql/settle.js';
import { id, sql } from '../src/sql/text.js';
import { dropLeftBarriers } from './barrier.js';
import { type Dependencies, isSwapped, onRun, type RunRef, setPhase, target } from './context.js';
import {
  type Counters,
  carryAutoIncrement,
  drainAndSwap,
  markerOf,
  type UnderLock,
} from './drain-and-swap.js';
import { missingIndexes } from './group.js';
import { holdersOf } from './holders.js';
import { type GivenBack, Readiness, UNDER_LOCK_EDITS_MAX } from './readiness.js';
import { pendingEdits } from './replay.js';

export interface CutOver extends UnderLock {
  attempts: number;
  queuedMs: number;
  /** edits replayed right before the lock */
  replayedBefore: number;
  /** the worker died at the RENAME: heldMs is what was measured before it, so the least */
  incomplete?: true;
}

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
  const cutOver = onRun(
    dependencies,
    null,
    async (session, spec, tried?: Tried, untilMs?: number): Promise<CutOver | NotYet> => {
      if (await isSwapped(session, spec)) return rememberedCutOver(session, spec);
      await setPhase(session, spec, 'cutOver');
      const address = target(dependencies.config(spec.pipeline));
      const watchdog = await Session.open(address);
      // a third one, for what is done beside the drain and beside the RENAME: the watchdog must be free to look
      const beside = await Session.open(address);
      try {
        await refuseIncompleteStage(session, spec);
        await dropLeftBarriers(session, spec);
        const counters = await carryAutoIncrement(session, spec);
        if (spec.kind === 'rollback') await session.run(holdForRollback(spec));
        const result = await swapUnderLock(session, { watchdog, beside }, spec, counters, {
          tried,
          untilMs,
        });
        if (!('notYet' in result)) await rememberCutOver(beside, spec, result);
        return result;
      } catch (error) {
        // The connection may have died around the RENAME: a fresh one looks at the tables and decides.
        if (error instanceof StageswapError) throw error;
        session.destroy();
        const looked = await Session.open(address);
        try {
          if (await isSwapped(looked, spec)) return await rememberedCutOver(looked, spec);
        } finally {
          await looked.close();
        }
        throw error;
      } finally {
        await watchdog.close();
        await beside.close();
      }
    },
    { waitTimeoutSeconds: CUT_OVER_WAIT_TIMEOUT_SECONDS, batches: true },
  );

  /** Final sync: proves that no edit from before the swap is left in the log. */
  const finalSync = onRun(
    dependencies,
    'finalSync',
    async (session, spec): Promise<{ captured: number; left: number }> => {
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
    },
  );

  return { cutOver, finalSync };
}

async function swapUnderLock(
  session: Session,
  { watchdog, beside }: { watchdog: Session; beside: Session },
  spec: RunSpec,
  counters: Counters,
  call: { tried: Tried | undefined; untilMs: number | undefined },
): Promise<CutOver | NotYet> {
  const { cancellationSignal: signal } = Context.current();
  for (const one of [session, beside]) await one.run(sql`SET SESSION lock_wait_timeout = 1`);
  await session.run(sql`SET SESSION autocommit = 0`);
  // Between two calls edits are replayed and settlements carried out; an attempt of this one that died may have done so, too.
  const tried = { ...(call.tried ?? NOTHING_TRIED), isStale: true };
  const readiness = new Readiness(session, watchdog, spec, tried);
  const holders = holdersOf(session, watchdog, spec);
  const late = () => call.untilMs !== undefined && Date.now() >= call.untilMs;
  if (late()) return { notYet: 'late', tried, replayedBefore: 0, blockers: [], killed: [] };
  const { lockAttemptMsMax, attemptsMax } = spec.cutOver;
  // Beside the RENAME, not before it: for whoever finds it executed, should this worker die now.
  let noted: Promise<void> | undefined;
  let attempts = tried.attempts;
  const note = (figures: UnderLock) => {
    const { replayed: replayedBefore } = readiness;
    const soFar = {
      ...rounded(figures),
      attempts,
      queuedMs: tried.queuedMs,
      replayedBefore,
      incomplete: true as const,
    };
    noted = rememberCutOver(beside, spec, soFar).catch(() => {});
  };
  const lasts = Math.min(call.tried ? Date.now() + CALL_MS_MAX : Infinity, call.untilMs ?? Infinity);
  const locks = await lockWithBackOff(
    session,
    watchdog,
    locksOf(spec),
    { attemptMs: lockAttemptMsMax, attemptsMax, attemptsBefore: tried.attempts, untilMs: lasts },
    {
      before: async (attempt, awaited) => {
        signal.throwIfAborted();
        attempts = attempt;
        if (attempt > tried.attempts + 1) await holders.look(awaited, readiness.givenBack);
        // what is prepared may take seconds
        return (await readiness.prepare()) === false || late() ? false : undefined;
      },
      locked: () => drainAndSwap({ session, beside }, spec, counters, readiness, note),
      beside: [beside],
    },
  );
  const queuedMs = round(Math.max(locks.queuedMs, tried.queuedMs));
  if (locks.granted) {
    await noted;
    return {
      ...rounded({ ...locks.result, heldMs: locks.heldMs }),
      attempts: locks.attempts,
      queuedMs,
      replayedBefore: readiness.replayed,
    };
  }
  await holders.look(locks.awaited, readiness.givenBack);
  if (locks.attempts >= attemptsMax)
    throw new StageswapError(
      'LockNotGranted',
      `the tables could not be locked within ${attemptsMax} attempts of ${lockAttemptMsMax} ms: ${whyGivenBack(readiness.givenBack)}${blockersText(holders.blockers)}. Live is untouched. End such transactions, or run again at a quieter time.`,
    );
  return {
    notYet: late() ? 'late' : 'blocked',
    tried: { attempts: locks.attempts, queuedMs, ...readiness.state },
    replayedBefore: readiness.replayed,
    blockers: holders.blockers,
    killed: holders.killed,
  };
}

function whyGivenBack(why: GivenBack | undefined): string {
  switch (why) {
    case 'tooManyEdits':
      return `the last was given back, since more than ${UNDER_LOCK_EDITS_MAX} edits had come while it was pending, too many to merge under the lock; `;
    case 'oldSnapshots':
      return 'the last was given back, since transactions that repeat their reads are older than the edits that were merged under it, and MySQL cannot tell them so without rebuilding a table; ';
    default:
      return '';
  }
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

const round = (ms: number) => Math.round(ms * 10) / 10;
const rounded = ({ heldMs, checkMs, drainMs, swapMs, replayedUnderLock }: UnderLock): UnderLock => ({
  ...{ heldMs: round(heldMs), checkMs: round(checkMs), drainMs: round(drainMs), swapMs: round(swapMs) },
  replayedUnderLock,
});

function locksOf(spec: RunSpec): LockRequest[] {
  return [
    ...spec.tables.flatMap((table) => [...tablesOfReplay(spec, table), ...locksOfSettling(table)]),
    { name: markerOf(spec).from, mode: 'WRITE' },
    { name: control.pipeline, mode: 'READ' },
    { name: control.conflict, mode: 'WRITE' },
    { name: control.settlement, mode: 'WRITE' },
  ];
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
  return jsonOf<CutOver>(found);
}
