import { expect, inject, it } from 'vitest';
import { described } from './campaign.js';
import { fuzz } from './fuzz.js';

/** FUZZ_SEEDS and FUZZ_FIRST choose others: `npm run fuzz` runs as many as one likes. */
const SEEDS = Number(process.env.FUZZ_SEEDS ?? 100);
const FIRST = Number(process.env.FUZZ_FIRST ?? 0);

it('what MySQL holds after run upon run is what the oracle says, seed by seed', async () => {
  const seeds = Array.from({ length: SEEDS }, (_, index) => FIRST + index);
  const result = await fuzz(inject('mysqlUrl'), seeds, (line) => console.log(line));
  expect(result.found.map(described).join('\n')).toBe('');
  expect(result).toMatchObject({ seeds: SEEDS, mismatches: 0 });
  expect(result.rows).toBeGreaterThan(SEEDS * 10);
}, 900_000);
