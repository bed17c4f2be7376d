import {
  ActivityCancellationType,
  ApplicationFailure,
  CancellationScope,
  condition,
  isCancellation,
  proxyActivities,
  workflowInfo,
} from '@temporalio/workflow';
import type { Activities } from '../activities/index.js';
import type { RollbackInput, SyncInput } from '../src/model/messages.js';
import type { Report } from '../src/model/report.js';
import { Aborted, RunState } from './run-state.js';
import { problemOf, steer } from './steering.js';

// An aborted activity has ended before what it made is taken back.
const cancellationType = ActivityCancellationType.WAIT_CANCELLATION_COMPLETED;

const quick = proxyActivities<Activities>({
  startToCloseTimeout: '10 minutes',
  heartbeatTimeout: '20 seconds',
  cancellationType,
  retry: { initialInterval: '1 second', maximumInterval: '20 seconds' },
});
const long = proxyActivities<Activities>({
  startToCloseTimeout: '24 hours',
  heartbeatTimeout: '20 seconds',
  cancellationType,
  retry: { initialInterval: '1 second', maximumInterval: '20 seconds' },
});

/** A replay round that leaves no more than this many edits is short enough for the lock. */
const TAIL_EDITS_MAX = 200;
const REPLAY_ROUNDS_MAX = 200;
const ORPHAN_ROUNDS_MAX = 20;

type Run = Awaited<ReturnType<Activities['begin']>>;

/** One run: the source's rows, merged with what clients changed, become live. */
export async function sync(input: SyncInput): Promise<Report> {
  return runUnder(input.pipeline, async (state, undo, swapped) => {
    const run = await state.phase('preflight', () => quick.begin(input.pipeline, workflowInfo().runId));
    state.begin(run.tables, run.generation);
    undo(run, () => quick.undo(run));
    await state.phase('prepare', () => quick.prepare(run));
    await state.phase('ingest', () => ingest(state, run, undo));
    await state.phase('capture', () => quick.capture(run));
    await state.phase('reconcile', () => reconcile(state, run));
    await state.phase('verify', () => verify(state, run));
    await approval(state, run, input.approveFirst);
    await publish(state, run, swapped);
    return { run, outcome: 'published' };
  });
}

/** The way back: live as it was before the last published run, with what clients changed since. */
export async function rollback(input: RollbackInput): Promise<Report> {
  return runUnder(input.pipeline, async (state, undo, swapped) => {
    const run = await state.phase('preflight', () =>
      quick.beginRollback(input.pipeline, workflowInfo().runId),
    );
    state.begin(run.tables, run.generation);
    undo(run, () => quick.undo(run));
    await state.phase('prepare', () => quick.prepare(run));
    await state.phase('capture', () => quick.capture(run));
    await state.phase('reconcile', () => reconcile(state, run));
    await state.phase('verify', () => verify(state, run));
    await publish(state, run, swapped);
    return { run, outcome: 'rolledBack' };
  });
}

/** replay → backup → cut-over → final sync → cleanup: what publishing and rollback share. */
async function publish(state: RunState, run: Run, swapped: () => void): Promise<void> {
  await state.phase('replay', () => replayUntilShort(state, run));
  await state.phase('backup', () => quick.backup(run));
  await state.phase('cutOver', async () => {
    swapped();
    const { replayedUnderLock, ...cutOver } = await quick.cutOver(run);
    state.cutOver = cutOver;
    state.replayedUnderLock = replayedUnderLock;
  });
  await CancellationScope.nonCancellable(async () => {
    await state.phase('finalSync', async () => {
      state.captured = (await quick.finalSync(run)).captured;
    });
    await state.phase('cleanup', async () => {
      for (const [table, conflicts] of Object.entries(await quick.countConflicts(run)))
        state.table(table, {}, { conflicts });
      await quick.cleanup(run);
    });
  });
}

type Undo = (run: Run | undefined, step: () => Promise<unknown>) => void;
type Steps = (
  state: RunState,
  undo: Undo,
  swapped: () => void,
) => Promise<{ run: Run; outcome: Report['outcome'] }>;

