import type mysql from 'mysql2/promise';
import { Random } from '../../demo/app/random.js';
import type { RunSpec } from '../../src/model/spec.js';
import type { ByHand, Meanwhile } from '../support/by-hand.js';
import { type Conflict, type Group, identityOf, inOrder, publish, type Row, rollBack } from './oracle.js';
import { openShape, readBase, readConflicts, readLive, type Shape, sourceRows } from './shape.js';
import { completed, drawShape, type Edit, World } from './world.js';

/**
 * A campaign: some seeds' worlds in one schema that the campaign's number draws, and run after run over them: publishes,
 * aborts and rollbacks, with clients who edit before each run and while it works. After each, MySQL must hold what the
 * oracle says, row for row.
 */

export const SEEDS_A_CAMPAIGN = 10;
export const RUNS_A_CAMPAIGN = 6;

export interface Difference {
  campaign: number;
  run: number;
  kind: 'live' | 'base' | 'conflict' | 'failure';
  /** of the world whose row it is; null: of none that is known */
  seed: number | null;
  table: string;
  key: string;
  expected: unknown;
  found: unknown;
  /** what the merge had before it */
  sides?: { base: Row | null; source: Row | null; live: Row | null };
}

export interface CampaignResult {
  /** rows of live that were compared */
  rows: number;
  runs: number;
  /** of the first run that went wrong, the smallest first */
  differences: Difference[];
}

/** What clients may be refused: a duplicate, a parent that is missing, a child that is there. */
const REFUSED = new Set([1062, 1216, 1217, 1451, 1452, 1761, 1762]);

/** The campaign that a seed belongs to. */
export const campaignOf = (seed: number) => Math.floor(seed / SEEDS_A_CAMPAIGN);

export async function runCampaign(mysqlUrl: string, schema: string, number: number, seeds: number[]) {
  const campaign = new Campaign(number, seeds);
  return campaign.run(mysqlUrl, schema);
}

/** What a publish left behind, for the rollback that may follow. */
interface Undoable {
  spec: RunSpec;
  published: Group;
  backup: Group;
  baseBefore: Group | null;
}

class Campaign {
  readonly #shape: Shape;
  readonly #worlds: World[];
  readonly #random: Random;
  #base: Group | null = null;
  #undoable: Undoable | null = null;
  #touched: Record<string, Set<string>> = {};
  /** live right before the swap, as clients saw it */
  #seen: Group = {};
  #source: Group = {};

  constructor(
    readonly number: number,
    seeds: number[],
  ) {
    this.#shape = drawShape(number);
    this.#worlds = seeds.map((seed) => new World(this.#shape, seed, seed % SEEDS_A_CAMPAIGN));
    this.#random = new Random(number * 104_729 + 5);
  }

