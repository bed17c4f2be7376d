import type { Fragment } from '../sql/text.js';
import { sql } from '../sql/text.js';
import type { Session } from './connection.js';
import { errorNumber } from './errors.js';

/** Not a format (1791), not a syntax (1064), not supported (1235): a server from before MySQL 8.0.19 has no such plan, and no such joins. */
const NO_PLAN = new Set([1064, 1235, 1791]);

/**
 * Would the server carry a statement out by a hash join on its condition? `Left hash join (a = b)`, `Hash antijoin (a = b)`; one with
 * no condition compares every row with every other.
 *
 * @see MySQL manual, Hash Join Optimization
 */
export async function joinsByHash(session: Session, statement: Fragment): Promise<boolean> {
  try {
    const rows = await session.rows<{ EXPLAIN: string }>(sql`EXPLAIN FORMAT=TREE ${statement}`);
    return /hash (anti)?join \((?!no condition)/i.test(rows[0]?.EXPLAIN ?? '');
  } catch (error) {
    if (NO_PLAN.has(errorNumber(error) ?? 0)) return false;
    throw error;
  }
}
