import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const STARTS_MAX = 5;
const PORT_TAKEN = /address already in use/i;

/** A child process that we started and that we end. It leads a process group of its own, so that Ctrl-C is ours alone to handle. */
export class Engine {
  #child: ChildProcess | undefined;
  #output = '';

  /** @param folder of its temporary data: removed by the keeper if we cannot do it ourselves */
  constructor(
    readonly name: string,
    readonly command: string[],
    readonly folder?: string,
  ) {}

  get output(): string {
    return this.#output;
  }

  /** undefined before it was spawned */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get running(): boolean {
    const child = this.#child;
    return child?.pid !== undefined && child.exitCode === null && child.signalCode === null;
  }

  spawn(): void {
    if (this.running) throw new Error(`${this.name} runs already`);
    const [program, ...rest] = this.command;
    if (!program) throw new Error(`no command for ${this.name}`);
    this.#output = '';
    const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    const remember = (data: Buffer) => {
      this.#output = (this.#output + data.toString()).slice(-20_000);
    };
    child.stdout.on('data', remember);
    child.stderr.on('data', remember);
    child.on('error', (error) => remember(Buffer.from(String(error))));
    this.#child = child;
    keep(child, this.folder);
  }

  /** Waits until `ready` answers. @throws {Error} the process ended, or the time is over; with the end of its output */
  async until(ready: () => Promise<boolean>, timeoutMs = 60_000): Promise<void> {
    const end = Date.now() + timeoutMs;
    let last = '';
    while (Date.now() < end) {
      if (!this.running) {
        throw new Error(`${this.name} ended while it started:\n${this.#output.slice(-2_000)}`);
      }
      try {
        if (await ready()) return;
      } catch (error) {
        last = (error as Error).message;
      }
      await sleep(100);
    }
    throw new Error(
      `${this.name} did not answer within ${timeoutMs / 1000} s: ${last}\n${this.#output.slice(-2_000)}`,
    );
  }

  /**
   * Spawns the process and waits until `ready` answers. A port that was free when it was chosen may be taken when the
   * process listens, and Temporal chooses more of them by itself at every start: then it is started again.
   *
   * @throws {Error} as `until`
   */
  async start(ready: () => Promise<boolean>): Promise<void> {
    for (let start = 1; ; start += 1) {
      this.spawn();
      try {
        return await this.until(ready);
      } catch (error) {
        if (this.running || start >= STARTS_MAX || !PORT_TAKEN.test(this.#output)) throw error;
        await sleep(500);
      }
    }
  }

  /** SIGTERM, and SIGKILL after a while, or SIGKILL at once; returns when the process has ended. May be called again. */
  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    const child = this.#child;
    if (!child || !this.running) return;
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    this.#signal(signal);
    const force = setTimeout(() => this.#signal('SIGKILL'), 20_000);
    await ended;
    clearTimeout(force);
  }

  #signal(signal: 'SIGTERM' | 'SIGKILL'): void {
    const pid = this.#child?.pid;
    if (pid === undefined || !this.running) return;
    try {
      process.kill(-pid, signal);
    } catch (error) {
      if ((error as { code?: string }).code !== 'ESRCH') throw error;
    }
  }
}

let keeper: ChildProcess | undefined;

/** Leaves a process that leads its own group to the keeper, with its temporary folder, until it has ended. */
export function keep(child: ChildProcess, folder?: string): void {
  const { pid } = child;
  if (pid === undefined) return;
  tellKeeper({ add: pid, folder });
  child.once('exit', () => tellKeeper({ remove: pid }));
}

/** Starts the keeper with the first process. It outlives us by a moment: its input closes when we end, however we end. */
function tellKeeper(message: { add: number; folder: string | undefined } | { remove: number }): void {
  if (!keeper) {
    keeper = spawn(process.execPath, [fileURLToPath(new URL('./keeper.mjs', import.meta.url))], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    });
    keeper.unref();
    keeper.stdin?.on('error', () => {}); // a keeper that was killed must not take us along
    (keeper.stdin as Socket | null)?.unref();
  }
  keeper.stdin?.write(`${JSON.stringify(message)}\n`);
}

/** A port of the loopback interface that nobody uses now. */
export async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() =>
        address && typeof address === 'object' ? resolve(address.port) : reject(new Error('no port')),
      );
    });
  });
}
