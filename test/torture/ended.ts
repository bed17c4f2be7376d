import { ApplicationFailure, TerminatedFailure, type WorkflowFailedError } from '@temporalio/client';
import type { Ended } from './check.js';

/** How a command ended, as its workflow says it. */

/** Of a workflow that was ended without a word. */
export const TERMINATED = 'Terminated';

/** What the checker is told of a report. */
export interface Told {
  outcome: Ended['outcome'];
  problemType?: string;
  problem?: string;
  repair?: { found: { what: string }[]; left: string[] };
}

export const endedAs = ({ outcome, problemType, problem, repair }: Told): Ended => ({
  outcome,
  ...(problemType ? { type: problemType, message: problem ?? '' } : {}),
  ...(repair ? { found: repair.found.map(({ what }) => what), left: repair.left } : {}),
});

export function failureOf(error: WorkflowFailedError): Ended {
  let type: string | undefined;
  let message = error.message;
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    message = at.message;
    if (at instanceof ApplicationFailure && at.type) type = at.type;
    if (at instanceof TerminatedFailure) type = TERMINATED;
  }
  const outcome = type === undefined && /cancel/i.test(message) ? 'aborted' : 'failed';
  return { outcome, ...(type ? { type } : {}), message };
}
