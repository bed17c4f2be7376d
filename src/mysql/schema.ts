import type { Connection } from 'mysql2/promise';
import { isReservedTable } from '../model/names.js';
import type { LiveColumn } from '../model/spec.js';
import { id } from '../sql/text.js';
import { checkClause, indexParts } from './index-parts.js';

/** A column as information_schema describes it. Lengths as text's characters and octets, both maximal. */
export interface LiveColumnFacts extends Omit<LiveColumn, 'defaultsToNow'> {
  lengthOctets: number | null;
  lengthCharacters: number | null;
  extra: string;
  generated: boolean;
  /** of a generated column, as the catalogue prints it */
  expression?: string;
  autoIncrement: boolean;
  invisible: boolean;
  default: string | null;
}

export interface LiveForeignKey {
  name: string;
  schema: string;
  table: string;
  columns: string[];
  referencedSchema: string;
  referencedTable: string;
  referencedColumns: string[];
  onDelete: string;
  onUpdate: string;
}

const CASCADES = new Set(['CASCADE', 'SET NULL', 'SET DEFAULT']);

/** Whether MySQL itself changes rows by the key: no trigger fires for these. */
export function cascades({ onDelete, onUpdate }: LiveForeignKey): boolean {
  return [onDelete, onUpdate].some((action) => CASCADES.has(action.toUpperCase()));
}

export interface LiveTable {
  name: string;
  columns: LiveColumnFacts[];
  primaryKey: string[];
  /** columns of the primary key of which only the beginning is in the key; absent if there is none */
  primaryKeyPrefixes?: string[];
  /** without the primary key; an index over an expression has null in that place, and the expression in `parts` */
  uniqueIndexes: {
    name: string;
    columns: (string | null)[];
    /** by place, what is not a whole column; absent if all are */
    parts?: { expression?: string; prefix?: number }[];
  }[];
  /** of every index, unique or not, what it is over: columns by name, and expressions; absent: not asked */
  indexed?: { index: string; columns: string[]; expressions: string[] }[];
  foreignKeys: LiveForeignKey[];
  /** every foreign key of the server that points at this table */
  referencedBy: LiveForeignKey[];
  triggers: { name: string; event: string; timing: string; definer: string }[];
  partitioned: boolean;
  /** why MySQL cannot change its definition instantly; absent: it can */
  notInstant?: string;
  engine: string;
  /** BASE TABLE, or VIEW */
  kind: string;
  /** clauses as SHOW CREATE TABLE prints them */
  checks: { name: string; clause: string; enforced: boolean }[];
  /** the optimizer's estimate */
  rowsEstimate: number;
  /** data and indexes */
  dataBytes: number;
}

export interface ServerFacts {
  version: string;
  isMariaDb: boolean;
  localInfile: boolean;
  logBin: boolean;
  logBinTrustFunctionCreators: boolean;
  groupReplication: boolean;
  /** as SHOW GRANTS prints them */
  grants: string[];
  /** CURRENT_USER(): user@host; absent where it was not asked */
  user?: string;
  sqlMode: string;
  /** ROW, STATEMENT or MIXED */
  binlogFormat: string;
  /** writes are refused: a replica, or a server that is being maintained */
  readOnly: boolean;
  /** so many changed rows and keys the server remembers, to tell its replicas what they may apply side by side; absent: it does not say, or does not */
  writeSetsMax?: number;
  /** a Galera cluster, which does not replicate LOCK TABLES */
  galera: boolean;
  /** the zone of a session that sets none; absent where it was not asked */
  timeZone?: { name: string; isUtc: boolean };
  /** a foreign key must point to a unique key: from 8.4 on by default */
  restrictsForeignKeys?: boolean;
  /** 0: names of tables differ by case; 1, 2: they do not */
  lowerCaseTableNames: number;
}

type Row = Record<string, unknown>;

/**
 * Reads what the catalogue says about tables of a schema.
 *
 * @param names live tables; those that do not exist are not in the answer
 * @returns     in the order of `names`
 */
