import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { WAIT_MS_MAX } from './support/patience.js';

const MAIN = fileURLToPath(new URL('../demo/main.ts', import.meta.url));

let folder: string;
beforeEach(() => {
  folder = mkdtempSync('/tmp/ssd-'); // short: MySQL's socket is in it
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** Processes that have the folder in their command line or as their TMPDIR. */
function processesOf(path: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return false;
    const read = (file: string) => {
      try {
        return readFileSync(join('/proc', pid, file), 'utf8');
      } catch {
        return ''; // it has ended meanwhile
      }
    };
    return read('cmdline').includes(path) || read('environ').includes(`TMPDIR=${path}`);
  });
}

/** Starts the demo with a folder of its own for all that is temporary, and waits until a run works. */
async function demoAtWork(): Promise<ChildProcess> {
  const { MYSQL_URL: _mysql, MSSQL_URL: _mssql, TEMPORAL_ADDRESS: _temporal, ...env } = process.env;
  const demo = spawn(process.execPath, ['--import', 'tsx', MAIN, '--rows', '3000'], {
    env: { ...env, TMPDIR: folder },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  demo.stdout?.on('data', (data) => {
    output += data;
  });
  await vi.waitFor(() => expect(output).toContain('stageswap run'), { timeout: WAIT_MS_MAX, interval: 50 });
  await vi.waitFor(
    () =>
      expect(
        processesOf(folder)
          .map((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8'))
          .join(),
      ).toContain('worker'),
    WAIT_MS_MAX,
  );
  return demo;
}

describe('a demo that is ended in the middle leaves no process and no folder behind', () => {
  test.each(['SIGTERM', 'SIGHUP', 'SIGKILL'] as const)('by %s', async (signal) => {
    const demo = await demoAtWork();
    const ended = once(demo, 'exit');
    demo.kill(signal);
    await ended;
    await vi.waitFor(
      () => {
        expect(processesOf(folder)).toEqual([]);
        expect(readdirSync(folder).filter((name) => !name.startsWith('tsx-'))).toEqual([]);
      },
      { timeout: WAIT_MS_MAX, interval: 200 },
    );
  });
});
