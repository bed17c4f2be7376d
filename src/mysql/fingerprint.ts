import { createHash } from 'node:crypto';
import { isMadeByRun, originalConstraintName } from '../model/names.js';
import { id, join, sql } from '../sql/text.js';
import { errorNumber, type Session } from './connection.js';

/** What a table's definition is at one moment. */
export interface Definition {
  /**
   * Equal exactly if columns, keys, checks, options, foreign keys and the application's triggers are, and the table was not
   * emptied by TRUNCATE or built anew, as far as the user may see that (PROCESS): no trigger logs a TRUNCATE.
   */
  fingerprint: string;
  /** the next AUTO_INCREMENT value, or null */
  autoIncrement: string | null;
  /** names of the triggers that runs have made on it */
  runTriggers: string[];
}

/** Reads the definitions of tables, quickly enough for the lock: a statement a table, and one each for all triggers and ids. */
export async function definitionsOf(session: Session, tables: string[]): Promise<Map<string, Definition>> {
  const triggers = await session.rows<Record<'on_table' | 'name' | 'event' | 'timing' | 'body', string>>(
    sql`SELECT event_object_table AS on_table, trigger_name AS name, event_manipulation AS event, action_timing AS timing, action_statement AS body FROM information_schema.triggers WHERE trigger_schema = DATABASE() AND event_object_table IN (${join(tables.map((table) => sql`${table}`))}) ORDER BY trigger_name`,
  );
  const storage = await storageIdsOf(session, tables);
  const definitions = new Map<string, Definition>();
  for (const table of tables) {
    const create = await shown(session, table);
    const here = triggers.filter((trigger) => trigger.on_table === table);
    const ofRun = ({ name }: { name: string }) => isMadeByRun(name);
    const own = here
      .filter((trigger) => !ofRun(trigger))
      .map(({ name, event, timing, body }) => ({ name, event, timing, body }));
    definitions.set(table, {
      fingerprint: createHash('sha256')
        .update(JSON.stringify([withoutGeneration(create), own, storage.get(table) ?? null]))
        .digest('hex'),
      autoIncrement: / AUTO_INCREMENT=(\d+)/.exec(create)?.[1] ?? null,
      runTriggers: here.filter(ofRun).map(({ name }) => name),
    });
  }
  return definitions;
}

/**
 * InnoDB's ids of tables: TRUNCATE and a rebuild give a new one; RENAME, CREATE TRIGGER and instant DDL do not (measured on
 * 9.7.4; one query took 3 to 9 ms beside 1,000 tables). A table whose name InnoDB spells in an alphabet of its own, and
 * every table where PROCESS is missing, has none here.
 */
async function storageIdsOf(session: Session, tables: string[]): Promise<Map<string, string>> {
  const ids = new Map<string, string>();
  const schema = spelledByInnodb(session.schema);
  const names = new Map<string, string>(
    tables.flatMap((table) => {
      const name = spelledByInnodb(table);
      return schema === undefined || name === undefined ? [] : [[`${schema}/${name}`, table] as const];
    }),
  );
  if (names.size === 0) return ids;
  const rows = await session
    .rows<{ name: string; id: string | number }>(
      sql`SELECT name AS name, table_id AS id FROM information_schema.innodb_tables WHERE name IN (${join([...names.keys()].map((name) => sql`${name}`))})`,
    )
    .catch((error: unknown) => {
      if (errorNumber(error) === PROCESS_DENIED) return [];
      throw error;
    });
  for (const { name, id: storageId } of rows) {
    const table = names.get(name);
    if (table !== undefined) ids.set(table, String(storageId));
  }
  return ids;
}

const PROCESS_DENIED = 1227;

/** A name as InnoDB keeps it, like the name of its file; undefined for letters beyond ASCII. */
function spelledByInnodb(name: string): string | undefined {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII
  if (!/^[\x00-\x7f]+$/.test(name)) return undefined;
  return name.replace(/[^A-Za-z0-9_]/g, (letter) => `@${letter.charCodeAt(0).toString(16).padStart(4, '0')}`);
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
    .replace(/ AUTO_INCREMENT=\d+/, '')
    .replace(
      /CONSTRAINT `([^`]+__ss\d+)`/g,
      (_, name: string) => `CONSTRAINT \`${originalConstraintName(name)}\``,
    );
}

/** Foreign keys of tables outside of the group that point at it: they would follow live to the backup's name. */
export async function pointingFromOutside(session: Session, tables: string[]): Promise<string[]> {
  const group = join(tables.map((table) => sql`${table}`));
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
  const counted = lines.map((line) => /^(`(?:[^`]|``)+`) .* AUTO_INCREMENT\b/.exec(line)?.[1]).find(Boolean);
  return lines.flatMap((definition) => {
    const match = /^(?:UNIQUE )?KEY `((?:[^`]|``)+)` \((.*)$/.exec(definition);
    if (!match || (counted && match[2]?.startsWith(counted))) return [];
    return [{ name: (match[1] ?? '').replaceAll('``', '`'), definition }];
  });
}

/** CHECK constraints of a table as SHOW CREATE TABLE prints them, by definition: their names are not the same in two tables. */
export async function checksOf(session: Session, table: string): Promise<IndexDefinition[]> {
  const lines = await linesOf(session, table);
  const checks = lines.flatMap((line) => {
    const match = /^CONSTRAINT `((?:[^`]|``)+)` (CHECK \(.*)$/.exec(line);
    return match ? [{ name: (match[1] ?? '').replaceAll('``', '`'), definition: match[2] ?? '' }] : [];
  });
  return checks.sort((left, right) => (left.definition < right.definition ? -1 : 1));
}
