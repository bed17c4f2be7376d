import type { RetryPolicy } from '@temporalio/common';
import { ActivityCancellationType, proxyActivities } from '@temporalio/workflow';
import type { Activities } from '../activities/index.js';

/** Activities under a summary that the Temporal UI shows beside each. They heartbeat, so a dead worker is noticed soon. */
export const step = (summary: string, retry: RetryPolicy = {}) =>
  proxyActivities<Activities>({
    summary,
    startToCloseTimeout: '24 hours',
    heartbeatTimeout: '10 seconds',
    // An aborted activity has ended before what it made is taken back.
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    retry: { initialInterval: '1 second', maximumInterval: '20 seconds', ...retry },
  });
