import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { startSqlServer } from '../../demo/engines/sql-server.js';
import type { Violation } from './check.js';
import { Lane } from './lane.js';
import type { Plan } from './plan.js';
import { type Result, torture } from './run.js';
import { campaignOf } from './shape.js';

export interface Session {
  runs: number;
  faults: number;
  edits: number;
  violations: Violation[];
}

/** What has found something once: seeds, with their plans as they were drawn then. */
export function regressions(): Plan[] {
  const file = join(import.meta.dirname, 'regressions.json');
  const kept = JSON.parse(readFileSync(file, 'utf8')) as (Plan & { why: string })[];
  return kept.map(({ seed, steps }) => ({ seed, steps }));
}

export interface SessionOptions {
  plans: Plan[];
  /** places at which runs go on side by side */
  lanes: number;
  /** told of each run, and where it was */
  say: (result: Result, lane: Lane) => void;
  /** folder of the product, built: its own, or a copy with a fault planted in it */
  product?: string;
  /** the first violation ends the session */
  bail?: boolean;
}

/** Runs plans side by side on lanes; those of a campaign stay on one. */
export async function session(options: SessionOptions): Promise<Session> {
  const { plans, lanes, say, product = process.cwd(), bail = false } = options;
  const campaigns = new Map<number, Plan[]>();
  for (const plan of plans) {
    const campaign = campaignOf(plan.seed);
    campaigns.set(campaign, [...(campaigns.get(campaign) ?? []), plan]);
  }
  const waiting = [...campaigns.values()];
  const done: Session = { runs: 0, faults: 0, edits: 0, violations: [] };
  const isOver = () => bail && done.violations.length > 0;
  await onLanes(Math.min(lanes, waiting.length), product, async (lane) => {
    for (let own = waiting.shift(); own; own = waiting.shift()) {
      for (const plan of own) {
        if (isOver()) return;
        const result = await torture(lane, plan);
        done.runs += 1;
        done.faults += result.faults.length;
        done.edits += result.edits;
        done.violations.push(...result.violations);
        say(result, lane);
      }
    }
  });
  return done;
}

/** Works on lanes side by side, each with engines of its own but for the SQL Server, of which it has a database. */
async function onLanes(count: number, product: string, work: (lane: Lane) => Promise<void>): Promise<void> {
  const databases = Array.from({ length: count }, (_, index) => `stageswap_test_torture_${index}`);
  const sqlServer = await startSqlServer(() => {}, { databases, owned: true });
  const onDatabase = async (database: string) => {
    const url = new URL(sqlServer.url);
    url.pathname = `/${database}`;
    const lane = await Lane.open(url.href, product);
    try {
      await work(lane);
    } finally {
      await lane.close();
    }
  };
  try {
    await Promise.all(databases.map(onDatabase));
  } finally {
    await sqlServer.stop();
  }
}

/** Works on one lane. */
export async function onLane<T>(work: (lane: Lane) => Promise<T>): Promise<T> {
  const results: T[] = [];
  await onLanes(1, process.cwd(), async (lane) => {
    results.push(await work(lane));
  });
  return results[0] as T;
}

/** A violation for people: what is wrong, what happened to the row, and how to see it again. */
export const described = ({ seed, invariant, text, history, rerun }: Violation): string =>
  [
    `VIOLATION of ${invariant}, seed ${seed}: ${text}`,
    ...history.map((line) => `    ${line}`),
    `  again: ${rerun}`,
  ].join('\n');
