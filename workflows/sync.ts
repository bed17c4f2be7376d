import { CancellationScope, isCancellation, log, patched, workflowInfo } from '@temporalio/workflow';
import { blockersText } from '../src/model/blockers.js';
import type { PlanInput, RollbackInput, SyncInput } from '../src/model/messages.js';
import type { Report } from '../src/model/report.js';
import { gate, lookAtGuards } from './gate.js';
import { governed, type Undo } from './governed.js';
import { replayUntilShort } from './replay.js';
import type { Continued, RunState } from './run-state.js';
import { problemOf } from './steering.js';
import { step } from './steps.js';

/** A source that is away must not keep a run from its end, nor an aborted one from taking capture off live: the next run drops the snapshot. */
const CLOSE_MOMENT_ATTEMPTS_MAX = 3;

/** One run: the source's rows, merged with what clients changed, become live. */
export async function sync(input: SyncInput & { continued?: Continued }): Promise<Report> {
  return governed(input, 'published', finish, async (state, undo) => {
    await state.phase('preflight', async () =>
      state.begin(
        await step('check both sides, claim the tables').begin(
          input.pipeline,
          workflowInfo().firstExecutionRunId,
          'run',
          input.configDigest,
        ),
      ),
    );
    undo('run', () => takeBack(state));
    while (!state.swapped) {
      await readAndMerge(state, undo);
      await state.phase('gate', async () => {
        state.gate.next = await gate(state, input.approveFirst);
      });
      if (state.gate.next === 'renew') await renew(state);
      else await publish(state, state.gate.untilMs);
    }
  });
}

/** prepare → ingest → capture → reconcile → verify: all that a run does before it may wait. */
async function readAndMerge(state: RunState, undo: Undo): Promise<void> {
  await state.phase('prepare', () => step('make stage, base and log').prepare(state.run));
  await state.phase('ingest', () => ingest(state, undo));
  await state.phase('capture', () => capture(state));
  await state.phase('reconcile', () => reconcile(state));
  await state.phase('verify', async () => {
    await verify(state);
    state.gate.heldMs ??= (await state.interruptible(() => rehearse().rehearseCutOver(state.run))).heldMs;
    state.gate.preparedMs = Date.now() - state.gate.readAtMs;
  });
}
const rehearse = () => step('rehearse the cut-over on empty tables');

/** What was read has become too old: all of it is taken back, and the run begins again under a new generation. */
async function renew(state: RunState): Promise<void> {
  await state.phase('renew', async () => {
    await takeBack(state);
    if (state.swapped) return;
    // Where an abort comes in between, the generation to be taken back must be known.
    await CancellationScope.nonCancellable(async () =>
      state.renewed(
        await step('begin again with what the source says now').renew(state.run, state.run.runId),
      ),
    );
  });
  state.again('prepare', 'ingest', 'capture', 'reconcile', 'verify', 'gate', 'renew');
}

/** A dry run: the steps of a run that touch tables of its own only, what they found, and all of it dropped again. */
export async function plan(input: PlanInput & { continued?: Continued }): Promise<Report> {
  return governed(input, 'planned', finish, async (state, undo) => {
    await state.phase('preflight', async () =>
      state.begin(
        await step('check both sides').begin(
          input.pipeline,
          workflowInfo().firstExecutionRunId,
          'plan',
          input.configDigest,
        ),
      ),
    );
    undo('run', () => takeBack(state));
    await state.phase('prepare', () => step('make stage and base').prepare(state.run));
    await state.phase('ingest', () => ingest(state, undo));
    await state.phase('reconcile', () => reconcile(state));
    await state.phase('plan', () => describePlan(state, input.rowsMax));
  });
}

/** The way back: live as it was before the last published run, with what clients changed since. */
export async function rollback(input: RollbackInput & { continued?: Continued }): Promise<Report> {
  return governed(input, 'rolledBack', finish, async (state, undo) => {
    await state.phase('preflight', async () =>
      state.begin(
        await step('find the backup').beginRollback(
          input.pipeline,
          workflowInfo().firstExecutionRunId,
          input.backup,
        ),
      ),
    );
    undo('run', () => takeBack(state));
    await state.phase('prepare', () => step('make stage and log').prepare(state.run));
    await state.phase('capture', () => capture(state));
    await state.phase('reconcile', () => reconcile(state));
    await state.phase('verify', async () => {
      await verify(state);
      if (!patched('rollback-tells-edits')) return; // one that began before
      const tell = () => step('tell what becomes of edits since the swap').describeRollback(state.run);
      state.figures.rollback = await state.interruptible(tell);
    });
    await publish(state);
  });
}

/**
 * replay → backup → cut-over: what publishing and rollback share up to the swap.
 *
 * @param untilMs milliseconds since 1970 at which it is too late: then nothing is swapped, and the gate is asked again
 */
