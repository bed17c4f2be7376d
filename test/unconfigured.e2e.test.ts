import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MockActivityEnvironment } from '@temporalio/testing';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { activity, BEGIN_ATTEMPTS_MAX } from '../activities/context.js';
import { startTemporal, type TemporalEngine } from '../demo/engines/temporal.js';
import { type FailureType, StageswapError } from '../src/model/failures.js';
import { PipelineUnderTest } from './support/pipeline-under-test.js';
import { CLI, WorkerProcess } from './support/worker-process.js';

/** A worker that was started without the configuration of a pipeline takes the steps of its runs all the same. */
const folder = mkdtempSync(join(tmpdir(), 'ssw-unconfigured-'));
// of its own, since every worker of this machine polls the same task queue
let temporal: TemporalEngine;
let pipeline: PipelineUnderTest;
let stranger: WorkerProcess;

beforeAll(async () => {
  temporal = await startTemporal(() => {}, { owned: true });
  pipeline = await PipelineUnderTest.create({
    name: 'unconfigured',
    mysqlUrl: inject('mysqlUrl'),
    mssqlUrl: inject('mssqlUrl'),
    temporalAddress: temporal.address,
    customers: 100,
    invoices: 100,
  });
  const other = join(folder, 'other.yaml');
  writeFileSync(
    other,
    readFileSync(pipeline.file, 'utf8').replace('pipeline: unconfigured', 'pipeline: other'),
  );
  stranger = new WorkerProcess(other, pipeline.environment);
});
afterAll(async () => {
  await stranger?.stop();
  await pipeline?.end();
  await temporal?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const command = (...words: string[]) =>
  execa('node', [CLI, ...words, '--config', pipeline.file], { env: pipeline.environment, reject: false });
const status = async () => JSON.parse((await command('status', '--json')).stdout);
const REASON = /step begin failed, and is tried again: this worker has no configuration of pipeline unconfig/;

test('a run whose pipeline no worker knows can be aborted', async () => {
  expect((await command('run', '--no-wait')).exitCode).toBe(0);
  await expect.poll(async () => (await status()).failing).toHaveLength(1);
  expect((await command('abort')).exitCode).toBe(0);
  await expect.poll(async () => (await status()).workflow.status).toBe('COMPLETED');
});

test('a run whose pipeline no worker knows says so while it waits, and goes on with a worker that does', async () => {
  const run = command('run', '--yes', '--json');
  let said = '';
  run.stderr.on('data', (data: Buffer) => {
    said += data.toString();
  });
  await expect.poll(() => said).toMatch(REASON);
  expect(await status()).toMatchObject({
    workflow: { status: 'RUNNING' },
    failing: [{ step: 'begin', type: 'NotConfigured' }],
  });
  expect((await command('status')).stdout).toMatch(REASON);
  const worker = pipeline.startWorker();
  await stranger.stop();
  const { exitCode, stdout } = await run;
  expect(exitCode, worker.output).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ outcome: 'published' });
  expect(await status()).toMatchObject({ failing: [] });
  const lines = said.split('\n').filter((line) => line.includes('step begin failed'));
  expect(lines).toHaveLength(1);
});

test('a run that was refused is told by status, although MySQL has no record of it', async () => {
  expect((await command('hold', '--reason', 'the test')).exitCode).toBe(0);
  expect((await command('run')).exitCode).toBe(3);
  expect(await status()).toMatchObject({
    workflow: { status: 'FAILED' },
    failure: { type: 'Held', message: expect.stringContaining('the test') },
    lastRun: { outcome: 'published' },
  });
  const { stdout } = await command('status');
  expect(stdout).toMatch(/ended: failed\nHeld: /);
  expect(stdout).toContain('the last run on record:');
  expect((await command('release')).exitCode).toBe(0);
});

test('status without Temporal tells what MySQL knows, with the exit code of an engine that is away', async () => {
  const env = { ...pipeline.environment, TEMPORAL_ADDRESS: '127.0.0.1:1' };
  const asked = (...words: string[]) =>
    execa('node', [CLI, 'status', '--config', pipeline.file, ...words], { env, reject: false });
  const { exitCode, stdout, stderr } = await asked();
  expect(exitCode).toBe(6);
  expect(stderr).toContain('Temporal at 127.0.0.1:1 does not answer');
  expect(stdout).toMatch(/^unconfigured, as MySQL alone knows it:\nunconfigured\s+published/);
  expect(JSON.parse((await asked('--json')).stdout)).toMatchObject({
    isTemporalAway: true,
    lastRun: { outcome: 'published' },
    problem: expect.stringContaining('does not answer'),
  });
});

test('a run, or a plan, by another file than the worker has read is refused: a changed file wants a worker that starts again', async () => {
  const changed = join(folder, 'changed.yaml');
  writeFileSync(
    changed,
    `${readFileSync(pipeline.file, 'utf8').replace(/^approve: .*$/m, '')}\napprove: always\n`,
  );
  for (const word of ['run', 'plan']) {
    const { exitCode, stdout } = await execa('node', [CLI, word, '--config', changed, '--json'], {
      env: pipeline.environment,
      reject: false,
    });
    expect(exitCode).toBe(3);
    expect(JSON.parse(stdout)).toMatchObject({
      problemType: 'Refused',
      problem: expect.stringMatching(/another configuration of unconfigured .* restart all workers/),
    });
  }
});

test('an engine that does not answer ends a run that begins after some attempts, a missing configuration never', async () => {
  const attempt = async (type: FailureType, number: number) => {
    const failing = activity(
      async () => {
        throw new StageswapError(type, 'no');
      },
      { attemptsMax: BEGIN_ATTEMPTS_MAX },
    );
    return new MockActivityEnvironment({ attempt: number }).run(failing).catch((error: unknown) => error);
  };
  expect(await attempt('Unreachable', BEGIN_ATTEMPTS_MAX - 1)).toMatchObject({ nonRetryable: false });
  expect(await attempt('Unreachable', BEGIN_ATTEMPTS_MAX)).toMatchObject({ nonRetryable: true });
  expect(await attempt('NotConfigured', BEGIN_ATTEMPTS_MAX)).toMatchObject({ nonRetryable: false });
  expect(await attempt('NotConfigured', 1_000)).toMatchObject({ nonRetryable: false });
});