export async function readLiveTables(
  connection: Connection,
  schema: string,
  names: string[],
): Promise<LiveTable[]> {
  if (names.length === 0) return [];
  const of = [schema, names];
  const tables = await select(
    connection,
    `SELECT table_name AS name, table_type AS kind, engine, table_rows, data_length + index_length AS bytes, create_options
       FROM information_schema.tables WHERE table_schema = ? AND table_name IN (?)`,
    of,
  );
  const columns = await select(
    connection,
    `SELECT table_name, column_name, data_type, column_type, is_nullable, character_set_name, collation_name,
            numeric_precision, numeric_scale, character_octet_length, character_maximum_length, datetime_precision,
            extra, column_default, generation_expression
       FROM information_schema.columns WHERE table_schema = ? AND table_name IN (?)
      ORDER BY table_name, ordinal_position`,
    of,
  );
  const indexes = await select(
    connection,
    `SELECT table_name, index_name, column_name, sub_part
       FROM information_schema.statistics WHERE table_schema = ? AND table_name IN (?) AND non_unique = 0
      ORDER BY table_name, index_name, seq_in_index`,
    of,
  );
  const indexed = await select(
    connection,
    `SELECT table_name, index_name, column_name, expression, index_type
       FROM information_schema.statistics WHERE table_schema = ? AND table_name IN (?)
      ORDER BY table_name, index_name, seq_in_index`,
    of,
  );
  const triggers = await select(
    connection,
    `SELECT event_object_table AS table_name, trigger_name, event_manipulation, action_timing, definer
       FROM information_schema.triggers WHERE event_object_schema = ? AND event_object_table IN (?)
      ORDER BY trigger_name`,
    of,
  );
  // CHECK came with 8.0.16, and with it this column of the catalogue
  const checks = await selectIfKnown(
    connection,
    `SELECT t.table_name, t.constraint_name, t.enforced FROM information_schema.table_constraints t
      WHERE t.table_schema = ? AND t.table_name IN (?) AND t.constraint_type = 'CHECK'
      ORDER BY t.constraint_name`,
    of,
  );
  const definitions = await definitionsOf(connection, schema, [
    ...indexes.filter((row) => row.column_name === null),
    ...checks,
  ]);
  const own = await readForeignKeys(connection, 'k.table_schema = ? AND k.table_name IN (?)', of);
  const pointing = await readForeignKeys(
    connection,
    'k.referenced_table_schema = ? AND k.referenced_table_name IN (?)',
    of,
  );

  return names.flatMap((name) => {
    const table = tables.find((row) => text(row.name) === name);
    if (!table) return [];
    const mine = (row: Row) => text(row.table_name) === name;
    const keys = indexes.filter(mine);
    const columnsOfIndex = (index: string) =>
      keys.filter((row) => text(row.index_name) === index).map((row) => textOrNull(row.column_name));
    return [
      {
        name,
        columns: columns.filter(mine).map(columnFacts),
        primaryKey: columnsOfIndex('PRIMARY').map((column) => column ?? ''),
        ...prefixesOf(keys.filter((row) => text(row.index_name) === 'PRIMARY')),
        uniqueIndexes: [...new Set(keys.map((row) => text(row.index_name)))]
          .filter((index) => index !== 'PRIMARY')
          .map((index) => ({
            name: index,
            columns: columnsOfIndex(index),
            ...partsOf(
              keys.filter((row) => text(row.index_name) === index),
              definitions.get(name) ?? '',
            ),
          })),
        indexed: indexedOf(indexed.filter(mine)),
        foreignKeys: own.filter((key) => key.table === name),
        referencedBy: pointing.filter((key) => key.referencedTable === name),
        triggers: triggers.filter(mine).map((row) => ({
          name: text(row.trigger_name),
          event: text(row.event_manipulation),
          timing: text(row.action_timing),
          definer: text(row.definer),
        })),
        partitioned: /partitioned/i.test(text(table.create_options)),
        ...notInstant(text(table.create_options), indexed.filter(mine)),
        engine: text(table.engine),
        kind: text(table.kind),
        checks: checks.filter(mine).map((row) => ({
          name: text(row.constraint_name),
          clause: checkClause(definitions.get(name) ?? '', text(row.constraint_name)),
          enforced: text(row.enforced) === 'YES',
        })),
        rowsEstimate: Number(table.table_rows ?? 0),
        dataBytes: Number(table.bytes ?? 0),
      },
    ];
  });
}

/** What makes ALGORITHM=INSTANT fail with 1845 or 1846, of what a table can be. */
function notInstant(createOptions: string, indexed: Row[]): Pick<LiveTable, 'notInstant'> {
  if (indexed.some((row) => text(row.index_type) === 'FULLTEXT')) return { notInstant: 'a full-text index' };
  return /row_format=compressed/i.test(createOptions) ? { notInstant: 'ROW_FORMAT=COMPRESSED' } : {};
}

function prefixesOf(primary: Row[]): Pick<LiveTable, 'primaryKeyPrefixes'> {
  const cut = primary.filter((row) => row.sub_part !== null).map((row) => text(row.column_name));
  return cut.length > 0 ? { primaryKeyPrefixes: cut } : {};
}

