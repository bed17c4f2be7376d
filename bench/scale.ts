import { median, round } from './figures.js';
import { Product } from './product.js';
import { type Bench, measureRun } from './runs.js';
import type { BenchTable } from './tables.js';
import { TargetSide } from './target.js';

/** What changes with the number of workers, and what does not with the number of rows. */

export interface WorkersFigures {
  rows: number;
  oneWorkerMs: number;
  twoWorkersMs: number;
}

/** A run in which nothing changed, by one worker and by two in two processes, alternating. */
export async function benchWorkers(
  bench: Bench,
  table: BenchTable,
  rows: number,
  repeat: number,
): Promise<WorkersFigures> {
  return withPipeline(bench, table, rows, async (product, target) => {
    const [one, two]: [number[], number[]] = [[], []];
    await measureRun(bench, target, product, rows);
    for (let turn = 0; turn < repeat; turn += 1) {
      one.push((await measureRun(bench, target, product, rows)).ms);
      const second = await product.startWorker();
      two.push((await measureRun(bench, target, product, rows)).ms);
      await product.stopWorker(second);
    }
    return { rows, oneWorkerMs: round(median(one)), twoWorkersMs: round(median(two)) };
  });
}

export interface MemoryFigures {
  rows: number;
  idleRssMb: number | null;
  peakRssMb: number | null;
}

/** A worker's memory over a first publish and a run with edits. */
export async function benchMemory(bench: Bench, table: BenchTable, rows: number): Promise<MemoryFigures> {
  return withPipeline(bench, table, rows, async (product, target) => {
    const idleRssMb = product.workers[0]?.rssMb ?? null;
    await measureRun(bench, target, product, rows);
    await target.editHundredth(table, 1);
    await bench.source.changeTenth(table);
    await measureRun(bench, target, product, rows);
    return { rows, idleRssMb, peakRssMb: product.workers[0]?.peakRssMb ?? null };
  });
}

/** A table of its own at both sides, and a pipeline with a fresh worker. */
async function withPipeline<T>(
  bench: Bench,
  table: BenchTable,
  rows: number,
  work: (product: Product, target: TargetSide) => Promise<T>,
): Promise<T> {
  await bench.source.fill(table, rows);
  const target = await TargetSide.create(bench.mysqlServer, bench.schema);
  const product = new Product(bench.folder, `bench-${table.name}-more`, [table], bench.addresses);
  try {
    await target.define(table);
    await product.startWorker();
    return await work(product, target);
  } finally {
    await product.stop();
    await target.close();
    await bench.source.drop(table.source);
  }
}
