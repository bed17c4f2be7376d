import { condition } from '@temporalio/workflow';
import type { Progress, TableProgress } from '../src/model/messages.js';
import type { PhaseReport, Report, TableReport } from '../src/model/report.js';

/** What a run knows about itself: its progress for the query, its report for the end. */
export class RunState {
  paused = false;
  abortReason: string | undefined;
  approved = false;
  waitingFor: string | undefined;
  generation = 0;
  moment = '';
  handedIn = 0;
  replayedBefore = 0;
  captured = 0;
  cutOver = { attempts: 0, heldMs: 0, queuedMs: 0 };
  replayedUnderLock = 0;
  readonly phases: PhaseReport[] = [];
  readonly #startedAt = Date.now();
  readonly #tables = new Map<string, { progress: TableProgress; report: TableReport }>();

  constructor(readonly pipeline: string) {}

  begin(tables: string[], generation: number): void {
    this.generation = generation;
    for (const table of tables) {
      this.#tables.set(table, {
        progress: { table, phase: 'waiting', rowsDone: 0, chunksDone: 0, chunks: 0 },
        report: {
          table,
          rowsRead: 0,
          rowsStaged: 0,
          inserted: 0,
          updated: 0,
          deleted: 0,
          keptLive: 0,
          conflicts: 0,
          chunks: 0,
          chunksVerified: 0,
        },
      });
    }
  }

  table(live: string, progress: Partial<TableProgress>, report: Partial<TableReport> = {}): void {
    const known = this.#tables.get(live);
    if (!known) return;
    Object.assign(known.progress, progress);
    Object.assign(known.report, report);
  }

  /** Runs one phase: it begins only when nobody has paused, and its time goes into the report. */
  async phase<T>(name: string, work: () => Promise<T>): Promise<T> {
    await this.steer();
    const startedAt = Date.now();
    const entry: PhaseReport = { name, startedAt: new Date(startedAt).toISOString(), ms: 0 };
    this.phases.push(entry);
    try {
      return await work();
    } finally {
      entry.ms = Date.now() - startedAt;
    }
  }

  /** Waits while paused. @throws {Aborted} somebody aborted the run */
  async steer(): Promise<void> {
    await condition(() => !this.paused || this.abortReason !== undefined);
    if (this.abortReason !== undefined) throw new Aborted(this.abortReason);
  }

  progress(): Progress {
    return {
      phase: this.phases.at(-1)?.name ?? 'waiting',
      tables: [...this.#tables.values()].map(({ progress }) => progress),
      ...(this.waitingFor === undefined ? {} : { waitingFor: this.waitingFor }),
      paused: this.paused,
      generation: this.generation,
    };
  }

  report(runId: string, outcome: Report['outcome'], problem?: { type: string; message: string }): Report {
    return {
      pipeline: this.pipeline,
      runId,
      outcome,
      moment: this.moment,
      ms: Date.now() - this.#startedAt,
      tables: [...this.#tables.values()].map(({ report }) => report),
      edits: {
        captured: this.captured,
        replayedBefore: this.replayedBefore,
        replayedUnderLock: this.replayedUnderLock,
        handedIn: this.handedIn,
      },
      cutOver: this.cutOver,
      phases: this.phases,
      ...(problem ? { problem: problem.message, problemType: problem.type } : {}),
    };
  }
}

/** Thrown inside a run that was aborted. */
export class Aborted extends Error {}
