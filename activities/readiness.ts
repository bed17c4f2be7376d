import { setTimeout as sleep } from 'node:timers/promises';
import type { Tried } from '../src/model/cut-over.js';
import type { RunSpec, TableSpec } from '../src/model/spec.js';
import { isHeldForBackup } from '../src/mysql/blockers.js';
import type { Session } from '../src/mysql/connection.js';
import { errorNumber, LOCK_WAIT_TIMEOUT } from '../src/mysql/errors.js';
import { GIVE_BACK } from '../src/mysql/lock.js';
import {
  LIST_KEPT_MS,
  type OlderSnapshots,
  olderSnapshots,
  olderSnapshotsEnd,
} from '../src/mysql/snapshots.js';
import { join, sql } from '../src/sql/text.js';
import { dropLeftBarriers, raiseInstantly, rebuild } from './barrier.js';
import { pendingEdits, replayRounds } from './replay.js';

/** So few edits are drained under the lock that it is held hardly longer than the RENAME takes. */
const DRAIN_EDITS_MAX = 10;
/**
 * More than so many, which came while an attempt was pending, are replayed outside of it: the lock is given back first. Fifty clients
 * that write without a pause make some 300 in that time, which were merged in 45 ms (bench).
 */
export const UNDER_LOCK_EDITS_MAX = 400;
const TAIL_MS_MAX = 5_000;
/** Before the lock, so long is waited for transactions to end, before a table is rebuilt for them. */
const SNAPSHOTS_END_MS_MAX = 1_000;

/** MySQL keeps 64 instant changes of a table, two a barrier; the last ones are left for barriers under the lock. */
const BARRIERS_BEFORE_LOCK_MAX = 8;
const BARRIERS_MAX = 24;

/** Why a lock that was granted was given back. */
export type GivenBack = 'tooManyEdits' | 'oldSnapshots';

/** What calls of the cut-over hand on of it. */
type ReadinessState = Pick<Tried, 'barriers' | 'isStale'>;

/**
 * What must be so before each attempt to lock: the tail of the log is short, no reader has a snapshot older than what stage says, and
 * nobody is seen who would keep the lock, or DDL under it, waiting.
 */
export class Readiness {
  /** edits replayed before the lock */
  replayed = 0;
  /** of the last attempt, if its lock was given back */
  givenBack: GivenBack | undefined;
  isStale: boolean;
  #barriers: number;
  /** tables that could not be changed instantly under the lock */
  #slow: TableSpec[] = [];
  /** a barrier was begun, and not seen to its end: its column must not become live's */
  #isHalf = false;

  constructor(
    readonly session: Session,
    readonly watchdog: Session,
    readonly spec: RunSpec,
    state: ReadinessState,
  ) {
    this.isStale = state.isStale;
    this.#barriers = state.barriers;
  }

  get state(): ReadinessState {
    return { barriers: this.#barriers, isStale: this.isStale };
  }

  giveBack(why: GivenBack): typeof GIVE_BACK {
    this.givenBack = why;
    return GIVE_BACK;
  }

  /** @returns false where the lock would be of no use: DDL under it would wait */
  async prepare(): Promise<undefined | false> {
    this.givenBack = undefined;
    if (await isHeldForBackup(this.watchdog)) return false;
    await this.#waitForOpenTransactions();
    try {
      if (this.#isHalf) await this.#takeBackHalf();
      await this.#shortenTail();
      if (!this.isStale || !(await this.#raise())) return undefined;
      await this.#waitForOpenTransactions();
      if ((await pendingEdits(this.session, this.spec)) > DRAIN_EDITS_MAX) await this.#shortenTail();
      return undefined;
    } catch (error) {
      if (errorNumber(error) !== LOCK_WAIT_TIMEOUT) throw error;
      await this.session.run(sql`ROLLBACK`);
      this.isStale = true; // rounds of the replay before that one are committed
      return false;
    }
  }

  /**
   * @returns false where the lock is of no use: a table would have to be rebuilt, with live locked, and transactions older than the
   *   drain do not end within the time of an attempt; or the barrier's column is still there, and must not become live's
   */
  async raiseUnderLock(older: OlderSnapshots): Promise<boolean> {
    if (this.#barriers >= BARRIERS_MAX) this.#slow = this.spec.tables;
    else await this.#raiseInstantly();
    if (this.#slow.length === 0) return true;
    if (this.#isHalf) return false;
    return olderSnapshotsEnd(this.watchdog, older, this.spec.cutOver.lockAttemptMsMax);
  }

  async #raiseInstantly(): Promise<void> {
    this.#barriers += 1;
    this.#isHalf = true;
    const { slow, isLeft } = await raiseInstantly(this.session, this.spec);
    this.#slow = slow;
    this.#isHalf = isLeft;
  }

  async #takeBackHalf(): Promise<void> {
    await dropLeftBarriers(this.session, this.spec);
    this.#isHalf = false;
  }

  async #shortenTail(): Promise<void> {
    const limits = { pendingMax: DRAIN_EDITS_MAX, workMsMax: TAIL_MS_MAX };
    const { replayed } = await replayRounds(this.session, this.spec, limits);
    this.replayed += replayed;
    if (replayed > 0) this.isStale = true;
  }

  /**
   * The barrier: a reader whose snapshot is older than that replay's commit would read an edit's old value. Where edits come
   * too quickly, or barriers are used up, it is left to the lock; what cannot be instant is not.
   */
  async #raise(): Promise<boolean> {
    if (this.#barriers >= BARRIERS_BEFORE_LOCK_MAX && this.#slow.length === 0) return false;
    const usedUp = this.#barriers >= BARRIERS_MAX;
    if (usedUp) this.#slow = this.spec.tables;
    else await this.#raiseInstantly();
    if (this.#isHalf) await this.#takeBackHalf();
    if (this.#slow.length > 0) {
      await sleep(LIST_KEPT_MS); // whoever looked last, the list is of now
      if (
        !(await olderSnapshotsEnd(this.watchdog, await olderSnapshots(this.session), SNAPSHOTS_END_MS_MAX))
      ) {
        await rebuild(this.session, this.#slow, this.spec);
        if (usedUp) this.#barriers = 0;
      }
      await sleep(LIST_KEPT_MS);
    }
    this.#slow = [];
    this.isStale = false;
    return true;
  }

  /** Asks for the lock only when no open transaction holds a table of the group; gives up waiting after a second, the watchdog bounds the rest. */
  async #waitForOpenTransactions(): Promise<void> {
    const until = Date.now() + 1_000;
    const names = join(this.spec.tables.map((table) => sql`${table.live}`));
    while (Date.now() < until) {
      const held = await this.watchdog
        .rows(
          sql`SELECT 1 AS held FROM performance_schema.metadata_locks WHERE object_type = 'TABLE' AND object_schema = DATABASE() AND object_name IN (${names}) AND lock_duration = 'TRANSACTION' AND lock_status = 'GRANTED' LIMIT 1`,
        )
        .catch(() => []); // without the privilege the watchdog alone protects; check says so
      if (held.length === 0) return;
      await sleep(10);
    }
  }
}
