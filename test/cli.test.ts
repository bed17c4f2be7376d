import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CommandError, describeFailure, failureText } from '../src/cli/failure.js';
import { runsText } from '../src/cli/history.js';
import { lineView, screen } from '../src/cli/progress-view.js';
import { duration, many, reportText } from '../src/cli/report-text.js';
import { rowKey } from '../src/cli/row-key.js';
import { cron, timeZone } from '../src/cli/schedule.js';
import { keyText } from '../src/cli/values-text.js';
import { AddressError } from '../src/config/address.js';
import type { TableConfig } from '../src/config/load.js';
import { EXIT, exitCodeOf, exitCodeOfFailure } from '../src/model/exit-code.js';
import { StageswapError } from '../src/model/failures.js';
import type { Progress } from '../src/model/messages.js';
import type { Report } from '../src/model/report.js';

const REPORT: Report = {
  pipeline: 'billing',
  runId: 'r-1',
  outcome: 'published',
  moment: 'snapshot',
  ms: 65_400,
  tables: [
    {
      table: 'customer',
      rowsRead: 12_345,
      rowsStaged: 12_346,
      inserted: 5,
      updated: 67,
      deleted: 1,
      keptLive: 9,
      decidedByFirstRun: 0,
      quarantined: 0,
      conflicts: 2,
      chunks: 4,
      chunksVerified: 4,
    },
  ],
  edits: { captured: 11, replayedBefore: 10, replayedUnderLock: 1, handedIn: 3 },
  cutOver: { attempts: 2, heldMs: 31.25, queuedMs: 50 },
  phases: [{ name: 'ingest', startedAt: '2030-01-01T00:00:00Z', ms: 4_000 }],
};

describe('exit codes', () => {
  test('follow the outcome', () => {
    expect(exitCodeOf({ outcome: 'published' })).toBe(0);
    expect(exitCodeOf({ outcome: 'waiting' })).toBe(4);
    expect(exitCodeOf({ outcome: 'aborted' })).toBe(5);
    expect(exitCodeOf({ outcome: 'failed' })).toBe(1);
    expect(exitCodeOf({ outcome: 'failed', problemType: 'Refused' })).toBe(3);
    expect(exitCodeOf({ outcome: 'failed', problemType: 'Unreachable' })).toBe(6);
  });
  test('a rollback that was asked for is done, one that was not is none', () => {
    expect(exitCodeOf({ outcome: 'rolledBack' }, 'rollback')).toBe(0);
    expect(exitCodeOf({ outcome: 'rolledBack' }, 'run')).toBe(5);
  });
  test('follow the failure', () => {
    expect(exitCodeOfFailure('Held')).toBe(3);
    expect(exitCodeOfFailure(undefined)).toBe(1);
    expect(describeFailure(new StageswapError('Unreachable', 'no')).exitCode).toBe(6);
    expect(describeFailure(new AddressError('no', 'do')).exitCode).toBe(2);
    expect(describeFailure(new Error('x')).exitCode).toBe(1);
    const encrypted = describeFailure(new Error('Unknown encoding: binary/encrypted'));
    expect(encrypted).toMatchObject({
      exitCode: 2,
      problems: [{ cure: expect.stringContaining('STAGESWAP_CODEC_KEYS') }],
    });
  });
});

test('a failure is one message with its cure, and no stack', () => {
  const text = failureText(describeFailure(new CommandError(EXIT.refused, 'it is so', 'do this')));
  expect(text).toContain('it is so');
  expect(text).toContain('do this');
  expect(text).not.toMatch(/\n\s+at /);
});

test('a report shows every number that matters to an operator', () => {
  const text = reportText(REPORT);
  for (const part of [
    'billing',
    'published',
    '1 min 05 s',
    '12,345',
    '12,346',
    '67',
    '4/4',
    '31.3 ms',
    '2 attempts',
  ]) {
    expect(text).toContain(part);
  }
});

test('a report shows its problem', () => {
  expect(reportText({ ...REPORT, outcome: 'failed', problem: 'the disk is full' })).toContain(
    'the disk is full',
  );
});

test('durations are read at a glance', () => {
  expect([0, 999, 1_000, 59_940, 59_990, 245_000, 7_380_000].map(duration)).toEqual([
    '0 ms',
    '999 ms',
    '1.0 s',
    '59.9 s',
    '1 min 00 s',
    '4 min 05 s',
    '2 h 03 min',
  ]);
});

const PROGRESS: Progress = {
  phase: 'ingest',
  tables: [{ table: 'customer', phase: 'ingest', rowsDone: 50, rowsTotal: 100, chunksDone: 5, chunks: 10 }],
  paused: false,
  generation: 1,
};

