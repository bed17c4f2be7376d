/** The configuration of one run, frozen at its start: what activities work from. Kept as JSON in MySQL, never in history. */

export type Owner = 'merge' | 'source' | 'live';
export type Side = 'source' | 'live';
export type Moment = 'snapshot' | 'transaction' | 'fuzzy';

/** A column of the source as its catalogue describes it. */
export interface SourceColumn {
  name: string;
  /** T-SQL type name in lower case, such as `nvarchar` */
  type: string;
  /** bytes; -1 for (max) */
  maxLengthBytes: number;
  precision: number;
  scale: number;
  /** of char, varchar, nchar and nvarchar: it names the code page; absent where the catalogue does not say */
  collation?: string | null;
  /** Always Encrypted: the server has ciphertext only, and gives that */
  encrypted?: boolean;
}

/** A column of live as MySQL's catalogue describes it. */
export interface LiveColumn {
  name: string;
  /** DATA_TYPE, such as `varchar` */
  type: string;
  /** COLUMN_TYPE, such as `varchar(60)` */
  columnType: string;
  nullable: boolean;
  charset: string | null;
  collation: string | null;
  precision: number | null;
  scale: number | null;
  /** digits after the second */
  fractionDigits: number | null;
  /** of the application's own columns: a new row gets the moment, in the time zone of the server, with so many digits after the second */
  defaultsToNow?: number;
}

/**
 * Why the base of the last publish does not decide about a column, so that `firstRun` does: the column is new to the
 * mapping; live's column is of another type, so that nothing can be compared; it is taken from another column of the source,
 * or converted otherwise; it has another owner.
 */
export type NoBase = 'new' | 'otherType' | 'otherSource' | 'otherOwner';

export interface MappedColumn {
  source: SourceColumn;
  live: LiveColumn;
  /** the source's time zone (IANA), if the configuration has one: a local time is a moment only with it */
  timeZone?: string;
  /** absent where the base has the column as it is mapped now, and where there is no base at all */
  noBase?: NoBase;
}

/** Columns that merge as one value; a single column is a unit of one. */
export interface MergeUnit {
  columns: string[];
  owner: Owner;
  onConflict: Side;
}

export interface ForeignKey {
  name: string;
  columns: string[];
  parent: string;
  parentColumns: string[];
}

/** A part of a unique index: a whole column, or an expression over columns of the table, which it names without an alias. */
export type UniquePart = string | { expression: string };

/** A CHECK constraint that MySQL enforces. */
export interface CheckSpec {
  name: string;
  /** as SHOW CREATE TABLE prints it, without the parentheses around it; names columns without an alias */
  clause: string;
  /** that it is over */
  columns: string[];
}

export interface TableSpec {
  source: { schema: string; table: string };
  live: string;
  /** place in the group: part of every alias, since LOCK TABLES takes an alias only once (1066) */
  ordinal: number;
  /** live's names, in key order; always mapped */
  key: string[];
  /** every mapped column, the key's first */
  columns: MappedColumn[];
  /** live's own columns: kept, never written by the source; generated ones are not here */
  unmapped: LiveColumn[];
  units: MergeUnit[];
  /** inside the group only */
  foreignKeys: ForeignKey[];
  /** parts of each unique index, the primary key aside */
  uniqueIndexes: UniquePart[][];
  /** absent: none */
  checks?: CheckSpec[];
  onSourceDelete: 'delete' | 'keep';
  onLiveDelete: 'respect' | 'restore';
  /** of live's definition at the start of the run; the swap is refused if it changed */
  fingerprint: string;
  /** new to a pipeline that has published before: it has no base, and is published like the first time */
  firstPublish?: true;
  /** rows of the base may lack the base of single columns: they were carried over a change of the mapping */
  gaps?: true;
}

/** What must hold of the merged rows: a SELECT that returns no row; {table} stands for a table of the group. */
export interface Assertion {
  name: string;
  sql: string;
}

