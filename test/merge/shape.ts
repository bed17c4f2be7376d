import type mysql from 'mysql2/promise';
import { control, physicalTable } from '../../src/model/names.js';
import { GAPS } from '../../src/sql/shape.js';
import { ByHand, type SourceRows, sourceTable } from '../support/by-hand.js';
import {
  type Change,
  type Conflict,
  type Group,
  identityOf,
  type Row,
  type Rows,
  remapped,
  type Side,
  type Table,
  type Value,
} from './oracle.js';

/** The oracle's tables as tables of MySQL and of a source: how they are made, filled and read. */

/** A type of live with one of the source that goes into it. */
export interface ColumnType {
  live: string;
  source: string;
  /** of the source, where it matters to the pair */
  maxLengthBytes?: number;
  bytes?: true;
  floating?: true;
  /** of a BIT column */
  bits?: number;
  /** what the collation takes for one value */
  fold?: (text: string) => string;
}

const caseless = (text: string) => text.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase();
const unpadded = (text: string) => text.replace(/ +$/, '');

export const TYPES = {
  bigint: { live: 'BIGINT', source: 'bigint' },
  int: { live: 'INT', source: 'int' },
  text: {
    live: 'VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci',
    source: 'nvarchar',
    fold: caseless,
  },
  short: {
    live: 'VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci',
    source: 'nvarchar',
    fold: caseless,
  },
  padded: {
    live: 'VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin',
    source: 'nvarchar',
    fold: unpadded,
  },
  latin: {
    live: 'VARCHAR(40) CHARACTER SET latin1 COLLATE latin1_swedish_ci',
    source: 'nvarchar',
    fold: (text) => unpadded(caseless(text)),
  },
  currency: { live: 'CHAR(3)', source: 'nvarchar', fold: caseless },
  double: { live: 'DOUBLE', source: 'float', floating: true },
  float: { live: 'FLOAT', source: 'real', floating: true },
  tiny: { live: 'TINYINT UNSIGNED', source: 'tinyint' },
  unsigned: { live: 'BIGINT UNSIGNED', source: 'decimal' },
  zerofill: { live: 'INT(6) UNSIGNED ZEROFILL', source: 'bigint' },
  bits: { live: 'BIT(64)', source: 'bigint', bits: 64 },
  few: { live: 'BIT(13)', source: 'int', bits: 13 },
  long: { live: 'TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci', source: 'nvarchar' },
  wide: { live: 'MEDIUMTEXT CHARACTER SET utf16 COLLATE utf16_general_ci', source: 'nvarchar' },
  blob: { live: 'BLOB', source: 'varbinary', maxLengthBytes: -1, bytes: true },
  decimal: { live: 'DECIMAL(18,4)', source: 'decimal' },
  json: { live: 'JSON', source: 'nvarchar' },
  bytes: { live: 'VARBINARY(40)', source: 'varbinary', maxLengthBytes: 40, bytes: true },
  binary: { live: 'BINARY(4)', source: 'binary', maxLengthBytes: 4, bytes: true },
  date: { live: 'DATE', source: 'date' },
  at: { live: 'DATETIME(6)', source: 'datetime2' },
  time: { live: 'TIME(6)', source: 'time' },
  timestamp: { live: 'TIMESTAMP(6)', source: 'datetimeoffset' },
  year: { live: 'YEAR', source: 'int' },
  status: { live: "ENUM('open','paid','Void')", source: 'nvarchar', fold: caseless },
  flags: { live: "SET('a','B','ß','c d')", source: 'nvarchar' },
} satisfies Record<string, ColumnType>;
export type TypeName = keyof typeof TYPES;

/** A table with the type of each column; the key's first, then those that are merged, then the application's own. */
export interface ShapedTable extends Table {
  types: Record<string, TypeName>;
  /** columns of the source of another name than live's, by live's */
  from?: Record<string, string>;
}

