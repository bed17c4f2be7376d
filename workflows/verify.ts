import { lookAtGuards } from './gate.js';
import type { RunState } from './run-state.js';
import { step } from './steps.js';

/** What must be known before a swap: the proof that nothing was changed on the way, the conflicts, the guards. */
export async function verify(state: RunState): Promise<void> {
  await prove(state);
  await countConflicts(state);
  await tellConflicts(state);
  await lookAtGuards(state);
}

async function tellConflicts(state: RunState): Promise<void> {
  const conflicts = state.tables.reports().reduce((sum, table) => sum + table.conflicts, 0);
  const max = state.run.webhook?.conflictsMax ?? Number.POSITIVE_INFINITY;
  if (conflicts > max)
    await state.notify({
      kind: 'conflictLimit',
      text: `${conflicts} conflicts, more than ${max}. stageswap conflicts lists and settles them`,
    });
}

/** The proof, chunk by chunk, and how many rows stage has. */
export async function prove(state: RunState): Promise<void> {
  const proofs = () => step('prove that what was sent is what MySQL stored').verify(state.run);
  for (const [table, proof] of Object.entries(await state.interruptible(proofs)))
    state.table(table, { phase: 'verify' }, proof);
}

/** Conflicts of this run. Counted again in MySQL, since a replay merges rows anew. */
export async function countConflicts(state: RunState): Promise<void> {
  const counts = await step('count the conflicts').countConflicts(state.run);
  for (const [table, conflicts] of Object.entries(counts)) state.table(table, {}, { conflicts });
}

/** What the rules across the group took out of the merge's counts; asked before the swap, as it compares with live. */
export async function countHeldBack(state: RunState): Promise<void> {
  const counts = () => step('count what was held back').countHeldBack(state.run);
  for (const [table, held] of Object.entries(await state.interruptible(counts)))
    state.tables.holdBack(table, held);
}
