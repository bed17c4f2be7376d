import { type Fragment, id, join, sql } from './text.js';

/** The names of a table of the group in a swap: as it is, as it will be, and as it was. */
export interface SwapNames {
  live: string;
  stage: string;
  backup: string;
}

/** What the marker, which tells the valid base, is called before a swap and after it. */
export interface MarkerNames {
  from: string;
  to: string;
}

/**
 * The swap: the whole group and the marker in one atomic statement. Children before parents, since MySQL takes less time for it.
 *
 * @param group parents before children
 */
export function swapGroup(group: SwapNames[], marker: MarkerNames): Fragment {
  const steps = [...group]
    .reverse()
    .flatMap(({ live, stage, backup }) => [
      sql`${id(live)} TO ${id(backup)}`,
      sql`${id(stage)} TO ${id(live)}`,
    ]);
  return sql`RENAME TABLE ${join([...steps, sql`${id(marker.from)} TO ${id(marker.to)}`])}`;
}
