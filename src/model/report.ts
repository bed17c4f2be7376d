import type { Cost } from './cost.js';

/** What a run did: printed by `run --json`, and kept in MySQL for every run. Additions only; see CHANGELOG.md. */

export type Outcome =
  | 'published'
  | 'waiting'
  | 'aborted'
  | 'failed'
  | 'rolledBack'
  | 'planned'
  | 'repaired'
  | 'cleaned';

/** One table of a run; every number counts rows, except where it says otherwise, and `chunks` and `chunksVerified`. */
export interface TableReport {
  /** live's name */
  table: string;
  rowsRead: number;
  rowsStaged: number;
  inserted: number;
  updated: number;
  deleted: number;
  /** rows of which at least one field stayed as a client had set it */
  keptLive: number;
  /** values, not rows: those in which the sides differ and there is no base, so that firstRun decided */
  decidedByFirstRun: number;
  conflicts: number;
  /** rows of the source that were set aside: live keeps its version of them */
  quarantined: number;
  chunks: number;
  chunksVerified: number;
}

export interface PhaseReport {
  name: string;
  /** ISO 8601, UTC */
  startedAt: string;
  ms: number;
}

export interface Report {
  pipeline: string;
  runId: string;
  outcome: Outcome;
  /** how the source was read as of one moment: snapshot | transaction | fuzzy; empty if it was never read */
  moment: string;
  /** why it was a transaction, where a database snapshot was wanted first */
  momentBecause?: string;
  /** ISO 8601, UTC: what was read is as of this moment or a little later; absent if nothing was read */
  momentAt?: string;
  ms: number;
  tables: TableReport[];
  edits: {
    /** edits to live that the log kept while the run worked */
    captured: number;
    replayedBefore: number;
    replayedUnderLock: number;
    /** edits that came through Temporal */
    handedIn: number;
    /** edits that came through Temporal and were refused; absent: none */
    refused?: number;
  };
  cutOver: {
    attempts: number;
    /** from LOCK granted to UNLOCK */
    heldMs: number;
    /** the worker died at the RENAME: heldMs is the least that it can have been */
    incomplete?: true;
    /** the longest time that one attempt was pending */
    queuedMs: number;
  };
  phases: PhaseReport[];
  /** what an operator approved; absent if nothing was asked */
  approved?: string[];
  /** of a rollback */
  rollback?: RolledBack;
  /** of a cleanup */
  cleanup?: Cleaned;
  /** of a repair */
  repair?: Repair;
  /** what the run cost the source and the target; reports of older runs do not say */
  cost?: Cost;
  /** what went wrong, and what to do next; absent if nothing did */
  problem?: string;
  /**
   * the failure's type, of the list in failures.ts; of an aborted run what ended it: Aborted (an operator),
   * ApprovalExpired or ReplayOutrun (a limit of the configuration); absent if nothing failed
   */
  problemType?: string;
}

/** What cleanup did. */
export interface Cleaned {
  /** the publish whose rollback window was closed; null: none, and `because` says why */
  closed: number | null;
  because: string;
  /** tables that nothing needs any more */
  dropped: string[];
}

/** What repair has found, and what it does about it, or a person must. */
export interface RepairFinding {
  what: string;
  cure: string;
}

/** What a rollback did, in counts; its rows and values stay in MySQL. */
export interface RolledBack {
  /** the published generation that was live before */
  undid: number;
  /** of the backup that is live again */
  backup: number;
  editsKept: boolean;
  /** fields that clients have set back to the backup's value since the swap: a stale form may have done that */
  stale: number;
  /** rows that are not in the backup and stay, since clients made them, or built upon them */
  staying: number;
  /** rows that clients have touched since the swap, and whose edits are not kept */
  editsLost: number;
}

/** What repair did: of a report with the outcome `repaired`. */
export interface Repair {
  found: RepairFinding[];
  /** one sentence each */
  done: string[];
  /** what it could not do, and why */
  left: string[];
}

/** How the source was read, and what that costs or means, in words; empty if it was never read. */
export function momentText({ moment, momentBecause }: Pick<Report, 'moment' | 'momentBecause'>): string {
  if (moment === 'fuzzy')
    return 'not one moment (fuzzy): rows that seemed to have come or gone, and missing parents, were asked for again';
  if (moment !== 'transaction') return moment;
  const because = momentBecause === undefined ? '' : `, as no database snapshot can be had: ${momentBecause}`;
  return `one SNAPSHOT transaction${because} (a pause or a crash in ingest begins it again, and the source keeps old versions of changed rows until it ends)`;
}