/** What has changed in the mapping of a table, by column, so that the base does not decide about it. */
export function changesOf(table: ShapedTable, then: ShapedTable): Record<string, Change> {
  const ownerOf = ({ units }: ShapedTable, column: string) =>
    units.find(({ columns }) => columns.includes(column))?.owner;
  const fromOf = ({ from }: ShapedTable, column: string) => from?.[column] ?? column;
  return Object.fromEntries(
    mappedColumns(table).flatMap((column): [string, Change][] => {
      if (!mappedColumns(then).includes(column)) return [[column, 'new']];
      const [type, was] = [table.types[column], then.types[column]];
      if (type !== was && !(was === 'short' && type === 'text')) return [[column, 'otherType']];
      if (fromOf(table, column) !== fromOf(then, column)) return [[column, 'otherSource']];
      return ownerOf(table, column) === ownerOf(then, column) ? [] : [[column, 'otherOwner']];
    }),
  );
}

/** A base after the mapping has changed: tables that are new have none. @param then the shape that it was published with */
export function remappedBase(shape: Shape, base: Group | null, then: Shape): Group | null {
  if (base === null) return null;
  return Object.fromEntries(
    shape.tables.flatMap((table): [string, Rows][] => {
      const before = then.tables.find(({ name }) => name === table.name);
      const rows = base[table.name];
      return before && rows ? [[table.name, remapped(table, rows, changesOf(table, before))]] : [];
    }),
  );
}

/** The statements that make live's columns those of another shape. */
export function migrationTo(shape: Shape, then: Shape): string[] {
  return shape.tables.flatMap((table) => {
    const before = then.tables.find(({ name }) => name === table.name);
    return Object.keys(before?.types ?? {})
      .filter((column) => before && typeOf(before, column) !== typeOf(table, column))
      .map(
        (column) => `ALTER TABLE \`${table.name}\` MODIFY \`${column}\` ${typeOf(table, column).live} NULL`,
      );
  });
}

export interface Shape {
  firstRun: Side;
  chunkRows: number;
  /** further keys of the configuration, as YAML */
  more?: string;
  /** parents before their children */
  tables: ShapedTable[];
}

const typeOf = (table: ShapedTable, column: string): ColumnType => TYPES[table.types[column] ?? 'text'];
const isBytes = (table: ShapedTable, column: string) => typeOf(table, column).bytes === true;
const columnsOf = (table: ShapedTable) => Object.keys(table.types);
export const mappedColumns = (table: ShapedTable) =>
  columnsOf(table).filter((column) => !(column in table.own));

/** What MySQL takes for one value, by column: for the oracle's tables. */
export function foldsOf(types: Record<string, TypeName>): Table['folds'] {
  return Object.fromEntries(
    Object.entries(types).flatMap(([column, type]) => {
      const { fold } = TYPES[type] as ColumnType;
      return fold ? [[column, fold]] : [];
    }),
  );
}

