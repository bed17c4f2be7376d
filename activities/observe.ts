import { Context } from '@temporalio/activity';

/**
 * What a worker tells of its work: log lines with pipeline, run, table, chunk and phase, and numbers for Prometheus beside
 * the SDK's own. Never a row's value.
 */

/** The phase that an activity belongs to, as the workflow names it. */
const PHASES: Record<string, string> = {
  begin: 'preflight',
  beginRollback: 'preflight',
  openMoment: 'ingest',
  planIngest: 'ingest',
  ingestChunks: 'ingest',
  ingestWhilePlanned: 'ingest',
  ingestTransaction: 'ingest',
  askAgain: 'ingest',
  askForParents: 'ingest',
  closeMoment: 'ingest',
  settle: 'reconcile',
  guard: 'verify',
  rehearseCutOver: 'verify',
  nextWindowOf: 'gate',
  leftOutBySchedule: 'gate',
  findOrphans: 'replay',
  countHeldBack: 'replay',
  closeConflicts: 'cleanup',
  countConflicts: 'cleanup',
  undo: 'compensation',
};

/** Which run and table an activity works at, by what it was called with. */
export function whereabouts(
  activityType: string,
  [first, second]: unknown[],
): Record<string, string | number> {
  const phase = PHASES[activityType] ?? activityType;
  if (typeof first === 'string') return { pipeline: first, phase };
  const { pipeline, generation } = (first ?? {}) as { pipeline?: string; generation?: number };
  return {
    ...(pipeline === undefined ? {} : { pipeline }),
    ...(generation === undefined ? {} : { run: generation }),
    ...(generation !== undefined && typeof second === 'string' ? { table: second } : {}),
    phase,
  };
}

/** A chunk is stored: its rows and bytes as they were sent. */
export function chunkStored(
  where: { pipeline: string; generation: number; table: string; chunk: number },
  sent: { rows: number; bytes: number },
): void {
  const { log, metricMeter } = Context.current();
  const { pipeline, generation, table, chunk } = where;
  log.debug('chunk stored', { pipeline, run: generation, table, chunk, phase: 'ingest', ...sent });
  const tags = { pipeline, table };
  metricMeter.createCounter('stageswap_rows_ingested', 'rows').add(sent.rows, tags);
  metricMeter.createCounter('stageswap_bytes_ingested', 'bytes').add(sent.bytes, tags);
}

/** What the results of some activities say in numbers. */
const MEASURES: Record<string, (result: unknown, where: Record<string, string | number>) => void> = {
  reconcile(result, { pipeline = '', table = '' }) {
    const { rows } = result as { rows: number };
    gauge('stageswap_rows_merged', rows, { pipeline, table });
  },
  replay(result, { pipeline = '' }) {
    const { replayed, pending } = result as { replayed: number; pending: number };
    gauge('stageswap_log_pending', pending, { pipeline });
    counter('stageswap_edits_replayed', replayed, { pipeline });
  },
  cutOver(result, { pipeline = '' }) {
    const { heldMs, queuedMs, attempts } = result as { heldMs?: number; queuedMs: number; attempts: number };
    if (heldMs === undefined) return; // the lock was not granted yet
    gauge('stageswap_cut_over_held_ms', heldMs, { pipeline });
    gauge('stageswap_cut_over_queued_ms', queuedMs, { pipeline });
    gauge('stageswap_cut_over_attempts', attempts, { pipeline });
    gauge('stageswap_log_pending', 0, { pipeline });
  },
  countConflicts(result, { pipeline = '' }) {
    for (const [table, conflicts] of Object.entries(result as Record<string, number>))
      gauge('stageswap_conflicts', conflicts, { pipeline, table });
  },
  applyEdits(result, { pipeline = '' }) {
    for (const { outcome } of result as { outcome: string }[])
      counter('stageswap_edits_handed_in', 1, { pipeline, outcome });
  },
};

type Tags = Record<string, string | number>;
const gauge = (name: string, value: number, tags: Tags) =>
  Context.current().metricMeter.createGauge(name, 'float').set(value, tags);
const counter = (name: string, value: number, tags: Tags) =>
  Context.current().metricMeter.createCounter(name).add(value, tags);

/** An activity is done: one log line, and what its result says in numbers. */
export function activityDone(
  activityType: string,
  where: Record<string, string | number>,
  result: unknown,
  ms: number,
): void {
  Context.current().log.info(`${activityType} is done`, { ...where, ms: Math.round(ms) });
  MEASURES[activityType]?.(result, where);
}

const BEGINNINGS = new Set(['begin', 'beginRollback', 'beginRepair']);

/** A run that could not even begin has no end of its own. */
export function activityFailed(
  activityType: string,
  where: Record<string, string | number>,
  ms: number,
): void {
  if (BEGINNINGS.has(activityType)) runEnded(String(where.pipeline), 'failed', ms);
}

/** A run has ended: counted by its outcome, with the time it took. */
export function runEnded(pipeline: string, outcome: string, ms: number): void {
  counter('stageswap_runs', 1, { pipeline, outcome });
  gauge('stageswap_run_ms', ms, { pipeline, outcome });
}
