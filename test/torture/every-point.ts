import { Random } from '../../demo/app/random.js';
import type { Lane } from './lane.js';
import { drawFault, type Fault, type FaultKind, type Plan, type Point, type Step } from './plan.js';
import { type Result, torture } from './run.js';
import { drawShape, SEEDS_A_CAMPAIGN } from './shape.js';

/**
 * Plans that strike at every fail point that there is, found by watching a run, a second one, a rollback and an abort: each
 * with a kill going forward, and with one of stop and reset; those of a rollback and of an abort with one of the three.
 */

/** Strikes of one run: each costs the seconds after which Temporal gives a dead worker up. */
const STRIKES_A_RUN = 3;
const KINDS = ['kill', 'stop', 'reset'] as const satisfies FaultKind[];
/** Where an abort comes, whose taking back is struck then. */
const ABORT_AT: Point = { activity: 'replay', statement: 'COMMIT', side: 'after', nth: 1 };
const UNDOING = ['undo', 'closeMoment'];
const AT_THE_GATE = ['renew', 'nextWindowOf'];
/** What clients hand in comes at any time. */
const BESIDE = 'applyEdits';

const quiet = (command: Step['command']): Step => ({ command, faults: [], billing: 1 });

export async function everyPoint(lane: Lane): Promise<{ plans: Plan[]; watched: Result[] }> {
  const watched: Result[] = [];
  const watch = async (steps: Step[], seed: number): Promise<string[]> => {
    lane.points.names.clear();
    watched.push(await torture(lane, { seed, steps }));
    return [...lane.points.names.keys()];
  };
  // one campaign reads in a transaction, the other by chunks
  const seeds = [seedOf('transaction'), seedOf('snapshot')];
  const plans: Plan[] = [];
  for (const [index, seed] of seeds.entries()) {
    const first = await watch([quiet('publish')], seed);
    const forward =
      index === 0
        ? first
        : first.filter(
            (name) =>
              !/^ingestTransaction/.test(name) &&
              /^(openMoment|planIngest|ingestChunks|closeMoment)/.test(name),
          );
    plans.push(...strike(forward, ['kill'], seed, (faults) => [step('publish', faults)]));
    plans.push(...strike(forward, ['stop', 'reset'], seed, (faults) => [step('publish', faults)]));
    if (index > 0) continue;
    const second = (await watch([quiet('publish'), quiet('publish')], seed)).filter(
      (name) => !first.includes(name),
    );
    plans.push(...strike(second, ['kill'], seed, (faults) => [quiet('publish'), step('publish', faults)]));
    const back = (await watch([quiet('publish'), quiet('rollback')], seed)).filter((name) =>
      isRollback(name, first),
    );
    plans.push(...strike(back, KINDS, seed, (faults) => [quiet('publish'), step('rollback', faults)]));
    const abort = fault('abort', ABORT_AT, 0);
    const undo = (await watch([step('publish', [abort])], seed)).filter((name) =>
      UNDOING.includes(name.split(':')[0] ?? ''),
    );
    plans.push(...strike(undo, KINDS, seed, (faults) => [step('publish', [abort, ...faults])]));
  }
  plans.push(...(await atTheGate(watch)));
  return { plans, watched };
}

/** What a run does that waits until it has to read the source again. */
async function atTheGate(watch: (steps: Step[], seed: number) => Promise<string[]>): Promise<Plan[]> {
  let campaign = 0;
  while (drawShape(campaign).sourceAgeSecondsMax === undefined) campaign += 1;
  const seed = campaign * SEEDS_A_CAMPAIGN;
  const names = await watch([quiet('publish'), quiet('publish')], seed);
  const waited = names.filter((name) => AT_THE_GATE.includes(name.split(':')[0] ?? ''));
  const publish = (faults: Fault[]) => [quiet('publish'), step('publish', faults)];
  return [...strike(waited, ['kill'], seed, publish), ...strike(waited, ['stop', 'reset'], seed, publish)];
}

function seedOf(moment: 'transaction' | 'snapshot'): number {
  for (let campaign = 0; ; campaign += 1)
    if (drawShape(campaign).moment === moment) return campaign * SEEDS_A_CAMPAIGN;
}

/** A rollback's points: all but what a publish alone has. */
const isRollback = (name: string, publish: string[]) =>
  !/^(begin|openMoment|planIngest|ingest\w+|closeMoment):/.test(name) || !publish.includes(name);

const step = (command: Step['command'], faults: Fault[]): Step => ({ command, faults, billing: 1 });
const fault = (kind: FaultKind, at: Point, number: number): Fault => drawFault(new Random(number), kind, at);

/** Deals points to runs, far from each other in each, and kinds to points in turn. */
function strike(
  names: string[],
  kinds: readonly FaultKind[],
  seed: number,
  steps: (faults: Fault[]) => Step[],
): Plan[] {
  const points = names.flatMap((name) => pointOf(name) ?? []);
  const runs = Math.ceil(points.length / STRIKES_A_RUN);
  return Array.from({ length: runs }, (_, run) => {
    const own = points.filter((_point, index) => index % runs === run);
    const faults = own.map((at, index) =>
      fault(kinds[(run + index) % kinds.length] ?? 'kill', at, seed + run * 7 + index),
    );
    return { seed, steps: steps(faults) };
  });
}

function pointOf(name: string): Point | undefined {
  const [, activity = '', statement = '', side = ''] = /^(\w+): (.*), (before|after)$/.exec(name) ?? [];
  if (activity === '' || activity === BESIDE) return undefined;
  return { activity, statement, side: side as Point['side'], nth: 1 };
}
