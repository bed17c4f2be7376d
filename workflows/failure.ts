import { ApplicationFailure } from '@temporalio/workflow';
import type { FailureType } from '../src/model/failures.js';

/** A failure of the list that a workflow itself finds. Never tried again: a run's steps are, the run is not. */
export const failure = (type: FailureType, message: string): ApplicationFailure =>
  ApplicationFailure.nonRetryable(message, type);
