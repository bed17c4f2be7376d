/**
 * The line of published generations, and what of them stays. What is live follows from the marker: its generation was
 * published over its base, that over its own, and so on. Runs that were rolled back are not on it.
 */

/** A run as its row in MySQL and the tables tell it. */
export interface PastRun {
  generation: number;
  kind: 'publish' | 'rollback' | 'plan';
  baseGeneration: number | null;
  /** the generation that a rollback took back */
  undoes: number | null;
  /** its RENAME was executed */
  swapped: boolean;
}

/** Generations of the line, newest first: the published one, its base, and so on. */
export function lineFrom(at: number, runs: PastRun[]): number[] {
  const bases = new Map(runs.map((run) => [run.generation, run.baseGeneration]));
  const line: number[] = [];
  for (let generation: number | null = at === 0 ? null : at; generation !== null; ) {
    if (line.includes(generation)) break;
    line.push(generation);
    generation = bases.get(generation) ?? null;
  }
  return line;
}

/**
 * Tables that stay, as `<generation><kind>` of their names: the base that is valid, the newest first-touch images, the last
 * `backups` backups of the line, each with its copy, if it has one, and the base that it would return to, and the predecessor that a rollback has left.
 */
export function retained(at: number, runs: PastRun[], backups: number): Set<string> {
  const kept = new Set<string>();
  const keepBase = (generation: number) => {
    kept.add(`${generation}n`);
    kept.add(`${generation}h`);
  };
  const line = lineFrom(at, runs);
  if (at !== 0) keepBase(at);
  const newest = runs
    .filter((run) => run.swapped && run.generation >= at)
    .sort((left, right) => right.generation - left.generation)[0];
  if (newest?.kind === 'rollback') for (const kind of ['o', 'c']) kept.add(`${newest.generation}${kind}`);
  else if (at !== 0) kept.add(`${at}t`);
  for (const generation of line.slice(0, backups)) {
    kept.add(`${generation}o`);
    kept.add(`${generation}c`);
    const base = runs.find((run) => run.generation === generation)?.baseGeneration;
    if (base !== null && base !== undefined) keepBase(base);
  }
  return kept;
}
