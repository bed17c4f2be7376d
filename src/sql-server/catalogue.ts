import type { SourceColumnFacts, SourceForeignKey, SourceTable } from './schema.js';

/**
 * What the source's catalogue answered, as rows of its own views, unread: engines differ in the case of the names, in
 * the JavaScript types of flags and numbers, and in which columns a view has.
 */
export interface CatalogueAnswers {
  /** sys.schemas */
  schemas: CatalogueRow[];
  /** sys.tables */
  tables: CatalogueRow[];
  /** sys.columns of one table */
  columns: CatalogueRow[];
  /** sys.types */
  types: CatalogueRow[];
  /** sys.indexes and sys.index_columns of one table */
  indexes: CatalogueRow[];
  indexColumns: CatalogueRow[];
  /** sys.foreign_keys and sys.foreign_key_columns of one table, and sys.columns of the tables they point to */
  foreignKeys: CatalogueRow[];
  foreignKeyColumns: CatalogueRow[];
  referencedColumns: CatalogueRow[];
  /** INFORMATION_SCHEMA.COLUMNS of one table; asked for only where sys does not describe a column's type */
  standardColumns: CatalogueRow[];
  /** sum of sys.partitions.rows; undefined where the login may not see it, or the engine does not have it */
  rowCount: unknown;
}
export type CatalogueRow = Record<string, unknown>;

/** Rows with their column names in lower case: an engine may answer `OBJECT_ID` where `object_id` was asked for. */
export function lowerCase(rows: CatalogueRow[]): CatalogueRow[] {
  return rows.map((row) =>
    Object.fromEntries(Object.entries(row).map(([name, value]) => [name.toLowerCase(), value])),
  );
}

/** One table as its catalogue describes it; what the catalogue did not say is named in `notSaid`. */
export function describeTable(table: CatalogueRow, answers: CatalogueAnswers): SourceTable {
  const notSaid: string[] = [];
  const names = new Map(answers.columns.map((row) => [number(row.column_id), text(row.name)]));
  const indexes = [...answers.indexes].sort((a, b) => number(a.index_id) - number(b.index_id));
  const keyOf = (index: CatalogueRow) =>
    answers.indexColumns
      .filter((row) => number(row.index_id) === number(index.index_id) && number(row.key_ordinal) > 0)
      .sort((a, b) => number(a.key_ordinal) - number(b.key_ordinal))
      .map((row) => names.get(number(row.column_id)) ?? '');
  const primary = indexes.find((row) => truth(row.is_primary_key));
  // A disabled index is not kept up to date: it proves nothing.
  const unique = indexes.filter(
    (row) => truth(row.is_unique) && !truth(row.is_primary_key) && !truth(row.is_disabled),
  );
  // Only an index that is known to have no filter proves anything for all rows.
  const proving = unique.filter((row) => truth(row.is_unique_constraint) || isSaid(row.has_filter));
  if (proving.length < unique.length)
    notSaid.push(
      'whether unique indexes have a filter (sys.indexes.has_filter): uniqueness is counted instead',
    );
  const rowsEstimate = isSaid(answers.rowCount) ? number(answers.rowCount) : undefined;
  if (rowsEstimate === undefined) notSaid.push('row counts (sys.partitions): progress has no total');
  return {
    schema: schemaOf(table, answers.schemas),
    name: text(table.name),
    columns: [...answers.columns]
      .sort((a, b) => number(a.column_id) - number(b.column_id))
      .map((row) => describeColumn(row, answers)),
    primaryKey: primary ? keyOf(primary) : [],
    uniqueIndexes: proving
      .filter((row) => !truth(row.has_filter))
      .map((row) => ({ name: text(row.name), columns: keyOf(row) })),
    foreignKeys: foreignKeysOf(answers, names),
    ...(rowsEstimate === undefined ? {} : { rowsEstimate }),
    ...(notSaid.length > 0 ? { notSaid } : {}),
  };
}

