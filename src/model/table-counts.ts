import type { TableProgress } from './messages.js';
import type { TableReport } from './report.js';

/** What the rules across the group take out of the merge's counts. */
export interface HeldBackCounts {
  notInserted: number;
  fallenBack: number;
  /** of those that have fallen back: which the merge alone would have changed, and of which it had kept something anyway */
  notUpdated: number;
  keptAlready: number;
  parentsKept: number;
  quarantined: number;
}

/** How far a table is, and what the run did with it. */
export interface TableCount {
  progress: TableProgress;
  report: TableReport;
}

/** What a run counts, by live table: in the order in which it began them. */
export class TableCounts {
  readonly #tables = new Map<string, TableCount>();

  /** @param continued the counts of the execution before */
  constructor(continued: TableCount[] = []) {
    for (const count of continued) this.#tables.set(count.progress.table, count);
  }

  /** Counts these tables from nothing, also those that have been counted before. */
  begin(tables: string[]): void {
    for (const table of tables) this.#tables.set(table, nothingOf(table));
  }

  /** @returns whether the table is one of the run's: others are not counted */
  set(live: string, progress: Partial<TableProgress>, report: Partial<TableReport>): boolean {
    const known = this.#tables.get(live);
    if (!known) return false;
    Object.assign(known.progress, progress);
    Object.assign(known.report, report);
    return true;
  }

  /** Takes out of a table's counts what the rules across the group took back; edits made meanwhile may make them less. */
  holdBack(live: string, held: HeldBackCounts): void {
    const report = this.#tables.get(live)?.report;
    if (!report) return;
    report.inserted = Math.max(0, report.inserted - held.notInserted);
    report.updated = Math.max(0, report.updated - held.notUpdated);
    report.deleted = Math.max(0, report.deleted - held.parentsKept);
    report.keptLive = Math.max(0, report.keptLive + held.fallenBack - held.keptAlready);
    report.quarantined = held.quarantined;
  }

  /** Chunks into which ingest has divided a table; 0 where nothing was read. */
  chunks(live: string): number {
    return this.#tables.get(live)?.progress.chunks ?? 0;
  }

  progress(): TableProgress[] {
    return this.all().map(({ progress }) => progress);
  }

  /** What the run did so far. */
  reports(): TableReport[] {
    return this.all().map(({ report }) => report);
  }

  /** For the next execution. */
  all(): TableCount[] {
    return [...this.#tables.values()];
  }
}

const nothingOf = (table: string): TableCount => ({
  progress: { table, phase: 'waiting', rowsDone: 0, chunksDone: 0, chunks: 0 },
  report: {
    table,
    rowsRead: 0,
    rowsStaged: 0,
    inserted: 0,
    updated: 0,
    deleted: 0,
    keptLive: 0,
    decidedByFirstRun: 0,
    conflicts: 0,
    quarantined: 0,
    chunks: 0,
    chunksVerified: 0,
  },
});
