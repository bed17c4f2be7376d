import mssql, { type ConnectionPool } from 'mssql';

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
}

type Row = Record<string, unknown>;

/**
 * Reads what the catalogue says about tables of the source: only sys.schemas, tables, columns, types, indexes,
 * index_columns, foreign_keys and foreign_key_columns, so that restricted logins and older servers work; row counts
 * are optional.
 *
 * @param wanted tables by name, regardless of case; every table of the database if left out
 */
export async function readSourceTables(
  pool: ConnectionPool,
  wanted?: { schema: string; table: string }[],
): Promise<SourceTable[]> {
  const tables = await select(
    pool,
    `SELECT s.name AS schema_name, t.name AS table_name, t.object_id AS object_id
FROM sys.tables AS t JOIN sys.schemas AS s ON s.schema_id = t.schema_id
ORDER BY s.name, t.name`,
  );
  const asked = wanted
    ? tables.filter((row) =>
        wanted.some(
          ({ schema, table }) => same(schema, text(row.schema_name)) && same(table, text(row.table_name)),
        ),
      )
    : tables;
  const result: SourceTable[] = [];
  for (const row of asked) result.push(await readTable(pool, row, tables));
  return result;
}

async function readTable(pool: ConnectionPool, table: Row, all: Row[]): Promise<SourceTable> {
  const objectId = Number(table.object_id);
  const columns = await select(
    pool,
    `SELECT c.column_id AS column_id, c.name AS column_name, c.system_type_id AS system_type_id,
c.user_type_id AS user_type_id, c.max_length AS max_length, c.precision AS num_precision, c.scale AS num_scale,
c.is_nullable AS is_nullable, c.is_computed AS is_computed, c.is_identity AS is_identity,
c.collation_name AS collation_name
FROM sys.columns AS c WHERE c.object_id = @object ORDER BY c.column_id`,
    objectId,
  );
  const types = await select(
    pool,
    'SELECT y.name AS type_name, y.system_type_id AS system_type_id, y.user_type_id AS user_type_id FROM sys.types AS y',
  );
  const indexes = await select(
    pool,
    `SELECT i.index_id AS index_id, i.name AS index_name, i.is_primary_key AS is_primary_key, i.has_filter AS has_filter,
x.column_id AS column_id, x.key_ordinal AS key_ordinal
FROM sys.indexes AS i
JOIN sys.index_columns AS x ON x.object_id = i.object_id AND x.index_id = i.index_id
WHERE i.object_id = @object AND i.is_unique = 1 AND x.key_ordinal > 0
ORDER BY i.index_id, x.key_ordinal`,
    objectId,
  );
  const foreign = await select(
    pool,
    `SELECT f.name AS key_name, f.referenced_object_id AS referenced_object_id,
k.parent_column_id AS parent_column_id, r.name AS referenced_column
FROM sys.foreign_keys AS f
JOIN sys.foreign_key_columns AS k ON k.constraint_object_id = f.object_id
JOIN sys.columns AS r ON r.object_id = k.referenced_object_id AND r.column_id = k.referenced_column_id
WHERE f.parent_object_id = @object
ORDER BY f.name, k.constraint_column_id`,
    objectId,
  );
  const nameOf = new Map(columns.map((row) => [Number(row.column_id), text(row.column_name)]));
  const columnsOf = (rows: Row[], column: string) => rows.map((row) => nameOf.get(Number(row[column])) ?? '');
  const byIndex = groupBy(indexes, 'index_id');
  const rowsEstimate = await estimateRows(pool, objectId);
  return {
    schema: text(table.schema_name),
    name: text(table.table_name),
    columns: columns.map((row) => ({
      name: text(row.column_name),
      type: typeName(row, types),
      maxLengthBytes: Number(row.max_length),
      precision: Number(row.num_precision),
      scale: Number(row.num_scale),
      nullable: truth(row.is_nullable),
      computed: truth(row.is_computed),
      identity: truth(row.is_identity),
      collation:
        row.collation_name === null || row.collation_name === undefined ? null : text(row.collation_name),
    })),
    primaryKey: columnsOf(
      indexes.filter((row) => truth(row.is_primary_key)),
      'column_id',
    ),
    uniqueIndexes: byIndex
      .filter(([first]) => first && !truth(first.is_primary_key) && !truth(first.has_filter))
      .map((rows) => ({ name: text(rows[0]?.index_name), columns: columnsOf(rows, 'column_id') })),
    foreignKeys: groupBy(foreign, 'key_name').map((rows) => {
      const parent = all.find((row) => Number(row.object_id) === Number(rows[0]?.referenced_object_id));
      return {
        name: text(rows[0]?.key_name),
        columns: columnsOf(rows, 'parent_column_id'),
        referencedSchema: text(parent?.schema_name),
        referencedTable: text(parent?.table_name),
        referencedColumns: rows.map((row) => text(row.referenced_column)),
      };
    }),
    ...(rowsEstimate === undefined ? {} : { rowsEstimate }),
  };
}

/** An alias type is resolved to its system type; CLR types have system type 240 and keep their own name. */
function typeName(column: Row, types: Row[]): string {
  const system = Number(column.system_type_id);
  const own = types.find((row) => Number(row.user_type_id) === Number(column.user_type_id));
  const base = system === 240 ? own : types.find((row) => Number(row.user_type_id) === system);
  return text((base ?? own)?.type_name).toLowerCase();
}

/** sys.partitions is more than a restricted login may see, and other engines may not have it: no answer is one, too. */
async function estimateRows(pool: ConnectionPool, objectId: number): Promise<number | undefined> {
  try {
    const rows = await select(
      pool,
      'SELECT SUM(p.rows) AS row_count FROM sys.partitions AS p WHERE p.object_id = @object AND p.index_id IN (0, 1)',
      objectId,
    );
    const count = rows[0]?.row_count;
    return count === null || count === undefined ? undefined : Number(count);
  } catch (error) {
    if (error instanceof mssql.RequestError && error.code === 'EREQUEST') return undefined;
    throw error;
  }
}

async function select(pool: ConnectionPool, statement: string, objectId?: number): Promise<Row[]> {
  const request = pool.request();
  if (objectId !== undefined) request.input('object', mssql.Int, objectId);
  return (await request.query<Row>(statement)).recordset;
}

function groupBy(rows: Row[], column: string): Row[][] {
  const groups = new Map<unknown, Row[]>();
  for (const row of rows) {
    const group = groups.get(row[column]);
    if (group) group.push(row);
    else groups.set(row[column], [row]);
  }
  return [...groups.values()];
}

function same(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}

function truth(value: unknown): boolean {
  return value === true || value === 1;
}

function text(value: unknown): string {
  return value === null || value === undefined ? '' : String(value);
}
