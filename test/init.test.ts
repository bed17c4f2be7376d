import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { mapping, pipelineName } from '../src/cli/init.js';
import { parseConfig } from '../src/config/load.js';
import { InitError, type InitInput, writeConfig } from '../src/init.js';
import { isReservedColumn, isReservedTable } from '../src/model/names.js';
import type { LiveColumnFacts, LiveForeignKey, LiveTable } from '../src/mysql/schema.js';
import type { SourceColumnFacts, SourceTable } from '../src/sql-server/schema.js';

const ENV = { MSSQL_URL: 'mssql://sa:pw@h/billing', MYSQL_URL: 'mysql://app:pw@h/invoices' };

function liveColumn(name: string, changes: Partial<LiveColumnFacts> = {}): LiveColumnFacts {
  return {
    name,
    type: 'int',
    columnType: 'int',
    nullable: true,
    charset: null,
    collation: null,
    precision: 10,
    scale: 0,
    lengthOctets: null,
    lengthCharacters: null,
    fractionDigits: null,
    extra: '',
    generated: false,
    autoIncrement: false,
    invisible: false,
    default: null,
    ...changes,
  };
}

function live(
  name: string,
  columns: (string | LiveColumnFacts)[],
  changes: Partial<LiveTable> = {},
): LiveTable {
  const facts = columns.map((column) => (typeof column === 'string' ? liveColumn(column) : column));
  return {
    name,
    columns: facts,
    primaryKey: facts.slice(0, 1).map((column) => column.name),
    uniqueIndexes: [],
    foreignKeys: [],
    referencedBy: [],
    triggers: [],
    partitioned: false,
    engine: 'InnoDB',
    kind: 'BASE TABLE',
    checks: [],
    rowsEstimate: 0,
    dataBytes: 0,
    ...changes,
  };
}

function sourceColumn(name: string, type = 'int'): SourceColumnFacts {
  return {
    name,
    type,
    maxLengthBytes: 4,
    precision: 10,
    scale: 0,
    nullable: true,
    computed: false,
    identity: false,
    collation: null,
  };
}

function source(name: string, columns: (string | SourceColumnFacts)[], schema = 'dbo'): SourceTable {
  const facts = columns.map((column) => (typeof column === 'string' ? sourceColumn(column) : column));
  return {
    schema,
    name,
    columns: facts,
    primaryKey: facts.slice(0, 1).map((column) => column.name),
    uniqueIndexes: [],
    foreignKeys: [],
  };
}

function foreignKey(table: string, column: string, parent: string, parentColumn: string): LiveForeignKey {
  return {
    name: `fk_${table}_${parent}`,
    schema: 'invoices',
    table,
    columns: [column],
    referencedSchema: 'invoices',
    referencedTable: parent,
    referencedColumns: [parentColumn],
    onDelete: 'NO ACTION',
    onUpdate: 'NO ACTION',
  };
}

function init(sourceTables: SourceTable[], liveTables: LiveTable[], changes: Partial<InitInput> = {}) {
  return writeConfig({
    pipeline: 'billing',
    sourceTables,
    liveTables,
    map: [],
    firstRun: 'live',
    sourceEnv: 'MSSQL_URL',
    targetEnv: 'MYSQL_URL',
    ...changes,
  });
}

test('tables and columns match by name, case, underscores and spaces aside', () => {
  const { text, leftOut } = init(
    [source('Invoice Line', ['InvoiceLineId', 'Unit Price'])],
    [live('invoice_line', ['invoice_line_id', 'unit_price'])],
  );
  const config = parseConfig(text, 'f', ENV);
  expect(leftOut).toEqual([]);
  expect(config).toMatchObject({ pipeline: 'billing', firstRun: 'live', source: { url: ENV.MSSQL_URL } });
  expect(config.tables).toMatchObject([
    {
      source: 'dbo.Invoice Line',
      live: 'invoice_line',
      key: ['invoice_line_id'],
      columns: { invoice_line_id: { from: 'InvoiceLineId' }, unit_price: { from: 'Unit Price' } },
    },
  ]);
});

