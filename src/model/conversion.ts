import { BadValueError, type ToText } from './bad-value.js';
import { canonicalJson } from './canonical-json.js';
import { bytesMax, isBytes, isFloating, isInteger, isRounded, isString, lengthOf } from './live-type.js';
import { dateToText, midnightToText, momentToText, timestampToText, timeToText } from './moments.js';
import { decimalToText, floatingToText, integerToText, rescale, yearToText } from './numbers.js';
import type { LiveColumn, MappedColumn, SourceColumn } from './spec.js';
import { membersToText, memberToText, printedToText, reading, type Texts, textToText } from './texts.js';

/**
 * Source values become the text that MySQL itself would print for the stored value: the canonical text. It is what is
 * sent and what is summed, so a value that MySQL stores as something else breaks the chunk's proof.
 *
 * How a source type is read (natively, or converted on the server where the driver is not exact: TRAPS "SQL Server
 * through mssql/tedious") and how it is turned into text is decided here and nowhere else; docs/types.md is the table of it.
 */

/** Text of one value for MySQL; null is NULL. @throws {BadValueError} what the column cannot hold unchanged */
export type Convert = (value: unknown) => string | null;

export interface Conversion {
  /** the select-list expression over a quoted column, such as CONVERT(varchar(50), [Amount]) */
  read: (quotedColumn: string) => string;
  convert: Convert;
}

/** Why a pair of types is not mapped, and what the operator does about it. */
export interface Refusal {
  what: string;
  cure: string;
}

interface Pair {
  read: (quotedColumn: string) => string;
  text: ToText;
  /** what a value may lose, for preflight to warn of; undefined if nothing */
  loses?: string;
}

/**
 * Why a pair of types is refused, or undefined if it is supported.
 *
 * @param timeZone of the source, where the configuration has one
 */
export function refusalOf(
  source: SourceColumn,
  live: LiveColumn,
  timeZone?: string | undefined,
): Refusal | undefined {
  const found = pair(source, live, timeZone);
  return 'text' in found ? undefined : found;
}

/** What the values of a supported pair lose, in words; undefined if nothing. */
export function lossOf(
  source: SourceColumn,
  live: LiveColumn,
  timeZone?: string | undefined,
): string | undefined {
  const found = pair(source, live, timeZone);
  return 'text' in found ? found.loses : undefined;
}

/** Why a column cannot be part of the key, beside what `refusalOf` says. */
export function keyRefusalOf(source: SourceColumn, live: LiveColumn): Refusal | undefined {
  if (source.type === 'real' || source.type === 'float' || isFloating(live))
    return {
      what: 'a floating-point number is part of the key',
      cure: 'use a key of whole numbers, decimals or text',
    };
  if (bytesMax(live) !== undefined || live.type === 'json')
    return {
      what: `${live.columnType} is part of the key`,
      cure: 'use VARCHAR or VARBINARY, which are indexed whole',
    };
  if (source.maxLengthBytes === -1)
    return { what: `${source.type}(max) is part of the key`, cure: 'declare its length at the source' };
  return undefined;
}

/** The conversion of a mapped column. @throws {Error} a pair that preflight refuses: the caller's bug */
export function conversionOf({ source, live, timeZone }: MappedColumn): Conversion {
  const found = pair(source, live, timeZone);
  if (!('text' in found))
    throw new Error(`no conversion from ${source.type} to ${live.columnType}: ${found.what}`);
  const { read, text } = found;
  const nullable = live.nullable;
  return {
    read,
    convert: (value) => {
      if (value !== null && value !== undefined) return text(value);
      if (!nullable)
        throw new BadValueError(
          'NULL, which live does not allow',
          "Correct it at the source, or allow NULL in live's column.",
        );
      return null;
    },
  };
}

const native = (quoted: string) => quoted;
const hex = (value: NonNullable<unknown>) => (value as Buffer).toString('hex').toUpperCase();

const INTEGERS: Record<string, { min: bigint; max: bigint }> = {
  tinyint: { min: 0n, max: 255n },
  smallint: { min: -(1n << 15n), max: (1n << 15n) - 1n },
  int: { min: -(1n << 31n), max: (1n << 31n) - 1n },
  bigint: { min: -(1n << 63n), max: (1n << 63n) - 1n },
};

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

