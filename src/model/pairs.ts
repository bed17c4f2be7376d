import { BadValueError, type ToText } from './bad-value.js';
import { canonicalJson } from './canonical-json.js';
import {
  bytesMax,
  integerRange,
  isBytes,
  isFloating,
  isInteger,
  isRounded,
  isString,
  lengthOf,
} from './live-type.js';
import { dateToText, midnightToText, momentToText, timestampToText, timeToText } from './moments.js';
import {
  decimalToText,
  floatingToText,
  integerToText,
  rescale,
  SOURCE_INTEGERS,
  yearToText,
} from './numbers.js';
import type { LiveColumn, SourceColumn } from './spec.js';
import { membersToText, memberToText, printedToText, reading, type Texts, textToText } from './texts.js';

/** Which types of the source go into which types of live, how they are read, and what becomes of a value. */

/** Why a pair of types is not mapped, and what the operator does about it. */
export interface Refusal {
  what: string;
  cure: string;
}

export interface Pair {
  /** the select-list expression over a quoted column, such as CONVERT(nvarchar(50), [Amount]) */
  read: (quotedColumn: string) => string;
  text: ToText;
  /** what is done to a value, in the words of docs/types.md, which is written from it */
  how: string;
  /** what a value may lose, for preflight to warn of; undefined if nothing */
  loses?: string;
  /** values that are ordinary at the source and bad here, for preflight to warn of; undefined if there are none of that kind */
  stops?: string;
}

const native = (quoted: string) => quoted;
const hex = (value: NonNullable<unknown>) => (value as Buffer).toString('hex').toUpperCase();

const REFUSED: Record<string, string> = {
  text: 'ALTER COLUMN … varchar(max) at the source',
  ntext: 'ALTER COLUMN … nvarchar(max) at the source',
  image: 'ALTER COLUMN … varbinary(max) at the source',
  xml: 'map a computed column with CAST(… AS nvarchar(max)) in its place',
  sql_variant: 'map a computed column of one type in its place',
  hierarchyid: 'map a computed column with its text in its place',
  geography: 'map a computed column with its text in its place',
  geometry: 'map a computed column with its text in its place',
};

/** The decision about a pair. @param timeZone of the source, where the configuration has one */
export function pair(source: SourceColumn, live: LiveColumn, timeZone: string | undefined): Pair | Refusal {
  if (isRounded(live))
    return { what: `${live.columnType} rounds what it stores`, cure: "make live's column DOUBLE or DECIMAL" };
  if (source.encrypted)
    return {
      what: 'it is under Always Encrypted: the server gives ciphertext, and the keys are at its clients',
      cure: 'map a column that is not encrypted, or take it out',
    };
  const refused = REFUSED[source.type];
  if (refused !== undefined)
    return {
      what: `${source.type} cannot be stored in ${live.columnType}: the type is not supported`,
      cure: refused,
    };
  switch (source.type) {
    case 'bit':
      if (isInteger(live) || live.type === 'bit')
        return { read: native, text: (value) => (value ? '1' : '0'), how: 'exact' };
      break;
    case 'tinyint':
    case 'smallint':
    case 'int':
    case 'bigint':
      return integerPair(source, SOURCE_INTEGERS[source.type], live);
    case 'decimal':
    case 'numeric':
      return decimalPair(source, live, source.precision <= 15 ? native : asDecimalText);
    case 'smallmoney':
      return decimalPair({ ...source, precision: 10, scale: 4 }, live, native);
    case 'money':
      return decimalPair({ ...source, precision: 19, scale: 4 }, live, asMoneyText);
    case 'real':
    case 'float':
      if (isFloating(live))
        return {
          read: native,
          text: floatingToText(live),
          how:
            live.type === 'float' && source.type === 'float'
              ? 'exact to the bit, or a bad value'
              : 'exact to the bit',
        };
      return {
        what: `${source.type} is binary and ${live.columnType} is not: ${OTHERWISE}`,
        cure: "make live's column DOUBLE, or map a computed column with CAST(… AS decimal(p,s)) in its place",
      };
    case 'char':
    case 'nchar':
    case 'varchar':
    case 'nvarchar':
      return textPair(source, live);
    case 'uniqueidentifier':
      return identifierPair(live);
    case 'date':
      if (live.type === 'date' || live.type === 'datetime')
        return {
          read: native,
          text: dateToText(live),
          how: live.type === 'date' ? DATES : `${DATES}; at midnight`,
        };
      break;
    case 'smalldatetime':
      return momentPair(source, 0, live, timeZone);
    case 'datetime':
      return momentPair(source, 3, live, timeZone);
    case 'datetime2':
    case 'datetimeoffset':
      return momentPair(source, source.scale, live, timeZone);
    case 'time':
      if (live.type === 'time')
        return {
          read: native,
          text: timeToText(live, source.scale),
          how: digits(source.scale, live),
          ...ofSeconds(source, source.scale, live),
        };
      break;
    case 'binary':
    case 'varbinary':
    case 'timestamp':
    case 'rowversion':
      return bytesPair(source, live);
  }
  return unlike(source, live);
}

