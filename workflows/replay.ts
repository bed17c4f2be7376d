import { TAIL_EDITS_MAX } from '../src/model/replay.js';
import { failure } from './failure.js';
import type { RunState } from './run-state.js';
import { step } from './steps.js';

/** A round that leaves more than this share of the shortest tail so far has not come closer. */
const CLOSER_SHARE = 0.9;
const ORPHAN_ROUNDS_MAX = 20;

/** One round: an activity that replays for some seconds. @returns edits that were replayed, and those that wait */
export async function replayRound(state: RunState, summary: string) {
  const done = await state.interruptible(() => step(summary).replay(state.run));
  state.figures.replayedBefore += done.replayed;
  return done;
}

/** Replays in rounds until few edits wait and every row of stage has its parent. */
export async function replayUntilShort(state: RunState): Promise<void> {
  let rounds = 0;
  for (let round = 1; ; round += 1) {
    const { pending } = await replayRound(state, `replay edits, round ${round}`);
    await state.checkpoint();
    if (pending > TAIL_EDITS_MAX) {
      await lookForOutrun(state, pending);
      continue;
    }
    rounds += 1;
    state.figures.tail = undefined;
    state.delayedBy(undefined);
    const orphans = await state.interruptible(() =>
      step('look for rows without parents').findOrphans(state.run),
    );
    if (orphans === null) return;
    // A child may be in stage while its parent waits in the log: only what stays so after several rounds is refused.
    if (rounds >= ORPHAN_ROUNDS_MAX) throw failure('Orphans', orphans);
  }
}

/** Tells after a round whether clients write faster than replay catches up, and does about it what is configured. */
async function lookForOutrun(state: RunState, pending: number): Promise<void> {
  const { onOutrun, roundsMax } = state.run.replay;
  const { tail } = state.figures;
  if (!tail || pending < CLOSER_SHARE * tail.least) {
    state.figures.tail = { least: pending, inVain: 0 };
    return;
  }
  tail.inVain += 1;
  if (tail.inVain < roundsMax) return;
  const outrun = `clients write faster than replay catches up: ${pending} edits wait, hardly fewer than ${tail.inVain} rounds ago`;
  if (onOutrun === 'wait') {
    state.delayedBy(`${outrun}. The run goes on until they write less`);
    return;
  }
  state.abort(
    `${outrun}, so the run was taken back; live is untouched. Run at a quieter time, or set replay.onOutrun: wait.`,
    'ReplayOutrun',
  );
  await state.steer();
}
