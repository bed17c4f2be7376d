import { blockersText } from '../src/model/blockers.js';
import type { RunState } from './run-state.js';
import { step } from './steps.js';

/** It is too late for the cut-over; when it may come again, all its attempts are before it. */
function comeBackLater(state: RunState): void {
  state.figures.tried.attempts = 0;
  state.delayedBy(undefined);
}

/**
 * Asks for the lock call after call, and says between them who holds the tables.
 *
 * @param untilMs milliseconds since 1970 at which it is too late: then it returns, and nothing is swapped
 */
export async function cutOver(state: RunState, untilMs?: number): Promise<void> {
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
