/** sys.* and INFORMATION_SCHEMA as relations written into the query: always of this moment, and nothing to keep in step. */
import { type Catalogue, type Column, type Database, quote, type Table } from './catalogue.js';
import { catalogueNumbers, isCharacter } from './types.js';

type Cell = string | number | boolean | null | { readonly sql: string };
/** Column names with their DuckDB type after a colon: i int, b bit, n text, l bigint. */
type View = { readonly columns: string; readonly rows: readonly (readonly Cell[])[] };
const TYPES: Record<string, string> = {
  i: 'INTEGER',
  b: 'BOOLEAN',
  n: 'VARCHAR',
  l: 'BIGINT',
  y: 'UTINYINT',
};
const COLLATION = 'SQL_Latin1_General_CP1_CI_AS';

const TYPE_IDS: readonly [string, number, number, number, number, number][] = [
  ['image', 34, 34, 16, 0, 0],
  ['text', 35, 35, 16, 0, 0],
  ['uniqueidentifier', 36, 36, 16, 0, 0],
  ['date', 40, 40, 3, 10, 0],
  ['time', 41, 41, 5, 16, 7],
  ['datetime2', 42, 42, 8, 27, 7],
  ['datetimeoffset', 43, 43, 10, 34, 7],
  ['tinyint', 48, 48, 1, 3, 0],
  ['smallint', 52, 52, 2, 5, 0],
  ['int', 56, 56, 4, 10, 0],
  ['smalldatetime', 58, 58, 4, 16, 0],
  ['real', 59, 59, 4, 24, 0],
  ['money', 60, 60, 8, 19, 4],
  ['datetime', 61, 61, 8, 23, 3],
  ['float', 62, 62, 8, 53, 0],
  ['sql_variant', 98, 98, 8016, 0, 0],
  ['ntext', 99, 99, 16, 0, 0],
  ['bit', 104, 104, 1, 1, 0],
  ['decimal', 106, 106, 17, 38, 38],
  ['numeric', 108, 108, 17, 38, 38],
  ['smallmoney', 122, 122, 4, 10, 4],
  ['bigint', 127, 127, 8, 19, 0],
  ['varbinary', 165, 165, 8000, 0, 0],
  ['varchar', 167, 167, 8000, 0, 0],
  ['binary', 173, 173, 8000, 0, 0],
  ['char', 175, 175, 8000, 0, 0],
  ['timestamp', 189, 189, 8, 0, 0],
  ['nvarchar', 231, 231, 8000, 0, 0],
  ['nchar', 239, 239, 8000, 0, 0],
  ['hierarchyid', 240, 128, 892, 0, 0],
  ['geometry', 240, 129, -1, 0, 0],
  ['geography', 240, 130, -1, 0, 0],
  ['xml', 241, 241, -1, 0, 0],
  ['sysname', 231, 256, 256, 0, 0],
];

/** The relation `schema.name` of a database as a parenthesised SELECT; undefined where there is none. */
export function catalogueView(
  catalogue: Catalogue,
  database: Database,
  schema: 'sys' | 'information_schema',
  name: string,
): string | undefined {
  const make = schema === 'sys' ? SYS[name] : INFORMATION[name];
  if (!make) return undefined;
  const { columns, rows } = make(catalogue, database);
  const fields = columns
    .trim()
    .split(/\s+/)
    .map((field) => field.split(':') as [string, string]);
  const cell = (value: Cell | undefined): string => {
    if (value === null || value === undefined) return 'NULL';
    if (typeof value === 'object') return value.sql;
    if (typeof value === 'string') return `'${value.replaceAll("'", "''")}'`;
    return String(value);
  };
  const body =
    rows.length > 0
      ? rows.map((row) => `(${fields.map((_, i) => cell(row[i])).join(',')})`).join(',')
      : `(${fields.map(() => 'NULL').join(',')})`;
  const list = fields
    .map(
      ([field, type], i) =>
        `CAST(c${i} AS ${TYPES[type]})${type === 'n' ? ' COLLATE NOCASE' : ''} AS ${quote(field)}`,
    )
    .join(', ');
  return `(SELECT ${list} FROM (VALUES ${body}) v(${fields.map((_, i) => `c${i}`).join(',')})${rows.length > 0 ? '' : ' WHERE FALSE'})`;
}

