import { describe, expect, it } from 'vitest';
import { nextWindow, parseWindow } from '../src/model/window.js';

/** Windows in local time, as pure functions of a moment. */
const at = (iso: string) => Date.parse(iso);
const next = (text: string, iso: string) => {
  const window = parseWindow(text);
  if (!window) throw new Error(text);
  const { opensAtMs, closesAtMs } = nextWindow(window, at(iso));
  return [opensAtMs, closesAtMs].map((ms) => new Date(ms).toISOString());
};

describe('a window', () => {
  it('that is open is open now, to its end', () => {
    expect(next('02:00-04:00 Europe/Berlin', '2026-01-10T01:30:20.500Z')).toEqual([
      '2026-01-10T01:30:20.500Z',
      '2026-01-10T03:00:00.000Z',
    ]);
  });
  it('that is shut opens next in local time, winter and summer', () => {
    expect(next('02:00-04:00 Europe/Berlin', '2026-01-10T12:00:00Z')[0]).toBe('2026-01-11T01:00:00.000Z');
    expect(next('02:00-04:00 Europe/Berlin', '2026-07-10T12:00:00Z')[0]).toBe('2026-07-11T00:00:00.000Z');
  });
  it('opens at its first minute and is shut at its last', () => {
    expect(next('02:00-04:00 UTC', '2026-01-10T02:00:00Z')[0]).toBe('2026-01-10T02:00:00.000Z');
    expect(next('02:00-04:00 UTC', '2026-01-10T04:00:00Z')[0]).toBe('2026-01-11T02:00:00.000Z');
  });
  it('spans midnight', () => {
    expect(next('22:30-01:15 America/New_York', '2026-01-10T12:00:00Z')).toEqual([
      '2026-01-11T03:30:00.000Z',
      '2026-01-11T06:15:00.000Z',
    ]);
    expect(next('22:30-01:15 America/New_York', '2026-01-11T06:00:00Z')[0]).toBe('2026-01-11T06:00:00.000Z');
  });
  it('opens later where clocks go forward over its beginning, and the next day where they skip it', () => {
    // 2026-03-29: 02:00 becomes 03:00 in Berlin
    expect(next('02:00-04:00 Europe/Berlin', '2026-03-28T12:00:00Z')).toEqual([
      '2026-03-29T01:00:00.000Z',
      '2026-03-29T02:00:00.000Z',
    ]);
    expect(next('02:15-02:45 Europe/Berlin', '2026-03-28T12:00:00Z')[0]).toBe('2026-03-30T00:15:00.000Z');
  });
  it('is open both times where clocks go back over it', () => {
    // 2026-10-25: 03:00 becomes 02:00 in Berlin
    expect(next('02:00-03:00 Europe/Berlin', '2026-10-24T12:00:00Z')).toEqual([
      '2026-10-25T00:00:00.000Z',
      '2026-10-25T02:00:00.000Z',
    ]);
  });
  it('knows zones that are no whole hours away', () => {
    expect(next('02:00-04:00 Asia/Kathmandu', '2026-01-10T00:00:00Z')[0]).toBe('2026-01-10T20:15:00.000Z');
  });
  it('is written as from-to and a zone; what is not, or is empty, is none', () => {
    for (const text of [
      '2-4 UTC',
      '02:00-04:00',
      '02:00-02:00 UTC',
      '24:00-01:00 UTC',
      '02:60-03:00 UTC',
      '',
    ])
      expect(parseWindow(text), text).toBeUndefined();
    expect(parseWindow('02:00 - 04:00 UTC')).toMatchObject({ from: 120, to: 240 });
  });
});