/** CREATE TABLE of each table of live. */
export function definitionsOf(shape: Shape): string[] {
  return shape.tables.map((table) => {
    const columns = Object.keys(table.types).map((column) => {
      const nullable = table.key.includes(column) ? 'NOT NULL' : 'NULL';
      const own = table.own[column];
      return `\`${column}\` ${typeOf(table, column).live} ${nullable}${own == null ? '' : ` DEFAULT '${own}'`}`;
    });
    const names = (list: string[]) => list.map((name) => `\`${name}\``).join(', ');
    return `CREATE TABLE \`${table.name}\` (${[
      ...columns,
      `PRIMARY KEY (${names(table.key)})`,
      ...table.unique.map((index) => `UNIQUE KEY (${names(index)})`),
      ...table.references.map(
        (reference) =>
          `FOREIGN KEY (${names(reference.columns)}) REFERENCES \`${reference.parent}\` (${names(reference.parentColumns)})`,
      ),
    ].join(', ')})`;
  });
}

/** `tables` of the configuration. */
export function yamlOf(shape: Shape): string {
  return shape.tables
    .map((table) => {
      const unitOf = (column: string) => table.units.find((unit) => unit.columns.includes(column));
      const columns = mappedColumns(table).map((column) => {
        const unit = unitOf(column);
        return `      ${column}: { from: ${table.from?.[column] ?? column}${unit ? `, owner: ${unit.owner}, onConflict: ${unit.onConflict}` : ''} }`;
      });
      const groups = table.units.filter((unit) => unit.columns.length > 1).map((unit) => unit.columns);
      return [
        `  - source: dbo.${table.name}`,
        `    live: ${table.name}`,
        `    key: ${JSON.stringify(table.key)}`,
        `    groups: ${JSON.stringify(groups)}`,
        `    onSourceDelete: ${table.onSourceDelete}`,
        `    onLiveDelete: ${table.onLiveDelete}`,
        '    columns:',
        ...columns,
      ].join('\n');
    })
    .join('\n');
}

export function catalogueOf(shape: Shape) {
  return shape.tables.map((table) => {
    const types = mappedColumns(table).map(
      (column) => [table.from?.[column] ?? column, typeOf(table, column)] as const,
    );
    const described = sourceTable(
      table.name,
      Object.fromEntries(types.map(([column, { source }]) => [column, source])),
      table.key,
    );
    const lengths = new Map(types.map(([column, { maxLengthBytes }]) => [column, maxLengthBytes]));
    return {
      ...described,
      columns: described.columns.map((column) => ({
        ...column,
        maxLengthBytes: lengths.get(column.name) ?? column.maxLengthBytes,
      })),
    };
  });
}

/** A pipeline over the shape's tables, on a fresh schema. */
export async function openShape(mysqlUrl: string, schema: string, shape: Shape): Promise<ByHand> {
  const { firstRun, chunkRows, more } = shape;
  const hand = await ByHand.open(mysqlUrl, schema, definitionsOf(shape), yamlOf(shape), catalogueOf(shape), {
    firstRun,
    chunkRows,
    ...(more !== undefined && { more }),
  });
  // a TIMESTAMP's text is that of its session's zone, and values of the oracle are in UTC
  await hand.application.query("SET time_zone = '+00:00'");
  return hand;
}

/** A value as a statement's parameter. */
export function parameter(table: ShapedTable, column: string, value: Value): string | Buffer | null {
  if (value === null) return null;
  const { bits } = typeOf(table, column);
  if (bits === undefined) return isBytes(table, column) ? Buffer.from(value, 'hex') : value;
  // MySQL would take the digits for the bytes of the value
  const digits = 2 * Math.ceil(bits / 8);
  return Buffer.from(BigInt(value).toString(16).padStart(digits, '0'), 'hex');
}

/** A column as a number of all its digits: a FLOAT prints six of them, and BIT its bytes. */
function shown(table: ShapedTable, column: string): string {
  const { live, bits } = typeOf(table, column);
  const name = `\`${column}\``;
  if (bits !== undefined || live.includes('ZEROFILL')) return `${name} + 0`;
  return live === 'FLOAT' ? `${name} * 1e0` : name;
}

/** Rows of the oracle as ingest would load them. */
export function sourceRows(shape: Shape, source: Group): SourceRows {
  return Object.fromEntries(
    shape.tables.map((table) => {
      const columns = mappedColumns(table);
      const rows = [...(source[table.name]?.values() ?? [])];
      return [
        table.name,
        rows.map((row) => columns.map((column) => parameter(table, column, row[column] ?? null))),
      ];
    }),
  );
}

