import { createHash } from 'node:crypto';
import { isMadeByRun, originalConstraintName, parsePhysicalName } from '../model/names.js';
import { id, join, list, sql } from '../sql/text.js';
import type { Session } from './connection.js';
import { ACCESS_DENIED, errorNumber } from './errors.js';

/** What a table's definition is at one moment. */
export interface Definition {
  /**
   * Equal exactly if columns, keys, checks, options and foreign keys are, the application's triggers are the same ones in the
   * same order, and the table was not emptied by TRUNCATE or built anew, as far as the user may see that (PROCESS): no trigger
   * logs a TRUNCATE. A trigger's time counts, since the catalogue does not show its text as it is.
   */
  fingerprint: string;
  /** the next AUTO_INCREMENT value, or null */
  autoIncrement: string | null;
  /** names of the triggers that runs have made on it */
  runTriggers: string[];
}

/** The counter's place in the line of a table's options: a comment or a default may speak of AUTO_INCREMENT, too. */
const COUNTER = /^(\)(?: \/\*!\d+ TABLESPACE .*? \*\/)? ENGINE=\w+) AUTO_INCREMENT=(\d+)/m;

/** Reads the definitions of tables, quickly enough for the lock: a statement a table, and one each for all triggers and ids. */
export async function definitionsOf(session: Session, tables: string[]): Promise<Map<string, Definition>> {
  const triggers = await session.rows<Record<'on_table' | 'name', string>>(
    sql`SELECT event_object_table AS on_table, trigger_name AS name, event_manipulation AS event, action_timing AS timing, action_statement AS body, definer AS definer, sql_mode AS mode, character_set_client AS charset, collation_connection AS collation, created AS created FROM information_schema.triggers WHERE trigger_schema = DATABASE() AND event_object_table IN (${list(tables)}) ORDER BY event_manipulation, action_timing, action_order`,
  );
  const storage = await storageIdsOf(session, tables);
  const definitions = new Map<string, Definition>();
  for (const table of tables) {
    const create = await shown(session, table);
    const here = triggers.filter((trigger) => trigger.on_table === table);
    const ofRun = ({ name }: { name: string }) => isMadeByRun(name);
    const own = here.filter((trigger) => !ofRun(trigger));
    definitions.set(table, {
      fingerprint: createHash('sha256')
        .update(JSON.stringify([withoutGeneration(create), own, storage.get(table) ?? null]))
        .digest('hex'),
      autoIncrement: COUNTER.exec(create)?.[2] ?? null,
      runTriggers: here.filter(ofRun).map(({ name }) => name),
    });
  }
  return definitions;
}

/**
 * InnoDB's ids of tables: TRUNCATE and a rebuild give a new one; RENAME, CREATE TRIGGER and instant DDL do not (measured on
 * 9.7.4; one query took 3 to 9 ms beside 1,000 tables). None where PROCESS is missing. Where a name has letters beyond ASCII,
 * the ids of all tables whose names InnoDB may spell like it: then another table that is built anew can look like a change of
 * this one, but no change of this one goes unnoticed.
 */
async function storageIdsOf(session: Session, tables: string[]): Promise<Map<string, string>> {
  const spelled = tables.map((table) => ({
    table,
    spelling: `${spellingByInnodb(session.schema)}/${spellingByInnodb(table)}`,
  }));
  // an exact name is compared in no time, also among thousands
  const isSpelled = spelled.map(({ spelling }) =>
    spelling.includes('(') ? sql`name REGEXP ${`^${spelling}$`}` : sql`name = ${spelling}`,
  );
  const rows = await session
    .rows<{ name: string; id: string | number }>(
      sql`SELECT name AS name, table_id AS id FROM information_schema.innodb_tables WHERE ${join(isSpelled, ' OR ')} ORDER BY table_id`,
    )
    .catch((error: unknown) => {
      if (errorNumber(error) === ACCESS_DENIED) return [];
      throw error;
    });
  return new Map(
    spelled.flatMap(({ table, spelling }) => {
      const whole = new RegExp(`^${spelling}$`);
      const ids = rows.filter(({ name }) => whole.test(name)).map((row) => String(row.id));
      return ids.length === 0 ? [] : [[table, ids.join()] as const];
    }),
  );
}

/**
 * A regular expression for a name as InnoDB keeps it, like the name of its file: other letters than ASCII's are four
 * hexadecimal digits, or two letters of an alphabet of its own, which nothing tells.
 */
function spellingByInnodb(name: string): string {
  return name.replace(/[^A-Za-z0-9_]/g, (letter) => {
    const code = letter.charCodeAt(0);
    const digits = code.toString(16).padStart(4, '0');
    return code < 0x80 ? `@${digits}` : `@(${digits}|..)`;
  });
}

async function shown(session: Session, table: string): Promise<string> {
  const rows = await session.rows<Record<string, string>>(sql`SHOW CREATE TABLE ${id(table)}`);
  return rows[0]?.['Create Table'] ?? '';
}

