import { type Fragment, id, join, raw, sql } from '../sql/text.js';
import type { Session } from './connection.js';
import { DEADLOCK, errorNumber, LOCK_WAIT_TIMEOUT } from './errors.js';

export interface LockRequest {
  name: string;
  alias?: string;
  mode: 'READ' | 'WRITE';
}

/** LOCK TABLES for every table and alias, each once, in one order for every session. */
export function lockTables(requests: LockRequest[]): Fragment {
  const unique = new Map<string, LockRequest>();
  for (const request of requests) {
    const key = `${request.name} ${request.alias ?? ''}`;
    if (unique.get(key)?.mode !== 'WRITE') unique.set(key, request);
  }
  const parts = [...unique.entries()]
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([, { name, alias, mode }]) => sql`${id(name)}${raw(alias ? ` AS ${alias}` : '')} ${raw(mode)}`);
  return sql`LOCK TABLES ${join(parts)}`;
}

/**
 * A worker that dies over a half-open connection keeps its locks until MySQL finds the session idle for too long. Under
 * the lock statement follows statement, so that a few seconds are enough; without it a session may wait between attempts.
 */
const LOCKED_WAIT_TIMEOUT_SECONDS = 3;
const UNLOCKED_WAIT_TIMEOUT_SECONDS = 600;

const waitTimeout = (seconds: number) => sql`SET SESSION wait_timeout = ${raw(String(seconds))}`;

const QUERY_INTERRUPTED = 1317;
const GAVE_WAY = new Set([QUERY_INTERRUPTED, LOCK_WAIT_TIMEOUT, DEADLOCK]);

/** How often the watchdog looks again at sessions that have had their time and wait for nobody; each look costs the server a millisecond. */
const LOOK_AGAIN_MS = 20;

/** What a session waits for: a table, in whatever schema, which a trigger may have named. */
export interface AwaitedTable {
  schema: string;
  name: string;
}

/**
 * Runs statements of sessions. A watchdog on a connection of its own takes back, after `afterMs`, the one that waits for
 * others. Only one that waits: with a hundred tables, opening them all takes longer than an attempt to lock may, and would
 * never be granted.
 *
 * @returns what the work returns, or that it gave way, and to what as far as that is to be seen
 */
async function unlessTheyWait<T>(
  sessions: Session[],
  watchdog: Session,
  afterMs: number,
  work: () => Promise<T>,
): Promise<{ result: T } | { awaited: AwaitedTable[] }> {
  let ended = false;
  let awaited: AwaitedTable[] = [];
  let looking: Promise<unknown> | undefined;
  const killed = new Set<Session>();
  const look = async () => {
    for (const session of sessions) {
      const waits = await waitsFor(watchdog, session.threadId);
      if (ended) return;
      if (!waits) continue;
      awaited = waits;
      killed.add(session);
      await watchdog.connection.query(`KILL QUERY ${session.threadId}`).catch(() => {});
    }
    // A kill may have come between two statements, and hit none: what waits next must not wait unwatched.
    if (!ended) timer = setTimeout(watch, LOOK_AGAIN_MS);
  };
  const watch = () => {
    looking = look();
  };
  let timer = setTimeout(watch, afterMs);
  try {
    return { result: await work() };
  } catch (error) {
    const number = errorNumber(error) ?? errorNumber((error as { cause?: unknown }).cause);
    if (number === undefined || !GAVE_WAY.has(number)) throw error;
    return { awaited };
  } finally {
    ended = true;
    clearTimeout(timer);
    await looking;
    // The kill may have come too late for what waited: let it hit a statement that does nothing.
    for (const session of killed) await session.connection.query('DO 0').catch(() => {});
  }
}

/** What a session waits for; undefined: for nobody. A session that cannot be seen is taken for one that waits. */
async function waitsFor(watchdog: Session, threadId: number): Promise<AwaitedTable[] | undefined> {
  const state = sql`SELECT t.processlist_state AS state, m.object_schema AS in_schema, m.object_name AS name FROM performance_schema.threads t LEFT JOIN performance_schema.metadata_locks m ON m.owner_thread_id = t.thread_id AND m.lock_status = 'PENDING' WHERE t.processlist_id = ${threadId}`;
  // where that may not be read, or is not kept; it holds up every session for a moment
  const stateAlone = sql`SELECT state AS state FROM information_schema.processlist WHERE id = ${threadId}`;
  interface Seen {
    state: string | null;
    in_schema?: string | null;
    name?: string | null;
  }
  let rows = await watchdog.rows<Seen>(state).catch((): Seen[] => []);
  if (rows.length === 0) rows = await watchdog.rows<Seen>(stateAlone).catch((): Seen[] => []);
  const [row] = rows;
  // for a lock, or for a flush of tables; not for a replica that is to have what was committed
  if (row && !/^Waiting (?!for semi-sync)/.test(row.state ?? '')) return undefined;
  return rows.flatMap(({ in_schema, name }) => (in_schema && name ? [{ schema: in_schema, name }] : []));
}

