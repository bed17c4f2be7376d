import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { CLI } from './support/worker-process.js';

const folder = mkdtempSync(join(tmpdir(), 'ssw-worker-'));
const file = join(folder, 'stageswap.yaml');

const CONFIGURATION = `pipeline: stopped
source: { url: "\${MSSQL_URL}" }
target: { url: "\${MYSQL_URL}" }
firstRun: source
tables:
  - { source: dbo.Customer, live: customer, key: [id], columns: { id: Id } }
`;

beforeAll(() => writeFileSync(file, CONFIGURATION));
afterAll(() => rmSync(folder, { recursive: true }));

test('a worker that is told to stop ends by itself, without being killed', async () => {
  const worker = execa('node', [CLI, 'worker', '--config', file], {
    env: {
      MSSQL_URL: inject('mssqlUrl'),
      MYSQL_URL: new URL('/stageswap_test_stopped', inject('mysqlUrl')).href,
      TEMPORAL_ADDRESS: inject('temporalAddress'),
    },
    all: true,
    reject: false,
    forceKillAfterDelay: false,
  });
  await new Promise<void>((resolve) => {
    worker.all.on('data', (data: Buffer) => {
      if (data.toString().includes('"state":"RUNNING"')) resolve();
    });
  });
  worker.kill('SIGTERM');
  const { exitCode, signal } = await worker;
  expect({ exitCode, signal }).toEqual({ exitCode: 0, signal: undefined });
});
