import { type Fragment, id, join, raw, sql } from '../sql/text.js';
import { errorNumber, type Session } from './connection.js';

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

/** Gives the locks back. */
export async function unlock(session: Session): Promise<void> {
  await session.run(sql`UNLOCK TABLES`);
  await session.run(waitTimeout(UNLOCKED_WAIT_TIMEOUT_SECONDS));
}

const QUERY_INTERRUPTED = 1317;
const LOCK_WAIT_TIMEOUT = 1205;
const DEADLOCK = 1213;

/** How often the watchdog looks again at a statement that has had its time and waits for nobody. */
const LOOK_AGAIN_MS = 5;

/**
 * Tries once to get the locks. A watchdog on a second connection takes our pending statement back after `attemptMs`,
 * so that nobody queues behind it for longer (TRAPS "the swap"). It takes back only a statement that waits for others: with
 * a hundred tables, opening them all takes longer than an attempt may, and would never be granted.
 *
 * @returns granted or not, and the milliseconds for which the attempt was pending
 */
export async function tryLock(
  session: Session,
  watchdog: Session,
  requests: LockRequest[],
  attemptMs: number,
): Promise<{ granted: boolean; pendingMs: number }> {
  await session.run(waitTimeout(LOCKED_WAIT_TIMEOUT_SECONDS));
  const began = performance.now();
  let ended = false;
  let kill: Promise<unknown> | undefined;
  const look = async () => {
    if (await waitsForOthers(watchdog, session.threadId)) {
      if (!ended) await watchdog.connection.query(`KILL QUERY ${session.threadId}`).catch(() => {});
    } else if (!ended) {
      timer = setTimeout(watch, LOOK_AGAIN_MS);
    }
  };
  const watch = () => {
    kill = look();
  };
  let timer = setTimeout(watch, attemptMs);
  let granted = false;
  try {
    await session.run(lockTables(requests));
    granted = true;
  } catch (error) {
    const number = errorNumber(error);
    if (number !== QUERY_INTERRUPTED && number !== LOCK_WAIT_TIMEOUT && number !== DEADLOCK) throw error;
  } finally {
    ended = true;
    clearTimeout(timer);
  }
  const pendingMs = performance.now() - began;
  if (kill) {
    // The kill may have come too late for the LOCK: let it hit a statement that does nothing, not the drain.
    await kill;
    await session.connection.query('DO 0').catch(() => {});
  }
  if (!granted) await session.run(waitTimeout(UNLOCKED_WAIT_TIMEOUT_SECONDS));
  return { granted, pendingMs };
}

/** Whether a session waits for a lock; a session that cannot be seen is taken for one that waits. */
async function waitsForOthers(watchdog: Session, threadId: number): Promise<boolean> {
  const rows = await watchdog
    .rows<{ state: string | null }>(
      sql`SELECT state AS state FROM information_schema.processlist WHERE id = ${threadId}`,
    )
    .catch(() => []);
  const state = rows[0]?.state;
  return state === undefined || state === null || state.startsWith('Waiting');
}

/** How long, and how often, a lock is asked for. */
export interface LockLimits {
  /** after these milliseconds a pending attempt is taken back */
  attemptMs: number;
  attemptsMax: number;
  /** attempts that were made before, of another call: the pauses go on growing */
  attemptsBefore?: number;
  /** milliseconds since 1970 after which no other attempt begins; there is at least one */
  untilMs?: number;
  /** asked under the lock; where it says no the locks are given back, and the attempt is one that was not granted */
  accept?: () => Promise<boolean>;
}

/**
 * Tries until the locks are granted, with a growing pause between attempts.
 *
 * @param between what is done before each attempt; it is told the attempt's number
 */
export async function lockWithBackOff(
  session: Session,
  watchdog: Session,
  requests: LockRequest[],
  limits: LockLimits,
  between: (attempt: number) => void | Promise<void>,
): Promise<{ granted: boolean; attempts: number; queuedMs: number }> {
  let queuedMs = 0;
  let attempt = limits.attemptsBefore ?? 0;
  do {
    attempt += 1;
    await between(attempt);
    const { granted, pendingMs } = await tryLock(session, watchdog, requests, limits.attemptMs);
    queuedMs = Math.max(queuedMs, pendingMs);
    if (granted && (await accepted(session, limits))) return { granted, attempts: attempt, queuedMs };
    const pauseMs = Math.min(1_000, 20 * 2 ** Math.min(attempt, 6)) * (0.5 + Math.random() / 2);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  } while (attempt < limits.attemptsMax && Date.now() < (limits.untilMs ?? Number.POSITIVE_INFINITY));
  return { granted: false, attempts: attempt, queuedMs };
}

async function accepted(session: Session, { accept }: LockLimits): Promise<boolean> {
  if (!accept) return true;
  let accepts = false;
  try {
    accepts = await accept();
  } finally {
    if (!accepts) await unlock(session);
  }
  return accepts;
}
