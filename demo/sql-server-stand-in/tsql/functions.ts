/** T-SQL's functions in DuckDB's words. */
import { notSupported, SqlError } from '../errors.js';
import { isBinary, isCharacter, storedType, type TsqlType } from '../types.js';
import { closing, splitCommas, type Token } from './lexer.js';
import { readType, type Scope, type Translation, typeOf } from './scope.js';
import { expression, query, startsQuery } from './translate.js';

const RENAMED: Record<string, string> = {
  ISNULL: 'coalesce',
  COALESCE: 'coalesce',
  NULLIF: 'nullif',
  CONCAT: 'concat',
  CONCAT_WS: 'concat_ws',
  UPPER: 'upper',
  LOWER: 'lower',
  LTRIM: 'ltrim',
  RTRIM: 'rtrim',
  TRIM: 'trim',
  REPLACE: 'replace',
  LEFT: 'left',
  RIGHT: 'right',
  SUBSTRING: 'substring',
  REPLICATE: 'repeat',
  REVERSE: 'reverse',
  ABS: 'abs',
  ROUND: 'round',
  CEILING: 'ceil',
  FLOOR: 'floor',
  POWER: 'power',
  SQRT: 'sqrt',
  SIGN: 'sign',
  LOG: 'ln',
  EXP: 'exp',
  RAND: 'random',
  MIN: 'min',
  MAX: 'max',
  SUM: 'sum',
  AVG: 'avg',
  STDEV: 'stddev_samp',
  VAR: 'var_samp',
  YEAR: 'year',
  MONTH: 'month',
  DAY: 'day',
  CHAR: 'chr',
  NCHAR: 'chr',
  UNICODE: 'unicode',
  ASCII: 'ascii',
  EOMONTH: 'last_day',
  DATEFROMPARTS: 'make_date',
  ROW_NUMBER: 'row_number',
  RANK: 'rank',
  DENSE_RANK: 'dense_rank',
  NTILE: 'ntile',
  LAG: 'lag',
  LEAD: 'lead',
  FIRST_VALUE: 'first_value',
  LAST_VALUE: 'last_value',
  GREATEST: 'greatest',
  LEAST: 'least',
  NEWID: 'uuid',
  NEWSEQUENTIALID: 'uuid',
  COUNT_BIG: 'count',
};

const PARTS: Record<string, string> = {
  YEAR: 'year',
  YY: 'year',
  YYYY: 'year',
  QUARTER: 'quarter',
  QQ: 'quarter',
  Q: 'quarter',
  MONTH: 'month',
  MM: 'month',
  M: 'month',
  WEEK: 'week',
  WK: 'week',
  WW: 'week',
  DAY: 'day',
  DD: 'day',
  D: 'day',
  DAYOFYEAR: 'dayofyear',
  DY: 'dayofyear',
  HOUR: 'hour',
  HH: 'hour',
  MINUTE: 'minute',
  MI: 'minute',
  N: 'minute',
  SECOND: 'second',
  SS: 'second',
  S: 'second',
  MILLISECOND: 'millisecond',
  MS: 'millisecond',
  MICROSECOND: 'microsecond',
  MCS: 'microsecond',
  WEEKDAY: 'dow',
  DW: 'dow',
};

