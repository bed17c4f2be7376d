import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { control } from '../model/names.js';
import { id, list, raw, sql } from '../sql/text.js';
import type { Session } from './connection.js';
import { errorNumber } from './errors.js';

/** So long InnoDB keeps its list of transactions after somebody has looked at it, in milliseconds, and a little more. */
export const LIST_KEPT_MS = 110;
const LOOK_AGAIN_MS = 2;

/** The session of a prepared transaction that nobody is connected to; whoever ends it cannot read in it. */
const PREPARED = 0;

/** Of a row of InnoDB's list: may it read as of a moment that is past? */
export const REPEATS_ITS_READS = raw("trx_isolation_level IN ('REPEATABLE READ', 'SERIALIZABLE')");

/** Sessions whose transactions repeat their reads, and so may see a state from before this session's last commit. */
export interface OlderSnapshots {
  sessions: number[];
  /** false: InnoDB's list is not known to be of now, or nobody may see it, so that there may be others */
  isWhole: boolean;
}

/**
 * Which transactions may see a state from before this session's last commit: only one that repeats its reads can. InnoDB refreshes its list only if nobody has looked at it for 100 ms, a monitor for instance: it is fresh where this very
 * statement is in it, by a word of its own.
 */
export async function olderSnapshots(session: Session): Promise<OlderSnapshots> {
  await begin(session);
  const word = randomUUID();
  const listed = await session
    .rows<{ session_id: string; isOther: string }>(
      sql`SELECT trx_mysql_thread_id AS session_id, trx_mysql_thread_id <> CONNECTION_ID() AS isOther FROM information_schema.innodb_trx WHERE ${REPEATS_ITS_READS} AND trx_mysql_thread_id <> CONNECTION_ID() OR trx_mysql_thread_id = CONNECTION_ID() AND trx_query LIKE ${`%${word}%`}`,
    )
    .catch(() => []);
  const others = listed.filter(({ isOther }) => Number(isOther) === 1);
  return {
    sessions: others.map(({ session_id }) => Number(session_id)),
    isWhole: listed.length > others.length,
  };
}

/** Where it cannot be seen, the answer is yes: the barrier costs milliseconds, an old value read without an error is wrong. */
export const mayLive = ({ sessions, isWhole }: OlderSnapshots): boolean => !isWhole || sessions.length > 0;

/**
 * Waits until these transactions have ended; those that begin meanwhile do not count. The performance schema tells it, whose list
 * is of now.
 *
 * @param watchdog a session that holds no tables: under LOCK TABLES the performance schema's cannot be read (1100)
 * @param withinMs milliseconds
 * @returns false where one lives on, waits for a table, or cannot be seen
 */
export async function olderSnapshotsEnd(
  watchdog: Session,
  { sessions, isWhole }: OlderSnapshots,
  withinMs: number,
): Promise<boolean> {
  if (!isWhole) return false;
  const connected = sessions.filter((one) => one !== PREPARED);
  if (connected.length === 0) return true;
  const until = performance.now() + withinMs;
  await watchdog.connection.query('START TRANSACTION');
  try {
    await begin(watchdog);
    const first = await openTransactions(watchdog, connected);
    // One that is not seen has ended its session since then, or is not kept there: then nobody knows.
    if (first?.seen !== connected.length) return false;
    let older = first.open;
    while (older.length > 0 && !older.some(({ waits }) => waits) && performance.now() < until) {
      await sleep(LOOK_AGAIN_MS);
      const now = await openTransactions(watchdog, connected);
      if (!now) return false;
      older = older.flatMap(({ event }) => now.open.find((one) => one.event === event) ?? []);
    }
    return older.length === 0;
  } finally {
    await watchdog.connection.query('COMMIT');
  }
}

/** Only who has begun is in the lists. */
const begin = (session: Session) => session.rows(sql`SELECT 1 AS begun FROM ${id(control.pipeline)} LIMIT 1`);

interface OpenTransaction {
  /** tells it from the session's next one */
  event: string;
  /** for a table that somebody has locked */
  waits: boolean;
}

/** @returns undefined where the performance schema may not be read, or does not count one of these sessions' transactions */
async function openTransactions(
  watchdog: Session,
  sessions: number[],
): Promise<{ seen: number; open: OpenTransaction[] } | undefined> {
  const ids = list(sessions);
  const rows = await watchdog
    .rows<{ isOurs: string; isCounted: string; event: string | null; waits: string }>(
      sql`SELECT t.processlist_id = CONNECTION_ID() AS isOurs, t.instrumented = 'YES' AS isCounted, CONCAT(e.thread_id, ' ', e.event_id) AS event, EXISTS (SELECT 1 FROM performance_schema.metadata_locks m WHERE m.owner_thread_id = t.thread_id AND m.lock_status = 'PENDING') AS waits FROM performance_schema.threads t LEFT JOIN performance_schema.events_transactions_current e ON e.thread_id = t.thread_id AND e.state = 'ACTIVE' WHERE t.processlist_id IN (CONNECTION_ID(), ${ids})`,
    )
    .catch((error: unknown) => {
      if (SELECT_DENIED.has(errorNumber(error) ?? 0)) return [];
      throw error;
    });
  const is = (one: string) => Number(one) === 1;
  // this session's transaction is open, too: it must be among them
  if (!rows.some(({ isOurs, event }) => is(isOurs) && event !== null)) return undefined;
  if (!rows.every(({ isCounted }) => is(isCounted))) return undefined;
  const others = rows.filter(({ isOurs }) => !is(isOurs));
  return {
    seen: others.length,
    open: others.flatMap(({ event, waits }) => (event === null ? [] : [{ event, waits: is(waits) }])),
  };
}

/** No right on a table, or on a schema. */
const SELECT_DENIED = new Set([1142, 1044]);