test('what could not be matched stands in the file as comments', () => {
  const { text, leftOut } = init(
    [source('A', ['Id', 'Gone']), source('Nowhere', ['Id'])],
    [live('a', ['id', 'note']), live('b', ['id'])],
  );
  expect(parseConfig(text, 'f', ENV).tables.map((table) => table.live)).toEqual(['a']);
  expect(text).toContain("# live's note is left alone: no source column of that name");
  expect(text).toContain("# the source's Gone goes nowhere");
  expect(text).toContain('#   b: no source table of that name');
  expect(text).toContain('#   dbo.Nowhere: no live table of that name');
  expect(leftOut).toHaveLength(2);
});

test('a named pair wins over names, and frees them for nobody else', () => {
  const { tables, text } = init([source('Old', ['Id']), source('New', ['Id'])], [live('old', ['id'])], {
    map: [{ source: { schema: 'DBO', table: 'new' }, live: 'old' }],
  });
  expect(tables).toEqual(['old']);
  expect(parseConfig(text, 'f', ENV).tables[0]?.source).toBe('dbo.New');
});

test('a pair that names no table is refused', () => {
  const map = (table: string, liveName: string) => ({
    map: [{ source: { schema: 'dbo', table }, live: liveName }],
  });
  const run = (changes: Partial<InitInput>) => () =>
    init([source('A', ['Id'])], [live('a', ['id'])], changes);
  expect(run(map('X', 'a'))).toThrow(/source has no table dbo\.X/);
  expect(run(map('A', 'x'))).toThrow(/target has no table x/);
});

test('a name that two schemas have is not guessed', () => {
  const tables = [source('A', ['Id']), source('A', ['Id'], 'sales')];
  expect(() => init(tables, [live('a', ['id'])])).toThrow(/dbo\.A or sales\.A/);
});

test('parents stand before their children', () => {
  const key = foreignKey('a_child', 'parent_id', 'z_parent', 'id');
  const { tables } = init(
    [source('AChild', ['Id', 'ParentId']), source('ZParent', ['Id'])],
    [
      live('a_child', ['id', 'parent_id'], { foreignKeys: [key] }),
      live('z_parent', ['id'], { referencedBy: [key] }),
    ],
  );
  expect(tables).toEqual(['z_parent', 'a_child']);
});

test('backups and triggers of earlier runs are no reason to leave a table out', () => {
  const key = foreignKey('_ss3o_child', 'id', 'parent', 'id');
  const trigger = { name: '_ss3lu_parent', event: 'UPDATE', timing: 'AFTER', definer: 'a@b' };
  const { tables } = init(
    [source('Parent', ['Id'])],
    [live('parent', ['id'], { referencedBy: [key], triggers: [trigger] })],
  );
  expect(tables).toEqual(['parent']);
});

test('a foreign key that cascades leaves the table out', () => {
  const key = { ...foreignKey('child', 'parent_id', 'parent', 'id'), onDelete: 'CASCADE' };
  const run = () =>
    init(
      [source('Child', ['Id', 'ParentId']), source('Parent', ['Id'])],
      [
        live('child', ['id', 'parent_id'], { foreignKeys: [key] }),
        live('parent', ['id'], { referencedBy: [key] }),
      ],
    );
  expect(run).toThrow(/fk_child_parent cascades/);
});

test('tables whose foreign keys leave the group are left out, until none does', () => {
  const lineToInvoice = foreignKey('line', 'invoice_id', 'invoice', 'id');
  const noteToLine = foreignKey('note', 'line_id', 'line', 'id');
  const { tables, leftOut } = init(
    [source('Customer', ['Id']), source('Invoice', ['Id']), source('Line', ['Id', 'InvoiceId'])],
    [
      live('customer', ['id']),
      live('invoice', ['id'], { referencedBy: [lineToInvoice] }),
      live('line', ['id', 'invoice_id'], { foreignKeys: [lineToInvoice], referencedBy: [noteToLine] }),
      live('note', ['id', 'line_id'], { foreignKeys: [noteToLine] }),
    ],
  );
  expect(tables).toEqual(['customer']);
  expect(leftOut.join('\n')).toMatch(/note, which is not published, points to it/);
  expect(leftOut.join('\n')).toMatch(/fk_line_invoice of line, which is not published/);
});

