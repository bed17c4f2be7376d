import { setTimeout as sleep } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import proto from '@temporalio/proto';
import type { RowDataPacket } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, inject, it, vi } from 'vitest';
import { startTemporal, type TemporalEngine } from '../demo/engines/temporal.js';
import { workflowIdOf } from '../src/model/messages.js';
import { control } from '../src/model/names.js';
import { type Moment, newestGeneration } from './support/moments.js';
import { WAIT_MS_MAX } from './support/patience.js';
import { PipelineUnderTest } from './support/pipeline-under-test.js';
import { expectPublished, expectRolledBack, expectWhole, publishFirst, struckAt } from './support/strike.js';
import type { WorkerProcess } from './support/worker-process.js';

/**
 * A worker that is stopped past its heartbeat (SIGSTOP: its connections stay open, with all that they hold) while another
 * takes over, and that wakes up again (SIGCONT): nobody waits for MySQL's timeouts, and it changes nothing any more.
 */
const NAMES = ['frozen-0', 'frozen-1'];
let temporal: TemporalEngine;

beforeAll(async () => {
  temporal = await startTemporal(() => {}, { owned: true, namespaces: NAMES });
});
afterAll(async () => {
  await temporal?.stop();
});

const STARTED = proto.temporal.api.enums.v1.PendingActivityState.PENDING_ACTIVITY_STATE_STARTED;
/** What a worker says of work that is not its own any more. */
const WORDS_OF_THE_LATE = /failed|cancel|not found|completed/i;
const lastLines = (output: string) => output.split('\n').slice(-10).join('\n');
const RUNS: Moment[][] = [['capture'], ['reconcile'], ['replay'], ['locked'], ['cleanup'], ['prepare']];

