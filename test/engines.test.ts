import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { cached } from '../demo/engines/cache.js';
import { isRecentMySql, mirrorIn } from '../demo/engines/mysql.js';
import { Engine } from '../demo/engines/process.js';
import { WAIT_MS_MAX } from './support/patience.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'stageswap-engines-'));
  vi.stubEnv('STAGESWAP_CACHE', join(folder, 'cache'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

test.each([
  ['8.0.13', true],
  ['8.4.6', true],
  ['9.7.4-2', true],
  ['mysqld  Ver 8.0.36-0ubuntu0.22.04.1 for Linux on x86_64 ((Ubuntu))', true],
  ['8.0.12', false],
  ['5.7.44', false],
  ['10.11.6-MariaDB-0+deb12u1', false],
  ['mysqld  Ver 10.11.6-MariaDB-0+deb12u1 for debian-linux-gnu', false],
  ['', false],
])('%j is a MySQL that will do: %s', (version, expected) => {
  expect(isRecentMySql(version)).toBe(expected);
});

describe("the machine's own mirror", () => {
  const suites = ['bookworm', 'sid'];

  test('is found in sources of one line', () => {
    const sources =
      '# deb http://old.example/debian bookworm main\ndeb [arch=amd64] http://a.example/d bookworm main';
    expect(mirrorIn(sources, suites)).toBe('http://a.example/d');
  });

  test('is found in sources of many lines', () => {
    const sources =
      'Types: deb\nURIs: http://s.example/debian-security\nSuites: bookworm-security\n\nTypes: deb\n# http://old.example\nURIs: http://a.example/debian\nSuites: bookworm bookworm-updates\nComponents: main';
    expect(mirrorIn(sources, suites)).toBe('http://a.example/debian');
  });

  test('is not taken from an archive of something else', () => {
    expect(mirrorIn('deb https://a.example/node_20.x nodistro main', suites)).toBeUndefined();
  });
});

describe('the cache', () => {
  test('makes a folder once, though two ask for it at the same time', async () => {
    let made = 0;
    const make = async (into: string) => {
      made += 1;
      await sleep(100);
      writeFileSync(join(into, 'file'), '');
    };
    const [a, b] = await Promise.all([cached('thing', make), cached('thing', make)]);
    expect([a, made]).toEqual([b, 1]);
    expect(readdirSync(join(folder, 'cache'))).toEqual(['thing']);
  });

  test('leaves nothing behind when making it fails, and tries again', async () => {
    const failing = cached('thing', async (into) => {
      writeFileSync(join(into, 'half'), '');
      throw new Error('no network');
    });
    await expect(failing).rejects.toThrow('no network');
    expect(readdirSync(join(folder, 'cache'))).toEqual([]);
    expect(existsSync(await cached('thing', async () => {}))).toBe(true);
  });

  test('takes over the lock and the half-made folder of a process that was killed', async () => {
    const child = spawn(process.execPath, ['-e', '']);
    await once(child, 'exit');
    mkdirSync(join(folder, 'cache', `thing.new-${child.pid}`), { recursive: true });
    writeFileSync(join(folder, 'cache', 'thing.lock'), String(child.pid));
    await cached('thing', async () => {});
    expect(readdirSync(join(folder, 'cache'))).toEqual(['thing']);
  });
});

describe('what was started ends with the process that started it', () => {
  const engine = fileURLToPath(new URL('../demo/engines/process.ts', import.meta.url));

  /** Starts a process that starts `sleep`, prints its id, and then does `ending`. */
  async function startAndEnd(data: string, ending: string, signal?: NodeJS.Signals): Promise<number> {
    const program = `import(${JSON.stringify(engine)}).then(({ Engine }) => {
      const engine = new Engine('sleep', [process.execPath, '-e', 'console.log("pid", process.pid); setInterval(() => {}, 1000)'], ${JSON.stringify(data)});
      engine.spawn();
      return engine.until(async () => /pid/.test(engine.output)).then(() => { console.log(engine.output); ${ending} });
    });`;
    const parent = spawn(process.execPath, ['--import', 'tsx', '-e', program], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const ended = once(parent, 'exit');
    const [output] = (await once(parent.stdout, 'data')) as [Buffer];
    if (signal) parent.kill(signal);
    await ended;
    return Number(/pid (\d+)/.exec(output.toString())?.[1]);
  }

  test.each([
    ['kill -9', '', 'SIGKILL' as const],
    ['Ctrl-C', '', 'SIGINT' as const],
    ['SIGTERM', '', 'SIGTERM' as const],
    ['an exception', 'throw new Error("planted")', undefined],
    ['an exit', 'process.exit(0)', undefined],
  ])('by %s', async (_name, ending, signal) => {
    const data = join(folder, 'data');
    mkdirSync(data);
    const pid = await startAndEnd(data, ending, signal);
    expect(pid).toBeGreaterThan(0);
    await vi.waitFor(
      () => {
        expect(() => process.kill(pid, 0)).toThrow('ESRCH');
        expect(existsSync(data)).toBe(false);
      },
      { timeout: WAIT_MS_MAX, interval: 50 },
    );
  });
});

describe('an engine whose port is taken when it listens', () => {
  /** Fails like Temporal does, the first `failures` times; then it is ready. */
  const engineThatFails = (failures: number) => {
    const count = join(folder, 'count');
    writeFileSync(count, '0');
    const program = `const fs = require('node:fs');
      const seen = Number(fs.readFileSync(${JSON.stringify(count)}, 'utf8'));
      fs.writeFileSync(${JSON.stringify(count)}, String(seen + 1));
      if (seen < ${failures}) { console.error('bind: address already in use'); process.exit(1); }
      console.log('it answers'); setInterval(() => {}, 1000);`;
    return new Engine('the planted engine', [process.execPath, '-e', program]);
  };
  const isReady = (engine: Engine) => async () => engine.output.includes('it answers');

  test('is started again', async () => {
    const engine = engineThatFails(2);
    await engine.start(isReady(engine));
    expect(engine.running).toBe(true);
    await engine.stop();
  });

  test('fails with its own words where it never gets one', async () => {
    const engine = engineThatFails(1_000);
    await expect(engine.start(isReady(engine))).rejects.toThrow('address already in use');
  });
});