/** Translates the call `word(args)`; `next` is the index after its closing parenthesis in `all`. */
export function callFunction(
  word: string,
  args: readonly Token[],
  all: readonly Token[],
  next: number,
  t: Translation,
  scope: Scope | undefined,
): { sql: string; next: number } {
  if (word === 'CAST' || word === 'TRY_CAST') {
    const as = args.findLastIndex((token) => token.word === 'AS');
    const { type } = readType(args, as + 1, 30);
    return { sql: convert(args.slice(0, as), type, 0, word === 'TRY_CAST', t, scope), next };
  }
  const parts = splitCommas(args);
  if (word === 'CONVERT' || word === 'TRY_CONVERT') {
    const { type } = readType(parts[0] ?? [], 0, 30);
    const style = parts[2] ? Number(expression(parts[2], t, scope)) : undefined;
    return { sql: convert(parts[1] ?? [], type, style ?? 0, word === 'TRY_CONVERT', t, scope), next };
  }
  const values = parts.map((part) =>
    startsQuery(part) ? query(part, t, scope).sql : expression(part, t, scope),
  );
  const [a = '', b = '', c = ''] = values;
  const over = overClause(all, next, t, scope);
  const part = (): string => {
    const name = PARTS[parts[0]?.[0]?.word ?? ''];
    if (!name)
      throw new SqlError(155, 15, 1, `'${parts[0]?.[0]?.text ?? ''}' is not a recognized datepart option.`);
    return name;
  };
  switch (word) {
    case 'COUNT':
      return { sql: `CAST(count(${a})${over.sql} AS INTEGER)`, next: over.next };
    case 'LEN':
      return { sql: `CAST(length(rtrim(CAST(${a} AS VARCHAR))) AS INTEGER)`, next };
    case 'DATALENGTH': {
      const type = typeOf(parts[0] ?? [], t, scope);
      if (type && isBinary(type)) return { sql: `CAST(octet_length(${a}) AS INTEGER)`, next };
      if (type && /^n/.test(type.name)) return { sql: `CAST(2 * length(${a}) AS INTEGER)`, next };
      if (type && isCharacter(type)) return { sql: `CAST(length(${a}) AS INTEGER)`, next };
      return {
        sql: `CAST(CASE typeof(${a}) WHEN 'BLOB' THEN octet_length(TRY_CAST(${a} AS BLOB)) ELSE 2 * length(CAST(${a} AS VARCHAR)) END AS INTEGER)`,
        next,
      };
    }
    case 'CHARINDEX':
      return { sql: `CAST(strpos(lower(${b}), lower(${a})) AS INTEGER)`, next };
    case 'STUFF':
      return { sql: `(left(${a}, (${b}) - 1) || ${values[3]} || substring(${a}, (${b}) + (${c})))`, next };
    case 'SPACE':
      return { sql: `repeat(' ', ${a})`, next };
    case 'QUOTENAME':
      return { sql: `('[' || replace(${a}, ']', ']]') || ']')`, next };
    case 'IIF':
      return { sql: `(CASE WHEN ${a} THEN ${b} ELSE ${c} END)`, next };
    case 'DATEADD':
      return {
        sql: `(${c} + (${b}) * INTERVAL 1 ${part() === 'dayofyear' || part() === 'dow' ? 'day' : part()})`,
        next,
      };
    case 'DATEDIFF':
      return {
        sql: `CAST(date_diff('${part()}', ${datetime(parts[1], b)}, ${datetime(parts[2], c)}) AS INTEGER)`,
        next,
      };
    case 'DATEDIFF_BIG':
      return { sql: `date_diff('${part()}', ${datetime(parts[1], b)}, ${datetime(parts[2], c)})`, next };
    case 'DATEPART':
      return { sql: `CAST(date_part('${part()}', ${datetime(parts[1], b)}) AS INTEGER)`, next };
    case 'STRING_AGG': {
      if (all[next]?.word !== 'WITHIN') return { sql: `string_agg(${a}, ${b})`, next };
      const end = closing(all, next + 2);
      return {
        sql: `string_agg(${a}, ${b} ${expression(all.slice(next + 3, end), t, scope)})`,
        next: end + 1,
      };
    }
    case 'HASHBYTES':
      if (/md5/i.test(a)) return { sql: `unhex(md5(${b}))`, next };
      if (/sha2_256/i.test(a)) return { sql: `unhex(sha256(${b}))`, next };
      throw notSupported('HASHBYTES');
  }
  const asked = t.names.ask(word, values);
  if (asked !== undefined) return { sql: asked, next };
  const renamed = RENAMED[word];
  if (renamed === undefined)
    throw new SqlError(
      195,
      15,
      10,
      `'${word}' is not a recognized built-in function name. (stand-in: not supported)`,
    );
  return { sql: `${renamed}(${values.join(', ')})${over.sql}`, next: over.next };
}

const datetime = (tokens: readonly Token[] | undefined, sql: string): string =>
  tokens?.length === 1 && tokens[0]?.kind === 'str' ? `CAST(${sql} AS TIMESTAMP)` : sql;

function overClause(
  all: readonly Token[],
  next: number,
  t: Translation,
  scope: Scope | undefined,
): { sql: string; next: number } {
  if (all[next]?.word !== 'OVER' || all[next + 1]?.word !== '(') return { sql: '', next };
  const end = closing(all, next + 1);
  return { sql: ` OVER (${expression(all.slice(next + 2, end), t, scope, true)})`, next: end + 1 };
}