test('off a terminal progress is plain lines, and the same state is told once', () => {
  const lines: string[] = [];
  const view = lineView((line) => lines.push(line));
  view.show(PROGRESS);
  view.show(PROGRESS);
  view.show({ ...PROGRESS, paused: true, pausing: true });
  view.show({ ...PROGRESS, paused: true });
  view.show(PROGRESS);
  view.show({ ...PROGRESS, phase: 'swap', waitingFor: 'approval' });
  expect(lines).toEqual([
    'phase ingest',
    '  customer: ingest, 50 of 100 rows, 5 of 10 chunks',
    'pausing',
    'paused',
    'resumed',
    'phase swap',
    'waits for: approval',
  ]);
});

test('why a step fails is told once, also where Temporal does not answer in between', () => {
  const lines: string[] = [];
  const view = lineView((line) => lines.push(line));
  const failing = [{ step: 'begin', attempts: 1, message: 'no such host' }];
  view.show(PROGRESS, failing);
  view.show(PROGRESS, undefined);
  view.show(PROGRESS, failing);
  const told = 'step begin failed, and is tried again: no such host';
  expect(lines.filter((line) => line.startsWith('step'))).toEqual([told]);
  view.show(PROGRESS, []);
  view.show(PROGRESS, failing);
  expect(lines.filter((line) => line.startsWith('step'))).toEqual([told, told]);
});

test('a screen shows each table and what is waited for', () => {
  const text = screen({ ...PROGRESS, waitingFor: 'approval' }).join('\n');
  expect(text).toMatch(/customer.*50 of 100 rows/);
  expect(text).toContain('waits for: approval');
  expect(text).toContain('█');
});

test('what a program reads has no bars', () => {
  expect(screen(PROGRESS, { bars: false })[1]).toBe('  customer  ingest      50 of 100 rows, 5 of 10 chunks');
});

test('one edit is no edits', () => {
  expect([0, 1, 2, 1_000].map((value) => many(value, 'edit'))).toEqual([
    '0 edits',
    '1 edit',
    '2 edits',
    '1,000 edits',
  ]);
});

test('the history names the kind of a failure', () => {
  const run = { generation: 1, runId: 'r', kind: 'publish', phase: 'ended', startedAt: '', endedAt: null };
  const of = (outcome: 'failed' | 'aborted' | null, problemType: string) =>
    runsText([{ ...run, outcome, report: { ...REPORT, problemType } }]);
  expect(of('failed', 'LockNotGranted')).toContain('failed: LockNotGranted');
  expect(of('aborted', 'ApprovalExpired')).toContain('aborted: ApprovalExpired');
  expect(of('aborted', 'Aborted')).not.toContain('aborted:');
  expect(of(null, 'LockNotGranted')).toContain('in ended');
});

test('a cron expression has five fields', () => {
  expect(cron(' 15  2 * * MON-FRI ')).toBe('15 2 * * MON-FRI');
  expect(() => cron('15 2 * *')).toThrow(/five fields/);
  expect(() => cron('@daily')).toThrow(/five fields/);
});

test('a time zone is one that IANA knows', () => {
  expect(timeZone('Europe/Berlin')).toBe('Europe/Berlin');
  expect(() => timeZone('Berlin')).toThrow(/IANA/);
});

