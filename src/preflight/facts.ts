import { parseMssqlAddress, parseMysqlAddress } from '../config/address.js';
import type { Config, TableConfig } from '../config/load.js';
import { sourceTableName } from '../config/source-table.js';
import { control } from '../model/names.js';
import type { RunSpec } from '../model/spec.js';
import { type Session, withSession } from '../mysql/connection.js';
import { errorNumber as mysqlErrorNumber } from '../mysql/errors.js';
import { publishedSpec } from '../mysql/published.js';
import { type LiveTable, readLiveTables, readServerFacts, type ServerFacts } from '../mysql/schema.js';
import { breaches, tablesOfAssertion } from '../sql/guards.js';
import { id, raw, sql } from '../sql/text.js';
import { errorNumber, quoted, type SourcePool, withSource } from '../sql-server/connection.js';
import { beginSnapshotTransaction } from '../sql-server/moment.js';
import { isView, readSourceTables, type SourceTable } from '../sql-server/schema.js';
import type { Claim } from './claims.js';
import { definerProblems } from './definers.js';
import type { LocalKeyFacts } from './local-keys.js';
import { lowestInRange, nextKey, rowOutside } from './local-keys-facts.js';
import { unsuitableServer } from './server.js';
import { sourceColumnOf, sourceOf } from './source-names.js';

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
  /** which live tables of the schema are whose */
  claims: Claim[];
  held: string | null;
  /** what live was last published by; null: never, or that was rolled back */
  published?: RunSpec | null;
  metadataLocksVisible: boolean;
  /** sessions can be told by name; not asked: yes */
  sessionsVisible?: boolean;
  /** may the user see InnoDB's transactions and tables (PROCESS)? absent: not asked */
  innodbVisible?: boolean;
  /** by definer of live's triggers: the right that this user lacks to make one in that name */
  definerProblems?: Record<string, string>;
  /** by the assertion's name: why it cannot be asked */
  assertionProblems?: Record<string, string>;
  /** by live's name: the source's words where the login may not read a table or one of its mapped columns */
  unreadable?: Record<string, string>;
  /** by live's name: has the source no row? */
  sourceIsEmpty?: Record<string, boolean>;
  /** by live's name: the source has a view of that name, and no table */
  isView?: Record<string, boolean>;
  /** by live's name: what localKeys says, as the two sides have it */
  localKeys?: Record<string, LocalKeyFacts>;
  /** how the source could be read as of one moment; null: not asked */
  moments?: { snapshot: MomentFact | null; transaction: MomentFact | null };
}

export type MomentFact = { possible: true } | { possible: false; because: string };

/**
 * Asks both sides, changing nothing; an empty table on which definers of triggers are tried goes again.
 *
 * @param options.thorough also what may take minutes where the tables are large: `check` does, a run does not
 * @param options.signal ends the waiting for a source that hangs
 * @throws {StageswapError} Unreachable or Refused: a server that does not let us in
 */
export async function gatherFacts(
  config: Config,
  { thorough = false, signal }: { thorough?: boolean; signal?: AbortSignal } = {},
): Promise<Facts> {
  const address = parseMysqlAddress(config.target.url);
  const target = await withSession(address, (session) =>
    targetFacts(config, session, address.database, thorough),
  );
  // The source is asked when no session of MySQL is left that would be idle meanwhile: it may count for minutes.
  if (unsuitableServer(target.server)) return target;
  const source = await sourceFacts(config, target.live, signal);
  const localKeys = Object.fromEntries(
    config.tables.map(({ live }) => [live, { ...target.localKeys?.[live], ...source.localKeys[live] }]),
  );
  return { ...target, ...source, localKeys };
}

