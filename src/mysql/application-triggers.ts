import { StageswapError } from '../model/failures.js';
import { constraintName, isMadeByRun, originalConstraintName } from '../model/names.js';
import { type Fragment, id, raw, sql } from '../sql/text.js';
import type { Session } from './connection.js';

/**
 * The application's own triggers on live. Each next version of live gets them before the lock, under a name with its
 * generation, since names are unique per schema and the backup keeps its own: so none is missing at any moment, and none
 * costs time under the lock. Our own writes to stage must not fire them, so the body stands within a condition.
 */
export interface ApplicationTrigger {
  /** as the application called it, without a generation */
  name: string;
  /** as it is called on this table */
  shownName: string;
  timing: string;
  event: string;
  /** user@host */
  definer: string;
  sqlMode: string;
  /** character_set_client and collation_connection of the session that made it */
  clientCharset: string;
  collation: string;
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
  const rows = await session.rows<Record<Exclude<keyof ApplicationTrigger, 'name'>, string>>(
    sql`SELECT trigger_name AS ${id('shownName')}, action_timing AS timing, event_manipulation AS event, definer AS definer, sql_mode AS ${id('sqlMode')}, character_set_client AS ${id('clientCharset')}, collation_connection AS collation FROM information_schema.triggers WHERE trigger_schema = DATABASE() AND event_object_table = ${table} ORDER BY event_manipulation, action_timing, action_order`,
  );
  return rows
    .filter(({ shownName }) => !isMadeByRun(shownName))
    .map((row) => ({ ...row, name: originalConstraintName(row.shownName) }));
}

/** Names in it are in UTF-8, whatever the client spoke, and as the session quotes them: in backquotes. */
const HEADER =
  /^CREATE DEFINER=`(?:[^`]|``)*`@`(?:[^`]|``)*` TRIGGER `(?:[^`]|``)+` (?:BEFORE|AFTER) (?:INSERT|UPDATE|DELETE) ON `(?:[^`]|``)+` FOR EACH ROW /;

/**
 * A trigger's body as its client sent it, without the condition: a letter for each byte. Only SHOW CREATE TRIGGER has it:
 * information_schema gives literals without their escapes, and in utf8mb3.
 */
export async function bodyOf(
  session: Session,
  { shownName }: Pick<ApplicationTrigger, 'shownName'>,
): Promise<string> {
  const [shown] = await session.bytes(sql`SHOW CREATE TRIGGER ${id(shownName)}`);
  const statement = shown?.['SQL Original Statement']?.toString('latin1') ?? '';
  const header = HEADER.exec(statement)?.[0];
  if (header === undefined)
    throw new StageswapError(
      'Refused',
      `MySQL shows the trigger ${shownName} in a way that stageswap cannot read, so that it cannot go with its table. Drop it and make it anew.`,
    );
  return unguarded(statement.slice(header.length));
}

/**
 * Gives `to` the triggers of `from`, those that it lacks, with their definer, SQL mode, character set and collation.
 *
 * @throws {StageswapError} Refused: a trigger that cannot be made for another table
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
  for (const trigger of wanted.filter(({ name }) => !present.has(name))) {
    const name = constraintName(trigger.name, generation);
    const header = await inCharset(
      session,
      sql`CREATE DEFINER = ${account(trigger.definer)} TRIGGER ${id(name)} ${raw(`${trigger.timing} ${trigger.event}`)} ON ${id(to)} FOR EACH ROW `,
      trigger,
    );
    const body = await bodyOf(session, trigger);
    await session.runAsClient(header + guarded(body), trigger);
  }
}

/** A statement's beginning in the character set of the trigger's client, a letter for each byte. */
async function inCharset(
  session: Session,
  { text }: Fragment,
  { name, clientCharset }: ApplicationTrigger,
): Promise<string> {
  const charset = raw(clientCharset);
  const [row] = await session.bytes(
    sql`SELECT CONVERT(${text} USING ${charset}) AS text, CAST(CONVERT(CONVERT(${text} USING ${charset}) USING utf8mb4) AS BINARY) = CAST(${text} AS BINARY) AS exact`,
  );
  if (row?.exact?.toString() === '1') return row.text?.toString('latin1') ?? '';
  throw new StageswapError(
    'Refused',
    `trigger ${name} was made by a client that speaks ${clientCharset}, which lacks letters of the table's or the trigger's name, so that it cannot go with its table. Drop it and make it anew with a client that speaks utf8mb4.`,
  );
}

/** user@host as an account name; the host has no @, the user may. */
export function account(definer: string): Fragment {
  const at = definer.lastIndexOf('@');
  return sql`${id(definer.slice(0, at))}@${id(definer.slice(at + 1))}`;
}