/** How long, and how often, a lock is asked for. */
export interface LockLimits {
  /** after these milliseconds a pending attempt, or a statement under the lock that waits for others, is taken back */
  attemptMs: number;
  attemptsMax: number;
  /** attempts that were made before, of another call: the pauses go on growing */
  attemptsBefore?: number;
  /** milliseconds since 1970 after which no other attempt begins; there is at least one */
  untilMs?: number;
}

/** What work under the lock returns when the lock is to be given back, and asked for again. */
export const GIVE_BACK = Symbol('the lock is given back');

/** What is done around and under a lock. */
export interface LockedWork<T> {
  /** before each attempt: told its number, and what the last one had to wait for; where it says `false` the lock is not asked for */
  before?: (attempt: number, awaited: AwaitedTable[]) => Promise<undefined | false>;
  /** under the lock; it gives way where a statement of it waits for others, as DDL does for LOCK INSTANCE FOR BACKUP */
  locked: () => Promise<T | typeof GIVE_BACK>;
  /** sessions that work under the lock, too, and must no more wait for others */
  beside?: Session[];
}

export type Locked<T> = {
  attempts: number;
  /** the longest attempt that was pending, in milliseconds */
  queuedMs: number;
} & (
  | { granted: true /** from the lock to its end, in milliseconds */; heldMs: number; result: T }
  | { granted: false; awaited: AwaitedTable[] }
);

/**
 * Locks tables in short attempts, with a growing pause between them, until the work under the lock is done. Nobody queues behind an
 * attempt for longer than `attemptMs`, nor behind a statement under the lock that waits for somebody else.
 * What that statement's transaction wrote is rolled back, and the locks are given back, whatever comes.
 */
export async function lockWithBackOff<T>(
  session: Session,
  watchdog: Session,
  requests: LockRequest[],
  limits: LockLimits,
  { before, locked, beside = [] }: LockedWork<T>,
): Promise<Locked<T>> {
  let queuedMs = 0;
  let awaited: AwaitedTable[] = [];
  let attempts = limits.attemptsBefore ?? 0;
  do {
    attempts += 1;
    if ((await before?.(attempts, awaited)) !== false) {
      await session.run(waitTimeout(LOCKED_WAIT_TIMEOUT_SECONDS));
      const asked = performance.now();
      const lock = () => session.run(lockTables(requests));
      const pending = await unlessTheyWait([session], watchdog, limits.attemptMs, lock);
      queuedMs = Math.max(queuedMs, performance.now() - asked);
      if ('result' in pending) {
        const held = await hold(session, () =>
          unlessTheyWait([session, ...beside], watchdog, limits.attemptMs, locked),
        );
        if ('result' in held) return { granted: true, attempts, queuedMs, ...held };
        awaited = held.awaited;
      } else {
        awaited = pending.awaited;
        await session.run(waitTimeout(UNLOCKED_WAIT_TIMEOUT_SECONDS));
      }
    }
    const pauseMs = Math.min(1_000, 20 * 2 ** Math.min(attempts, 6)) * (0.5 + Math.random() / 2);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  } while (attempts < limits.attemptsMax && Date.now() < (limits.untilMs ?? Number.POSITIVE_INFINITY));
  return { granted: false, attempts, queuedMs, awaited };
}

/** Does work under locks that were granted, and gives them back; what it left uncommitted is rolled back unless it is done. */
async function hold<T>(
  session: Session,
  work: () => Promise<{ result: T | typeof GIVE_BACK } | { awaited: AwaitedTable[] }>,
): Promise<{ result: T; heldMs: number } | { awaited: AwaitedTable[] }> {
  const granted = performance.now();
  let isDone = false;
  try {
    const done = await work();
    if (!('result' in done)) return done;
    if (done.result === GIVE_BACK) return { awaited: [] };
    await session.run(sql`UNLOCK TABLES`);
    isDone = true;
    return { result: done.result, heldMs: performance.now() - granted };
  } finally {
    if (!isDone) {
      await session.connection.query('ROLLBACK').catch(() => {});
      await session.connection.query('UNLOCK TABLES').catch(() => {});
    }
    await session.run(waitTimeout(UNLOCKED_WAIT_TIMEOUT_SECONDS)).catch(() => {});
  }
}
