import mssql, { type ConnectionPool } from 'mssql';
import {
  type CatalogueAnswers,
  type CatalogueRow,
  describeTable,
  lowerCase,
  number,
  schemaOf,
  text,
  typesAreSaid,
} from './catalogue.js';

export interface SourceColumnFacts {
  name: string;
  /** the system type's name in lower case, such as `nvarchar`; a user-defined type is shown as what it stands for */
  type: string;
  /** bytes, so nvarchar(10) has 20; -1 for (max) */
  maxLengthBytes: number;
  precision: number;
  scale: number;
  nullable: boolean;
  computed: boolean;
  identity: boolean;
  /** dynamic data masking: a login without UNMASK reads other values than are stored */
  masked?: boolean;
  /** Always Encrypted: the server has ciphertext only, and gives that */
  encrypted?: boolean;
  collation: string | null;
}

export interface SourceForeignKey {
  name: string;
  columns: string[];
  referencedSchema: string;
  referencedTable: string;
  referencedColumns: string[];
}

export interface SourceTable {
  schema: string;
  name: string;
  columns: SourceColumnFacts[];
  primaryKey: string[];
  /** without the primary key; a filtered index proves nothing for all rows and is left out */
  uniqueIndexes: { name: string; columns: string[] }[];
  foreignKeys: SourceForeignKey[];
  /** absent if the login may not see it */
  rowsEstimate?: number;
  /** what the catalogue did not answer, and what is done without it; absent if it said all */
  notSaid?: string[];
}

/**
 * Reads what the catalogue says about tables of the source: only sys.schemas, tables, columns, types, indexes,
 * index_columns, foreign_keys and foreign_key_columns, so that restricted logins, older servers and other engines
 * work. Whole rows are asked for and read by what they have, since a column that a view lacks would fail the statement.
 *
 * @param wanted tables by name, regardless of case; every table of the database if left out
 */
export async function readSourceTables(
  pool: ConnectionPool,
  wanted?: { schema: string; table: string }[],
): Promise<SourceTable[]> {
  const schemas = await select(pool, 'SELECT * FROM sys.schemas');
  const all = await select(pool, 'SELECT * FROM sys.tables');
  const types = await select(pool, 'SELECT * FROM sys.types');
  const place = (row: CatalogueRow) => `${schemaOf(row, schemas)}\n${text(row.name)}`;
  const tables = [...all].sort((a, b) => (place(a) < place(b) ? -1 : 1));
  const asked = wanted
    ? tables.filter((row) =>
        wanted.some(
          ({ schema, table }) => same(schema, schemaOf(row, schemas)) && same(table, text(row.name)),
        ),
      )
    : tables;
  const result: SourceTable[] = [];
  for (const row of asked) {
    const answers = await askAbout(pool, row, { schemas, tables, types });
    result.push(describeTable(row, answers));
  }
  return result;
}

async function askAbout(
  pool: ConnectionPool,
  table: CatalogueRow,
  known: Pick<CatalogueAnswers, 'schemas' | 'tables' | 'types'>,
): Promise<CatalogueAnswers> {
  const objectId = number(table.object_id);
  const of = (view: string, column: string, value = objectId) =>
    select(pool, `SELECT * FROM sys.${view} WHERE ${column} = @object`, value);
  const foreignKeyColumns = await of('foreign_key_columns', 'parent_object_id');
  const referenced = new Set(foreignKeyColumns.map((row) => number(row.referenced_object_id)));
  const referencedColumns: CatalogueRow[] = [];
  for (const object of referenced) referencedColumns.push(...(await of('columns', 'object_id', object)));
  const answers: CatalogueAnswers = {
    ...known,
    columns: await of('columns', 'object_id'),
    indexes: await of('indexes', 'object_id'),
    indexColumns: await of('index_columns', 'object_id'),
    foreignKeys: await of('foreign_keys', 'parent_object_id'),
    foreignKeyColumns,
    referencedColumns,
    standardColumns: [],
    rowCount: await countOf(pool, objectId),
  };
  if (typesAreSaid(answers)) return answers;
  const rows = await select(
    pool,
    'SELECT * FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = @name',
    text(table.name),
  );
  const schema = schemaOf(table, known.schemas);
  return { ...answers, standardColumns: rows.filter((row) => same(text(row.table_schema), schema)) };
}

/** Is this the name of a view? An engine that does not say has none. */
export async function isView(
  pool: ConnectionPool,
  name: { schema: string; table: string },
): Promise<boolean> {
  try {
    const rows = await select(
      pool,
      'SELECT * FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_NAME = @name',
      name.table,
    );
    return rows.some(
      (row) => same(text(row.table_schema), name.schema) && text(row.table_type).toUpperCase() === 'VIEW',
    );
  } catch (error) {
    if (error instanceof mssql.RequestError && error.code === 'EREQUEST') return false;
    throw error;
  }
}

/** sys.partitions is more than a restricted login may see, and other engines may not have it: no answer is one, too. */
async function countOf(pool: ConnectionPool, objectId: number): Promise<unknown> {
  try {
    const rows = await select(
      pool,
      'SELECT SUM(p.rows) AS row_count FROM sys.partitions AS p WHERE p.object_id = @object AND p.index_id IN (0, 1)',
      objectId,
    );
    return rows[0]?.row_count;
  } catch (error) {
    if (error instanceof mssql.RequestError && error.code === 'EREQUEST') return undefined;
    throw error;
  }
}

async function select(
  pool: ConnectionPool,
  statement: string,
  value?: number | string,
): Promise<CatalogueRow[]> {
  const request = pool.request();
  if (typeof value === 'number') request.input('object', mssql.Int, value);
  if (typeof value === 'string') request.input('name', mssql.NVarChar(128), value);
  return lowerCase((await request.query<CatalogueRow>(statement)).recordset);
}

function same(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}
