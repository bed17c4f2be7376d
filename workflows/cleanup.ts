import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import { executeChild, ParentClosePolicy } from '@temporalio/workflow';
import { type CleanupInput, workflowIdOf } from '../src/model/messages.js';
import type { Report } from '../src/model/report.js';
import type { Continued } from './continued.js';
import { governed } from './governed.js';
import { step } from './steps.js';

/**
 * The end of the rollback window, and of what nothing needs any more. Under the pipeline's workflow id, so that neither a run
 * nor a rollback works meanwhile. It makes nothing, so there is nothing to take back; a second one goes on where this stopped.
 */
export async function cleanup(input: CleanupInput & { continued?: Continued }): Promise<Report> {
  return governed(
    input,
    'cleaned',
    async (state) => {
      await state.phase('window', async () => {
        const close = step('drop the triggers and images of a rollback window that is over');
        state.cleanup = { ...(await close.closeWindow(input.pipeline, input.now)), dropped: [] };
      });
      await state.phase('tables', async () => {
        const drop = step('drop backups and bases beyond those that are kept');
        const { dropped } = await drop.dropUnneeded(input.pipeline);
        state.cleanup?.dropped.push(...dropped);
      });
    },
    async (state) => {
      state.swapped = true; // nothing that could be taken back
    },
  );
}

/** What a schedule of cleanups starts. A run that works already means skipped: the next one will do. */
export async function scheduledCleanup(input: CleanupInput): Promise<Report | { skipped: string }> {
  try {
    return await executeChild(cleanup, {
      workflowId: workflowIdOf(input.pipeline),
      args: [input],
      staticSummary: `scheduled cleanup of ${input.pipeline}`,
      parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
    });
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    return { skipped: `something of ${input.pipeline} works already` };
  }
}
