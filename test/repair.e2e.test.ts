import { Client, Connection } from '@temporalio/client';
import type { RowDataPacket } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { startTemporal, type TemporalEngine } from '../demo/engines/temporal.js';
import { workflowIdOf } from '../src/model/messages.js';
import type { RepairFinding } from '../src/model/report.js';
import { MOMENTS, MOMENTS_OF_ROLLBACK, type Moment } from './support/moments.js';
import { PipelineUnderTest } from './support/pipeline-under-test.js';
import { expectPublished, expectWhole, publishFirst, struckAt } from './support/strike.js';
import type { WorkerProcess } from './support/worker-process.js';

/**
 * Repair: a run or a rollback is terminated and forgotten by Temporal, and its worker killed, at every moment. What MySQL
 * says alone must be enough: live is as it was, to the byte, or published whole, and nothing is left.
 */
const LANES = 3;
const names = Array.from({ length: LANES }, (_, lane) => `repair-${lane}`);
let temporal: TemporalEngine;

beforeAll(async () => {
  temporal = await startTemporal(() => {}, { owned: true, namespaces: names });
});
afterAll(async () => {
  await temporal?.stop();
});

for (const [lane, name] of names.entries()) {
  describe.concurrent(`what was terminated, pipeline ${name}`, () => {
    let pipeline: PipelineUnderTest;
    let worker: WorkerProcess;
    let client: Client;

    beforeAll(async () => {
      pipeline = await PipelineUnderTest.create({
        name,
        mysqlUrl: inject('mysqlUrl'),
        mssqlUrl: inject('mssqlUrl'),
        temporalAddress: temporal.address,
        namespace: name,
        seed: 400 + lane,
        customers: 1_000,
        invoices: 4_000,
        chunkRows: 500,
      });
      client = new Client({
        connection: await Connection.connect({ address: temporal.address }),
        namespace: name,
      });
      worker = pipeline.startWorker();
      await publishFirst(pipeline);
      await onConnection((connection) =>
        connection.query("UPDATE customer SET note = 'a client' WHERE customer_id < 20"),
      );
    });
    afterAll(async () => {
      await pipeline?.end();
      await client?.connection.close();
    });

    async function onConnection<T>(
      work: (connection: Awaited<ReturnType<PipelineUnderTest['connect']>>) => Promise<T>,
    ) {
      const connection = await pipeline.connect();
      try {
        return await work(connection);
      } finally {
        await connection.end();
      }
    }

    /** Definitions and every row of live, and what is on it. */
    const liveAsItIs = () =>
      onConnection(async (connection) => {
        const seen: unknown[] = [];
        for (const table of ['customer', 'invoice']) {
          const [shown] = await connection.query<RowDataPacket[]>(`SHOW CREATE TABLE ${table}`);
          const [sum] = await connection.query<RowDataPacket[]>(`CHECKSUM TABLE ${table} EXTENDED`);
          const [triggers] = await connection.query<RowDataPacket[]>(
            'SELECT trigger_name, action_statement FROM information_schema.triggers WHERE trigger_schema = DATABASE() AND event_object_table = ? ORDER BY 1',
            [table],
          );
          seen.push(shown[0]?.['Create Table'], sum[0]?.Checksum, triggers);
        }
        return seen;
      });
    const marker = () =>
      onConnection(async (connection) => {
        const [rows] = await connection.query<RowDataPacket[]>(
          "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name LIKE '\\_ss\\_at\\_%'",
        );
        return rows.map((row) => row.name as string);
      });

    /** Kills the worker, and has Temporal forget the workflow. */
    const forget = async () => {
      await worker.kill();
      const { runId } = await client.workflow.getHandle(workflowIdOf(name)).describe();
      await client.workflow.getHandle(workflowIdOf(name)).terminate('the test');
      await client.workflowService.deleteWorkflowExecution({
        namespace: name,
        workflowExecution: { workflowId: workflowIdOf(name), runId },
      });
    };

    /** Terminates at a moment, repairs, and looks: untouched, or swapped whole. @returns whether the swap was executed */
    async function terminatedAt(command: 'run' | 'rollback', moment: Moment): Promise<boolean> {
      const before = { live: await liveAsItIs(), marker: await marker() };
      await struckAt(pipeline, command, [moment], forget).catch(() => {}); // it has no report
      worker = pipeline.startWorker();
      const unconfirmed = await pipeline.stageswap('repair');
      expect(unconfirmed, JSON.stringify(unconfirmed.report)).toMatchObject({
        exitCode: 4,
        report: { outcome: 'waiting' },
      });
      expect((unconfirmed.report as unknown as { found: RepairFinding[] }).found).not.toEqual([]);
      const repaired = await pipeline.stageswap('repair', '--yes');
      expect(repaired, JSON.stringify(repaired.report)).toMatchObject({
        exitCode: 0,
        report: { outcome: 'repaired', repair: { left: [] } },
      });
      expect(repaired.report.repair?.done).not.toEqual([]);
      expect(await pipeline.leftovers(), moment).toEqual([]);
      const again = await pipeline.stageswap('repair', '--yes');
      expect(again, JSON.stringify(again.report)).toMatchObject({
        exitCode: 0,
        report: { repair: { found: [] } },
      });
      const swapped = (await marker()).join() !== before.marker.join();
      if (!swapped) expect(await liveAsItIs(), moment).toEqual(before.live);
      return swapped;
    }

    const ofLane = (moments: readonly Moment[]) => moments.filter((_, index) => index % LANES === lane);
    for (const moment of ofLane(MOMENTS))
      it.sequential(`a run in ${moment} is taken back to the byte, or finished`, async () => {
        await pipeline.billing.change();
        if (await terminatedAt('run', moment)) pipeline.wasPublished(pipeline.billing.saysNow());
      });
    it.sequential('the next run is published, and loses nothing', async () => {
      await onConnection((connection) =>
        connection.query("UPDATE customer SET note = NULL WHERE note = 'a client'"),
      );
      await expectPublished(pipeline, [], async () => {});
    });
    for (const moment of ofLane(MOMENTS_OF_ROLLBACK))
      it.sequential(`a rollback in ${moment} is taken back to the byte, or finished and the pipeline held`, async () => {
        await pipeline.billing.change();
        const published = await pipeline.stageswap('run');
        expect(published.report).toMatchObject({ outcome: 'published' });
        if (await terminatedAt('rollback', moment)) {
          expect((await pipeline.stageswap('status')).report).toMatchObject({
            held: { reason: expect.stringMatching(/rolled back/) },
          });
          await pipeline.stageswap('release');
        } else pipeline.wasPublished(pipeline.billing.saysNow());
        await expectWhole(pipeline);
      });
  });
}
