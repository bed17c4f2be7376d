import { Random } from '../../demo/app/random.js';
import type { ByHand, Meanwhile } from '../support/by-hand.js';
import { type Group, identityOf } from './oracle.js';
import { openShape, type Shape } from './shape.js';
import { alike, type Found, Story } from './story.js';
import { completed, drawMapping, drawShape, World } from './world.js';

/**
 * A campaign: some seeds' worlds in one schema that the campaign's number draws, and run after run over them: publishes,
 * aborts and rollbacks, with mappings that change between them, with clients who edit before each run and while it works, and an operator who settles conflicts.
 * After each, MySQL must hold what the oracle says, row for row.
 */

export const SEEDS_A_CAMPAIGN = 10;
export const RUNS_A_CAMPAIGN = 6;

export interface Difference extends Omit<Found, 'kind'> {
  kind: Found['kind'] | 'failure';
  campaign: number;
  run: number;
  /** of the world whose row it is; null: of none that is known */
  seed: number | null;
}

export interface CampaignResult {
  /** rows of live that were compared */
  rows: number;
  runs: number;
  /** of the first run that went wrong */
  differences: Difference[];
}

/** The campaign that a seed belongs to. */
export const campaignOf = (seed: number) => Math.floor(seed / SEEDS_A_CAMPAIGN);

export async function runCampaign(
  mysqlUrl: string,
  schema: string,
  number: number,
  seeds: number[],
): Promise<CampaignResult> {
  const shape = drawShape(number);
  const hand = await openShape(mysqlUrl, schema, shape);
  try {
    return await new Campaign(number, seeds, shape, hand).run();
  } finally {
    await hand.close();
  }
}

class Campaign {
  readonly #worlds: World[];
  readonly #random: Random;
  readonly #story: Story;

  constructor(
    readonly number: number,
    seeds: number[],
    public shape: Shape,
    readonly hand: ByHand,
  ) {
    this.#worlds = seeds.map((seed) => new World(shape, seed, seed % SEEDS_A_CAMPAIGN));
    this.#random = new Random(number * 104_729 + 5);
    this.#story = new Story(hand, shape);
  }

  async run(): Promise<CampaignResult> {
    const result: CampaignResult = { rows: 0, runs: 0, differences: [] };
    for (let run = 1; run <= RUNS_A_CAMPAIGN && result.differences.length === 0; run += 1) {
      if (run > 1 && this.#random.chance(0.3)) await this.#remap();
      await this.#clients();
      const at = { campaign: this.number, run };
      try {
        const found = await this.#once();
        result.differences = found.map((one) => ({ ...one, ...at, seed: this.#seedOf(one) }));
      } catch (error) {
        const failure = { kind: 'failure', seed: null, table: '', key: '', expected: 'an end' } as const;
        result.differences = [{ ...at, ...failure, found: (error as Error).message }];
      }
      result.runs += 1;
      for (const rows of Object.values(this.#story.seen)) result.rows += rows.size;
    }
    return result;
  }

  /** One run, and in what it differs. */
  async #once(): Promise<Found[]> {
    const what = this.#random.below(10);
    if (this.#story.canRollBack && what < 3) return this.#story.rollBack(this.#meanwhile());
    for (const world of this.#worlds) world.change();
    if (what === 3) return this.#story.abort(this.#said(), this.#meanwhile());
    const found = await this.#story.publish(this.#said(), this.#meanwhile());
    if (found.length === 0) await this.#settle();
    return found;
  }

  /** The operator changes the mapping, for the runs from now on. */
  async #remap(): Promise<void> {
    const shape = drawMapping(this.#random, this.shape);
    await this.#story.remap(shape);
    this.shape = shape;
    for (const world of this.#worlds) world.shape = shape;
  }

  /** Clients come in at each moment of a run. */
  #meanwhile(): Meanwhile {
    // The cut-over waits a second for open transactions, so that only some runs have one.
    const locking = this.#random.chance(0.2) && { locking: () => this.#edit() };
    return {
      ...locking,
      captured: () => this.#clients(),
      merged: () => this.#clients(),
      replayed: () => this.#clients(),
    };
  }

  /** What all clients do at one moment, in one transaction. */
  async #clients(): Promise<void> {
    await this.hand.application.query('START TRANSACTION');
    await this.#edit();
    await this.hand.application.query('COMMIT');
  }
  async #edit(): Promise<void> {
    await this.#story.edit(this.#worlds.flatMap((world) => world.edits()));
  }

  /** An operator settles some conflicts. Of the world alone whether and how, so that a seed does the same by itself. */
  async #settle(): Promise<void> {
    await this.#story.settle((conflict) => {
      const table = this.shape.tables.find(({ name }) => name === conflict.table);
      // What becomes of settled values that lack a parent, or collide, is told in test/settle.mysql.test.ts.
      const apart = [...(table?.unique ?? []), ...(table?.references ?? []).map(({ columns }) => columns)];
      if (conflict.columns.some((column) => apart.flat().includes(column))) return undefined;
      return this.#worldOf(conflict)?.settles();
    });
  }

  /** What billing says now: the rows of all worlds. */
  #said(): Group {
    return Object.fromEntries(
      this.shape.tables.map((table) => {
        const rows = this.#worlds.flatMap((world) => [...world.rows(table.name).values()]);
        return [
          table.name,
          new Map(rows.map((row) => [identityOf(table, row), completed(table, row)] as const)),
        ];
      }),
    );
  }

  #worldOf({ table, key }: { table: string; key: string }): World | undefined {
    return this.#worlds.find((world) => world.owns(table, key));
  }
  #seedOf(found: Found): number | null {
    return this.#worldOf(found)?.seed ?? null;
  }
}

/** A difference for people: what it is about, and the columns in which the two differ. */
export function described(difference: Difference): string {
  const { campaign, run, kind, seed, table, key, expected, found, sides } = difference;
  const lines = [
    `seed ${seed ?? '?'} (campaign ${campaign}), run ${run}: ${kind} of ${table} ${key}`,
    ...differing(expected, found),
  ];
  if (sides) for (const [side, row] of Object.entries(sides)) lines.push(`  ${side}: ${JSON.stringify(row)}`);
  return lines.join('\n');
}

function differing(expected: unknown, found: unknown): string[] {
  const both = [expected, found];
  if (both.some((side) => typeof side !== 'object' || side === null))
    return [`  expected: ${JSON.stringify(expected)}`, `  found: ${JSON.stringify(found)}`];
  const [left, right] = both as Record<string, unknown>[];
  if (!left || !right) return [];
  return [...new Set([...Object.keys(left), ...Object.keys(right)])]
    .filter((name) => !alike(left[name], right[name]))
    .map((name) => `  ${name}: expected ${JSON.stringify(left[name])}, found ${JSON.stringify(right[name])}`);
}
