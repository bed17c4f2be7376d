/** What a rollback found. Kept in MySQL with the run: rows and values never pass through workflow history. */

/** A field, or a column group, that was set back to the backup's value since the swap. */
export interface StaleEdit {
  table: string;
  key: Record<string, string | null>;
  published: Record<string, string | null>;
  backup: Record<string, string | null>;
}

/** A row that is not in the backup and stays. */
export interface StayingRow {
  table: string;
  key: Record<string, string | null>;
  why: 'made by a client' | 'changed by a client' | 'has rows that stay';
}

/** A bounded number of each; the counts are of all. */
export interface RollbackFindings {
  stale: { count: number; edits: StaleEdit[] };
  staying: { count: number; rows: StayingRow[] };
  /** rows touched since the swap, whose edits are not kept */
  editsLost: number;
}
