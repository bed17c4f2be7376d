import { CancellationScope, log, proxyActivities } from '@temporalio/workflow';
import type { Activities } from '../activities/index.js';
import type { Notice } from '../src/model/messages.js';

// A webhook that is away must hold nobody up for long, and is worth a few attempts.
const { notify } = proxyActivities<Pick<Activities, 'notify'>>({
  summary: 'tell the webhook',
  startToCloseTimeout: '6 seconds',
  scheduleToCloseTimeout: '20 seconds',
  heartbeatTimeout: '6 seconds',
  retry: { initialInterval: '1 second', maximumInterval: '5 seconds', maximumAttempts: 4 },
});

/** Tells the pipeline's webhook, if it has one. Never fails: a run does not depend on who hears of it. */
export async function tell(pipeline: string, notice: Notice): Promise<void> {
  try {
    await CancellationScope.nonCancellable(() => notify(pipeline, notice));
  } catch (error) {
    log.warn('the webhook was not told', { pipeline, event: notice.kind, error: (error as Error).message });
  }
}
