import { type PastRun, retained } from '../model/lineage.js';
import { generationOfMarker, markerTable, parsePhysicalName, physicalTable } from '../model/names.js';
import type { RepairFinding } from '../model/report.js';
import type { RunSpec } from '../model/spec.js';
import { countSince } from '../sql/settle.js';
import type { Session } from './connection.js';
import { ownerOf } from './owner.js';
import { namesOf, pastRuns, runRowsOf } from './past-runs.js';
import { hasConflicts } from './settlements.js';

/** A run that has not ended, as MySQL alone tells it. */
export interface Unfinished extends PastRun {
  phase: string;
  spec: RunSpec;
}

/** What MySQL says of a pipeline: marker, generation, run rows, tables and triggers. Nobody else is asked. */
export interface Survey {
  /** whose base is valid; 0: nothing was published */
  at: number;
  generation: number;
  /** oldest first */
  runs: PastRun[];
  unfinished: Unfinished[];
  /** triggers of runs that nothing needs, with the table that they are on */
  triggers: { name: string; on: string }[];
  /** tables of ended runs that nothing needs */
  tables: string[];
  /** triggers on live that keep rows as the published generation left them, and the tables that they write to */
  window: { triggers: { name: string; on: string }[]; images: string[] };
  /** first-touch images that edits have passed by, since a trigger on live is missing */
  brokenWindow: boolean;
  /** conflicts and settlements that still have what a run did that is not on the line */
  states: number;
  /** a marker of nothing published, beside the one that counts */
  strayMarker: boolean;
  /** what a person must decide; nothing is repaired before */
  undecided: RepairFinding[];
}

/** Looks at all that runs of the pipeline have left. Only reads. @param lives the configuration's live tables */
export async function survey(
  session: Session,
  pipeline: string,
  lives: string[],
  backups: number,
): Promise<Survey | undefined> {
  if (!(await hasConflicts(session))) return undefined; // no control tables: nothing has ever run
  const names = await namesOf(session, pipeline);
  const rows = await runRowsOf(session, pipeline);
  const markers = names.tables.flatMap((name) => generationOfMarker(pipeline, name) ?? []);
  const at = Math.max(0, ...markers);
  const runs = pastRuns(rows, at, new Set(names.tables));
  const known = new Set([...lives, ...rows.flatMap(({ spec }) => spec.tables.map((table) => table.live))]);
  const unfinished = rows.flatMap(({ spec, phase, outcome }, index) => {
    const run = runs[index];
    return run && outcome === null ? [{ ...run, phase, spec }] : [];
  });
  const kept = retained(at, runs, backups);
  const ofUnfinished = new Set(unfinished.map((run) => run.generation));
  const ours = (name: string) => {
    const parsed = parsePhysicalName(name);
    return parsed && known.has(parsed.live) ? parsed : undefined;
  };
  const ofWindow = (name: string, kind: RegExp) => {
    const parsed = ours(name);
    return at > 0 && parsed?.generation === at && kind.test(parsed.kind) ? parsed.live : undefined;
  };
  const window = {
    triggers: names.triggers.filter(({ name, on }) => ofWindow(name, /^t[iud]$/) === on),
    images: names.tables.filter((name) => ofWindow(name, /^t$/) !== undefined),
  };
  const isOpen = kept.has(`${at}t`);
  const touchTriggers = window.triggers.filter(
    ({ on }) => isOpen && window.images.includes(physicalTable(at, 'firstTouch', on)),
  );
  const needed = new Set(touchTriggers.map(({ name }) => name));
  const found: Survey = {
    at,
    generation: await ownerOf(session, pipeline),
    runs,
    unfinished,
    triggers: names.triggers.filter(({ name }) => {
      const parsed = ours(name);
      return parsed !== undefined && !needed.has(name) && !isOfUnfinished(parsed, unfinished);
    }),
    tables: names.tables.filter((name) => {
      const parsed = ours(name);
      return (
        parsed !== undefined &&
        !kept.has(`${parsed.generation}${parsed.kind}`) &&
        !ofUnfinished.has(parsed.generation)
      );
    }),
    window,
    brokenWindow: isOpen && touchTriggers.length !== 3 * window.images.length,
    states: 0,
    strayMarker: markers.length === 2 && markers.includes(0),
    undecided: undecided(pipeline, markers, runs),
  };
  if (found.undecided.length === 0) found.states = await statesSince(session, pipeline, found);
  return found;
}

