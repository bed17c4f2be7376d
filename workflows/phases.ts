import type { PhaseReport } from '../src/model/report.js';

/** The phases of a run: which are done, which one works, and the time of each. */
export class Phases {
  #done: string[];
  readonly #reports: PhaseReport[];
  #clock: { report: PhaseReport; before: number; startedAt: number } | undefined;

  /** @param continued those of the execution before */
  constructor(continued: { done: string[]; phases: PhaseReport[] } = { done: [], phases: [] }) {
    this.#done = continued.done;
    this.#reports = continued.phases;
  }

  isDone(name: string): boolean {
    return this.#done.includes(name);
  }

  /** Its time begins, or goes on where the phase has been gone through before. */
  begin(name: string): void {
    let report = this.#reports.find((phase) => phase.name === name);
    if (!report) {
      report = { name, startedAt: new Date().toISOString(), ms: 0 };
      this.#reports.push(report);
    }
    this.#clock = { report, before: report.ms, startedAt: Date.now() };
  }

  done(name: string): void {
    this.#done.push(name);
  }

  /** No phase works any more. */
  end(): void {
    this.readClock();
    this.#clock = undefined;
  }

  /** Lets phases be gone through once more. */
  again(names: string[]): void {
    this.#done = this.#done.filter((name) => !names.includes(name));
  }

  /** Brings the working phase's time up to date, also where the execution is about to go on as a new one. */
  readClock(): void {
    if (this.#clock) this.#clock.report.ms = this.#clock.before + Date.now() - this.#clock.startedAt;
  }

  /** The phase that works, else the one that was begun last; absent before the first. */
  get current(): string | undefined {
    return this.#clock?.report.name ?? this.#reports.at(-1)?.name;
  }

  get reports(): PhaseReport[] {
    return this.#reports;
  }

  /** For the next execution. */
  get continued(): { done: string[]; phases: PhaseReport[] } {
    return { done: this.#done, phases: this.#reports };
  }
}
