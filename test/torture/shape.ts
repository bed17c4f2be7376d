import { Random } from '../../demo/app/random.js';
import {
  type Group,
  identityOf,
  type Row,
  type Side,
  type Table,
  type Unit,
  type Value,
} from '../merge/oracle.js';

/**
 * The schema and the configuration of one campaign: customers, their invoices and the invoices' lines, with what a seed
 * says of keys, unique indexes, owners and policies. Workers read the configuration once, so seeds of a campaign share it.
 */

export const SEEDS_A_CAMPAIGN = 10;
export const campaignOf = (seed: number) => Math.floor(seed / SEEDS_A_CAMPAIGN);

type Type = 'key' | 'bigint' | 'int' | 'text' | 'money' | 'at';
const LIVE: Record<Type, string> = {
  key: 'VARCHAR(20)',
  bigint: 'BIGINT',
  int: 'INT',
  text: 'VARCHAR(80)',
  money: 'DECIMAL(19,4)',
  at: 'DATETIME(6)',
};
const SOURCE: Record<Type, string> = {
  key: 'nvarchar(20)',
  bigint: 'bigint',
  int: 'int',
  text: 'nvarchar(80)',
  money: 'decimal(19,4)',
  at: 'datetime2(6)',
};

export type TableName = 'customer' | 'invoice' | 'line';
export interface TortureTable extends Table {
  name: TableName;
  types: Record<string, Type>;
}

export interface Shape {
  firstRun: Side;
  moment: 'auto' | 'snapshot' | 'transaction';
  parallel: number;
  /** runs ask for approval, have a window, and read the source again where what they have read is older than this */
  sourceAgeSecondsMax?: number;
  tables: Record<TableName, TortureTable>;
}

/** One campaign of so many waits at its gate; the last, so that those that once found something stay what they were. */
const CAMPAIGNS_A_WAIT = 10;
/** A run that is struck three times is ready within it, and two readings with the wait between them end in time. */
const SOURCE_AGE_SECONDS_MAX = 60;

/** Customers up to this one are never deleted and keep their code; billing's sums hang on them. */
export const STABLE_CUSTOMERS = 10;
/** This customer's balance is the number of billing's last transaction; clients leave him alone. */
export const METER = 1;

/** What the source says of an invoice and its lines adds up, and in live as well, as long as clients keep away from both. */
export type InvoiceClass = 'memoOnly' | 'billingOnly' | 'wild';
export const classOf = (invoice: number): InvoiceClass =>
  (['memoOnly', 'billingOnly', 'wild'] as const)[invoice % 3] ?? 'wild';

const caseless = (text: string) => text.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase();

