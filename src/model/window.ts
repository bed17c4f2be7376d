import { offsetsOf } from './time-zone.js';

const MINUTE_MS = 60_000;
const DAY_MINUTES = 24 * 60;
/** A window that clocks skip on one day opens on the next. */
const DAYS_LOOKED_AT = 3;

/** A part of each day, in local time, in which a run may cut over. */
export interface Window {
  /** minutes since local midnight; `to` is the first that is outside, and may be smaller than `from`: across midnight */
  from: number;
  to: number;
  /** IANA name */
  timeZone: string;
}

/** Reads `02:00-04:00 Europe/Berlin`. @returns undefined if it is not written so, or is empty; the zone is not checked */
export function parseWindow(text: string): Window | undefined {
  const match = /^(\d\d):(\d\d)\s*-\s*(\d\d):(\d\d) +(\S+)$/.exec(text.trim());
  if (!match) return undefined;
  const [hour = 0, minute = 0, toHour = 0, toMinute = 0] = match.slice(1, 5).map(Number);
  if (Math.max(hour, toHour) > 23 || Math.max(minute, toMinute) > 59) return undefined;
  const window = { from: hour * 60 + minute, to: toHour * 60 + toMinute, timeZone: match[5] ?? '' };
  return window.from === window.to ? undefined : window;
}

/**
 * The window that is open at a moment, else the next. A moment is inside if a clock on the wall there shows so: where clocks
 * go forward over its beginning it opens when they have; where they go back over it, it is open both times.
 *
 * @param atMs milliseconds since 1970
 */
export function nextWindow(window: Window, atMs: number): { opensAtMs: number; closesAtMs: number } {
  const offsetAt = offsetsOf(window.timeZone);
  const isInside = (utcMs: number) => {
    const local = Math.floor((utcMs + offsetAt(utcMs)) / MINUTE_MS) % DAY_MINUTES;
    return window.from < window.to
      ? local >= window.from && local < window.to
      : local >= window.from || local < window.to;
  };
  const last = atMs + DAYS_LOOKED_AT * DAY_MINUTES * MINUTE_MS;
  const next = (fromMs: number, inside: boolean) => {
    let ms = fromMs;
    while (ms < last && isInside(ms) !== inside) ms = (Math.floor(ms / MINUTE_MS) + 1) * MINUTE_MS;
    return ms;
  };
  const opensAtMs = next(atMs, true);
  return { opensAtMs, closesAtMs: next(opensAtMs, false) };
}
