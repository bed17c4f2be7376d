import { CancellationScope, condition, log } from '@temporalio/workflow';
import { type ClientEdit, EDITS_A_BATCH_MAX, type EditOutcome } from '../src/model/messages.js';
import { problemOf } from './failure.js';
import { BRIEF, step } from './steps.js';

// Edits are repeated until MySQL answers: an acknowledged edit is committed, an accepted signal is not given up.
const { applyEdits } = step('edits handed in through Temporal → live', {
  ...BRIEF,
  retry: { initialInterval: '200 milliseconds', maximumInterval: '5 seconds' },
});

/** So many characters of edits, as JSON, travel to the next execution at most: Temporal takes 2 MB, in UTF-8. */
const CARRIED_CHARACTERS_MAX = 400_000;

/**
 * Edits that come through Temporal, on their way to live. Those of signals wait here and are written in the order in which they
 * came, one batch at a time. An update's are written at once, beside them: its sender waits for the outcomes.
 */
export class EditBuffer {
  readonly #waiting: ClientEdit[] = [];
  #writing: Promise<void> | undefined;
  #isHandingOver = false;

  /**
   * @param onWritten is told what became of edits
   * @param carried   of signals to the execution before, which that has not written any more
   */
  constructor(
    readonly pipeline: string,
    readonly onWritten: (outcomes: EditOutcome[]) => void,
    carried: ClientEdit[] = [],
  ) {
    this.push(carried);
  }

  /** Whether no edit of a signal waits or is written. */
  isIdle(): boolean {
    return this.#writing === undefined && this.#waiting.length === 0;
  }

  /** Takes a signal's edits. Nobody hears what becomes of them: what cannot be written is logged. */
  push(edits: ClientEdit[]): void {
    this.#waiting.push(...edits);
    this.#start();
  }

  /**
   * Gives up what waits, for the next execution to write: signals may come faster than they are written, and then the buffer is
   * never empty. What is more than can travel is written first. The execution has to end without an await after this.
   */
  async handOver(andWhen: () => boolean): Promise<ClientEdit[]> {
    this.#isHandingOver = true;
    await condition(() => this.#writing === undefined && andWhen());
    return this.#waiting;
  }
  /** There is no next execution after all, such as where the run is aborted meanwhile: this one writes what waits. */
  keep(): void {
    this.#isHandingOver = false;
    this.#start();
  }

  /** Writes edits, also while the run is aborted. */
  write(edits: ClientEdit[]): Promise<EditOutcome[]> {
    return CancellationScope.nonCancellable(async (): Promise<EditOutcome[]> => {
      const outcomes = await applyEdits(this.pipeline, edits);
      this.onWritten(outcomes);
      return outcomes;
    });
  }

  #start(): void {
    if (this.#hasToWrite()) this.#writing ??= this.#drain();
  }

  async #drain(): Promise<void> {
    while (this.#hasToWrite()) await this.#writeAll(this.#waiting.splice(0, EDITS_A_BATCH_MAX));
    this.#writing = undefined;
  }

  #hasToWrite(): boolean {
    if (this.#waiting.length === 0) return false;
    return !this.#isHandingOver || JSON.stringify(this.#waiting).length > CARRIED_CHARACTERS_MAX;
  }

  /** Never rejects: an edit that cannot be written must neither take others with it nor keep the run from its end. */
  async #writeAll(edits: ClientEdit[]): Promise<void> {
    try {
      await this.write(edits);
    } catch (error) {
      if (edits.length > 1) for (const edit of edits) await this.#writeAll([edit]);
      else
        log.error('an edit from a signal was not written', { editId: edits[0]?.editId, ...problemOf(error) });
    }
  }
}
