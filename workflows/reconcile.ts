import { patched } from '@temporalio/workflow';
import type { RunState } from './run-state.js';
import { inSlots, newestOf } from './slots.js';
import { step } from './steps.js';

/** Merges live into what was read, table by table; then the rules across the group. */
export async function reconcile(state: RunState): Promise<void> {
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
    const chunks = patched('merge-in-slots') ? state.tables.chunks(table) || state.run.parallel : 1;
    await inSlots(state, chunks, mergeSlot);
  }
  // Last comes what the merge of single rows cannot see.
  const complete = () => step('rules across the group, indexes, foreign keys').settle(state.run);
  for (const [table, counts] of Object.entries(await state.interruptible(complete)))
    state.table(table, {}, counts);
}
