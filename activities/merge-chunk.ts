import { control, physicalTable } from '../src/model/names.js';
import type { RunSpec, TableSpec } from '../src/model/spec.js';
import type { Session } from '../src/mysql/connection.js';
import { inRange, type KeyText, keyColumns, nextBoundary } from '../src/sql/columns.js';
import {
  countSides,
  findDifferences,
  findGone,
  mayHaveGone,
  mergeLive,
  type Range,
} from '../src/sql/differences.js';
import {
  collectConflictKeys,
  countMerge,
  mergeInto,
  recordConflicts,
  recordHeldBack,
} from '../src/sql/merge.js';
import { incomingOf } from '../src/sql/shape.js';
import { id, join, raw, sql } from '../src/sql/text.js';
import { holdFence, type RunRef } from './context.js';

/** One chunk of reconcile: a range of the target's key order is merged into stage. */

interface Boundary {
  seq: number;
  from: KeyText;
}

/** What the merge of a chunk does, in rows; `incoming` are those that the source, or the backup, has. */
interface ChunkCounts {
  incoming: number;
  inserted: number;
  updated: number;
  keptLive: number;
  /** values, not rows */
  decidedByFirstRun: number;
  deleted: number;
}

/**
 * Merges the chunk behind the last one that is done, with its ledger row in one transaction.
 *
 * @returns whether it was the last
 */
export async function mergeNextChunk(
  session: Session,
  ref: RunRef,
  spec: RunSpec,
  table: TableSpec,
): Promise<boolean> {
  return session.transaction(async () => {
    await holdFence(session, ref);
    const next = await whereToGoOn(session, ref, table.live, 'merge');
    if (next === 'finished') return true;
    const boundary = await session.rows<Record<string, string>>(
      nextBoundary(table, incomingOf(spec, table), next.from, spec.chunkRows),
    );
    const first = boundary[0];
    const to = first ? keyColumns(table).map((column) => String(first[column.name])) : null;
    const range: Range = { kind: 'range', from: next.from, to };
    const { incoming, ...counts } = (await liveHasRows(session, table, range))
      ? await mergeDifferences(session, spec, table, range)
      : await mergeIntoEmpty(session, spec, table, range);
    await session.run(
      sql`INSERT INTO ${id(control.chunk)} (pipeline, generation, live, step, seq, range_from, range_to, done, row_count, counts) VALUES (${ref.pipeline}, ${ref.generation}, ${table.live}, 'merge', ${next.seq}, ${next.from && JSON.stringify(next.from)}, ${to && JSON.stringify(to)}, 1, ${incoming}, ${JSON.stringify(counts)})`,
    );
    return to === null;
  });
}

/** Where the next chunk of a step begins, as the ledger's last row says. Part of the caller's transaction. */
export async function whereToGoOn(
  session: Session,
  ref: RunRef,
  live: string,
  step: 'merge' | 'copy',
): Promise<Boundary | 'finished'> {
  // FOR UPDATE: a second attempt of this activity waits here until the first has committed its chunk, or died.
  const rows = await session.rows<{ seq: number; range_to: string | string[] | null }>(
    sql`SELECT seq, range_to FROM ${id(control.chunk)} WHERE pipeline = ${ref.pipeline} AND generation = ${ref.generation} AND live = ${live} AND step = ${step} ORDER BY seq DESC LIMIT 1 FOR UPDATE`,
  );
  const last = rows[0];
  if (!last) return { seq: 0, from: null };
  if (last.range_to === null) return 'finished';
  return {
    seq: Number(last.seq) + 1,
    from: typeof last.range_to === 'string' ? (JSON.parse(last.range_to) as string[]) : last.range_to,
  };
}

async function liveHasRows(session: Session, table: TableSpec, { from, to }: Range): Promise<boolean> {
  const rows = await session.rows(
    sql`SELECT 1 AS found FROM ${id(table.live)} AS ${raw(`l${table.ordinal}`)} WHERE ${inRange(table, 'l', from, to)} LIMIT 1`,
  );
  return rows.length > 0;
}

