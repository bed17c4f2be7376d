import { randomBytes } from 'node:crypto';
import type { Session } from '../mysql/connection.js';
import { id, join, sql } from '../sql/text.js';

/**
 * Empty tables on which something is tried, and which are dropped again. A user-level lock named like them says that their session
 * is alive: it goes with the connection, and anybody may ask for it, whatever their privileges.
 */
export const TRIAL_PREFIX = '_ss_rehearsal_';

/** What the names of this session's own trial tables begin with. */
export async function ownTrialPrefix(session: Session): Promise<string> {
  const prefix = `${TRIAL_PREFIX}${randomBytes(4).toString('hex')}_`;
  await session.rows(sql`SELECT GET_LOCK(${prefix}, 0) AS granted`);
  return prefix;
}

/** Drops trial tables whose session is gone. */
export async function dropAbandonedTrials(session: Session): Promise<void> {
  const tables = await session.rows<{ name: string }>(
    sql`SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name LIKE ${`${TRIAL_PREFIX.replaceAll('_', '\\_')}%`}`,
  );
  const prefixes = new Set(tables.map(({ name }) => prefixOf(name)));
  for (const prefix of prefixes) {
    const [lock] = await session.rows<{ free: number }>(sql`SELECT IS_FREE_LOCK(${prefix}) AS free`);
    const left = tables.filter(({ name }) => prefixOf(name) === prefix);
    if (Number(lock?.free) === 1)
      await session.run(sql`DROP TABLE IF EXISTS ${join(left.map(({ name }) => id(name)))}`);
  }
}

const prefixOf = (table: string) => table.slice(0, table.indexOf('_', TRIAL_PREFIX.length) + 1) || table;
