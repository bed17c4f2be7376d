import mssql from 'mssql';
import { HALF_A_CHARACTER } from '../model/bad-value.js';
import { StageswapError } from '../model/failures.js';
import { asUnicode } from '../model/pairs.js';
import type { SourceKeyValue } from '../model/source-key.js';
import type { MappedColumn, SourceColumn, TableSpec } from '../model/spec.js';
import { askUntil, quoted } from './connection.js';

/**
 * Key ranges at the source. Limits are read from the source and compared only there, in its own order: Debezium
 * lost rows by comparing on both sides. They travel as text that the source reads back exactly.
 */

/** Key values as text, in key order; null is open. */
export type KeyText = string[] | null;

const TEXT = new Set(['char', 'varchar', 'nchar', 'nvarchar']);
const BINARY = new Set(['binary', 'varbinary', 'timestamp', 'rowversion']);
const STYLE_121 = new Set(['date', 'time', 'datetime', 'datetime2', 'smalldatetime', 'datetimeoffset']);

export function sourceKey(table: TableSpec): SourceColumn[] {
  return table.key.map((name) => {
    const column = table.columns.find((candidate) => candidate.live.name === name);
    if (!column) throw new Error(`key column ${name} of ${table.live} is not mapped`);
    return column.source;
  });
}

/** The T-SQL type as declared, such as decimal(18,4) or nvarchar(40). */
export function declaredType(column: SourceColumn): string {
  const { type, precision, scale, maxLengthBytes } = column;
  if (type === 'timestamp' || type === 'rowversion') return 'binary(8)';
  if (type === 'decimal' || type === 'numeric') return `${type}(${precision},${scale})`;
  if (type === 'datetime2' || type === 'time' || type === 'datetimeoffset') return `${type}(${scale})`;
  if (TEXT.has(type) || BINARY.has(type)) {
    const length = type.startsWith('n') ? maxLengthBytes / 2 : maxLengthBytes;
    return `${type}(${maxLengthBytes === -1 ? 'max' : length})`;
  }
  return type;
}

/** Select-list expression that gives a key column as exact text. */
function keyAsText(column: SourceColumn): string {
  const name = quoted(column.name);
  if (TEXT.has(column.type)) return asUnicode(column)(name);
  if (BINARY.has(column.type)) return `CONVERT(varchar(2000), CAST(${name} AS varbinary(900)), 2)`;
  if (STYLE_121.has(column.type)) return `CONVERT(varchar(40), ${name}, 121)`;
  if (column.type === 'money' || column.type === 'smallmoney')
    return `CONVERT(varchar(50), CAST(${name} AS decimal(19,4)))`;
  return `CONVERT(varchar(50), ${name})`;
}

