import { fileURLToPath } from 'node:url';
import { Context } from '@temporalio/activity';
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import {
  bundleWorkflowCode,
  DefaultLogger,
  NativeConnection,
  Runtime,
  Worker,
  type WorkflowBundleWithSourceMap,
} from '@temporalio/worker';
import type { Activities } from '../../activities/index.js';
import type { Begun } from '../../activities/runs.js';
import type { Reason } from '../../src/model/approval.js';
import type { EditBatch } from '../../src/model/messages.js';

/** The workflows as they are, on a real Temporal server, with activities that only take notes. */
export class WorkflowsUnderTest {
  private constructor(
    readonly client: Client,
    readonly native: NativeConnection,
    readonly bundle: WorkflowBundleWithSourceMap,
  ) {}

  static async open(address: string): Promise<WorkflowsUnderTest> {
    Runtime.install({ logger: new DefaultLogger('ERROR') });
    const bundle = await bundleWorkflowCode({
      workflowsPath: fileURLToPath(new URL('../../workflows/index.ts', import.meta.url)),
      logger: new DefaultLogger('ERROR'),
    });
    const connection = await Connection.connect({ address });
    return new WorkflowsUnderTest(
      new Client({ connection }),
      await NativeConnection.connect({ address }),
      bundle,
    );
  }

  async close(): Promise<void> {
    await this.native.close();
    await this.client.connection.close();
  }

  /** A worker of a task queue for as long as the work takes. */
  async withWorker<T>(taskQueue: string, activities: Activities, work: () => Promise<T>): Promise<T> {
    const { native: connection, bundle: workflowBundle } = this;
    const worker = await Worker.create({ connection, taskQueue, workflowBundle, activities });
    return worker.runUntil(work);
  }

  /** Starts a workflow on a worker of its own. The gate of a first publish is passed. */
  async withRun<T>(
    activities: Activities,
    type: 'sync' | 'rollback' | 'plan' | 'cleanup' | 'repair',
    work: (handle: WorkflowHandle) => Promise<T>,
  ): Promise<T> {
    const taskQueue = `test-${Math.random()}`;
    return this.withWorker(taskQueue, activities, async () => {
      const handle = await this.client.workflow.start(type, {
        taskQueue,
        workflowId: taskQueue,
        args: [{ pipeline: 'p', approveFirst: true }],
      });
      return work(handle);
    });
  }
}

/** What `begin` says of a run that nothing keeps from its cut-over. */
export const RUN: Begun = {
  pipeline: 'p',
  generation: 1,
  runId: 'r',
  tables: ['customer'],
  parallel: 1,
  firstPublish: true,
  approve: 'never',
  approvalHoursMax: 72,
  replay: { onOutrun: 'abort', roundsMax: 30 },
  heldMsMax: 250,
};

export const ROLLED_BACK = { undid: 1, backup: 1, editsKept: true, stale: 0, staying: 0, editsLost: 0 };
const REPAIRED = { done: [], left: [] };

/** Activities that note their names; `change` replaces some of them. */
export function noting(notes: string[], change: Partial<Activities> = {}): Activities {
  const note =
    <R>(name: string, result: R) =>
    async () => {
      notes.push(name);
      return result;
    };
  const counts = {
    inserted: 1,
    updated: 0,
    deleted: 0,
    keptLive: 0,
    decidedByFirstRun: 0,
    rows: 1,
    chunksDone: 1,
    finished: true,
  };
  const plain = {
    begin: note('begin', RUN),
    beginRollback: note('beginRollback', RUN),
    describeRollback: note('describeRollback', ROLLED_BACK),
    prepare: note('prepare', undefined),
    openMoment: note('openMoment', { moment: 'snapshot' as const }),
    planIngest: note('planIngest', { chunks: 1, more: false }),
    ingestChunks: note('ingestChunks', { rows: 1, chunksDone: 1, chunks: 1, finished: true }),
    ingestWhilePlanned: note('ingestWhilePlanned', { rows: 1, chunksDone: 1, chunks: 1, finished: true }),
    ingestTransaction: note('ingestTransaction', {}),
    askAgain: note('askAgain', { rows: 1, chunksDone: 1, chunks: 1, finished: true }),
    askForParents: note('askForParents', {}),
    closeMoment: note('closeMoment', undefined),
    capture: note('capture', undefined),
    reconcile: note('reconcile', counts),
    settle: note('settle', {}),
    verify: note('verify', { customer: { rowsStaged: 1, chunks: 1, chunksVerified: 1 } }),
    guard: note('guard', [] as Reason[]),
    whatItWaitsFor: note('whatItWaitsFor', null as string | null),
    leftOutBySchedule: async () => 0,
    rehearseCutOver: note('rehearseCutOver', { heldMs: 40 }),
    renew: note('renew', { ...RUN, generation: 2 }),
    nextWindowOf: note('nextWindowOf', { opensAtMs: 0, closesAtMs: Number.MAX_SAFE_INTEGER }),
    replay: note('replay', { replayed: 2, pending: 0 }),
    findOrphans: note('findOrphans', null),
    countHeldBack: note('countHeldBack', {}),
    backup: note('backup', { backups: [] }),
    copyLive: note('copyLive', { finished: true, chunksDone: 1 }),
    cutOver: note('cutOver', {
      attempts: 1,
      heldMs: 5,
      queuedMs: 1,
      checkMs: 1,
      drainMs: 1,
      swapMs: 3,
      replayedBefore: 4,
      replayedUnderLock: 1,
    }),
    finalSync: note('finalSync', { captured: 3, left: 0 }),
    describePlan: note('describePlan', undefined),
    closeConflicts: note('closeConflicts', undefined),
    countConflicts: note('countConflicts', {}),
    cleanup: note('cleanup', { dropped: [] }),
    undo: note('undo', { undone: true }),
    end: note('end', undefined),
    beginRepair: note('beginRepair', { begun: RUN, found: [], undecided: [] }),
    closeWindow: note('closeWindow', { closed: null, because: 'the test' }),
    dropUnneeded: note('dropUnneeded', { dropped: [] }),
    repairTriggers: note('repairTriggers', REPAIRED),
    repairRuns: note('repairRuns', REPAIRED),
    repairTables: note('repairTables', REPAIRED),
    repairSource: note('repairSource', REPAIRED),
    notify: async () => ({ sent: false }),
    applyEdits: async (_pipeline: string, edits: EditBatch['edits']) => {
      notes.push(...edits.map((edit) => `edit ${edit.editId}`));
      return edits.map((edit) => ({ editId: edit.editId, outcome: 'applied' as const }));
    },
  };
  return { ...plain, ...change };
}

export function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve: () => void = () => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

/**
 * In an activity: heartbeats until Temporal asks it to give up, and until what then has to be done is done.
 *
 * @returns the failure by which an activity says that it gave up
 */
export async function untilCancelled(andThen: () => Promise<void> = async () => {}): Promise<unknown> {
  const context = Context.current();
  const beat = setInterval(() => context.heartbeat(), 50);
  try {
    return await context.cancelled.catch(async (cancelled: unknown) => {
      await andThen();
      return cancelled;
    });
  } finally {
    clearInterval(beat);
  }
}

export const edit = (editId: string) => ({
  editId,
  table: 'customer',
  key: { id: '1' },
  set: { email: 'x' },
});
