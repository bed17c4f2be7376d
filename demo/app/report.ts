import Table from 'cli-table3';
import type {
  BillingChange,
  BillingVerdict,
  Bookkeeping,
  EditVerdict,
  Latency,
  Live,
  RollbackVerdict,
} from './bookkeeping.js';
import type { ReaderBooks } from './readers.js';

const FAILURES_SHOWN_MAX = 10;

/** What the demo reads of stageswap's report; passed on whole in the JSON file. */
export interface RunReport {
  outcome: string;
  ms: number;
  moment: string;
  edits: { captured: number; replayedBefore: number; replayedUnderLock: number; handedIn: number };
  cutOver: { attempts: number; heldMs: number; queuedMs: number };
}

export type Judged<V> = Map<V, BillingChange[]>;

/** What the books say at the end, all stages together. */
export interface Findings {
  edits: EditVerdict;
  /** edits of clients after the second publish, and how many of these are in live after the rollback */
  sinceSwap: { edits: number; kept: number };
  billing: Judged<BillingVerdict>;
  rolledBack: Judged<RollbackVerdict>;
  /** counts of rows that are not as they must be */
  rowCounts: string[];
}

export interface JsonResult {
  clients: { edits: number; kept: number; lost: number; blockedMsMax: number };
  readers: { reads: number; errors: number; emptyReads: number };
  billing: { changes: number; arrived: number; conflicts: number };
  runs: RunReport[];
}

export function judgeAll<V>(changes: BillingChange[], judge: (change: BillingChange) => V): Judged<V> {
  const judged: Judged<V> = new Map();
  for (const change of changes) {
    const verdict = judge(change);
    const list = judged.get(verdict);
    if (list) list.push(change);
    else judged.set(verdict, [change]);
  }
  return judged;
}

export function jsonResult(
  findings: Findings,
  writes: Latency,
  readers: ReaderBooks,
  runs: RunReport[],
): JsonResult {
  const { edits, billing } = findings;
  const count = (verdict: BillingVerdict) => billing.get(verdict)?.length ?? 0;
  return {
    clients: {
      edits: edits.edits,
      kept: edits.edits - edits.lost.length,
      lost: edits.lost.length,
      blockedMsMax: Math.round(writes.msMax),
    },
    readers: { reads: readers.reads.count, errors: readers.errors.length, emptyReads: readers.emptyReads },
    billing: {
      changes: count('arrived') + count('conflict') + count('missing'),
      arrived: count('arrived'),
      conflicts: count('conflict'),
    },
    runs,
  };
}

const CONFLICTS_SHOWN_MAX = 5;

/** Lines that name the first conflicts, each: what billing says, and what the client said, which live keeps. */
export function conflictLines(conflicts: BillingChange[], books: Bookkeeping, live: Live): string[] {
  const more = conflicts.length - CONFLICTS_SHOWN_MAX;
  const shown = conflicts.slice(0, CONFLICTS_SHOWN_MAX).map((change) => {
    const row = live(change.table, change.key);
    const columns = Object.keys(change.columns);
    const side = (value: (column: string) => unknown) =>
      columns.map((column) => value(column) ?? 'NULL').join(', ');
    const edit = books.clientEditOf(change);
    return `${change.table} ${change.key} ${columns.join(', ')}: billing "${side((column) => change.columns[column]?.to)}", client "${side((column) => row?.[column])}"${edit && !columns.includes(edit.column) ? ` (edited ${edit.column})` : ''}`;
  });
  return more > 0 ? [...shown, `… and ${more} more`] : shown;
}

/** What broke a promise; empty if nothing did. */
export function failures(findings: Findings, readers: ReaderBooks, refused: string[], live: Live): string[] {
  const lines: string[] = [];
  const add = (what: string, list: string[]) => {
    if (list.length === 0) return;
    lines.push(`${list.length} ${what}:`, ...list.slice(0, FAILURES_SHOWN_MAX).map((line) => `  ${line}`));
  };
  add(
    'client edits were lost',
    findings.edits.lost.map(
      ({ edit, found }) =>
        `${edit.table} ${edit.key} ${edit.column}: saved "${edit.token}" by ${edit.via}, live has ${JSON.stringify(found)}`,
    ),
  );
  const changeLine = (change: BillingChange) => {
    const row = live(change.table, change.key);
    const columns = Object.entries(change.columns).map(
      ([column, { from, to }]) => `${column} ${from} -> ${to} (at last ${row?.[column]})`,
    );
    return `${change.kind} ${change.table} ${change.key}: ${columns.join(', ')}`;
  };
  add('billing changes did not arrive', (findings.billing.get('missing') ?? []).map(changeLine));
  add(
    'billing changes were not taken back by the rollback',
    (findings.rolledBack.get('notBack') ?? []).map(changeLine),
  );
  add('tables have another number of rows than they must', findings.rowCounts);
  add('writes were refused', refused);
  add('reads failed', readers.errors);
  if (readers.emptyReads > 0)
    lines.push(`${readers.emptyReads} reads found nothing where there always is something`);
  return lines;
}