async function publish(state: RunState, untilMs?: number): Promise<void> {
  await state.phase('replay', async () => {
    await replayUntilShort(state);
    await countHeldBack(state);
  });
  await state.phase('backup', async () => {
    await step('make sure that the swap can make the backup').backup(state.run);
    if (state.run.copies) for (const table of state.run.tables) await copyLive(state, table);
  });
  await state.phase('cutOver', () => cutOver(state, untilMs));
  if (!state.swapped) state.again('gate', 'replay', 'backup', 'cutOver');
}

async function copyLive(state: RunState, table: string): Promise<void> {
  const copy = () => step(`${table}: live → copy`).copyLive(state.run, table);
  while (!(await state.interruptible(copy)).finished) await state.checkpoint();
}

/** final sync → cleanup: what is left after the swap, whatever ended the steps before it. */
async function finish(state: RunState): Promise<void> {
  await state.phase('cutOver', () => cutOver(state)); // nothing, unless an abort came while the swap was executed
  await state.phase('finalSync', async () => {
    const { captured } = await step('prove that no edit is left in the log').finalSync(state.run);
    state.figures.captured = captured;
  });
  await state.phase('cleanup', async () => {
    await step('close the conflicts that are over').closeConflicts(state.run);
    await countConflicts(state);
    await step('drop what no rollback needs').cleanup(state.run);
    if (state.figures.momentLeft && patched('moment-is-given-up-again')) await tryToGiveUpMoment(state);
  });
}

async function countConflicts(state: RunState): Promise<void> {
  const counts = await step('count the conflicts').countConflicts(state.run);
  for (const [table, conflicts] of Object.entries(counts)) state.table(table, {}, { conflicts });
}

/** What the rules across the group took out of the merge's counts; asked before the swap, as it compares with live. */
async function countHeldBack(state: RunState): Promise<void> {
  const counts = () => step('count what was held back').countHeldBack(state.run);
  for (const [table, held] of Object.entries(await state.interruptible(counts))) state.heldBack(table, held);
}

/** Compensation of everything before the swap. The tables decide: after the RENAME nothing is taken back. */
async function takeBack(state: RunState): Promise<void> {
  state.swapped = !(await step('take back what the run made').undo(state.run)).undone;
}

async function ingest(state: RunState, undo: Undo): Promise<void> {
  undo('moment', () => giveUpMoment(state));
  const { run } = state;
  state.gate.readAtMs = Date.now();
  const { moment, because } = await step('open one moment of the source').openMoment(run);
  state.figures.moment = moment;
  state.figures.momentBecause = because;
  if (moment === 'transaction') await ingestTransaction(state);
  else for (const table of run.tables) await ingestTable(state, table);
  await tryToGiveUpMoment(state);
}

const giveUpMoment = (state: RunState) =>
  step('give up the moment of the source', { maximumAttempts: CLOSE_MOMENT_ATTEMPTS_MAX }).closeMoment(
    state.run,
  );

/** Every row is here: a source that is away by now, or a snapshot that a frozen worker reads, does not keep them from being published. */
async function tryToGiveUpMoment(state: RunState): Promise<void> {
  try {
    await giveUpMoment(state);
    state.figures.momentLeft = false;
  } catch (error) {
    if (isCancellation(error)) throw error;
    state.figures.momentLeft = true;
    log.warn(
      'the moment of the source could not be given up; it is tried again when the run ends, and by the next run',
      { ...problemOf(error) },
    );
  }
}

async function ingestTransaction(state: RunState): Promise<void> {
  const read = () => {
    state.gate.readAtMs = Date.now(); // a transaction that a pause has ended begins at another moment
    return step('read the group in one transaction').ingestTransaction(state.run);
  };
  for (const [table, done] of Object.entries(await state.interruptible(read))) {
    const { rows, chunksDone, chunks, cost } = done;
    if (cost) state.addCost(cost);
    state.table(table, { phase: 'ingest', rowsDone: rows, chunksDone, chunks }, { rowsRead: rows });
  }
}

/** Reads a table by its chunks, dealt to as many activities at a time as `parallel` says. */
async function ingestTable(state: RunState, table: string): Promise<void> {
  const { run } = state;
  const plan = () => step(`divide ${table} into chunks`).planIngest(run, table);
  const { chunks } = await state.interruptible(plan);
  state.table(table, { phase: 'ingest', chunks });
  const isNewest = newestOf();
  const ingestSlot = async (slot: number, slots: number) => {
    const read = () => step(`${table}: source → base`).ingestChunks(run, table, slot, slots);
    const done = await state.interruptible(read);
    if (done.cost) state.addCost(done.cost);
    if (isNewest(done.chunksDone))
      state.table(table, { rowsDone: done.rows, chunksDone: done.chunksDone }, { rowsRead: done.rows });
    return done.finished;
  };
  await inSlots(state, chunks, ingestSlot);
}

/** Each slot counts over all chunks of a table. They work side by side, so that an older count may come after a newer one. */
function newestOf(): (chunksDone: number) => boolean {
  let newest = 0;
  return (chunksDone) => {
    newest = Math.max(newest, chunksDone);
    return chunksDone === newest;
  };
}

