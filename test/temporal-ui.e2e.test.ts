import { Client, Connection } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { startTemporal, type TemporalEngine } from '../demo/engines/temporal.js';
import { PipelineUnderTest } from './support/pipeline-under-test.js';

/** What a person sees of a run in the Temporal UI who has no log at hand, in a server that nobody has prepared. */
const KEYWORD = 2;
const INT = 3;
let temporal: TemporalEngine;
let connection: Connection;
let client: Client;
const pipelines: PipelineUnderTest[] = [];

beforeAll(async () => {
  temporal = await startTemporal(() => {}, { owned: true, bare: true, namespaces: ['taken'] });
  connection = await Connection.connect({ address: temporal.address });
  client = new Client({ connection });
});
afterAll(async () => {
  for (const pipeline of pipelines) await pipeline.end();
  await connection?.close();
  await temporal?.stop();
});

async function create(name: string, namespace: string): Promise<PipelineUnderTest> {
  const pipeline = await PipelineUnderTest.create({
    name,
    mysqlUrl: inject('mysqlUrl'),
    mssqlUrl: inject('mssqlUrl'),
    temporalAddress: temporal.address,
    namespace,
    customers: 300,
    invoices: 300,
  });
  pipelines.push(pipeline);
  return pipeline;
}

const attributes = async (namespace: string) =>
  (await connection.operatorService.listSearchAttributes({ namespace })).customAttributes ?? {};

/** The workflows of the pipeline that are found by a phase. */
async function found(phase: string): Promise<string[]> {
  const ids: string[] = [];
  const query = `StageswapPipeline = 'ui' AND StageswapPhase = '${phase}'`;
  for await (const { workflowId } of client.workflow.list({ query })) ids.push(workflowId);
  return ids;
}

describe('the Temporal UI', () => {
  it('lists runs by pipeline and phase, which the worker has registered', async () => {
    const pipeline = await create('ui', 'default');
    const worker = pipeline.startWorker();
    expect((await pipeline.stageswap('run')).report.outcome).toBe('published');
    expect(worker.output).toContain('search attributes StageswapPipeline, StageswapPhase');
    expect(await attributes('default')).toMatchObject({
      StageswapPipeline: KEYWORD,
      StageswapPhase: KEYWORD,
    });
    await expect.poll(() => found('published')).toEqual(['stageswap-ui']);
  });

  it('says of every activity and timer what it is for, and shows no failed task', async () => {
    const { events } = await client.workflow.getHandle('stageswap-ui').fetchHistory();
    const silent = (events ?? []).filter(
      (event) =>
        (event.activityTaskScheduledEventAttributes || event.timerStartedEventAttributes) &&
        !event.userMetadata?.summary?.data?.length,
    );
    expect(
      silent.map((event) => event.activityTaskScheduledEventAttributes?.activityType?.name ?? 'timer'),
    ).toEqual([]);
    const failed = (events ?? []).filter(
      (event) =>
        event.workflowTaskFailedEventAttributes ||
        event.activityTaskFailedEventAttributes ||
        event.activityTaskTimedOutEventAttributes,
    );
    expect(failed).toEqual([]);
  });

  it('tells in Markdown how far a run is, and what a person can do about one that stands still', async () => {
    const [pipeline] = pipelines;
    if (!pipeline) throw new Error('no pipeline');
    await pipeline.stageswap('run', '--no-wait');
    await pipeline.stageswap('pause');
    const handle = client.workflow.getHandle('stageswap-ui');
    const details = async () =>
      (await handle.query<{ currentDetails: string }>('__temporal_workflow_metadata')).currentDetails;
    await expect.poll(details).toMatch(/### Paused in \w+/);
    expect(await details()).toContain('stageswap resume --config FILE');
    await pipeline.stageswap('resume');
    expect(await handle.result()).toMatchObject({ outcome: 'published' });
    expect(await details()).toMatch(/preflight [\d.]+ s → prepare [\d.]+ s/);
    expect(await details()).toMatch(/^### Published\n/);
    expect(await details()).toMatch(/- \*\*customer\*\*: 300 rows · \d+ new/);
  });

  it('says of a run that was aborted while it was paused that it waits for nobody any more', async () => {
    const [pipeline] = pipelines;
    if (!pipeline) throw new Error('no pipeline');
    await pipeline.stageswap('run', '--no-wait');
    await pipeline.stageswap('pause');
    const handle = client.workflow.getHandle('stageswap-ui');
    await expect.poll(() => found('paused')).toEqual(['stageswap-ui']);
    await pipeline.stageswap('abort', '--reason', 'the test');
    expect(await handle.result()).toMatchObject({
      outcome: 'aborted',
      problem: expect.stringMatching(/^aborted by .+ on .+: the test$/),
    });
    await expect.poll(() => found('aborted')).toEqual(['stageswap-ui']);
    expect(await found('paused')).toEqual([]);
    const { currentDetails } = await handle.query<{ currentDetails: string }>('__temporal_workflow_metadata');
    expect(currentDetails).toMatch(/^### Aborted: live is as it was\n/);
  });

  it('is done without where the names are taken by others, and the worker says so', async () => {
    await connection.operatorService.addSearchAttributes({
      namespace: 'taken',
      searchAttributes: { StageswapPhase: INT },
    });
    const pipeline = await create('ui-taken', 'taken');
    const worker = pipeline.startWorker();
    expect((await pipeline.stageswap('run')).report.outcome).toBe('published');
    expect(worker.output).toContain('StageswapPhase: not of type Keyword in namespace taken');
  });
});
