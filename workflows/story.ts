import type { Progress } from '../src/model/messages.js';
import type { Report } from '../src/model/report.js';

const count = (value: number) => String(value).replace(/\B(?=(\d{3})+$)/g, ',');

/** How far a run is, in Markdown, as the Temporal UI shows it: what works, what it waits for, and what to do. */
export function storyOf(progress: Progress, report: Report): string {
  const lines = [
    `**${progress.phase}**${progress.paused ? ' · paused: `stageswap resume` lets it go on' : ''}`,
  ];
  if (progress.waitingFor) lines.push('', `Waits for a human: ${progress.waitingFor}`);
  if (report.moment) lines.push('', `The source is read by ${report.moment}.`);
  if (progress.tables.length > 0) {
    lines.push('', '| table | phase | rows | chunks | inserted | updated | deleted | kept live |');
    lines.push('|---|---|---:|---:|---:|---:|---:|---:|');
    for (const [index, table] of progress.tables.entries()) {
      const done = report.tables[index];
      const cells = [
        table.table,
        table.phase,
        count(table.rowsDone),
        `${table.chunksDone}${table.chunks > 0 ? ` of ${table.chunks}` : ''}`,
        ...[done?.inserted, done?.updated, done?.deleted, done?.keptLive].map((value) => count(value ?? 0)),
      ];
      lines.push(`| ${cells.join(' | ')} |`);
    }
  }
  const { captured, replayedBefore, handedIn } = report.edits;
  if (captured + replayedBefore + handedIn > 0)
    lines.push(
      '',
      `Edits: ${count(replayedBefore)} replayed, ${count(handedIn)} handed in through Temporal.`,
    );
  return lines.join('\n');
}
