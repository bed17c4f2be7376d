import { BadValueError, HALF_A_CHARACTER, type ToText } from './bad-value.js';
import { bytesMax, lengthOf, membersOf } from './live-type.js';
import type { LiveColumn } from './spec.js';

/** Text into CHAR, VARCHAR, the TEXT family, ENUM and SET: every character as it is, or a bad value. */

// biome-ignore lint/suspicious/noControlCharactersInRegex: MySQL's latin1 is code page 1252 with its five gaps filled
const NOT_LATIN1 = /[^\x00-\x7f\xa0-\xff\x81\x8d\x8f\x90\x9d€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII
const NOT_ASCII = /[^\x00-\x7f]/;
const SUPPLEMENTARY = /[\ud800-\udfff]/;
/** What a character set lacks. Sets that are not here are left to MySQL, which refuses what it cannot store (1366). */
const LACKS: Record<string, RegExp> = {
  latin1: NOT_LATIN1,
  ascii: NOT_ASCII,
  utf8: SUPPLEMENTARY,
  utf8mb3: SUPPLEMENTARY,
  ucs2: SUPPLEMENTARY,
};

const WIDEN = "Shorten it at the source, or widen live's column.";

/** A source's text as it is meant. */
export interface Texts {
  /** char and nchar are filled with spaces to their length: padding is not data */
  padded: boolean;
  /** UTF-16 code units, or bytes of a code page; null is unlimited */
  lengthMax: number | null;
}

/** Text into CHAR, VARCHAR and the TEXT family. */
export function textToText(live: LiveColumn, source: Texts): ToText {
  const checkLength = lengthCheck(live, source.lengthMax);
  const lacks = LACKS[live.charset ?? ''];
  const read = reading(source);
  return (value) => {
    const text = read(value);
    if (lacks?.test(text))
      throw new BadValueError(
        `a character that ${live.charset} does not have`,
        "Make live's column utf8mb4, or correct the value at the source.",
      );
    if (live.type === 'char' && text.endsWith(' '))
      throw new BadValueError('trailing spaces, which a CHAR column drops', "Make live's column VARCHAR.");
    checkLength?.(text);
    return text;
  };
}

/** Text into ENUM: a member, spelled exactly so. MySQL by itself would take other cases, and numbers as places. */
export function memberToText(live: LiveColumn, source: Texts): ToText {
  const members = new Set(membersOf(live));
  const read = reading(source);
  return (value) => {
    const text = read(value);
    if (!members.has(text)) throw notAMember(live);
    return text;
  };
}

/** Text into SET: members in the order of the definition, as MySQL prints them. A set has neither order nor repetition. */
export function membersToText(live: LiveColumn, source: Texts): ToText {
  const members = membersOf(live);
  const known = new Set(members);
  const read = reading(source);
  return (value) => {
    const text = read(value);
    if (text === '' || known.has(text)) return text;
    const wanted = new Set(text.split(','));
    for (const member of wanted) if (!known.has(member)) throw notAMember(live);
    return members.filter((member) => wanted.has(member)).join(',');
  };
}

/** Text that a number makes, into CHAR, VARCHAR and the TEXT family. @param lengthMax the longest that it can be */
export function printedToText(
  live: LiveColumn,
  lengthMax: number,
  print: (value: NonNullable<unknown>) => string,
): ToText {
  const checkLength = lengthCheck(live, lengthMax);
  if (!checkLength) return print;
  return (value) => {
    const text = print(value);
    checkLength(text);
    return text;
  };
}

const notAMember = (live: LiveColumn) =>
  new BadValueError(
    `text that is no member of the ${live.type.toUpperCase()}, spelled exactly so`,
    "Correct it at the source, or add the member to live's column.",
  );

/** Text of a driver's value, well-formed and without padding. */
export function reading({ padded }: Texts): ToText {
  return (value) => {
    const text = padded ? withoutPadding(String(value)) : String(value);
    if (!text.isWellFormed()) throw new BadValueError(HALF_A_CHARACTER, 'Correct it at the source.');
    return text;
  };
}

function withoutPadding(text: string): string {
  let end = text.length;
  while (end > 0 && text.charCodeAt(end - 1) === 32) end -= 1;
  return end === text.length ? text : text.slice(0, end);
}

/** MySQL cuts spaces behind the last place without a word, so length is checked here; undefined where all texts fit. */
function lengthCheck(live: LiveColumn, lengthMax: number | null): ((text: string) => void) | undefined {
  const bytes = bytesMax(live);
  if (bytes === undefined) {
    const characters = lengthOf(live);
    if (lengthMax !== null && lengthMax <= characters) return undefined;
    return (text) => {
      if (text.length > characters && codePoints(text) > characters)
        throw new BadValueError(`more than ${characters} characters`, WIDEN);
    };
  }
  if (lengthMax !== null && lengthMax * 4 <= bytes) return undefined;
  const singleByte = live.charset === 'latin1' || live.charset === 'ascii';
  // Other sets are counted by MySQL itself (1406).
  if (!singleByte && !live.charset?.startsWith('utf8')) return undefined;
  return (text) => {
    if (text.length * 4 <= bytes) return;
    if ((singleByte ? text.length : Buffer.byteLength(text)) > bytes)
      throw new BadValueError(`more than ${bytes} bytes`, WIDEN);
  };
}

function codePoints(text: string): number {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}
