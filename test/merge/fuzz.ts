import { type CampaignResult, campaignOf, type Difference, runCampaign } from './campaign.js';

/** Random tests by seed: campaigns side by side, and, where one finds a difference, the one seed that shows it. */

export interface FuzzResult {
  seeds: number;
  rows: number;
  mismatches: number;
  /** the smallest difference of each campaign that found one */
  found: Difference[];
}

/** Campaigns that run at once: MySQL waits for its disk most of the time. */
const AT_ONCE = 4;

/** @param say is told of each campaign that ends */
export async function fuzz(
  mysqlUrl: string,
  seeds: number[],
  say: (line: string) => void = () => {},
): Promise<FuzzResult> {
  const campaigns = new Map<number, number[]>();
  for (const seed of seeds)
    campaigns.set(campaignOf(seed), [...(campaigns.get(campaignOf(seed)) ?? []), seed]);
  const result: FuzzResult = { seeds: 0, rows: 0, mismatches: 0, found: [] };
  const waiting = [...campaigns];
  const work = async (slot: number) => {
    const schema = `stageswap_test_fuzz_${slot}`;
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const [number, own] = next;
      const done = await runCampaign(mysqlUrl, schema, number, own);
      result.seeds += own.length;
      result.rows += done.rows;
      say(`campaign ${number}: ${done.runs} runs, ${done.rows} rows, ${done.differences.length} differences`);
      if (done.differences.length === 0) continue;
      result.mismatches += done.differences.length;
      result.found.push(await smallest(mysqlUrl, schema, number, own, done));
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, waiting.length) }, (_, slot) => work(slot)));
  return result;
}

/** The difference that one seed alone shows, if one does: fewer rows, and often an earlier run. */
async function smallest(
  mysqlUrl: string,
  schema: string,
  number: number,
  seeds: number[],
  done: CampaignResult,
): Promise<Difference> {
  const suspects = new Set(done.differences.flatMap(({ seed }) => (seed === null ? [] : [seed])));
  let least = done.differences[0] as Difference;
  if (seeds.length === 1) return least;
  for (const seed of new Set([...suspects, ...seeds])) {
    const [alone] = (await runCampaign(mysqlUrl, schema, number, [seed])).differences;
    if (!alone) continue;
    least = { ...alone, seed };
    break;
  }
  return least;
}
