/** What a call of the cut-over hands on to the next, where the lock was not granted within one. */
export interface Tried {
  attempts: number;
  queuedMs: number;
  /** MySQL keeps a limited number of them, over all calls */
  barriers: number;
  /** stage was written since the last barrier */
  isStale: boolean;
}
export const NOTHING_TRIED: Tried = { attempts: 0, queuedMs: 0, barriers: 0, isStale: true };
