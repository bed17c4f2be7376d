import { BadValueError } from './bad-value.js';
import { isBytes } from './live-type.js';
import { rescale, SOURCE_INTEGERS } from './numbers.js';
import type { LiveColumn, MappedColumn, SourceColumn } from './spec.js';
import { offsetsOf, utcOf } from './time-zone.js';

/**
 * The way back of src/model/pairs.ts, for keys: what the source says for a key value of live. A row of live is looked for at
 * the source by it, as `explain` does.
 */
export type SourceKeyValue =
  /** as the source reads it back: `boundAsKey` in src/sql-server/keys.ts */
  | { text: string }
  /** a digit was cut on the way: any value from one to the other, both included */
  | { from: string; to: string }
  /** a set has no order: these members, in any, in a text of so many characters */
  | { members: string[]; characters: number };

/**
 * What a key column of the source holds where live has this value.
 *
 * @param text canonical text of live's value, as `asText` in src/sql/columns.ts prints it
 * @returns undefined: no value of the source becomes that one
 */
export function sourceKeyValue(column: MappedColumn, text: string): SourceKeyValue | undefined {
  const { source, live } = column;
  switch (source.type) {
    case 'bit':
    case 'tinyint':
    case 'smallint':
    case 'int':
    case 'bigint':
    case 'decimal':
    case 'numeric':
    case 'money':
    case 'smallmoney':
      return number(source.type, digitsOf(source), text);
    case 'char':
    case 'nchar':
    case 'varchar':
    case 'nvarchar':
      return live.type === 'set' ? members(source, text) : string(source, text);
    case 'uniqueidentifier':
      return identifier(live, text);
    case 'date':
    case 'smalldatetime':
    case 'datetime':
    case 'datetime2':
    case 'datetimeoffset':
      return moment(column, text);
    case 'time':
      return timeOfDay(source, text);
    default:
      return /^([0-9A-F]{2})*$/i.test(text) ? { text } : undefined;
  }
}

/** Scaled bounds of the types that are narrower than their digits. */
const RANGES: Record<string, { min: bigint; max: bigint }> = {
  ...SOURCE_INTEGERS,
  bit: { min: 0n, max: 1n },
  smallmoney: SOURCE_INTEGERS.int,
  money: SOURCE_INTEGERS.bigint,
};

function digitsOf({ type, precision, scale }: SourceColumn): { precision: number; scale: number } {
  if (type === 'money' || type === 'smallmoney') return { precision: 19, scale: 4 };
  return type === 'decimal' || type === 'numeric' ? { precision, scale } : { precision: 19, scale: 0 };
}

/** A number that the source's type has exactly: SQL Server would round one that has more digits, and fail of a greater one. */
function number(
  type: string,
  { precision, scale }: { precision: number; scale: number },
  text: string,
): SourceKeyValue | undefined {
  const printed = unlessBad(() => rescale(text, scale));
  if (printed === undefined) return undefined;
  const scaled = BigInt(printed.replace('.', ''));
  const most = 10n ** BigInt(precision) - 1n;
  const { min, max } = RANGES[type] ?? { min: -most, max: most };
  return scaled >= min && scaled <= max ? { text: printed } : undefined;
}

/** A text that the source's column has room for: SQL Server would cut a longer one, and find another row. */
function string({ type, maxLengthBytes, collation }: SourceColumn, text: string): SourceKeyValue | undefined {
  const utf8 = /_UTF8$/i.test(collation ?? '');
  const bytes = type.startsWith('n') ? text.length * 2 : utf8 ? Buffer.byteLength(text) : text.length;
  return maxLengthBytes === -1 || bytes <= maxLengthBytes ? { text } : undefined;
}

function members(source: SourceColumn, text: string): SourceKeyValue | undefined {
  const all = text.split(',');
  return all.length === 1 ? string(source, text) : { members: all, characters: text.length };
}

const GROUPS = /^(.{8})(.{4})(.{4})(.{4})(.{12})$/;
const IDENTIFIER = /^[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}$/i;

/** SQL Server reads a uniqueidentifier only with its hyphens (8169). */
function identifier(live: LiveColumn, text: string): SourceKeyValue | undefined {
  const spelled = isBytes(live) ? text.replace(GROUPS, '$1-$2-$3-$4-$5') : text;
  return IDENTIFIER.test(spelled) ? { text: spelled } : undefined;
}

const MOMENT = /^(\d{4})-(\d\d)-(\d\d)(?: (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?)?$/;
const SECONDS: Record<string, [min: string, max: string]> = {
  smalldatetime: ['1900-01-01 00:00:00', '2079-06-06 23:59:00'],
  datetime: ['1753-01-01 00:00:00', '9999-12-31 23:59:59'],
};
/** Digits after the second that a type has, or that its own says. */
const SCALES: Record<string, number> = { date: 0, smalldatetime: 0, datetime: 3 };

function moment({ source, live, timeZone }: MappedColumn, text: string): SourceKeyValue | undefined {
  const parts = MOMENT.exec(text);
  if (!parts) return undefined;
  const [year, month, day, hour, minute, second] = parts.slice(1, 7).map((part) => Number(part ?? 0));
  const stored = Date.UTC(year ?? 0, (month ?? 0) - 1, day, hour, minute, second);
  const isDay = new Date(stored).toISOString().slice(0, 10) === text.slice(0, 10);
  const isMoment = source.type === 'datetimeoffset';
  const local = live.type === 'timestamp' && !isMoment ? localOf(stored, timeZone) : stored;
  if (!isDay || local === undefined) return undefined;
  const said = new Date(local).toISOString().slice(0, 19).replace('T', ' ');
  const [min, max] = SECONDS[source.type] ?? [said, said];
  if (said < min || said > max) return undefined;
  const midnight = said.endsWith(' 00:00:00') && Number(parts[7] ?? 0) === 0;
  if (source.type === 'date') return midnight ? { text: said.slice(0, 10) } : undefined;
  if (source.type === 'smalldatetime' && !said.endsWith(':00')) return undefined;
  return seconds(said, parts[7] ?? '', SCALES[source.type] ?? source.scale, isMoment ? ' +00:00' : '');
}

/** Local time of a moment, both in milliseconds; none where ingest would not make that moment of it. */
function localOf(utcMs: number, timeZone: string | undefined): number | undefined {
  if (timeZone === undefined) return undefined;
  const localMs = utcMs + offsetsOf(timeZone)(utcMs);
  return unlessBad(() => utcOf(timeZone)(localMs)) === utcMs ? localMs : undefined;
}

const TIME_OF_DAY = /^((?:[01]\d|2[0-3]):\d\d:\d\d)(?:\.(\d{1,6}))?$/;

function timeOfDay({ scale }: SourceColumn, text: string): SourceKeyValue | undefined {
  const parts = TIME_OF_DAY.exec(text);
  return parts ? seconds(parts[1] ?? '', parts[2] ?? '', scale, '') : undefined;
}

/** Seconds with as many digits as the source has; of its seventh, which was cut, nothing is known. */
function seconds(whole: string, fraction: string, scale: number, offset: string): SourceKeyValue | undefined {
  const digits = fraction.padEnd(6, '0');
  if (scale === 7) return { from: `${whole}.${digits}0${offset}`, to: `${whole}.${digits}9${offset}` };
  if (/[1-9]/.test(digits.slice(scale))) return undefined;
  return { text: `${whole}${scale > 0 ? `.${digits.slice(0, scale)}` : ''}${offset}` };
}

function unlessBad<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof BadValueError) return undefined;
    throw error;
  }
}
