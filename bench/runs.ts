import type { Report } from '../src/model/report.js';
import { median, medianKnown, round } from './figures.js';
import { drain, load } from './floors.js';
import { cpuSeconds } from './process.js';
import { type Addresses, Product } from './product.js';
import type { SourceSide } from './source.js';
import { type BenchTable, readyBuffers } from './tables.js';
import { TargetSide, type Written } from './target.js';

/** Floors and whole runs of one table, alternating. */

export interface Bench {
  addresses: Addresses;
  /** MySQL without a schema */
  mysqlServer: string;
  schema: string;
  source: SourceSide;
  folder: string;
  /** of the engines, where they are processes of this machine that the bench has started */
  pids: { source: number | undefined; target: number | undefined };
  say: (line: string) => void;
}

/** One run, measured from outside. Milliseconds, seconds of CPU, bytes. */
export interface Measured {
  ms: number;
  phases: Record<string, number>;
  /** ingest and the proof of what was stored */
  ingestMs: number;
  workerCpuS: number | null;
  sourceCpuS: number | null;
  targetCpuS: number | null;
  written: Written;
  historyEvents: number;
  heldMs: number;
}

export interface RunFigures {
  rows: number;
  drainMs: number;
  loadMs: number;
  ingestMs: number;
  firstPublishMs: number;
  editedRunMs: number;
  unchangedRunMs: number;
  /** by kind of run: the median of each phase */
  phasesMs: Record<RunKind, Record<string, number>>;
  workerCpuS: Record<RunKind, number | null>;
  sourceCpuS: Record<RunKind, number | null>;
  targetCpuS: Record<RunKind, number | null>;
  /** by the floors themselves: the driver's and MySQL's share of what no copy can avoid */
  floorCpuS: { bench: { drain: number; load: number }; source: number | null; target: number | null };
  bytesWrittenPerRow: Record<RunKind, { data: number; redo: number; binlog: number | null }>;
  historyEvents: Record<RunKind, number>;
  idleRssMb: number | null;
  peakRssMb: number | null;
}

const KINDS = ['firstPublish', 'editedRun', 'unchangedRun'] as const;
export type RunKind = (typeof KINDS)[number];

interface Floors {
  drainMs: number;
  loadMs: number;
  drainCpuS: number;
  loadCpuS: number;
  sourceCpuS: number | null;
  targetCpuS: number | null;
}

/**
 * `repeat` rounds of: read alone, load alone, first publish, a run with 1 % edited by clients and 10 % changed by billing,
 * a run in which nothing changed.
 */
export async function benchRuns(
  bench: Bench,
  table: BenchTable,
  rows: number,
  repeat: number,
): Promise<RunFigures> {
  const { say, source } = bench;
  say(`${table.name}: ${rows} rows are made`);
  await source.fill(table, rows);
  const buffers = readyBuffers(table, rows);
  const product = new Product(bench.folder, `bench-${table.name}`, [table], bench.addresses);
  const floors: Floors[] = [];
  const runs: Record<RunKind, Measured[]> = { firstPublish: [], editedRun: [], unchangedRun: [] };
  let target = await TargetSide.create(bench.mysqlServer, bench.schema);
  try {
    const worker = await product.startWorker();
    const idleRssMb = worker.rssMb;
    for (let round = 1; round <= repeat; round += 1) {
      await target.close();
      target = await TargetSide.create(bench.mysqlServer, bench.schema);
      await target.define(table);
      floors.push(await measureFloors(bench, target, table, buffers, rows));
      runs.firstPublish.push(await measureRun(bench, target, product, rows));
      await target.editHundredth(table, round);
      await source.changeTenth(table);
      runs.editedRun.push(await measureRun(bench, target, product, rows));
      runs.unchangedRun.push(await measureRun(bench, target, product, rows));
      say(
        `${table.name}, round ${round} of ${repeat}: ${KINDS.map((kind) => `${kind} ${seconds(runs[kind].at(-1)?.ms)}`).join(', ')}`,
      );
    }
    return figuresOf(rows, floors, runs, idleRssMb, worker.peakRssMb);
  } finally {
    await product.stop();
    await target.close();
    await source.drop(table.source);
  }
}

const seconds = (ms = 0) => `${(ms / 1000).toFixed(1)} s`;

async function measureFloors(
  { source, pids, say }: Bench,
  target: TargetSide,
  table: BenchTable,
  buffers: Buffer[],
  rows: number,
): Promise<Floors> {
  const cpu = () => process.cpuUsage();
  const used = (since: NodeJS.CpuUsage) => {
    const { user, system } = process.cpuUsage(since);
    return (user + system) / 1e6;
  };
  const sourceBefore = cpuSeconds(pids.source);
  const beforeDrain = cpu();
  const drainMs = await drain(source.pool, table, rows);
  const drainCpuS = used(beforeDrain);
  const sourceCpuS = difference(cpuSeconds(pids.source), sourceBefore);
  const targetBefore = cpuSeconds(pids.target);
  const beforeLoad = cpu();
  const loadMs = await load(target, table, buffers, rows);
  const loadCpuS = used(beforeLoad);
  const targetCpuS = difference(cpuSeconds(pids.target), targetBefore);
  say(`${table.name}: read alone ${seconds(drainMs)}, load alone ${seconds(loadMs)}`);
  return { drainMs, loadMs, drainCpuS, loadCpuS, sourceCpuS, targetCpuS };
}

