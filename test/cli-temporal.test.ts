import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client, Connection } from '@temporalio/client';
import { bundleWorkflowCode, DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTemporal, type TemporalEngine } from '../demo/engines/temporal.js';

let temporal: TemporalEngine;
let connection: NativeConnection;
let worker: Worker;
let working: Promise<void>;
let folder: string;
let client: Client;
let bundle: Awaited<ReturnType<typeof bundleWorkflowCode>>;

const suffix = process.pid;

async function startWorker(): Promise<void> {
  worker = await Worker.create({
    connection,
    taskQueue: 'stageswap',
    workflowBundle: bundle,
    // without a cache the next worker does not wait for this one's sticky tasks
    maxCachedWorkflows: 0,
  });
  working = worker.run();
}

async function stopWorker(): Promise<void> {
  worker.shutdown();
  await working;
}

beforeAll(async () => {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  folder = mkdtempSync(join(tmpdir(), 'stageswap-cli-'));
  temporal = await startTemporal(() => {});
  bundle = await bundleWorkflowCode({
    workflowsPath: fileURLToPath(new URL('./support/cli-double.ts', import.meta.url)),
    logger: { log() {}, trace() {}, debug() {}, info() {}, warn() {}, error() {} },
  });
  connection = await NativeConnection.connect({ address: temporal.address });
  client = new Client({ connection: await Connection.connect({ address: temporal.address }) });
  await startWorker();
});

afterAll(async () => {
  if (worker) await stopWorker();
  await client?.connection.close();
  await connection?.close();
  await temporal?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Runs the program on a pipeline. */
function stageswap(pipeline: string, ...rest: (string | Record<string, string>)[]) {
  const args = rest.filter((part) => typeof part === 'string');
  const env = Object.assign({}, ...rest.filter((part) => typeof part !== 'string')) as Record<string, string>;
  const file = join(folder, `${pipeline}.yaml`);
  writeFileSync(
    file,
    `pipeline: ${pipeline}
source: { url: "\${MSSQL_URL}" }
target: { url: "\${MYSQL_URL}" }
firstRun: source
tables: [{ source: dbo.T, live: t, key: [id], columns: { id: Id } }]
`,
  );
  const main = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url));
  return execa(process.execPath, ['--import', 'tsx', main, ...args, '--config', file], {
    reject: false,
    env: {
      MSSQL_URL: 'mssql://sa:x@127.0.0.1:1/b',
      MYSQL_URL: 'mysql://app:x@127.0.0.1:1/s',
      TEMPORAL_ADDRESS: temporal.address,
      ...env,
    },
  });
}

/** A way to Temporal that can be cut and mended. */
async function openProxy(target: string) {
  const [host = '', port = ''] = target.split(':');
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(Number(port), host);
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
    near.pipe(far).pipe(near);
  });
  const listen = (at: number) => new Promise<void>((resolve) => server.listen(at, '127.0.0.1', resolve));
  await listen(0);
  const own = (server.address() as AddressInfo).port;
  return {
    address: `127.0.0.1:${own}`,
    cut: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
    mend: () => listen(own),
  };
}

async function running(pipeline: string): Promise<void> {
  const { exitCode } = await stageswap(pipeline, 'run', '--no-wait');
  expect(exitCode).toBe(0);
}

describe('run', () => {
  test('waits for the report, tells the phases, and exits with 0', async () => {
    const { stdout, stderr, exitCode } = await stageswap('ok', 'run');
    expect(exitCode).toBe(0);
    expect(stdout).toContain('published');
    expect(stderr).toContain('phase ingest');
  });

  test('prints the report alone with --json', async () => {
    const { stdout, stderr, exitCode } = await stageswap('ok', 'run', '--json');
    expect(exitCode).toBe(0);
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toMatchObject({ pipeline: 'ok', outcome: 'published', tables: [] });
  });

  test('exits with 3 and the message alone if the run is refused', async () => {
    const { stderr, exitCode } = await stageswap('refused', 'run');
    expect(exitCode).toBe(3);
    expect(stderr).toContain('table t has no primary key: add one');
    expect(stderr).not.toMatch(/\n\s+at /);
  });

  test('exits with 4 at a gate, and approve lets it go on', async () => {
    const startedAt = Date.now();
    const { stdout, exitCode } = await stageswap('gated', 'run', '--json');
    expect(exitCode).toBe(4);
    expect(Date.now() - startedAt).toBeLessThan(15_000); // a call that is left pending would hold it for 20 s
    expect(JSON.parse(stdout)).toMatchObject({
      outcome: 'waiting',
      problem: 'the approval of the first publish',
    });
    expect((await stageswap('gated', 'approve')).stdout).toContain('approved');
    expect(await client.workflow.getHandle('stageswap-gated').result()).toMatchObject({
      outcome: 'published',
    });
  });

  test('passes the gate with --yes', async () => {
    expect((await stageswap('gated', 'run', '--yes')).exitCode).toBe(0);
  });
});