const DATES = 'exact from the year 1000';
const digits = (scale: number, live: LiveColumn) => {
  const kept = live.fractionDigits ?? 0;
  if (scale === 7 && kept === 6) return 'the seventh digit of a second is cut';
  return scale <= kept ? 'exact' : `a digit of a second beyond ${kept} is a bad value`;
};
const beyond = (scale: number, live: LiveColumn) => {
  const rule = digits(scale, live);
  return rule === 'exact' ? '' : `; ${rule}`;
};
const OTHERWISE = 'a value could become another one';
const asDecimalText = (column: string) => `CONVERT(nvarchar(50), ${column})`;
const asMoneyText = (column: string) => `CONVERT(nvarchar(50), CAST(${column} AS decimal(19,4)))`;
const unlike = (source: SourceColumn, live: LiveColumn): Refusal => ({
  what: `${source.type} cannot be stored in ${live.columnType} unchanged`,
  cure: "change live's column, map a computed column of the source in its place, or take it out of columns",
});

function integerPair(
  source: SourceColumn,
  range: { min: bigint; max: bigint },
  live: LiveColumn,
): Pair | Refusal {
  const longest = Math.max(String(range.min).length, String(range.max).length);
  if (isInteger(live) || live.type === 'bit') {
    const { min, max } = integerRange(live);
    const how = range.min >= min && range.max <= max ? 'exact' : 'exact; the range is checked';
    return { read: native, text: integerToText(live, range), how };
  }
  if (live.type === 'decimal')
    return { read: native, text: decimalToText(live, String), how: 'exact; digits are counted' };
  if (isFloating(live)) return { read: native, text: floatingToText(live), how: 'exact, or a bad value' };
  if (live.type === 'year' && source.type !== 'tinyint')
    return { read: native, text: yearToText, how: '1901 to 2155, four digits' };
  if (isString(live))
    return {
      read: native,
      text: printedToText(live, longest, String),
      how: 'its digits as text; the length is checked',
    };
  return unlike(source, live);
}

function decimalPair(
  source: SourceColumn,
  live: LiveColumn,
  read: (column: string) => string,
): Pair | Refusal {
  const { precision, scale } = source;
  // A native decimal has at most 15 digits, which a double prints exactly; longer ones come as text.
  const print = (value: NonNullable<unknown>) =>
    typeof value === 'number' ? value.toFixed(scale) : String(value);
  if (live.type === 'decimal')
    return {
      read,
      text: decimalToText(live, print),
      how: 'exact; digits are counted, never rounded',
      ...fraction(scale, live.scale ?? 0),
    };
  if (isInteger(live)) {
    const greatest = 10n ** BigInt(precision - scale) - 1n;
    const whole = integerToText(live, { min: -greatest, max: greatest });
    return {
      read,
      text: (value) => whole(rescale(print(value), 0)),
      how: 'exact; a fraction is a bad value, the range is checked',
      ...fraction(scale, 0),
    };
  }
  if (isString(live))
    return {
      read,
      text: printedToText(live, precision + 3, (value) => rescale(print(value), scale)),
      how: 'its digits as text, as many behind the point as declared; the length is checked',
    };
  return unlike(source, live);
}

const PADDED = new Set(['char', 'nchar']);

/**
 * The select-list expression of a text column as Unicode. A code page is decoded by the source, which knows every one of its own; the
 * driver knows some of them, and decodes more slowly. Nothing is longer for it: a code page has at most one UTF-16 unit a byte.
 */
export const asUnicode =
  ({ type, maxLengthBytes }: SourceColumn) =>
  (column: string) => {
    if (type.startsWith('n')) return column;
    const length = maxLengthBytes >= 1 && maxLengthBytes <= NVARCHAR_MAX ? maxLengthBytes : 'max';
    return `CONVERT(nvarchar(${length}), ${column})`;
  };
const NVARCHAR_MAX = 4_000;

function textPair(source: SourceColumn, live: LiveColumn): Pair | Refusal {
  const unicode = source.type.startsWith('n');
  const { maxLengthBytes } = source;
  const read = asUnicode(source);
  const texts: Texts = {
    padded: PADDED.has(source.type),
    lengthMax: maxLengthBytes === -1 ? null : unicode ? maxLengthBytes / 2 : maxLengthBytes,
  };
  const padding = texts.padded ? 'without the padding' : 'every character';
  if (isString(live))
    return {
      read,
      text: textToText(live, texts),
      how: `${padding}; length and character set are checked${live.type === 'char' ? ', spaces at the end are a bad value' : ''}`,
    };
  if (live.type === 'enum')
    return { read, text: memberToText(live, texts), how: 'a member, spelled exactly so' };
  if (live.type === 'set')
    return {
      read,
      text: membersToText(live, texts),
      how: "members, spelled exactly so, in the definition's order",
    };
  if (live.type === 'json') {
    const text = reading(texts);
    return {
      read,
      text: (value) => canonicalJson(text(value)),
      how: 'the same JSON value, spelled as MySQL spells it',
    };
  }
  return unlike(source, live);
}