/** Rows as MySQL prints them, without conversion by the driver. */
async function readRows(
  connection: mysql.Connection,
  table: ShapedTable,
  columns: string[],
  from: string,
): Promise<Map<string, Row>> {
  const [found] = await connection.query({
    sql: `SELECT ${columns.map((column) => shown(table, column)).join(', ')} FROM ${from}`,
    rowsAsArray: true,
    typeCast: (field) => field.buffer(),
  });
  const rows = (found as unknown as (Buffer | null)[][]).map((values) =>
    Object.fromEntries(
      columns.map((column, index) => {
        const value = values[index] ?? null;
        if (value === null) return [column, null];
        return [column, isBytes(table, column) ? value.toString('hex').toUpperCase() : value.toString()];
      }),
    ),
  );
  return new Map(rows.map((row) => [identityOf(table, row), row]));
}

/** What live holds now. */
export async function readLive(hand: ByHand, shape: Shape): Promise<Group> {
  const read: Record<string, Map<string, Row>> = {};
  for (const table of shape.tables)
    read[table.name] = await readRows(hand.application, table, columnsOf(table), `\`${table.name}\``);
  return read;
}

/** The base that the next run will merge with; null: none. */
export async function readBase(hand: ByHand, shape: Shape): Promise<Group | null> {
  const { base } = hand;
  if (base === null) return null;
  const read: Record<string, Map<string, Row>> = {};
  for (const table of shape.tables) {
    const of = (kind: 'baseNext' | 'heldBack') => physicalTable(base, kind, table.name);
    const rows = await readRows(hand.application, table, mappedColumns(table), of('baseNext'));
    await readGaps(hand.application, table, of('baseNext'), rows);
    const held = await readRows(hand.application, table, table.key, of('heldBack'));
    for (const key of held.keys()) rows.delete(key);
    read[table.name] = rows;
  }
  return read;
}

/** Adds to rows of a base what they lack of it, as the oracle marks it. */
async function readGaps(
  connection: mysql.Connection,
  table: ShapedTable,
  from: string,
  rows: Map<string, Row>,
): Promise<void> {
  const [columns] = await connection.query('SHOW COLUMNS FROM ?? LIKE ?', [from, GAPS]);
  if ((columns as unknown[]).length === 0) return;
  const gapped = await readRows(connection, table, [...table.key, GAPS], from);
  for (const [key, { [GAPS]: gaps }] of gapped) {
    const row: Record<string, Value> = { ...rows.get(key) };
    if (gaps) rows.set(key, remapped(table, new Map([[key, row]]), JSON.parse(gaps)).get(key) ?? row);
  }
}

/** The conflicts that a run recorded. */
export async function readConflicts(
  hand: ByHand,
  shape: Shape,
  generation: number,
): Promise<(Conflict & { id: string })[]> {
  const [found] = await hand.application.query(
    `SELECT CAST(id AS CHAR) AS id, live, row_key, kind, columns_json, base_json, source_json, live_json FROM ${control.conflict} WHERE generation = ? ORDER BY id`,
    [generation],
  );
  type Found = { id: string; live: string; kind: Conflict['kind']; columns_json: string[] } & Record<
    'row_key' | 'base_json' | 'source_json' | 'live_json',
    Row | null
  >;
  return (found as unknown as Found[]).map((conflict) => {
    const table = shape.tables.find(({ name }) => name === conflict.live);
    if (!table) throw new Error(`a conflict in ${conflict.live}, which is not in the group`);
    const side = (row: Row | null) =>
      row &&
      Object.fromEntries(
        Object.entries(row).map(([column, value]) => [column, fromJson(table, column, value)]),
      );
    return {
      id: conflict.id,
      table: conflict.live,
      key: identityOf(table, conflict.row_key ?? {}),
      kind: conflict.kind,
      columns: conflict.columns_json,
      base: side(conflict.base_json),
      source: side(conflict.source_json),
      live: side(conflict.live_json),
    };
  });
}

/** Doubles stand in a conflict as JSON prints them: 1.0 and not 1; and JavaScript says e+308 where MySQL says e308. */
function fromJson(table: ShapedTable, column: string, value: Value): Value {
  if (value === null || !typeOf(table, column).floating) return value;
  return Object.is(Number(value), -0) ? '-0' : String(Number(value)).replace('e+', 'e');
}
