import Table from 'cli-table3';
import { round } from './figures.js';
import type { Result } from './result.js';
import type { RunFigures } from './runs.js';

/** The figures as tables: milliseconds, ratios to the floors, and what they are to be at most. */
export function printed(result: Result): string {
  const parts: string[] = [];
  for (const name of ['wide', 'narrow'] as const) {
    const figures = result[name];
    if (figures) parts.push(`${name}, ${count(figures.rows)} rows`, runTable(figures), costTable(figures));
  }
  const [cutOver] = result.cutOver ?? [];
  if (cutOver)
    parts.push(
      `cut-over: three tables, ${cutOver.writers} writers, each an edit every ${cutOver.thinkMs} ms on average`,
      cutOverTable(result),
    );
  parts.push(...others(result));
  return parts.join('\n');
}

const count = (value: number) => value.toLocaleString('en');
const known = (value: number | null | undefined) =>
  value === null || value === undefined ? '–' : String(value);

function table(head: string[], rows: string[][]): string {
  const made = new Table({
    head,
    style: { head: [], border: [] },
    colAligns: head.map((_, index) => (index === 0 ? 'left' : 'right')),
  });
  made.push(...rows);
  return made.toString();
}

function runTable(figures: RunFigures): string {
  const floor = figures.drainMs + figures.loadMs;
  const row = (name: string, ms: number, promised: string) => [
    name,
    count(ms),
    (ms / floor).toFixed(2),
    promised,
  ];
  return table(
    ['median', 'ms', '× F', 'at most'],
    [
      row('drain: read alone', figures.drainMs, ''),
      row('load: LOAD DATA alone', figures.loadMs, ''),
      row('F = drain + load', floor, ''),
      row('ingest with proof', figures.ingestMs, '1.2'),
      row('first publish', figures.firstPublishMs, ''),
      row('1 % edited, 10 % changed', figures.editedRunMs, '1.8'),
      row('nothing changed', figures.unchangedRunMs, '1.5'),
    ],
  );
}

function costTable(figures: RunFigures): string {
  const { rows } = figures;
  const micros = (cpuS: number | null) => (cpuS === null ? null : round((cpuS * 1e6) / rows, 1));
  const kinds = [
    ['first publish', 'firstPublish'],
    ['1 % edited, 10 % changed', 'editedRun'],
    ['nothing changed', 'unchangedRun'],
  ] as const;
  return table(
    ['a row costs', 'worker µs', 'source µs', 'target µs', 'data B', 'redo B', 'binlog B', 'events a run'],
    kinds.map(([name, kind]) => {
      const bytes = figures.bytesWrittenPerRow[kind];
      return [
        name,
        known(micros(figures.workerCpuS[kind])),
        known(micros(figures.sourceCpuS[kind])),
        known(micros(figures.targetCpuS[kind])),
        known(bytes.data),
        known(bytes.redo),
        known(bytes.binlog),
        known(figures.historyEvents[kind]),
      ];
    }),
  );
}

function cutOverTable({ cutOver = [] }: Result): string {
  return table(
    [
      'rows',
      'cut-overs',
      'R ms',
      'held p50',
      '× R',
      'held p99',
      '× R',
      'queued max',
      'writers wait, p50',
      'without',
    ],
    cutOver.map((figures) => [
      count(figures.rows),
      String(figures.cutOvers),
      String(figures.renameFloorMs),
      String(figures.heldMsP50),
      (figures.heldMsP50 / figures.renameFloorMs).toFixed(2),
      String(figures.heldMsP99),
      (figures.heldMsP99 / figures.renameFloorMs).toFixed(2),
      String(figures.queuedMsMax),
      `${figures.writersWaitMsMaxP50} ms`,
      `${figures.writersWaitWithoutMsMaxP50} ms`,
    ]),
  );
}

function others({ capture, memory = [], workers, wide, idleRssMb, peakRssMb }: Result): string[] {
  const lines: string[] = [];
  if (capture)
    lines.push(
      `a client's write, p50: ${capture.withoutMs} ms without capture, ${capture.captureMs} ms with (× ${capture.captureRatio}); in a rollback window ${capture.touchMs} ms and ${capture.captureAndTouchMs} ms (× ${capture.captureInWindowRatio})`,
    );
  if (wide)
    lines.push(
      `worker's memory at ${count(wide.rows)} rows: ${known(idleRssMb)} MB idle, ${known(peakRssMb)} MB at most`,
    );
  for (const { rows, ...rss } of memory)
    lines.push(
      `worker's memory at ${count(rows)} rows: ${known(rss.idleRssMb)} MB idle, ${known(rss.peakRssMb)} MB at most`,
    );
  if (workers)
    lines.push(
      `nothing changed, ${count(workers.rows)} rows: ${count(workers.oneWorkerMs)} ms by one worker, ${count(workers.twoWorkersMs)} ms by two`,
    );
  return lines;
}
