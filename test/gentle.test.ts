import { describe, expect, test } from 'vitest';
import { PacedSink } from '../activities/stand-back.js';
import { stoodBackText } from '../src/cli/report-text.js';
import { parseMssqlAddress } from '../src/config/address.js';
import { noCost, sumOfCosts } from '../src/model/cost.js';
import { Pace } from '../src/model/pace.js';
import { settingsOf } from '../src/sql-server/connection.js';

/** Reads rows that come `msARow` apart at a pace. @returns when the last one came, on a clock of its own */
function readAt(pace: (clock: () => number) => Pace, rows: number, msARow: number): number {
  let now = 0;
  const held = pace(() => now);
  for (let row = 0; row < rows; row += 1) {
    now += msARow;
    now += held.take();
  }
  return now;
}

describe('a pace', () => {
  test.each([10, 400, 20_000])('holds a quick source to %i rows a second', (limit) => {
    const ms = readAt((clock) => new Pace(limit, clock), limit * 3, 0);
    expect(ms).toBeGreaterThan(2_900);
    expect(ms).toBeLessThan(3_200);
  });

  test('does not hold up a source that is slower', () => {
    expect(readAt((clock) => new Pace(1_000, clock), 500, 5)).toBe(2_500);
  });

  test('does not let a source make up by a burst for what it did not give', () => {
    let now = 0;
    const pace = new Pace(1_000, () => now);
    now = 60_000; // a minute without a row
    for (let row = 0; row < 5_000; row += 1) now += pace.take();
    expect(now - 60_000).toBeGreaterThan(3_900);
  });
});

test('a paced sink says when to wait, waits, and says for how long it did', async () => {
  const taken: (string | null)[][] = [];
  const inner = {
    write: (fields: (string | null)[]) => taken.push(fields) > 0,
    drained: () => Promise.resolve(),
  };
  let now = 0;
  const sink = new PacedSink(inner, new Pace(1_000, () => now));
  const startedAt = performance.now();
  for (let row = 0; row < 300; row += 1) {
    if (sink.write([String(row)])) continue;
    await sink.drained();
    now = sink.waitedMs;
  }
  expect(sink.waitedMs).toBe(300);
  expect(performance.now() - startedAt).toBeGreaterThan(290);
  expect(taken).toHaveLength(300);
});

test('a sink without a pace only waits for what is behind it', async () => {
  let full = true;
  const inner = {
    write: () => !full,
    drained: async () => {
      full = false;
    },
  };
  const sink = new PacedSink(inner, undefined);
  expect(sink.write(['1'])).toBe(false);
  await sink.drained();
  expect(sink.write(['2'])).toBe(true);
  expect(sink.waitedMs).toBe(0);
});

test('the intent of reading only is part of the address, and goes into the login', () => {
  const address = (options: string) => parseMssqlAddress(`mssql://sa:x@host:1433/billing${options}`);
  expect(settingsOf(address('?applicationIntent=ReadOnly')).options?.readOnlyIntent).toBe(true);
  expect(settingsOf(address('?applicationIntent=ReadWrite')).options?.readOnlyIntent).toBe(false);
  expect(settingsOf(address('')).options?.readOnlyIntent).toBe(false);
  expect(() => address('?applicationIntent=Lunch')).toThrow('applicationIntent=Lunch is not known');
});

test('costs are summed, and a person is told only of waiting that there was', () => {
  const cost = noCost();
  cost.source.waitedMs = 1_500;
  const sum = sumOfCosts(cost, cost);
  expect(sum.source.waitedMs).toBe(3_000);
  expect(stoodBackText(sum)).toBe('stood back 3.0 s for source.rowsPerSecondMax');
  expect(stoodBackText(noCost())).toBe('');
  expect(stoodBackText(undefined)).toBe('');
});
