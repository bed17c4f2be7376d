import type { LiveColumn, MappedColumn, SourceColumn } from './spec.js';

/**
 * Source values become the text that MySQL itself would print for the stored value: the canonical text. It is what is
 * sent and what is summed, so a value that MySQL stores as something else breaks the chunk's proof.
 *
 * How a source type is read (natively, or converted on the server where the driver is not exact: TRAPS "SQL Server
 * through mssql/tedious") and how it is turned into text is decided here and nowhere else.
 */

/** A value that its column cannot hold unchanged. The message has no value in it: values are personal data. */
export class BadValueError extends Error {
  override name = 'BadValueError';
}

/** Text of one value for MySQL; null is NULL. */
export type Convert = (value: unknown) => string | null;

export interface Conversion {
  /** the select-list expression over a quoted column, such as CONVERT(varchar(50), [Amount]) */
  read: (quotedColumn: string) => string;
  convert: Convert;
}

const INTEGERS = new Set(['tinyint', 'smallint', 'mediumint', 'int', 'bigint']);
const TEXTS = new Set(['char', 'varchar', 'tinytext', 'text', 'mediumtext', 'longtext', 'enum', 'set']);
const BINARIES = new Set(['binary', 'varbinary', 'tinyblob', 'blob', 'mediumblob', 'longblob']);

/** Why a pair of types is refused, or undefined if it is supported. */
export function refusalOf(source: SourceColumn, live: LiveColumn): string | undefined {
  return pair(source, live) ? undefined : `${source.type} cannot be stored in ${live.columnType} unchanged`;
}

/** The conversion of a mapped column. @throws {Error} a pair that preflight refuses: the caller's bug */
export function conversionOf(column: MappedColumn): Conversion {
  const found = pair(column.source, column.live);
  if (!found) throw new Error(`no conversion from ${column.source.type} to ${column.live.columnType}`);
  return found;
}

const native = (quoted: string) => quoted;
const orNull =
  (convert: (value: NonNullable<unknown>) => string): Convert =>
  (value) =>
    value === null || value === undefined ? null : convert(value);

function pair(source: SourceColumn, live: LiveColumn): Conversion | undefined {
  switch (source.type) {
    case 'bit':
      if (INTEGERS.has(live.type) || live.type === 'bit')
        return { read: native, convert: orNull((value) => (value ? '1' : '0')) };
      return undefined;
    case 'tinyint':
    case 'smallint':
    case 'int':
    case 'bigint':
      if (INTEGERS.has(live.type)) return { read: native, convert: orNull(String) };
      if (live.type === 'decimal') return decimalPair(source, live, native);
      return undefined;
    case 'decimal':
    case 'numeric':
      return decimalPair(
        source,
        live,
        source.precision <= 15 ? native : (column) => `CONVERT(varchar(50), ${column})`,
      );
    case 'smallmoney':
      return decimalPair({ ...source, scale: 4 }, live, native);
    case 'money':
      return decimalPair(
        { ...source, scale: 4 },
        live,
        (column) => `CONVERT(varchar(50), CAST(${column} AS decimal(19,4)))`,
      );
    case 'char':
    case 'nchar':
      return textPair(live, true);
    case 'varchar':
    case 'nvarchar':
      return textPair(live, false);
    case 'uniqueidentifier':
      return TEXTS.has(live.type)
        ? { read: native, convert: orNull((value) => String(value).toUpperCase()) }
        : undefined;
    case 'date':
      if (live.type === 'date') return { read: native, convert: orNull((value) => dateText(value as Date)) };
      if (live.type === 'datetime')
        return {
          read: native,
          convert: orNull((value) => `${dateText(value as Date)} 00:00:00${zeros(live)}`),
        };
      return undefined;
    case 'smalldatetime':
      return momentPair(source, 0, live);
    case 'datetime':
      return momentPair(source, 3, live);
    case 'datetime2':
      return momentPair(source, source.scale, live);
    case 'datetimeoffset':
      return momentPair(source, source.scale, live);
    case 'time':
      return live.type === 'time'
        ? {
            read: native,
            convert: orNull((value) =>
              fraction(value as Moment, source.scale, live, (value as Date).toISOString().slice(11, 19)),
            ),
          }
        : undefined;
    case 'binary':
    case 'varbinary':
    case 'timestamp':
    case 'rowversion':
      return BINARIES.has(live.type)
        ? { read: native, convert: orNull((value) => (value as Buffer).toString('hex').toUpperCase()) }
        : undefined;
    default:
      return undefined;
  }
}

