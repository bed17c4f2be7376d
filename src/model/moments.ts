import { BadValueError, type ToText } from './bad-value.js';
import type { LiveColumn } from './spec.js';
import { utcOf } from './time-zone.js';

/** Dates and times as the text that MySQL prints for what it stores. */

/** What tedious gives: a Date in UTC, with what is below a millisecond beside it. */
type Moment = Date & { nanosecondsDelta?: number };

const TIMESTAMP_MS_MIN = 1_000; // 1970-01-01 00:00:01; the second before it means "zero"
const TIMESTAMP_MS_MAX = 2_147_483_647_999; // 2038-01-19 03:14:07.999
const DAY_MS = 86_400_000;

const DAYS_KEPT_MAX = 10_000;

const zeros = (live: LiveColumn) => (live.fractionDigits ? `.${'0'.repeat(live.fractionDigits)}` : '');

/** Days that were printed: dates repeat, and toISOString of each value was most of what an ingest's conversions took. */
const days = new Map<number, string>();

function dayText(day: number): string {
  let text = days.get(day);
  if (text === undefined) {
    const date = new Date(day * DAY_MS);
    if (date.getUTCFullYear() < 1000)
      throw new BadValueError('a date before the year 1000, which MySQL does not support');
    text = date.toISOString().slice(0, 10);
    if (days.size >= DAYS_KEPT_MAX) days.clear();
    days.set(day, text);
  }
  return text;
}
const dateText = (value: Date) => dayText(Math.floor(value.getTime() / DAY_MS));

const TWO_DIGITS = Array.from({ length: 60 }, (_, number) => String(number).padStart(2, '0'));

function timeText(ms: number): string {
  const second = Math.floor(ms / 1000) - Math.floor(ms / DAY_MS) * 86_400;
  const minute = Math.floor(second / 60);
  return `${TWO_DIGITS[Math.floor(minute / 60)]}:${TWO_DIGITS[minute % 60]}:${TWO_DIGITS[second % 60]}`;
}
const momentText = (ms: number) => `${dayText(Math.floor(ms / DAY_MS))} ${timeText(ms)}`;

/** Date to DATE or DATETIME. */
export function dateToText(live: LiveColumn): ToText {
  const midnight = live.type === 'datetime' ? ` 00:00:00${zeros(live)}` : '';
  return (value) => dateText(value as Date) + midnight;
}

/** Date and time to DATE: only midnight is a date alone. */
export function midnightToText(value: NonNullable<unknown>): string {
  const moment = value as Moment;
  if (moment.getTime() % DAY_MS !== 0 || (moment.nanosecondsDelta ?? 0) !== 0)
    throw new BadValueError('a time of day, which DATE drops');
  return dateText(moment);
}

/** Date and time, as they stand, to DATETIME. @param scale the source's digits after the second */
export function momentToText(live: LiveColumn, scale: number): ToText {
  const fraction = fractionOf(live, scale);
  return (value) => {
    const moment = value as Moment;
    return fraction(moment, momentText(moment.getTime()));
  };
}

/** Date and time to TIMESTAMP. @param zone of a local time; null where the value is a moment already */
export function timestampToText(live: LiveColumn, scale: number, zone: string | null): ToText {
  const fraction = fractionOf(live, scale);
  const toUtc = zone === null ? (ms: number) => ms : utcOf(zone);
  return (value) => {
    const moment = value as Moment;
    const near = moment.getTime();
    const inReach = near > TIMESTAMP_MS_MIN - DAY_MS && near < TIMESTAMP_MS_MAX + DAY_MS;
    const utc = inReach ? toUtc(near) : Number.NaN;
    if (!(utc >= TIMESTAMP_MS_MIN && utc <= TIMESTAMP_MS_MAX))
      throw new BadValueError(
        'a time outside of 1970-01-01 00:00:01 to 2038-01-19 03:14:07 UTC, the range of TIMESTAMP',
        "Make live's column DATETIME, or correct the value at the source.",
      );
    return fraction(moment, momentText(utc));
  };
}

/** Time of day to TIME. */
export function timeToText(live: LiveColumn, scale: number): ToText {
  const fraction = fractionOf(live, scale);
  return (value) => fraction(value as Moment, timeText((value as Date).getTime()));
}

/**
 * Appends the fraction of a second. The seventh digit of datetime2(7), time(7) and datetimeoffset(7) is cut, since MySQL
 * holds six at most; any other digit that would be lost is a bad value.
 */
function fractionOf(live: LiveColumn, scale: number): (value: Moment, text: string) => string {
  const kept = live.fractionDigits ?? 0;
  const place = 10 ** (7 - kept); // of a second's ten million ticks
  return (value, text) => {
    // nanosecondsDelta is in seconds: 0.0000004 is 400 ns, four ticks.
    const delta = value.nanosecondsDelta;
    const ticks = value.getUTCMilliseconds() * 10_000 + (delta ? Math.round(delta * 1e7) : 0);
    if ((ticks - (ticks % 10)) % place !== 0)
      throw new BadValueError(
        `more than ${kept} digits after the second`,
        `Give live's column more: ${live.type.toUpperCase()}(${Math.min(scale, 6)}).`,
      );
    return kept > 0 ? `${text}.${String(Math.floor(ticks / place)).padStart(kept, '0')}` : text;
  };
}