function pair(source: SourceColumn, live: LiveColumn, timeZone: string | undefined): Pair | Refusal {
  if (isRounded(live))
    return { what: `${live.columnType} rounds what it stores`, cure: "make live's column DOUBLE or DECIMAL" };
  const refused = REFUSED[source.type];
  if (refused !== undefined) return { what: `${source.type} is not supported`, cure: refused };
  switch (source.type) {
    case 'bit':
      if (isInteger(live) || live.type === 'bit')
        return { read: native, text: (value) => (value ? '1' : '0') };
      break;
    case 'tinyint':
    case 'smallint':
    case 'int':
    case 'bigint':
      return integerPair(source, live);
    case 'decimal':
    case 'numeric':
      return decimalPair(source, live, source.precision <= 15 ? native : asDecimalText);
    case 'smallmoney':
      return decimalPair({ ...source, precision: 10, scale: 4 }, live, native);
    case 'money':
      return decimalPair({ ...source, precision: 19, scale: 4 }, live, asMoneyText);
    case 'real':
    case 'float':
      if (isFloating(live)) return { read: native, text: floatingToText(live) };
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
      if (live.type === 'date' || live.type === 'datetime') return { read: native, text: dateToText(live) };
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
        return { read: native, text: timeToText(live, source.scale), ...cutting(source, source.scale) };
      break;
    case 'binary':
    case 'varbinary':
    case 'timestamp':
    case 'rowversion':
      return bytesPair(source, live);
  }
  return unlike(source, live);
}

const OTHERWISE = 'a value could become another one';
const asDecimalText = (column: string) => `CONVERT(varchar(50), ${column})`;
const asMoneyText = (column: string) => `CONVERT(varchar(50), CAST(${column} AS decimal(19,4)))`;
const unlike = (source: SourceColumn, live: LiveColumn): Refusal => ({
  what: `${source.type} cannot be stored in ${live.columnType} unchanged`,
  cure: "change live's column, map a computed column of the source in its place, or take it out of columns",
});

function integerPair(source: SourceColumn, live: LiveColumn): Pair | Refusal {
  const range = INTEGERS[source.type] ?? { min: 0n, max: 0n };
  const longest = Math.max(String(range.min).length, String(range.max).length);
  if (isInteger(live) || live.type === 'bit') return { read: native, text: integerToText(live, range) };
  if (live.type === 'decimal') return { read: native, text: decimalToText(live, String) };
  if (isFloating(live)) return { read: native, text: floatingToText(live) };
  if (live.type === 'year' && source.type !== 'tinyint') return { read: native, text: yearToText };
  if (isString(live)) return { read: native, text: printedToText(live, longest, String) };
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
  if (live.type === 'decimal') return { read, text: decimalToText(live, print) };
  if (isInteger(live)) {
    const greatest = 10n ** BigInt(precision - scale) - 1n;
    const whole = integerToText(live, { min: -greatest, max: greatest });
    return { read, text: (value) => whole(rescale(print(value), 0)) };
  }
  if (isString(live))
    return { read, text: printedToText(live, precision + 3, (value) => rescale(print(value), scale)) };
  return unlike(source, live);
}

const PADDED = new Set(['char', 'nchar']);

function textPair(source: SourceColumn, live: LiveColumn): Pair | Refusal {
  const unicode = source.type.startsWith('n');
  const { maxLengthBytes, collation } = source;
  if (!unicode && collation && !readsCodePage(collation))
    return {
      what: `the code page of collation ${collation} is not supported for ${source.type}`,
      cure: 'ALTER COLUMN … nvarchar at the source, or a collation of code page 1252 or UTF-8',
    };
  const texts: Texts = {
    padded: PADDED.has(source.type),
    unicode,
    lengthMax: maxLengthBytes === -1 ? null : unicode ? maxLengthBytes / 2 : maxLengthBytes,
  };
  if (isString(live)) return { read: native, text: textToText(live, texts) };
  if (live.type === 'enum') return { read: native, text: memberToText(live, texts) };
  if (live.type === 'set') return { read: native, text: membersToText(live, texts) };
  if (live.type === 'json') {
    const text = reading(texts);
    return { read: native, text: (value) => canonicalJson(text(value)) };
  }
  return unlike(source, live);
}

