/** The tables that the bench copies: as both sides define them, and their rows. */

export interface BenchColumn {
  /** live's name */
  name: string;
  /** the source's name */
  source: string;
  /** T-SQL type, without NULL or NOT NULL */
  sourceType: string;
  liveType: string;
}

export interface BenchTable {
  name: 'wide' | 'narrow';
  /** live's name */
  live: string;
  /** schema.table of the source */
  source: string;
  /** the first is the key */
  columns: BenchColumn[];
  /** the row of a key: texts as MySQL prints them, in the order of the columns */
  row(key: number): string[];
  /** what a client edits, and what billing changes: columns of live */
  edited: string;
  changed: string;
}

const column = (name: string, source: string, sourceType: string, liveType: string): BenchColumn => ({
  name,
  source,
  sourceType,
  liveType,
});

const FIRST = ['Ada', 'Grace', 'Alan', 'Edsger', 'Barbara', 'Donald', 'Frances', 'Niklaus', 'Radia', 'Ken'];
const LAST = ['Lovelace', 'Hopper', 'Turing', 'Dijkstra', 'Liskov', 'Knuth', 'Allen', 'Wirth', 'Perlman'];
const STREETS = ['Rosenthaler Strasse', 'Main Street North', 'Avenue de la République', 'Königsallee West'];
const STATUS = ['open', 'paid', 'overdue', 'closed'];

const pick = (from: string[], key: number) => from[key % from.length] ?? '';
const two = (number: number) => String(number).padStart(2, '0');

function day(key: number): string {
  return `20${two(15 + (key % 10))}-${two(1 + (key % 12))}-${two(1 + (key % 28))}`;
}
function moment(key: number): string {
  const micros = String((key * 7919) % 1_000_000).padStart(6, '0');
  return `${day(key)} ${two(key % 24)}:${two(key % 60)}:${two((key * 7) % 60)}.${micros}`;
}
function amount(key: number): string {
  return `${(key * 37) % 1_000_000}.${String((key * 13) % 10_000).padStart(4, '0')}`;
}

/** 12 columns, about 205 bytes a row. */
export const WIDE: BenchTable = {
  name: 'wide',
  live: 'bench_wide',
  source: 'dbo.BenchWide',
  columns: [
    column('account_id', 'AccountId', 'bigint', 'bigint'),
    column('account', 'Account', 'nvarchar(20)', 'varchar(20)'),
    column('name', 'Name', 'nvarchar(60)', 'varchar(60)'),
    column('email', 'Email', 'nvarchar(80)', 'varchar(80)'),
    column('phone', 'Phone', 'nvarchar(24)', 'varchar(24)'),
    column('address', 'Address', 'nvarchar(120)', 'varchar(120)'),
    column('status', 'Status', 'varchar(12)', 'varchar(12)'),
    column('balance', 'Balance', 'decimal(18,4)', 'decimal(18,4)'),
    column('credit', 'Credit', 'decimal(18,4)', 'decimal(18,4)'),
    column('due_on', 'DueOn', 'date', 'date'),
    column('created_at', 'CreatedAt', 'datetime2(6)', 'datetime(6)'),
    column('updated_at', 'UpdatedAt', 'datetime2(6)', 'datetime(6)'),
  ],
  row(key) {
    const [first, last] = [pick(FIRST, key), pick(LAST, key)];
    return [
      String(key),
      `ACC-${String(key).padStart(9, '0')}`,
      `${first} ${last}`,
      `${first.toLowerCase()}.${last.toLowerCase()}.${key}@example.org`,
      `+49 30 ${String((key * 31) % 100_000_000).padStart(8, '0')}`,
      `${pick(STREETS, key)} ${key % 300}, ${10_000 + (key % 90_000)} Berlin`,
      pick(STATUS, key),
      amount(key),
      amount(key + 11),
      day(key),
      moment(key),
      moment(key + 17),
    ];
  },
  edited: 'email',
  changed: 'balance',
};

/** 4 columns. */
export const NARROW: BenchTable = {
  name: 'narrow',
  live: 'bench_narrow',
  source: 'dbo.BenchNarrow',
  columns: [
    column('line_id', 'LineId', 'bigint', 'bigint'),
    column('amount', 'Amount', 'decimal(18,4)', 'decimal(18,4)'),
    column('status', 'Status', 'varchar(12)', 'varchar(12)'),
    column('updated_at', 'UpdatedAt', 'datetime2(6)', 'datetime(6)'),
  ],
  row(key) {
    return [String(key), amount(key), pick(STATUS, key), moment(key)];
  },
  edited: 'status',
  changed: 'amount',
};

/** The bench makes and drops only databases of these names. @throws {Error} any other name */
export function assertBenchDatabase(name: string): void {
  if (!/^stageswap_demo_[a-z0-9_]+$/.test(name))
    throw new Error(`the bench touches only databases named stageswap_demo_*, not ${name}`);
}

/** Rows as LOAD DATA reads them by default: tabs between fields, a line each; in buffers of about a megabyte. */
export function readyBuffers(table: BenchTable, rows: number): Buffer[] {
  const buffers: Buffer[] = [];
  let text = '';
  for (let key = 1; key <= rows; key += 1) {
    text += `${table.row(key).join('\t')}\n`;
    if (text.length < 1 << 20) continue;
    buffers.push(Buffer.from(text));
    text = '';
  }
  if (text !== '') buffers.push(Buffer.from(text));
  return buffers;
}
