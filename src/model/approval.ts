import type { RunSpec } from './spec.js';

/** What makes a run ask before its cut-over. */
export type ReasonKind =
  | 'firstPublish'
  | 'emptyFirst'
  | 'newTable'
  | 'noBase'
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
  /** what has no base in a later publish; of a table that is new to the pipeline no column is named */
  withoutBase?: { table: string; columns: string[] }[] | undefined;
  tables: {
    table: string;
    rowsRead: number;
    inserted: number;
    updated: number;
    deleted: number;
    keptLive: number;
    decidedByFirstRun?: number;
  }[];
}

/**
 * Why the configuration makes a run ask, guards aside. An empty source asks at a first publish whatever `approve` says: it
 * looks like a wrong address or a right that is missing, and there is no base yet against which a guard could tell.
 */
export function reasonsOfGate(gate: Gate): Reason[] {
  const { approve, firstPublish, passedFirst, withoutBase = [], tables } = gate;
  const reasons: Reason[] = [];
  const ask = (kind: ReasonKind, of: string, text: string, measure = 0) =>
    reasons.push({ kind, of, measure, text });
  if (!passedFirst) {
    const isNew = (live: string) =>
      firstPublish || withoutBase.some(({ table, columns }) => table === live && columns.length === 0);
    for (const { table, rowsRead } of tables)
      if (rowsRead === 0 && isNew(table))
        ask('emptyFirst', table, `the first publish finds no row at the source for ${table}`);
    if (firstPublish && approve === 'firstPublish')
      ask(
        'firstPublish',
        '',
        'nothing was published before, so firstRun alone decides where both sides differ',
      );
    if (approve === 'firstPublish') reasons.push(...reasonsOfMapping(gate));
  }
  if (approve === 'always' && !(firstPublish && passedFirst))
    ask('always', '', 'approve: always asks in every run');
  return reasons;
}

/** A table that is new asks like a first publish; columns without a base only where firstRun decided something of them. */
function reasonsOfMapping({ withoutBase = [], tables }: Gate): Reason[] {
  return withoutBase.flatMap(({ table, columns }): Reason[] => {
    if (columns.length === 0) {
      const text = `${table} is new to the pipeline, so firstRun alone decides where both sides differ`;
      return [{ kind: 'newTable', of: table, measure: 0, text }];
    }
    const decided = tables.find((counted) => counted.table === table)?.decidedByFirstRun ?? 0;
    if (decided === 0) return [];
    const text = `${columns.join(', ')} of ${table} ${columns.length === 1 ? 'has' : 'have'} no base since the mapping changed, so firstRun alone decided ${decided} values`;
    return [{ kind: 'noBase', of: table, measure: decided, text }];
  });
}

/** Why a run asks whose cut-over would lock live for long. @param heldMs as it was rehearsed */
export function reasonsOfRehearsal(heldMs: number | undefined, heldMsMax: number): Reason[] {
  if (heldMs === undefined || heldMs <= heldMsMax) return [];
  const text = `the cut-over would lock live for about ${heldMs} ms, as rehearsed on empty tables, more than cutOver.heldMsMax (${heldMsMax})`;
  return [{ kind: 'heldMs', of: '', measure: heldMs, text }];
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
      ({ table, rowsRead, inserted, updated, deleted, keptLive }) =>
        `${table}: ${rowsRead} rows at the source, ${inserted} to insert, ${updated} to update, ${deleted} to delete, ${keptLive} where live keeps a value`,
    )
    .join('; ');
}