/** What is no whole column in an index. @param create SHOW CREATE TABLE, where an index is over an expression */
function partsOf(index: Row[], create: string): Pick<LiveTable['uniqueIndexes'][0], 'parts'> {
  const printed = indexParts(create, text(index[0]?.index_name));
  const parts = index.map((row, place) => ({
    ...(row.column_name === null ? { expression: printed[place] ?? 'NULL' } : {}),
    ...(row.sub_part === null ? {} : { prefix: Number(row.sub_part) }),
  }));
  return parts.some((part) => Object.keys(part).length > 0) ? { parts } : {};
}

/** SHOW CREATE TABLE of the tables that the rows of the catalogue are about. */
async function definitionsOf(
  connection: Connection,
  schema: string,
  rows: Row[],
): Promise<Map<string, string>> {
  const tables = new Set(rows.map((row) => text(row.table_name)));
  const definitions = new Map<string, string>();
  for (const table of tables) {
    const [row] = await select(connection, `SHOW CREATE TABLE ${id(schema).text}.${id(table).text}`, []);
    definitions.set(table, text(row?.['create table']));
  }
  return definitions;
}

/** Names of the base tables of a schema, without those that stageswap made for itself. */
export async function readLiveTableNames(connection: Connection, schema: string): Promise<string[]> {
  const rows = await select(
    connection,
    `SELECT table_name AS name FROM information_schema.tables
      WHERE table_schema = ? AND table_type = 'BASE TABLE' ORDER BY table_name`,
    [schema],
  );
  return rows.map((row) => text(row.name)).filter((name) => !isReservedTable(name));
}

/** Reads what preflight must know about the server and this login. */
export async function readServerFacts(connection: Connection): Promise<ServerFacts> {
  const variables = new Map(
    (
      await select(
        connection,
        `SHOW GLOBAL VARIABLES WHERE variable_name IN ('version', 'version_comment', 'local_infile', 'log_bin',
           'log_bin_trust_function_creators', 'group_replication_group_name', 'sql_mode', 'lower_case_table_names',
           'binlog_format', 'read_only', 'super_read_only', 'wsrep_on', 'restrict_fk_on_non_standard_key',
           'binlog_transaction_dependency_history_size', 'binlog_transaction_dependency_tracking')`,
        [],
      )
    ).map((row) => [text(row.variable_name).toLowerCase(), text(row.value)]),
  );
  const on = (name: string) => ['ON', '1'].includes(variables.get(name)?.toUpperCase() ?? '');
  const grants = await readGrants(connection);
  const version = variables.get('version') ?? '';
  const writeSetsMax = variables.get('binlog_transaction_dependency_history_size');
  // 9 has no such variable, and does what 8.4 calls WRITESET
  const remembers = variables.get('binlog_transaction_dependency_tracking')?.toUpperCase() !== 'COMMIT_ORDER';
  const [current] = await select(connection, 'SELECT CURRENT_USER() AS user', []);
  return {
    version,
    isMariaDb: /mariadb/i.test(`${version} ${variables.get('version_comment') ?? ''}`),
    localInfile: on('local_infile'),
    logBin: on('log_bin'),
    logBinTrustFunctionCreators: on('log_bin_trust_function_creators'),
    groupReplication: (variables.get('group_replication_group_name') ?? '') !== '',
    grants,
    user: text(current?.user),
    sqlMode: variables.get('sql_mode') ?? '',
    binlogFormat: variables.get('binlog_format')?.toUpperCase() ?? '',
    readOnly:
      on('super_read_only') || (on('read_only') && !/\b(SUPER|CONNECTION_ADMIN)\b/.test(grants.join('\n'))),
    ...(writeSetsMax === undefined || !remembers ? {} : { writeSetsMax: Number(writeSetsMax) }),
    galera: on('wsrep_on'),
    timeZone: await readTimeZone(connection),
    restrictsForeignKeys: on('restrict_fk_on_non_standard_key'),
    lowerCaseTableNames: Number(variables.get('lower_case_table_names') ?? 0),
  };
}

/** SHOW GRANTS with what the roles that are active in this session give. */
async function readGrants(connection: Connection): Promise<string[]> {
  const [row] = await select(connection, 'SELECT CURRENT_ROLE() AS roles', []).catch(() => [] as Row[]);
  const roles = text(row?.roles);
  const using = roles === '' || roles === 'NONE' ? '' : ` FOR CURRENT_USER() USING ${roles}`;
  const grants = await select(connection, `SHOW GRANTS${using}`, []);
  return grants.map((grant) => text(Object.values(grant)[0]));
}