/** Expression that reads a bound text back as the column's type. */
function boundAsKey(column: SourceColumn, parameter: string, value: string): string {
  if (needsCollation(column, value))
    return `CAST(${parameter} COLLATE ${column.collation} AS ${declaredType(column)})`;
  if (BINARY.has(column.type)) return `CONVERT(varbinary(900), ${parameter}, 2)`;
  if (STYLE_121.has(column.type)) return `CONVERT(${declaredType(column)}, ${parameter}, 121)`;
  return `CAST(${parameter} AS ${declaredType(column)})`;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII
const NOT_ASCII = /[^\x00-\x7f]/;

/**
 * A varchar parameter is encoded in the database's code page, and the column may have another one, such as UTF-8: then a
 * limit would come back with question marks in it. Text that is more than ASCII is therefore bound as nvarchar and
 * converted to the column's own code page.
 */
function needsCollation(column: SourceColumn, value: string): boolean {
  return Boolean(column.collation) && isCodePage(column) && NOT_ASCII.test(value);
}
const isCodePage = (column: SourceColumn) => TEXT.has(column.type) && !column.type.startsWith('n');

/** Binds a limit's values and returns the expressions for them. */
function bind(request: mssql.Request, columns: SourceColumn[], values: string[], prefix: string): string[] {
  return columns.map((column, index) => {
    const name = `${prefix}${index}`;
    const value = values[index] ?? '';
    const narrow = isCodePage(column) && !needsCollation(column, value);
    request.input(name, narrow ? mssql.VarChar(8000) : mssql.NVarChar(4000), value);
    return boundAsKey(column, `@${name}`, value);
  });
}

/**
 * `key >= limit` or `key > limit`, column by column. The first column is bounded once more on its own, so that a server
 * seeks along the key instead of scanning it for the OR.
 */
function compare(columns: SourceColumn[], bounds: string[], last: '>=' | '>'): string {
  const [column, ...rest] = columns;
  const [bound, ...restBounds] = bounds;
  if (!column || !bound) return '1 = 1';
  const name = quoted(column.name);
  if (rest.length === 0) return `${name} ${last} ${bound}`;
  return `(${name} >= ${bound} AND (${name} > ${bound} OR (${name} = ${bound} AND ${compare(rest, restBounds, last)})))`;
}
function below(columns: SourceColumn[], bounds: string[]): string {
  const [column, ...rest] = columns;
  const [bound, ...restBounds] = bounds;
  if (!column || !bound) return '1 = 1';
  const name = quoted(column.name);
  if (rest.length === 0) return `${name} < ${bound}`;
  return `(${name} <= ${bound} AND (${name} < ${bound} OR (${name} = ${bound} AND ${below(rest, restBounds)})))`;
}

export function quotedTable(table: TableSpec): string {
  return `${quoted(table.source.schema)}.${quoted(table.source.table)}`;
}

/** The WHERE of the half-open range [from, to), its values bound to the request. */
export function rangeOf(request: mssql.Request, table: TableSpec, from: KeyText, to: KeyText): string {
  const columns = sourceKey(table);
  const parts: string[] = [];
  if (from) parts.push(compare(columns, bind(request, columns, from, 'from'), '>='));
  if (to) parts.push(below(columns, bind(request, columns, to, 'to')));
  return parts.length > 0 ? ` WHERE ${parts.join(' AND ')}` : '';
}

/** Compares as MySQL's collations for people mostly do: neither case nor accents tell texts apart. */
const LOOSE_COLLATION = 'Latin1_General_100_CI_AI';

/** So many rows are asked for by their keys in one statement, which may have 2,100 parameters (error 8003). */
export const KEYS_ASKED_TOGETHER = 25;

/**
 * The WHERE of some rows, their keys bound to the request.
 *
 * @param keys one or more
 * @param spelling loose: texts in whatever case and with whatever accents, so that it may be several rows; no index finds them
 */
export function keysAre(
  request: mssql.Request,
  table: TableSpec,
  keys: SourceKeyValue[][],
  spelling: 'exact' | 'loose',
): string {
  return ` WHERE ${keys.map((key, place) => `(${keyIs(request, table, key, spelling, `k${place}_`)})`).join(' OR ')}`;
}

/** @param prefix of the names of parameters, which are unique in a request */
function keyIs(
  request: mssql.Request,
  table: TableSpec,
  key: SourceKeyValue[],
  spelling: 'exact' | 'loose',
  prefix: string,
): string {
  const columns = sourceKey(table);
  const parts = columns.flatMap((column, index) => {
    const value = key[index];
    if (value === undefined) throw new Error(`${table.live}: a key has no value of ${column.name}`);
    const name = quoted(column.name);
    // Padding is nothing to a comparison, and the text has none.
    const unpadded = { ...column, type: column.type.replace(/^(n?)char$/, '$1varchar') };
    const bound = (text: string, kind: string) =>
      bind(request, [unpadded], [text], `${prefix}${kind}${index}_`)[0];
    if ('text' in value && spelling === 'loose' && TEXT.has(column.type)) {
      const parameter = `${prefix}key${index}`;
      request.input(parameter, mssql.NVarChar(4000), value.text);
      return `${asUnicode(column)(name)} COLLATE ${LOOSE_COLLATION} = @${parameter}`;
    }
    if ('text' in value) return `${name} = ${bound(value.text, 'key')}`;
    if ('from' in value)
      return [`${name} >= ${bound(value.from, 'from')}`, `${name} <= ${bound(value.to, 'to')}`];
    const contained = value.members.map((member, place) => {
      const parameter = `${prefix}member${index}_${place}`;
      request.input(parameter, mssql.NVarChar(4000), `,${member},`);
      return `CHARINDEX(@${parameter}, N',' + ${name} + N',') > 0`;
    });
    return [`LEN(${name}) = ${value.characters}`, ...contained];
  });
  return parts.join(' AND ');
}

/**
 * The key of the row `rows` rows after `from` in the source's order: where the next chunk begins.
 * A seek along the key, not a scan: nothing is sorted, and tempdb is left alone.
 *
 * @param signal ends the asking
 */
export async function nextLimit(
  request: mssql.Request,
  table: TableSpec,
  from: KeyText,
  rows: number,
  signal: AbortSignal,
): Promise<KeyText> {
  const columns = sourceKey(table);
  const list = columns.map((column, index) => `${keyAsText(column)} AS k${index}`).join(', ');
  // Qualified: a bare name in ORDER BY means the select list's alias first, and a column may be called k0.
  const order = columns.map((column) => `s.${quoted(column.name)}`).join(', ');
  request.input('skip', mssql.Int, rows);
  const where = rangeOf(request, table, from, null);
  const result = await askUntil(
    signal,
    request,
    `SELECT ${list} FROM ${quotedTable(table)} AS s${where} ORDER BY ${order} OFFSET @skip ROWS FETCH NEXT 1 ROWS ONLY`,
  );
  const row = result.recordset[0] as Record<string, string> | undefined;
  if (!row) return null;
  const limit = columns.map((_, index) => String(row[`k${index}`]));
  limit.forEach((text, index) => {
    if (!text.isWellFormed())
      throw new BadRow(
        table,
        limit,
        columns[index]?.name ?? '',
        HALF_A_CHARACTER,
        'Correct it at the source.',
      );
  });
  if (from && limit.every((text, index) => text === from[index]))
    throw new StageswapError(
      'Refused',
      `${table.source.schema}.${table.source.table}: more than ${rows} rows of the source have the ${keyName(table, limit)}, so it cannot be divided into chunks. Choose a key that is unique at the source.`,
    );
  return limit;
}

const KEY_CHARACTERS_MAX = 200;

/** A row's key for a message, by the source's names: key CustomerId = 17. Text is quoted as JSON, so that spaces show. */
export function keyName(table: TableSpec, values: (string | null)[]): string {
  const parts = sourceKey(table).map((column, index) => {
    const value = values[index] ?? null;
    const text = value !== null && /^-?\d+(\.\d+)?$/.test(value) ? value : JSON.stringify(value);
    const short = text.length > KEY_CHARACTERS_MAX ? `${text.slice(0, KEY_CHARACTERS_MAX)}…` : text;
    return `${column.name} = ${short}`;
  });
  return `key ${parts.join(', ')}`;
}

/** A row with a value that cannot be stored unchanged: where it is and what to do, never the value itself. */
export class BadRow extends StageswapError {
  constructor(
    table: TableSpec,
    /** canonical texts; null or the driver's own text where the key itself is bad */
    readonly key: (string | null)[],
    readonly sourceColumn: string,
    readonly reason: string,
    cure: string,
  ) {
    super(
      'BadValue',
      `${table.source.schema}.${table.source.table}, ${keyName(table, key)}, column ${sourceColumn}: a value has ${reason}. ${cure}`,
    );
  }
}

/** One text for a key, by which rows are told apart while they are read. */
export function keyText(key: (string | null)[]): string {
  return JSON.stringify(key);
}

/** The columns as they are selected, in the mapping's order. */
export function selectList(
  columns: MappedColumn[],
  read: (column: MappedColumn, index: number) => string,
): string {
  return columns.map((column, index) => `${read(column, index)} AS c${index}`).join(', ');
}
