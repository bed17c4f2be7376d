import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { keep } from '../engines/process.js';
import { DEMO_TABLES, TABLES } from './tables.js';

const MAIN = fileURLToPath(new URL('../../dist/src/cli/main.js', import.meta.url));
const LOG_TAIL_CHARACTERS = 4_000;
const STOP_MS_MAX = 30_000;

export interface Environment {
  MSSQL_URL: string;
  MYSQL_URL: string;
  TEMPORAL_ADDRESS: string;
}

/** What the demo reads of `status --json`. */
interface Progress {
  phase: string;
  waitingFor?: string;
  tables: { table: string; rowsDone: number }[];
}

/** A command of the product that did not end well. */
export class CommandFailed extends Error {
  override name = 'CommandFailed';
}

/** stageswap as a user has it: a configuration file, a worker process and the command line. */
export class Product {
  readonly configFile: string;
  readonly workerLog: string;
  #worker: ChildProcess | undefined;
  readonly #commands = new Set<ChildProcess>();

  /** @param folder of the demo's files: what is in it goes with the worker, should the demo be killed */
  constructor(
    readonly folder: string,
    readonly pipeline: string,
    readonly environment: Environment,
  ) {
    if (!existsSync(MAIN)) throw new Error(`${MAIN} is not there: build the product first (npm run build)`);
    this.configFile = join(folder, 'stageswap.yaml');
    this.workerLog = join(folder, 'worker.log');
    writeFileSync(this.configFile, stringify(configuration(pipeline)));
  }

  startWorker(): void {
    const log = openSync(this.workerLog, 'a');
    // a group of its own: Ctrl-C reaches the demo, which then stops the worker in order
    this.#worker = spawn(process.execPath, [MAIN, 'worker', '--config', this.configFile], {
      env: { ...process.env, ...this.environment },
      stdio: ['ignore', log, log],
      detached: true,
    });
    keep(this.#worker, this.folder);
    closeSync(log);
  }

  /** Runs a command with --json. @returns the object it printed @throws {CommandFailed} with its words and the worker's */
  async command<T>(...words: string[]): Promise<T> {
    const { code, stdout, stderr } = await this.#run([...words, '--config', this.configFile, '--json']);
    if (code === 0) return JSON.parse(stdout) as T;
    throw new CommandFailed(
      [`stageswap ${words.join(' ')} ended with exit code ${code}`, stdout, stderr, this.#workerTail()]
        .filter(Boolean)
        .join('\n'),
    );
  }

  /** How far the pipeline's run is, in one line; empty if it does not say. */
  async progress(): Promise<string> {
    try {
      const { progress } = await this.command<{ progress?: Progress | null }>('status');
      if (!progress) return '';
      const tables = progress.tables.map(
        (table) => `${table.table} ${table.rowsDone.toLocaleString('en')} rows`,
      );
      return `${[progress.phase, ...tables].join(', ')}${progress.waitingFor ? `; waits: ${progress.waitingFor}` : ''}`;
    } catch {
      return ''; // a look on the way: the run's own end tells what went wrong
    }
  }

  #run(words: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
    return new Promise((resolve, reject) => {
      const child = spawn(process.execPath, [MAIN, ...words], {
        env: { ...process.env, ...this.environment },
        stdio: ['ignore', 'pipe', 'pipe'],
        detached: true,
      });
      this.#commands.add(child);
      keep(child);
      let stdout = '';
      let stderr = '';
      child.stdout?.on('data', (data) => {
        stdout += data;
      });
      child.stderr?.on('data', (data) => {
        stderr += data;
      });
      const workerEnded = () => {
        stderr += 'the worker process ended\n';
        child.kill('SIGTERM');
      };
      this.#worker?.once('exit', workerEnded);
      child.once('error', reject);
      child.once('close', (code) => {
        this.#worker?.off('exit', workerEnded);
        this.#commands.delete(child);
        resolve({ code, stdout, stderr });
      });
    });
  }

  #workerTail(): string {
    if (!existsSync(this.workerLog)) return '';
    const text = readFileSync(this.workerLog, 'utf8').slice(-LOG_TAIL_CHARACTERS);
    return text ? `--- the end of the worker's log ---\n${text}` : '';
  }

  killCommands(): void {
    for (const child of this.#commands) child.kill('SIGKILL');
  }

  /** Ends what was started, the worker with time to finish what it has in hand. */
  async stop(): Promise<void> {
    this.killCommands();
    const worker = this.#worker;
    if (!worker || worker.exitCode !== null || worker.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
    worker.kill('SIGTERM');
    const force = setTimeout(() => worker.kill('SIGKILL'), STOP_MS_MAX);
    await ended;
    clearTimeout(force);
  }

  killNow(): void {
    this.killCommands();
    this.#worker?.kill('SIGKILL');
  }
}

/** The demo's pipeline, in the form of stageswap.yaml. */
export function configuration(pipeline: string): Record<string, unknown> {
  return {
    pipeline,
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the product replaces it by the variable
    source: { url: '${MSSQL_URL}', moment: 'auto' },
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the product replaces it by the variable
    target: { url: '${MYSQL_URL}' },
    firstRun: 'source',
    approve: 'firstPublish',
    // whatever machine this is: how long live is locked is shown, and nobody is asked
    cutOver: { heldMsMax: 600_000 },
    tables: TABLES.map((live) => {
      const { source, key, columns, groups } = DEMO_TABLES[live];
      return { source, live, key: [key], columns, ...(groups.length > 0 ? { groups } : {}) };
    }),
  };
}