async function readForeignKeys(
  connection: Connection,
  where: string,
  values: unknown[],
): Promise<LiveForeignKey[]> {
  const rows = await select(
    connection,
    `SELECT k.constraint_schema, k.constraint_name, k.table_schema, k.table_name, k.column_name,
            k.referenced_table_schema, k.referenced_table_name, k.referenced_column_name, r.delete_rule, r.update_rule
       FROM information_schema.key_column_usage k
       JOIN information_schema.referential_constraints r
         ON r.constraint_schema = k.constraint_schema AND r.constraint_name = k.constraint_name
        AND r.table_name = k.table_name
      WHERE ${where} AND k.referenced_table_name IS NOT NULL
      ORDER BY k.constraint_schema, k.constraint_name, k.ordinal_position`,
    values,
  );
  const keys = new Map<string, LiveForeignKey>();
  for (const row of rows) {
    const at = `${text(row.constraint_schema)}\n${text(row.constraint_name)}`;
    let key = keys.get(at);
    if (!key) {
      key = {
        name: text(row.constraint_name),
        schema: text(row.table_schema),
        table: text(row.table_name),
        columns: [],
        referencedSchema: text(row.referenced_table_schema),
        referencedTable: text(row.referenced_table_name),
        referencedColumns: [],
        onDelete: text(row.delete_rule),
        onUpdate: text(row.update_rule),
      };
      keys.set(at, key);
    }
    key.columns.push(text(row.column_name));
    key.referencedColumns.push(text(row.referenced_column_name));
  }
  return [...keys.values()];
}

/** A zone is UTC if it is that in winter and in summer: a server in London calls itself GMT if it was started in winter. */
async function readTimeZone(connection: Connection): Promise<{ name: string; isUtc: boolean }> {
  const noons = ['2024-01-15 12:00:00', '2024-07-15 12:00:00'];
  const [row] = await select(
    connection,
    `SELECT IF(@@GLOBAL.time_zone = 'SYSTEM', @@GLOBAL.system_time_zone, @@GLOBAL.time_zone) AS name,
            ${noons.map((noon) => `CONVERT_TZ('${noon}', '+00:00', @@GLOBAL.time_zone) <=> '${noon}'`).join(' AND ')} AS is_utc`,
    [],
  );
  return { name: text(row?.name), isUtc: Number(row?.is_utc) === 1 };
}

function indexedOf(rows: Row[]): NonNullable<LiveTable['indexed']> {
  return [...new Set(rows.map((row) => text(row.index_name)))].map((index) => {
    const parts = rows.filter((row) => text(row.index_name) === index);
    const named = (what: 'column_name' | 'expression') => parts.flatMap((row) => textOrNull(row[what]) ?? []);
    return { index, columns: named('column_name'), expressions: named('expression') };
  });
}

function columnFacts(row: Row): LiveColumnFacts {
  const extra = text(row.extra);
  return {
    name: text(row.column_name),
    type: text(row.data_type).toLowerCase(),
    columnType: text(row.column_type),
    nullable: text(row.is_nullable) === 'YES',
    charset: textOrNull(row.character_set_name),
    collation: textOrNull(row.collation_name),
    precision: numberOrNull(row.numeric_precision),
    scale: numberOrNull(row.numeric_scale),
    lengthOctets: numberOrNull(row.character_octet_length),
    lengthCharacters: numberOrNull(row.character_maximum_length),
    fractionDigits: numberOrNull(row.datetime_precision),
    extra,
    // DEFAULT_GENERATED says that the default is an expression, not that the column is generated
    expression: text(row.generation_expression),
    generated: text(row.generation_expression) !== '' || /(VIRTUAL|STORED) GENERATED/i.test(extra),
    autoIncrement: /auto_increment/i.test(extra),
    invisible: /INVISIBLE/i.test(extra),
    default: textOrNull(row.column_default),
  };
}

/** Column names of an answer come in capitals from information_schema, whatever the statement says. */
async function select(connection: Connection, statement: string, values: unknown[]): Promise<Row[]> {
  const [rows] = await connection.query(statement, values);
  return (rows as Row[]).map((row) =>
    Object.fromEntries(Object.entries(row).map(([name, value]) => [name.toLowerCase(), value])),
  );
}

const UNKNOWN_IN_CATALOGUE = new Set([1054, 1109]);

/** Like `select`; no rows where this version's catalogue does not know the view or the column. */
async function selectIfKnown(connection: Connection, statement: string, values: unknown[]): Promise<Row[]> {
  try {
    return await select(connection, statement, values);
  } catch (error) {
    if (UNKNOWN_IN_CATALOGUE.has((error as { errno?: number }).errno ?? 0)) return [];
    throw error;
  }
}

function text(value: unknown): string {
  return textOrNull(value) ?? '';
}

function textOrNull(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  return Buffer.isBuffer(value) ? value.toString('utf8') : String(value);
}

function numberOrNull(value: unknown): number | null {
  return value === null || value === undefined ? null : Number(value);
}
