import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import { executeChild, ParentClosePolicy } from '@temporalio/workflow';
import type { SyncInput } from '../src/model/messages.js';
import { workflowIdOf } from '../src/model/messages.js';
import type { Report } from '../src/model/report.js';
import { tell } from './notices.js';
import { sync } from './sync.js';

/** What a schedule starts: the run under its stable id. A run that works already means skipped, not failed. */
export async function scheduledSync(input: SyncInput): Promise<Report | { skipped: string }> {
  try {
    return await executeChild(sync, {
      workflowId: workflowIdOf(input.pipeline),
      args: [input],
      staticSummary: `scheduled refresh of ${input.pipeline}`,
      parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
    });
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) {
      const skipped = `a run of ${input.pipeline} works already, or waits for an approval`;
      await tell(input.pipeline, { kind: 'skipped', text: `a scheduled run was skipped: ${skipped}` });
      return { skipped };
    }
    throw error;
  }
}
