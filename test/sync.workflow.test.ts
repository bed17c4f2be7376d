import { ApplicationFailure } from '@temporalio/common';
import { afterAll, beforeAll, describe, expect, inject, it, vi } from 'vitest';
import { activity, tellDoing } from '../activities/context.js';
import { askRun } from '../src/cli/follow.js';
import type { Report } from '../src/model/report.js';
import { WAIT_MS_MAX } from './support/patience.js';
import {
  edit,
  noting,
  ROLLED_BACK,
  RUN,
  untilCancelled,
  WorkflowsUnderTest,
  withResolvers,
} from './support/workflows-under-test.js';

/** The run's order, its compensations and its steering, on a real Temporal server with activities that only take notes. */
let workflows: WorkflowsUnderTest;
beforeAll(async () => {
  workflows = await WorkflowsUnderTest.open(inject('temporalAddress'));
});
afterAll(async () => workflows?.close());

const tooMany = (measure: number) => ({
  ...{ kind: 'deleteShare' as const, of: 'customer', measure },
  text: `${measure} rows would be deleted`,
});

describe('a run', () => {
  it('is told how far a step is that lasts, before the step has ended', async () => {
    const read = withResolvers();
    const far = { rowsDone: 7_000, chunksDone: 2, chunks: 5 };
    const activities = noting([], {
      openMoment: async () => ({ moment: 'transaction' as const }),
      ingestTransaction: activity(async () => {
        tellDoing({ table: 'customer', phase: 'ingest', ...far });
        await read.promise;
        return { customer: { rows: 9_000, chunksDone: 5, chunks: 5 } };
      }),
    });
    await workflows.withRun(activities, 'sync', async (handle) => {
      const tables = async () => {
        const { progress } = await askRun(workflows.client, handle);
        return typeof progress === 'string' ? progress : progress.tables;
      };
      await expect.poll(tables).toMatchObject([{ table: 'customer', ...far }]);
      read.resolve();
      expect(await handle.result()).toMatchObject({ outcome: 'published' });
    });
  });

  it('asks again, table by table until it has ended, where the source is not read as of one moment', async () => {
    const notes: string[] = [];
    let asked = 0;
    const activities = noting(notes, {
      openMoment: async () => ({ moment: 'fuzzy' as const }),
      askAgain: activity(async () => {
        asked += 1;
        notes.push(`askAgain ${asked}`);
        return { rows: 10 + asked, chunksDone: 1, chunks: 1, finished: asked === 2 };
      }),
      askForParents: activity(async () => {
        notes.push('askForParents');
        return { customer: { rows: 20, chunksDone: 1, chunks: 1 } };
      }),
    });
    const report = (await workflows.withRun(activities, 'sync', (handle) => handle.result())) as Report;
    expect(notes.slice(notes.indexOf('ingestChunks'), notes.indexOf('capture'))).toEqual([
      'ingestChunks',
      'askAgain 1',
      'askAgain 2',
      'askForParents',
      'closeMoment',
    ]);
    expect(report).toMatchObject({ moment: 'fuzzy', tables: [{ table: 'customer', rowsRead: 20 }] });
  });

  it('takes the steps in their order and reports what they did', async () => {
    const notes: string[] = [];
    const report = (await workflows.withRun(noting(notes), 'sync', (handle) => handle.result())) as Report;
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
      'rehearseCutOver',
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
    const failed = await workflows
      .withRun(activities, 'sync', (handle) => handle.result())
      .catch((error) => error);
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
    const report = (await workflows.withRun(activities, 'sync', (handle) => handle.result())) as Report;
    expect(report).toMatchObject({ outcome: 'published' });
    expect(notes).toContain('cutOver');
  });

  it('gives up the moment of the source when it ends, where a hanging worker kept it from that before', async () => {
    const notes: string[] = [];
    let isFree = false;
    const activities = noting(notes, {
      closeMoment: async () => {
        notes.push('closeMoment');
        if (!isFree) throw ApplicationFailure.nonRetryable('the snapshot is in use', 'Unexpected');
      },
      cleanup: async () => {
        isFree = true;
        notes.push('cleanup');
        return { dropped: [] };
      },
    });
    const report = (await workflows.withRun(activities, 'sync', (handle) => handle.result())) as Report;
    expect(report).toMatchObject({ outcome: 'published' });
    expect(notes.slice(-3)).toEqual(['cleanup', 'closeMoment', 'end']);
  });

  it('has nothing under way any more when it takes back what it made', async () => {
    const notes: string[] = [];
    const working = withResolvers();
    const activities = noting(notes, {
      begin: async () => ({ ...RUN, parallel: 2 }),
      planIngest: async () => ({ chunks: 2, more: false }),
      ingestChunks: async (_run, _table, slot) => {
        if (slot === 1) {
          await working.promise;
          throw ApplicationFailure.nonRetryable('a bad value', 'BadValue');
        }
        working.resolve();
        const cancelled = await untilCancelled();
        notes.push('slot 0 ended');
        throw cancelled;
      },
    });
    const failed = await workflows
      .withRun(activities, 'sync', (handle) => handle.result())
      .catch((error) => error);
    expect(failed.cause).toMatchObject({ type: 'BadValue' });
    expect(notes.slice(-4)).toEqual(['slot 0 ended', 'closeMoment', 'undo', 'end']);
  });

  it('loads the first chunks of a table while it plans the others', async () => {
    const notes: string[] = [];
    const loading = withResolvers();
    const planned = withResolvers();
    const activities = noting(notes, {
      begin: async () => ({ ...RUN, parallel: 2 }),
      planIngest: async (_run, _table, part) => {
        notes.push(String(part));
        if (part === 'first') return { chunks: 2, more: true };
        await loading.promise;
        if (notes.filter((note) => note === 'next').length < 3) return { chunks: 4, more: true };
        planned.resolve();
        return { chunks: 7, more: false };
      },
      ingestWhilePlanned: async () => {
        loading.resolve();
        await planned.promise;
        return { rows: 7, chunksDone: 7, chunks: 7, finished: true };
      },
    });
    const report = await workflows.withRun(activities, 'sync', async (handle) => {
      const ended = (await handle.result()) as Report;
      expect(await handle.query('progress')).toMatchObject({
        tables: [{ chunks: 7 }],
      });
      return ended;
    });
    expect(report).toMatchObject({ outcome: 'published' });
    expect(notes.filter((note) => note === 'first' || note === 'next')).toEqual([
      'first',
      'next',
      'next',
      'next',
    ]);
  });

  it('ends with why a table cannot be planned, and no longer waits for its chunks then', async () => {
    const notes: string[] = [];
    const loading = withResolvers();
    const activities = noting(notes, {
      begin: async () => ({ ...RUN, parallel: 1 }),
      planIngest: async (_run, _table, part) => {
        if (part === 'first') return { chunks: 1, more: true };
        await loading.promise;
        throw ApplicationFailure.nonRetryable('a key that is no key', 'BadValue');
      },
      ingestWhilePlanned: async () => {
        loading.resolve();
        const cancelled = await untilCancelled();
        notes.push('waited no longer');
        throw cancelled;
      },
    });
    const failed = await workflows
      .withRun(activities, 'sync', (handle) => handle.result())
      .catch((error) => error);
    expect(failed.cause).toMatchObject({ type: 'BadValue' });
    expect(notes.slice(-4)).toEqual(['waited no longer', 'closeMoment', 'undo', 'end']);
  });

  it('reports what the last count of a table says, although an older one comes after it', async () => {
    const counted = withResolvers();
    // slot 1 has counted before slot 0 was done, and its answer is long on its way
    const count = async <T>(slot: number | undefined, whole: T, older: T): Promise<T> => {
      if (slot === 0) {
        setTimeout(counted.resolve, 500);
        return whole;
      }
      await counted.promise;
      return older;
    };
    const merged = { updated: 0, deleted: 0, keptLive: 0, decidedByFirstRun: 0, finished: true };
    const activities = noting([], {
      begin: async () => ({ ...RUN, parallel: 2 }),
      planIngest: async () => ({ chunks: 2, more: false }),
      reconcile: async (_run, _table, slot) =>
        count(
          slot,
          { ...merged, inserted: 9, rows: 9, chunksDone: 2 },
          { ...merged, inserted: 4, rows: 4, chunksDone: 1 },
        ),
    });
    const report = (await workflows.withRun(activities, 'sync', (handle) => handle.result())) as Report;
    expect(report.tables[0]).toMatchObject({ inserted: 9 });
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
    const report = (await workflows.withRun(activities, 'sync', async (handle) => {
      await vi.waitFor(() => expect(notes).toContain('prepare'), WAIT_MS_MAX);
      await handle.executeUpdate('pause');
      await expect(handle.executeUpdate('pause')).rejects.toThrow();
      expect(await handle.query('progress')).toMatchObject({ paused: true, pausing: true });
      release();
      await handle.signal('clientEdits', { edits: [edit('a'), edit('b')] });
      expect(await handle.executeUpdate('submitEdits', { args: [{ edits: [edit('c')] }] })).toEqual([
        { editId: 'c', outcome: 'applied' },
      ]);
      await vi.waitFor(async () => {
        const progress = await handle.query<object>('progress');
        expect(progress).toMatchObject({ paused: true });
        expect(progress).not.toHaveProperty('pausing');
      }, WAIT_MS_MAX);
      expect(notes).not.toContain('openMoment');
      await handle.executeUpdate('resume');
      return handle.result();
    })) as Report;
    expect(report).toMatchObject({ outcome: 'published', edits: { handedIn: 3 } });
    expect(notes.filter((name) => name.startsWith('edit')).sort()).toEqual(['edit a', 'edit b', 'edit c']);
  });

  it('pauses while a table is planned and loaded at the same time, and goes on with both', async () => {
    const notes: string[] = [];
    let paused = false;
    const untilPaused = async (note: string) => {
      notes.push(note);
      if (!paused) throw await untilCancelled();
    };
    const activities = noting(notes, {
      planIngest: async (_run, _table, part) => {
        if (part === 'first') return { chunks: 1, more: true };
        await untilPaused('plan');
        return { chunks: 3, more: false };
      },
      ingestWhilePlanned: async () => {
        await untilPaused('load');
        return { rows: 3, chunksDone: 3, chunks: 3, finished: true };
      },
    });
    const report = (await workflows.withRun(activities, 'sync', async (handle) => {
      await vi.waitFor(() => expect(notes).toEqual(expect.arrayContaining(['plan', 'load'])), WAIT_MS_MAX);
      paused = true;
      await handle.executeUpdate('pause');
      await vi.waitFor(async () => {
        expect(await handle.query('progress')).not.toHaveProperty('pausing');
      }, WAIT_MS_MAX);
      expect(notes.filter((note) => note === 'plan' || note === 'load')).toHaveLength(2);
      await handle.executeUpdate('resume');
      return handle.result();
    })) as Report;
    expect(report).toMatchObject({ outcome: 'published' });
    expect(report.tables[0]).toMatchObject({ rowsRead: 3 });
    expect(notes.filter((note) => note === 'plan' || note === 'load').sort()).toEqual([
      'load',
      'load',
      'plan',
      'plan',
    ]);
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
    const report = (await workflows.withRun(activities, 'sync', async (handle) => {
      await handle.signal('clientEdits');
      await handle.signal('clientEdits', {});
      await handle.signal('clientEdits', { edits: 5 });
      await handle.signal('clientEdits', { edits: [edit('a'), edit('poison'), edit('b')] });
      await vi.waitFor(() => expect(notes).toContain('edit b'), WAIT_MS_MAX);
      await handle.signal('clientEdits', { edits: [edit('c')] });
      working.resolve();
      return handle.result();
    })) as Report;
    expect(report).toMatchObject({ outcome: 'published', edits: { handedIn: 3 } });
    expect(notes.filter((name) => name.startsWith('edit'))).toEqual(['edit a', 'edit b', 'edit c']);
  });

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
    const report = (await workflows.withRun(activities, 'sync', async (handle) => {
      await working;
      await expect(handle.executeUpdate('submitEdits', { args: [{ edits: [null] }] })).rejects.toMatchObject({
        cause: { message: 'every edit wants editId, table, key and set' },
      });
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
          throw await untilCancelled(() => resumed.promise);
        }
        return { rows: 1, chunksDone: 1, chunks: 1, finished: true };
      },
    });
    const report = (await workflows.withRun(activities, 'sync', async (handle) => {
      await working.promise;
      await handle.executeUpdate('pause');
      await handle.executeUpdate('resume');
      resumed.resolve();
      return handle.result();
    })) as Report;
    expect(report.outcome).toBe('published');
    expect(notes.filter((name) => name === 'ingestChunks')).toHaveLength(2);
  });

  it.each(['an engine is lost', 'its worker hangs'])(
    'is paused, and does not fail, where %s at that moment',
    async (what) => {
      const notes: string[] = [];
      const working = withResolvers();
      const activities = noting(notes, {
        ingestChunks: async () => {
          notes.push('ingestChunks');
          if (notes.filter((name) => name === 'ingestChunks').length === 1) {
            working.resolve();
            await untilCancelled();
            if (what === 'its worker hangs') await new Promise((resolve) => setTimeout(resolve, 15_000)); // past its heartbeat
            throw new Error('connection lost');
          }
          return { rows: 1, chunksDone: 1, chunks: 1, finished: true };
        },
      });
      const report = (await workflows.withRun(activities, 'sync', async (handle) => {
        await working.promise;
        await handle.executeUpdate('pause');
        await vi.waitFor(
          async () => expect(await handle.query('progress')).not.toHaveProperty('pausing'),
          WAIT_MS_MAX,
        );
        expect(await handle.query('progress')).toMatchObject({ paused: true });
        await handle.executeUpdate('resume');
        return handle.result();
      })) as Report;
      expect(report.outcome).toBe('published');
      expect(notes.filter((name) => name === 'ingestChunks')).toHaveLength(2);
    },
  );

  it('was aborted, and has not failed, where it was cancelled in Temporal and an engine is lost at that moment', async () => {
    const working = withResolvers();
    const activities = noting([], {
      ingestChunks: async () => {
        working.resolve();
        await untilCancelled();
        throw new Error('connection lost');
      },
    });
    const report = (await workflows.withRun(activities, 'sync', async (handle) => {
      await working.promise;
      await handle.cancel();
      return handle.result();
    })) as Report;
    expect(report).toMatchObject({ outcome: 'aborted', problem: 'cancelled' });
  });

  it('gives up what it is at when it is paused, and does it again after resume', async () => {
    const notes: string[] = [];
    const working = withResolvers();
    const activities = noting(notes, {
      ingestChunks: async () => {
        notes.push('ingestChunks');
        if (notes.filter((name) => name === 'ingestChunks').length === 1) {
          working.resolve();
          const cancelled = await untilCancelled();
          notes.push('cancelled');
          throw cancelled;
        }
        return { rows: 1, chunksDone: 1, chunks: 1, finished: true };
      },
    });
    const report = (await workflows.withRun(activities, 'sync', async (handle) => {
      await working.promise;
      await handle.executeUpdate('pause');
      await vi.waitFor(() => expect(notes).toContain('cancelled'), WAIT_MS_MAX);
      await vi.waitFor(
        async () => expect(await handle.query('progress')).not.toHaveProperty('pausing'),
        WAIT_MS_MAX,
      );
      expect(notes.filter((name) => name === 'ingestChunks')).toHaveLength(1);
      await handle.executeUpdate('resume');
      return handle.result();
    })) as Report;
    expect(report.outcome).toBe('published');
    expect(notes.filter((name) => name === 'ingestChunks')).toHaveLength(2);
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
        working.resolve();
        throw await untilCancelled();
      },
      undo: async () => {
        notes.push('undo');
        return { undone: false };
      },
    });
    const report = (await workflows.withRun(activities, 'sync', async (handle) => {
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
    const toRead = 550;
    const called = { plan: 0, ingest: 0, reconcile: 0 };
    const opened: number[] = [];
    const notes: string[] = [];
    const counts = { updated: 0, deleted: 0, keptLive: 0, decidedByFirstRun: 0, rows: 1, chunksDone: 1 };
    const activities = noting(notes, {
      openMoment: async () => {
        opened.push(Date.now());
        return { moment: 'snapshot' };
      },
      // the table is still being planned when the first execution ends
      planIngest: async () => {
        called.plan += 1;
        return { chunks: called.plan, more: called.plan < toRead };
      },
      ingestWhilePlanned: async () => {
        called.ingest += 1;
        return { rows: called.ingest, chunksDone: 1, chunks: 1, finished: called.ingest >= toRead };
      },
      reconcile: async () => {
        called.reconcile += 1;
        return { ...counts, inserted: called.reconcile, finished: called.reconcile >= activitiesAStep };
      },
    });
    const { report, histories } = await workflows.withRun(activities, 'sync', async (handle) => {
      const report = (await handle.result()) as Report;
      const histories: number[] = [];
      for await (const execution of workflows.client.workflow.list({
        query: `WorkflowId = '${handle.workflowId}'`,
      }))
        histories.push(execution.historyLength ?? 0);
      return { report, histories };
    });
    expect(report).toMatchObject({ outcome: 'published', moment: 'snapshot' });
    expect(report.tables[0]).toMatchObject({ rowsRead: toRead, inserted: activitiesAStep });
    // the database snapshot is that of the first execution
    expect(opened.length).toBeGreaterThan(1);
    expect(Date.parse(report.momentAt ?? '')).toBeLessThanOrEqual(opened[0] ?? 0);
    const reconciled = report.phases.find((phase) => phase.name === 'reconcile')?.ms ?? 0;
    const others = report.phases.reduce((sum, { ms }) => sum + ms, 0) - reconciled;
    expect(report.ms - reconciled - others).toBeLessThan(5_000); // no phase's time is lost between executions
    expect(histories.length).toBeGreaterThan(1);
    expect(Math.max(...histories)).toBeLessThan(10_000);
    for (const name of ['begin', 'prepare', 'capture', 'verify', 'cutOver', 'cleanup', 'end'])
      expect(notes.filter((note) => note === name)).toEqual([name]);
  });

  it('is cleaned up after, and repaired, by workflows that take nothing back', async () => {
    const notes: string[] = [];
    const ended = async (type: 'cleanup' | 'repair') =>
      (await workflows.withRun(noting(notes), type, (handle) => handle.result())) as Report;
    const cleaned = await ended('cleanup');
    expect(notes.splice(0)).toEqual(['closeWindow', 'dropUnneeded']);
    expect(cleaned).toMatchObject({ outcome: 'cleaned', cleanup: { closed: null, dropped: [] } });
    const repaired = await ended('repair');
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
    const run = workflows.withRun(noting(notes, { beginRepair }), 'repair', (handle) => handle.result());
    await expect(run).rejects.toMatchObject({
      cause: { type: 'NotRepaired', message: 'left to a person: two markers: drop one' },
    });
    expect(notes).toEqual([]);
  });

  it('rolls back through the same cut-over', async () => {
    const notes: string[] = [];
    const report = (await workflows.withRun(noting(notes), 'rollback', (handle) =>
      handle.result(),
    )) as Report;
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
    const report = (await workflows.withRun(activities, 'plan', (handle) => handle.result())) as Report;
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