/** Runs the steps; on abort, cancel or failure takes back what they registered, newest first; the report stays in MySQL. */
async function runUnder(pipeline: string, steps: Steps): Promise<Report> {
  const state = new RunState(pipeline);
  const compensations: (() => Promise<unknown>)[] = [];
  let begun: Run | undefined;
  let work: CancellationScope | undefined;
  const steering = steer(state, () => work);
  const undo: Undo = (run, step) => {
    begun ??= run;
    compensations.push(step);
  };
  let outcome: Report['outcome'];
  let problem: { type: string; message: string } | undefined;
  try {
    outcome = await CancellationScope.cancellable(async () => {
      work = CancellationScope.current();
      return (await steps(state, undo, steering.pastTheSwap)).outcome;
    });
  } catch (error) {
    const aborted = error instanceof Aborted || isCancellation(error);
    problem = aborted ? { type: 'Aborted', message: state.abortReason ?? 'cancelled' } : problemOf(error);
    outcome = aborted ? 'aborted' : 'failed';
    await CancellationScope.nonCancellable(async () => {
      for (const step of compensations.reverse()) await step();
    });
  }
  return CancellationScope.nonCancellable(async () => {
    const report = state.report(workflowInfo().runId, outcome, problem);
    if (begun) await quick.end(begun, report);
    await steering.settled();
    return report;
  });
}

async function ingest(state: RunState, run: Run, undo: Undo): Promise<void> {
  undo(run, () => quick.closeMoment(run));
  const { moment } = await quick.openMoment(run);
  state.moment = moment;
  if (moment === 'transaction') {
    for (const [table, done] of Object.entries(await long.ingestTransaction(run))) {
      state.table(
        table,
        { phase: 'ingest', rowsDone: done.rows, chunksDone: done.chunksDone, chunks: done.chunks },
        { rowsRead: done.rows },
      );
    }
  } else {
    for (const table of run.tables) {
      await state.steer();
      const { chunks } = await long.planIngest(run, table);
      state.table(table, { phase: 'ingest', chunks });
      const slots = Array.from({ length: Math.min(run.parallel, chunks) }, (_, slot) => slot);
      await Promise.all(slots.map((slot) => ingestSlot(state, run, table, slot, slots.length)));
    }
  }
  await quick.closeMoment(run);
}

async function ingestSlot(
  state: RunState,
  run: Run,
  table: string,
  slot: number,
  slots: number,
): Promise<void> {
  for (;;) {
    await state.steer();
    const done = await quick.ingestChunks(run, table, slot, slots);
    state.table(table, { rowsDone: done.rows, chunksDone: done.chunksDone }, { rowsRead: done.rows });
    if (done.finished) return;
  }
}

async function reconcile(state: RunState, run: Run): Promise<void> {
  for (const table of run.tables) {
    for (;;) {
      await state.steer();
      const { finished, rows, chunksDone, ...counts } = await long.reconcile(run, table);
      state.table(table, { phase: 'reconcile', rowsDone: rows, chunksDone }, counts);
      if (finished) break;
    }
  }
}

async function verify(state: RunState, run: Run): Promise<void> {
  for (const [table, proof] of Object.entries(await long.verify(run)))
    state.table(table, { phase: 'verify' }, proof);
  await quick.guard(run);
}

async function approval(state: RunState, run: Run, approveFirst: boolean): Promise<void> {
  if (!run.asksFirst || approveFirst || state.approved) return;
  state.waitingFor = `approval of the first publish: live has rows of its own, look at the counts, then stageswap approve`;
  await condition(() => state.approved || state.abortReason !== undefined);
  state.waitingFor = undefined;
}

async function replayUntilShort(state: RunState, run: Run): Promise<void> {
  for (let round = 1; ; round += 1) {
    await state.steer();
    const { replayed, pending } = await quick.replay(run);
    state.replayedBefore += replayed;
    if (pending > TAIL_EDITS_MAX && round < REPLAY_ROUNDS_MAX) continue;
    const orphans = await quick.findOrphans(run);
    if (orphans === null) return;
    // A child may be in stage while its parent waits in the log: only what stays so after several rounds is refused.
    if (round >= ORPHAN_ROUNDS_MAX) throw ApplicationFailure.nonRetryable(orphans, 'Orphans');
  }
}