const schemaId = (database: Database, table: Table): number =>
  database.schemas.get(table.schema.toLowerCase())?.id ?? 1;
const columnId = (table: Table | undefined, name: string): number =>
  table?.columns.find((column) => column.name.toLowerCase() === name.toLowerCase())?.id ?? 0;
const tables = (database: Database): Table[] => [...database.tables.values()];
const indexesOf = (
  table: Table,
): {
  name: string | null;
  id: number;
  unique: boolean;
  primary: boolean;
  constraint: boolean;
  clustered: boolean;
  filtered: boolean;
}[] =>
  table.indexes.some((index) => index.clustered)
    ? table.indexes
    : [
        {
          name: null,
          id: 0,
          unique: false,
          primary: false,
          constraint: false,
          clustered: false,
          filtered: false,
        },
        ...table.indexes,
      ];

const SYS: Record<string, (catalogue: Catalogue, database: Database) => View> = {
  databases: (catalogue) => ({
    columns: `name:n database_id:i source_database_id:i snapshot_isolation_state:y snapshot_isolation_state_desc:n
      is_read_committed_snapshot_on:b collation_name:n state:y state_desc:n is_read_only:b compatibility_level:y recovery_model_desc:n`,
    rows: [...catalogue.databases.values()].map((one) => [
      one.name,
      one.id,
      one.source?.id ?? null,
      one.allowSnapshot ? 1 : 0,
      one.allowSnapshot ? 'ON' : 'OFF',
      one.readCommittedSnapshot,
      COLLATION,
      0,
      'ONLINE',
      one.source !== undefined,
      160,
      'FULL',
    ]),
  }),
  schemas: (_, database) => ({
    columns: 'name:n schema_id:i principal_id:i',
    rows: [...database.schemas.values()].map((one) => [one.name, one.id, 1]),
  }),
  tables: (_, database) => ({
    columns:
      'name:n object_id:i schema_id:i type:n type_desc:n is_ms_shipped:b temporal_type:y is_memory_optimized:b is_external:b',
    rows: tables(database).map((table) => [
      table.name,
      table.objectId,
      schemaId(database, table),
      'U ',
      'USER_TABLE',
      false,
      0,
      false,
      false,
    ]),
  }),
  objects: (_, database) => ({
    columns: 'name:n object_id:i schema_id:i parent_object_id:i type:n type_desc:n is_ms_shipped:b',
    rows: tables(database).flatMap((table) => [
      [table.name, table.objectId, schemaId(database, table), 0, 'U ', 'USER_TABLE', false],
      ...table.foreignKeys.map((key) => [
        key.name,
        key.objectId,
        schemaId(database, table),
        table.objectId,
        'F ',
        'FOREIGN_KEY_CONSTRAINT',
        false,
      ]),
    ]),
  }),
  columns: (_, database) => ({
    columns: `object_id:i name:n column_id:i system_type_id:y user_type_id:i max_length:i precision:y scale:y is_nullable:b is_identity:b
      is_computed:b collation_name:n is_rowguidcol:b is_sparse:b is_hidden:b generated_always_type:y default_object_id:i is_column_set:b`,
    rows: tables(database).flatMap((table) =>
      table.columns.map((column) => {
        const numbers = catalogueNumbers(column.type);
        return [
          table.objectId,
          column.name,
          column.id,
          numbers.id,
          numbers.id,
          numbers.bytes,
          numbers.precision,
          numbers.scale,
          column.nullable,
          column.identity,
          column.computed,
          collationOf(column),
          false,
          false,
          false,
          0,
          column.defaultSql ? 1 : 0,
          false,
        ];
      }),
    ),
  }),
  types: () => ({
    columns:
      'name:n system_type_id:y user_type_id:i schema_id:i max_length:i precision:y scale:y is_nullable:b is_user_defined:b is_assembly_type:b',
    rows: TYPE_IDS.map(([name, system, user, bytes, precision, scale]) => [
      name,
      system,
      user,
      4,
      bytes,
      precision,
      scale,
      true,
      false,
      system === 240,
    ]),
  }),
  indexes: (_, database) => ({
    columns: `object_id:i name:n index_id:i type:y type_desc:n is_unique:b is_primary_key:b is_unique_constraint:b has_filter:b
      filter_definition:n is_disabled:b is_hypothetical:b`,
    rows: tables(database).flatMap((table) =>
      indexesOf(table).map((index) => {
        const type = index.id === 0 ? [0, 'HEAP'] : index.clustered ? [1, 'CLUSTERED'] : [2, 'NONCLUSTERED'];
        return [
          table.objectId,
          index.name,
          index.id,
          type[0] as number,
          type[1] as string,
          index.unique,
          index.primary,
          index.constraint && !index.primary,
          index.filtered,
          index.filtered ? '(…)' : null,
          false,
          false,
        ];
      }),
    ),
  }),
  index_columns: (_, database) => ({
    columns:
      'object_id:i index_id:i index_column_id:i column_id:i key_ordinal:y partition_ordinal:y is_descending_key:b is_included_column:b',
    rows: tables(database).flatMap((table) =>
      table.indexes.flatMap((index) =>
        index.columns.map((one, position) => [
          table.objectId,
          index.id,
          position + 1,
          columnId(table, one.column),
          one.included ? 0 : position + 1,
          0,
          one.descending,
          one.included,
        ]),
      ),
    ),
  }),
  foreign_keys: (_, database) => ({
    columns: `name:n object_id:i parent_object_id:i referenced_object_id:i schema_id:i delete_referential_action:y
      delete_referential_action_desc:n update_referential_action:y update_referential_action_desc:n is_disabled:b is_not_trusted:b`,
    rows: tables(database).flatMap((table) =>
      table.foreignKeys.map((key) => [
        key.name,
        key.objectId,
        table.objectId,
        referenced(database, key)?.objectId ?? 0,
        schemaId(database, table),
        0,
        'NO_ACTION',
        0,
        'NO_ACTION',
        false,
        false,
      ]),
    ),
  }),
  foreign_key_columns: (_, database) => ({
    columns:
      'constraint_object_id:i constraint_column_id:i parent_object_id:i parent_column_id:i referenced_object_id:i referenced_column_id:i',
    rows: tables(database).flatMap((table) =>
      table.foreignKeys.flatMap((key) =>
        key.columns.map((name, position) => {
          const target = referenced(database, key);
          return [
            key.objectId,
            position + 1,
            table.objectId,
            columnId(table, name),
            target?.objectId ?? 0,
            columnId(target, key.referencedColumns[position] ?? ''),
          ];
        }),
      ),
    ),
  }),
  partitions: (_, database) => ({
    columns: 'partition_id:l object_id:i index_id:i partition_number:i rows:l',
    rows: tables(database).flatMap((table) =>
      indexesOf(table).map((index) => [
        table.objectId * 4 + index.id,
        table.objectId,
        index.id,
        1,
        { sql: `(SELECT count(*) FROM ${table.stored})` },
      ]),
    ),
  }),
  database_files: (_, database) => ({ columns: FILES, rows: files(database) }),
  master_files: (catalogue) => ({ columns: FILES, rows: [...catalogue.databases.values()].flatMap(files) }),
  computed_columns: () => ({ columns: 'object_id:i name:n column_id:i definition:n', rows: [] }),
  triggers: () => ({ columns: 'name:n object_id:i parent_id:i is_disabled:b', rows: [] }),
  views: () => ({ columns: 'name:n object_id:i schema_id:i', rows: [] }),
  identity_columns: (_, database) => ({
    columns: 'object_id:i name:n column_id:i',
    rows: tables(database).flatMap((table) =>
      table.columns.filter((one) => one.identity).map((one) => [table.objectId, one.name, one.id]),
    ),
  }),
};