export interface Scene {
  rows: number;
  writes: Latency;
  updates: Latency;
  retried: Map<number, number>;
  books: Bookkeeping;
  readers: ReaderBooks;
  runs: RunReport[];
  uiUrl: string | undefined;
  engines: string[];
}

export function finalTable(findings: Findings, scene: Scene): string {
  const { edits, sinceSwap, billing, rolledBack } = findings;
  const { writes, updates, readers, books } = scene;
  const ms = (value: number) => `${Math.round(value)} ms`;
  const n = (value: number) => value.toLocaleString('en');
  const billingCount = (verdict: BillingVerdict) => n(billing.get(verdict)?.length ?? 0);
  const backCount = (verdict: RollbackVerdict) => n(rolledBack.get(verdict)?.length ?? 0);
  const retried = [...scene.retried].map(([number, times]) => `${times} × ${number}`).join(', ') || 'none';
  const table = new Table({
    head: ['by the demo’s own books', ''],
    style: { head: [], border: [] },
    // a line above each section only
    chars: { mid: '', 'left-mid': '', 'mid-mid': '', 'right-mid': '' },
  });
  const section = (title: string) => table.push(['', ''], [title, '']);
  section('Clients');
  table.push(
    [
      '  edits made',
      `${n(edits.edits)} in ${n(edits.cells)} fields (by SQL ${n(books.count('sql'))}, by signal ${n(books.count('signal'))}, by update ${n(books.count('update'))})`,
    ],
    ['  kept', n(edits.edits - edits.lost.length)],
    ['  lost', n(edits.lost.length)],
    ['  outcome not known (connection cut)', n(edits.unknown)],
    ['  longest time a write was blocked', `${ms(writes.msMax)} (median ${writes.quantile(0.5)} ms)`],
    ['  retryable errors that clients met and retried', retried],
    ['  longest answer to an update through Temporal', ms(updates.msMax)],
  );
  section('Readers');
  table.push(
    ['  reads', n(readers.reads.count)],
    [
      '  longest time a read was blocked',
      `${ms(readers.reads.msMax)} (median ${readers.reads.quantile(0.5)} ms)`,
    ],
    ['  errors', n(readers.errors.length)],
    ['  documented retryable errors (1205, 1213, 1412)', n(readers.retryable)],
    ['  empty reads', n(readers.emptyReads)],
  );
  section('Billing');
  table.push(
    ['  changes made', n([...billing.values()].reduce((sum, list) => sum + list.length, 0))],
    ['  arrived', billingCount('arrived')],
    ['  held back, as a client had edited the same field', billingCount('conflict')],
    ['  missing', billingCount('missing')],
  );
  section('Rollback of the second run');
  table.push(
    ['  edits made since the swap', n(sinceSwap.edits)],
    ['  of these still there', n(sinceSwap.kept)],
    ['  billing changes taken back', backCount('back')],
    ['  left, as a client had edited the field', backCount('client')],
    ['  not taken back', backCount('notBack')],
  );
  section('Runs');
  for (const [index, run] of scene.runs.entries()) {
    table.push([
      `  ${['first publish', 'second publish', 'rollback'][index] ?? 'run'}`,
      `${run.outcome} in ${(run.ms / 1000).toFixed(1)} s, locked ${ms(run.cutOver.heldMs)}, ${run.cutOver.attempts} attempt${run.cutOver.attempts === 1 ? '' : 's'}${run.moment ? `, read by ${run.moment}` : ''}`,
    ]);
  }
  section('Where');
  table.push(
    ['  rows', n(scene.rows)],
    ['  engines', scene.engines.join('\n')],
    ['  Temporal UI', scene.uiUrl ?? 'as of your Temporal server'],
  );
  return table.toString();
}
