import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, expect, inject, test } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'ssw-bench-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

const POSITIVE = expect.toSatisfy((value: unknown) => typeof value === 'number' && value > 0);
const NOT_NEGATIVE = expect.toSatisfy((value: unknown) => typeof value === 'number' && value >= 0);

test('the bench measures floors, runs, cut-overs and memory, prints them, and writes every figure', async () => {
  const file = join(folder, 'bench.json');
  const sizes = ['--rows', '2000', '--repeat', '1', '--cut-over-rows', '300', '--cut-overs', '1'];
  const others = ['--memory-rows', '500', '--writers', '3', '--window-ms', '200'];
  const parts = 'runs,cutover,memory';
  const { stdout } = await execa(
    'node',
    ['--import', 'tsx', 'bench/main.ts', '--json', file, '--only', parts, ...sizes, ...others],
    // a Temporal of its own: its task queue is the product's
    { env: { MYSQL_URL: inject('mysqlUrl'), MSSQL_URL: inject('mssqlUrl') } },
  );
  const figures: unknown = JSON.parse(readFileSync(file, 'utf8'));
  const byKind = { firstPublish: POSITIVE, editedRun: POSITIVE, unchangedRun: POSITIVE };
  expect(figures).toMatchObject({
    rows: 2000,
    drainMs: POSITIVE,
    loadMs: POSITIVE,
    ingestMs: POSITIVE,
    firstPublishMs: POSITIVE,
    editedRunMs: POSITIVE,
    unchangedRunMs: POSITIVE,
    renameFloorMs: POSITIVE,
    heldMsP50: POSITIVE,
    heldMsP99: POSITIVE,
    queuedMsMax: POSITIVE,
    ratios: { ingest: POSITIVE, ...byKind },
    wide: { rows: 2000, historyEvents: byKind },
    cutOver: [
      { rows: 300, cutOvers: 1, writersWaitMsMax: NOT_NEGATIVE, writersWaitWithoutMsMax: NOT_NEGATIVE },
    ],
    capture: { withoutMs: POSITIVE, captureMs: POSITIVE, captureRatio: POSITIVE },
  });
  if (process.platform === 'linux')
    expect(figures).toMatchObject({
      idleRssMb: POSITIVE,
      peakRssMb: POSITIVE,
      wide: { workerCpuS: byKind },
      memory: [{ rows: 500, idleRssMb: POSITIVE, peakRssMb: POSITIVE }],
    });
  for (const line of ['F = drain + load', 'nothing changed', 'held p99', "a client's write", 'at 500 rows'])
    expect(stdout).toContain(line);
});

test('the bench refuses what it does not know, and says how it is used', async () => {
  const { exitCode, stderr } = await execa('node', ['--import', 'tsx', 'bench/main.ts', '--only', 'lunch'], {
    reject: false,
  });
  expect(exitCode).toBe(2);
  expect(stderr).toContain('--only lunch: there is no such part');
  expect(stderr).toContain('npm run bench');
});
