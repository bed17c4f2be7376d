import { isMadeByRun } from '../model/names.js';
import { account } from '../mysql/application-triggers.js';
import type { Session } from '../mysql/connection.js';
import { ACCESS_DENIED, errorNumber } from '../mysql/errors.js';
import type { LiveTable, ServerFacts } from '../mysql/schema.js';
import { id, sql } from '../sql/text.js';
import { missingPrivileges } from './privileges.js';
import { holdsOneOf, rightToDefine } from './server.js';
import { ownTrialPrefix } from './trial.js';

/**
 * By definer of live's triggers: the right without which MySQL lets this user make no trigger in that account's name. It
 * depends on rights and roles of the other account, and on whether it exists, which this user cannot see: so it is tried, on
 * an empty table that goes again. Nothing is tried where the answer is known.
 */
export async function definerProblems(
  session: Session,
  server: ServerFacts,
  schema: string,
  live: LiveTable[],
): Promise<Record<string, string>> {
  const ofApplication = live.flatMap(({ triggers }) => triggers).filter(({ name }) => !isMadeByRun(name));
  const definers = new Set(ofApplication.map(({ definer }) => definer));
  const unsure = [...definers].filter(
    (definer) => definer !== server.user && rightToDefine(server, definer) === undefined,
  );
  if (unsure.length === 0) return {};
  if (holdsOneOf(server, 'SYSTEM_USER') && holdsOneOf(server, 'SUPER', 'ALLOW_NONEXISTENT_DEFINER'))
    return {};
  // rights that are missing are refused by themselves
  if (missingPrivileges(server.grants, schema, { references: false }).length > 0) return {};
  const problems: Record<string, string> = {};
  const mine = await ownTrialPrefix(session);
  const table = id(`${mine}d`);
  const made = await session.run(sql`CREATE TABLE ${table} (nothing TINYINT PRIMARY KEY) ENGINE=InnoDB`).then(
    () => true,
    () => false, // a server that is read-only is refused by itself, too
  );
  if (!made) return {};
  try {
    for (const [index, definer] of unsure.entries()) {
      const missing = await session
        .run(
          sql`CREATE DEFINER = ${account(definer)} TRIGGER ${id(`${mine}d${index}`)} BEFORE INSERT ON ${table} FOR EACH ROW SET @stageswap_definer = 1`,
        )
        .then(
          () => undefined,
          (error: unknown) => (errorNumber(error) === ACCESS_DENIED ? rightIn(error) : undefined),
        );
      if (missing !== undefined) problems[definer] = missing;
    }
  } finally {
    await session.run(sql`DROP TABLE IF EXISTS ${table}`);
  }
  return problems;
}

/** The last of the rights that error 1227 names, any of which would do: the newest, which allows the least. */
function rightIn(error: unknown): string {
  const rights = /\(at least one of\) the (.+?) privilege/.exec(String((error as Error).message))?.[1];
  return rights?.split(/ or |, ?/).at(-1) ?? 'SET_ANY_DEFINER';
}