export function drawShape(campaign: number): Shape {
  const random = new Random(campaign * 6151 + 5);
  const keyType: Type = random.chance(0.5) ? 'bigint' : 'key';
  const unit = (columns: string[], owner?: Unit['owner']): Unit => ({
    columns,
    owner: owner ?? random.pick(['merge', 'merge', 'merge', 'live'] as const),
    onConflict: random.pick(['live', 'live', 'source'] as const),
  });
  const table = (
    name: TableName,
    types: Record<string, Type>,
    key: string[],
    units: Unit[],
    more: Partial<Omit<Table, 'name'>>,
  ): TortureTable => ({
    name,
    types,
    key,
    units,
    own: { note: null },
    onSourceDelete: 'delete',
    onLiveDelete: random.pick(['respect', 'respect', 'restore'] as const),
    references: [],
    unique: [],
    folds: Object.fromEntries(
      Object.entries(types).flatMap(([column, type]) =>
        type === 'text' || type === 'key' ? [[column, caseless] as const] : [],
      ),
    ),
    ...more,
  });
  const toCustomer = { columns: ['customer_id'], parent: 'customer', parentColumns: ['customer_id'] };
  const toInvoice = { columns: ['invoice_id'], parent: 'invoice', parentColumns: ['invoice_id'] };
  const hasBoss = random.chance(0.4);
  const composite = random.chance(0.5);
  const customer = table(
    'customer',
    {
      customer_id: keyType,
      code: 'text',
      name: 'text',
      email: 'text',
      street: 'text',
      city: 'text',
      postcode: 'text',
      balance: 'money',
      seen_at: 'at',
      ...(hasBoss ? { boss_id: keyType } : {}),
      note: 'text',
    },
    ['customer_id'],
    [
      unit(['code'], 'merge'),
      unit(['name']),
      unit(['email'], 'merge'),
      unit(['street', 'city', 'postcode'], 'merge'),
      unit(['balance'], 'source'),
      unit(['seen_at']),
      ...(hasBoss ? [unit(['boss_id'], 'merge')] : []),
    ],
    {
      onSourceDelete: random.pick(['delete', 'delete', 'keep'] as const),
      unique: random.chance(0.7) ? [['code']] : [],
      references: hasBoss
        ? [{ columns: ['boss_id'], parent: 'customer', parentColumns: ['customer_id'] }]
        : [],
    },
  );
  const invoice = table(
    'invoice',
    {
      invoice_id: 'bigint',
      customer_id: keyType,
      amount: 'money',
      memo: 'text',
      status: 'text',
      note: 'text',
    },
    ['invoice_id'],
    [unit(['customer_id'], 'merge'), unit(['amount'], 'source'), unit(['memo'], 'merge'), unit(['status'])],
    { references: [toCustomer] },
  );
  const line = composite
    ? table(
        'line',
        { invoice_id: 'bigint', no: 'int', amount: 'money', text: 'text', note: 'text' },
        ['invoice_id', 'no'],
        [unit(['amount'], 'source'), unit(['text'], 'merge')],
        { references: [toInvoice] },
      )
    : table(
        'line',
        { line_id: 'bigint', invoice_id: 'bigint', no: 'int', amount: 'money', text: 'text', note: 'text' },
        ['line_id'],
        [
          unit(['invoice_id'], 'merge'),
          unit(['no'], 'merge'),
          unit(['amount'], 'source'),
          unit(['text'], 'merge'),
        ],
        { references: [toInvoice] },
      );
  return {
    firstRun: random.pick(['source', 'live'] as const),
    moment: random.pick(['auto', 'snapshot', 'transaction'] as const),
    parallel: 1 + random.below(3),
    ...(campaign % CAMPAIGNS_A_WAIT === CAMPAIGNS_A_WAIT - 1
      ? { sourceAgeSecondsMax: SOURCE_AGE_SECONDS_MAX }
      : {}),
    tables: { customer, invoice, line },
  };
}

/** Parents before their children. */
export const tablesOf = (shape: Shape): TortureTable[] => [
  shape.tables.customer,
  shape.tables.invoice,
  shape.tables.line,
];

/** The key of a customer by its number. */
export function customerKey(shape: Shape, number: number): string {
  return shape.tables.customer.types.customer_id === 'bigint'
    ? String(number)
    : `C${String(number).padStart(7, '0')}`;
}

/** The key of a line: by place in its invoice, or by a number of its own that follows from both. */
export function lineKey(shape: Shape, invoice: number, no: number): Record<string, string> {
  const place = { invoice_id: String(invoice), no: String(no) };
  return shape.tables.line.key.includes('line_id')
    ? { line_id: String(invoice * 100 + no), ...place }
    : place;
}

export const mappedColumns = (table: TortureTable) =>
  Object.keys(table.types).filter((column) => !(column in table.own));

const sourceName = (table: TortureTable) => `T${table.name}`;

/** CREATE TABLE of each table of live. */
export function liveDefinitions(shape: Shape): string[] {
  return tablesOf(shape).map((table) => {
    const columns = Object.entries(table.types).map(
      ([column, type]) => `${column} ${LIVE[type]} ${table.key.includes(column) ? 'NOT NULL' : 'NULL'}`,
    );
    return `CREATE TABLE ${table.name} (${[
      ...columns,
      `PRIMARY KEY (${table.key.join(', ')})`,
      ...table.unique.map((index) => `UNIQUE KEY by_${index.join('_')} (${index.join(', ')})`),
      ...table.references.map(
        ({ columns: from, parent, parentColumns }) =>
          `CONSTRAINT ${table.name}_${from.join('_')} FOREIGN KEY (${from.join(', ')}) REFERENCES ${parent} (${parentColumns.join(', ')})`,
      ),
    ].join(', ')})`;
  });
}

