import { setTimeout as sleep } from 'node:timers/promises';
import type { WorkflowHandle } from '@temporalio/client';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Activities } from '../activities/index.js';
import { startTemporal, type TemporalEngine } from '../demo/engines/temporal.js';
import type { ClientEdit } from '../src/model/messages.js';
import { edit, noting, RUN, WorkflowsUnderTest } from './support/workflows-under-test.js';

/**
 * Signals that come faster than their edits are written. Nobody can refuse a signal, and Temporal terminates a workflow whose
 * history is too long: what it had taken would be lost. Here with short histories.
 */
let temporal: TemporalEngine;
let workflows: WorkflowsUnderTest;
beforeAll(async () => {
  temporal = await startTemporal(() => {}, {
    owned: true,
    settings: ['limit.historyCount.suggestContinueAsNew=150', 'limit.historyCount.error=1500'],
  });
  workflows = await WorkflowsUnderTest.open(temporal.address);
});
afterAll(async () => {
  await workflows?.close();
  await temporal?.stop();
});

const WRITE_MS = 60;
const SIGNALS = 600;
const SIGNAL_EVERY_MS = 20;

/** `applyEdits` takes longer than the next signal; what it wrote is kept in order. */
function writing(written: string[], change: Partial<Activities>): Activities {
  return noting([], {
    applyEdits: async (_pipeline: string, edits: ClientEdit[]) => {
      await sleep(WRITE_MS);
      written.push(...edits.map(({ editId }) => editId));
      return edits.map(({ editId }) => ({ editId, outcome: editId === 'bad' ? 'refused' : 'applied' }));
    },
    ...change,
  });
}

/** One signal after the other, each of one edit. @returns their ids */
async function signals(
  handle: WorkflowHandle,
  meanwhile = async () => {},
  sent: string[] = [],
): Promise<string[]> {
  for (let next = Date.now(); sent.length < SIGNALS; next += SIGNAL_EVERY_MS) {
    await handle.signal('clientEdits', { edits: [edit(`e${sent.length}`)] });
    sent.push(`e${sent.length}`);
    if (sent.length % 20 === 0) await meanwhile();
    await sleep(Math.max(0, next - Date.now()));
  }
  return sent;
}

/** Whatever execution works at present. */
const latest = ({ workflowId }: WorkflowHandle) => workflows.client.workflow.getHandle(workflowId);

it('a run goes on while signals come without a pause, and writes all of them once and in order', async () => {
  const written: string[] = [];
  let begun = 0;
  const executions = new Set<string>();
  const activities = writing(written, {
    begin: async () => {
      begun += 1;
      return RUN;
    },
    ingestChunks: async () => {
      await sleep(300);
      return { rows: 1, chunksDone: 1, chunks: 1, finished: written.length >= SIGNALS } as never;
    },
  });
  await workflows.withRun(activities, 'sync', async (handle) => {
    const report = handle.result();
    const sent = await signals(latest(handle), async () => {
      executions.add((await latest(handle).describe()).runId);
    });
    expect(await report).toMatchObject({ outcome: 'published' });
    expect(written).toEqual(sent);
  });
  expect(begun).toBe(1);
  expect(executions.size).toBeGreaterThan(2);
});

it('a run ends as it would have ended, also where they come all the time while it does', async () => {
  const written: string[] = [];
  let ended = 0;
  const activities = writing(written, {
    end: async () => {
      ended += 1;
    },
  });
  await workflows.withRun(activities, 'sync', async (handle) => {
    const report = handle.result();
    const sent: string[] = [];
    await signals(latest(handle)).then(
      (ids) => sent.push(...ids),
      () => {}, // the run has found a moment to end in: that signal was refused
    );
    expect(await report).toMatchObject({ outcome: 'published' });
    expect(written.slice(0, sent.length)).toEqual(sent);
    expect(written).toEqual(written.map((_, index) => `e${index}`));
  });
  expect(ended).toBe(1);
});

it.each([2_000, 2_500, 3_000, 3_500])(
  'an abort ends it, %i ms after it began, and every edit is written',
  async (afterMs) => {
    const written: string[] = [];
    const activities = writing(written, {
      ingestChunks: async () => {
        await sleep(200);
        return { rows: 1, chunksDone: 1, chunks: 2, finished: false } as never;
      },
    });
    await workflows.withRun(activities, 'sync', async (handle) => {
      const report = handle.result();
      const sent: string[] = [];
      const stream = signals(latest(handle), async () => {}, sent).catch(() => {}); // the run has ended: that signal was refused
      await sleep(afterMs);
      await latest(handle).signal('abort', 'the test');
      expect(await report).toMatchObject({ outcome: 'aborted', problem: 'the test' });
      await stream;
      expect(written).toEqual(sent);
    });
  },
);

it('a signal without edits keeps no run from its end, and one that is refused is counted', async () => {
  const written: string[] = [];
  await workflows.withRun(writing(written, {}), 'sync', async (handle) => {
    await handle.signal('clientEdits', { edits: [] });
    await handle.signal('clientEdits', { edits: [edit('later'), edit('bad')] });
    expect(await handle.result()).toMatchObject({
      outcome: 'published',
      edits: { handedIn: 1, refused: 1 },
    });
  });
  expect(written).toEqual(['later', 'bad']);
});