/** Works in as many activities at a time as `parallel` says, each again until it has finished or the history is long. */
async function inSlots(
  state: RunState,
  chunks: number,
  work: (slot: number, slots: number) => Promise<boolean>,
): Promise<void> {
  const slots = Math.max(1, Math.min(state.run.parallel, chunks));
  let unfinished = 0;
  const untilFinished = async (slot: number) => {
    while (!(await work(slot, slots))) {
      if (!state.historyIsLong()) continue;
      unfinished += 1;
      return;
    }
  };
  do {
    unfinished = 0;
    await allOrNone(() => Array.from({ length: slots }, (_, slot) => untilFinished(slot)));
    await state.checkpoint();
  } while (unfinished > 0);
}

/** Where one fails the others are cancelled and awaited, so that nothing is under way when the run is taken back. */
async function allOrNone(begin: () => Promise<void>[]): Promise<void> {
  const scope = new CancellationScope();
  await scope.run(async () => {
    const work = begin();
    try {
      await Promise.all(work);
    } catch (error) {
      scope.cancel();
      await Promise.allSettled(work);
      throw error;
    }
  });
}

async function capture(state: RunState): Promise<void> {
  await state.interruptible(() => step('log every edit of live from now on').capture(state.run));
}

async function reconcile(state: RunState): Promise<void> {
  for (const table of state.run.tables) {
    const isNewest = newestOf();
    const mergeSlot = async (slot: number, slots: number) => {
      const merge = () =>
        step(`${table}: merge live and base → stage`).reconcile(state.run, table, slot, slots);
      const { finished, rows, chunksDone, cost, ...counts } = await state.interruptible(merge);
      if (cost) state.addCost(cost);
      if (isNewest(chunksDone))
        state.table(table, { phase: 'reconcile', rowsDone: rows, chunksDone }, counts);
      return finished;
    };
    // runs that began before merged one range at a time
    const chunks = patched('merge-in-slots') ? state.chunks(table) || state.run.parallel : 1;
    await inSlots(state, chunks, mergeSlot);
  }
  // Last comes what the merge of single rows cannot see.
  const complete = () => step('rules across the group, indexes, foreign keys').settle(state.run);
  for (const [table, counts] of Object.entries(await state.interruptible(complete)))
    state.table(table, {}, counts);
}

async function verify(state: RunState): Promise<void> {
  await prove(state);
  await countConflicts(state);
  await tellConflicts(state);
  await lookAtGuards(state);
}

async function tellConflicts(state: RunState): Promise<void> {
  const conflicts = state.tables().reduce((sum, table) => sum + table.conflicts, 0);
  const max = state.run.webhook?.conflictsMax ?? Number.POSITIVE_INFINITY;
  if (conflicts > max)
    await state.notify({
      kind: 'conflictLimit',
      text: `${conflicts} conflicts, more than ${max}. stageswap conflicts lists and settles them`,
    });
}

async function prove(state: RunState): Promise<void> {
  const proofs = () => step('prove that what was sent is what MySQL stored').verify(state.run);
  for (const [table, proof] of Object.entries(await state.interruptible(proofs)))
    state.table(table, { phase: 'verify' }, proof);
}

/** What a run would ask about, or stop at, is no failure of a plan: it is what a plan is for. */
async function describePlan(state: RunState, rowsMax: number): Promise<void> {
  await prove(state);
  await countHeldBack(state);
  await countConflicts(state);
  await lookAtGuards(state);
  const stops = state.gate.tripped.map(({ text }) => text);
  const orphans = await state.interruptible(() =>
    step('look for rows without parents').findOrphans(state.run),
  );
  if (orphans !== null) stops.push(orphans);
  await step('write down what a run would do').describePlan(state.run, state.tables(), stops, rowsMax);
}

/** It is too late for the cut-over; when it may come again, all its attempts are before it. */
function comeBackLater(state: RunState): void {
  state.figures.tried.attempts = 0;
  state.delayedBy(undefined);
}

/** Asks for the lock call after call, and says between them who holds the tables. */
async function cutOver(state: RunState, untilMs?: number): Promise<void> {
  const swap = () => step('lock → drain → swap → unlock').cutOver(state.run, state.figures.tried, untilMs);
  for (;;) {
    const result = await state.interruptible(swap);
    state.figures.replayedBefore += result.replayedBefore;
    if ('notYet' in result) {
      state.figures.tried = result.tried;
      state.gate.hasWaited = true;
      if (result.notYet === 'late') return comeBackLater(state);
      state.delayedBy(
        `the cut-over waits for its lock, ${result.tried.attempts} attempts so far: ${blockersText(result.blockers)}`,
      );
      await state.checkpoint();
      continue;
    }
    const { replayedUnderLock, replayedBefore: _, ...figures } = result;
    state.swapped = true;
    state.delayedBy(undefined);
    state.figures.cutOver = figures;
    state.figures.replayedUnderLock = replayedUnderLock;
    return;
  }
}
