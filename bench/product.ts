import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Client, Connection } from '@temporalio/client';
import { execa } from 'execa';
import { stringify } from 'yaml';
import { keep } from '../demo/engines/process.js';
import { workflowIdOf } from '../src/model/messages.js';
import type { Report } from '../src/model/report.js';
import { cpuSeconds, peakRssMb, rssMb } from './process.js';
import type { BenchTable } from './tables.js';

const CLI = fileURLToPath(new URL('../dist/src/cli/main.js', import.meta.url));
const READY = 'the worker works';

export interface Addresses {
  MSSQL_URL: string;
  MYSQL_URL: string;
  TEMPORAL_ADDRESS: string;
}

/** The configuration of a bench pipeline: every column merged, as `init` writes it. */
export function configurationOf(pipeline: string, tables: BenchTable[]): Record<string, unknown> {
  return {
    pipeline,
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the product replaces it by the variable
    source: { url: '${MSSQL_URL}' },
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the product replaces it by the variable
    target: { url: '${MYSQL_URL}' },
    firstRun: 'source',
    // how long live is locked is measured, and nobody is asked
    cutOver: { heldMsMax: 600_000 },
    tables: tables.map(({ source, live, columns }) => ({
      source,
      live,
      key: [columns[0]?.name],
      columns: Object.fromEntries(columns.map((column) => [column.name, column.source])),
      localKeys: 'none',
    })),
  };
}

/** stageswap as a user has it: a configuration file, worker processes, the command line. */
export class Product {
  readonly file: string;
  readonly workers: BenchWorker[] = [];

  constructor(
    readonly folder: string,
    readonly pipeline: string,
    tables: BenchTable[],
    readonly addresses: Addresses,
  ) {
    this.file = join(folder, `${pipeline}.yaml`);
    writeFileSync(this.file, stringify(configurationOf(pipeline, tables)));
  }

  /** Starts a worker and waits until it works. */
  async startWorker(): Promise<BenchWorker> {
    const worker = new BenchWorker(
      this.file,
      join(this.folder, `worker-${this.workers.length}.log`),
      this.addresses,
    );
    this.workers.push(worker);
    await worker.ready();
    return worker;
  }

  async stopWorker(worker: BenchWorker): Promise<void> {
    this.workers.splice(this.workers.indexOf(worker), 1);
    await worker.stop();
  }

  /** One run. @returns its report, and the length of its history in Temporal */
  async run(): Promise<{ report: Report; historyEvents: number }> {
    const { stdout, stderr, exitCode } = await execa(
      process.execPath,
      [CLI, 'run', '--config', this.file, '--yes', '--json'],
      { env: { ...this.addresses }, reject: false },
    );
    if (exitCode !== 0)
      throw new Error(`stageswap run ended with exit code ${exitCode}\n${stdout}\n${stderr}\n${this.#log()}`);
    return { report: JSON.parse(stdout) as Report, historyEvents: await this.#historyEvents() };
  }

  async #historyEvents(): Promise<number> {
    const connection = await Connection.connect({ address: this.addresses.TEMPORAL_ADDRESS });
    try {
      const client = new Client({ connection, namespace: process.env.TEMPORAL_NAMESPACE ?? 'default' });
      const { historyLength } = await client.workflow.getHandle(workflowIdOf(this.pipeline)).describe();
      return historyLength;
    } finally {
      await connection.close();
    }
  }

  #log(): string {
    return this.workers.map(({ log }) => readFileSync(log, 'utf8').slice(-3_000)).join('\n');
  }

  async stop(): Promise<void> {
    await Promise.all(this.workers.splice(0).map((worker) => worker.stop()));
  }
}

/** A worker in a process of its own, as a user starts it. */
export class BenchWorker {
  readonly #child: ChildProcess;

  constructor(
    file: string,
    readonly log: string,
    addresses: Addresses,
  ) {
    const output = openSync(log, 'w');
    // BENCH_NODE_OPTIONS: such as --cpu-prof, to see where its time goes
    const options = process.env.BENCH_NODE_OPTIONS?.split(' ') ?? [];
    this.#child = spawn(process.execPath, [...options, CLI, 'worker', '--config', file], {
      env: { ...process.env, ...addresses },
      stdio: ['ignore', output, output],
      detached: true,
    });
    keep(this.#child);
    closeSync(output);
  }

  async ready(): Promise<void> {
    while (!readFileSync(this.log, 'utf8').includes(READY)) {
      if (this.#child.exitCode !== null)
        throw new Error(`the worker ended:\n${readFileSync(this.log, 'utf8').slice(-3_000)}`);
      await sleep(100);
    }
    await sleep(1_000); // it settles: what a worker holds that has nothing to do
  }

  get cpuSeconds(): number | null {
    return cpuSeconds(this.#child.pid);
  }
  get rssMb(): number | null {
    return rssMb(this.#child.pid);
  }
  get peakRssMb(): number | null {
    return peakRssMb(this.#child.pid);
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => this.#child.once('exit', () => resolve()));
    this.#child.kill('SIGTERM');
    await ended;
  }
}