/** One run of the product, and what it cost each side. @throws {Error} it did not publish every row */
export async function measureRun(
  { pids }: Bench,
  target: TargetSide,
  product: Product,
  rows: number,
): Promise<Measured> {
  const workerCpu = () =>
    product.workers.reduce<number | null>(
      (sum, { cpuSeconds: used }) => (sum === null || used === null ? null : sum + used),
      0,
    );
  const before = {
    worker: workerCpu(),
    source: cpuSeconds(pids.source),
    target: cpuSeconds(pids.target),
    written: await target.written(),
  };
  const { report, historyEvents } = await product.run();
  const after = await target.written();
  const table = report.tables[0];
  if (report.outcome !== 'published' || table?.rowsRead !== rows || table.chunksVerified !== table.chunks)
    throw new Error(`a run of the bench went wrong: ${JSON.stringify(report)}`);
  const phases = Object.fromEntries(report.phases.map(({ name, ms }) => [name, ms]));
  return {
    ms: report.ms,
    phases,
    ingestMs: ingestWithProof(report),
    workerCpuS: difference(workerCpu(), before.worker),
    sourceCpuS: difference(cpuSeconds(pids.source), before.source),
    targetCpuS: difference(cpuSeconds(pids.target), before.target),
    written: {
      data: after.data - before.written.data,
      redo: after.redo - before.written.redo,
      binlog: difference(after.binlog, before.written.binlog),
    },
    historyEvents,
    heldMs: report.cutOver.heldMs,
  };
}

/** The phase ingest, and all of the phase verify, of which the proof is the greatest part. */
function ingestWithProof({ phases }: Report): number {
  return phases
    .filter(({ name }) => name === 'ingest' || name === 'verify')
    .reduce((sum, { ms }) => sum + ms, 0);
}

const difference = (after: number | null, before: number | null) =>
  after === null || before === null ? null : after - before;

function figuresOf(
  rows: number,
  floors: Floors[],
  runs: Record<RunKind, Measured[]>,
  idleRssMb: number | null,
  peakRssMb: number | null,
): RunFigures {
  const byKind = <T>(figure: (measured: Measured[]) => T) =>
    Object.fromEntries(KINDS.map((kind) => [kind, figure(runs[kind])])) as Record<RunKind, T>;
  const known = (of: (measured: Measured) => number | null) =>
    byKind((measured) => roundKnown(medianKnown(measured.map(of)), 2));
  const ms = (kind: RunKind) => round(median(runs[kind].map((run) => run.ms)));
  const floor = (of: (floors: Floors) => number) => median(floors.map(of));
  return {
    rows,
    drainMs: round(floor(({ drainMs }) => drainMs)),
    loadMs: round(floor(({ loadMs }) => loadMs)),
    ingestMs: round(median(KINDS.flatMap((kind) => runs[kind].map((run) => run.ingestMs)))),
    firstPublishMs: ms('firstPublish'),
    editedRunMs: ms('editedRun'),
    unchangedRunMs: ms('unchangedRun'),
    phasesMs: byKind(medianPhases),
    workerCpuS: known((run) => run.workerCpuS),
    sourceCpuS: known((run) => run.sourceCpuS),
    targetCpuS: known((run) => run.targetCpuS),
    floorCpuS: {
      bench: {
        drain: round(
          floor(({ drainCpuS }) => drainCpuS),
          2,
        ),
        load: round(
          floor(({ loadCpuS }) => loadCpuS),
          2,
        ),
      },
      source: roundKnown(medianKnown(floors.map(({ sourceCpuS }) => sourceCpuS)), 2),
      target: roundKnown(medianKnown(floors.map(({ targetCpuS }) => targetCpuS)), 2),
    },
    bytesWrittenPerRow: byKind((measured) => ({
      data: round(median(measured.map((run) => run.written.data)) / rows),
      redo: round(median(measured.map((run) => run.written.redo)) / rows),
      binlog: roundKnown(medianKnown(measured.map((run) => run.written.binlog)), 0, rows),
    })),
    historyEvents: byKind((measured) => median(measured.map((run) => run.historyEvents))),
    idleRssMb,
    peakRssMb,
  };
}

function medianPhases(measured: Measured[]): Record<string, number> {
  const names = Object.keys(measured[0]?.phases ?? {});
  return Object.fromEntries(
    names.map((name) => [name, round(median(measured.map(({ phases }) => phases[name] ?? 0)))]),
  );
}

function roundKnown(value: number | null, digits: number, by = 1): number | null {
  return value === null ? null : round(value / by, digits);
}