const FILES = 'database_id:i file_id:i name:n physical_name:n type:y type_desc:n state_desc:n size:i';
const files = (database: Database): Cell[][] => [
  [database.id, 1, database.source?.name ?? database.name, database.file, 0, 'ROWS', 'ONLINE', 1024],
  ...(database.source
    ? []
    : [
        [
          database.id,
          2,
          `${database.name}_log`,
          database.file.replace(/\.mdf$/, '_log.ldf'),
          1,
          'LOG',
          'ONLINE',
          1024,
        ],
      ]),
];
const collationOf = (column: Column): string | null =>
  isCharacter(column.type) ? (column.collation ?? COLLATION) : null;
const referenced = (
  database: Database,
  key: { referencedSchema: string; referencedTable: string },
): Table | undefined => database.tables.get(`${key.referencedSchema}.${key.referencedTable}`.toLowerCase());

const INFORMATION: Record<string, (catalogue: Catalogue, database: Database) => View> = {
  tables: (_, database) => ({
    columns: 'TABLE_CATALOG:n TABLE_SCHEMA:n TABLE_NAME:n TABLE_TYPE:n',
    rows: tables(database).map((table) => [database.name, table.schema, table.name, 'BASE TABLE']),
  }),
  columns: (_, database) => ({
    columns: `TABLE_CATALOG:n TABLE_SCHEMA:n TABLE_NAME:n COLUMN_NAME:n ORDINAL_POSITION:i COLUMN_DEFAULT:n IS_NULLABLE:n DATA_TYPE:n
      CHARACTER_MAXIMUM_LENGTH:i CHARACTER_OCTET_LENGTH:i NUMERIC_PRECISION:y NUMERIC_SCALE:i DATETIME_PRECISION:i COLLATION_NAME:n`,
    rows: tables(database).flatMap((table) =>
      table.columns.map((column) => {
        const { precision, scale, bytes } = catalogueNumbers(column.type);
        const sized = column.type.length !== undefined;
        const temporal = /^(date|time|datetime|datetime2|datetimeoffset|smalldatetime)$/.test(
          column.type.name,
        );
        const numeric = !sized && !temporal && !/^(bit|uniqueidentifier)$/.test(column.type.name);
        return [
          database.name,
          table.schema,
          table.name,
          column.name,
          column.id,
          column.defaultSql ?? null,
          column.nullable ? 'YES' : 'NO',
          column.type.name,
          sized ? (column.type.length as number) : null,
          sized ? bytes : null,
          numeric ? precision : null,
          numeric ? scale : null,
          temporal ? scale : null,
          collationOf(column),
        ];
      }),
    ),
  }),
  table_constraints: (_, database) => ({
    columns:
      'CONSTRAINT_CATALOG:n CONSTRAINT_SCHEMA:n CONSTRAINT_NAME:n TABLE_CATALOG:n TABLE_SCHEMA:n TABLE_NAME:n CONSTRAINT_TYPE:n',
    rows: tables(database).flatMap((table) =>
      constraints(table).map((one) => [
        database.name,
        table.schema,
        one.name,
        database.name,
        table.schema,
        table.name,
        one.type,
      ]),
    ),
  }),
  key_column_usage: (_, database) => ({
    columns:
      'CONSTRAINT_CATALOG:n CONSTRAINT_SCHEMA:n CONSTRAINT_NAME:n TABLE_CATALOG:n TABLE_SCHEMA:n TABLE_NAME:n COLUMN_NAME:n ORDINAL_POSITION:i',
    rows: tables(database).flatMap((table) =>
      constraints(table).flatMap((one) =>
        one.columns.map((column, i) => [
          database.name,
          table.schema,
          one.name,
          database.name,
          table.schema,
          table.name,
          column,
          i + 1,
        ]),
      ),
    ),
  }),
};

function constraints(table: Table): { name: string; type: string; columns: readonly string[] }[] {
  return [
    ...table.indexes
      .filter((index) => index.constraint)
      .map((index) => ({
        name: index.name,
        type: index.primary ? 'PRIMARY KEY' : 'UNIQUE',
        columns: index.columns.map((one) => one.column),
      })),
    ...table.foreignKeys.map((key) => ({ name: key.name, type: 'FOREIGN KEY', columns: key.columns })),
  ];
}
