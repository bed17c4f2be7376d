import { Context } from '@temporalio/activity';
import { type Progress, QUERIES, scheduleIdOf, workflowIdOf } from '../src/model/messages.js';
import { activity } from './context.js';

/** What Temporal itself knows and a workflow cannot ask. */
export function scheduleActivities() {
  /** What the pipeline's running workflow waits for a human to do; null if it works, or has ended. */
  const whatItWaitsFor = activity(async (pipeline: string): Promise<string | null> => {
    const { client } = Context.current();
    const progress = await client.workflow
      .getHandle(workflowIdOf(pipeline))
      .query<Progress>(QUERIES.progress);
    return progress.waitingFor ?? null;
  });

  /** How many starts the pipeline's schedule has left out so far because an earlier one had not ended; 0 without a schedule. */
  const leftOutBySchedule = activity(async (pipeline: string): Promise<number> => {
    const { client } = Context.current();
    const { info } = await client.schedule.getHandle(scheduleIdOf(pipeline)).describe();
    return info.numActionsSkippedOverlap;
  });
  return { whatItWaitsFor, leftOutBySchedule };
}
