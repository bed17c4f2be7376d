import { Context } from '@temporalio/activity';
import { type Progress, QUERIES, scheduleIdOf, workflowIdOf } from '../src/model/messages.js';
import { nextWindow, parseWindow } from '../src/model/window.js';
import { describeSchedule } from '../src/temporal/schedule.js';
import { activity } from './context.js';

/** What Temporal itself knows, and local time: what a workflow cannot ask. */
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
    const schedule = await describeSchedule(client, scheduleIdOf(pipeline));
    return schedule?.info.numActionsSkippedOverlap ?? 0;
  });

  /** The window that is open at a moment, else the next; milliseconds since 1970. Workers may know different rules of time zones. */
  const nextWindowOf = activity(async (text: string, atMs: number) => {
    const window = parseWindow(text);
    if (!window) throw new Error(`${text} is no window`);
    return nextWindow(window, atMs);
  });
  return { whatItWaitsFor, leftOutBySchedule, nextWindowOf };
}
