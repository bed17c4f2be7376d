import { control, parsePhysicalName } from '../src/model/names.js';
import type { RunSpec } from '../src/model/spec.js';
import type { Session } from '../src/mysql/connection.js';
import { id, sql } from '../src/sql/text.js';

/**
 * Tables that have left the mapping. Their base stays until no rollback can return to it, and as long the pipeline claims
 * them: another pipeline's tables beside them would have the same names.
 */

/** Live tables that the pipeline may have tables for: those of the run, and those that it still claims. */
export async function livesOf(session: Session, spec: RunSpec): Promise<Set<string>> {
  const claims = await session.rows<{ live: string }>(
    sql`SELECT live FROM ${id(control.claim)} WHERE pipeline = ${spec.pipeline}`,
  );
  return new Set([...spec.tables, ...claims].map(({ live }) => live));
}

export function hasLeft(spec: RunSpec, live: string): boolean {
  return !spec.tables.some((table) => table.live === live);
}

/** A table that has left is free for another pipeline when nothing of this one is left beside it. */
export async function giveUpClaims(session: Session, spec: RunSpec): Promise<void> {
  const names = await session.rows<{ name: string }>(
    sql`SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name LIKE ${'\\_ss%'}`,
  );
  const needed = new Set(names.map(({ name }) => parsePhysicalName(name)?.live));
  for (const live of await livesOf(session, spec)) {
    if (needed.has(live) || !hasLeft(spec, live)) continue;
    await session.run(
      sql`DELETE FROM ${id(control.claim)} WHERE live = ${live} AND pipeline = ${spec.pipeline}`,
    );
  }
}
