import { expect, it } from 'vitest';
import { drawPlan } from './plan.js';
import { described, regressions, session } from './session.js';

/** TORTURE_SEEDS chooses others; `npm run torture` runs as many as one likes, and says more. */
const SEEDS = process.env.TORTURE_SEEDS?.split(',').map(Number) ?? [0, 1, 2, 3, 4, 10, 11, 12, 13, 14];
const LANES = 2;

it('random runs lose nothing, whatever is killed, stopped or cut at whichever statement', async () => {
  const plans = [...regressions(), ...SEEDS.map(drawPlan)];
  const done = await session({
    plans,
    lanes: LANES,
    say: ({ seed, story, ms }) => console.log(`seed ${seed}, ${Math.round(ms / 1000)} s:`, ...story),
  });
  expect(done.violations.map(described).join('\n')).toBe('');
  expect(done.runs).toBe(plans.length);
  expect(done.faults).toBeGreaterThan(plans.length / 2);
  expect(done.edits).toBeGreaterThan(plans.length * 50);
}, 900_000);
