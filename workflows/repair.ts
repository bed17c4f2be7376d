import { workflowInfo } from '@temporalio/workflow';
import type { Repaired } from '../activities/repair.js';
import type { RepairInput } from '../src/model/messages.js';
import type { Report } from '../src/model/report.js';
import type { Continued } from './continued.js';
import { failure } from './failure.js';
import { governed } from './governed.js';
import type { RunState } from './run-state.js';
import { step } from './steps.js';

/**
 * Order again, from what MySQL says alone. Under the pipeline's workflow id, so that no run works meanwhile; it cannot be
 * aborted, since each step only takes away what nobody needs, and a second repair goes on where this one stopped.
 */
export async function repair(input: RepairInput & { continued?: Continued }): Promise<Report> {
  return governed(input, 'repaired', restore, async (state) => {
    await state.phase('survey', async () => {
      const ask = step('look at marker, generation, tables, triggers and run rows');
      const { begun, found, undecided } = await ask.beginRepair(
        input.pipeline,
        workflowInfo().firstExecutionRunId,
      );
      state.repair = { found, done: [], left: undecided.map(({ what, cure }) => `${what}: ${cure}`) };
      if (begun) state.begin(begun);
    });
    state.swapped = true;
  });
}

async function restore(state: RunState): Promise<void> {
  if (state.hasBegun) {
    await repairStep(
      state,
      'triggers',
      'drop triggers that nobody needs, before their logs',
      'repairTriggers',
    );
    await repairStep(state, 'runs', 'take back or finish runs that have not ended', 'repairRuns');
    await repairStep(state, 'tables', 'drop tables that nobody needs, put states back', 'repairTables');
    await repairStep(state, 'source', 'drop database snapshots at the source', 'repairSource');
  }
  const left = state.repair?.left ?? [];
  if (left.length > 0) throw failure('NotRepaired', `left to a person: ${left.join('; ')}`);
}

async function repairStep(
  state: RunState,
  phase: string,
  summary: string,
  name: 'repairTriggers' | 'repairRuns' | 'repairTables' | 'repairSource',
): Promise<void> {
  await state.phase(phase, async () => {
    const { done, left }: Repaired = await step(summary)[name](state.run);
    state.repair?.done.push(...done);
    state.repair?.left.push(...left);
  });
}
