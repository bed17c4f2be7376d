import type { RunSpec } from './spec.js';

/** What the gate before the cut-over looks at: what the configuration asks for, and what this run found. */
export interface Gate {
  approve: RunSpec['approve'];
  /** no base: live has never been published by this pipeline */
  firstPublish: boolean;
  /** an operator passed the gate of a first publish when starting the run (`--yes`) */
  passedFirst: boolean;
  tables: { table: string; rowsRead: number; inserted: number; updated: number; keptLive: number }[];
}

/**
 * Why a run waits for an operator before its cut-over, with the counts that the operator decides on; undefined: it does
 * not wait. An empty source asks at a first publish whatever `approve` says: it looks like a wrong address or a right
 * that is missing, and there is no base yet against which a guard could tell.
 */
export function approvalNeeded(gate: Gate): string | undefined {
  const because = reason(gate);
  if (because === undefined) return undefined;
  return `approval: ${because}. ${counts(gate)}. Look at the counts, then stageswap approve, or stageswap abort`;
}

function reason({ approve, firstPublish, passedFirst, tables }: Gate): string | undefined {
  if (firstPublish && passedFirst) return undefined;
  const empty = tables.filter((table) => table.rowsRead === 0).map((table) => table.table);
  if (firstPublish && empty.length > 0)
    return `the first publish finds no row at the source for ${empty.join(', ')}`;
  if (firstPublish && approve === 'firstPublish')
    return 'nothing was published before, so firstRun alone decides where both sides differ';
  return approve === 'always' ? 'approve: always asks in every run' : undefined;
}

function counts({ tables }: Gate): string {
  return tables
    .map(
      ({ table, rowsRead, inserted, updated, keptLive }) =>
        `${table}: ${rowsRead} rows at the source, ${inserted} to insert, ${updated} to update, ${keptLive} where live keeps a value`,
    )
    .join('; ');
}
