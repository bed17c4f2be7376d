import { defineSearchAttributeKey, RetryState, SearchAttributeType } from '@temporalio/common';
import {
  ActivityFailure,
  CancellationScope,
  condition,
  continueAsNew,
  isCancellation,
  log,
  patched,
  setCurrentDetails,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import type { Begun } from '../activities/runs.js';
import { type Cost, noCost, sumOfCosts } from '../src/model/cost.js';
import { NOTHING_TRIED } from '../src/model/cut-over.js';
import type { Ending } from '../src/model/failures.js';
import {
  type ClientEdit,
  type Notice,
  type Progress,
  SEARCH_ATTRIBUTES,
  type TableProgress,
} from '../src/model/messages.js';
import type { Cleaned, Repair, Report, TableReport } from '../src/model/report.js';
import { TableCounts } from '../src/model/table-counts.js';
import type { Continued, Figures, GateMemory } from './continued.js';
import { tell } from './notices.js';
import { Phases } from './phases.js';
import { storyOf } from './story.js';

/** Temporal ends a history at 51,200 events; ours goes on as a new execution long before. */
const HISTORY_EVENTS_MAX = 8_000;

const PIPELINE = defineSearchAttributeKey(SEARCH_ATTRIBUTES.pipeline, SearchAttributeType.KEYWORD);
const PHASE = defineSearchAttributeKey(SEARCH_ATTRIBUTES.phase, SearchAttributeType.KEYWORD);

/** From here on a history takes no more edits: a step that lasts for hours lets no new execution begin. */
const HISTORY_EVENTS_FULL = 30_000;
/** Temporal takes 10,000 signals an execution, and refuses the next. */
const SIGNALS_FULL = 6_000;

const HANDED_OVER = 'edits-are-handed-over';
const END_IS_FOUND = 'end-is-found';

/** Thrown inside a run that was aborted. */
export class Aborted extends Error {}

/**
 * A step that would have been tried again, had nobody asked it to give up: its engine was lost, or its worker hung, before
 * it heard of that. `patched`, since older code let the run fail here: its histories replay only if that stays so.
 */
export const isNotTriedAgain = (error: unknown): boolean =>
  error instanceof ActivityFailure &&
  error.retryState === RetryState.CANCEL_REQUESTED &&
  patched('paused-while-failing');

/** The edits that were handed in through Temporal, as far as an execution's end has to do with them. */
export interface HandedIn {
  /** Resolves when no edit waits and no handler runs, which is true then; or when something else is so. */
  settled(orWhen: () => boolean): Promise<boolean>;
  /** Resolves when no edit is under way and no handler runs, with those of signals that are left for the next execution. */
  handOver(): Promise<ClientEdit[]>;
}

/** What a run knows about itself: how far it is, what steers it, its report for the end. */
export class RunState {
  paused = false;
  gate: GateMemory = {
    tripped: [],
    asked: [],
    approved: [],
    readAtMs: 0,
    preparedMs: 0,
    hasWaited: false,
    skipped: 0,
  };
  abortReason: string | undefined;
  abortType: Ending = 'Aborted';
  /** the tables say that the RENAME was executed: from here on only forward */
  swapped = false;
  /** what repair has found and done */
  repair: Repair | undefined;
  cleanup: Cleaned | undefined;
  /** what it did so far, by table */
  readonly tables: TableCounts;
  /** this execution is about to end: edits that came now would keep it from that for ever */
  ending = false;
  figures: Figures = {
    moment: '',
    momentBecause: undefined,
    handedIn: 0,
    captured: 0,
    replayedBefore: 0,
    replayedUnderLock: 0,
    cutOver: { attempts: 0, heldMs: 0, queuedMs: 0 },
    cost: noCost(),
    tried: NOTHING_TRIED,
  };
  /** with edits, to this execution */
  #signals = 0;
  /** how many lines of work stand still because of a pause */
  #standing = 0;
  #waitsFor: { human: string; expiresAt: string } | undefined;
  #delayedBy: string | undefined;
  /** the phase that the search attributes say */
  #found: string | undefined;
  /** what the webhook was told: once is enough, over all executions */
  #told: string[] = [];
  #run: Begun | undefined;
  #ended: Report | undefined;
  #startedAt = Date.now();
  readonly #phases: Phases;
  /** everything up to the swap: what abort and cancel end */
  readonly #work = new CancellationScope();
  /** what a pause interrupts */
  readonly #interruptible = new Set<CancellationScope>();
  /** what a pause has interrupted: its end may come after the run was resumed, and is no abort then either */
  readonly #interrupted = new WeakSet<CancellationScope>();

  constructor(
    readonly input: { pipeline: string; continued?: Continued },
    readonly handed: HandedIn,
  ) {
    const { continued } = input;
    this.tables = new TableCounts(continued?.tables);
    this.#phases = new Phases(continued);
    if (!continued) return;
    this.paused = continued.paused;
    this.gate = continued.gate;
    this.figures = { ...this.figures, ...continued.figures };
    this.#run = continued.run;
    this.#told = continued.told;
    this.#startedAt = continued.startedAt;
    this.#ended = continued.ended;
  }

  /** The run that `begin` has begun. @throws {Error} asked too early: a bug */
  get run(): Begun {
    if (!this.#run) throw new Error('the run has not begun');
    return this.#run;
  }
  get hasBegun(): boolean {
    return this.#run !== undefined;
  }

  begin(run: Begun): void {
    this.#run = run;
    this.tables.begin(run.tables);
  }

  /** Counts of a table, and how far it is; what is not given stays as it is. */
  table(live: string, progress: Partial<TableProgress>, report: Partial<TableReport> = {}): void {
    if (this.tables.set(live, progress, report)) this.#tell();
  }

  addCost(cost: Cost): void {
    this.figures.cost = sumOfCosts(this.figures.cost, cost);
  }

  /** Runs one phase: it begins only when nobody has paused, and its time goes into the report. A continued run passes over what is done. */
  async phase(name: string, work: () => Promise<void>): Promise<void> {
    if (this.#phases.isDone(name)) return;
    await this.steer();
    this.#phases.begin(name);
    this.#tell();
    try {
      await work();
      this.#phases.done(name);
    } finally {
      this.#phases.end();
    }
  }

  /** Lets phases be gone through once more. */
  again(...names: string[]): void {
    this.#phases.again(names);
  }

  /** Begins again under a new generation: what was made for the one before is gone. */
  renewed(run: Begun): void {
    this.begin(run);
    this.figures.tried = NOTHING_TRIED;
    this.gate.hasWaited = false;
    this.gate.readAtMs = 0;
  }

  /** Runs everything up to the swap in the scope that abort and cancel end. */
  async untilSwap(work: () => Promise<void>): Promise<void> {
    await this.#work.run(work);
  }

  /** @param type as the report's problemType says it: whether an operator, or what else, ended the run */
  abort(reason: string, type: Ending = 'Aborted'): void {
    this.abortReason = reason;
    this.abortType = type;
    this.#work.cancel();
    if (patched(END_IS_FOUND)) this.#tell();
    else this.#tellStory();
  }

  /** Says how the run has ended, where the Temporal UI shows it, and as the phase by which it is found there. */
  ended(report: Report): void {
    this.#ended = report;
    this.#tellStory();
    if (patched(END_IS_FOUND)) this.#find(report.outcome);
  }
  /** Older code paused all the same: its histories say so. */
  isTooLateToPause(): boolean {
    return (this.swapped || this.isOver !== undefined) && patched(END_IS_FOUND);
  }
  get hasEnded(): boolean {
    return this.#ended !== undefined;
  }
  /** Why it can be steered no more; undefined: it can. */
  get isOver(): string | undefined {
    if (this.#ended)
      return `the run has ended (${this.#ended.outcome}), and only writes edits that were handed in`;
    if (this.abortReason !== undefined && !this.swapped) return 'the run is being taken back';
    return undefined;
  }

  /** An operator has approved what the run asks. @returns how many reasons these were */
  approve(): number {
    const { asked } = this.gate;
    this.gate.approved.push(...asked);
    this.gate.asked = [];
    this.#tellStory();
    return asked.length;
  }

  /** A scheduled run has begun, found this one, and ended. */
  skipped(): void {
    this.gate.skipped += 1;
    this.#tell();
  }
  /** What the schedule itself has left out since it began, as Temporal counts it. */
  leftOutBySchedule(count: number): void {
    const { counted } = this.gate;
    this.gate.counted = count;
    if (counted === undefined || count <= counted) return;
    this.gate.skipped += count - counted;
    log.warn('the schedule left a run out because this one waits', { waitsFor: this.#waitsFor?.human });
    if (patched('skipped-is-told'))
      void this.notify({
        kind: 'skipped',
        text: `a scheduled run was left out, ${this.gate.skipped} so far: this one waits for a human`,
      });
    this.#tell();
  }

  /** Capture goes on; what was begun is given up, locks and source transactions included, and is done again later. */
  pause(): void {
    this.paused = true;
    this.#interrupt();
    this.#tell();
  }
  #interrupt(): void {
    for (const scope of this.#interruptible) {
      this.#interrupted.add(scope);
      scope.cancel();
    }
  }
  resume(): void {
    this.paused = false;
    this.#tell();
  }

  /** Whether a pause was asked for and something still works: it gives up what can be given up, and finishes the rest. */
  #isPausing(): boolean {
    return this.paused && (this.#standing === 0 || this.#interruptible.size > 0);
  }

  /** Waits while paused; after the swap there is only the way forward. @throws {Aborted} somebody aborted the run */
  async steer(): Promise<void> {
    if (this.swapped) return;
    if (this.paused) this.gate.hasWaited = true;
    while (this.paused && this.abortReason === undefined) {
      this.#standing += 1;
      this.#tellStory(); // no upsert of search attributes: that would be a command, and histories have none here
      await condition(() => !this.paused || this.abortReason !== undefined || this.historyIsLong());
      this.#standing -= 1;
      if (this.paused) await this.checkpoint();
    }
    if (this.abortReason !== undefined) throw new Aborted(this.abortReason);
  }

  /** Runs work that a pause may interrupt. The ledger knows what was finished, so that nothing is done twice. */
  async interruptible<T>(work: () => Promise<T>): Promise<T> {
    for (;;) {
      await this.steer();
      if (this.#isFull()) {
        log.warn(
          'signals with edits have filled the history: the run goes on as a new execution, and does its step again',
        );
        this.gate.hasWaited = true; // it is not the run's own work that takes so long
        await condition(() => this.#interruptible.size === 0);
        await this.#goOn();
      }
      const scope = new CancellationScope();
      this.#interruptible.add(scope);
      try {
        return await scope.run(work);
      } catch (error) {
        if (!this.#interrupted.has(scope) || !(isCancellation(error) || isNotTriedAgain(error))) throw error;
      } finally {
        this.#interruptible.delete(scope);
      }
    }
  }

  /** Says what the run waits for, or that it goes on. */
  waitsFor(what: { human: string; expiresAt: string } | undefined): void {
    this.#waitsFor = what;
    this.#tell();
    if (what) void this.notify({ kind: 'waiting', text: `waits for a human: ${what.human}` });
  }
  /** Says what holds the run up, though nobody must decide anything; undefined: nothing any more. */
  delayedBy(what: string | undefined): void {
    if (this.#delayedBy === what) return;
    this.#delayedBy = what;
    this.#tell();
  }
  /** Whether something has come up for which a wait must be interrupted. */
  isDisturbed(): boolean {
    return this.paused || this.abortReason !== undefined || this.historyIsLong();
  }

  /** Whether edits should go another way: the sender writes them directly, or repeats them at the next execution. */
  takesNoEdits(): boolean {
    return this.ending || workflowInfo().historyLength > HISTORY_EVENTS_FULL;
  }

  /** Tells the pipeline's webhook, where that wants to know, and does not know yet. */
  async notify(notice: Notice): Promise<void> {
    const told = `${notice.kind} ${notice.text}`;
    // without a run nobody knows what the webhook wants: the activity does
    const wanted = this.#run === undefined || this.#run.webhook?.on.includes(notice.kind);
    if (!wanted || this.#told.includes(told)) return;
    this.#told.push(told);
    await tell(this.input.pipeline, notice);
  }

  historyIsLong(): boolean {
    const { historyLength, continueAsNewSuggested } = workflowInfo();
    return continueAsNewSuggested || historyLength > HISTORY_EVENTS_MAX;
  }

  /** Goes on as a new execution if the history is long. Only where no activity of the run is under way. */
  async checkpoint(): Promise<void> {
    if (this.historyIsLong()) await this.#goOn();
  }

  /**
   * Waits until no edit waits and no handler runs: only then may an execution end, and with nothing in between. Where signals come
   * faster than their edits are written it goes on as a new one that has only these to write.
   *
   * @param report how the run has ended
   */
  async settled(report: Report): Promise<void> {
    const goesOn = () => this.historyIsLong() && patched(HANDED_OVER);
    while (!(await this.handed.settled(goesOn))) await this.#goOn(report);
  }

  /**
   * A signal with edits has come. It cannot be refused, and Temporal terminates a history that is too long, with whatever it has
   * taken: a step that lasts for hours is interrupted as by a pause, and is done again by the next execution.
   */
  signalled(): void {
    this.#signals += 1;
    if (this.#isFull()) this.#interrupt();
  }
  #isFull(): boolean {
    const isFull = workflowInfo().historyLength > HISTORY_EVENTS_FULL || this.#signals > SIGNALS_FULL;
    return isFull && !this.swapped && patched(HANDED_OVER);
  }

  async #goOn(ended?: Report): Promise<void> {
    let edits: ClientEdit[] = [];
    if (patched(HANDED_OVER)) edits = await this.handed.handOver();
    else await this.handed.settled(() => false); // older histories replay only so
    this.#phases.readClock();
    const continued: Continued = {
      ...(edits.length > 0 ? { edits } : {}),
      ...(ended ? { ended } : {}),
      run: this.#run,
      ...this.#phases.continued,
      tables: this.tables.all(),
      figures: this.figures,
      paused: this.paused,
      gate: this.gate,
      told: this.#told,
      startedAt: this.#startedAt,
    };
    await continueAsNew({ ...this.input, continued });
  }

  progress(): Progress {
    return {
      phase: this.#ended?.outcome ?? this.#phases.current ?? 'waiting',
      tables: this.tables.progress(),
      // who has approved a paused run is not asked again until it is resumed
      ...(this.#waitsFor === undefined || this.gate.asked.length === 0 || this.isOver !== undefined
        ? {}
        : {
            waitingFor: this.#waitsFor.human,
            reasons: this.gate.asked,
            expiresAt: this.#waitsFor.expiresAt,
            report: this.report(workflowInfo().firstExecutionRunId, 'waiting'),
          }),
      ...(this.#delayedBy === undefined ? {} : { delayedBy: this.#delayedBy }),
      ...(this.gate.skipped === 0 ? {} : { scheduledRunsSkipped: this.gate.skipped }),
      paused: this.paused && this.isOver === undefined,
      ...(this.#isPausing() && this.isOver === undefined ? { pausing: true } : {}),
      ...(this.abortReason !== undefined && !this.swapped && !this.#ended ? { aborting: true } : {}),
      generation: this.#run?.generation ?? 0,
      cost: this.figures.cost,
    };
  }

  report(runId: string, outcome: Report['outcome'], problem?: { type: string; message: string }): Report {
    const { moment, momentBecause, captured, replayedBefore, replayedUnderLock, handedIn, refused, cutOver } =
      this.figures;
    return {
      pipeline: this.input.pipeline,
      runId,
      outcome,
      moment,
      ...(moment === '' || this.gate.readAtMs === 0
        ? {}
        : { momentAt: new Date(this.gate.readAtMs).toISOString() }),
      ...(momentBecause === undefined ? {} : { momentBecause }),
      ms: Date.now() - this.#startedAt,
      tables: this.tables.reports(),
      edits: { captured, replayedBefore, replayedUnderLock, handedIn, ...(refused ? { refused } : {}) },
      cutOver,
      phases: this.#phases.reports,
      ...(this.gate.approved.length > 0 ? { approved: this.gate.approved.map(({ text }) => text) } : {}),
      ...(this.figures.rollback ? { rollback: this.figures.rollback } : {}),
      ...(this.cleanup ? { cleanup: this.cleanup } : {}),
      ...(this.repair ? { repair: this.repair } : {}),
      cost: this.figures.cost,
      ...(problem ? { problem: problem.message, problemType: problem.type } : {}),
    };
  }

  #tellStory(): Progress {
    const progress = this.progress();
    setCurrentDetails(storyOf(progress, this.#ended ?? this.report('', 'waiting')));
    return progress;
  }

  /** The story of the run, where the Temporal UI shows it, and the phase by which it is found there. */
  #tell(): void {
    const progress = this.#tellStory();
    if (this.#ended) return;
    if (progress.aborting && patched(END_IS_FOUND)) this.#find('aborting');
    else this.#find(this.#waitsFor ? 'waiting' : this.paused ? 'paused' : progress.phase);
  }

  #find(phase: string): void {
    if (!this.#run?.searchAttributes || phase === this.#found) return;
    this.#found = phase;
    upsertSearchAttributes([
      { key: PIPELINE, value: this.input.pipeline },
      { key: PHASE, value: phase },
    ]);
  }
}