/** The usual chunk: of most rows both sides say the same, so only the others are compared unit by unit. */
async function mergeDifferences(
  session: Session,
  spec: RunSpec,
  table: TableSpec,
  range: Range,
): Promise<ChunkCounts> {
  await empty(session, spec, table, 'replayKeys');
  const differing = await session.run(findDifferences(spec, table, range));
  const sides = (await session.rows<Record<string, string>>(countSides(spec, table, range)))[0] ?? {};
  const gone = mayHaveGone(spec, table, sides) ? await session.run(findGone(spec, table, range)) : 0;
  const counts: ChunkCounts = {
    incoming: Number(sides.incoming),
    inserted: 0,
    updated: 0,
    keptLive: 0,
    decidedByFirstRun: 0,
    deleted: 0,
  };
  if (differing + gone === 0) {
    await session.run(mergeLive(spec, table, range));
    return counts;
  }
  const keys = { kind: 'keys' } as const;
  const count = countMerge(spec, table, keys);
  const incoming = (await session.rows<Record<string, string>>(count.incoming))[0] ?? {};
  const liveOnly =
    gone > 0
      ? ((await session.rows<Record<string, string>>(count.liveOnly))[0] ?? {})
      : { deleted: '0', conflicts: '0' };
  await session.run(mergeLive(spec, table, range));
  if (Number(incoming.incoming) > Number(incoming.in_both))
    await session.run(mergeInto(spec, table, keys, 'stage').incomingOnly);
  if (Number(incoming.conflicts) + Number(liveOnly.conflicts) > 0)
    await recordConflictsOf(session, spec, table);
  return {
    ...counts,
    inserted: Number(incoming.inserted),
    updated: Number(incoming.updated),
    keptLive: Number(incoming.kept_live),
    decidedByFirstRun: Number(incoming.by_first_run),
    deleted: Number(liveOnly.deleted),
  };
}

/** A chunk of which live has nothing: every row is the incoming side's, or one that the application deleted. */
async function mergeIntoEmpty(
  session: Session,
  spec: RunSpec,
  table: TableSpec,
  range: Range,
): Promise<ChunkCounts> {
  const count = countMerge(spec, table, range);
  const incoming = (await session.rows<Record<string, string>>(count.incoming))[0] ?? {};
  const merge = mergeInto(spec, table, range, 'stage');
  // Rows that a client makes meanwhile are in the log, and are merged by the replay.
  if (Number(incoming.in_both) > 0) await session.run(merge.both);
  if (Number(incoming.incoming) > Number(incoming.in_both)) await session.run(merge.incomingOnly);
  if (Number(incoming.conflicts) > 0) {
    await empty(session, spec, table, 'replayKeys');
    await session.run(findDifferences(spec, table, range));
    await recordConflictsOf(session, spec, table);
  }
  return {
    incoming: Number(incoming.incoming),
    inserted: Number(incoming.inserted),
    updated: Number(incoming.updated),
    keptLive: Number(incoming.kept_live),
    decidedByFirstRun: Number(incoming.by_first_run),
    deleted: 0,
  };
}

/** Records the conflicts among the replay keys, which in the end are those of conflicts alone. */
async function recordConflictsOf(session: Session, spec: RunSpec, table: TableSpec): Promise<void> {
  const keys = { kind: 'keys' } as const;
  await empty(session, spec, table, 'work');
  for (const statement of collectConflictKeys(spec, table, keys)) await session.run(statement);
  await empty(session, spec, table, 'replayKeys');
  const names = join(table.key.map(id));
  const named = (kind: 'replayKeys' | 'work') => id(physicalTable(spec.generation, kind, table.live));
  await session.run(sql`INSERT INTO ${named('replayKeys')} (${names}) SELECT ${names} FROM ${named('work')}`);
  await empty(session, spec, table, 'work');
  const held = recordHeldBack(spec, table, keys);
  if (held) await session.run(held);
  for (const statement of recordConflicts(spec, table, keys)) await session.run(statement);
}

async function empty(
  session: Session,
  spec: RunSpec,
  table: TableSpec,
  kind: 'replayKeys' | 'work',
): Promise<void> {
  await session.run(sql`DELETE FROM ${id(physicalTable(spec.generation, kind, table.live))}`);
}
