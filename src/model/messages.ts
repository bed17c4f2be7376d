import type { Reason } from './approval.js';
import type { Cost } from './cost.js';
import type { Report } from './report.js';

/** What passes through Temporal: names and shapes. Pure, so that workflows can import it. */

export const TASK_QUEUE = 'stageswap';

/** Run, rollback, cleanup and repair of a pipeline share one workflow id, so that they exclude each other. */
export function workflowIdOf(pipeline: string): string {
  return `stageswap-${pipeline}`;
}

/** What a schedule starts. */
export type Scheduled = 'run' | 'cleanup';
const scheduledSuffix = (of: Scheduled) => (of === 'run' ? '' : `-${of}`);

/** A schedule has a name space of its own in Temporal, and may be called like the workflow it starts. */
export function scheduleIdOf(pipeline: string, of: Scheduled = 'run'): string {
  return `stageswap-${pipeline}${scheduledSuffix(of)}`;
}

/** The workflow that a schedule starts; Temporal appends the time to it. */
export function scheduledWorkflowIdOf(pipeline: string, of: Scheduled = 'run'): string {
  return `stageswap-${pipeline}${scheduledSuffix(of)}-scheduled`;
}

export const WORKFLOWS = {
  sync: 'sync',
  rollback: 'rollback',
  plan: 'plan',
  cleanup: 'cleanup',
  repair: 'repair',
  scheduledSync: 'scheduledSync',
  scheduledCleanup: 'scheduledCleanup',
} as const;

export const SIGNALS = {
  clientEdits: 'clientEdits',
  pause: 'pause',
  resume: 'resume',
  abort: 'abort',
  scheduledSkipped: 'scheduledSkipped',
} as const;

/** pause, resume and abort as updates say why not. */
export const UPDATES = {
  submitEdits: 'submitEdits',
  approve: 'approve',
  pause: 'pause',
  resume: 'resume',
  abort: 'abort',
} as const;

/** By which the Temporal UI finds and lists runs. */
export const SEARCH_ATTRIBUTES = { pipeline: 'StageswapPipeline', phase: 'StageswapPhase' } as const;

/** What a webhook can be told of. */
export const NOTICES = ['waiting', 'conflictLimit', 'failed', 'rolledBack', 'held', 'skipped'] as const;
export type NoticeKind = (typeof NOTICES)[number];

export const QUERIES = { progress: 'progress' } as const;

export interface SyncInput {
  pipeline: string;
  /** passes the gate of a first publish (`--yes`) */
  approveFirst: boolean;
  /** of the file that the command was given; absent: the worker's is taken, whatever it says */
  configDigest?: string;
}

/** A dry run: all of a run that touches only tables of its own, which are dropped again. */
export interface PlanInput {
  pipeline: string;
  /** of conflicts, and of rows to come and to go of each table: how many the plan names */
  rowsMax: number;
  /** as of SyncInput */
  configDigest?: string;
}

export interface RollbackInput {
  pipeline: string;
  /** the name of a backup, such as 5-without-edits; absent: the latest, with what clients changed since */
  backup?: string;
}

export interface RepairInput {
  pipeline: string;
}

export interface CleanupInput {
  pipeline: string;
  /** closes the rollback window whatever its age */
  now: boolean;
}

/** One change of one existing row. Values are text as MySQL would print them, or null: never a JavaScript number. */
export interface ClientEdit {
  /** chosen by the sender; a repetition with the same id changes nothing */
  editId: string;
  /** live's name */
  table: string;
  key: Record<string, string>;
  set: Record<string, string | null>;
  /** who changed it */
  by?: string;
}

/** So many edits a client sends at a time, and a run writes at a time; a run refuses an update with more. */
export const EDITS_A_BATCH_MAX = 200;

export interface EditBatch {
  edits: ClientEdit[];
}

/** What became of one edit; `applied` means committed in live. */
export interface EditOutcome {
  editId: string;
  outcome: 'applied' | 'repeated' | 'refused';
  problem?: string;
}

/** What the webhook of a pipeline is told. */
export interface Notice {
  kind: NoticeKind;
  /** counts and names, and what to do; neither values nor secrets */
  text: string;
  /** of the list in failures.ts */
  failure?: string;
}

export interface TableProgress {
  table: string;
  phase: string;
  rowsDone: number;
  /** an estimate until the source is read; absent if the source does not say */
  rowsTotal?: number;
  chunksDone: number;
  chunks: number;
}

/** How far one activity is within a table, by its heartbeats: for steps that last, of which the workflow hears at their end. */
export type Doing = Pick<TableProgress, 'table' | 'phase' | 'rowsDone' | 'chunksDone' | 'chunks'>;

/** Answer to the query `progress`. */
export interface Progress {
  phase: string;
  tables: TableProgress[];
  /** what a human must do, if the run waits for one */
  waitingFor?: string;
  /** each reason of that by itself, with its count */
  reasons?: Reason[];
  /** ISO 8601, UTC: when the run gives up waiting for an approval */
  expiresAt?: string;
  /** what holds the run up, though nobody must decide anything */
  delayedBy?: string;
  /** runs that the schedule left out because this one has not ended */
  scheduledRunsSkipped?: number;
  /** while it waits: the report so far, with the counts to decide on */
  report?: Report;
  /** a pause was asked for, and not taken back */
  paused: boolean;
  /** paused, and something still works: it gives up what can be given up, and finishes the rest; absent: it stands still */
  pausing?: true;
  /** it was aborted, or gave up, and takes back what it made */
  aborting?: true;
  generation: number;
  /** so far, with what the run stood back for each side */
  cost?: Cost;
}