async function targetFacts(
  config: Config,
  session: Session,
  schema: string,
  thorough: boolean,
): Promise<Facts> {
  const names = config.tables.map((table) => table.live);
  const server = await readServerFacts(session.connection);
  // Of a server that is refused whatever else is true, nothing is asked that only MySQL can answer.
  if (unsuitableServer(server)) return nothingAsked(server, schema);
  const live = await readLiveTables(session.connection, schema, names);
  const liveIsEmpty: Record<string, boolean> = {};
  for (const table of live) {
    const rows = await ifAllowed(session.rows(sql`SELECT 1 AS found FROM ${id(table.name)} LIMIT 1`));
    liveIsEmpty[table.name] = rows?.length === 0;
  }
  const known = await session.rows<{ name: string }>(
    sql`SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ${control.claim}`,
  );
  const all =
    known.length === 0
      ? []
      : await ifAllowed(session.rows(sql`SELECT live, pipeline FROM ${id(control.claim)}`));
  const claims = (all ?? []).map((row) => ({ live: row.live ?? '', pipeline: row.pipeline ?? '' }));
  const pipelines =
    known.length === 0
      ? []
      : await ifAllowed(
          session.rows(
            sql`SELECT held_reason FROM ${id(control.pipeline)} WHERE pipeline = ${config.pipeline}`,
          ),
        );
  const visible = (table: string) =>
    session.rows(sql`SELECT 1 AS seen FROM ${raw(table)} LIMIT 1`).then(
      () => true,
      () => false,
    );
  const published =
    known.length === 0 ? null : ((await ifAllowed(publishedSpec(session, config.pipeline))) ?? null);
  const localKeys: Record<string, LocalKeyFacts> = {};
  for (const table of config.tables) {
    const found = live.find(({ name }) => name === table.live);
    if (table.localKeys === undefined || !found) continue;
    localKeys[table.live] = {
      next: await ifAllowed(nextKey(session, found)),
      ...(thorough && { ownOutside: await ifAllowed(rowOutside(session, table, found, published)) }),
    };
  }
  return {
    source: [],
    badKeys: {},
    localKeys,
    assertionProblems: await assertionProblems(session, config, live),
    definerProblems: await definerProblems(session, server, schema, live),
    server,
    schema,
    live,
    liveIsEmpty,
    claims,
    held: pipelines?.[0]?.held_reason ?? null,
    published,
    metadataLocksVisible: await visible('performance_schema.metadata_locks'),
    sessionsVisible: await visible('performance_schema.threads'),
    innodbVisible: await visible('information_schema.innodb_trx'),
  };
}

/** By assertion: why MySQL would not run it. Tried on live's own tables, without running it. */
export async function assertionProblems(
  session: Session,
  config: Config,
  live: LiveTable[],
): Promise<Record<string, string>> {
  const problems: Record<string, string> = {};
  for (const assertion of config.assertions) {
    const unknown = tablesOfAssertion(assertion).find((name) => !live.some((table) => table.name === name));
    if (unknown !== undefined) problems[assertion.name] = `{${unknown}} is no live table of the pipeline`;
    else
      await session.rows(sql`EXPLAIN ${breaches(assertion, (name) => name)}`).catch((error: Error) => {
        problems[assertion.name] = error.message;
      });
  }
  return problems;
}

/** SELECT denied on a table, or on a column */
const SELECT_DENIED = new Set([1142, 1143]);

/** What was read; undefined where the user may not, which the decision tells by the missing privilege's name. */
async function ifAllowed<T>(read: Promise<T>): Promise<T | undefined> {
  try {
    return await read;
  } catch (error) {
    if (SELECT_DENIED.has(mysqlErrorNumber(error) ?? 0)) return undefined;
    throw error;
  }
}

function nothingAsked(server: ServerFacts, schema: string): Facts {
  const nothing = { live: [], source: [], badKeys: {}, liveIsEmpty: {}, claims: [] };
  return { ...nothing, server, schema, held: null, metadataLocksVisible: false };
}

type SourceFacts = Pick<
  Facts,
  'source' | 'badKeys' | 'unreadable' | 'sourceIsEmpty' | 'isView' | 'localKeys' | 'moments'
>;

async function sourceFacts(
  config: Config,
  live: LiveTable[],
  signal: AbortSignal | undefined,
): Promise<Required<SourceFacts>> {
  const address = parseMssqlAddress(config.source.url);
  return withSource(
    address,
    async (pool) => {
      const source = await readSourceTables(
        pool,
        config.tables.map((table) => sourceTableName(table.source)),
      );
      const facts: Required<SourceFacts> = {
        source,
        badKeys: {},
        unreadable: {},
        sourceIsEmpty: {},
        isView: {},
        localKeys: {},
        moments: { snapshot: null, transaction: null },
      };
      let readable: string | undefined;
      for (const table of config.tables) {
        const found = sourceOf(source, table.source);
        if (!found) {
          facts.isView[table.live] = await isView(pool, sourceTableName(table.source));
          continue;
        }
        const empty = await isEmpty(pool, table, found);
        if (typeof empty === 'string') {
          facts.unreadable[table.live] = empty;
          continue;
        }
        readable ??= quotedName(found);
        facts.sourceIsEmpty[table.live] = empty;
        const its = live.find(({ name }) => name === table.live);
        facts.localKeys[table.live] = { sourceInRange: await lowestInRange(pool, table, its, found) };
        const bad = await badKeysOf(pool, table, found);
        if (bad) facts.badKeys[table.live] = bad;
      }
      facts.moments = {
        snapshot: await snapshotHint(pool),
        transaction: readable === undefined ? null : await tryTransaction(pool, readable),
      };
      return facts;
    },
    { connectionsMax: 1, signal },
  );
}

