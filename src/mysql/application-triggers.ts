import { constraintName, isMadeByRun, originalConstraintName } from '../model/names.js';
import { id, raw, sql } from '../sql/text.js';
import type { Session } from './connection.js';

/**
 * The application's own triggers on live. Each next version of live gets them before the lock, under a name with its
 * generation, since names are unique per schema and the backup keeps its own: so none is missing at any moment, and none
 * costs time under the lock. Our own writes to stage must not fire them, so the body stands within a condition.
 */
export interface ApplicationTrigger {
  /** as the application called it, without a generation */
  name: string;
  timing: string;
  event: string;
  /** user@host */
  definer: string;
  sqlMode: string;
  collation: string;
  /** as the application wrote it, without the condition */
  body: string;
}

const BEFORE_BODY = 'BEGIN IF @stageswap_silent IS NULL THEN\n';
const BEHIND_BODY = '\n; END IF; END';

/** A body within the condition. A line of its own, since a body may end with a comment. */
export function guarded(body: string): string {
  return `${BEFORE_BODY}${body}${BEHIND_BODY}`;
}

/** The body that a condition was put around; any other as it is. */
export function unguarded(body: string): string {
  return body.startsWith(BEFORE_BODY) && body.endsWith(BEHIND_BODY)
    ? body.slice(BEFORE_BODY.length, -BEHIND_BODY.length)
    : body;
}

/** The application's triggers of a table, in the order in which they fire. */
export async function applicationTriggers(session: Session, table: string): Promise<ApplicationTrigger[]> {
  const rows = await session.rows<Record<keyof ApplicationTrigger, string>>(
    sql`SELECT trigger_name AS name, action_timing AS timing, event_manipulation AS event, definer AS definer, sql_mode AS ${id('sqlMode')}, collation_connection AS collation, action_statement AS body FROM information_schema.triggers WHERE trigger_schema = DATABASE() AND event_object_table = ${table} ORDER BY event_manipulation, action_timing, action_order`,
  );
  return rows
    .filter(({ name }) => !isMadeByRun(name))
    .map((row) => ({ ...row, name: originalConstraintName(row.name), body: unguarded(row.body) }));
}

/**
 * Gives `to` the triggers of `from`, those that it lacks, with their definer, SQL mode and collation.
 *
 * @throws MySQL's own error where the definer is another user and the right to name one is missing (1227); preflight asks
 */
export async function carryTriggers(
  session: Session,
  from: string,
  to: string,
  generation: number,
): Promise<void> {
  const wanted = await applicationTriggers(session, from);
  if (wanted.length === 0) return;
  const present = new Set((await applicationTriggers(session, to)).map(({ name }) => name));
  const [pinned] = await session.rows<{ mode: string; collation: string }>(
    sql`SELECT @@SESSION.sql_mode AS mode, @@SESSION.collation_connection AS collation`,
  );
  const set = (mode: string, collation: string) =>
    session.run(sql`SET SESSION sql_mode = ${mode}, collation_connection = ${collation}`);
  try {
    for (const trigger of wanted.filter(({ name }) => !present.has(name))) {
      await set(trigger.sqlMode, trigger.collation);
      const name = constraintName(trigger.name, generation);
      await session.run(
        sql`CREATE DEFINER = ${account(trigger.definer)} TRIGGER ${id(name)} ${raw(`${trigger.timing} ${trigger.event}`)} ON ${id(to)} FOR EACH ROW ${raw(guarded(trigger.body))}`,
      );
    }
  } finally {
    await set(pinned?.mode ?? '', pinned?.collation ?? 'utf8mb4_bin');
  }
}

/** user@host as an account name; the host has no @, the user may. */
function account(definer: string) {
  const at = definer.lastIndexOf('@');
  return sql`${id(definer.slice(0, at))}@${id(definer.slice(at + 1))}`;
}
