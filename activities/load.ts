import { Context } from '@temporalio/activity';
import { type Cost, noCost } from '../src/model/cost.js';
import { physicalTable } from '../src/model/names.js';
import type { Pace } from '../src/model/pace.js';
import type { RunSpec, TableSpec } from '../src/model/spec.js';
import type { Session } from '../src/mysql/connection.js';
import { KeysCollide, loadRows, RowRefused, RowStream, type Sent } from '../src/mysql/load.js';
import { id, sql } from '../src/sql/text.js';
import { type Aside, BadRows, type RowSink } from '../src/sql-server/read.js';
import { Quarantine, refuseBroken, setRowsAside, tooMany, withKeys } from './bad-rows.js';
import { holdFence, stopIfCancelled } from './context.js';
import { chunkStored } from './observe.js';
import { PacedSink, waitForTarget } from './stand-back.js';

/** Rows of the source on their way into base_next, in one transaction with what the ledger says of them: exactly once. */
export interface Load {
  /**
   * What comes first in the transaction.
   *
   * @returns the number of the chunk that the rows come as; undefined: there is nothing to load, or another attempt has
   */
  begin(): Promise<number | undefined>;
  /** Reads the rows; may be asked more than once. */
  read(sink: RowSink, signal: AbortSignal, aside?: Aside): Promise<unknown>;
  /** What comes last in the transaction. */
  done(sent: Sent): Promise<void>;
}

/** Without one moment, what MySQL refused may be another row by the time it is looked for: then it is loaded once more, so often. */
const NOT_FOUND_AGAIN_MAX = 5;

/**
 * Loads rows. Bad ones stop it, or are set aside: then it is loaded again without them.
 *
 * @returns what it cost both sides
 */
export async function load(
  session: Session,
  spec: RunSpec,
  table: TableSpec,
  what: Load,
  pace: Pace | undefined,
): Promise<Cost> {
  const aside = spec.badRows === 'quarantine' ? new Quarantine(table, spec.badRowsMax) : undefined;
  const into = physicalTable(spec.generation, 'baseNext', table.live);
  const { cancellationSignal: signal } = Context.current();
  for (let notFoundAgain = 0; ; ) {
    stopIfCancelled();
    const rows = new RowStream();
    const cost = noCost();
    try {
      cost.target.waitedMs += await waitForTarget(session, spec);
      const sink = new PacedSink(rows, pace);
      const on = { rows, sink, aside, cost };
      const chunk = await session.transaction(() => loadOnce(session, spec, table, what, on));
      cost.source.rows += rows.sent.rows;
      cost.source.waitedMs += sink.waitedMs;
      cost.target.bytes += rows.sent.bytes;
      const { pipeline, generation } = spec;
      if (chunk !== undefined) chunkStored({ pipeline, generation, table: table.live, chunk }, rows.sent);
      return cost;
    } catch (error) {
      const read = (again: RowSink) => what.read(again, signal, aside);
      const named = await withKeys(session, { table, into, rows, read }, error);
      if (aside?.takes(named)) continue;
      const isNotFound = named === error && (error instanceof RowRefused || error instanceof KeysCollide);
      if (!isNotFound || spec.moment !== 'fuzzy' || notFoundAgain >= NOT_FOUND_AGAIN_MAX) throw named;
      notFoundAgain += 1;
    }
  }
}

/** One attempt: its rows on their way, those that are set aside, and what it costs. */
interface LoadAttempt {
  rows: RowStream;
  sink: PacedSink;
  aside: Quarantine | undefined;
  cost: Cost;
}

async function loadOnce(
  session: Session,
  spec: RunSpec,
  table: TableSpec,
  what: Load,
  { rows, sink, aside, cost }: LoadAttempt,
): Promise<number | undefined> {
  const signal = Context.current().cancellationSignal;
  const into = physicalTable(spec.generation, 'baseNext', table.live);
  await holdFence(session, spec);
  const chunk = await what.begin();
  if (chunk === undefined) return undefined;
  const loadFailed = new AbortController();
  const startedAt = performance.now();
  const loading = loadRows(session, table, into, { column: '_ss_chunk', value: chunk }, rows).catch(
    (error: Error) => {
      rows.fail(error);
      loadFailed.abort(error);
      throw error;
    },
  );
  loading.catch(() => {}); // where reading failed first, nobody waits for it
  try {
    await what.read(sink, AbortSignal.any([signal, loadFailed.signal]), aside);
    cost.source.readMs += performance.now() - startedAt;
  } catch (error) {
    if (error instanceof BadRows) {
      // The part that was stored goes with the transaction; the session stays, for another try without these rows.
      rows.end();
      await loading;
      throw error;
    }
    rows.fail(error as Error);
    if (!loadFailed.signal.aborted) session.destroy(); // MySQL must not take the part for the whole
    throw error;
  }
  rows.end();
  await loading;
  await refuseBroken(session, spec, table, chunk);
  cost.target.loadMs += performance.now() - startedAt;
  if (aside) await setRowsAside(session, spec, table, aside.rows);
  await refuseTooMany(session, spec, table);
  await what.done(rows.sent);
  return chunk;
}

/** The limit is one of the table in this run, over all its chunks. */
async function refuseTooMany(session: Session, spec: RunSpec, table: TableSpec): Promise<void> {
  if ((await badRowsOf(session, spec, table)) > spec.badRowsMax) throw tooMany(table, spec.badRowsMax);
}

/** How many rows of the table are set aside. */
export async function badRowsOf(session: Session, spec: RunSpec, table: TableSpec): Promise<number> {
  if (spec.badRows === 'stop') return 0;
  const found = await session.rows<{ n: string }>(
    sql`SELECT COUNT(*) AS n FROM ${id(physicalTable(spec.generation, 'heldBack', table.live))} WHERE _ss_reason = 'bad'`,
  );
  return Number(found[0]?.n ?? 0);
}
