import { setTimeout as sleep } from 'node:timers/promises';
import { StageswapError } from '../model/failures.js';
import { control } from '../model/names.js';
import { createControlTables } from '../sql/control.js';
import { type Fragment, id, sql } from '../sql/text.js';
import type { Session } from './connection.js';
import { DEADLOCK, errorNumber, NO_SUCH_TABLE } from './errors.js';
import { refuseNewer } from './owner.js';

/**
 * Attempts, fenced: an attempt of an activity has one session, which says whose it is, and which a later one can find and
 * kill. A worker that was stopped and wakes up again then finds its connection gone, in whatever statement or lock it was;
 * one that was stopped before it had a connection is refused when it asks for its place.
 *
 * The session holds a user-level lock, by whose name IS_USED_LOCK finds its connection. That needs no privilege, as does KILL
 * for one's own user, it works from another machine and without performance_schema, and the lock goes with the connection.
 */
export interface Attempt {
  pipeline: string;
  /** 0: of a run that is about to begin */
  generation: number;
  /** unique to the activity over all executions: the same for each of its attempts */
  activity: string;
  type: string;
  attempt: number;
  /** others of the same type may work beside it */
  shared: boolean;
  /** may be of a run that has lost the pipeline, and takes back what is its own */
  ofEnded: boolean;
}

const TRIES_MAX = 10;
const NO_SUCH_THREAD = 1094;
const NOT_OWNER = 1095;
const EVICTED_MS_MAX = 30_000;
const LOOK_AGAIN_MS = 20;

/**
 * Takes the attempt's place: those before it lose their connections.
 *
 * @throws {StageswapError} Fenced: a later attempt has begun, or a newer run owns the pipeline
 */
export async function enter(session: Session, attempt: Attempt): Promise<void> {
  const { pipeline, generation, activity, type } = attempt;
  const of = sql`SHA2(CONCAT_WS('/', DATABASE(), ${pipeline}, ${generation}, ${activity}, ${attempt.attempt}), 256)`;
  const same = sql`pipeline = ${pipeline} AND generation = ${generation}`;
  // First the lock, then the row: whoever finds the row finds the connection.
  const named = await session.rows<{ name: string }>(
    sql`SELECT name, GET_LOCK(name, 0) AS locked FROM (SELECT ${of} AS name) AS own`,
  );
  const name = named[0]?.name ?? '';
  await withTable(
    session,
    sql`INSERT IGNORE INTO ${id(control.attempt)} (name, pipeline, generation, activity, type, attempt) VALUES (${name}, ${pipeline}, ${generation}, ${activity}, ${type}, ${attempt.attempt})`,
  );
  const later = await session.rows(
    sql`SELECT 1 AS found FROM ${id(control.attempt)} WHERE ${same} AND activity = ${activity} AND attempt > ${attempt.attempt} LIMIT 1`,
  );
  if (later.length > 0)
    throw new StageswapError('Fenced', `a later attempt of ${type} has begun; this one changes nothing more`);
  const rivals = attempt.shared ? sql`${same} AND activity = ${activity}` : sql`${same} AND type = ${type}`;
  await evict(session, rivals);
  if (generation > 0 && !attempt.ofEnded) await refuseNewer(session, attempt);
}

/** Ends the sessions of every attempt of runs up to a generation, the caller's own aside. */
export async function evictUpTo(session: Session, pipeline: string, generation: number): Promise<void> {
  await evict(session, sql`pipeline = ${pipeline} AND generation <= ${generation}`);
}

/** Forgets the attempts of runs before a generation: who wakes up then is refused by the generation itself. */
export async function forgetAttempts(session: Session, pipeline: string, before: number): Promise<void> {
  await session.run(
    sql`DELETE FROM ${id(control.attempt)} WHERE pipeline = ${pipeline} AND generation > 0 AND generation < ${before}`,
  );
}

/** Kills the connections of attempts, and waits until MySQL has rolled back what they had open. */
async function evict(session: Session, which: Fragment): Promise<void> {
  const until = Date.now() + EVICTED_MS_MAX;
  for (;;) {
    const holders = await holdersOf(session, which);
    if (holders.length === 0) return;
    if (Date.now() > until)
      throw new StageswapError(
        'Unreachable',
        `connection ${holders.join(', ')} of an attempt that is over does not end. KILL it as an administrator if it is not rolling back.`,
      );
    for (const threadId of holders) {
      await session.connection.query(`KILL ${threadId}`).catch((error: unknown) => {
        const number = errorNumber(error);
        if (number !== NO_SUCH_THREAD && number !== NOT_OWNER) throw error;
      });
    }
    await sleep(LOOK_AGAIN_MS);
  }
}

async function holdersOf(session: Session, which: Fragment): Promise<string[]> {
  const rows = await session.rows<{ holder: string }>(
    sql`SELECT holder FROM (SELECT DISTINCT IS_USED_LOCK(name) AS holder FROM ${id(control.attempt)} WHERE ${which}) AS held WHERE holder IS NOT NULL AND holder <> CONNECTION_ID()`,
  );
  return rows.map(({ holder }) => String(holder));
}

/**
 * Control tables are made when a run begins; one that began before this table came with a new version makes it here. Two
 * that make them at once, each holding a lock of its own already, can be victims of a deadlock (1213, on 9.7.4 in a quarter
 * of all tries): MySQL steps back by itself only for a session that holds nothing. Nothing is left of the statement, and
 * each may be repeated.
 */
async function withTable(session: Session, statement: Fragment): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      if (tries > 1) for (const create of createControlTables()) await session.run(create);
      await session.run(statement);
      return;
    } catch (error) {
      const number = errorNumber(error);
      if ((number !== NO_SUCH_TABLE && number !== DEADLOCK) || tries >= TRIES_MAX) throw error;
    }
  }
}
