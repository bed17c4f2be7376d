import { setTimeout as sleep } from 'node:timers/promises';
import { expect, inject, it } from 'vitest';
import type { ClientEdit } from '../src/model/messages.js';
import { edit, noting, untilCancelled, WorkflowsUnderTest } from './support/workflows-under-test.js';

const AT_ONCE = 20;
/** Temporal takes no more of one execution. */
const SIGNALS_MAX = 10_000;
/** A step hears by its heartbeat that it is to give up: from here on signals are not sent as fast as they go. */
const SIGNALS_FAST = 6_000;

it('a step that lasts for hours is interrupted before signals have filled the history, and done again', async () => {
  const workflows = await WorkflowsUnderTest.open(inject('temporalAddress'));
  const written: string[] = [];
  let reads = 0;
  // the second attempt ends when nobody sends any more: a run that has ended takes no signal
  let sentAll = () => {};
  const untilSentAll = new Promise<void>((resolve) => {
    sentAll = resolve;
  });
  const activities = noting([], {
    ingestChunks: async () => {
      reads += 1;
      if (reads === 1) throw await untilCancelled();
      await untilSentAll;
      return { rows: 1, chunksDone: 1, chunks: 1, finished: true } as never;
    },
    applyEdits: async (_pipeline: string, edits: ClientEdit[]) => {
      written.push(...edits.map(({ editId }) => editId));
      return edits.map(({ editId }) => ({ editId, outcome: 'applied' as const }));
    },
  });
  try {
    await workflows.withRun(activities, 'sync', async (handle) => {
      const now = workflows.client.workflow.getHandle(handle.workflowId);
      let sent = 0;
      const signal = () => now.signal('clientEdits', { edits: [edit(`e${sent++}`)] });
      while (reads < 2 && sent < SIGNALS_MAX) {
        await Promise.all(Array.from({ length: AT_ONCE }, signal));
        if (sent > SIGNALS_FAST) await sleep(200);
      }
      sentAll();
      expect(await handle.result()).toMatchObject({ outcome: 'published' });
      expect(written.length).toBe(sent);
      expect(new Set(written).size).toBe(sent);
    });
  } finally {
    await workflows.close();
  }
});
