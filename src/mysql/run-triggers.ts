import { type Fragment, sql } from '../sql/text.js';
import type { Session } from './connection.js';

/** Without strictness: a value that does not fit is cut, and the statement goes on. */
const LENIENT = 'NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION';

/**
 * Makes triggers of a run, those that are not there. MySQL runs a trigger under the SQL mode in which it was made, and live
 * may be migrated while they stand: a value that a log or first-touch table cannot hold any more must not fail a client's write.
 *
 * @param present names that the table has already
 */
export async function createRunTriggers(
  session: Session,
  triggers: { name: string; create: Fragment }[],
  present: string[],
): Promise<void> {
  const missing = triggers.filter(({ name }) => !present.includes(name));
  if (missing.length === 0) return;
  const [pinned] = await session.rows<{ mode: string }>(sql`SELECT @@SESSION.sql_mode AS mode`);
  await session.run(sql`SET SESSION sql_mode = ${LENIENT}`);
  try {
    for (const { create } of missing) await session.run(create);
  } finally {
    await session.run(sql`SET SESSION sql_mode = ${pinned?.mode ?? ''}`);
  }
}
