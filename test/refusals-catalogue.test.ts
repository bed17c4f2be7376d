import { describe, expect, it } from 'vitest';
import {
  type CatalogueAnswers,
  type CatalogueRow,
  describeTable,
  lowerCase,
  typesAreSaid,
} from '../src/sql-server/catalogue.js';

/** The source's catalogue, read from recorded answers: SQL Server's own, and those of engines that say less, or otherwise. */
const INVOICE: CatalogueRow = { object_id: 20, schema_id: 1, name: 'Invoice' };
const SQL_SERVER: CatalogueAnswers = {
  schemas: [
    { schema_id: 1, name: 'dbo' },
    { schema_id: 5, name: 'crm' },
  ],
  tables: [INVOICE, { object_id: 10, schema_id: 5, name: 'Customer' }],
  types: [
    { name: 'bigint', system_type_id: 127, user_type_id: 127 },
    { name: 'nvarchar', system_type_id: 231, user_type_id: 231 },
    { name: 'sysname', system_type_id: 231, user_type_id: 256 },
    { name: 'Email', system_type_id: 231, user_type_id: 300 },
    { name: 'geometry', system_type_id: 240, user_type_id: 129 },
  ],
  columns: [
    column(2, 'Email', 231, {
      user_type_id: 300,
      max_length: 120,
      is_nullable: true,
      collation_name: 'X_CI',
    }),
    column(1, 'InvoiceId', 127, { is_identity: true }),
    column(3, 'CustomerId', 127, {}),
    column(4, 'Place', 240, { user_type_id: 129, max_length: -1 }),
  ],
  indexes: [
    { index_id: 1, name: 'PK', is_unique: true, is_primary_key: true, has_filter: false },
    { index_id: 2, name: 'UX', is_unique: true, is_primary_key: false, has_filter: false },
    { index_id: 3, name: 'UF', is_unique: true, is_primary_key: false, has_filter: true },
    { index_id: 5, name: 'UD', is_unique: true, is_primary_key: false, has_filter: false, is_disabled: true },
    { index_id: 4, name: 'IX', is_unique: false, is_primary_key: false, has_filter: false },
  ],
  indexColumns: [
    { index_id: 1, column_id: 1, key_ordinal: 1 },
    { index_id: 2, column_id: 3, key_ordinal: 2 },
    { index_id: 2, column_id: 2, key_ordinal: 1 },
    { index_id: 2, column_id: 4, key_ordinal: 0 },
    { index_id: 3, column_id: 3, key_ordinal: 1 },
    { index_id: 4, column_id: 3, key_ordinal: 1 },
    { index_id: 5, column_id: 3, key_ordinal: 1 },
  ],
  foreignKeys: [{ object_id: 70, name: 'FK', referenced_object_id: 10 }],
  foreignKeyColumns: [
    {
      constraint_object_id: 70,
      constraint_column_id: 1,
      parent_column_id: 3,
      referenced_object_id: 10,
      referenced_column_id: 1,
    },
  ],
  referencedColumns: [{ object_id: 10, column_id: 1, name: 'Id' }],
  standardColumns: [],
  rowCount: 1_000,
};

function column(columnId: number, name: string, type: number, more: CatalogueRow): CatalogueRow {
  return {
    object_id: 20,
    column_id: columnId,
    name,
    system_type_id: type,
    user_type_id: type,
    max_length: 8,
    precision: 19,
    scale: 0,
    is_nullable: false,
    is_computed: false,
    is_identity: false,
    collation_name: null,
    ...more,
  };
}

const describeWith = (change: Partial<CatalogueAnswers>) =>
  describeTable(INVOICE, { ...SQL_SERVER, ...change });
const said = describeWith({});
const each = (answers: CatalogueAnswers, change: (row: CatalogueRow) => CatalogueRow) =>
  Object.fromEntries(
    Object.entries(answers).map(([name, rows]) => [name, Array.isArray(rows) ? rows.map(change) : rows]),
  ) as unknown as CatalogueAnswers;

