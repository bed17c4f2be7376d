import { setTimeout as sleep } from 'node:timers/promises';
import mysql, { type Connection } from 'mysql2/promise';
import type { FailPoints } from './fail-points.js';
import { type ClientMind, type Operation, textsOf } from './operations.js';
import type { Shape } from './shape.js';

/** What a client knows of one of its statements. */
export interface Outcome {
  operation: Operation;
  /** done: its commit was acknowledged; failed: by an error, or rolled back; unknown: the connection was lost */
  outcome: 'done' | 'failed' | 'unknown';
  /** MySQL's error number, where that is why it failed */
  error?: number;
  /** rows that MySQL says it changed; 0 leaves no trace */
  changed: number;
}

/** Keys and parents that are missing or there already, and what an application repeats: deadlocks, lock waits, exchanged tables. */
const EXPECTED = new Set([1062, 1451, 1452, 1205, 1213, 1412]);
/** MySQL ends, or has ended, or ended the statement. */
const GONE = new Set([1053, 1077, 1079, 1317, 1927, 3169]);
/** Clients go on as the run does, so that a slow machine has not more of them; and slowly where it stands still. */
const PACE_POINTS = 50;
const PACE_MS_MAX = 400;
/** where somebody waits for their commits */
const HURRY_MS = 10;

/**
 * Clients that edit live by plain SQL and know nothing of runs. Each connection remembers of every statement whether it
 * was acknowledged, refused, or is unknown.
 */
export class Clients {
  readonly outcomes = new Map<number, Outcome>();
  /** errors that no application should see */
  readonly surprises: string[] = [];
  /** how often an application had to repeat a transaction, by error number */
  readonly repeated = new Map<number, number>();
  commits = 0;
  /** the longest transactions, with the time at which they ended */
  readonly stalls: { ms: number; at: number }[] = [];
  #running: Promise<void>[] = [];
  #stopping = false;
  #lastNumber = 0;
  #waiters: { until: number; go: () => void }[] = [];
  /** ends the rest of clients that have nothing to do */
  readonly #resting: (() => void)[] = [];
  readonly #minds: ClientMind[];

  constructor(
    readonly url: string,
    readonly shape: Shape,
    readonly points: FailPoints,
    minds: ClientMind[],
  ) {
    this.#minds = minds;
  }

  start(): void {
    this.#stopping = false;
    this.#running = this.#minds.map((mind) => this.#work(mind));
  }
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#running);
    this.#running = [];
    for (const { go } of this.#waiters.splice(0)) go();
  }

  /** Resolves when so many more commits were acknowledged, or after a while in which clients have to wait themselves. */
  async until(commits: number): Promise<void> {
    if (commits === 0 || this.#running.length === 0) return;
    const waiter = { until: this.commits + commits, go: () => {} };
    const passed = new Promise<void>((go) => {
      waiter.go = go;
    });
    this.#waiters.push(waiter);
    for (const go of this.#resting.splice(0)) go();
    await Promise.race([passed, sleep(1_500)]);
    this.#waiters = this.#waiters.filter((other) => other !== waiter);
  }

  async #pace(points: number): Promise<void> {
    if (this.#waiters.length > 0) await sleep(HURRY_MS);
    else
      await Promise.race([
        this.points.pace(points, PACE_MS_MAX),
        new Promise<void>((go) => this.#resting.push(go)),
      ]);
  }

  /** Does one thing, on a connection of its own. @returns whether it was acknowledged */
  async perform(operation: Operation): Promise<boolean> {
    this.#lastNumber += 1;
    const number = this.#lastNumber;
    const outcome: Outcome = { operation, outcome: 'unknown', changed: 0 };
    this.outcomes.set(number, outcome);
    const connection = await this.#connect();
    try {
      await this.#send(connection, number, outcome);
      if (outcome.outcome === 'unknown') outcome.outcome = 'done';
    } catch {
      // the connection was lost: it stays unknown
    }
    connection.destroy();
    return outcome.outcome === 'done';
  }

  async #work(mind: ClientMind): Promise<void> {
    let connection: Connection | undefined;
    while (!this.#stopping) {
      try {
        connection ??= await this.#connect();
        await this.#transact(connection, mind);
      } catch (error) {
        const number = (error as { errno?: number }).errno ?? 0;
        if (number > 1000 && !GONE.has(number)) this.surprises.push((error as Error).message);
        connection?.destroy();
        connection = undefined;
        await sleep(50);
      }
      await this.#pace(5 + mind.random.below(PACE_POINTS));
    }
    await connection?.end().catch(() => {});
  }

  async #connect(): Promise<Connection> {
    const connection = await mysql.createConnection({ uri: this.url, charset: 'utf8mb4' });
    connection.on('error', () => {}); // the next statement reports it
    return connection;
  }

  async #transact(connection: Connection, mind: ClientMind): Promise<void> {
    const { operations, end } = mind.transaction();
    const outcomes = operations.map((operation): [number, Outcome] => {
      this.#lastNumber += 1;
      return [this.#lastNumber, { operation, outcome: 'unknown', changed: 0 }];
    });
    for (const [number, outcome] of outcomes) this.outcomes.set(number, outcome);
    const began = performance.now();
    let heldMs = 0;
    if (end !== 'autocommit') await connection.query('START TRANSACTION');
    let rolledBack = end === 'rollback';
    let isOver = false;
    for (const [number, outcome] of outcomes) {
      // MySQL has rolled it back: what came now would be committed by itself
      if (isOver) {
        outcome.outcome = 'failed';
        continue;
      }
      isOver = (await this.#send(connection, number, outcome)) === 'transaction';
      rolledBack ||= isOver;
    }
    if (end === 'late') {
      const holds = performance.now();
      await this.points.pace(5 + mind.random.below(120), 2_000);
      heldMs = performance.now() - holds;
    }
    if (end !== 'autocommit') await connection.query(rolledBack ? 'ROLLBACK' : 'COMMIT');
    for (const [, outcome] of outcomes)
      if (outcome.outcome === 'unknown') outcome.outcome = rolledBack ? 'failed' : 'done';
    this.#passed(performance.now() - began - heldMs);
  }

  /** @returns what an error took with it: the statement alone, or its transaction */
  async #send(
    connection: Connection,
    number: number,
    outcome: Outcome,
  ): Promise<'transaction' | 'statement' | undefined> {
    try {
      const { kind } = outcome.operation;
      let result: unknown;
      for (const text of textsOf(this.shape, number, outcome.operation))
        [result] = await connection.query(text);
      const { affectedRows, changedRows } = result as { affectedRows: number; changedRows?: number };
      outcome.changed =
        kind === 'update' || kind === 'rekey' ? (changedRows ?? 0) : kind === 'touch' ? 0 : affectedRows;
      return undefined;
    } catch (error) {
      const errno = (error as { errno?: number }).errno ?? 0;
      if (!EXPECTED.has(errno)) throw error;
      outcome.outcome = 'failed';
      outcome.error = errno;
      if (errno === 1213 || errno === 1205 || errno === 1412)
        this.repeated.set(errno, (this.repeated.get(errno) ?? 0) + 1);
      return errno === 1213 || errno === 1205 ? 'transaction' : 'statement';
    }
  }

  #passed(ms: number): void {
    this.commits += 1;
    if (ms > 500) this.stalls.push({ ms, at: performance.now() });
    for (const { go } of this.#waiters.filter(({ until }) => until <= this.commits)) go();
  }
}
