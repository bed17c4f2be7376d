import { type Cost, noCost } from '../src/model/cost.js';
import { control, physicalTable } from '../src/model/names.js';
import { type RunSpec, type TableSpec, tableOf } from '../src/model/spec.js';
import type { HeldBackCounts } from '../src/model/table-counts.js';
import type { Session } from '../src/mysql/connection.js';
import { jsonOf } from '../src/mysql/json.js';
import { analyze } from '../src/mysql/statistics.js';
import { orphans } from '../src/sql/orphans.js';
import { anySettled, countStaged } from '../src/sql/settle.js';
import { id, sql } from '../src/sql/text.js';
import {
  againAfterRace,
  type Dependencies,
  onRun,
  type RunRef,
  stopIfCancelled,
  WORK_MS_MAX,
} from './context.js';
import { heldBackCounts, settleGroup } from './group.js';
import { mergeChunk, planMerge } from './merge-chunk.js';
import { mergeChunks } from './merge-ledger.js';
import { proveTable } from './proof.js';
import { replaySettlements } from './replay.js';
import { waitForTarget } from './stand-back.js';

/** Rows that the merge has inserted, updated, deleted, or of which it has kept a field as live had it. */
export interface RowCounts {
  inserted: number;
  updated: number;
  deleted: number;
  keptLive: number;
}
export interface MergeCounts extends RowCounts {
  /** values in which the sides differ and the base says nothing, so that firstRun decided */
  decidedByFirstRun: number;
  rows: number;
  chunksDone: number;
}

/** Reconcile, verify and replay: everything that computes stage. */
export function mergeActivities(dependencies: Dependencies) {
  /**
   * Merges the chunks of one slot that are not yet done, along the target's own key order, for at most some seconds. Ranges are
   * disjoint, so that slots work side by side and no two merges of one key overlap.
   */
  const reconcile = onRun(
    dependencies,
    'reconcile',
    async (
      session,
      spec,
      live: string,
      slot?: number,
      slots?: number,
    ): Promise<MergeCounts & { finished: boolean; cost?: Cost }> => {
      const table = tableOf(spec, live);
      await planMerge(session, spec, table);
      const until = Date.now() + WORK_MS_MAX;
      let finished = true;
      const cost = noCost();
      for (const chunk of await mergeChunks(session, spec, live, 'pending')) {
        if (chunk.seq % (slots ?? 1) !== (slot ?? 0)) continue;
        stopIfCancelled();
        finished = Date.now() < until;
        if (!finished) break;
        cost.target.waitedMs += await waitForTarget(session, spec);
        const startedAt = performance.now();
        await againAfterRace(() => mergeChunk(session, spec, table, chunk));
        cost.target.mergeMs += performance.now() - startedAt;
      }
      return { ...(await mergeCounts(session, spec, live)), finished, cost };
    },
    { shared: true },
  );

  /**
   * Completes stage when every table is merged: the rules across the group, indexes and foreign keys, settlements.
   *
   * @returns the merge's counts by table, where settlements have changed them
   */
  const settle = onRun(dependencies, null, async (session, spec): Promise<Record<string, RowCounts>> => {
    await settleGroup(session, spec);
    await replaySettlements(session, spec);
    const counts: Record<string, RowCounts> = {};
    if ((await session.rows(anySettled(spec))).length === 0) return counts;
    for (const table of spec.tables) counts[table.live] = await countsWithSettled(session, spec, table);
    return counts;
  });

  /** By live table: what the rules across the group have taken out of the merge's counts; asked before the swap. */
  const countHeldBack = onRun(
    dependencies,
    null,
    async (session, spec): Promise<Record<string, HeldBackCounts>> => {
      const counts: Record<string, HeldBackCounts> = {};
      for (const table of spec.tables) counts[table.live] = await heldBackCounts(session, spec, table);
      return counts;
    },
  );

  /** Proof: per chunk, rows and checksum that were sent are what MySQL stored. Then statistics, which plans would miss after the swap. */
  const verify = onRun(
    dependencies,
    'verify',
    async (
      session,
      spec,
    ): Promise<Record<string, { rowsStaged: number; chunks: number; chunksVerified: number }>> => {
      const verified: Record<string, { rowsStaged: number; chunks: number; chunksVerified: number }> = {};
      for (const table of spec.tables) {
        const proof =
          spec.kind === 'publish'
            ? await proveTable(dependencies, session, spec, table)
            : { chunks: 0, chunksVerified: 0 };
        const staged = await session.rows<{ n: string }>(
          sql`SELECT COUNT(*) AS n FROM ${id(physicalTable(spec.generation, 'stage', table.live))}`,
        );
        verified[table.live] = { ...proof, rowsStaged: Number(staged[0]?.n ?? 0) };
        await analyze(session, table.live, physicalTable(spec.generation, 'stage', table.live));
      }
      return verified;
    },
  );

  /**
   * Looks for rows of stage without their parent. While clients write this may see a child whose parent waits in the log,
   * so it only tells; the caller replays and looks again before it refuses.
   */
  const findOrphans = onRun(dependencies, null, async (session, spec): Promise<string | null> => {
    for (const table of spec.tables) {
      for (const { parent, statement } of orphans(spec, table, 5)) {
        const rows = await session.rows(statement);
        if (rows.length === 0) continue;
        const count = rows.length === 5 ? 'at least 5' : rows.length;
        const cure =
          spec.moment === 'fuzzy'
            ? 'The source was not read as of one moment: run again, or, if it comes back, correct the source'
            : 'Correct the source';
        return `${count} rows of ${table.live} would have no parent in ${parent}, such as ${JSON.stringify(rows[0])}. Live is untouched. ${cure}, or keep the parent.`;
      }
    }
    return null;
  });

  return { reconcile, settle, countHeldBack, verify, findOrphans };
}

/** Counted of stage, without what the rules across the group took out: that is taken out of the counts when the run ends. */
async function countsWithSettled(session: Session, spec: RunSpec, table: TableSpec): Promise<RowCounts> {
  const row = (await session.rows<Record<string, string>>(countStaged(spec, table)))[0] ?? {};
  const held = await heldBackCounts(session, spec, table);
  return {
    inserted: Number(row.inserted) + held.notInserted,
    updated: Number(row.updated) + held.notUpdated,
    deleted: Number(row.deleted) + held.parentsKept,
    keptLive: Number(row.kept_live) - held.fallenBack + held.keptAlready,
  };
}

export async function mergeCounts(session: Session, ref: RunRef, live: string): Promise<MergeCounts> {
  const rows = await session.rows<{ row_count: string; counts: string | Record<string, number> | null }>(
    sql`SELECT row_count, counts FROM ${id(control.chunk)} WHERE pipeline = ${ref.pipeline} AND generation = ${ref.generation} AND live = ${live} AND step = 'merge' AND done = 1`,
  );
  const total: MergeCounts = {
    inserted: 0,
    updated: 0,
    deleted: 0,
    keptLive: 0,
    decidedByFirstRun: 0,
    rows: 0,
    chunksDone: rows.length,
  };
  for (const row of rows) {
    const counts = jsonOf<Record<string, number> | null>(row.counts) ?? {};
    total.inserted += counts.inserted ?? 0;
    total.updated += counts.updated ?? 0;
    total.deleted += counts.deleted ?? 0;
    total.keptLive += counts.keptLive ?? 0;
    total.decidedByFirstRun += counts.decidedByFirstRun ?? 0;
    total.rows += Number(row.row_count);
  }
  return total;
}
