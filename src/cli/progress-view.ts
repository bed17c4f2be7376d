import { createLogUpdate } from 'log-update';

import type { Progress, TableProgress } from '../model/messages.js';
import { colours } from './colours.js';
import { type Failing, failingText } from './failing.js';
import { count, duration, stoodBackText } from './report-text.js';

/** Shows progress on standard error, so that standard output holds the report alone. */
export interface ProgressView {
  /** @param failing steps that are tried again; undefined: not known at present */
  show(progress: Progress, failing?: Failing[] | undefined): void;
  /** something that is not progress, such as a worker that is missing; shown when it changes */
  say(text: string): void;
  done(): void;
}

/** A screen that is redrawn on a terminal, plain lines elsewhere; if `silent` only lines on what holds a run up. */
export function progressView(options: { silent: boolean }): ProgressView {
  const write = (line: string) => process.stderr.write(`${line}\n`);
  if (options.silent) return troubleView(write);
  return process.stderr.isTTY ? screenView() : lineView(write);
}

function screenView(): ProgressView {
  const update = createLogUpdate(process.stderr);
  const pace = new Pace();
  let extra = '';
  return {
    show(progress, failing) {
      extra = '';
      update(screen(progress, { speeds: pace.of(progress, Date.now()), failing }).join('\n'));
    },
    say(text) {
      if (text !== extra) update(colours.yellow(text));
      extra = text;
    },
    done() {
      update.clear();
      update.done();
    },
  };
}

/** How fast a table's phase goes, and how long it will take. */
export interface Speed {
  rowsASecond: number;
  /** undefined as long as nobody can say */
  remainingMs: number | undefined;
}

/** Measures speed from what was shown before: over a phase of a table, from the first time it was seen. */
export class Pace {
  readonly #began = new Map<string, { at: number; rows: number; share: number }>();

  /** @param at milliseconds of any clock @returns by table; none for what has not moved yet */
  of(progress: Progress, at: number): Map<string, Speed> {
    const speeds = new Map<string, Speed>();
    for (const table of progress.tables) {
      const slot = `${table.table} ${table.phase}`;
      const share = shareDone(table);
      const began = this.#began.get(slot);
      if (!began) this.#began.set(slot, { at, rows: table.rowsDone, share });
      else if (at > began.at && table.rowsDone > began.rows && share < 1 && !progress.paused)
        speeds.set(table.table, {
          rowsASecond: ((table.rowsDone - began.rows) * 1000) / (at - began.at),
          remainingMs:
            share > began.share ? ((1 - share) * (at - began.at)) / (share - began.share) : undefined,
        });
    }
    return speeds;
  }
}

/** The lines of a screen. @param speeds by table, as `Pace` measures them */
export function screen(
  progress: Progress,
  { speeds, failing = [], bars = true }: ScreenOptions = {},
): string[] {
  const held = progress.aborting ? ABORTING : progress.paused ? pauseText(progress) : undefined;
  const state = held === undefined ? '' : colours.yellow(`  ${held}`);
  const lines = [`${colours.bold(progress.phase)}${state}`];
  const width = Math.max(0, ...progress.tables.map((table) => table.table.length));
  for (const table of progress.tables) {
    lines.push(
      `  ${table.table.padEnd(width)}  ${table.phase.padEnd(10)}  ${bars ? `${bar(table)}  ` : ''}${rowsText(table)}${speedText(speeds?.get(table.table))}`,
    );
  }
  const stoodBack = stoodBackText(progress.cost);
  if (stoodBack) lines.push(colours.dim(stoodBack));
  if (progress.waitingFor) lines.push(colours.yellow(`waits for: ${progress.waitingFor}`));
  if (progress.delayedBy) lines.push(progress.delayedBy);
  for (const step of failing)
    lines.push(
      colours.yellow(
        `${failingText(step)} (${step.attempts} ${step.attempts === 1 ? 'attempt' : 'attempts'})`,
      ),
    );
  if (progress.scheduledRunsSkipped)
    lines.push(`left out by the schedule because of this run: ${progress.scheduledRunsSkipped}`);
  return lines;
}