function identifierPair(live: LiveColumn): Pair | Refusal {
  if (isString(live)) {
    if (bytesMax(live) === undefined && lengthOf(live) < 36)
      return {
        what: `a uniqueidentifier has 36 characters, ${live.columnType} has fewer`,
        cure: "make live's column CHAR(36) or BINARY(16)",
      };
    return { read: native, text: (value) => String(value).toUpperCase(), how: 'its text in capitals' };
  }
  // In the order of its text, as UUID_TO_BIN and BIN_TO_UUID have it, not in SQL Server's order of storage.
  if (
    (live.type === 'binary' && lengthOf(live) === 16) ||
    (live.type === 'varbinary' && lengthOf(live) >= 16)
  )
    return {
      read: native,
      text: (value) => String(value).replaceAll('-', '').toUpperCase(),
      how: 'its 16 bytes in the order of its text (UUID_TO_BIN)',
    };
  return {
    what: `uniqueidentifier cannot be stored in ${live.columnType} unchanged`,
    cure: "make live's column CHAR(36) or BINARY(16)",
  };
}

/** What a fraction that is longer at the source than in live means for a value. */
const fraction = (scale: number, kept: number) =>
  scale <= kept ? {} : { stops: `a value with ${beyondDigits(kept)} after the point` };
const beyondDigits = (kept: number) =>
  kept === 0 ? 'a digit other than 0' : `more than ${kept} ${kept === 1 ? 'digit' : 'digits'}`;

/** A seventh digit after the second is cut, since MySQL holds six: said aloud, and the same in every run. Others stop a run. */
function ofSeconds(source: SourceColumn, scale: number, live: LiveColumn): Pick<Pair, 'loses' | 'stops'> {
  const kept = live.fractionDigits ?? 0;
  return {
    ...(scale === 7
      ? { loses: `MySQL keeps six digits of a second: the seventh of ${source.type}(7) is cut` }
      : {}),
    ...(Math.min(scale, 6) > kept ? { stops: `a value with ${beyondDigits(kept)} after the second` } : {}),
  };
}

function momentPair(
  source: SourceColumn,
  scale: number,
  live: LiveColumn,
  timeZone: string | undefined,
): Pair | Refusal {
  const isMoment = source.type === 'datetimeoffset';
  if (live.type === 'datetime')
    return {
      read: native,
      text: momentToText(live, scale),
      how: `${isMoment ? 'in UTC, the offset is dropped; ' : ''}${DATES}${beyond(scale, live)}`,
      ...ofSeconds(source, scale, live),
    };
  if (live.type === 'date' && !isMoment)
    return {
      read: native,
      text: midnightToText,
      how: 'a time of day is a bad value',
      stops: 'a time of day other than midnight',
    };
  if (live.type === 'timestamp') {
    if (!isMoment && timeZone === undefined)
      return {
        what: `${source.type} is a local time, and TIMESTAMP is a moment: the time zone is not known`,
        cure: "set timeZone to the source's time zone, or make live's column DATETIME",
      };
    return {
      read: native,
      text: timestampToText(live, scale, isMoment ? null : (timeZone ?? null)),
      how: `${isMoment ? 'in UTC' : 'from timeZone to UTC; a time that the zone skips or has twice is a bad value'}; 1970 to 2038${beyond(scale, live)}`,
      ...ofSeconds(source, scale, live),
    };
  }
  return unlike(source, live);
}

function bytesPair(source: SourceColumn, live: LiveColumn): Pair | Refusal {
  if (!isBytes(live)) return unlike(source, live);
  const fixed = source.type !== 'varbinary';
  const [have, holds] = [source.maxLengthBytes, bytesMax(live) ?? lengthOf(live)];
  if (live.type === 'binary') {
    if (fixed && have !== holds)
      return {
        what: `${source.type} has ${have} bytes, and ${live.columnType} makes them ${holds}`,
        cure: `make live's column BINARY(${have})`,
      };
    if (fixed) return { read: native, text: hex, how: 'exact' };
    if (have !== -1 && have < holds)
      return {
        what: `${source.type}(${have}) is shorter than ${live.columnType}, which fills with zeros`,
        cure: `make live's column VARBINARY(${have})`,
      };
    return {
      read: native,
      text: bytesToText(
        (bytes) => bytes !== holds,
        `a length other than the ${holds} bytes of BINARY, which fills with zeros`,
      ),
      how: 'exact; only values of its full length',
    };
  }
  if (fixed && have > holds)
    return {
      what: `${source.type} has ${have} bytes, ${live.columnType} holds ${holds}`,
      cure: `make live's column BINARY(${have})`,
    };
  if (have !== -1 && have <= holds) return { read: native, text: hex, how: 'exact' };
  return {
    read: native,
    text: bytesToText((bytes) => bytes > holds, `more than ${holds} bytes`),
    how: 'exact; the length is checked',
  };
}

function bytesToText(isBad: (bytes: number) => boolean, reason: string): ToText {
  return (value) => {
    if (isBad((value as Buffer).length))
      throw new BadValueError(reason, "Make live's column VARBINARY of the source's length.");
    return hex(value);
  };
}