/** Statements that make the source's tables afresh. */
export function sourceDefinitions(shape: Shape): string[] {
  return [
    ...['line', 'invoice', 'customer'].map((name) => `DROP TABLE IF EXISTS dbo.T${name}`),
    ...tablesOf(shape).map((table) => {
      const columns = mappedColumns(table).map(
        (column) =>
          `${column} ${SOURCE[table.types[column] ?? 'text']} ${table.key.includes(column) ? 'NOT NULL' : 'NULL'}`,
      );
      return `CREATE TABLE dbo.${sourceName(table)} (${columns.join(', ')}, PRIMARY KEY (${table.key.join(', ')}))`;
    }),
  ];
}

/** A value as T-SQL. */
const literal = (value: Value) => (value === null ? 'NULL' : `N'${value.replaceAll("'", "''")}'`);

export function sourceInsert(table: TortureTable, rows: Row[]): string {
  const columns = mappedColumns(table);
  const values = rows.map((row) => `(${columns.map((column) => literal(row[column] ?? null)).join(', ')})`);
  return `INSERT INTO dbo.${sourceName(table)} (${columns.join(', ')}) VALUES ${values.join(', ')}`;
}
const sourceWhere = (table: TortureTable, row: Row) =>
  table.key.map((column) => `${column} = ${literal(row[column] ?? null)}`).join(' AND ');
export function sourceUpdate(table: TortureTable, row: Row, set: Row): string {
  const values = Object.entries(set).map(([column, value]) => `${column} = ${literal(value)}`);
  return `UPDATE dbo.${sourceName(table)} SET ${values.join(', ')} WHERE ${sourceWhere(table, row)}`;
}
export function sourceDelete(table: TortureTable, row: Row): string {
  return `DELETE FROM dbo.${sourceName(table)} WHERE ${sourceWhere(table, row)}`;
}

/** The window is all but closed one minute a day: it is asked for, and keeps nobody waiting. */
const gateOf = ({ sourceAgeSecondsMax }: Shape): string =>
  sourceAgeSecondsMax === undefined
    ? 'approve: never'
    : `approve: always\nsourceAgeMax: ${sourceAgeSecondsMax}s\nwindow: "00:00-23:59 UTC"`;

/** `stageswap.yaml` of a campaign. Guards leave room for what billing does on a usual day, and stop a broken export. */
export function configurationOf(shape: Shape, pipeline: string): string {
  const tables = tablesOf(shape).map((table) => {
    const unitOf = (column: string) => table.units.find((unit) => unit.columns.includes(column));
    const columns = mappedColumns(table).map((column) => {
      const unit = unitOf(column);
      return `      ${column}: { from: ${column}${unit ? `, owner: ${unit.owner}, onConflict: ${unit.onConflict}` : ''} }`;
    });
    const groups = table.units.filter((unit) => unit.columns.length > 1).map((unit) => unit.columns);
    return [
      `  - source: dbo.${sourceName(table)}`,
      `    live: ${table.name}`,
      `    key: ${JSON.stringify(table.key)}`,
      `    groups: ${JSON.stringify(groups)}`,
      `    onSourceDelete: ${table.onSourceDelete}`,
      `    onLiveDelete: ${table.onLiveDelete}`,
      '    columns:',
      ...columns,
    ].join('\n');
  });
  return `pipeline: ${pipeline}
source: { url: "\${MSSQL_URL}", moment: ${shape.moment} }
target: { url: "\${MYSQL_URL}" }
firstRun: ${shape.firstRun}
${gateOf(shape)}
chunkRows: 100
parallel: ${shape.parallel}
guards: { deleteShareMax: 0.5 }
cutOver: { heldMsMax: 60000 }
tables:
${tables.join('\n')}
`;
}

/** Rows by the identity of their key. */
export function byIdentity(table: TortureTable, rows: Row[]): Map<string, Row> {
  return new Map(rows.map((row) => [identityOf(table, row), row]));
}
export const emptyGroup = (): Record<TableName, Map<string, Row>> => ({
  customer: new Map(),
  invoice: new Map(),
  line: new Map(),
});
export const copyOf = (group: Group): Record<TableName, Map<string, Row>> => ({
  customer: new Map(group.customer),
  invoice: new Map(group.invoice),
  line: new Map(group.line),
});

/** A shape that a run may change. */
export function ownShape(shape: Shape): Shape {
  const table = (from: TortureTable): TortureTable => ({
    ...from,
    types: { ...from.types },
    own: { ...from.own },
  });
  const { customer, invoice, line } = shape.tables;
  return { ...shape, tables: { customer: table(customer), invoice: table(invoice), line: table(line) } };
}