const ABORTING = 'aborting: what it made is taken back';

/** Of a run that is paused: whether it stands still yet. */
const pauseText = ({ pausing }: Progress) => (pausing ? 'pausing' : 'paused');

interface ScreenOptions {
  speeds?: ReadonlyMap<string, Speed>;
  /** steps that are tried again */
  failing?: Failing[] | undefined;
  /** false: what is read by programs has no bars; absent: true */
  bars?: boolean;
}

const BAR_CELLS = 24;

function bar(table: TableProgress): string {
  const share = shareDone(table);
  const full = Math.floor(share * BAR_CELLS);
  return colours.cyan('█'.repeat(full)) + colours.dim('░'.repeat(BAR_CELLS - full));
}

function shareDone(table: TableProgress): number {
  if (table.chunks > 0) return Math.min(1, table.chunksDone / table.chunks);
  if (table.rowsTotal) return Math.min(1, table.rowsDone / table.rowsTotal);
  return 0;
}

function rowsText(table: TableProgress): string {
  const total = table.rowsTotal === undefined ? '' : ` of ${count(table.rowsTotal)}`;
  const chunks = table.chunks > 0 ? ` of ${count(table.chunks)}` : '';
  return `${count(table.rowsDone)}${total} rows, ${count(table.chunksDone)}${chunks} chunks`;
}

function speedText(speed: Speed | undefined): string {
  if (!speed) return '';
  const rate = `, ${count(Math.round(speed.rowsASecond))} rows/s`;
  return speed.remainingMs === undefined ? rate : `${rate}, ${duration(speed.remainingMs)} left`;
}

const STEPS = 10;

/**
 * Plain lines: one for each phase, and for each tenth of a table; the same state never twice.
 *
 * @param write takes one line without its end
 */
export function lineView(write: (line: string) => void): ProgressView {
  const shown = new Map<string, string>();
  const trouble = troubleView(write);
  const once = (slot: string, state: string, line: string) => {
    if (shown.get(slot) === state) return;
    shown.set(slot, state);
    write(line);
  };
  return {
    show(progress, failing) {
      trouble.show(progress, failing);
      once('phase', progress.phase, `phase ${progress.phase}`);
      for (const table of progress.tables) {
        const step = Math.floor(shareDone(table) * STEPS);
        if (table.chunksDone === 0 && table.rowsDone === 0) continue;
        once(
          `table ${table.table}`,
          `${table.phase} ${step}`,
          `  ${table.table}: ${table.phase}, ${rowsText(table)}`,
        );
      }
      if (progress.aborting) once('aborting', ABORTING, ABORTING);
      if (progress.paused || shown.has('paused')) {
        const state = progress.paused ? pauseText(progress) : 'resumed';
        once('paused', state, state);
      }
      if (progress.delayedBy) once('delayed', progress.delayedBy, progress.delayedBy);
      else shown.delete('delayed');
      if (progress.waitingFor) once('waiting', progress.waitingFor, `waits for: ${progress.waitingFor}`);
      else shown.delete('waiting');
    },
    say: trouble.say,
    done() {},
  };
}

/**
 * Lines on what holds a run up, and nothing else: a step that fails again and again, a worker that is missing.
 *
 * @param write takes one line without its end
 */
export function troubleView(write: (line: string) => void): ProgressView {
  let said = '';
  let failed = new Set<string>();
  return {
    show(_progress, failing) {
      said = '';
      // what was said stays said until Temporal says that it is over
      if (!failing) return;
      const lines = new Set(failing.map(failingText));
      for (const line of lines) if (!failed.has(line)) write(line);
      failed = lines;
    },
    say(text) {
      if (text !== said) write(text);
      said = text;
    },
    done() {},
  };
}
