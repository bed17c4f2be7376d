import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import {
  executeChild,
  getExternalWorkflowHandle,
  log,
  ParentClosePolicy,
  setCurrentDetails,
} from '@temporalio/workflow';
import type { SyncInput } from '../src/model/messages.js';
import { workflowIdOf } from '../src/model/messages.js';
import type { Report } from '../src/model/report.js';
import { scheduledSkipped } from './messages.js';
import { tell } from './notices.js';
import { step } from './steps.js';
import { sync } from './sync.js';

const ASK_ATTEMPTS_MAX = 3;

/** What a schedule starts: the run under its stable id. A run that works already means skipped, not failed; it is said aloud. */
export async function scheduledSync(input: SyncInput): Promise<Report | { skipped: string }> {
  try {
    return await executeChild(sync, {
      workflowId: workflowIdOf(input.pipeline),
      args: [input],
      staticSummary: `scheduled refresh of ${input.pipeline}`,
      parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
    });
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    const skipped = await sayWhySkipped(input.pipeline);
    await tell(input.pipeline, { kind: 'skipped', text: `a scheduled run was ${skipped}` });
    return { skipped };
  }
}

/** Says it here, in the worker's log, and to the run because of which this one is left out. It may end meanwhile: then there is nothing to ask. */
async function sayWhySkipped(pipeline: string): Promise<string> {
  const ask = step('ask what the running workflow waits for', {
    retry: { maximumAttempts: ASK_ATTEMPTS_MAX },
  });
  const waitsFor = await ask.whatItWaitsFor(pipeline).catch(() => null);
  const why =
    waitsFor === null
      ? `skipped: a run of ${pipeline} works already`
      : `skipped: a run of ${pipeline} waits for a human, and no other can start until it has ended: ${waitsFor}`;
  log.warn(why);
  setCurrentDetails(`**${why}**`);
  await getExternalWorkflowHandle(workflowIdOf(pipeline))
    .signal(scheduledSkipped)
    .catch(() => {});
  return why;
}
