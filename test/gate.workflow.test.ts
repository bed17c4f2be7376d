import type { WorkflowHandle } from '@temporalio/client';
import { MockActivityEnvironment } from '@temporalio/testing';
import { afterAll, beforeAll, describe, expect, inject, it, vi } from 'vitest';
import type { Begun } from '../activities/runs.js';
import { scheduleActivities } from '../activities/schedule.js';
import type { Reason } from '../src/model/approval.js';
import type { Progress } from '../src/model/messages.js';
import type { Report } from '../src/model/report.js';
import { WAIT_MS_MAX } from './support/patience.js';
import { edit, noting, RUN, WorkflowsUnderTest, withResolvers } from './support/workflows-under-test.js';

/** What makes a run wait or ask before its cut-over, on a real Temporal server with activities that only take notes. */
let workflows: WorkflowsUnderTest;
beforeAll(async () => {
  workflows = await WorkflowsUnderTest.open(inject('temporalAddress'));
});
afterAll(async () => workflows?.close());

const SWAP = {
  heldMs: 5,
  queuedMs: 1,
  checkMs: 1,
  drainMs: 1,
  swapMs: 3,
  replayedBefore: 1,
  replayedUnderLock: 0,
};

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
  }, WAIT_MS_MAX);

describe('a run whose guards trip', () => {
  it('stops before the cut-over and asks, for all reasons at once, and is published when it is approved', async () => {
    const notes: string[] = [];
    const activities = noting(notes, {
      begin: async () => ({ ...RUN, firstPublish: false, approve: 'always' as const }),
      guard: async () => [tooMany(5)],
    });
    const report = (await workflows.withRun(activities, 'sync', async (handle) => {
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
  });

  it('does not ask for what was approved while it was paused', async () => {
    const activities = noting([], { guard: async () => [tooMany(5)] });
    const report = (await workflows.withRun(activities, 'sync', async (handle) => {
      await asks(handle, '5 rows');
      await handle.executeUpdate('pause');
      await handle.executeUpdate('approve');
      const approved = (await handle.query('progress')) as Progress;
      expect(approved).toMatchObject({ paused: true });
      expect(approved.waitingFor).toBeUndefined();
      await handle.executeUpdate('resume');
      return handle.result();
    })) as Report;
    expect(report).toMatchObject({ outcome: 'published', approved: ['5 rows would be deleted'] });
  });

  it('asks again where more would be changed than was approved, and then not again', async () => {
    let deletes = 5;
    const activities = noting([], { guard: async () => [tooMany(deletes)] });
    const report = (await workflows.withRun(activities, 'sync', async (handle) => {
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
  });

  it('asks although the gate of a first publish was passed', async () => {
    const activities = noting([], { guard: async () => [tooMany(5)] });
    const report = (await workflows.withRun(activities, 'sync', async (handle) => {
      await asks(handle, '5 rows');
      await handle.executeUpdate('abort', { args: ['no'] });
      return handle.result();
    })) as Report;
    expect(report).toMatchObject({ outcome: 'aborted', problem: 'no', problemType: 'Aborted' });
  });

  it('waits for nobody any more when it was aborted, and refuses what comes too late', async () => {
    const undoing = withResolvers();
    const activities = noting([], {
      begin: async () => ({ ...RUN, firstPublish: false, approve: 'always' as const }),
      undo: async () => {
        await undoing.promise;
        return { undone: true };
      },
    });
    const report = await workflows.withRun(activities, 'sync', async (handle) => {
      await asks(handle, 'approve: always');
      await handle.signal('abort', 'no');
      const progress = () => handle.query<Progress>('progress');
      await expect.poll(progress).toMatchObject({ aborting: true, paused: false });
      expect((await progress()).waitingFor).toBeUndefined();
      for (const update of ['approve', 'pause', 'resume', 'abort'])
        await expect(handle.executeUpdate(update)).rejects.toMatchObject({
          cause: { message: 'the run is being taken back' },
        });
      await handle.signal('pause');
      expect(await progress()).toMatchObject({ paused: false });
      undoing.resolve();
      return handle.result();
    });
    expect(report).toMatchObject({ outcome: 'aborted', problem: 'no' });
    expect(report).not.toHaveProperty('approved');
  });

  it('is aborted and taken back when nobody approves in time, and says so', async () => {
    const notes: string[] = [];
    const activities = noting(notes, {
      begin: async () => ({ ...RUN, approvalHoursMax: 0.0005 }),
      guard: async () => [tooMany(5)],
    });
    const report = (await workflows.withRun(activities, 'sync', (handle) => handle.result())) as Report;
    expect(report).toMatchObject({ outcome: 'aborted', problemType: 'ApprovalExpired' });
    expect(report.problem).toMatch(/nobody approved within 0.0005 hours.*5 rows would be deleted/);
    expect(notes.slice(-3)).toEqual(['closeMoment', 'undo', 'end']);
  });

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
    const report = (await workflows.withRun(activities, 'sync', async (handle) => {
      const first = await asks(handle, '5 rows');
      await vi.waitFor(() => expect(rounds).toBeGreaterThan(0), WAIT_MS_MAX);
      // Edits that are handed in one by one make the history long, as days of waiting would. Then they stop: one that
      // comes at this very moment would make Temporal try again.
      const { runId } = await handle.describe();
      for (let now = await handle.describe(); now.runId === runId; now = await handle.describe()) {
        if (now.historyLength >= EVENTS_SUGGESTED_MAX) continue;
        sent += 1;
        await handle.signal('clientEdits', { edits: [edit(`e${sent}`)] });
        await vi.waitFor(() => expect(notes).toContain(`edit e${sent}`), {
          timeout: WAIT_MS_MAX,
          interval: 5,
        });
      }
      expect(await asks(handle, '5 rows')).toMatchObject({ expiresAt: first.expiresAt });
      await handle.executeUpdate('approve');
      return handle.result();
    })) as Report;
    expect(report).toMatchObject({ outcome: 'published', edits: { handedIn: sent } });
    expect(report.approved).toHaveLength(2);
  });
});

it('a run whose cut-over waits for its lock says who holds the tables, and goes on with what was tried', async () => {
  const calls: unknown[] = [];
  const released = withResolvers();
  const tried = { attempts: 7, queuedMs: 50, barriers: 1, isStale: false };
  const holder = { sessionId: 42, user: 'app', host: '10.0.0.5', ageSeconds: 312, tables: ['customer'] };
  const activities = noting([], {
    cutOver: async (_run, before) => {
      calls.push(before);
      if (calls.length > 1) await released.promise;
      return calls.length === 1
        ? { notYet: 'blocked', tried, replayedBefore: 3, blockers: [holder], killed: [] }
        : { ...SWAP, attempts: 8, queuedMs: 50 };
    },
  });
  const report = (await workflows.withRun(activities, 'sync', async (handle) => {
    await vi.waitFor(async () => {
      const progress = (await handle.query('progress')) as Progress;
      expect(progress.delayedBy).toContain(
        '7 attempts so far: session 42, app@10.0.0.5, has held customer for 312 s',
      );
      expect(progress.waitingFor).toBeUndefined();
    }, WAIT_MS_MAX);
    released.resolve();
    return handle.result();
  })) as Report;
  expect(calls).toEqual([{ attempts: 0, queuedMs: 0, barriers: 0, isStale: true }, tried]);
  expect(report).toMatchObject({ cutOver: { attempts: 8 }, edits: { replayedBefore: 6 } });
});

describe('a scheduled run', () => {
  it('that finds one waiting for an approval is skipped, and says so aloud on both sides', async () => {
    const pipeline = `skipping-${process.pid}`;
    const activities = noting([], {
      begin: async () => ({ ...RUN, pipeline }),
      guard: async () => [tooMany(5)],
      ...scheduleActivities(),
    });
    const taskQueue = `test-${pipeline}`;
    await workflows.withWorker(taskQueue, activities, async () => {
      const args = [{ pipeline, approveFirst: false }];
      const workflowId = `stageswap-${pipeline}`;
      const handle = await workflows.client.workflow.start('sync', { taskQueue, workflowId, args });
      await asks(handle, '5 rows');
      const skipped = await workflows.client.workflow.execute('scheduledSync', {
        ...{ taskQueue, args },
        workflowId: `${workflowId}-scheduled`,
      });
      expect(skipped.skipped).toContain('waits for a human');
      expect(skipped.skipped).toContain('5 rows would be deleted');
      await vi.waitFor(
        async () => expect(await handle.query('progress')).toMatchObject({ scheduledRunsSkipped: 1 }),
        WAIT_MS_MAX,
      );
      await handle.executeUpdate('abort');
      await handle.result();
    });
  });

  it('was never left out where there is no schedule', async () => {
    const { leftOutBySchedule } = scheduleActivities();
    const environment = new MockActivityEnvironment({}, { client: workflows.client });
    expect(await environment.run(leftOutBySchedule, 'no-such-pipeline')).toBe(0);
  });

  it('that Temporal itself leaves out while an earlier one waits is told by the one that waits', async () => {
    const pipeline = `overlap-${process.pid}`;
    const activities = noting([], {
      begin: async () => ({ ...RUN, pipeline }),
      guard: async () => [tooMany(5)],
      replay: async () => ({ replayed: 1, pending: 0 }),
      ...scheduleActivities(),
    });
    const taskQueue = `test-${pipeline}`;
    await workflows.withWorker(taskQueue, activities, async () => {
      const schedule = await workflows.client.schedule.create({
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
      const handle = workflows.client.workflow.getHandle(`stageswap-${pipeline}`);
      await asks(handle, '5 rows');
      await schedule.trigger('SKIP');
      await vi.waitFor(
        async () => expect(await handle.query('progress')).toMatchObject({ scheduledRunsSkipped: 1 }),
        WAIT_MS_MAX,
      );
      await schedule.delete();
      await handle.executeUpdate('abort');
      await handle.result();
    });
  });
});

const delays = async (handle: WorkflowHandle, what: string) =>
  vi.waitFor(async () => {
    const progress = (await handle.query('progress')) as Progress;
    expect(progress.delayedBy).toContain(what);
    expect(progress.waitingFor).toBeUndefined();
    return progress;
  }, WAIT_MS_MAX);
const HOUR_MS = 3_600_000;

describe('a run with a window', () => {
  const begin = async () => ({ ...RUN, window: '02:00-04:00 Europe/Berlin' });

  it('waits outside of it, says until when, replays meanwhile, and cuts over when it opens', async () => {
    const notes: string[] = [];
    const opensAtMs = Date.now() + 15_000;
    const activities = noting(notes, {
      begin,
      nextWindowOf: async (_text, atMs) => ({
        opensAtMs: Math.max(atMs, opensAtMs),
        closesAtMs: opensAtMs + HOUR_MS,
      }),
    });
    const report = (await workflows.withRun(activities, 'sync', async (handle) => {
      await delays(handle, `outside its window (02:00-04:00 Europe/Berlin), which opens at 20`);
      expect(notes).not.toContain('backup');
      return handle.result();
    })) as Report;
    expect(Date.now()).toBeGreaterThanOrEqual(opensAtMs);
    expect(report.outcome).toBe('published');
    expect(notes.filter((note) => note === 'replay').length).toBeGreaterThan(2);
    expect(notes.filter((note) => note === 'guard')).toHaveLength(2); // edits were replayed: stage is another one
  });

  it('waits for the next one where the lock was not granted before it closed, and then has all its attempts', async () => {
    const untils: unknown[] = [];
    const before: unknown[] = [];
    let opensAtMs = Date.now() - 1_000;
    const tried = { attempts: 3, queuedMs: 50, barriers: 1, isStale: false };
    const activities = noting([], {
      begin,
      nextWindowOf: async (_text, atMs) => ({
        opensAtMs: Math.max(atMs, opensAtMs),
        closesAtMs: opensAtMs + HOUR_MS,
      }),
      cutOver: async (_run, triedBefore, untilMs) => {
        untils.push(untilMs);
        before.push(triedBefore);
        if (untils.length === 1) {
          opensAtMs = Date.now() + 5_000;
          return { notYet: 'late', tried, replayedBefore: 0, blockers: [], killed: [] };
        }
        return { ...SWAP, attempts: 1 };
      },
    });
    const first = opensAtMs;
    const report = (await workflows.withRun(activities, 'sync', (handle) => handle.result())) as Report;
    expect(report.outcome).toBe('published');
    expect(before[1]).toEqual({ ...tried, attempts: 0 });
    expect(untils).toEqual([first + HOUR_MS, opensAtMs + HOUR_MS]);
  });

  it('can be aborted while it waits', async () => {
    const opensAtMs = Date.now() + HOUR_MS;
    const activities = noting([], {
      begin,
      nextWindowOf: async () => ({ opensAtMs, closesAtMs: opensAtMs + HOUR_MS }),
    });
    const report = (await workflows.withRun(activities, 'sync', async (handle) => {
      await delays(handle, 'outside its window');
      await handle.executeUpdate('abort', { args: ['not tonight'] });
      return handle.result();
    })) as Report;
    expect(report).toMatchObject({ outcome: 'aborted', problem: 'not tonight' });
  });
});

describe('a run whose source was read too long ago', () => {
  const REBUILT = [
    'prepare',
    'openMoment',
    'planIngest',
    'ingestChunks',
    'closeMoment',
    'capture',
    'reconcile',
  ];

  it('reads it again under a new generation, keeps what was approved, and publishes what it read last', async () => {
    const notes: string[] = [];
    const generations: number[] = [];
    const activities = noting(notes, {
      begin: async () => ({ ...RUN, firstPublish: false, approve: 'always', sourceAgeMsMax: 3_000 }),
      renew: async () => {
        notes.push('renew');
        return { ...RUN, generation: 2, firstPublish: false, approve: 'always' };
      },
      cutOver: async (run) => {
        generations.push(run.generation);
        return { ...SWAP, attempts: 1 };
      },
    });
    const report = (await workflows.withRun(activities, 'sync', async (handle) => {
      const { report: waiting } = await asks(handle, 'approve: always');
      await new Promise((resolve) => setTimeout(resolve, 4_000));
      await handle.executeUpdate('approve');
      const ended = (await handle.result()) as Report;
      expect(Date.parse(ended.momentAt ?? '')).toBeGreaterThan(Date.parse(waiting?.momentAt ?? ''));
      return ended;
    })) as Report;
    expect(report).toMatchObject({ outcome: 'published' });
    expect(report.approved).toHaveLength(1);
    expect(generations).toEqual([2]);
    const again = notes.slice(notes.indexOf('undo'));
    expect(again.slice(0, 2)).toEqual(['undo', 'renew']);
    expect(again).toEqual(expect.arrayContaining(REBUILT));
    expect(notes.filter((note) => note === 'rehearseCutOver')).toHaveLength(1);
  });

  it('asks again where what it read then trips a guard in a new way', async () => {
    let deletes = 5;
    const activities = noting([], {
      begin: async () => ({ ...RUN, sourceAgeMsMax: 3_000 }),
      renew: async () => {
        deletes = 9;
        return { ...RUN, generation: 2 };
      },
      guard: async () => [tooMany(deletes)],
    });
    const report = (await workflows.withRun(activities, 'sync', async (handle) => {
      await asks(handle, '5 rows');
      await new Promise((resolve) => setTimeout(resolve, 4_000));
      await handle.executeUpdate('approve');
      await asks(handle, '9 rows');
      await handle.executeUpdate('abort');
      return handle.result();
    })) as Report;
    expect(report.outcome).toBe('aborted');
  });

  it('reads it again before its window opens, so that it is ready then', async () => {
    const notes: string[] = [];
    const opensAtMs = Date.now() + 30_000;
    let renewedAtMs = 0;
    const begun: Begun = { ...RUN, window: '02:00-04:00 UTC', sourceAgeMsMax: 12_000 };
    const activities = noting(notes, {
      begin: async () => begun,
      // It took seconds to read, so it is begun seconds before the window opens.
      openMoment: async () => {
        await new Promise((resolve) => setTimeout(resolve, 3_000));
        return { moment: 'snapshot' };
      },
      nextWindowOf: async (_text, atMs) => ({
        opensAtMs: Math.max(atMs, opensAtMs),
        closesAtMs: opensAtMs + HOUR_MS,
      }),
      renew: async () => {
        renewedAtMs = Date.now();
        return { ...begun, generation: 2 };
      },
    });
    const report = (await workflows.withRun(activities, 'sync', async (handle) => {
      const { delayedBy } = await delays(handle, 'it reads the source again');
      const [, said = ''] = /at (\S+) it reads the source again/.exec(delayedBy ?? '') ?? [];
      expect(Date.parse(said)).toBeGreaterThan(opensAtMs - 6_000);
      expect(Date.parse(said)).toBeLessThan(opensAtMs - 3_000);
      return handle.result();
    })) as Report;
    expect(report.outcome).toBe('published');
    expect(renewedAtMs).toBeGreaterThan(opensAtMs - 6_001);
    expect(renewedAtMs).toBeLessThan(opensAtMs);
  });

  it('fails where reading it takes longer than it may be old, instead of reading for ever', async () => {
    const notes: string[] = [];
    const activities = noting(notes, { begin: async () => ({ ...RUN, sourceAgeMsMax: 1 }) });
    const failed = await workflows
      .withRun(activities, 'sync', (handle) => handle.result())
      .catch((error) => error);
    expect(failed.cause).toMatchObject({ type: 'SourceTooOld' });
    expect(failed.cause.message).toContain('Raise sourceAgeMax above what a run takes');
    expect(notes.slice(-2)).toEqual(['undo', 'end']);
  });

  it('is taken back under the generation that it has then, when it is aborted', async () => {
    const undone: number[] = [];
    const activities = noting([], {
      begin: async () => ({ ...RUN, firstPublish: false, approve: 'always', sourceAgeMsMax: 3_000 }),
      renew: async () => ({ ...RUN, generation: 2, firstPublish: false }),
      guard: async ({ generation }) => (generation === 2 ? [tooMany(1)] : []),
      undo: async ({ generation }) => {
        undone.push(generation);
        return { undone: true };
      },
    });
    await workflows.withRun(activities, 'sync', async (handle) => {
      await asks(handle, 'approve: always');
      await new Promise((resolve) => setTimeout(resolve, 4_000));
      await handle.executeUpdate('approve');
      await asks(handle, '1 rows');
      await handle.executeUpdate('abort');
      await handle.result();
    });
    expect(undone).toEqual([1, 2]);
  });
});

it('a run whose cut-over would lock live for longer than heldMsMax asks first', async () => {
  const activities = noting([], { rehearseCutOver: async () => ({ heldMs: 310 }) });
  const report = (await workflows.withRun(activities, 'sync', async (handle) => {
    await asks(
      handle,
      'lock live for about 310 ms, as rehearsed on empty tables, more than cutOver.heldMsMax (250)',
    );
    await handle.executeUpdate('approve');
    return handle.result();
  })) as Report;
  expect(report.outcome).toBe('published');
});

describe('a run whose clients write faster than it replays', () => {
  const outrun = (onOutrun: 'abort' | 'wait', pending: () => number) =>
    noting([], {
      begin: async () => ({ ...RUN, replay: { onOutrun, roundsMax: 3 } }),
      replay: async () => ({ replayed: 100, pending: pending() }),
    });

  it('takes itself back, and says why', async () => {
    const activities = outrun('abort', () => 5_000);
    const report = (await workflows.withRun(activities, 'sync', (handle) => handle.result())) as Report;
    expect(report).toMatchObject({ outcome: 'aborted', problemType: 'ReplayOutrun' });
    expect(report.problem).toContain('5000 edits wait, hardly fewer than 3 rounds ago');
  });

  it('says so and goes on where it is to wait, and publishes when they write less', async () => {
    let pending = 5_000;
    const activities = outrun('wait', () => pending);
    const report = (await workflows.withRun(activities, 'sync', async (handle) => {
      await delays(handle, 'clients write faster than replay catches up: 5000 edits wait');
      pending = 0;
      return handle.result();
    })) as Report;
    expect(report.outcome).toBe('published');
  });

  it('is none that comes closer, however slowly', async () => {
    let pending = 5_000;
    const activities = outrun('abort', () => {
      pending *= 0.8;
      return Math.round(pending);
    });
    const report = (await workflows.withRun(activities, 'sync', (handle) => handle.result())) as Report;
    expect(report.outcome).toBe('published');
  });
});
