import { BadValueError } from './bad-value.js';

const DAY_MS = 86_400_000;
const CURE = "Make live's column DATETIME, which needs no time zone, or correct the value at the source.";

/**
 * Local time to UTC in a time zone, both as milliseconds as if since 1970 in UTC. A local time that the zone has twice or
 * not at all, when clocks go back or forward, is refused: choosing one of two moments would be a guess.
 *
 * @param zone IANA name
 */
export function utcOf(zone: string): (localMs: number) => number {
  const offsetAt = offsetsOf(zone);
  /** by local day: the offset where it is one all day long */
  const days = new Map<number, number | null>();
  return (localMs) => {
    const day = Math.floor(localMs / DAY_MS);
    let offset = days.get(day);
    if (offset === undefined) {
      // The day's moments lie within a day on both sides, wherever on earth the zone is.
      const before = offsetAt((day - 1) * DAY_MS);
      offset = before === offsetAt((day + 2) * DAY_MS) ? before : null;
      days.set(day, offset);
    }
    if (offset !== null) return localMs - offset;
    const candidates = new Set([localMs - DAY_MS, localMs + DAY_MS].map((near) => localMs - offsetAt(near)));
    const moments = [...candidates].filter((utc) => utc + offsetAt(utc) === localMs);
    if (moments.length === 0)
      throw new BadValueError(`a local time that ${zone} skips, as clocks went forward`, CURE);
    if (moments.length > 1)
      throw new BadValueError(`a local time that ${zone} has twice, as clocks went back`, CURE);
    return moments[0] as number;
  };
}

/** What a zone adds to UTC at a moment, in milliseconds. */
export function offsetsOf(zone: string): (utcMs: number) => number {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });
  return (utcMs) => {
    const part: Record<string, number> = {};
    for (const { type, value } of format.formatToParts(utcMs)) part[type] = Number(value);
    const { year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0 } = part;
    return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(utcMs / 1000) * 1000;
  };
}

/** Whether Node knows a zone of that name (IANA); an offset such as +02:00 is none. */
export function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return /^[A-Za-z]/.test(name);
  } catch {
    return false;
  }
}