/** Columns, indexes and constraints as SHOW CREATE TABLE prints them, a line each. */
async function linesOf(session: Session, table: string): Promise<string[]> {
  return (await shown(session, table)).split('\n').map((line) => line.trim().replace(/,$/, ''));
}

/** The definition of one table. */
export async function definitionOf(session: Session, table: string): Promise<Definition> {
  const definition = (await definitionsOf(session, [table])).get(table);
  if (!definition) throw new Error(`no definition of ${table}`);
  return definition;
}

/** What a published generation adds to an application's table, taken out: constraint names, and the counter's place. */
function withoutGeneration(create: string): string {
  return create
    .replace(COUNTER, '$1')
    .replace(
      /^ {2}CONSTRAINT `((?:[^`]|``)+__ss\d+)`/gm,
      (_, name: string) => `  CONSTRAINT \`${originalConstraintName(name)}\``,
    );
}

/**
 * What a table is made of, whichever generation it belongs to and in whatever order MySQL prints it: columns, keys, foreign keys,
 * checks and options, a line each, without the names of constraints. Two generations of one table have the same.
 */
export async function shapeLines(session: Session, table: string): Promise<string[]> {
  const create = (await shown(session, table)).replace(/^.*\n/, '').replace(COUNTER, '$1');
  return create.split('\n').map((line) =>
    line
      .trim()
      .replace(/,$/, '')
      .replace(/^CONSTRAINT `(?:[^`]|``)+` /, '')
      // CREATE TABLE … LIKE gives a literal of a CHECK the character set of the column that it is compared with
      .replace(/\b_[a-z0-9]+(?=\\?')/g, '')
      .replace(/ ON (?:DELETE|UPDATE) (?:RESTRICT|NO ACTION)/g, '')
      .replace(
        /( REFERENCES )`((?:[^`]|``)+)`/,
        (_, words: string, name: string) => `${words}\`${parsePhysicalName(name)?.live ?? name}\``,
      ),
  );
}

/** Foreign keys of tables outside of the group that point at it: they would follow live to the backup's name. */
export async function pointingFromOutside(session: Session, tables: string[]): Promise<string[]> {
  const group = list(tables);
  const rows = await session.rows<{ on_table: string; name: string; here: number }>(
    sql`SELECT table_name AS on_table, constraint_name AS name, constraint_schema = DATABASE() AS here FROM information_schema.referential_constraints WHERE unique_constraint_schema = DATABASE() AND referenced_table_name IN (${group}) AND (constraint_schema <> DATABASE() OR table_name NOT IN (${group}))`,
  );
  const outside = rows.filter((row) => Number(row.here) === 0 || !isMadeByRun(row.on_table));
  return outside.map((row) => `${row.on_table}.${row.name}`);
}

/** A secondary index, or a constraint, as SHOW CREATE TABLE prints it, which ALTER TABLE … ADD takes. */
export interface IndexDefinition {
  name: string;
  definition: string;
}

/**
 * Secondary indexes of a table which can be dropped and built again: full-text and spatial ones, and one that an
 * AUTO_INCREMENT column needs, are not among them.
 */
export async function indexesOf(session: Session, table: string): Promise<IndexDefinition[]> {
  const lines = await linesOf(session, table);
  const unquoted = lines.map((line) => line.replace(/'(?:[^'\\]|''|\\.)*'/g, ''));
  const counted = unquoted
    .map((line) => /^(`(?:[^`]|``)+`) .* AUTO_INCREMENT\b/.exec(line)?.[1])
    .find(Boolean);
  return lines.flatMap((definition) => {
    const match = /^(?:UNIQUE )?KEY `((?:[^`]|``)+)` \((.*)$/.exec(definition);
    if (!match || (counted && match[2]?.startsWith(counted))) return [];
    return [{ name: (match[1] ?? '').replaceAll('``', '`'), definition }];
  });
}

/** Secondary unique indexes of a table, all of them. */
export async function uniqueIndexesOf(session: Session, table: string): Promise<IndexDefinition[]> {
  return (await linesOf(session, table)).flatMap((definition) => {
    const match = /^UNIQUE KEY `((?:[^`]|``)+)` /.exec(definition);
    return match ? [{ name: (match[1] ?? '').replaceAll('``', '`'), definition }] : [];
  });
}

/** CHECK constraints of a table as SHOW CREATE TABLE prints them, by name. */
export async function checksOf(session: Session, table: string): Promise<IndexDefinition[]> {
  const lines = await linesOf(session, table);
  return lines.flatMap((line) => {
    const match = /^CONSTRAINT `((?:[^`]|``)+)` (CHECK \(.*)$/.exec(line);
    return match ? [{ name: (match[1] ?? '').replaceAll('``', '`'), definition: match[2] ?? '' }] : [];
  });
}
