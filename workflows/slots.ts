import { CancellationScope } from '@temporalio/workflow';
import type { RunState } from './run-state.js';

/** Each slot counts over all chunks of a table. They work side by side, so that an older count may come after a newer one. */
export function newestOf(): (chunksDone: number) => boolean {
  let newest = 0;
  return (chunksDone) => {
    newest = Math.max(newest, chunksDone);
    return chunksDone === newest;
  };
}

/**
 * Works in as many activities at a time as `parallel` says, each again until it has finished or the history is long.
 *
 * @param beside what is done at the same time
 */
export async function inSlots(
  state: RunState,
  chunks: number,
  work: (slot: number, slots: number) => Promise<boolean>,
  beside?: () => Promise<void>,
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
    await allOrNone(() => [
      ...(beside ? [beside()] : []),
      ...Array.from({ length: slots }, (_, slot) => untilFinished(slot)),
    ]);
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
