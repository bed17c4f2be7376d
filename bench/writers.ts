import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

export interface WritersSetup {
  url: string;
  writers: number;
  /** between two edits of a writer, on average */
  thinkMs: number;
  tables: { name: string; key: string; rows: number }[];
}
export type Order =
  | { kind: 'start'; setup: WritersSetup }
  | { kind: 'pause' }
  | { kind: 'resume' }
  | { kind: 'within'; from: number; to: number }
  | { kind: 'stop' };

/** Statements of the writers in a window of time. */
export interface Statements {
  count: number;
  p50Ms: number;
  /** the longest */
  maxMs: number;
  /** deadlocks since the start: MySQL lets the swap win, and a client repeats its transaction */
  failures: number;
}

/** Milliseconds of the clock that this process and the writers share. */
export const sharedNow = () => Number(process.hrtime.bigint()) / 1e6;

/** Clients that write all the time, in a process of their own. */
export class Writers {
  readonly #child: ChildProcess;
  /** of the one question that is open */
  #answer: { resolve: (answer: unknown) => void; reject: (error: Error) => void } | undefined;

  private constructor() {
    this.#child = fork(fileURLToPath(new URL('./writers-main.ts', import.meta.url)), {
      execArgv: ['--import', 'tsx'],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#child.on('message', (answer) => this.#answer?.resolve(answer));
    this.#child.once('exit', () => this.#answer?.reject(new Error('the writers have ended')));
  }

  /** Starts them; they write from `resume` on. */
  static async start(setup: WritersSetup): Promise<Writers> {
    const writers = new Writers();
    await writers.#ask({ kind: 'start', setup });
    return writers;
  }

  async pause(): Promise<void> {
    await this.#ask({ kind: 'pause' });
  }
  async resume(): Promise<void> {
    await this.#ask({ kind: 'resume' });
  }
  async within(from: number, to: number): Promise<Statements> {
    return (await this.#ask({ kind: 'within', from, to })) as Statements;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.send({ kind: 'stop' } satisfies Order);
    await ended;
  }

  #ask(order: Order): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#child.exitCode !== null) return reject(new Error('the writers have ended'));
      this.#answer = { resolve, reject };
      this.#child.send(order);
    });
  }
}
