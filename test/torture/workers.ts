import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { keep } from '../../demo/engines/process.js';
import type { FailPoints, Told } from './fail-points.js';

const HOOKS = join(import.meta.dirname, 'fail-points.mjs');
const OUTPUT_CHARACTERS_MAX = 200_000;

export interface WorkerSettings {
  /** the product's folder: its own, or a copy with a fault planted in it */
  product: string;
  /** stageswap.yaml */
  file: string;
  environment: Record<string, string>;
  points: FailPoints;
}

/** A worker as a user starts it, with fail points around what it sends to the engines. */
class Worker {
  readonly #child: ChildProcess;
  #output = '';
  #stopped = false;
  #standing = 0;

  constructor(
    readonly number: number,
    readonly settings: WorkerSettings,
  ) {
    const main = join(settings.product, 'dist', 'src', 'cli', 'main.js');
    this.#child = spawn(
      process.execPath,
      ['--import', HOOKS, main, 'worker', '--config', settings.file, '--log-level', 'warn'],
      {
        env: { ...process.env, ...settings.environment, NODE_NO_WARNINGS: '1' },
        stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
        detached: true,
      },
    );
    keep(this.#child);
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.on('data', (data: Buffer) => {
        this.#output = (this.#output + data.toString()).slice(-OUTPUT_CHARACTERS_MAX);
      });
    this.#child.on('message', (told) => void this.#told(told as Told));
    this.#child.on('error', () => {}); // a message to one that was killed
    this.arm();
  }

  get output(): string {
    return this.#output;
  }
  get runs(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Tells the worker at which activities it has to stand still. */
  arm(): void {
    this.#send({ armed: this.settings.points.activities });
  }

  stop(): void {
    this.#stopped = true;
    this.#child.kill('SIGSTOP');
  }
  wake(): void {
    this.#stopped = false;
    this.#child.kill('SIGCONT');
  }
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }
  async end(): Promise<void> {
    if (this.#stopped) this.wake();
    await this.#end('SIGTERM');
  }

  async #end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    if (!this.runs) return;
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill(signal);
    const force = setTimeout(() => this.#child.kill('SIGKILL'), 15_000);
    await ended;
    clearTimeout(force);
  }

  async #told(told: Told): Promise<void> {
    this.#standing += 1;
    const failure = await this.settings.points.reached(told, this.number);
    this.#standing -= 1;
    if (told.waits) this.#send({ id: told.id, failure });
  }

  #send(message: object): void {
    if (this.runs && this.#child.connected) this.#child.send(message, () => {});
  }
}

/** Two workers on one task queue; one that was killed is replaced. */
export class Workers {
  #workers: Worker[] = [];
  #last = 0;
  /** what workers that are gone have printed last */
  #past: string[] = [];

  constructor(readonly settings: WorkerSettings) {
    for (let index = 0; index < 2; index += 1) this.#add();
  }

  get output(): string[] {
    return [...this.#past, ...this.#workers.map(({ output }) => output)];
  }
  forgetOutput(): void {
    this.#past = [];
  }

  arm(): void {
    for (const worker of this.#workers) worker.arm();
  }

  async kill(number: number): Promise<void> {
    const worker = this.#find(number);
    if (!worker) return;
    await worker.kill();
    this.#replace(worker);
  }
  /** Where no other worker is left that works, an operator starts one: those that were stopped may never wake up. */
  stop(number: number): void {
    this.#find(number)?.stop();
    if (this.#workers.every(({ stopped, runs }) => stopped || !runs)) this.#add();
  }
  wake(number: number): void {
    const worker = this.#find(number);
    if (worker?.stopped) worker.wake();
  }

  /** One that ended by itself is not missed for long, either: an operator would have it started again. */
  watch(): void {
    for (const worker of this.#workers.filter(({ runs }) => !runs)) this.#replace(worker);
  }

  async end(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.end()));
    this.#workers = [];
    await sleep(0);
  }

  #find(number: number): Worker | undefined {
    return this.#workers.find((worker) => worker.number === number);
  }
  #add(): void {
    this.#last += 1;
    this.#workers.push(new Worker(this.#last, this.settings));
  }
  #replace(worker: Worker): void {
    this.#past = [...this.#past, `worker ${worker.number}: ${worker.output.slice(-4_000)}`].slice(-6);
    this.#workers = this.#workers.filter((other) => other !== worker);
    this.#add();
  }
}
