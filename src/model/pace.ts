/** So often a second it is looked whether rows came too quickly. */
const LOOKS_A_SECOND = 20;
/** What was not used for longer is lost: a source that was slow is not made up for by a burst. */
const ARREARS_MS_MAX = 1_000;

/** Holds a stream of rows to a number a second. */
export class Pace {
  readonly #every: number;
  readonly #msARow: number;
  /** when the rows so far would have come at the pace */
  #due: number;
  #rows = 0;

  /** @param clock milliseconds of any clock that does not go back */
  constructor(
    rowsPerSecond: number,
    readonly clock: () => number = () => performance.now(),
  ) {
    this.#every = Math.max(1, Math.floor(rowsPerSecond / LOOKS_A_SECOND));
    this.#msARow = 1_000 / rowsPerSecond;
    this.#due = clock();
  }

  /** Takes one row. @returns milliseconds to wait before the next one */
  take(): number {
    this.#rows += 1;
    if (this.#rows % this.#every !== 0) return 0;
    const now = this.clock();
    this.#due = Math.max(this.#due, now - ARREARS_MS_MAX) + this.#every * this.#msARow;
    return Math.max(0, this.#due - now);
  }
}
