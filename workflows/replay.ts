import { ApplicationFailure } from '@temporalio/workflow';
import type { RunState } from './run-state.js';
import { step } from './steps.js';

/** An edit tail of this length is short enough for the cut-over, which shortens it further before it locks. */
const TAIL_EDITS_MAX = 100;
const REPLAY_ROUNDS_MAX = 60;
const ORPHAN_ROUNDS_MAX = 20;

/** One round: an activity that replays for some seconds. @returns edits that were replayed, and those that wait */
export async function replayRound(state: RunState, summary: string) {
  const done = await state.interruptible(() => step(summary).replay(state.run));
  state.figures.replayedBefore += done.replayed;
  return done;
}

/** Replays in rounds until few edits wait and every row of stage has its parent. */
export async function replayUntilShort(state: RunState): Promise<void> {
  for (let round = 1; ; round += 1) {
    const { pending } = await replayRound(state, `replay edits, round ${round}`);
    await state.checkpoint();
    if (pending > TAIL_EDITS_MAX) {
      if (round < REPLAY_ROUNDS_MAX) continue;
      throw ApplicationFailure.nonRetryable(
        `clients write faster than replay catches up: ${pending} edits wait after ${round} rounds. Live is untouched. Run at a quieter time.`,
        'ReplayOutrun',
      );
    }
    const orphans = await state.interruptible(() =>
      step('look for rows without parents').findOrphans(state.run),
    );
    if (orphans === null) return;
    // A child may be in stage while its parent waits in the log: only what stays so after several rounds is refused.
    if (round >= ORPHAN_ROUNDS_MAX) throw ApplicationFailure.nonRetryable(orphans, 'Orphans');
  }
}