/** CAST and CONVERT, by the types of both sides as far as they are known. */
function convert(
  from: readonly Token[],
  to: TsqlType,
  style: number,
  tolerant: boolean,
  t: Translation,
  scope: Scope | undefined,
): string {
  const value = startsQuery(from) ? `(${query(from, t, scope).sql})` : expression(from, t, scope);
  const source = typeOf(from, t, scope);
  const cast = tolerant ? 'TRY_CAST' : 'CAST';
  if (isCharacter(to)) {
    const text = toText(value, source, style);
    const cut = (to.length ?? 30) > 0 ? `left(${text}, ${to.length ?? 30})` : text;
    return to.name === 'char' || to.name === 'nchar' ? `rpad(${cut}, ${to.length ?? 30}, ' ')` : cut;
  }
  if (isBinary(to)) {
    let bytes: string;
    if (isCharacter(source)) {
      bytes =
        style === 1 ? `unhex(substring(${value}, 3))` : style === 2 ? `unhex(${value})` : `encode(${value})`;
    } else if (source?.name === 'uniqueidentifier') bytes = guidBytes(value);
    else if (source && /int$/.test(source.name)) {
      const width = { tinyint: 2, smallint: 4, int: 8, bigint: 16 }[source.name] ?? 8;
      bytes = `unhex(right(lpad(hex(${value}), 16, CASE WHEN (${value}) < 0 THEN 'F' ELSE '0' END), ${width}))`;
    } else bytes = `CAST(${value} AS BLOB)`;
    return to.length && to.length > 0 && !isBinary(source) ? cutBytes(bytes, to.length) : bytes;
  }
  if (to.name === 'datetimeoffset' && isCharacter(source))
    return `${cast}(${offsetText(value)} AS TIMESTAMPTZ)`;
  if (to.name === 'uniqueidentifier' && isCharacter(source)) return identifier(value, tolerant);
  if (to.name === 'bit' && isCharacter(source)) return `${cast}(${value} AS BOOLEAN)`;
  if (to.name === 'date' && isCharacter(source) && style === 112)
    return `CAST(strptime(${value}, '%Y%m%d') AS DATE)`;
  if (isCharacter(source) && /^(date|datetime|datetime2|smalldatetime)$/.test(to.name)) {
    return `${cast}(${cast}(regexp_replace(${value}, '^(\\d{4})(\\d{2})(\\d{2})', '\\1-\\2-\\3') AS TIMESTAMP) AS ${storedType(to)})`;
  }
  if (source?.name === 'datetimeoffset' && /^(datetime2?|date|time|smalldatetime)$/.test(to.name)) {
    return `CAST(make_timestamp(epoch_us(${value})) AS ${storedType(to)})`;
  }
  if (
    /int$/.test(to.name) &&
    (source === undefined || /^(decimal|float|real|money|smallmoney)$/.test(source.name))
  ) {
    const truncated = `CASE WHEN typeof(${value}) IN ('DOUBLE','FLOAT') OR typeof(${value}) LIKE 'DECIMAL%' THEN CAST(trunc(TRY_CAST(${value} AS DECIMAL(38,6))) AS VARCHAR) ELSE CAST(${value} AS VARCHAR) END`;
    return source === undefined
      ? `${cast}(${value} AS ${storedType(to)})`
      : `${cast}(${truncated} AS ${storedType(to)})`;
  }
  return `${cast}(${value} AS ${storedType(to)})`;
}

/** SQL Server wants the hyphens, which DuckDB does without; braces may stand around. */
function identifier(value: string, tolerant: boolean): string {
  const isOne = `regexp_full_match(${value}, '[{]?[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}[}]?')`;
  const otherwise = tolerant
    ? 'NULL'
    : "error('SQLSERVER:8169:Conversion failed when converting from a character string to uniqueidentifier.:END')";
  return `(CASE WHEN ${value} IS NULL OR ${isOne} THEN TRY_CAST(${value} AS UUID) ELSE ${otherwise} END)`;
}

/** T-SQL writes a space before the offset. */
export const offsetText = (value: string): string =>
  `regexp_replace(${value}, '\\s+([+-]\\d\\d:\\d\\d)$', '\\1')`;

