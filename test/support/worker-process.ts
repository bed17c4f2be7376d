import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';

/** The built command line, as a user runs it. */
export const CLI = join(import.meta.dirname, '..', '..', 'dist', 'src', 'cli', 'main.js');

const spawn = (file: string, env: Record<string, string>, rest: string[]) =>
  execa('node', [CLI, 'worker', '--config', file, ...rest], {
    env,
    all: true,
    reject: false,
    forceKillAfterDelay: STOP_MS_MAX,
  });

/** stop_grace_period of docker-compose.yml */
const STOP_MS_MAX = 30_000;
const OUTPUT_CHARACTERS_MAX = 1_000_000;

/** A worker in a process of its own, which a test may kill like a machine that fails. */
export class WorkerProcess {
  readonly #process: ReturnType<typeof spawn>;
  #output = '';

  constructor(file: string, env: Record<string, string>, rest: string[] = []) {
    this.#process = spawn(file, env, rest);
    this.#process.all.on('data', (data: Buffer) => {
      this.#output = (this.#output + data.toString()).slice(-OUTPUT_CHARACTERS_MAX);
    });
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** The end of what it printed. */
  get output(): string {
    return this.#output;
  }

  /** kill -9: nothing is finished, nothing is said, its connections are closed by the kernel. */
  async kill(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#process;
  }

  /** Stops it in whatever it does, as a machine that hangs: its connections stay open. Ends when the kernel has stopped it. */
  async freeze(): Promise<void> {
    this.#process.kill('SIGSTOP');
    const stat = `/proc/${this.pid}/stat`;
    while (existsSync(stat) && !/\) T /.test(readFileSync(stat, 'utf8'))) await sleep(1);
  }
  /** It goes on where it was. */
  thaw(): void {
    this.#process.kill('SIGCONT');
  }

  /** Lets running steps finish, with the patience that docker compose has. @returns the exit code; undefined: it was killed */
  async stop(): Promise<number | undefined> {
    this.thaw();
    this.#process.kill('SIGTERM');
    return (await this.#process).exitCode;
  }
}