  async run(mysqlUrl: string, schema: string): Promise<CampaignResult> {
    const result: CampaignResult = { rows: 0, runs: 0, differences: [] };
    const hand = await openShape(mysqlUrl, schema, this.#shape);
    try {
      for (let run = 1; run <= RUNS_A_CAMPAIGN && result.differences.length === 0; run += 1) {
        await this.#clients(hand);
        const at = { campaign: this.number, run };
        try {
          result.differences = (await this.#once(hand)).map((found) => ({ ...at, ...found }));
        } catch (error) {
          const failure = { kind: 'failure', seed: null, table: '', key: '', expected: 'an end' } as const;
          result.differences = [{ ...at, ...failure, found: (error as Error).message }];
        }
        result.runs += 1;
        for (const rows of Object.values(this.#seen)) result.rows += rows.size;
      }
    } finally {
      await hand.close();
    }
    return result;
  }

  /** One run and its outcome, compared. */
  async #once(hand: ByHand): Promise<Found[]> {
    const what = this.#random.below(10);
    if (this.#undoable && what < 3) return this.#rollBack(hand, this.#undoable);
    for (const world of this.#worlds) world.change();
    this.#source = this.#said();
    return what === 3 ? this.#abort(hand) : this.#publish(hand);
  }

  async #publish(hand: ByHand): Promise<Found[]> {
    const spec = await hand.publish(sourceRows(this.#shape, this.#source), this.#meanwhile(hand));
    const before = { base: this.#base, source: this.#source, live: this.#seen };
    const said = publish(this.#shape.tables, { firstRun: this.#shape.firstRun, ...before });
    this.#undoable = {
      spec,
      published: said.live,
      backup: this.#seen,
      baseBefore: this.#base,
    };
    this.#base = said.base;
    this.#touched = {};
    const conflicts = await readConflicts(hand, this.#shape, spec.generation);
    return [
      ...(await this.#compare(hand, said.live, before)),
      ...this.#compareConflicts(said.conflicts, conflicts),
    ];
  }

  async #abort(hand: ByHand): Promise<Found[]> {
    await hand.abort(sourceRows(this.#shape, this.#source), this.#meanwhile(hand));
    return this.#compare(hand, this.#seen);
  }

  async #rollBack(hand: ByHand, undoable: Undoable): Promise<Found[]> {
    await hand.rollBack(undoable.spec, this.#meanwhile(hand));
    const live = rollBack(this.#shape.tables, { ...undoable, live: this.#seen, touched: this.#touched });
    this.#base = undoable.baseBefore;
    this.#undoable = null;
    const sides = { base: undoable.published, source: undoable.backup, live: this.#seen };
    return this.#compare(hand, live, sides);
  }

  /** Clients come in at each moment of a run; what they leave is what live says before the swap. */
  #meanwhile(hand: ByHand): Meanwhile {
    // The cut-over waits a second for open transactions, so that only some runs have one.
    const locking = this.#random.chance(0.2) && { locking: () => this.#edit(hand) };
    return {
      ...locking,
      captured: () => this.#clients(hand),
      merged: () => this.#clients(hand),
      replayed: () => this.#clients(hand),
    };
  }

  /** What all clients do at one moment, in one transaction. */
  async #clients(hand: ByHand): Promise<void> {
    const { application } = hand;
    await application.query('START TRANSACTION');
    await this.#edit(hand);
    await application.query('COMMIT');
  }

  async #edit(hand: ByHand): Promise<void> {
    for (const world of this.#worlds) for (const edit of world.edits()) await this.#apply(hand, edit);
    this.#seen = await readLive(hand, this.#shape);
  }

  async #apply(hand: ByHand, edit: Edit): Promise<void> {
    const { name } = edit.table;
    const touched = this.#touched[name] ?? new Set();
    this.#touched[name] = touched;
    const before = edit.byUnique && (await readLive(hand, this.#shape))[name];
    try {
      const [result] = await hand.application.query(edit.text, edit.values);
      if ((result as mysql.ResultSetHeader).affectedRows > 0) for (const key of edit.keys) touched.add(key);
    } catch (error) {
      if (!REFUSED.has((error as mysql.QueryError).errno ?? 0)) throw error;
    }
    if (!before) return;
    const after = (await readLive(hand, this.#shape))[name] ?? new Map<string, Row>();
    for (const key of new Set([...before.keys(), ...after.keys()]))
      if (!alike(before.get(key), after.get(key))) touched.add(key);
  }

  /** What billing says now: the rows of all worlds. */
  #said(): Group {
    return Object.fromEntries(
      this.#shape.tables.map((table) => {
        const rows = this.#worlds.flatMap((world) => [...world.rows(table.name).values()]);
        return [
          table.name,
          new Map(rows.map((row) => [identityOf(table, row), completed(table, row)] as const)),
        ];
      }),
    );
  }

  async #compare(hand: ByHand, live: Group, sides?: Sides): Promise<Found[]> {
    const found = await readLive(hand, this.#shape);
    const base = await readBase(hand, this.#shape);
    const bases = this.#base && base ? this.#differences('base', this.#base, base, sides) : [];
    if ((this.#base === null) !== (base === null))
      bases.push({ kind: 'base', seed: null, table: '', key: '', expected: this.#base, found: base });
    return [...this.#differences('live', live, found, sides), ...bases];
  }

  #differences(kind: 'live' | 'base', expected: Group, found: Group, sides?: Sides): Found[] {
    return this.#shape.tables.flatMap(({ name }) => {
      const [left, right] = [expected[name] ?? new Map(), found[name] ?? new Map()];
      return [...new Set([...left.keys(), ...right.keys()])].flatMap((key) => {
        const [one, other] = [left.get(key), right.get(key)];
        if (alike(one, other)) return [];
        const rowOf = (group: Group | null | undefined) => group?.[name]?.get(key) ?? null;
        return [
          {
            kind,
            seed: this.#seedOf(name, key),
            table: name,
            key,
            expected: one ?? null,
            found: other ?? null,
            ...(sides && {
              sides: { base: rowOf(sides.base), source: rowOf(sides.source), live: rowOf(sides.live) },
            }),
          },
        ];
      });
    });
  }

  #compareConflicts(expected: Conflict[], found: Conflict[]): Found[] {
    const [left, right] = [expected, found].map((conflicts) => listed(conflicts));
    if (!left || !right) return [];
    return [...new Set([...left.keys(), ...right.keys()])].flatMap((place) => {
      const [one, other] = [left.get(place), right.get(place)];
      if (alike(one, other)) return [];
      const { table, key } = one ?? other ?? { table: '', key: '' };
      const seed = this.#seedOf(table, key);
      return [{ kind: 'conflict', seed, table, key, expected: one ?? null, found: other ?? null }];
    });
  }

  #seedOf(table: string, key: string): number | null {
    return this.#worlds.find((world) => world.owns(table, key))?.seed ?? null;
  }
}

type Found = Omit<Difference, 'campaign' | 'run'>;
type Sides = { base: Group | null; source: Group; live: Group };

/** Conflicts by table, key, kind and columns; a second of the same place keeps a place of its own. */
function listed(conflicts: Conflict[]): Map<string, Conflict> {
  const places = new Map<string, Conflict>();
  for (const conflict of inOrder(conflicts)) {
    let place = JSON.stringify([conflict.table, conflict.key, conflict.kind, conflict.columns]);
    while (places.has(place)) place += '+';
    places.set(place, conflict);
  }
  return places;
}

/** Are two things the same to the last character, whatever the order of their properties? */
function alike(left: unknown, right: unknown): boolean {
  if (left === right) return true;
  if (typeof left !== 'object' || typeof right !== 'object' || left === null || right === null) return false;
  const [one, other] = [left as Record<string, unknown>, right as Record<string, unknown>];
  const names = new Set([...Object.keys(one), ...Object.keys(other)]);
  return [...names].every((name) => alike(one[name], other[name]));
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
