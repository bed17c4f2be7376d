/**
 * The list of failures: each with its type (as the Temporal UI shows it), whether repeating may help, and who acts.
 * A failure's message says what is wrong, where, and what to do next.
 */
export const FAILURES = {
  Refused: { retry: false, acts: 'operator', meaning: 'preflight found something that must be cured first' },
  Mistyped: {
    retry: false,
    acts: 'operator',
    meaning: 'a key, a condition or a name that was given cannot be read',
  },
  BadValue: {
    retry: false,
    acts: 'operator',
    meaning: 'a source value cannot be stored in its column unchanged',
  },
  ProofFailed: { retry: false, acts: 'developer', meaning: 'what was stored is not what was sent' },
  Orphans: {
    retry: false,
    acts: 'operator',
    meaning: 'rows of stage point to parents that stage does not have',
  },
  Collision: {
    retry: false,
    acts: 'operator',
    meaning: 'merged rows would break a unique index, and no rule says which falls back',
  },
  Fenced: {
    retry: false,
    acts: 'nobody',
    meaning: 'a newer run owns the pipeline; this one changes nothing more',
  },
  LiveChanged: { retry: false, acts: 'operator', meaning: "live's definition changed while the run worked" },
  SourceTooOld: {
    retry: false,
    acts: 'operator',
    meaning: 'reading and merging take longer than what was read may be old',
  },
  LockNotGranted: { retry: false, acts: 'operator', meaning: 'the cut-over got no lock within its attempts' },
  Unreachable: { retry: true, acts: 'nobody', meaning: 'an engine does not answer' },
  NotConfigured: {
    retry: true,
    acts: 'operator',
    meaning: 'the worker that took a step has no configuration of the pipeline; another worker may have it',
  },
  NotRepaired: { retry: false, acts: 'operator', meaning: 'repair found what a person must decide' },
  NothingToRollBack: { retry: false, acts: 'operator', meaning: 'no backup of a published run is left' },
  Unexpected: { retry: false, acts: 'developer', meaning: 'an engine refused a statement, or a bug' },
  Held: {
    retry: false,
    acts: 'operator',
    meaning: 'the pipeline is held after a rollback until it is released',
  },
} as const;
export type FailureType = keyof typeof FAILURES;

/** What else ends a run, which then has not failed but is taken back: an operator, or a limit of the configuration. */
export type Ending = 'Aborted' | 'ApprovalExpired' | 'ReplayOutrun';

/** A failure of the list. Activities turn it into Temporal's ApplicationFailure of the same type. */
export class StageswapError extends Error {
  readonly type: FailureType;
  constructor(type: FailureType, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = type;
    this.type = type;
  }
  get retry(): boolean {
    return FAILURES[this.type].retry;
  }
}
