import { createHash } from 'node:crypto';
import { originalConstraintName } from '../model/names.js';
import { id, sql } from '../sql/text.js';
import type { Session } from './connection.js';

/** What a table's definition is at one moment. */
export interface Definition {
  /** equal exactly if columns, keys, checks, options, foreign keys and the application's triggers are */
  fingerprint: string;
  /** the next AUTO_INCREMENT value, or null */
  autoIncrement: string | null;
}

/** Reads a table's definition in two quick statements, which also work under LOCK TABLES on that table. */
export async function definitionOf(session: Session, table: string): Promise<Definition> {
  const shown = await session.rows<Record<string, string>>(sql`SHOW CREATE TABLE ${id(table)}`);
  const create = shown[0]?.['Create Table'] ?? '';
  const triggers = await session.rows<{ name: string; event: string; timing: string; body: string }>(
    sql`SELECT trigger_name AS name, event_manipulation AS event, action_timing AS timing, action_statement AS body FROM information_schema.triggers WHERE trigger_schema = DATABASE() AND event_object_table = ${table} AND trigger_name NOT LIKE ${'\\_ss%'} ORDER BY trigger_name`,
  );
  const plain = create
    .replace(/ AUTO_INCREMENT=\d+/, '')
    .replace(
      /CONSTRAINT `([^`]+__ss\d+)`/g,
      (_, name: string) => `CONSTRAINT \`${originalConstraintName(name)}\``,
    );
  return {
    fingerprint: createHash('sha256')
      .update(JSON.stringify([plain, triggers]))
      .digest('hex'),
    autoIncrement: / AUTO_INCREMENT=(\d+)/.exec(create)?.[1] ?? null,
  };
}
