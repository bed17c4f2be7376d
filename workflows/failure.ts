import { ActivityFailure, ApplicationFailure } from '@temporalio/workflow';
import type { FailureType } from '../src/model/failures.js';

/** A failure of the list that a workflow itself finds. Never tried again: a run's steps are, the run is not. */
export const failure = (type: FailureType, message: string): ApplicationFailure =>
  ApplicationFailure.nonRetryable(message, type);

/** Why something did not come to its end. Its type is the error's own, of the list or not. */
export interface Problem {
  type: string;
  message: string;
  /** somebody, or a limit of the configuration, ended the run: it did not fail */
  aborted?: true;
}

/** The innermost cause of a failed activity: what a person can act on. */
export function problemOf(error: unknown): Problem {
  const cause = error instanceof ActivityFailure && error.cause ? error.cause : error;
  return {
    type: (cause as { type?: string }).type ?? (cause as Error).name ?? 'Error',
    message: (cause as Error).message ?? String(error),
  };
}