export interface RunSpec {
  pipeline: string;
  runId: string;
  /** raised by every run and rollback: the fence */
  generation: number;
  /** whose baseNext tables are the base of this run; null on a first publish */
  baseGeneration: number | null;
  /** publish merges the source into live; rollback merges the backup into live */
  kind: 'publish' | 'rollback';
  /** the generation that a rollback undoes */
  undoes: number | null;
  /**
   * a rollback to an older backup: the generation that it belongs to. Edits since are not kept, since nothing says what was
   * published then; absent: the latest backup, with what clients changed since
   */
  restores?: number;
  schema: string;
  firstRun: Side;
  moment: 'auto' | Moment;
  /** when the run waits for an operator before its cut-over */
  approve: 'never' | 'firstPublish' | 'always';
  /** hours for which it waits; then it is aborted */
  approvalHoursMax: number;
  /** part of the day in which it may cut over, as window.ts reads it */
  window?: string | undefined;
  /** how old what was read from the source may be at the cut-over */
  sourceAgeMsMax?: number | undefined;
  /** when clients write faster than replay catches up, over so many rounds */
  replay: { onOutrun: 'abort' | 'wait'; roundsMax: number };
  chunkRows: number;
  parallel: number;
  /** rows that all readers of the source together may read in a second */
  rowsPerSecondMax?: number;
  /** no chunk is begun while more threads than these work at the target */
  threadsRunningMax?: number;
  backups: number;
  /** copy: live is also copied before the cut-over */
  backup?: 'rename' | 'copy';
  guards: {
    deleteShareMax: number;
    changeShareMax?: number | undefined;
    emptyShareMax?: number | undefined;
  };
  badRows: 'stop' | 'quarantine';
  badRowsMax: number;
  assertions: Assertion[];
  cutOver: {
    lockAttemptMsMax: number;
    attemptsMax: number;
    heldMsMax: number;
    killBlockersAfterMs?: number | undefined;
  };
  /** parents before their children */
  tables: TableSpec[];
}

export const hasChecks = ({ checks = [] }: TableSpec): boolean => checks.length > 0;

/** The table of a run. @throws {Error} a name that is not of the group: the caller's bug */
export function tableOf(spec: RunSpec, live: string): TableSpec {
  const table = spec.tables.find((candidate) => candidate.live === live);
  if (!table) throw new Error(`table ${live} is not part of run ${spec.runId}`);
  return table;
}

/** The generation that a table's base is of; null: it has none, so that `firstRun` decides about all of it. */
export function baseGenerationOf(spec: RunSpec, table: TableSpec): number | null {
  return table.firstPublish ? null : spec.baseGeneration;
}

/** The columns without a base, each with the reason. */
export function withoutBase(table: TableSpec): { name: string; noBase: NoBase }[] {
  return table.columns.flatMap(({ live, noBase }) => (noBase ? [{ name: live.name, noBase }] : []));
}

/** May rows of this run's base lack the base of single columns? Such a row was carried over a change of the mapping. */
export function leavesGaps(table: TableSpec): boolean {
  return table.gaps === true || withoutBase(table).length > 0;
}

/** A table without what its run had found about the base: another run's base is another one. */
function asMapped(table: TableSpec): TableSpec {
  const { firstPublish: _, gaps: __, ...rest } = table;
  return { ...rest, columns: table.columns.map(({ noBase: ___, ...column }) => column) };
}

/** A published table as a run with the same mapping sees it: with a base of all its columns, but for the gaps of single rows. */
export function asPublished(table: TableSpec): TableSpec {
  return { ...asMapped(table), ...(leavesGaps(table) ? { gaps: true as const } : {}) };
}

/** A run that undoes another: what that run had found about its base is no matter of the rollback. */
export function rollbackOf(
  undone: RunSpec,
  run: Pick<RunSpec, 'runId' | 'generation'> & { fingerprints: Record<string, string> },
): RunSpec {
  const { runId, generation, fingerprints } = run;
  const tables = undone.tables.map((table) => ({
    ...asMapped(table),
    fingerprint: fingerprints[table.live] ?? '',
  }));
  return { ...undone, runId, generation, kind: 'rollback', undoes: undone.generation, tables };
}

/** Names of the mapped columns, in their fixed order. */
export function mappedNames(table: TableSpec): string[] {
  return table.columns.map((column) => column.live.name);
}

/** Every column of live that a run writes: the mapped ones, then the application's own. */
export function writtenNames(table: TableSpec): string[] {
  return [...mappedNames(table), ...table.unmapped.map((column) => column.name)];
}
