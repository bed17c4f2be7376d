import { setTimeout as sleep } from 'node:timers/promises';
import { Context } from '@temporalio/activity';
import { Pace } from '../src/model/pace.js';
import type { RunSpec } from '../src/model/spec.js';
import type { Session } from '../src/mysql/connection.js';
import { sql } from '../src/sql/text.js';
import type { RowSink } from '../src/sql-server/read.js';

/** Standing back for the live systems, as configured. */

const LOOK_AGAIN_MS = 250;

/**
 * Waits before a chunk is begun while more threads work at the target than the configuration allows.
 *
 * @returns milliseconds waited
 */
export async function waitForTarget(session: Session, spec: RunSpec): Promise<number> {
  const { threadsRunningMax } = spec;
  if (threadsRunningMax === undefined) return 0;
  const startedAt = performance.now();
  for (let looked = 0; ; looked += 1) {
    const rows = await session.rows<{ Value: string }>(sql`SHOW GLOBAL STATUS LIKE 'Threads_running'`);
    if (Number(rows[0]?.Value ?? 0) <= threadsRunningMax)
      return looked === 0 ? 0 : performance.now() - startedAt;
    await sleep(LOOK_AGAIN_MS, undefined, { signal: Context.current().cancellationSignal });
  }
}

/** A slot's share of the rows that all readers of a run may read in a second; undefined where there is no limit. */
export function paceOf(spec: RunSpec, slots: number): Pace | undefined {
  return spec.rowsPerSecondMax === undefined ? undefined : new Pace(spec.rowsPerSecondMax / slots);
}

/** A sink that also says "wait" where rows come more quickly than they may; the source is then not read from. */
export class PacedSink implements RowSink {
  waitedMs = 0;
  #full = false;
  #waitMs = 0;

  constructor(
    readonly inner: RowSink,
    readonly pace: Pace | undefined,
  ) {}

  write(fields: (string | null)[]): boolean {
    this.#full = !this.inner.write(fields);
    this.#waitMs = this.pace?.take() ?? 0;
    return !this.#full && this.#waitMs === 0;
  }

  async drained(): Promise<void> {
    if (this.#full) await this.inner.drained();
    if (this.#waitMs === 0) return;
    this.waitedMs += this.#waitMs;
    await sleep(this.#waitMs);
  }
}