for (const [lane, name] of NAMES.entries()) {
  describe.concurrent(`a worker that hangs, pipeline ${name}`, () => {
    let pipeline: PipelineUnderTest;
    let worker: WorkerProcess;
    let frozen: WorkerProcess;
    let client: Client;
    const freeze = async () => {
      await freezeAtWork();
      frozen = worker;
      worker = pipeline.startWorker();
    };
    /**
     * A worker that is stopped between two steps, before it has read that it is given one, or as it tells of one that it has
     * done, may have nothing to find out when it wakes up: it goes on until one is under way.
     */
    const freezeAtWork = async () => {
      for (;;) {
        await worker.freeze();
        const under = await underWay();
        await sleep(100); // what it sent before it was stopped has arrived
        const isUnderWay = under && (await hasBegun(under)) && !hasDone(under);
        if (isUnderWay && under.activityId === (await underWay())?.activityId) return;
        worker.thaw();
        await sleep(10);
      }
    };
    /** The step that Temporal waits for from the worker. */
    const underWay = async () => {
      const { raw, runId } = await client.workflow.getHandle(workflowIdOf(name)).describe();
      const step = raw.pendingActivities?.find(
        ({ state, lastWorkerIdentity }) =>
          state === STARTED && lastWorkerIdentity?.startsWith(`${worker.pid}@`),
      );
      return step && { activityId: String(step.activityId), runId };
    };
    /** Whether the step has its session on MySQL. */
    const hasBegun = async ({ activityId, runId }: { activityId: string; runId: string }) => {
      const connection = await pipeline.connect();
      const [rows] = await connection.query<RowDataPacket[]>(
        `SELECT 1 FROM ${control.attempt} WHERE activity = ?`,
        [`${runId}/${activityId}`],
      );
      await connection.end();
      return rows.length > 0;
    };
    /** Whether the worker has logged that it has done a step: Temporal may not have heard of it yet. */
    const hasDone = ({ activityId, runId }: { activityId: string; runId: string }) =>
      worker.output
        .split('\n')
        .some(
          (line) =>
            line.includes(`"activityId":"${activityId}"`) &&
            line.includes(runId) &&
            line.includes(' is done"'),
        );

    beforeAll(async () => {
      pipeline = await PipelineUnderTest.create({
        name,
        mysqlUrl: inject('mysqlUrl'),
        mssqlUrl: inject('mssqlUrl'),
        temporalAddress: temporal.address,
        namespace: name,
        seed: 300 + lane,
      });
      client = new Client({
        connection: await Connection.connect({ address: temporal.address }),
        namespace: name,
      });
      worker = pipeline.startWorker();
      await publishFirst(pipeline);
    });
    afterAll(async () => {
      await pipeline?.end();
      await client?.connection.close();
    });

    /** The schema: every table of ours with its definition's time, and every trigger. */
    const schema = async () => {
      const connection = await pipeline.connect();
      const [rows] = await connection.query<RowDataPacket[]>(
        `SELECT table_name AS name, CAST(create_time AS CHAR) AS made FROM information_schema.tables WHERE table_schema = DATABASE()
         UNION ALL SELECT trigger_name, CONCAT(event_object_table, action_statement) FROM information_schema.triggers WHERE trigger_schema = DATABASE() ORDER BY 1, 2`,
      );
      const [runs] = await connection.query<RowDataPacket[]>(
        `SELECT generation, phase, outcome FROM ${control.run} UNION ALL SELECT generation, pipeline, held_reason FROM ${control.pipeline}`,
      );
      await connection.end();
      return { rows, runs };
    };

    /** Lets it wake up, and waits until it has found out that its work is not its own any more. */
    const wakesUpWithoutEffect = async () => {
      const before = await schema();
      const { length } = frozen.output;
      frozen.thaw();
      await vi.waitFor(
        () => expect(frozen.output.slice(length), lastLines(frozen.output)).toMatch(WORDS_OF_THE_LATE),
        { timeout: WAIT_MS_MAX }, // its connection to Temporal may be gone, and is made anew
      );
      await sleep(2_000); // whatever it would still send
      expect(await schema()).toEqual(before);
      await expectWhole(pipeline);
      await frozen.stop();
    };

    for (const moments of RUNS.filter((_, index) => index % NAMES.length === lane))
      it.sequential(`in ${moments.join(', ')}: another finishes the run in seconds, and it changes nothing when it wakes up`, async () => {
        const startedAt = Date.now();
        await expectPublished(pipeline, moments, freeze);
        expect(Date.now() - startedAt).toBeLessThan(240_000); // MySQL's own timeouts are ten minutes
        await wakesUpWithoutEffect();
      });

    if (lane === 0)
      it.sequential('in reconcile of a run that is aborted: what it made is taken back at once', async () => {
        await pipeline.billing.change();
        const run = await struckAt(pipeline, 'run', ['reconcile'], async () => {
          await freeze();
          await client.workflow.getHandle(workflowIdOf(name)).signal('abort', 'the test');
        });
        expect(run.report).toMatchObject({ outcome: 'aborted' });
        await wakesUpWithoutEffect();
      });
    if (lane === 1)
      it.sequential('in a run that is terminated: the next run is not kept waiting', async () => {
        await pipeline.billing.change();
        await struckAt(pipeline, 'run', ['reconcile'], async () => {
          await freeze();
          await client.workflow.getHandle(workflowIdOf(name)).terminate('the test');
        }).catch(() => {}); // a terminated run has no report
        const startedAt = Date.now();
        await expectPublished(pipeline, [], async () => {});
        expect(Date.now() - startedAt).toBeLessThan(240_000);
        await wakesUpWithoutEffect();
      });
    it.sequential('in the cut-over of a rollback: another finishes it', async () => {
      await expectRolledBack(pipeline, ['locked'], freeze);
      await wakesUpWithoutEffect();
      const connection = await pipeline.connect();
      expect(await newestGeneration(connection, name)).toBeGreaterThan(1);
      await connection.end();
    });
  });
}
