import { BadValueError, NULL_REFUSED } from './bad-value.js';
import { bytesMax, isBytes, isFloating } from './live-type.js';
import { pair, type Refusal } from './pairs.js';
import type { LiveColumn, MappedColumn, SourceColumn } from './spec.js';

/**
 * Source values become the text that MySQL itself would print for the stored value: the canonical text. It is what is
 * sent and what is summed, so a value that MySQL stores as something else breaks the chunk's proof.
 *
 * How a source type is read (natively, or converted on the server: where the driver is not exact, decimals of more
 * than 15 digits and money; and text of a code page) and how it is turned into text is decided in pairs.ts and nowhere else; docs/types.md is the
 * table of it.
 */

/** Text of one value for MySQL; null is NULL. @throws {BadValueError} what the column cannot hold unchanged */
export type Convert = (value: unknown) => string | null;

export interface Conversion {
  /** the select-list expression over a quoted column, such as CONVERT(nvarchar(50), [Amount]) */
  read: (quotedColumn: string) => string;
  convert: Convert;
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

/** Values that the source's type may have and live's column cannot hold, in words; undefined if a warning is not worth it. */
export function stopOf(
  source: SourceColumn,
  live: LiveColumn,
  timeZone?: string | undefined,
): string | undefined {
  const found = pair(source, live, timeZone);
  return 'text' in found ? found.stops : undefined;
}

/** What is done to the values of a supported pair, in words; undefined if it is refused. */
export function howOf(
  source: SourceColumn,
  live: LiveColumn,
  timeZone?: string | undefined,
): string | undefined {
  const found = pair(source, live, timeZone);
  return 'text' in found ? found.how : undefined;
}

/**
 * Why a column cannot be part of the key: chunks are ranges of keys, whose limits travel as exact text, and MySQL compares
 * whole keys. ENUM and SET are compared by number, in the order in which they are sorted.
 */
export function keyRefusalOf(source: SourceColumn, live: LiveColumn): Refusal | undefined {
  if (isFloating(live) || bytesMax(live) !== undefined || live.type === 'json')
    return {
      what: `${live.type} cannot be part of the key: it has no exact text, or is not indexed whole`,
      cure: 'use whole numbers, decimals, text, binary or time columns as key',
    };
  if (source.maxLengthBytes === -1)
    return {
      what: `${source.type}(max) cannot be part of the key: it has no order at the source`,
      cure: 'declare its length at the source',
    };
  if (!source.type.startsWith('n') && SAME_CHARACTER_OTHER_BYTES.test(source.collation ?? ''))
    return {
      what: `${source.type} in ${source.collation} cannot be part of the key: its code page has several bytes for one character, and the collation tells them apart`,
      cure: 'give the column a collation that is not binary at the source, or make it nvarchar',
    };
  return undefined;
}

/** Binary collations of the code pages 932, 936, 949 and 950. A limit of a chunk that travels as text comes back as other bytes. */
const SAME_CHARACTER_OTHER_BYTES = /^(Japanese|Chinese|Korean)(_.*)?_BIN2?$/i;

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
      if (!nullable) throw new BadValueError(NULL_REFUSED.reason, NULL_REFUSED.cure);
      return null;
    },
  };
}

/** Types of live whose canonical text is hexadecimal: it travels as such and is decoded by the load. */
export function travelsAsHex(live: LiveColumn): boolean {
  return isBytes(live);
}
