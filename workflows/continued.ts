import type { Begun } from '../activities/runs.js';
import type { Reason } from '../src/model/approval.js';
import type { Cost } from '../src/model/cost.js';
import type { Tried } from '../src/model/cut-over.js';
import type { ClientEdit } from '../src/model/messages.js';
import type { PhaseReport, Report, RolledBack } from '../src/model/report.js';
import type { TableCount } from '../src/model/table-counts.js';

/** What travels to the next execution when a run goes on as a new one: counts and names, never rows but those of edits. */
export interface Continued {
  run: Begun | undefined;
  done: string[];
  phases: PhaseReport[];
  tables: TableCount[];
  figures: Figures;
  paused: boolean;
  gate: GateMemory;
  told: string[];
  startedAt: number;
  /** of signals, and not written yet */
  edits?: ClientEdit[];
  /** the run has ended so, and only edits of signals are left to be written */
  ended?: Report;
}

/** What a run knows about its gate. */
export interface GateMemory {
  /** guards that tripped when they were looked at last */
  tripped: Reason[];
  /** what it asks an operator now */
  asked: Reason[];
  /** when it began to ask: milliseconds since 1970 */
  askedAt?: number | undefined;
  /** all that an operator has approved */
  approved: Reason[];
  /** milliseconds for which live would be locked, as rehearsed */
  heldMs?: number | undefined;
  /** edits that had been replayed when the guards were looked at last */
  replayedAtLook?: number | undefined;
  /** since when what was read from the source stands, in milliseconds since 1970 */
  readAtMs: number;
  /** milliseconds from then until the run was ready */
  preparedMs: number;
  /** something else than its work has held the run up since then */
  hasWaited: boolean;
  /** what the gate decided: cut over, at the latest at untilMs, or read the source again */
  next?: 'cutOver' | 'renew' | undefined;
  untilMs?: number | undefined;
  /** runs that the schedule left out because of this one */
  skipped: number;
  /** what Temporal had counted of these when it was asked last */
  counted?: number | undefined;
}

/** What a run has found and counted, of no table alone. */
export interface Figures {
  moment: string;
  momentBecause: string | undefined;
  handedIn: number;
  /** edits that were handed in and refused */
  refused?: number;
  captured: number;
  replayedBefore: number;
  replayedUnderLock: number;
  cutOver: Report['cutOver'];
  /** the moment of the source could not be given up when every row was read */
  momentLeft?: boolean;
  /** what a rollback has found */
  rollback?: RolledBack;
  cost: Cost;
  /** what the cut-over has tried so far */
  tried: Tried;
  /** the shortest tail of edits that replay has reached, and its rounds since then that came no closer */
  tail?: { least: number; inVain: number } | undefined;
}
