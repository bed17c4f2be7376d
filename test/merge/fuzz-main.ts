import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { startEngines } from '../../demo/engines/index.js';
import { campaignOf, described, runCampaign } from './campaign.js';
import { fuzz } from './fuzz.js';

const USAGE = 'npm run fuzz [-- --seeds N --first N --json FILE | -- --seed N]';

/** `npm run fuzz`: as many seeds as one likes; or one, with all that it shows. Exits with 1 on a mismatch. */
async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: '100' },
      first: { type: 'string', default: '0' },
      seed: { type: 'string' },
      json: { type: 'string' },
    },
  });
  const [count, first, one] = [values.seeds, values.first, values.seed ?? '0'].map(Number);
  if (![count, first, one].every((value) => Number.isSafeInteger(value) && Number(value) >= 0)) {
    console.error(`usage: ${USAGE}`);
    return 2;
  }
  const engines = await startEngines({ say: console.error, temporal: false, sqlServer: false });
  try {
    const { url } = engines.mysql;
    if (values.seed !== undefined) return await tell(url, Number(one));
    const seeds = Array.from({ length: Number(count) }, (_, index) => Number(first) + index);
    const { found, ...result } = await fuzz(url, seeds, console.error);
    if (values.json) writeFileSync(values.json, `${JSON.stringify(result)}\n`);
    for (const difference of found) console.error(described(difference));
    console.log(JSON.stringify(result));
    return result.mismatches === 0 ? 0 : 1;
  } finally {
    await engines.stop();
  }
}

/** One seed alone, and every difference of its first run that has one. */
async function tell(url: string, seed: number): Promise<number> {
  const { differences, ...result } = await runCampaign(url, 'stageswap_test_fuzz_0', campaignOf(seed), [
    seed,
  ]);
  for (const difference of differences) console.error(described(difference));
  console.log(JSON.stringify({ seeds: 1, rows: result.rows, mismatches: differences.length }));
  return differences.length === 0 ? 0 : 1;
}

process.exitCode = await main();