/** Triggers and tables of a run that is still to be taken back, or finished, go with it. */
function isOfUnfinished(parsed: { generation: number }, unfinished: Unfinished[]): boolean {
  return unfinished.some((run) => run.generation === parsed.generation && !run.swapped);
}

async function statesSince(session: Session, pipeline: string, found: Survey): Promise<number> {
  let count = 0;
  for (const statement of countSince(pipeline, found.at, found.generation + 1, standing(found))) {
    const rows = await session.rows<{ n: string }>(statement);
    count += Number(rows[0]?.n ?? 0);
  }
  return count;
}

/** Generations beyond the published one that are not gone: rollbacks, and runs that are to be taken back as a whole. */
export function standing({ at, runs, unfinished }: Pick<Survey, 'at' | 'runs' | 'unfinished'>): number[] {
  const rollbacks = runs.filter((run) => run.swapped && run.kind === 'rollback' && run.generation > at);
  return [...rollbacks, ...unfinished.filter((run) => !run.swapped)].map((run) => run.generation);
}

/** Which generation's base is valid is never guessed. */
function undecided(pipeline: string, markers: number[], runs: PastRun[]): RepairFinding[] {
  const published = runs.filter((run) => run.kind === 'publish' && run.swapped).map((run) => run.generation);
  const marker = (generation: number) => markerTable(pipeline, generation);
  if (markers.length === 0 && published.length > 0)
    return [
      {
        what: `no marker says whose base is valid, although generations ${published.join(', ')} were published`,
        cure: `find out which of them is live, then CREATE TABLE \`${marker(published.at(-1) ?? 0)}\` (nothing TINYINT PRIMARY KEY) with its number`,
      },
    ];
  if (markers.length > 2 || (markers.length === 2 && !markers.includes(0)))
    return [
      {
        what: `more than one marker says whose base is valid: ${markers.map(marker).join(', ')}`,
        cure: 'find out which of them is live, and drop the other markers',
      },
    ];
  return [];
}

/** What was found, and what repair does about it, in the order in which it does it. */
export function findingsOf(found: Survey): RepairFinding[] {
  const findings: RepairFinding[] = [];
  const say = (what: string, cure: string) => findings.push({ what, cure });
  for (const { name, on } of found.triggers)
    say(
      `trigger ${name} on ${on} belongs to no run that needs it`,
      'drop it, before the table that it writes to',
    );
  for (const run of found.unfinished) {
    const called = `${run.kind} ${run.generation} has not ended (phase ${run.phase})`;
    if (!run.swapped)
      say(`${called}; live is as it was before it`, 'take back all that it made, and close it as aborted');
    else if (run.kind === 'rollback')
      say(`${called}; its swap was executed`, 'finish it, close it as rolled back, and hold the pipeline');
    else say(`${called}; its swap was executed`, 'finish it, and close it as published');
  }
  if (found.tables.length > 0)
    say(`nothing needs ${found.tables.length} tables of ended runs: ${listed(found.tables)}`, 'drop them');
  if (found.brokenWindow)
    say(
      `triggers on live are missing that keep rows as generation ${found.at} published them`,
      'drop the images: edits have passed them by, so that a rollback would lose these',
    );
  if (found.states > 0)
    say(
      `${found.states} conflicts or settlements have what a run did that is no part of live`,
      'put them back to what they were before it',
    );
  if (found.strayMarker)
    say(`a marker says that nothing was published, beside the one of ${found.at}`, 'drop it');
  return findings;
}

const NAMES_SHOWN_MAX = 8;

function listed(names: string[]): string {
  const shown = names.slice(0, NAMES_SHOWN_MAX).join(', ');
  return names.length > NAMES_SHOWN_MAX ? `${shown} and ${names.length - NAMES_SHOWN_MAX} more` : shown;
}
