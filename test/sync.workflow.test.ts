import { fileURLToPath } from 'node:url';
import { Context } from '@temporalio/activity';
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import {
  bundleWorkflowCode,
  DefaultLogger,
  NativeConnection,
  Runtime,
  Worker,
  type WorkflowBundleWithSourceMap,
} from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, inject, it, vi } from 'vitest';
import type { Activities } from '../activities/index.js';
import { scheduleActivities } from '../activities/schedule.js';
import type { Reason } from '../src/model/approval.js';
import type { EditBatch, Progress } from '../src/model/messages.js';
import type { Report } from '../src/model/report.js';

/** The run's order, its compensations and its steering, on a real Temporal server with activities that only take notes. */
let bundle: WorkflowBundleWithSourceMap;
let connection: Connection;
let client: Client;
let native: NativeConnection;

beforeAll(async () => {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  bundle = await bundleWorkflowCode({
    workflowsPath: fileURLToPath(new URL('../workflows/index.ts', import.meta.url)),
    logger: new DefaultLogger('ERROR'),
  });
  connection = await Connection.connect({ address: inject('temporalAddress') });
  native = await NativeConnection.connect({ address: inject('temporalAddress') });
  client = new Client({ connection });
});
afterAll(async () => {
  await native?.close();
  await connection?.close();
});

const RUN = {
  pipeline: 'p',
  generation: 1,
  runId: 'r',
  tables: ['customer'],
  parallel: 1,
  firstPublish: true,
  approve: 'never' as const,
  approvalHoursMax: 72,
};

const ROLLED_BACK = { undid: 1, backup: 1, editsKept: true, stale: 0, staying: 0, editsLost: 0 };
const REPAIRED = { done: [], left: [] };

