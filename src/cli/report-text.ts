import Table from 'cli-table3';
import type { Cost } from '../model/cost.js';
import {
  type Cleaned,
  momentText,
  type Outcome,
  type Repair,
  type Report,
  type RolledBack,
} from '../model/report.js';
import { colours } from './colours.js';

/** A report as text for people: the outcome, a table of tables, edits, cut-over and phases. */
export function reportText(report: Report, { isHeld } = { isHeld: true }): string {
  const parts = [
    `${colours.bold(report.pipeline)}  ${outcomeText(report.outcome)}  in ${duration(report.ms)}  ${colours.dim(`run ${report.runId}`)}`,
  ];
  if (report.problem) parts.push(colours.yellow(report.problem));
  if (report.cleanup) return [...parts, cleanupText(report.cleanup)].join('\n');
  if (report.repair) return [...parts, ...repairText(report.repair)].join('\n');
  if (report.moment) parts.push(`moment of the source: ${momentText(report)}`);
  if (report.tables.length > 0) parts.push(tablesText(report));
  for (const { table, decidedByFirstRun } of report.tables)
    if (decidedByFirstRun > 0)
      parts.push(`${table}: firstRun decided ${many(decidedByFirstRun, 'value')} without a base`);
  if (report.rollback) parts.push(rollbackText(report.rollback, isHeld));
  const { edits, cutOver } = report;
  parts.push(
    `edits: ${count(edits.captured)} captured, ${count(edits.replayedBefore)} replayed before the lock, ` +
      `${count(edits.replayedUnderLock)} under it; ${count(edits.handedIn)} handed in${edits.refused ? `, ${count(edits.refused)} refused` : ''}`,
  );
  if (cutOver.attempts > 0) {
    parts.push(
      `cut-over: locked ${cutOver.incomplete ? 'at least ' : ''}${ms(cutOver.heldMs)}, pending at most ${ms(cutOver.queuedMs)}, ` +
        `${many(cutOver.attempts, 'attempt')}`,
    );
  }
  if (report.cost) parts.push(costText(report.cost));
  if (report.phases.length > 0) {
    parts.push(`phases: ${report.phases.map((phase) => `${phase.name} ${duration(phase.ms)}`).join(' · ')}`);
  }
  return parts.join('\n');
}

function cleanupText({ closed, because, dropped }: Cleaned): string {
  const window = closed === null ? because : `closed the rollback window of publish ${closed}: ${because}`;
  return dropped.length === 0 ? window : `${window}\ndropped ${dropped.join(', ')}`;
}

function rollbackText(
  { undid, backup, editsKept, stale, staying, editsLost }: RolledBack,
  isHeld: boolean,
): string {
  const held = (because: string) => (isHeld ? `\nthe pipeline is held${because}: stageswap release` : '');
  if (!editsKept)
    return colours.yellow(
      `backup ${backup} is restored as it was: of ${many(editsLost, 'row')} edits since publish ${undid} are not kept${held('')}`,
    );
  const lines = [
    `publish ${undid} is taken back; what clients changed since is kept${held(', so that the next run does not publish the same again')}`,
  ];
  if (staying > 0) lines.push(`rows that are not in the backup and stay: ${count(staying)}`);
  if (stale > 0)
    lines.push(
      colours.yellow(`fields set back to their old values since the swap: ${count(stale)}; stale forms?`),
    );
  return lines.join('\n');
}

function repairText({ done, left }: Repair): string[] {
  return [...done.map((line) => `  ${line}`), ...left.map((line) => colours.yellow(`  left: ${line}`))];
}

/** What the run took from each side; reports of older runs do not say. */
function costText({ source, target }: Cost): string {
  const stoodBack = stoodBackText({ source, target });
  return (
    `cost: source read for ${duration(source.readMs)}; target loaded ${count(target.bytes)} bytes in ${duration(target.loadMs)}, ` +
    `merged for ${duration(target.mergeMs)}${stoodBack ? `; ${stoodBack}` : ''}`
  );
}

/** How long a run stood back for the live systems, as configured; empty if it did not. */
export function stoodBackText(cost: Cost | undefined): string {
  const parts = [
    ...(cost?.source.waitedMs ? [`${duration(cost.source.waitedMs)} for source.rowsPerSecondMax`] : []),
    ...(cost?.target.waitedMs ? [`${duration(cost.target.waitedMs)} for target.threadsRunningMax`] : []),
  ];
  return parts.length > 0 ? `stood back ${parts.join(' and ')}` : '';
}

function tablesText(report: Report): string {
  const table = new Table({
    head: ['table', 'read', 'staged', 'inserted', 'updated', 'deleted', 'kept live', 'conflicts', 'verified'],
    colAligns: ['left', ...Array<'right'>(8).fill('right')],
    style: { head: [], border: [], compact: true },
  });
  for (const row of report.tables) {
    table.push([
      row.table,
      count(row.rowsRead),
      count(row.rowsStaged),
      count(row.inserted),
      count(row.updated),
      count(row.deleted),
      count(row.keptLive),
      row.conflicts > 0 ? colours.yellow(count(row.conflicts)) : '0',
      `${count(row.chunksVerified)}/${count(row.chunks)}`,
    ]);
  }
  return table.toString();
}

export function outcomeText(outcome: Outcome): string {
  switch (outcome) {
    case 'published':
      return colours.green('published');
    case 'rolledBack':
      return colours.green('rolled back');
    case 'planned':
      return colours.green('planned');
    case 'repaired':
      return colours.green('repaired');
    case 'cleaned':
      return colours.green('cleaned up');
    case 'waiting':
      return colours.yellow('waits for a human');
    case 'aborted':
      return colours.yellow('aborted');
    case 'failed':
      return colours.red('failed');
  }
}

export function count(value: number): string {
  return value.toLocaleString('en-US');
}

/** 1 edit · 2 edits. @param noun one that takes an s */
export function many(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? '' : 's'}`;
}

function ms(value: number): string {
  return `${Math.round(value * 10) / 10} ms`;
}

/** 950 ms · 12.3 s · 4 min 05 s · 2 h 03 min */
export function duration(value: number): string {
  if (value < 1000) return `${Math.round(value)} ms`;
  const tenths = Math.round(value / 100);
  if (tenths < 600) return `${(tenths / 10).toFixed(1)} s`;
  const seconds = Math.round(value / 1000);
  const two = (part: number) => String(part).padStart(2, '0');
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${two(Math.floor((seconds % 3600) / 60))} min`;
}
