import { type Fragment, sql } from '../sql/text.js';
import type { Session } from './connection.js';
import { isPassing } from './errors.js';

/** `Left hash join ((l.id + 0) = i.id)`, `Hash antijoin (…)`; one with no condition compares every row with every other. */
const HASH_JOIN = /hash (?:anti-?)?join.*/gi;
const ON_EXPRESSION = /\(.*\+ 0\)/;

/**
 * Would the server carry a statement out by one hash join, on the condition that no index answers (src/sql/differences.ts)? A server
 * that makes no such joins (before MySQL 8.0.20), or is told not to, or plans otherwise, would not.
 *
 * @see MySQL manual, Hash Join Optimization
 */
export async function joinsByHash(session: Session, statement: Fragment): Promise<boolean> {
  try {
    const rows = await session.rows<{ EXPLAIN: string }>(sql`EXPLAIN FORMAT=TREE ${statement}`);
    const joins = rows[0]?.EXPLAIN.match(HASH_JOIN) ?? [];
    return joins.length === 1 && ON_EXPRESSION.test(joins[0] ?? '');
  } catch (error) {
    if (isPassing(error)) throw error;
    return false; // an older server knows no such plan
  }
}
