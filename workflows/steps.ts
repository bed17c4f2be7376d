import { ActivityCancellationType, type ActivityOptions, proxyActivities } from '@temporalio/workflow';
import type { Activities } from '../activities/index.js';

/** In which steps may differ. Of `retry` what is not given is as with every step. */
type StepOptions = Pick<ActivityOptions, 'startToCloseTimeout' | 'cancellationType' | 'retry'>;

/** A step that is over in a moment and is never cancelled. */
export const BRIEF = {
  startToCloseTimeout: '1 minute',
  cancellationType: ActivityCancellationType.TRY_CANCEL,
} as const satisfies StepOptions;

/** Activities under a summary that the Temporal UI shows beside each. They heartbeat, so a dead worker is noticed soon. */
export const step = (summary: string, { retry, ...options }: StepOptions = {}) =>
  proxyActivities<Activities>({
    summary,
    startToCloseTimeout: '24 hours',
    heartbeatTimeout: '10 seconds',
    // An aborted activity has ended before what it made is taken back.
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    retry: { initialInterval: '1 second', maximumInterval: '20 seconds', ...retry },
    ...options,
  });
