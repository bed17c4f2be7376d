import { createHash } from 'node:crypto';
import { originalConstraintName } from '../model/names.js';
import { id, join, sql } from '../sql/text.js';
import type { Session } from './connection.js';

/** What a table's definition is at one moment. */
export interface Definition {
  /** equal exactly if columns, keys, checks, options, foreign keys and the application's triggers are */
  fingerprint: string;
  /** the next AUTO_INCREMENT value, or null */
  autoIncrement: string | null;
  /** names of the triggers that runs have made on it */
  runTriggers: string[];
}

/** Reads the definitions of tables, quickly enough for the lock: a statement a table, and one for all triggers. */
export async function definitionsOf(session: Session, tables: string[]): Promise<Map<string, Definition>> {
  const triggers = await session.rows<Record<'on_table' | 'name' | 'event' | 'timing' | 'body', string>>(
    sql`SELECT event_object_table AS on_table, trigger_name AS name, event_manipulation AS event, action_timing AS timing, action_statement AS body FROM information_schema.triggers WHERE trigger_schema = DATABASE() AND event_object_table IN (${join(tables.map((table) => sql`${table}`))}) ORDER BY trigger_name`,
  );
  const definitions = new Map<string, Definition>();
  for (const table of tables) {
    const shown = await session.rows<Record<string, string>>(sql`SHOW CREATE TABLE ${id(table)}`);
    const create = shown[0]?.['Create Table'] ?? '';
    const here = triggers.filter((trigger) => trigger.on_table === table);
    const ofRun = ({ name }: { name: string }) => name.startsWith('_ss');
    const own = here
      .filter((trigger) => !ofRun(trigger))
      .map(({ name, event, timing, body }) => ({ name, event, timing, body }));
    definitions.set(table, {
      fingerprint: createHash('sha256')
        .update(JSON.stringify([withoutGeneration(create), own]))
        .digest('hex'),
      autoIncrement: / AUTO_INCREMENT=(\d+)/.exec(create)?.[1] ?? null,
      runTriggers: here.filter(ofRun).map(({ name }) => name),
    });
  }
  return definitions;
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
  const rows = await session.rows<{ name: string }>(
    sql`SELECT CONCAT(table_name, '.', constraint_name) AS name FROM information_schema.referential_constraints WHERE unique_constraint_schema = DATABASE() AND referenced_table_name IN (${group}) AND (constraint_schema <> DATABASE() OR (table_name NOT IN (${group}) AND table_name NOT LIKE ${'\\_ss%'}))`,
  );
  return rows.map((row) => row.name);
}

/** A secondary index as SHOW CREATE TABLE prints it, which ALTER TABLE … ADD takes. */
export interface IndexDefinition {
  name: string;
  definition: string;
}

/**
 * Secondary indexes of a table which can be dropped and built again: full-text and spatial ones, and one that an
 * AUTO_INCREMENT column needs, are not among them.
 */
export async function indexesOf(session: Session, table: string): Promise<IndexDefinition[]> {
  const shown = await session.rows<Record<string, string>>(sql`SHOW CREATE TABLE ${id(table)}`);
  const lines = (shown[0]?.['Create Table'] ?? '').split('\n').map((line) => line.trim().replace(/,$/, ''));
  const counted = lines.map((line) => /^(`(?:[^`]|``)+`) .* AUTO_INCREMENT\b/.exec(line)?.[1]).find(Boolean);
  return lines.flatMap((definition) => {
    const match = /^(?:UNIQUE )?KEY `((?:[^`]|``)+)` \((.*)$/.exec(definition);
    if (!match || (counted && match[2]?.startsWith(counted))) return [];
    return [{ name: (match[1] ?? '').replaceAll('``', '`'), definition }];
  });
}
