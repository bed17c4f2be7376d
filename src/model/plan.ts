/** What a dry run found. Kept in MySQL, like a report: rows and values never pass through workflow history. */

/** How many fields each verdict has, of the rows that source and live both have. */
export interface UnitVerdicts {
  columns: string[];
  agreed: number;
  takeSource: number;
  keepLive: number;
  conflict: number;
  /** of all these, those that an operator has settled: they take the side that was said */
  settled: number;
}

/** A row's key: values by column, as MySQL prints them. */
export type RowKey = Record<string, string | null>;

export interface PlannedTable {
  table: string;
  inserted: number;
  updated: number;
  deleted: number;
  keptLive: number;
  conflicts: number;
  verdicts: UnitVerdicts[];
  /** keys of rows that would be new to live, and of rows that would go; a bounded number of each */
  insert: RowKey[];
  delete: RowKey[];
}

export interface PlannedConflict {
  table: string;
  key: RowKey;
  kind: string;
  columns: string[];
  base: Record<string, string | null> | null;
  source: Record<string, string | null> | null;
  live: Record<string, string | null> | null;
}

export interface Plan {
  tables: PlannedTable[];
  /** a bounded number */
  conflicts: PlannedConflict[];
  /** why a run would stop before its cut-over, or wait for a human */
  stops: string[];
}