const quotedName = (table: SourceTable) => `${quoted(table.schema)}.${quoted(table.name)}`;

/** Reads the mapped columns of one row. @returns whether there is none, or the server's words if it lets nobody read */
async function isEmpty(pool: SourcePool, table: TableConfig, found: SourceTable): Promise<boolean | string> {
  const mapped = Object.values(table.columns).flatMap(({ from }) => {
    const column = sourceColumnOf(found, from);
    return column ? [quoted(column.name)] : [];
  });
  if (mapped.length === 0) return false;
  const list = mapped.map((name, index) => `${name} AS c${index}`).join(', ');
  try {
    const answer = await pool.request().query(`SELECT TOP (1) ${list} FROM ${quotedName(found)}`);
    return answer.recordset.length === 0;
  } catch (error) {
    if (DENIED.has(errorNumber(error) ?? 0)) return (error as Error).message;
    throw error;
  }
}

/** 229, 230: SELECT was denied on the table, or on a column */
const DENIED = new Set([229, 230]);

/** Asks for what the key must not have; undefined where its columns are not there. */
async function badKeysOf(
  pool: SourcePool,
  table: TableConfig,
  found: SourceTable,
): Promise<{ nulls: number; doubled: number } | undefined> {
  const columns = table.key.flatMap((name) => {
    return sourceColumnOf(found, table.columns[name]?.from ?? '') ?? [];
  });
  if (columns.length !== table.key.length) return undefined;
  // A unique index over the key, or over a part of it, answers for nothing; only without one the rows are asked.
  const unique = [found.primaryKey, ...found.uniqueIndexes.map((index) => index.columns)].some(
    (indexed) =>
      indexed.length > 0 && indexed.every((name) => columns.some((column) => column.name === name)),
  );
  const count = async (text: string) => {
    const answer = await pool.request().query<{ n: string | number }>(text);
    return Number(answer.recordset[0]?.n ?? 0);
  };
  const from = quotedName(found);
  const list = columns.map((column) => quoted(column.name)).join(', ');
  const isNull = columns.map((column) => `${quoted(column.name)} IS NULL`).join(' OR ');
  return {
    nulls: columns.some((column) => column.nullable)
      ? await count(`SELECT COUNT_BIG(*) AS n FROM ${from} WHERE ${isNull}`)
      : 0,
    doubled: unique
      ? 0
      : await count(
          `SELECT COUNT_BIG(*) AS n FROM (SELECT ${list} FROM ${from} GROUP BY ${list} HAVING COUNT_BIG(*) > 1) AS doubled`,
        ),
  };
}

/** Whether a database snapshot looks possible; none is made, so a run may still find that it is not. */
async function snapshotHint(pool: SourcePool): Promise<MomentFact> {
  try {
    const files = await pool
      .request()
      .query<{ physical_name: string | null }>(
        "SELECT physical_name FROM sys.database_files WHERE type_desc = 'ROWS'",
      );
    const shown = files.recordset.length > 0 && files.recordset.every((file) => file.physical_name);
    return shown
      ? { possible: true }
      : { possible: false, because: 'the source does not say where the database keeps its files' };
  } catch (error) {
    return { possible: false, because: `the source shows no files (${(error as Error).message})` };
  }
}

/** Tries a SNAPSHOT transaction, which makes nothing. */
async function tryTransaction(pool: SourcePool, table: string): Promise<MomentFact> {
  try {
    const transaction = await beginSnapshotTransaction(pool, `SELECT TOP (1) 1 AS seen FROM ${table}`);
    await transaction.rollback().catch(() => {});
    return { possible: true };
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : (error as Error);
    return { possible: false, because: cause.message };
  }
}
