import type { CaptureFigures, CutOverFigures } from './cut-over.js';
import type { RunFigures } from './runs.js';
import type { MemoryFigures, WorkersFigures } from './scale.js';

/** What a bench writes with `--json`. Names end in their unit; parts that did not run are absent. */
export interface Result {
  rows: number;
  repeat: number;
  startedAt: string;
  machine: { cpus: number; cpu: string; memoryMb: number; node: string };
  engines: { mysql: string; sqlServer: 'SQL Server' | 'stand-in' };
  drainMs?: number;
  loadMs?: number;
  ingestMs?: number;
  firstPublishMs?: number;
  editedRunMs?: number;
  unchangedRunMs?: number;
  idleRssMb?: number | null;
  peakRssMb?: number | null;
  /** of the smaller tables: p99 of few cut-overs would say little */
  renameFloorMs?: number;
  heldMsP50?: number;
  heldMsP99?: number;
  /** of all sizes */
  queuedMsMax?: number;
  /** to F = drain + load */
  ratios?: { ingest: number; firstPublish: number; editedRun: number; unchangedRun: number };
  wide?: RunFigures;
  narrow?: RunFigures;
  cutOver?: CutOverFigures[];
  capture?: CaptureFigures;
  memory?: MemoryFigures[];
  workers?: WorkersFigures;
}
