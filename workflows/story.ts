import type { Progress } from '../src/model/messages.js';
import { momentText, type Outcome, type Report } from '../src/model/report.js';

const count = (value: number) => String(value).replace(/\B(?=(\d{3})+$)/g, ',');

/**
 * How far a run is, in Markdown, as the Temporal UI shows it: what works, what it waits for, what it found, and what a
 * person can do. Numbers and names only: never a row's values.
 */
export function storyOf(progress: Progress, report: Report): string {
  return [
    report.outcome === 'waiting' ? headline(progress) : lastWord(report),
    steps(progress, report),
    ...(report.moment ? [`The source is read by ${momentText(report)}.`] : []),
    ...(progress.tables.length > 0 ? [tables(progress, report)] : []),
    ...findings(report),
    ...(progress.scheduledRunsSkipped
      ? [`**Left out by the schedule because of this run:** ${progress.scheduledRunsSkipped}.`]
      : []),
  ].join('\n\n');
}

const ENDS: Record<Exclude<Outcome, 'waiting'>, string> = {
  published: 'Published',
  rolledBack: 'Rolled back',
  planned: 'Planned: live was only read',
  repaired: 'Repaired',
  cleaned: 'Cleaned up',
  aborted: 'Aborted: live is as it was',
  failed: 'Failed',
};

/** How a run has ended, and what to do where it did not end well. */
function lastWord({ outcome, problem, problemType }: Report): string {
  const title = `### ${ENDS[outcome as keyof typeof ENDS]}`;
  return problem === undefined ? title : `${title}\n\n**${problemType ?? 'Unexpected'}:** ${problem}`;
}

function headline({ phase, paused, pausing, aborting, waitingFor, delayedBy }: Progress): string {
  if (aborting) return '### Aborting\n\nWhat the run made is taken back; live stays as it is.';
  if (waitingFor !== undefined)
    return `### Waits for a human\n\n${waitingFor}\n\n**What to do:** \`stageswap approve --config FILE\` lets it go on, \`stageswap abort --config FILE\` ends it and leaves live as it is.`;
  if (paused)
    return `### ${pausing ? 'Pausing' : 'Paused'} in ${phase}\n\nCapture of edits goes on. **What to do:** \`stageswap resume --config FILE\` lets it go on, \`stageswap abort --config FILE\` ends it.`;
  return delayedBy === undefined ? `### ${phase}` : `### ${phase}\n\n${delayedBy}`;
}

/** The phases that were gone through, with their times, and the one that works. */
function steps({ phase }: Progress, { phases }: Report): string {
  return phases
    .map(({ name, ms }) => (name === phase ? `**${name}**` : `${name} ${seconds(ms)}`))
    .join(' → ');
}

const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;

/** A list, since the UI leaves no room between the columns of a table. */
function tables(progress: Progress, report: Report): string {
  return progress.tables
    .map(({ table, rowsDone }, index) => {
      const {
        inserted = 0,
        updated = 0,
        deleted = 0,
        keptLive = 0,
        conflicts = 0,
      } = report.tables[index] ?? {};
      const counts = [
        `${count(rowsDone)} rows`,
        `${count(inserted)} new`,
        `${count(updated)} changed`,
        `${count(deleted)} gone`,
        `${count(keptLive)} kept as clients set them`,
        `${count(conflicts)} ${conflicts === 1 ? 'conflict' : 'conflicts'}`,
      ];
      return `- **${table}**: ${counts.join(' · ')}`;
    })
    .join('\n');
}

/** What a person should know of, each with the command that shows more. */
function findings({ tables, edits, cutOver, cost }: Report): string[] {
  const sum = (field: 'conflicts' | 'quarantined') => tables.reduce((total, row) => total + row[field], 0);
  const found: string[] = [];
  if (sum('conflicts') > 0)
    found.push(
      `**${count(sum('conflicts'))} conflicts**: billing and clients changed the same. \`stageswap conflicts --config FILE\` lists and settles them.`,
    );
  if (sum('quarantined') > 0)
    found.push(
      `**${count(sum('quarantined'))} rows set aside**: live cannot hold their values. \`stageswap conflicts --config FILE\` lists them.`,
    );
  if (edits.captured + edits.replayedBefore + edits.handedIn + (edits.refused ?? 0) > 0)
    found.push(
      `Edits meanwhile: ${count(edits.replayedBefore)} replayed, ${count(edits.handedIn)} handed in through Temporal${edits.refused ? `, ${count(edits.refused)} refused` : ''}.`,
    );
  if (cost && cost.source.waitedMs + cost.target.waitedMs > 0)
    found.push(
      `Stood back for the live systems: ${seconds(cost.source.waitedMs)} for source.rowsPerSecondMax, ${seconds(cost.target.waitedMs)} for target.threadsRunningMax.`,
    );
  if (cutOver.attempts > 0)
    found.push(
      `Cut-over: live was locked for ${cutOver.incomplete ? 'at least ' : ''}${cutOver.heldMs.toFixed(1)} ms; ${cutOver.attempts} attempts to lock.`,
    );
  return found;
}
