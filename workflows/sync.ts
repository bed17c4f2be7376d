import { CancellationScope, patched, workflowInfo } from '@temporalio/workflow';
import type { PlanInput, RollbackInput, SyncInput } from '../src/model/messages.js';
import type { Report } from '../src/model/report.js';
import type { Continued } from './continued.js';
import { cutOver } from './cut-over.js';
import { gate, lookAtGuards } from './gate.js';
import { governed, type Undo } from './governed.js';
import { ingest, tryToGiveUpMoment } from './ingest.js';
import { reconcile } from './reconcile.js';
import { replayUntilShort } from './replay.js';
import type { RunState } from './run-state.js';
import { step } from './steps.js';
import { countConflicts, countHeldBack, prove, verify } from './verify.js';

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
    const rehearse = () => step('rehearse the cut-over on empty tables').rehearseCutOver(state.run);
    state.gate.heldMs ??= (await state.interruptible(rehearse)).heldMs;
    state.gate.preparedMs = Date.now() - state.gate.readAtMs;
  });
}

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

async function capture(state: RunState): Promise<void> {
  await state.interruptible(() => step('log every edit of live from now on').capture(state.run));
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

/** Compensation of everything before the swap. The tables decide: after the RENAME nothing is taken back. */
async function takeBack(state: RunState): Promise<void> {
  state.swapped = !(await step('take back what the run made').undo(state.run)).undone;
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
  await step('write down what a run would do').describePlan(
    state.run,
    state.tables.reports(),
    stops,
    rowsMax,
  );
}