/**
 * Collations of code page 1252, by their families, and those of UTF-8. SQL collations say CP1 for 1252.
 * @see SQL Server documentation, Windows Collation Name and SQL Server Collation Name
 */
const CODE_PAGE_1252 =
  /^(Latin1_General|Danish_Norwegian|Danish_Greenlandic|Finnish_Swedish|French|German_PhoneBook|Icelandic|Modern_Spanish|Traditional_Spanish|Norwegian|Sami_Norway|Sami_Sweden_Finland|Breton|Corsican|Frisian|Mapudungan|Mohawk|Romansh|Upper_Sorbian|Welsh|bbf_unicode_general)_/i;
const readsCodePage = (collation: string) =>
  /_UTF8$/i.test(collation) || /_CP1_/i.test(collation) || CODE_PAGE_1252.test(collation);

function identifierPair(live: LiveColumn): Pair | Refusal {
  if (isString(live)) {
    if (bytesMax(live) === undefined && lengthOf(live) < 36)
      return {
        what: `a uniqueidentifier has 36 characters, ${live.columnType} has fewer`,
        cure: "make live's column CHAR(36) or BINARY(16)",
      };
    return { read: native, text: (value) => String(value).toUpperCase() };
  }
  // In the order of its text, as UUID_TO_BIN and BIN_TO_UUID have it, not in SQL Server's order of storage.
  if (
    (live.type === 'binary' && lengthOf(live) === 16) ||
    (live.type === 'varbinary' && lengthOf(live) >= 16)
  )
    return { read: native, text: (value) => String(value).replaceAll('-', '').toUpperCase() };
  return {
    what: `uniqueidentifier cannot be stored in ${live.columnType} unchanged`,
    cure: "make live's column CHAR(36) or BINARY(16)",
  };
}

/** A seventh digit after the second is cut, since MySQL holds six: said aloud, and the same in every run. */
const cutting = (source: SourceColumn, scale: number) =>
  scale === 7 ? { loses: `MySQL keeps six digits of a second: the seventh of ${source.type}(7) is cut` } : {};

function momentPair(
  source: SourceColumn,
  scale: number,
  live: LiveColumn,
  timeZone: string | undefined,
): Pair | Refusal {
  const isMoment = source.type === 'datetimeoffset';
  if (live.type === 'datetime')
    return { read: native, text: momentToText(live, scale), ...cutting(source, scale) };
  if (live.type === 'date' && !isMoment) return { read: native, text: midnightToText };
  if (live.type === 'timestamp') {
    if (!isMoment && timeZone === undefined)
      return {
        what: `${source.type} is a local time, and TIMESTAMP is a moment: the time zone is not known`,
        cure: "set timeZone to the source's time zone, or make live's column DATETIME",
      };
    return {
      read: native,
      text: timestampToText(live, scale, isMoment ? null : (timeZone ?? null)),
      ...cutting(source, scale),
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
    if (fixed) return { read: native, text: hex };
    return {
      read: native,
      text: bytesToText(
        (bytes) => bytes !== holds,
        `a length other than the ${holds} bytes of BINARY, which fills with zeros`,
      ),
    };
  }
  if (fixed && have > holds)
    return {
      what: `${source.type} has ${have} bytes, ${live.columnType} holds ${holds}`,
      cure: `make live's column BINARY(${have})`,
    };
  if (have !== -1 && have <= holds) return { read: native, text: hex };
  return { read: native, text: bytesToText((bytes) => bytes > holds, `more than ${holds} bytes`) };
}

function bytesToText(isBad: (bytes: number) => boolean, reason: string): ToText {
  return (value) => {
    if (isBad((value as Buffer).length))
      throw new BadValueError(reason, "Make live's column VARBINARY of the source's length.");
    return hex(value);
  };
}

/** Types of live whose canonical text is hexadecimal: it travels as such and is decoded by the load. */
export function travelsAsHex(live: LiveColumn): boolean {
  return isBytes(live);
}
