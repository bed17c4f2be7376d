import { type Row, type TableName, unitOf, type Value } from './tables.js';

/**
 * The demo's own books: what clients were told was saved, what billing changed, and what must be in live therefore.
 * Pure: rows of live come in, verdicts go out. Nothing of stageswap's own reports is used.
 */

export interface Cell {
  table: TableName;
  key: string;
  column: string;
}

export type EditResult = 'pending' | 'done' | 'failed' | 'unknown';

export interface Edit extends Cell {
  /** order of acknowledgement over all clients; of one cell it is the order of its commits, as one client owns it */
  acknowledged: number;
  token: string;
  via: 'sql' | 'signal' | 'update';
  result: EditResult;
}

export interface LostEdit {
  edit: Edit;
  /** what live holds instead; undefined if the row is gone */
  found: Value | undefined;
}

export interface EditVerdict {
  /** acknowledged edits */
  edits: number;
  /** fields that were edited at least once */
  cells: number;
  unknown: number;
  lost: LostEdit[];
}

export interface BillingChange {
  kind: 'update' | 'insert' | 'delete';
  table: TableName;
  key: string;
  /** the unit that merges as one, for updates */
  unit: string;
  /** live's columns: before and after; all columns of an inserted row */
  columns: Record<string, { from: Value; to: Value }>;
  /** a client saw the new value in live before changing the field again */
  seen: boolean;
}

export type BillingVerdict = 'arrived' | 'conflict' | 'missing';
export type RollbackVerdict = 'back' | 'client' | 'notBack';

/** Looks up a row of live as it is now; undefined if there is none. */
export type Live = (table: TableName, key: string) => Row | undefined;

const cellId = (cell: Cell): string => `${cell.table}/${cell.key}/${cell.column}`;
const unitId = (table: TableName, key: string, unit: string): string => `${table}/${key}/${unit}`;

/** Values are the same if they print the same; NULL is only NULL. */
export function same(a: Value | undefined, b: Value | undefined): boolean {
  if (a === null || b === null || a === undefined || b === undefined) return a === b;
  return String(a) === String(b);
}

export class Bookkeeping {
  readonly #cells = new Map<string, Edit[]>();
  readonly #touchedUnits = new Map<string, Edit>();
  readonly #lostBefore = new Map<Edit, LostEdit>();
  #acknowledged = 0;

  /** Opens an edit before it is sent. */
  begin(cell: Cell, token: string, via: Edit['via']): Edit {
    const edit: Edit = { ...cell, token, via, acknowledged: 0, result: 'pending' };
    const list = this.#cells.get(cellId(cell));
    if (list) list.push(edit);
    else this.#cells.set(cellId(cell), [edit]);
    return edit;
  }

  settle(edit: Edit, result: Exclude<EditResult, 'pending'>): void {
    if (edit.result !== 'pending') throw new Error(`the edit of ${cellId(edit)} was settled before`);
    edit.result = result;
    if (result === 'failed') return;
    if (result === 'done') {
      this.#acknowledged += 1;
      edit.acknowledged = this.#acknowledged;
    }
    this.#touchedUnits.set(unitId(edit.table, edit.key, unitOf(edit.table, edit.column)), edit);
  }

  /** Nobody may edit a field again whose last edit may still arrive: its order would not be known. */
  isDoubtful(cell: Cell): boolean {
    return (this.#cells.get(cellId(cell)) ?? []).some(
      (edit) => edit.result === 'unknown' || edit.result === 'pending',
    );
  }

  /** Keys of all rows of a table that clients edited. */
  editedKeys(table: TableName): Set<string> {
    const keys = new Set<string>();
    for (const [edit] of this.#cells.values()) if (edit?.table === table) keys.add(edit.key);
    return keys;
  }

  *edits(): Generator<Edit> {
    for (const list of this.#cells.values()) yield* list;
  }

  count(via?: Edit['via']): number {
    let n = 0;
    for (const edit of this.edits())
      if (edit.result === 'done' && (via === undefined || edit.via === via)) n += 1;
    return n;
  }

  /**
   * Holds live against the books: in every field the last acknowledged edit, or one whose outcome nobody knows.
   * An edit is lost if live holds an earlier value than it; what was found lost once stays lost.
   */
  verifyEdits(live: Live): EditVerdict {
    let edits = 0;
    let unknown = 0;
    for (const list of this.#cells.values()) {
      const done = list
        .filter((edit) => edit.result === 'done')
        .sort((a, b) => a.acknowledged - b.acknowledged);
      const open = list.filter((edit) => edit.result === 'unknown' || edit.result === 'pending');
      edits += done.length;
      unknown += open.length;
      const first = list[0];
      if (done.length === 0 || first === undefined) continue;
      const found = live(first.table, first.key)?.[first.column];
      if (open.some((edit) => same(edit.token, found))) continue;
      const kept = done.findLastIndex((edit) => same(edit.token, found));
      for (const edit of done.slice(kept + 1)) this.#lostBefore.set(edit, { edit, found });
    }
    return { edits, unknown, cells: this.#cells.size, lost: [...this.#lostBefore.values()] };
  }

  /** The last client edit of the unit that a billing change changed, if any. */
  clientEditOf(change: BillingChange): Edit | undefined {
    return this.#touchedUnits.get(unitId(change.table, change.key, change.unit));
  }

  /** What became of a billing change once the run that reads it is published. */
  judge(change: BillingChange, live: Live): BillingVerdict {
    const row = live(change.table, change.key);
    if (change.kind === 'delete') return row === undefined ? 'arrived' : 'missing';
    if (row === undefined) return 'missing';
    if (Object.entries(change.columns).every(([column, { to }]) => same(row[column], to))) return 'arrived';
    if (change.kind === 'insert') return 'missing';
    if (change.seen) return 'arrived';
    return this.clientEditOf(change) ? 'conflict' : 'missing';
  }

  /** What became of a billing change once that run is rolled back. */
  judgeRolledBack(change: BillingChange, live: Live): RollbackVerdict {
    const row = live(change.table, change.key);
    if (change.kind === 'insert') return row === undefined ? 'back' : 'notBack';
    if (change.kind === 'update' && this.clientEditOf(change)) return 'client';
    if (row === undefined) return 'notBack';
    return Object.entries(change.columns).every(([column, { from }]) => same(row[column], from))
      ? 'back'
      : 'notBack';
  }
}

/** The longest and the usual time that statements took, in milliseconds. */
export class Latency {
  count = 0;
  msMax = 0;
  readonly #histogram = new Map<number, number>();

  add(ms: number): void {
    this.count += 1;
    this.msMax = Math.max(this.msMax, ms);
    const bucket = Math.round(ms * 2) / 2;
    this.#histogram.set(bucket, (this.#histogram.get(bucket) ?? 0) + 1);
  }

  /** @param share such as 0.5 for the median */
  quantile(share: number): number {
    let seen = 0;
    for (const [ms, n] of [...this.#histogram].sort(([a], [b]) => a - b)) {
      seen += n;
      if (seen >= share * this.count) return ms;
    }
    return 0;
  }
}
