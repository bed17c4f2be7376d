import { parseMssqlAddress, parseMysqlAddress } from '../config/address.js';
import { type Config, sourceTableName } from '../config/load.js';
import { control } from '../model/names.js';
import { type Row, Session } from '../mysql/connection.js';
import { type LiveTable, readLiveTables, readServerFacts, type ServerFacts } from '../mysql/schema.js';
import { id, sql } from '../sql/text.js';
import { quoted, withSource } from '../sql-server/connection.js';
import { readSourceTables, type SourceTable } from '../sql-server/schema.js';

/** Everything that preflight's decision rests on; gathered first, so that the decision is a pure function. */
export interface Facts {
  server: ServerFacts;
  schema: string;
  live: LiveTable[];
  source: SourceTable[];
  /** by live's name: rows of the source's key columns that are NULL or not unique */
  badKeys: Record<string, { nulls: number; doubled: number }>;
  /** by live's name: is any row there? */
  liveIsEmpty: Record<string, boolean>;
  /** pipelines that claim a live table of ours */
  claims: { live: string; pipeline: string }[];
  held: string | null;
  metadataLocksVisible: boolean;
}

/** Asks both sides, changing nothing. @throws {StageswapError} Unreachable or Refused: a server that does not let us in */
export async function gatherFacts(config: Config): Promise<Facts> {
  const address = parseMysqlAddress(config.target.url);
  const session = await Session.open(address);
  try {
    const names = config.tables.map((table) => table.live);
    const server = await readServerFacts(session.connection);
    const live = await readLiveTables(session.connection, address.database, names);
    const liveIsEmpty: Record<string, boolean> = {};
    for (const table of live) {
      const rows = await session.rows(sql`SELECT 1 AS found FROM ${id(table.name)} LIMIT 1`);
      liveIsEmpty[table.name] = rows.length === 0;
    }
    const known = await session.rows<{ name: string }>(
      sql`SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ${control.claim}`,
    );
    const claims =
      known.length === 0
        ? []
        : (
            await session.rows<{ live: string; pipeline: string }>(
              sql`SELECT live, pipeline FROM ${id(control.claim)}`,
            )
          ).filter((claim) => names.includes(claim.live));
    const pipelines =
      known.length === 0
        ? []
        : await session.rows<Row>(
            sql`SELECT held_reason FROM ${id(control.pipeline)} WHERE pipeline = ${config.pipeline}`,
          );
    const metadataLocksVisible = await session
      .rows(sql`SELECT 1 AS seen FROM performance_schema.metadata_locks LIMIT 1`)
      .then(
        () => true,
        () => false,
      );
    const { source, badKeys } = await sourceFacts(config);
    return {
      server,
      schema: address.database,
      live,
      source,
      badKeys,
      liveIsEmpty,
      claims,
      held: pipelines[0]?.held_reason ?? null,
      metadataLocksVisible,
    };
  } finally {
    await session.close();
  }
}

async function sourceFacts(config: Config): Promise<Pick<Facts, 'source' | 'badKeys'>> {
  return withSource(parseMssqlAddress(config.source.url), async (pool) => {
    const source = await readSourceTables(
      pool,
      config.tables.map((table) => sourceTableName(table.source)),
    );
    const badKeys: Facts['badKeys'] = {};
    for (const table of config.tables) {
      const found = sourceOf(source, table.source);
      if (!found) continue;
      const key = table.key.map((name) => table.columns[name]?.from ?? '');
      const lower = (names: string[]) =>
        names
          .map((name) => name.toLowerCase())
          .sort()
          .join('\n');
      const unique = [found.primaryKey, ...found.uniqueIndexes.map((index) => index.columns)].some(
        (columns) => columns.length > 0 && lower(columns) === lower(key),
      );
      const columns = key.map((name) =>
        found.columns.find((column) => column.name.toLowerCase() === name.toLowerCase()),
      );
      if (columns.some((column) => !column)) continue;
      const where = columns.map((column) => `${quoted(column?.name ?? '')} IS NULL`).join(' OR ');
      const from = `${quoted(found.schema)}.${quoted(found.name)}`;
      const list = columns.map((column) => quoted(column?.name ?? '')).join(', ');
      const count = async (text: string) => Number((await pool.request().query(text)).recordset[0]?.n ?? 0);
      const nulls = columns.every((column) => !column?.nullable)
        ? 0
        : await count(`SELECT COUNT_BIG(*) AS n FROM ${from} WHERE ${where}`);
      // A unique index or the primary key answers for nothing; only without one the rows are asked.
      const doubled = unique
        ? 0
        : await count(
            `SELECT COUNT_BIG(*) AS n FROM (SELECT ${list} FROM ${from} GROUP BY ${list} HAVING COUNT_BIG(*) > 1) AS doubled`,
          );
      badKeys[table.live] = { nulls, doubled };
    }
    return { source, badKeys };
  });
}

export function sourceOf(source: SourceTable[], name: string): SourceTable | undefined {
  const wanted = sourceTableName(name);
  return source.find(
    (table) =>
      table.schema.toLowerCase() === wanted.schema.toLowerCase() &&
      table.name.toLowerCase() === wanted.table.toLowerCase(),
  );
}