describe('the program', () => {
  let folder: string;
  let config: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'stageswap-cli-'));
    config = join(folder, 'stageswap.yaml');
    writeFileSync(
      config,
      `pipeline: billing
source: { url: "\${MSSQL_URL}" }
target: { url: "\${MYSQL_URL}" }
firstRun: source
tables: [{ source: dbo.T, live: t, key: [id], columns: { id: Id } }]
`,
    );
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  // port 1 answers nobody
  const NOWHERE = {
    MSSQL_URL: 'mssql://sa:hunter2@127.0.0.1:1/b',
    MYSQL_URL: 'mysql://app:hunter2@127.0.0.1:1/s',
    TEMPORAL_ADDRESS: '127.0.0.1:1',
  };
  const main = new URL('../src/cli/main.ts', import.meta.url).pathname;
  const repository = new URL('..', import.meta.url).pathname;
  const stageswap = (args: string[], env: Record<string, string> = NOWHERE, cwd = repository) =>
    execa(process.execPath, ['--import', import.meta.resolve('tsx'), main, ...args], {
      env,
      reject: false,
      cwd,
    });

  test('lists its commands and exit codes', async () => {
    const { stdout, exitCode } = await stageswap(['--help']);
    expect(exitCode).toBe(0);
    for (const word of ['worker', 'run', 'status', 'rollback', 'schedule', 'Exit codes']) {
      expect(stdout).toContain(word);
    }
  });

  test('without --config it takes stageswap.yaml of the working directory, or says that there is none', async () => {
    const found = await stageswap(['hold'], NOWHERE, folder);
    expect(found.stderr).toContain('MySQL at 127.0.0.1:1 does not answer');
    const empty = mkdtempSync(join(folder, 'empty-'));
    const missing = await stageswap(['hold'], NOWHERE, empty);
    expect(missing.exitCode).toBe(2);
    expect(missing.stderr).toMatch(/stageswap.yaml: no such file\n.*--config.*stageswap init/);
    const other = await stageswap(['hold', '--config', 'other.yaml'], NOWHERE, folder);
    expect(other.stderr).toContain('other.yaml: no such file');
  });

  test('usage that is wrong exits with 2', async () => {
    for (const args of [['bogus'], ['run'], ['run', '--config', config, '--nonsense'], []]) {
      expect((await stageswap(args)).exitCode, args.join(' ')).toBe(2);
    }
    const { stdout, stderr } = await stageswap(['run', '--config', config, '--nonsense', '--json']);
    const problem = "unknown option '--nonsense'";
    expect(JSON.parse(stdout)).toMatchObject({ outcome: 'failed', exitCode: 2, problem });
    expect(stderr).toContain(problem);
  });

  test('there are no colours where nobody looks at a terminal, also where CI is set', async () => {
    const { stderr } = await stageswap(['run', '--config', join(folder, 'none.yaml')], {
      ...NOWHERE,
      CI: 'true',
      FORCE_COLOR: '1',
    });
    expect(stderr).toContain('none.yaml');
    expect(stderr).not.toContain('\u001b');
  });

  test('a configuration that is not there exits with 2, as an object if --json was given', async () => {
    const { stdout, stderr, exitCode } = await stageswap([
      'run',
      '--json',
      '--config',
      join(folder, 'none.yaml'),
    ]);
    expect(exitCode).toBe(2);
    expect(JSON.parse(stdout)).toMatchObject({ outcome: 'failed', exitCode: 2 });
    expect(stderr).toContain('no such file');
  });

  test('a Temporal that does not answer exits with 6, within seconds, naming the address', async () => {
    const { stderr, exitCode } = await stageswap(['run', '--config', config]);
    expect(exitCode).toBe(6);
    expect(stderr).toContain('Temporal at 127.0.0.1:1 does not answer');
    expect(stderr).not.toContain('    at ');
  });

  test('a MySQL that does not answer exits with 6, and no password is shown', async () => {
    const { stderr, exitCode } = await stageswap(['hold', '--config', config]);
    expect(exitCode).toBe(6);
    expect(stderr).toContain('MySQL at 127.0.0.1:1 does not answer');
    expect(stderr).not.toContain('hunter2');
  });

  test('a SQL Server that does not answer exits with 6, and no password is shown', async () => {
    const out = join(folder, 'new.yaml');
    const args = ['init', '--source-env', 'MSSQL_URL', '--target-env', 'MYSQL_URL', '--out', out];
    const { stderr, exitCode } = await stageswap(args);
    expect(exitCode).toBe(6);
    expect(stderr).toContain('SQL Server at 127.0.0.1:1 does not answer');
    expect(stderr).not.toContain('hunter2');
  });

  test('init without its variable exits with 2 and names it', async () => {
    const args = ['init', '--source-env', 'NO_SUCH_URL', '--target-env', 'MYSQL_URL', '--out', 'x'];
    const { stderr, exitCode } = await stageswap(args);
    expect(exitCode).toBe(2);
    expect(stderr).toContain('NO_SUCH_URL is not set');
  });
});

describe('a key of several columns', () => {
  const table = { live: 'stock', key: ['warehouse', 'sku'] } as TableConfig;
  test('is printed in the order in which commands take it, whatever order MySQL keeps', () => {
    const printed = keyText({ sku: '1', warehouse: 'BER "x"' }, table.key);
    expect(printed).toBe('["BER \\"x\\"","1"]');
    expect(rowKey(table, printed)).toEqual(['BER "x"', '1']);
    expect(keyText({ sku: '17' }, ['sku'])).toBe('17');
    expect(keyText({ b: '1', aa: '2' }, undefined)).toBe('["1","2"]');
  });
  test('may hold whole numbers, but none that would not stay as written', () => {
    expect(rowKey(table, '["e.1", -12]')).toEqual(['e.1', '-12']);
    for (const text of ['["a",9007199254740993]', '["a",1.0]', '["a",1e3]', '["a",null]', '["a"]', 'a,1'])
      expect(() => rowKey(table, text), text).toThrow(CommandError);
  });
});
