import { id, join, sql } from '../sql/text.js';
import type { Session } from './connection.js';
import { indexesOf } from './fingerprint.js';

/** Tables of the target: what is there, and taking it away. */

export async function tableExists(session: Session, name: string): Promise<boolean> {
  const rows = await session.rows(
    sql`SELECT 1 AS found FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ${name}`,
  );
  return rows.length > 0;
}

/** Names of a table's triggers, whoever made them. */
export async function triggersOf(session: Session, table: string): Promise<string[]> {
  const rows = await session.rows<{ name: string }>(
    sql`SELECT trigger_name AS name FROM information_schema.triggers WHERE trigger_schema = DATABASE() AND event_object_table = ${table}`,
  );
  return rows.map((row) => row.name);
}

export async function hasForeignKeys(session: Session, table: string): Promise<boolean> {
  const rows = await session.rows(
    sql`SELECT 1 AS found FROM information_schema.table_constraints WHERE table_schema = DATABASE() AND table_name = ${table} AND constraint_type = 'FOREIGN KEY' LIMIT 1`,
  );
  return rows.length > 0;
}

/** Other tables of the schema that foreign keys tie to these, as their parents or as their children; a key may outlive its parent. */
export async function relativesOf(session: Session, tables: string[]): Promise<string[]> {
  const names = join(tables.map((name) => sql`${name}`));
  const rows = await session.rows<{ child: string; parent: string }>(
    sql`SELECT table_name AS child, referenced_table_name AS parent FROM information_schema.referential_constraints WHERE constraint_schema = DATABASE() AND unique_constraint_schema = DATABASE() AND (table_name IN (${names}) OR referenced_table_name IN (${names}))`,
  );
  const relatives = new Set(rows.flatMap(({ child, parent }) => [child, parent]));
  const there: string[] = [];
  for (const name of relatives)
    if (!tables.includes(name) && (await tableExists(session, name))) there.push(name);
  return there;
}

/** Drops the secondary indexes of a table that can be built again, see `indexesOf`. */
export async function dropIndexes(session: Session, table: string): Promise<void> {
  const indexes = await indexesOf(session, table);
  if (indexes.length > 0)
    await session.run(
      sql`ALTER TABLE ${id(table)} ${join(indexes.map(({ name }) => sql`DROP INDEX ${id(name)}`))}`,
    );
}

/** Drops tables one by one; what is not there is passed over, so that it may be repeated. */
export async function dropTables(session: Session, names: string[]): Promise<void> {
  for (const name of names) await session.run(sql`DROP TABLE IF EXISTS ${id(name)}`);
}
