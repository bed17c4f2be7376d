import type { Config, TableConfig } from '../config/load.js';
import type { LiveColumnFacts, LiveTable } from '../mysql/schema.js';
import type { Facts } from './facts.js';
import { privilegesNeeded } from './privileges.js';
import { sourceOf } from './source-names.js';

/** What a run of one table needs on the target's disk, in bytes; estimates, for people. */
export interface TableNeeds {
  table: string;
  rowsEstimate: number;
  /** the next version of live */
  stageBytes: number;
  /** what the source says; it stays as the base of the next run */
  baseNextBytes: number;
  /** live's predecessor, which stays for the rollback */
  backupBytes: number;
}

export interface Needs {
  /** what a run adds to the disk at its highest: stage and base_next of all tables; the backup is live itself, renamed */
  diskBytes: number;
  /** what stays after it: the base, and as many backups as are kept */
  keptBytes: number;
  /** what a run writes to the binary log; 0 where it is off */
  binaryLogBytes: number;
  /** rights in the target's schema */
  privileges: string[];
  tables: TableNeeds[];
}

/** Estimates from the catalogues alone what a run will need. */
export function needsOf(config: Config, facts: Facts): Needs {
  const tables = config.tables.flatMap((table) => {
    const live = facts.live.find((candidate) => candidate.name === table.live);
    return live ? [needsOfTable(table, live, sourceOf(facts.source, table.source)?.rowsEstimate)] : [];
  });
  const sum = (of: (table: TableNeeds) => number) => tables.reduce((total, table) => total + of(table), 0);
  const stage = sum((table) => table.stageBytes);
  const baseNext = sum((table) => table.baseNextBytes);
  return {
    diskBytes: stage + baseNext,
    keptBytes: baseNext + sum((table) => table.backupBytes) * config.backups,
    binaryLogBytes: facts.server.logBin ? stage + baseNext : 0,
    privileges: privilegesNeeded({ references: facts.live.some((table) => table.foreignKeys.length > 0) }),
    tables,
  };
}

function needsOfTable(table: TableConfig, live: LiveTable, sourceRows: number | undefined): TableNeeds {
  const all = live.columns.filter((column) => !/VIRTUAL/i.test(column.extra));
  const mapped = all.filter((column) => Object.hasOwn(table.columns, column.name));
  // What live's rows take, where it has some: that knows its indexes, and how long its texts are.
  const measured = live.rowsEstimate > 1_000 ? live.dataBytes / live.rowsEstimate : undefined;
  const rowBytes = measured ?? widthBytes(all);
  const rows = Math.max(sourceRows ?? 0, live.rowsEstimate);
  return {
    table: table.live,
    rowsEstimate: rows,
    stageBytes: Math.round(rows * rowBytes),
    baseNextBytes: Math.round((rows * rowBytes * widthBytes(mapped)) / widthBytes(all)),
    backupBytes: live.dataBytes,
  };
}

const ROW_OVERHEAD_BYTES = 30;
/** of a text whose length is not known: longer ones are rarely full */
const TEXT_BYTES_ASSUMED = 40;

function widthBytes(columns: LiveColumnFacts[]): number {
  return columns.reduce((sum, column) => {
    const most = column.lengthOctets ?? 8;
    return sum + Math.min(most, TEXT_BYTES_ASSUMED);
  }, ROW_OVERHEAD_BYTES);
}