describe('a table is left out with the reason when', () => {
  const good = { source: source('Good', ['Id']), live: live('good', ['id']) };
  const cases: [string, SourceTable, LiveTable, RegExp][] = [
    ['live has no primary key', source('T', ['Id']), live('t', ['id'], { primaryKey: [] }), /no primary key/],
    [
      'a key column matches nothing',
      source('T', ['Other']),
      live('t', ['id']),
      /key column id: no source column/,
    ],
    ['live is a view', source('T', ['Id']), live('t', ['id'], { kind: 'VIEW' }), /a view/],
    [
      'a column without a default cannot be filled',
      source('T', ['Id']),
      live('t', ['id', liveColumn('must', { nullable: false })]),
      /must is NOT NULL without a default/,
    ],
    ['live has no transactions', source('T', ['Id']), live('t', ['id'], { engine: 'MyISAM' }), /MyISAM/],
    ['live is partitioned', source('T', ['Id']), live('t', ['id'], { partitioned: true }), /partitioned/],
    ["live's name is too long", source('x'.repeat(60), ['Id']), live('x'.repeat(60), ['id']), /longer than/],
    [
      "the key's types do not fit",
      source('T', [sourceColumn('Id', 'xml')]),
      live('t', ['id']),
      /key column id: xml/,
    ],
  ];
  test.each(cases)('%s', (_, from, to, why) => {
    const { tables, leftOut } = init([good.source, from], [good.live, to]);
    expect(tables).toEqual(['good']);
    expect(leftOut.join('\n')).toMatch(why);
  });
});

test('columns that cannot be filled are left alone with the reason', () => {
  const { text } = init(
    [source('T', ['Id', 'Total', sourceColumn('Doc', 'xml')])],
    [live('t', ['id', liveColumn('total', { generated: true }), 'doc'])],
  );
  expect(Object.keys(parseConfig(text, 'f', ENV).tables[0]?.columns ?? {})).toEqual(['id']);
  expect(text).toContain("live's total is left alone: generated by MySQL");
  expect(text).toContain("live's doc is left alone: xml");
});

test('a source key that nothing proves unique is pointed out', () => {
  const { text } = init([{ ...source('T', ['Id']), primaryKey: [] }], [live('t', ['id'])]);
  expect(text).toMatch(/does not promise that Id is unique/);
});

test('nothing to publish is refused with every reason', () => {
  expect(() => init([source('A', ['Id'])], [live('b', ['id'])])).toThrow(InitError);
});

test.each(['_ssl_cert', '_ss_note', '_ss1_old'])('the application may call a table %s', (table) => {
  const { text } = init([source(table, ['_ssn'])], [live(table, ['_ssn'])]);
  expect(parseConfig(text, 'f', ENV).tables.map(({ live, key }) => [live, key])).toEqual([[table, ['_ssn']]]);
});

test('whatever the names, the file loads and means the names', () => {
  const name = fc
    .string({
      unit: fc.constantFrom(...'aZ09_ -#:\'"{}[]&*!|>%@`,?~é中\\\n\t$'),
      minLength: 1,
      maxLength: 20,
    })
    .filter((text) => !/[.[\]]/.test(text) && !isReservedTable(text) && !isReservedColumn(text))
    .filter((text) => text.trim() !== '' && !/^(0|[1-9]\d*)$/.test(text));
  const names = fc.uniqueArray(name, {
    minLength: 2,
    maxLength: 6,
    selector: (text) => text.toLowerCase().replace(/[_\s]/g, ''),
  });
  fc.assert(
    fc.property(names, ([table = '', ...columns]) => {
      const { text } = init([source(table, columns)], [live(table, columns)]);
      const [loaded] = parseConfig(text, 'f', ENV).tables;
      expect(loaded?.live).toBe(table);
      expect(loaded?.source).toBe(`dbo.${table}`);
      expect(Object.entries(loaded?.columns ?? {}).map(([to, { from }]) => [to, from])).toEqual(
        columns.map((column) => [column, column]),
      );
    }),
    { verbose: 1 },
  );
});

test('a schema gives a pipeline its name', () => {
  expect(pipelineName('stageswap_demo_App')).toBe('stageswap-demo-app');
  expect(pipelineName('9_x')).toBe('x');
  expect(pipelineName('中')).toBe('pipeline');
});

test('--map is read as SCHEMA.TABLE=LIVE', () => {
  expect(mapping('dbo.Customer=customer', [])).toEqual([
    { source: { schema: 'dbo', table: 'Customer' }, live: 'customer' },
  ]);
  expect(() => mapping('customer', [])).toThrow(/dbo\.Customer=customer/);
});
