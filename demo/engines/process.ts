import { type ChildProcess, spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** A child process that we started and that we end. */
export class Engine {
  #child: ChildProcess | undefined;
  #output = '';
  constructor(
    readonly name: string,
    readonly command: string[],
    readonly environment: Record<string, string> = {},
  ) {}

  get output(): string {
    return this.#output;
  }
  get running(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  spawn(): void {
    const [program, ...rest] = this.command;
    if (!program) throw new Error(`no command for ${this.name}`);
    const child = spawn(program, rest, {
      env: { ...process.env, ...this.environment },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    const keep = (data: Buffer) => {
      this.#output = (this.#output + data.toString()).slice(-20_000);
    };
    child.stdout?.on('data', keep);
    child.stderr?.on('data', keep);
    child.on('error', (error) => keep(Buffer.from(String(error))));
    this.#child = child;
    started.add(this);
  }

  /** Waits until `ready` answers. @throws {Error} the process ended, or the time is over; with the end of its output */
  async until(ready: () => Promise<boolean>, timeoutMs = 60_000): Promise<void> {
    const end = Date.now() + timeoutMs;
    while (Date.now() < end) {
      if (!this.running)
        throw new Error(`${this.name} ended while it started:\n${this.#output.slice(-2_000)}`);
      if (await ready().catch(() => false)) return;
      await sleep(100);
    }
    throw new Error(
      `${this.name} did not answer within ${timeoutMs / 1000} s:\n${this.#output.slice(-2_000)}`,
    );
  }

  /** SIGTERM, and SIGKILL after a while, or SIGKILL at once; returns when the process has ended. */
  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    const child = this.#child;
    started.delete(this);
    if (!child || !this.running) return;
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill(signal);
    const force = setTimeout(() => child.kill('SIGKILL'), 20_000);
    await ended;
    clearTimeout(force);
  }
  killNow(): void {
    this.#child?.kill('SIGKILL');
  }
}

const started = new Set<Engine>();
process.on('exit', () => {
  for (const engine of started) engine.killNow();
});

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
