import { type Blocker, HELD_INSTANCE, HELD_SNAPSHOT } from '../model/blockers.js';
import { type Fragment, join, list, raw, sql } from '../sql/text.js';
import type { Session } from './connection.js';
import type { AwaitedTable } from './lock.js';
import { REPEATS_ITS_READS } from './snapshots.js';

interface Row {
  session_id: string | null;
  user: string | null;
  host: string | null;
  age_seconds: string | null;
  /** 1: the thread that took the lock is gone, and the lock has stayed */
  detached?: string;
  tables: string;
}

/** innodb_trx tells the time of the server's own zone, whatever the session's is. */
const TRANSACTION_SECONDS = `TIMESTAMPDIFF(SECOND, x.trx_started, CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', 'SYSTEM'))`;

/** LOCK INSTANCE FOR BACKUP; who changes a definition meanwhile waits for it with a lock of another type. */
const HELD_FOR_BACKUP = "m.object_type = 'BACKUP LOCK' AND m.lock_type = 'SHARED'";

/**
 * Sessions that hold a table, in a transaction or by LOCK TABLES, or the server for a backup, the oldest first; `ours` are left out. What
 * the user may not see is left out of the answer, down to nothing.
 *
 * @param awaited further tables, for which an attempt to lock had to wait
 */
export async function blockersOf(
  session: Session,
  tables: string[],
  ours: number[],
  awaited: AwaitedTable[] = [],
): Promise<Blocker[]> {
  const held = sql`FROM performance_schema.metadata_locks m LEFT JOIN`;
  const wanted = [
    ...tables.map((name) => sql`(DATABASE(), ${name})`),
    ...awaited.map(({ schema, name }) => sql`(${schema}, ${name})`),
  ];
  const where = sql`WHERE m.lock_status = 'GRANTED' AND (m.object_type = 'TABLE' AND (m.object_schema, m.object_name) IN (${join(wanted)}) OR ${raw(HELD_FOR_BACKUP)})`;
  const name = sql`CASE WHEN m.object_type <> 'TABLE' THEN ${HELD_INSTANCE} WHEN m.object_schema = DATABASE() THEN m.object_name ELSE CONCAT(m.object_schema, '.', m.object_name) END`;
  const names = sql`GROUP_CONCAT(DISTINCT ${name} ORDER BY 1) AS tables`;
  const others = sql`AND (t.thread_id IS NULL OR t.processlist_id NOT IN (${list(ours)}))`;
  const asked: Fragment[] = [
    sql`SELECT t.processlist_id AS session_id, t.processlist_user AS user, t.processlist_host AS host, MAX(t.thread_id IS NULL) AS detached, MAX(COALESCE(${raw(TRANSACTION_SECONDS)}, t.processlist_time)) AS age_seconds, ${names} ${held} performance_schema.threads t ON t.thread_id = m.owner_thread_id LEFT JOIN information_schema.innodb_trx x ON x.trx_mysql_thread_id = t.processlist_id ${where} ${others} GROUP BY t.processlist_id, t.processlist_user, t.processlist_host`,
    // without PROCESS
    sql`SELECT t.processlist_id AS session_id, t.processlist_user AS user, t.processlist_host AS host, MAX(t.thread_id IS NULL) AS detached, MAX(t.processlist_time) AS age_seconds, ${names} ${held} performance_schema.threads t ON t.thread_id = m.owner_thread_id ${where} ${others} GROUP BY t.processlist_id, t.processlist_user, t.processlist_host`,
    // without performance_schema.threads
    sql`SELECT NULL AS session_id, NULL AS user, NULL AS host, 0 AS age_seconds, ${names} FROM performance_schema.metadata_locks m ${where} AND (m.lock_duration = 'TRANSACTION' OR m.object_type <> 'TABLE') GROUP BY m.owner_thread_id`,
  ];
  for (const statement of asked) {
    const rows = await session.rows<Row>(statement).catch(() => undefined);
    if (rows) return rows.map(blocker).sort((left, right) => right.ageSeconds - left.ageSeconds);
  }
  return [];
}

function blocker(row: Row): Blocker {
  return {
    sessionId: row.session_id === null ? null : Number(row.session_id),
    ...(Number(row.detached ?? 0) === 1 ? { withoutSession: true as const } : {}),
    user: row.user ?? '',
    host: row.host ?? '',
    ageSeconds: Math.max(0, Number(row.age_seconds ?? 0)),
    tables: row.tables.split(','),
  };
}

/** Whether somebody keeps every DDL waiting, for a backup mostly; false where that is not to be seen. */
export async function isHeldForBackup(session: Session): Promise<boolean> {
  const held = await session
    .rows(
      sql`SELECT 1 AS held FROM performance_schema.metadata_locks m WHERE m.lock_status = 'GRANTED' AND ${raw(HELD_FOR_BACKUP)} LIMIT 1`,
    )
    .catch(() => []);
  return held.length > 0;
}

/** Sessions that repeat their reads, and so may read as of a moment that is past, the oldest first; `ours` are left out. */
export async function snapshotsOf(session: Session, ours: number[]): Promise<Blocker[]> {
  const rows = await session
    .rows<Row>(
      sql`SELECT NULLIF(x.trx_mysql_thread_id, 0) AS session_id, p.user AS user, p.host AS host, ${raw(TRANSACTION_SECONDS)} AS age_seconds, ${HELD_SNAPSHOT} AS tables FROM information_schema.innodb_trx x LEFT JOIN information_schema.processlist p ON p.id = x.trx_mysql_thread_id WHERE ${REPEATS_ITS_READS} AND x.trx_mysql_thread_id NOT IN (${list(ours)})`,
    )
    .catch(() => []);
  return rows.map(blocker).sort((left, right) => right.ageSeconds - left.ageSeconds);
}

/** Ends sessions with their transactions. @returns those that are gone: one of a mightier user stays */
export async function killBlockers(session: Session, blockers: Blocker[]): Promise<Blocker[]> {
  const killed: Blocker[] = [];
  for (const blocker of blockers) {
    if (blocker.sessionId === null) continue;
    const done = await session.connection.query(`KILL CONNECTION ${blocker.sessionId}`).then(
      () => true,
      () => false,
    );
    if (done) killed.push(blocker);
  }
  return killed;
}