function textPair(live: LiveColumn, padded: boolean): Conversion | undefined {
  if (!TEXTS.has(live.type)) return undefined;
  return {
    read: native,
    convert: orNull((value) => {
      // SQL Server pads char(n) with spaces to its length: padding is not data.
      const text = padded ? String(value).replace(/ +$/, '') : String(value);
      if (!text.isWellFormed())
        throw new BadValueError('half of a surrogate pair, which no UTF-8 text can hold');
      if (live.type === 'char' && text.endsWith(' '))
        throw new BadValueError('trailing spaces, which a CHAR column drops');
      return text;
    }),
  };
}

function decimalPair(
  source: SourceColumn,
  live: LiveColumn,
  read: (column: string) => string,
): Conversion | undefined {
  const scale = live.type === 'decimal' ? (live.scale ?? 0) : INTEGERS.has(live.type) ? 0 : undefined;
  if (scale === undefined) return undefined;
  return {
    read,
    convert: orNull((value) => {
      // A native decimal has at most 15 digits, which a double prints exactly; longer ones come as text.
      const text = typeof value === 'number' ? value.toFixed(source.scale) : String(value);
      return rescale(text, scale);
    }),
  };
}

/** Decimal text with exactly `scale` digits after the point, as MySQL prints it. Never rounds. */
export function rescale(text: string, scale: number): string {
  const match = /^(-?)0*(\d*)(?:\.(\d*))?$/.exec(text);
  if (!match) throw new BadValueError('text that is not a decimal number');
  const whole = match[2] || '0';
  const digits = match[3] ?? '';
  if (/[1-9]/.test(digits.slice(scale))) throw new BadValueError(`more than ${scale} digits after the point`);
  const rest = digits.slice(0, scale).padEnd(scale, '0');
  const zero = !/[1-9]/.test(whole + rest);
  return `${zero ? '' : match[1]}${whole}${scale > 0 ? `.${rest}` : ''}`;
}

/** What tedious gives: a Date in UTC, with what is below a millisecond beside it. */
type Moment = Date & { nanosecondsDelta?: number };

const zeros = (live: LiveColumn) => (live.fractionDigits ? `.${'0'.repeat(live.fractionDigits)}` : '');

function dateText(value: Date): string {
  const year = value.getUTCFullYear();
  if (year < 1000) throw new BadValueError('a date before the year 1000, which MySQL does not support');
  return value.toISOString().slice(0, 10);
}

function momentPair(source: SourceColumn, scale: number, live: LiveColumn): Conversion | undefined {
  // A local time is a moment only with a time zone: TIMESTAMP takes datetimeoffset alone, which knows its own.
  const fits = live.type === 'datetime' || (live.type === 'timestamp' && source.type === 'datetimeoffset');
  if (!fits) return undefined;
  return {
    read: native,
    convert: orNull((value) =>
      fraction(
        value as Moment,
        scale,
        live,
        `${dateText(value as Date)} ${(value as Date).toISOString().slice(11, 19)}`,
      ),
    ),
  };
}

/**
 * Appends the fraction of a second. The seventh digit of datetime2(7), time(7) and datetimeoffset(7) is cut, since MySQL
 * holds six at most; any other digit that would be lost is a bad value.
 */
function fraction(value: Moment, scale: number, live: LiveColumn, text: string): string {
  const kept = live.fractionDigits ?? 0;
  const milliseconds = String(value.getUTCMilliseconds()).padStart(3, '0');
  // nanosecondsDelta is in seconds: 0.0000004 is 400 ns.
  const below = String(Math.round((value.nanosecondsDelta ?? 0) * 1e7)).padStart(4, '0');
  const digits = (milliseconds + below).slice(0, Math.max(scale, 3));
  if (/[1-9]/.test(digits.slice(kept, 6))) throw new BadValueError(`more than ${kept} digits of a second`);
  return kept > 0 ? `${text}.${digits.slice(0, kept).padEnd(kept, '0')}` : text;
}

/** Binary columns travel as hexadecimal and are decoded by the load. */
export function travelsAsHex(live: LiveColumn): boolean {
  return BINARIES.has(live.type);
}