test('a second run is refused with 3, pause twice says why not, abort ends the run', async () => {
  await running('endless');
  const second = await stageswap('endless', 'run');
  expect(second.exitCode).toBe(3);
  expect(second.stderr).toMatch(/a run is already running since 20.* \(workflow stageswap-endless/);
  expect(second.stderr).toContain('stageswap abort');

  expect((await stageswap('endless', 'pause')).stdout).toContain('paused');
  const again = await stageswap('endless', 'pause');
  expect(again.exitCode).toBe(3);
  expect(again.stderr).toContain('the run is paused already');
  expect((await stageswap('endless', 'resume', '--json')).stdout).toContain('"sentAs": "update"');

  const waiting = stageswap('endless', 'status', '--json');
  expect(JSON.parse((await waiting).stdout)).toMatchObject({
    pipeline: 'endless',
    workflow: { type: 'sync', status: 'RUNNING' },
    progress: { phase: 'ingest' },
  });
  expect((await waiting).exitCode).toBe(6); // MySQL does not answer here

  expect((await stageswap('endless', 'abort')).stdout).toContain('aborting');
  expect(await client.workflow.getHandle('stageswap-endless').result()).toMatchObject({ outcome: 'aborted' });
  const late = await stageswap('endless', 'abort');
  expect(late.exitCode).toBe(3);
  expect(late.stderr).toContain('nothing is running');
});

test('steering a pipeline that never ran is refused with 3', async () => {
  const { stderr, exitCode } = await stageswap('never', 'pause');
  expect(exitCode).toBe(3);
  expect(stderr).toContain('nothing is running for pipeline never');
});

test('a rollback that was asked for exits with 0', async () => {
  const { stdout, exitCode } = await stageswap('ok', 'rollback');
  expect(exitCode).toBe(0);
  expect(stdout).toContain('rolled back');
});

test('at a terminal a rollback and an abort ask first, and show colours', async () => {
  const at = (command: string, answer: string) => {
    const main = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url));
    const words = `${process.execPath} --import tsx ${main} ${command} --config ${join(folder, 'ok.yaml')}`;
    return execa('script', ['--quiet', '--return', '--command', words, '/dev/null'], {
      input: answer,
      reject: false,
      env: {
        MSSQL_URL: 'mssql://sa:x@127.0.0.1:1/b',
        MYSQL_URL: 'mysql://app:x@127.0.0.1:1/s',
        TEMPORAL_ADDRESS: temporal.address,
        NO_COLOR: undefined,
        TERM: 'xterm',
      },
    });
  };
  await stageswap('ok', 'run'); // writes the file
  const refused = await at('rollback', 'n\n');
  expect(refused.exitCode, refused.stdout).toBe(2);
  expect(refused.stdout).toContain('take the latest publish of ok back, and hold the pipeline? [y/N]');
  expect(await client.workflow.getHandle('stageswap-ok').describe()).toMatchObject({ type: 'sync' });
  const asked = await at('abort', 'n\n');
  expect(asked.exitCode).toBe(2);
  const done = await at('rollback', 'y\n');
  expect(done.exitCode, done.stdout).toBe(0);
  expect(done.stdout).toContain('\u001b[');
});

test('a terminated run exits with 1 and says so', async () => {
  const run = stageswap('endless', 'run');
  const handle = client.workflow.getHandle('stageswap-endless');
  await expect.poll(() => handle.describe().then((found) => found.status.name)).toBe('RUNNING');
  await handle.terminate('test');
  const { stderr, exitCode } = await run;
  expect(exitCode).toBe(1);
  expect(stderr).toContain('was terminated');
});

test('a run that is followed outlives an outage of Temporal', async () => {
  const proxy = await openProxy(temporal.address);
  const run = stageswap('endless', 'run', { TEMPORAL_ADDRESS: proxy.address });
  const handle = client.workflow.getHandle('stageswap-endless');
  const status = () => handle.describe().then((found) => found.status.name);
  await expect.poll(status).toBe('RUNNING');
  await proxy.cut();
  await new Promise((resolve) => setTimeout(resolve, 15_000));
  await proxy.mend();
  expect((await stageswap('endless', 'abort')).exitCode).toBe(0);
  const { stdout, stderr, exitCode } = await run;
  await proxy.cut();
  expect(exitCode, stderr).toBe(5);
  expect(stderr).toContain('Temporal does not answer');
  expect(stdout).toContain('aborted');
});

