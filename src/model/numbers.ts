import { BadValueError, type ToText } from './bad-value.js';
import { integerRange, isUnsigned } from './live-type.js';
import type { LiveColumn } from './spec.js';

/** Numbers as the text that MySQL prints for what it stores. Never rounded, and no decimal passes through a double. */

/** The least and the greatest value of each integer type of SQL Server. */
export const SOURCE_INTEGERS = {
  tinyint: { min: 0n, max: 255n },
  smallint: { min: -(1n << 15n), max: (1n << 15n) - 1n },
  int: { min: -(1n << 31n), max: (1n << 31n) - 1n },
  bigint: { min: -(1n << 63n), max: (1n << 63n) - 1n },
};

const PRINTED = /^(?:-?[1-9]\d*|0)\.\d+$/;

/** Decimal text with exactly `scale` digits after the point, as MySQL prints it. Never rounds. */
export function rescale(text: string, scale: number): string {
  // As it comes from the server, the text mostly stands as MySQL prints it: -12.50 for two digits after the point.
  if (scale > 0 && PRINTED.test(text) && text.charCodeAt(text.length - 1 - scale) === 46) return text;
  const match = /^(-?)0*(\d*)(?:\.(\d*))?$/.exec(text);
  if (!match) throw new BadValueError('text that is not a decimal number');
  const whole = match[2] || '0';
  const digits = match[3] ?? '';
  if (/[1-9]/.test(digits.slice(scale))) throw new BadValueError(`more than ${scale} digits after the point`);
  const rest = digits.slice(0, scale).padEnd(scale, '0');
  const zero = !/[1-9]/.test(whole + rest);
  return `${zero ? '' : match[1]}${whole}${scale > 0 ? `.${rest}` : ''}`;
}

/** Decimals into DECIMAL(precision, scale): digits before and after the point, and the sign, are checked. */
export function decimalToText(live: LiveColumn, text: (value: NonNullable<unknown>) => string): ToText {
  const scale = live.scale ?? 0;
  const wholeMax = (live.precision ?? 10) - scale;
  const unsigned = isUnsigned(live);
  return (value) => {
    const printed = rescale(text(value), scale);
    const negative = printed.startsWith('-');
    if (negative && unsigned) throw new BadValueError(`a negative number, which ${live.columnType} refuses`);
    const whole = printed.length - (negative ? 1 : 0) - (scale > 0 ? scale + 1 : 0);
    if (whole > wholeMax && !(wholeMax === 0 && printed[negative ? 1 : 0] === '0'))
      throw new BadValueError(`more digits than ${live.columnType} holds`);
    return printed;
  };
}

/** Whole numbers, as text or number, into an integer column or BIT; no check where every value of the source fits. */
export function integerToText(live: LiveColumn, source: { min: bigint; max: bigint }): ToText {
  const { min, max } = integerRange(live);
  if (source.min >= min && source.max <= max) return String;
  const [least, greatest] = [Number(min), Number(max)];
  return (value) => {
    const text = String(value);
    // Up to 15 digits a double is exact, and quicker than BigInt.
    const fits =
      text.length <= 15
        ? Number(text) >= least && Number(text) <= greatest
        : BigInt(text) >= min && BigInt(text) <= max;
    if (!fits)
      throw new BadValueError(`a number outside of ${min} to ${max}, the range of ${live.columnType}`);
    return text;
  };
}

/**
 * A double as MySQL prints it in JSON: the shortest digits that read back as the same double, in the one notation that
 * does not depend on a display width (CAST of a DOUBLE to CHAR does). Measured equal for 200,000 doubles of all sizes.
 *
 * @see MySQL's source, strings/dtoa.cc, my_gcvt
 */
export function doubleText(value: number): string {
  if (value === 0) return Object.is(value, -0) ? '-0.0' : '0.0';
  const match = /^(-?)(\d)(?:\.(\d+))?e([+-]\d+)$/.exec(value.toExponential());
  if (!match) throw new BadValueError('a number that is infinite or none');
  const [, sign = '', first = '', more = ''] = match;
  const digits = first + more;
  const point = Number(match[4]) + 1;
  if (point >= -14 && (point <= 15 || digits.length > point)) {
    if (point <= 0) return `${sign}0.${'0'.repeat(-point)}${digits}`;
    if (digits.length <= point) return `${sign}${digits.padEnd(point, '0')}.0`;
    return `${sign}${digits.slice(0, point)}.${digits.slice(point)}`;
  }
  return `${sign}${first}${more && `.${more}`}e${point - 1}`;
}

/** Doubles, and whole numbers as number or text, into FLOAT or DOUBLE: exact to the bit, or refused. */
export function floatingToText(live: LiveColumn): ToText {
  const single = live.type === 'float';
  const unsigned = isUnsigned(live);
  return (value) => {
    const number = Number(value);
    if (single && Math.fround(number) !== number)
      throw new BadValueError(
        'more digits than FLOAT holds',
        "Make live's column DOUBLE, or correct the value at the source.",
      );
    if (typeof value === 'string' && BigInt(value) !== BigInt(number))
      throw new BadValueError('more digits than DOUBLE holds', "Make live's column BIGINT or DECIMAL.");
    if (unsigned && (number < 0 || Object.is(number, -0)))
      throw new BadValueError(`a negative number, which ${live.columnType} refuses`);
    return doubleText(number);
  };
}

/** Whole numbers into YEAR; two digits are no year, although MySQL would make one of them. */
export function yearToText(value: NonNullable<unknown>): string {
  const year = Number(value);
  if (!(year >= 1901 && year <= 2155)) throw new BadValueError('a year outside of 1901 to 2155');
  return String(year);
}