const cutBytes = (bytes: string, length: number): string => `unhex(left(hex(${bytes}), ${2 * length}))`;

/** SQL Server stores the first three groups of a GUID little-endian. */
function guidBytes(value: string): string {
  const hex = `replace(CAST(${value} AS VARCHAR), '-', '')`;
  const at = [7, 5, 3, 1, 11, 9, 15, 13].map((position) => `substring(${hex}, ${position}, 2)`).join(' || ');
  return `unhex(${at} || substring(${hex}, 17))`;
}

/** The text SQL Server gives for a value, by style; an unknown type is told apart when it runs. */
function toText(value: string, source: TsqlType | undefined, style: number): string {
  const text = `CAST(${value} AS VARCHAR)`;
  switch (source?.name) {
    case 'bit':
      return `CAST(CAST(${value} AS INTEGER) AS VARCHAR)`;
    case 'uniqueidentifier':
      return `upper(${text})`;
    case 'money':
    case 'smallmoney':
      return style === 2 ? text : `CAST(CAST(${value} AS DECIMAL(19,2)) AS VARCHAR)`;
    case 'binary':
    case 'varbinary':
      return style === 1 ? `('0x' || hex(${value}))` : style === 2 ? `hex(${value})` : `decode(${value})`;
    case 'date':
      return style === 112 ? `strftime(${value}, '%Y%m%d')` : text;
    case 'time':
      return fraction(text, source.scale ?? 7);
    case 'datetime':
    case 'smalldatetime':
    case 'datetime2':
      return dateText(value, source.name === 'datetime2' ? (source.scale ?? 7) : 3, style, source.name);
    case 'datetimeoffset':
      return `(${fraction(`CAST(make_timestamp(epoch_us(${value})) AS VARCHAR)`, source.scale ?? 7)} || ' +00:00')`;
    case 'float':
    case 'real':
      return `CASE WHEN ${value} = trunc(${value}) AND abs(${value}) < 1e6 THEN CAST(CAST(${value} AS BIGINT) AS VARCHAR) ELSE ${text} END`;
    case undefined:
      return `(CASE typeof(${value}) WHEN 'BOOLEAN' THEN CAST(TRY_CAST(CAST(${value} AS VARCHAR) AS BOOLEAN)::INTEGER AS VARCHAR) WHEN 'UUID' THEN upper(${text}) WHEN 'BLOB' THEN ${style === 0 ? text : `${style === 1 ? "'0x' || " : ''}hex(TRY_CAST(${value} AS BLOB))`} WHEN 'TIMESTAMP_MS' THEN ${fraction(text, 3)} WHEN 'TIMESTAMP' THEN ${fraction(text, 7)} ELSE ${text} END)`;
    default:
      return text;
  }
}

/** Pads or cuts the fraction of a second in DuckDB's text, which drops trailing zeros. */
function fraction(text: string, digits: number): string {
  if (digits === 0) return `split_part(${text}, '.', 1)`;
  return `(split_part(${text}, '.', 1) || '.' || rpad(split_part(${text}, '.', 2), ${digits}, '0'))`;
}

function dateText(value: string, digits: number, style: number, type: string): string {
  const text = `CAST(CAST(${value} AS TIMESTAMP) AS VARCHAR)`;
  switch (style) {
    case 0:
    case 100:
      if (type === 'datetime2') return fraction(text, digits);
      return `replace(strftime(CAST(${value} AS TIMESTAMP), '%b %d %Y %I:%M%p'), ' 0', '  ')`;
    case 23:
      return `strftime(CAST(${value} AS TIMESTAMP), '%Y-%m-%d')`;
    case 112:
      return `strftime(CAST(${value} AS TIMESTAMP), '%Y%m%d')`;
    case 120:
    case 20:
      return `split_part(${text}, '.', 1)`;
    case 121:
    case 21:
    case 25:
      return fraction(text, digits);
    case 126:
    case 127:
      if (type === 'datetime2') return `replace(${fraction(text, digits)}, ' ', 'T')`;
      return `replace(CASE WHEN strpos(${text}, '.') > 0 THEN ${fraction(text, digits)} ELSE ${text} END, ' ', 'T')`;
    default:
      throw new SqlError(
        281,
        16,
        1,
        `${style} is not a valid style number when converting from ${type} to a character string. (stand-in: not supported)`,
      );
  }
}