/** Whether sys alone describes the type of every column of the table. */
export function typesAreSaid(answers: CatalogueAnswers): boolean {
  return answers.columns.every(
    (row) =>
      typeName(row, answers.types) !== '' &&
      [row.max_length, row.precision, row.scale].every((value) => isSaid(value)),
  );
}

/** Name of the schema that a row of sys.tables is in. */
export function schemaOf(table: CatalogueRow | undefined, schemas: CatalogueRow[]): string {
  return text(schemas.find((row) => number(row.schema_id) === number(table?.schema_id))?.name);
}

function describeColumn(row: CatalogueRow, answers: CatalogueAnswers): SourceColumnFacts {
  const name = text(row.name);
  const standard = answers.standardColumns.find((other) => text(other.column_name) === name) ?? {};
  const first = (...values: unknown[]) => number(values.find(isSaid) ?? 0);
  return {
    name,
    type: typeName(row, answers.types) || text(standard.data_type).toLowerCase(),
    maxLengthBytes: first(row.max_length, standard.character_octet_length),
    precision: first(row.precision, standard.numeric_precision, standard.datetime_precision),
    scale: first(row.scale, standard.numeric_scale, standard.datetime_precision),
    nullable: isSaid(row.is_nullable) ? truth(row.is_nullable) : truth(standard.is_nullable),
    computed: truth(row.is_computed),
    identity: truth(row.is_identity),
    ...(truth(row.is_masked) ? { masked: true } : {}),
    // 1: deterministic, 2: randomized; NULL in all others, 0 where an engine knows no NULL here
    ...(number(row.encryption_type) > 0 ? { encrypted: true } : {}),
    collation: isSaid(row.collation_name) ? text(row.collation_name) : null,
  };
}

/** An alias type is resolved to its system type; CLR types have system type 240 and keep their own name. */
function typeName(column: CatalogueRow, types: CatalogueRow[]): string {
  const system = number(column.system_type_id);
  const own = types.find((row) => number(row.user_type_id) === number(column.user_type_id));
  const base = system === 240 ? own : types.find((row) => number(row.user_type_id) === system);
  return text((base ?? own)?.name).toLowerCase();
}

function foreignKeysOf(answers: CatalogueAnswers, names: Map<number, string>): SourceForeignKey[] {
  return [...answers.foreignKeys]
    .sort((a, b) => (text(a.name) < text(b.name) ? -1 : 1))
    .map((key) => {
      const parent = answers.tables.find((row) => number(row.object_id) === number(key.referenced_object_id));
      const columns = answers.foreignKeyColumns
        .filter((row) => number(row.constraint_object_id) === number(key.object_id))
        .sort((a, b) => number(a.constraint_column_id) - number(b.constraint_column_id));
      return {
        name: text(key.name),
        columns: columns.map((row) => names.get(number(row.parent_column_id)) ?? ''),
        referencedSchema: schemaOf(parent, answers.schemas),
        referencedTable: text(parent?.name),
        referencedColumns: columns.map((row) => {
          const referenced = answers.referencedColumns.find(
            (other) =>
              number(other.object_id) === number(row.referenced_object_id) &&
              number(other.column_id) === number(row.referenced_column_id),
          );
          return text(referenced?.name);
        }),
      };
    });
}

export function isSaid(value: unknown): boolean {
  return value !== null && value !== undefined;
}

/** A flag as any engine gives it: true, 1, "1", "true", "YES". */
export function truth(value: unknown): boolean {
  return value === true || ['1', 'true', 'yes'].includes(text(value).toLowerCase());
}

/** A number as any engine gives it: 5, 5n, "5"; NaN for none, which equals nothing. */
export function number(value: unknown): number {
  return isSaid(value) ? Number(value) : Number.NaN;
}

export function text(value: unknown): string {
  return isSaid(value) ? String(value) : '';
}
