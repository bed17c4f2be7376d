import type { RunSpec } from './spec.js';

/** What makes a run ask before its cut-over. */
export type ReasonKind =
  | 'firstPublish'
  | 'emptyFirst'
  | 'always'
  | 'emptySource'
  | 'deleteShare'
  | 'changeShare'
  | 'emptyShare'
  | 'assertion'
  | 'heldMs';

/** One reason for which a run waits for an operator, with the count that the operator decides on. */
export interface Reason {
  kind: ReasonKind;
  /** the table, table.column, or assertion that it is about; empty: the whole run */
  of: string;
  /** rows, or milliseconds of `heldMs`: more of them than were approved must be approved anew; 0 where nothing is counted */
  measure: number;
  /** one sentence without its full stop */
  text: string;
}

/** What the configuration asks for, and what this run found. */
export interface Gate {
  approve: RunSpec['approve'];
  /** no base: live has never been published by this pipeline */
  firstPublish: boolean;
  /** an operator passed the gate of a first publish when starting the run (`--yes`) */
  passedFirst: boolean;
  tables: { table: string; rowsRead: number; inserted: number; updated: number; keptLive: number }[];
}

/**
 * Why the configuration makes a run ask, guards aside. An empty source asks at a first publish whatever `approve` says: it
 * looks like a wrong address or a right that is missing, and there is no base yet against which a guard could tell.
 */
export function reasonsOfGate({ approve, firstPublish, passedFirst, tables }: Gate): Reason[] {
  if (firstPublish && passedFirst) return [];
  const reasons: Reason[] = [];
  const ask = (kind: ReasonKind, of: string, text: string) => reasons.push({ kind, of, measure: 0, text });
  if (firstPublish)
    for (const { table, rowsRead } of tables)
      if (rowsRead === 0)
        ask('emptyFirst', table, `the first publish finds no row at the source for ${table}`);
  if (firstPublish && approve === 'firstPublish')
    ask(
      'firstPublish',
      '',
      'nothing was published before, so firstRun alone decides where both sides differ',
    );
  if (approve === 'always') ask('always', '', 'approve: always asks in every run');
  return reasons;
}

/** The reasons that no approval covers: those that nobody has seen, and those that count more than what was approved. */
export function notApproved(reasons: Reason[], approved: Reason[]): Reason[] {
  return reasons.filter(
    (reason) =>
      !approved.some(
        ({ kind, of, measure }) => kind === reason.kind && of === reason.of && reason.measure <= measure,
      ),
  );
}

const REASONS_SHOWN_MAX = 20;

/** What a run waits for, in words: every reason, the counts of the tables, and what to do. @param expiresAt ISO 8601, UTC */
export function approvalText(reasons: Reason[], tables: Gate['tables'], expiresAt: string): string {
  const shown = reasons.slice(0, REASONS_SHOWN_MAX).map(({ text }) => text);
  if (reasons.length > shown.length) shown.push(`and ${reasons.length - shown.length} more`);
  return `approval: ${shown.join('; ')}. ${countsText(tables)}. Look at the counts, then stageswap approve, or stageswap abort; at ${expiresAt} the run gives up and is taken back`;
}

function countsText(tables: Gate['tables']): string {
  return tables
    .map(
      ({ table, rowsRead, inserted, updated, keptLive }) =>
        `${table}: ${rowsRead} rows at the source, ${inserted} to insert, ${updated} to update, ${keptLive} where live keeps a value`,
    )
    .join('; ');
}