test('a schedule is created once, listed and deleted', async () => {
  const name = `nightly-${suffix}`;
  const create = () =>
    stageswap(
      name,
      'schedule',
      'create',
      '--cron',
      '15 2 * * MON-FRI',
      '--time-zone',
      'Europe/Berlin',
      '--json',
    );
  const created = await create();
  expect(created.exitCode, created.stderr).toBe(0);
  expect(JSON.parse(created.stdout)).toMatchObject({
    scheduleId: `stageswap-${name}`,
    timeZone: 'Europe/Berlin',
  });
  expect(JSON.parse(created.stdout).next).toMatch(/T0[01]:15:00/);

  const found = await client.schedule.getHandle(`stageswap-${name}`).describe();
  expect(found.policies).toMatchObject({ overlap: 'SKIP', catchupWindow: 600_000 });
  expect(found.action).toMatchObject({
    workflowType: 'scheduledSync',
    workflowId: `stageswap-${name}-scheduled`,
    taskQueue: 'stageswap',
    args: [{ pipeline: name, approveFirst: false }],
  });

  const again = await create();
  expect(again.exitCode).toBe(3);
  expect(again.stderr).toContain('already has a schedule');
  expect((await stageswap(name, 'schedule', 'list')).stdout).toContain('15 2 * * MON-FRI, Europe/Berlin');

  const state = async () => (await client.schedule.getHandle(`stageswap-${name}`).describe()).state;
  expect((await stageswap(name, 'schedule', 'pause', '--reason', 'month end')).exitCode).toBe(0);
  expect(await state()).toMatchObject({ paused: true, note: 'month end' });
  expect((await stageswap(name, 'schedule', 'list')).stdout).toContain('paused');
  expect((await stageswap(name, 'schedule', 'resume')).exitCode).toBe(0);
  expect(await state()).toMatchObject({ paused: false });
  expect((await stageswap(name, 'schedule', 'trigger')).exitCode).toBe(0);
  const started = async () =>
    (await client.schedule.getHandle(`stageswap-${name}`).describe()).info.recentActions[0]?.action.workflow;
  await expect.poll(started).toBeDefined();
  const workflow = await started();
  if (workflow) await client.workflow.getHandle(workflow.workflowId).terminate('the double has no parent');

  expect((await stageswap(name, 'schedule', 'delete')).exitCode).toBe(0);
  expect((await stageswap(name, 'schedule', 'pause')).exitCode).toBe(3);
  expect((await stageswap(name, 'schedule', 'list')).stdout).toContain('has no schedule');
  expect((await stageswap(name, 'schedule', 'delete')).exitCode).toBe(3);
});

test('a schedule says aloud that its starts are skipped since a run waits', async () => {
  const waiting = stageswap('gated', 'schedule', 'create', '--cron', '0 3 * * *', '--time-zone', 'UTC');
  expect((await waiting).exitCode).toBe(0);
  expect((await stageswap('gated', 'run')).exitCode).toBe(4);
  const { stdout } = await stageswap('gated', 'schedule', 'list');
  expect(stdout).toContain('skipped until it goes on or ends: the approval of the first publish');
  expect((await stageswap('gated', 'abort')).exitCode).toBe(0);
  expect((await stageswap('gated', 'schedule', 'delete')).exitCode).toBe(0);
});

test('a cron expression that Temporal refuses exits with 2', async () => {
  const { stderr, exitCode } = await stageswap(
    'ok',
    'schedule',
    'create',
    '--cron',
    '99 2 * * *',
    '--time-zone',
    'UTC',
  );
  expect(exitCode, stderr).toBe(2);
  expect(stderr).toContain('Temporal refuses the schedule');
});

test('without a worker, abort is left as a signal that the run reads later', async () => {
  await running('endless');
  await stopWorker();
  try {
    const { stdout, exitCode } = await stageswap('endless', 'abort');
    expect(exitCode).toBe(0);
    expect(stdout).toContain('no worker answers');
  } finally {
    await startWorker();
  }
  expect(await client.workflow.getHandle('stageswap-endless').result()).toMatchObject({ outcome: 'aborted' });
});

test('a namespace that does not exist exits with 2 and names it', async () => {
  const { stderr, exitCode } = await stageswap('ok', 'run', '--no-wait', { TEMPORAL_NAMESPACE: 'nowhere' });
  expect(exitCode, stderr).toBe(2);
  expect(stderr).toContain('no namespace nowhere');
  const worker = await stageswap('endless', 'worker', { TEMPORAL_NAMESPACE: 'nowhere' });
  expect(worker.exitCode, worker.stderr).toBe(2);
  expect(worker.stderr).toContain('no namespace nowhere');
});