describe("SQL Server's own answers", () => {
  it('tell which columns are masked, and which are encrypted in either way', () => {
    const columns = [
      column(1, 'Plain', 127, { encryption_type: null, is_masked: false }),
      column(2, 'Deterministic', 127, { encryption_type: 1 }),
      column(3, 'Randomized', 127, { encryption_type: 2 }),
      column(4, 'Masked', 127, { encryption_type: null, is_masked: true }),
    ];
    const told = describeWith({ columns }).columns.map(({ encrypted, masked }) => ({ encrypted, masked }));
    expect(told).toEqual([{}, { encrypted: true }, { encrypted: true }, { masked: true }]);
  });

  it('give columns in their order, alias types as what they stand for, keys and foreign keys with both ends', () => {
    expect(said).toMatchObject({
      schema: 'dbo',
      name: 'Invoice',
      primaryKey: ['InvoiceId'],
      uniqueIndexes: [{ name: 'UX', columns: ['Email', 'CustomerId'] }],
      foreignKeys: [
        {
          name: 'FK',
          columns: ['CustomerId'],
          referencedSchema: 'crm',
          referencedTable: 'Customer',
          referencedColumns: ['Id'],
        },
      ],
      rowsEstimate: 1_000,
    });
    expect(
      said.columns.map(({ name, type, identity, nullable }) => [name, type, identity, nullable]),
    ).toEqual([
      ['InvoiceId', 'bigint', true, false],
      ['Email', 'nvarchar', false, true],
      ['CustomerId', 'bigint', false, false],
      ['Place', 'geometry', false, false],
    ]);
    expect(said.notSaid).toBeUndefined();
  });
});

describe('the answers of another engine', () => {
  it('may have their column names in capitals', () => {
    const shouting = each(SQL_SERVER, (row) =>
      Object.fromEntries(Object.entries(row).map(([name, value]) => [name.toUpperCase(), value])),
    );
    const read = Object.fromEntries(
      Object.entries(shouting).map(([name, rows]) => [name, Array.isArray(rows) ? lowerCase(rows) : rows]),
    ) as unknown as CatalogueAnswers;
    expect(
      describeTable(lowerCase([{ OBJECT_ID: 20, SCHEMA_ID: 1, NAME: 'Invoice' }])[0] ?? {}, read),
    ).toEqual(said);
  });

  it.each([
    ['flags as 0 and 1', (value: unknown) => (typeof value === 'boolean' ? Number(value) : value)],
    ['flags as text', (value: unknown) => (typeof value === 'boolean' ? String(value) : value)],
    [
      'everything as text',
      (value: unknown) =>
        value === null ? null : String(typeof value === 'boolean' ? Number(value) : value),
    ],
    ['numbers as BigInt', (value: unknown) => (typeof value === 'number' ? BigInt(value) : value)],
  ])('may have %s', (_, change) => {
    const other = each(SQL_SERVER, (row) =>
      Object.fromEntries(Object.entries(row).map(([name, value]) => [name, change(value)])),
    );
    expect(describeTable(INVOICE, { ...other, rowCount: '1000' })).toEqual(said);
  });

  it('may lack has_filter: then no unique index proves anything, and that is said', () => {
    const indexes = SQL_SERVER.indexes.map(({ has_filter: _, ...row }) => row);
    const found = describeWith({ indexes });
    expect(found.uniqueIndexes).toEqual([]);
    expect(found.primaryKey).toEqual(['InvoiceId']);
    expect(found.notSaid).toEqual([expect.stringContaining('has_filter')]);
  });

  it('may lack has_filter and still prove by a unique constraint, which never has one', () => {
    const indexes = SQL_SERVER.indexes.map(({ has_filter: _, ...row }) => ({
      ...row,
      is_unique_constraint: row.name === 'UX',
    }));
    expect(describeWith({ indexes }).uniqueIndexes.map(({ name }) => name)).toEqual(['UX']);
  });

  it('may not say how many rows there are, and that is said', () => {
    const found = describeWith({ rowCount: undefined });
    expect(found.rowsEstimate).toBeUndefined();
    expect(found.notSaid).toEqual([expect.stringContaining('sys.partitions')]);
  });

  it('may not describe types in sys: then INFORMATION_SCHEMA does', () => {
    const answers = {
      ...SQL_SERVER,
      types: [],
      columns: [{ object_id: 20, column_id: 1, name: 'Amount', is_nullable: undefined }],
      standardColumns: [
        {
          column_name: 'Amount',
          data_type: 'DECIMAL',
          numeric_precision: '18',
          numeric_scale: 4,
          is_nullable: 'NO',
        },
      ],
    };
    expect(typesAreSaid(SQL_SERVER)).toBe(true);
    expect(typesAreSaid(answers)).toBe(false);
    expect(describeTable(INVOICE, answers).columns[0]).toMatchObject({
      name: 'Amount',
      type: 'decimal',
      precision: 18,
      scale: 4,
      nullable: false,
    });
  });
});