/** Activities that note their names; `change` replaces some of them. */
function noting(notes: string[], change: Partial<Activities> = {}): Activities {
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
    planIngest: note('planIngest', { chunks: 1 }),
    ingestChunks: note('ingestChunks', { rows: 1, chunksDone: 1, chunks: 1, finished: true }),
    ingestTransaction: note('ingestTransaction', {}),
    closeMoment: note('closeMoment', undefined),
    capture: note('capture', undefined),
    reconcile: note('reconcile', counts),
    settle: note('settle', {}),
    verify: note('verify', { customer: { rowsStaged: 1, chunks: 1, chunksVerified: 1 } }),
    guard: note('guard', [] as Reason[]),
    whatItWaitsFor: note('whatItWaitsFor', null as string | null),
    leftOutBySchedule: async () => 0,
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

async function withRun<T>(
  activities: Activities,
  type: 'sync' | 'rollback' | 'plan' | 'cleanup' | 'repair',
  work: (handle: WorkflowHandle) => Promise<T>,
): Promise<T> {
  const taskQueue = `test-${Math.random()}`;
  const worker = await Worker.create({ connection: native, taskQueue, workflowBundle: bundle, activities });
  return worker.runUntil(async () => {
    const handle = await client.workflow.start(type, {
      taskQueue,
      workflowId: taskQueue,
      args: [{ pipeline: 'p', approveFirst: true }],
    });
    return work(handle);
  });
}

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve: () => void = () => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

const edit = (editId: string) => ({ editId, table: 'customer', key: { id: '1' }, set: { email: 'x' } });

/** Temporal's development server suggests to go on as a new execution at this many events. */
const EVENTS_SUGGESTED_MAX = 4_096;

const tooMany = (measure: number): Reason => ({
  ...{ kind: 'deleteShare', of: 'customer', measure },
  text: `${measure} rows would be deleted`,
});
const asks = async (handle: WorkflowHandle, what: string) =>
  vi.waitFor(async () => {
    const progress = (await handle.query('progress')) as Progress;
    expect(progress.waitingFor).toContain(what);
    return progress;
  }, 60_000);

describe('a run whose guards trip', () => {
  it('stops before the cut-over and asks, for all reasons at once, and is published when it is approved', async () => {
    const notes: string[] = [];
    const activities = noting(notes, {
      begin: async () => ({ ...RUN, firstPublish: false, approve: 'always' as const }),
      guard: async () => [tooMany(5)],
    });
    const report = (await withRun(activities, 'sync', async (handle) => {
      const progress = await asks(handle, 'approve: always asks in every run; 5 rows would be deleted');
      expect(progress).toMatchObject({
        phase: 'gate',
        reasons: [{ kind: 'always' }, { kind: 'deleteShare', of: 'customer', measure: 5 }],
        report: { outcome: 'waiting' },
      });
      expect(notes).not.toContain('backup');
      expect(await handle.executeUpdate('approve')).toContain('2 reasons');
      return handle.result();
    })) as Report;
    expect(report).toMatchObject({ outcome: 'published' });
    expect(report.approved).toEqual(['approve: always asks in every run', '5 rows would be deleted']);
  }, 120_000);

  it('asks again where more would be changed than was approved, and then not again', async () => {
    let deletes = 5;
    const activities = noting([], { guard: async () => [tooMany(deletes)] });
    const report = (await withRun(activities, 'sync', async (handle) => {
      await asks(handle, '5 rows');
      deletes = 6;
      await handle.executeUpdate('approve');
      await asks(handle, '6 rows');
      deletes = 4;
      await handle.executeUpdate('approve');
      return handle.result();
    })) as Report;
    expect(report.outcome).toBe('published');
    expect(report.approved).toEqual(['5 rows would be deleted', '6 rows would be deleted']);
  }, 120_000);

  it('asks although the gate of a first publish was passed', async () => {
    const activities = noting([], { guard: async () => [tooMany(5)] });
    const report = (await withRun(activities, 'sync', async (handle) => {
      await asks(handle, '5 rows');
      await handle.executeUpdate('abort', { args: ['no'] });
      return handle.result();
    })) as Report;
    expect(report).toMatchObject({ outcome: 'aborted', problem: 'no', problemType: 'Aborted' });
  }, 120_000);

  it('is aborted and taken back when nobody approves in time, and says so', async () => {
    const notes: string[] = [];
    const activities = noting(notes, {
      begin: async () => ({ ...RUN, approvalHoursMax: 0.0005 }),
      guard: async () => [tooMany(5)],
    });
    const report = (await withRun(activities, 'sync', (handle) => handle.result())) as Report;
    expect(report).toMatchObject({ outcome: 'aborted', problemType: 'ApprovalExpired' });
    expect(report.problem).toMatch(/nobody approved within 0.0005 hours.*5 rows would be deleted/);
    expect(notes.slice(-3)).toEqual(['closeMoment', 'undo', 'end']);
  }, 120_000);

  it('replays while it waits, goes on as new executions where it waits for long, and keeps what was asked and approved', async () => {
    let rounds = 0;
    const notes: string[] = [];
    const activities = noting(notes, {
      begin: async () => ({ ...RUN, firstPublish: false, approve: 'always' as const }),
      guard: async () => [tooMany(5)],
      replay: async () => {
        rounds += 1;
        return { replayed: 1, pending: 0 };
      },
    });
    let sent = 0;
    const report = (await withRun(activities, 'sync', async (handle) => {
      const first = await asks(handle, '5 rows');
      await vi.waitFor(() => expect(rounds).toBeGreaterThan(0), 60_000);
      // Edits that are handed in one by one make the history long, as days of waiting would. Then they stop: one that
      // comes at this very moment would make Temporal try again.
      const { runId } = await handle.describe();
      for (let now = await handle.describe(); now.runId === runId; now = await handle.describe()) {
        if (now.historyLength >= EVENTS_SUGGESTED_MAX) continue;
        sent += 1;
        await handle.signal('clientEdits', { edits: [edit(`e${sent}`)] });
        await vi.waitFor(() => expect(notes).toContain(`edit e${sent}`), { timeout: 20_000, interval: 5 });
      }
      expect(await asks(handle, '5 rows')).toMatchObject({ expiresAt: first.expiresAt });
      await handle.executeUpdate('approve');
      return handle.result();
    })) as Report;
    expect(report).toMatchObject({ outcome: 'published', edits: { handedIn: sent } });
    expect(report.approved).toHaveLength(2);
  }, 240_000);
});

it('a run whose cut-over waits for its lock says who holds the tables, and goes on with what was tried', async () => {
  const calls: unknown[] = [];
  const released = withResolvers();
  const tried = { attempts: 7, queuedMs: 50, barriers: 1, isStale: false };
  const holder = { sessionId: 42, user: 'app', host: '10.0.0.5', ageSeconds: 312, tables: ['customer'] };
  const swap = { heldMs: 5, checkMs: 1, drainMs: 1, swapMs: 3, replayedBefore: 1, replayedUnderLock: 0 };
  const activities = noting([], {
    cutOver: async (_run, before) => {
      calls.push(before);
      if (calls.length > 1) await released.promise;
      return calls.length === 1
        ? { notYet: 'blocked', tried, replayedBefore: 3, blockers: [holder], killed: [] }
        : { ...swap, attempts: 8, queuedMs: 50 };
    },
  });
  const report = (await withRun(activities, 'sync', async (handle) => {
    await vi.waitFor(async () => {
      const progress = (await handle.query('progress')) as Progress;
      expect(progress.delayedBy).toContain(
        '7 attempts so far: session 42, app@10.0.0.5, has held customer for 312 s',
      );
      expect(progress.waitingFor).toBeUndefined();
    }, 60_000);
    released.resolve();
    return handle.result();
  })) as Report;
  expect(calls).toEqual([{ attempts: 0, queuedMs: 0, barriers: 0, isStale: true }, tried]);
  expect(report).toMatchObject({ cutOver: { attempts: 8 }, edits: { replayedBefore: 6 } });
}, 120_000);

describe('a scheduled run', () => {
  it('that finds one waiting for an approval is skipped, and says so aloud on both sides', async () => {
    const pipeline = `skipping-${process.pid}`;
    const activities = noting([], {
      begin: async () => ({ ...RUN, pipeline }),
      guard: async () => [tooMany(5)],
      ...scheduleActivities(),
    });
    const taskQueue = `test-${pipeline}`;
    const worker = await Worker.create({ connection: native, taskQueue, workflowBundle: bundle, activities });
    await worker.runUntil(async () => {
      const args = [{ pipeline, approveFirst: false }];
      const workflowId = `stageswap-${pipeline}`;
      const handle = await client.workflow.start('sync', { taskQueue, workflowId, args });
      await asks(handle, '5 rows');
      const skipped = await client.workflow.execute('scheduledSync', {
        ...{ taskQueue, args },
        workflowId: `${workflowId}-scheduled`,
      });
      expect(skipped.skipped).toContain('waits for a human');
      expect(skipped.skipped).toContain('5 rows would be deleted');
      await vi.waitFor(
        async () => expect(await handle.query('progress')).toMatchObject({ scheduledRunsSkipped: 1 }),
        20_000,
      );
      await handle.executeUpdate('abort');
      await handle.result();
    });
  }, 120_000);

  it('that Temporal itself leaves out while an earlier one waits is told by the one that waits', async () => {
    const pipeline = `overlap-${process.pid}`;
    const activities = noting([], {
      begin: async () => ({ ...RUN, pipeline }),
      guard: async () => [tooMany(5)],
      replay: async () => ({ replayed: 1, pending: 0 }),
      ...scheduleActivities(),
    });
    const taskQueue = `test-${pipeline}`;
    const worker = await Worker.create({ connection: native, taskQueue, workflowBundle: bundle, activities });
    await worker.runUntil(async () => {
      const schedule = await client.schedule.create({
        scheduleId: `stageswap-${pipeline}`,
        spec: {},
        action: {
          ...{ type: 'startWorkflow', workflowType: 'scheduledSync', taskQueue },
          args: [{ pipeline, approveFirst: false }],
        },
        policies: { overlap: 'SKIP' },
      });
      // as the schedule's own times do it: by default a trigger allows all, and Temporal does not watch what it has started
      await schedule.trigger('SKIP');
      const handle = client.workflow.getHandle(`stageswap-${pipeline}`);
      await asks(handle, '5 rows');
      await schedule.trigger('SKIP');
      await vi.waitFor(
        async () => expect(await handle.query('progress')).toMatchObject({ scheduledRunsSkipped: 1 }),
        60_000,
      );
      await schedule.delete();
      await handle.executeUpdate('abort');
      await handle.result();
    });
  }, 180_000);
});

describe('a run', () => {
  it('takes the steps in their order and reports what they did', async () => {
    const notes: string[] = [];
    const report = (await withRun(noting(notes), 'sync', (handle) => handle.result())) as Report;
    expect(notes).toEqual([
      'begin',
      'prepare',
      'openMoment',
      'planIngest',
      'ingestChunks',
      'closeMoment',
      'capture',
      'reconcile',
      'settle',
      'verify',
      'countConflicts',
      'guard',
      'replay',
      'findOrphans',
      'countHeldBack',
      'backup',
      'cutOver',
      'finalSync',
      'closeConflicts',
      'countConflicts',
      'cleanup',
      'end',
    ]);
    expect(report).toMatchObject({
      outcome: 'published',
      moment: 'snapshot',
      edits: { captured: 3, replayedBefore: 6, replayedUnderLock: 1 },
      cutOver: { attempts: 1, heldMs: 5 },
    });
    expect(report.tables[0]).toMatchObject({
      table: 'customer',
      rowsRead: 1,
      rowsStaged: 1,
      inserted: 1,
      chunks: 1,
      chunksVerified: 1,
    });
  });

  it('takes back what it made, newest first, when a step fails', async () => {
    const notes: string[] = [];
    const activities = noting(notes, {
      verify: async () => {
        throw ApplicationFailure.nonRetryable('sent 5, stored 4', 'ProofFailed');
      },
    });
    const failed = await withRun(activities, 'sync', (handle) => handle.result()).catch((error) => error);
    expect(failed.cause).toMatchObject({ type: 'ProofFailed', message: 'sent 5, stored 4' });
    expect(failed.cause.details[0]).toMatchObject({
      outcome: 'failed',
      problem: 'sent 5, stored 4',
      problemType: 'ProofFailed',
    });
    expect(notes.slice(-3)).toEqual(['closeMoment', 'undo', 'end']);
    expect(notes).not.toContain('cutOver');
  });

  it('is published although the source is away when every row has been read', async () => {
    const notes: string[] = [];
    const activities = noting(notes, {
      closeMoment: async () => {
        throw ApplicationFailure.nonRetryable('the source does not answer', 'Unreachable');
      },
    });
    const report = (await withRun(activities, 'sync', (handle) => handle.result())) as Report;
    expect(report).toMatchObject({ outcome: 'published' });
    expect(notes).toContain('cutOver');
  });

  it('has nothing under way any more when it takes back what it made', async () => {
    const notes: string[] = [];
    const working = withResolvers();
    const activities = noting(notes, {
      begin: async () => ({ ...RUN, parallel: 2 }),
      planIngest: async () => ({ chunks: 2 }),
      ingestChunks: async (_run, _table, slot) => {
        if (slot === 1) {
          await working.promise;
          throw ApplicationFailure.nonRetryable('a bad value', 'BadValue');
        }
        const context = Context.current();
        const beat = setInterval(() => context.heartbeat(), 50);
        working.resolve();
        await context.cancelled.catch(() => {});
        clearInterval(beat);
        notes.push('slot 0 ended');
        throw new CancelledFailure('cancelled');
      },
    });
    const failed = await withRun(activities, 'sync', (handle) => handle.result()).catch((error) => error);
    expect(failed.cause).toMatchObject({ type: 'BadValue' });
    expect(notes.slice(-4)).toEqual(['slot 0 ended', 'closeMoment', 'undo', 'end']);
  });

  it('pauses before its next step, takes edits meanwhile, resumes, and applies each edit', async () => {
    const notes: string[] = [];
    let release: () => void = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const activities = noting(notes, {
      prepare: async () => {
        notes.push('prepare');
        await held;
      },
    });
    const report = (await withRun(activities, 'sync', async (handle) => {
      await handle.executeUpdate('pause');
      await expect(handle.executeUpdate('pause')).rejects.toThrow();
      release();
      await handle.signal('clientEdits', { edits: [edit('a'), edit('b')] });
      expect(await handle.executeUpdate('submitEdits', { args: [{ edits: [edit('c')] }] })).toEqual([
        { editId: 'c', outcome: 'applied' },
      ]);
      expect(await handle.query('progress')).toMatchObject({ paused: true });
      expect(notes).not.toContain('openMoment');
      await handle.executeUpdate('resume');
      return handle.result();
    })) as Report;
    expect(report).toMatchObject({ outcome: 'published', edits: { handedIn: 3 } });
    expect(notes.filter((name) => name.startsWith('edit')).sort()).toEqual(['edit a', 'edit b', 'edit c']);
  });

  it('outlives signals that nobody checked, and edits that cannot be written', async () => {
    const notes: string[] = [];
    const working = withResolvers();
    const activities = noting(notes, {
      prepare: async () => working.promise,
      applyEdits: async (_pipeline, edits) => {
        if (edits.some((found) => found?.editId === 'poison'))
          throw ApplicationFailure.nonRetryable('MySQL does not know what to do', 'Unexpected');
        notes.push(...edits.map((found) => `edit ${found.editId}`));
        return edits.map((found) => ({ editId: found.editId, outcome: 'applied' as const }));
      },
    });
    const report = (await withRun(activities, 'sync', async (handle) => {
      await handle.signal('clientEdits');
      await handle.signal('clientEdits', {});
      await handle.signal('clientEdits', { edits: 5 });
      await handle.signal('clientEdits', { edits: [edit('a'), edit('poison'), edit('b')] });
      await vi.waitFor(() => expect(notes).toContain('edit b'), 20_000);
      await handle.signal('clientEdits', { edits: [edit('c')] });
      working.resolve();
      return handle.result();
    })) as Report;
    expect(report).toMatchObject({ outcome: 'published', edits: { handedIn: 3 } });
    expect(notes.filter((name) => name.startsWith('edit'))).toEqual(['edit a', 'edit b', 'edit c']);
  }, 60_000);

  it('ends aborted, with everything taken back, when an operator aborts it', async () => {
    const notes: string[] = [];
    let reached: () => void = () => {};
    const working = new Promise<void>((resolve) => {
      reached = resolve;
    });
    const activities = noting(notes, {
      capture: async () => {
        reached();
        await new Promise((resolve) => setTimeout(resolve, 300));
        notes.push('capture');
      },
    });
    const report = (await withRun(activities, 'sync', async (handle) => {
      await working;
      await handle.executeUpdate('abort', { args: ['wrong night'] });
      return handle.result();
    })) as Report;
    expect(report).toMatchObject({ outcome: 'aborted', problem: 'wrong night' });
    expect(notes).toContain('undo');
    expect(notes).not.toContain('cutOver');
  });

  it('goes on after a resume that comes before what the pause interrupted has ended', async () => {
    const notes: string[] = [];
    const working = withResolvers();
    const resumed = withResolvers();
    const activities = noting(notes, {
      ingestChunks: async () => {
        notes.push('ingestChunks');
        if (notes.filter((name) => name === 'ingestChunks').length === 1) {
          working.resolve();
          const context = Context.current();
          const beat = setInterval(() => context.heartbeat(), 50);
          await context.cancelled.catch(() => {});
          await resumed.promise;
          clearInterval(beat);
          throw new CancelledFailure('cancelled');
        }
        return { rows: 1, chunksDone: 1, chunks: 1, finished: true };
      },
    });
    const report = (await withRun(activities, 'sync', async (handle) => {
      await working.promise;
      await handle.executeUpdate('pause');
      await handle.executeUpdate('resume');
      resumed.resolve();
      return handle.result();
    })) as Report;
    expect(report.outcome).toBe('published');
    expect(notes.filter((name) => name === 'ingestChunks')).toHaveLength(2);
  });

  it('gives up what it is at when it is paused, and does it again after resume', async () => {
    const notes: string[] = [];
    const working = withResolvers();
    const activities = noting(notes, {
      ingestChunks: async () => {
        notes.push('ingestChunks');
        if (notes.filter((name) => name === 'ingestChunks').length === 1) {
          working.resolve();
          await untilCancelled();
        }
        return { rows: 1, chunksDone: 1, chunks: 1, finished: true };
      },
    });
    const report = (await withRun(activities, 'sync', async (handle) => {
      await working.promise;
      await handle.executeUpdate('pause');
      await vi.waitFor(() => expect(notes).toContain('cancelled'), 10_000);
      expect(notes.filter((name) => name === 'ingestChunks')).toHaveLength(1);
      await handle.executeUpdate('resume');
      return handle.result();
    })) as Report;
    expect(report.outcome).toBe('published');
    expect(notes.filter((name) => name === 'ingestChunks')).toHaveLength(2);

    async function untilCancelled(): Promise<void> {
      const context = Context.current();
      const beat = setInterval(() => context.heartbeat(), 50);
      try {
        await context.cancelled;
      } finally {
        clearInterval(beat);
        notes.push('cancelled');
      }
    }
  });

  it('goes forward when an abort comes while the swap is executed: the tables decide', async () => {
    const notes: string[] = [];
    const working = withResolvers();
    const swap = {
      attempts: 1,
      heldMs: 5,
      queuedMs: 1,
      checkMs: 1,
      drainMs: 1,
      swapMs: 3,
      replayedBefore: 0,
      replayedUnderLock: 0,
    };
    const activities = noting(notes, {
      cutOver: async () => {
        notes.push('cutOver');
        if (notes.filter((name) => name === 'cutOver').length > 1) return swap;
        const context = Context.current();
        const beat = setInterval(() => context.heartbeat(), 50);
        working.resolve();
        await context.cancelled.finally(() => clearInterval(beat));
        return swap;
      },
      undo: async () => {
        notes.push('undo');
        return { undone: false };
      },
    });
    const report = (await withRun(activities, 'sync', async (handle) => {
      await working.promise;
      await handle.executeUpdate('abort', { args: ['too late'] });
      return handle.result();
    })) as Report;
    expect(report).toMatchObject({ outcome: 'published', cutOver: { heldMs: 5 } });
    expect(notes.slice(-6)).toEqual([
      'cutOver',
      'finalSync',
      'closeConflicts',
      'countConflicts',
      'cleanup',
      'end',
    ]);
  });

  it('keeps every history under 10,000 events at any number of rows, and loses nothing between executions', async () => {
    // ARCHITECTURE "History" has the arithmetic; here more activities than one history may hold.
    const activitiesAStep = 400;
    const called = { ingest: 0, reconcile: 0 };
    const notes: string[] = [];
    const counts = { updated: 0, deleted: 0, keptLive: 0, decidedByFirstRun: 0, rows: 1, chunksDone: 1 };
    const activities = noting(notes, {
      ingestChunks: async () => {
        called.ingest += 1;
        return { rows: called.ingest, chunksDone: 1, chunks: 1, finished: called.ingest >= activitiesAStep };
      },
      reconcile: async () => {
        called.reconcile += 1;
        return { ...counts, inserted: called.reconcile, finished: called.reconcile >= activitiesAStep };
      },
    });
    const { report, histories } = await withRun(activities, 'sync', async (handle) => {
      const report = (await handle.result()) as Report;
      const histories: number[] = [];
      for await (const execution of client.workflow.list({ query: `WorkflowId = '${handle.workflowId}'` }))
        histories.push(execution.historyLength ?? 0);
      return { report, histories };
    });
    expect(report).toMatchObject({ outcome: 'published', moment: 'snapshot' });
    expect(report.tables[0]).toMatchObject({ rowsRead: activitiesAStep, inserted: activitiesAStep });
    const reconciled = report.phases.find((phase) => phase.name === 'reconcile')?.ms ?? 0;
    const others = report.phases.reduce((sum, { ms }) => sum + ms, 0) - reconciled;
    expect(report.ms - reconciled - others).toBeLessThan(5_000); // no phase's time is lost between executions
    expect(histories.length).toBeGreaterThan(1);
    expect(Math.max(...histories)).toBeLessThan(10_000);
    for (const name of ['begin', 'prepare', 'capture', 'verify', 'cutOver', 'cleanup', 'end'])
      expect(notes.filter((note) => note === name)).toEqual([name]);
  }, 240_000);

  it('is cleaned up after, and repaired, by workflows that take nothing back', async () => {
    const notes: string[] = [];
    const cleaned = (await withRun(noting(notes), 'cleanup', (handle) => handle.result())) as Report;
    expect(notes.splice(0)).toEqual(['closeWindow', 'dropUnneeded']);
    expect(cleaned).toMatchObject({ outcome: 'cleaned', cleanup: { closed: null, dropped: [] } });
    const repaired = (await withRun(noting(notes), 'repair', (handle) => handle.result())) as Report;
    expect(notes.splice(0)).toEqual([
      'beginRepair',
      'repairTriggers',
      'repairRuns',
      'repairTables',
      'repairSource',
      'end',
    ]);
    expect(repaired).toMatchObject({ outcome: 'repaired', repair: { found: [], done: [], left: [] } });
  });

  it('that a person must decide upon is left alone by repair, and told', async () => {
    const notes: string[] = [];
    const undecided = [{ what: 'two markers', cure: 'drop one' }];
    const beginRepair = async () => ({ begun: null, found: [], undecided });
    const run = withRun(noting(notes, { beginRepair }), 'repair', (handle) => handle.result());
    await expect(run).rejects.toMatchObject({
      cause: { type: 'NotRepaired', message: 'left to a person: two markers: drop one' },
    });
    expect(notes).toEqual([]);
  });

  it('rolls back through the same cut-over', async () => {
    const notes: string[] = [];
    const report = (await withRun(noting(notes), 'rollback', (handle) => handle.result())) as Report;
    expect(report).toMatchObject({ outcome: 'rolledBack', rollback: ROLLED_BACK });
    expect(notes).toEqual([
      'beginRollback',
      'prepare',
      'capture',
      'reconcile',
      'settle',
      'verify',
      'countConflicts',
      'guard',
      'describeRollback',
      'replay',
      'findOrphans',
      'countHeldBack',
      'backup',
      'cutOver',
      'finalSync',
      'closeConflicts',
      'countConflicts',
      'cleanup',
      'end',
    ]);
  });

  it('is planned without a step that touches live, and all that was made for it is taken back', async () => {
    const notes: string[] = [];
    const stopped = async () => {
      notes.push('guard');
      return [tooMany(5)];
    };
    const told: string[][] = [];
    const activities = noting(notes, {
      guard: stopped,
      describePlan: async (_run, _counts, stops) => {
        notes.push('describePlan');
        told.push(stops);
      },
    });
    const report = (await withRun(activities, 'plan', (handle) => handle.result())) as Report;
    expect(notes).toEqual([
      'begin',
      'prepare',
      'openMoment',
      'planIngest',
      'ingestChunks',
      'closeMoment',
      'reconcile',
      'settle',
      'verify',
      'countHeldBack',
      'countConflicts',
      'guard',
      'findOrphans',
      'describePlan',
      'closeMoment',
      'undo',
      'end',
    ]);
    expect(told).toEqual([['5 rows would be deleted']]);
    expect(report).toMatchObject({ outcome: 'planned', tables: [{ inserted: 1 }] });
  });
});
