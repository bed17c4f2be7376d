import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { everyPoint } from './every-point.js';
import type { Lane } from './lane.js';
import { drawPlan, type Plan } from './plan.js';
import type { Result } from './run.js';
import { described, onLane, regressions, session } from './session.js';

const USAGE =
  'npm run torture [-- --runs N --first N --seed S --plan JSON --every-point --lanes N --json FILE]';
const LANES = 4;

/**
 * `npm run torture`: as many random runs as one likes, those of seeds first that once found something; or one seed; or every
 * fail point. Exits with 1 on a violation.
 */
async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      runs: { type: 'string', default: '20' },
      first: { type: 'string' },
      seed: { type: 'string' },
      plan: { type: 'string' },
      'every-point': { type: 'boolean', default: false },
      lanes: { type: 'string', default: String(LANES) },
      json: { type: 'string' },
    },
  });
  const first = Number(values.seed ?? values.first ?? 0);
  const runs = values.seed === undefined ? Number(values.runs) : 1;
  const lanes = Number(values.lanes);
  if (![first, runs, lanes].every((value) => Number.isSafeInteger(value) && value >= 0)) {
    console.error(`usage: ${USAGE}`);
    return 2;
  }
  const { seed, plan } = values;
  const random = () => Array.from({ length: runs }, (_, index) => drawPlan(first + index));
  const plans = values['every-point']
    ? await plansOfEveryPoint()
    : plan !== undefined
      ? [JSON.parse(plan) as Plan]
      : seed !== undefined
        ? random()
        : [...regressions(), ...random()];
  const result = await session({ plans, lanes, say: tell });
  const { violations, ...counts } = result;
  if (values.json) writeFileSync(values.json, `${JSON.stringify(result)}\n`);
  console.log(JSON.stringify({ ...counts, violations: violations.length }));
  return violations.length === 0 ? 0 : 1;
}

/** Watches a few runs on a lane of its own. */
async function plansOfEveryPoint(): Promise<Plan[]> {
  return onLane(async (lane) => {
    const { plans, watched } = await everyPoint(lane);
    for (const result of watched) tell(result, lane);
    return plans;
  });
}

function tell(result: Result, lane: Lane): void {
  const { seed, faults, edits, violations, ms } = result;
  console.error(
    `seed ${seed}: ${faults.length} faults, ${edits} edits, ${(ms / 1000).toFixed(1)} s, ${violations.length} violations`,
  );
  for (const line of result.story) console.error(`  ${line}`);
  if (violations.length === 0) return;
  for (const violation of violations) console.error(described(violation));
  console.error(lane.workers.output.join('\n').slice(-6_000));
}

process.exitCode = await main();
