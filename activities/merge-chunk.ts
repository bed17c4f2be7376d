import { control } from '../src/model/names.js';
import { hasChecks, type RunSpec, type TableSpec } from '../src/model/spec.js';
import type { Session } from '../src/mysql/connection.js';
import { errorNumber } from '../src/mysql/errors.js';
import { joinsByHash } from '../src/mysql/hash-join.js';
import { endOfRange } from '../src/mysql/key-ranges.js';
import { averageRowBytes } from '../src/mysql/statistics.js';
import { emptyMergedOf, findBroken, holdBroken } from '../src/sql/checks.js';
import { inRange, type KeyText } from '../src/sql/columns.js';
import {
  amongWork,
  countIncoming,
  findDifferences,
  findGone,
  HASH_BYTES_MAX,
  type KeyJoin,
  mayHash,
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
import { as, incomingOf } from '../src/sql/shape.js';
import { copyRange } from '../src/sql/stage.js';
import { type Fragment, id, sql } from '../src/sql/text.js';
import { holdFence, onlyOneAtATime } from './context.js';
import { isMergePlanned, type MergeChunk, ofMerge, takeMergeChunk, writeMergePlan } from './merge-ledger.js';

/** Reconcile, chunk by chunk: ranges of the target's key order are merged into stage, several at a time. */

const CHECK_VIOLATED = 3819;
/** Below it a hash is not worth the question. */
const HASH_ROWS_MIN = 1_000;

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

/** Divides a table into ranges along the target's key order, once a run; the first and the last are open. */
export async function planMerge(session: Session, spec: RunSpec, table: TableSpec): Promise<void> {
  if (await isMergePlanned(session, spec, table.live)) return;
  await session.transaction(async () => {
    await holdFence(session, spec);
    await onlyOneAtATime(session, spec);
    if (await isMergePlanned(session, spec, table.live)) return; // by an activity beside this one
    const chunks: MergeChunk[] = [];
    let from: KeyText = null;
    do {
      const to: KeyText = await endOfRange(session, table, incomingOf(spec, table), from, spec.chunkRows);
      chunks.push({ seq: chunks.length, from, to });
      from = to;
    } while (from);
    await writeMergePlan(session, spec, table.live, chunks);
  });
}

/**
 * Merges one chunk, with its ledger row in one transaction. Stage refuses a row that breaks a CHECK constraint: then the chunk is
 * merged again without such rows.
 */
export async function mergeChunk(
  session: Session,
  spec: RunSpec,
  table: TableSpec,
  chunk: MergeChunk,
): Promise<void> {
  const merge = (rows: 'all' | 'unbroken') => mergeChunkOnce(session, spec, table, chunk, rows);
  await merge('all').catch((error: unknown) => {
    if (errorNumber(error) !== CHECK_VIOLATED || !hasChecks(table)) throw error;
    return merge('unbroken');
  });
}

async function mergeChunkOnce(
  session: Session,
  spec: RunSpec,
  table: TableSpec,
  chunk: MergeChunk,
  rows: 'all' | 'unbroken',
): Promise<void> {
  await session.transaction(async () => {
    await holdFence(session, spec);
    if (!(await takeMergeChunk(session, spec, table.live, chunk))) return;
    const range: Range = { kind: 'range', from: chunk.from, to: chunk.to };
    const { incoming, ...counts } =
      rows === 'unbroken' || (await liveHasRows(session, table, range))
        ? await mergeDifferences(session, spec, table, range, rows)
        : await mergeIntoEmpty(session, spec, table, range);
    await session.run(
      sql`UPDATE ${id(control.chunk)} SET done = 1, row_count = ${incoming}, counts = ${JSON.stringify(counts)} WHERE ${ofMerge(spec, table.live, chunk)}`,
    );
  });
}

async function liveHasRows(session: Session, table: TableSpec, { from, to }: Range): Promise<boolean> {
  const rows = await session.rows(
    sql`SELECT 1 AS found FROM ${id(table.live)} AS ${as(table, 'l')} WHERE ${inRange(table, 'l', from, to)} LIMIT 1`,
  );
  return rows.length > 0;
}

/** The usual chunk: of most rows both sides say the same, so only the others are compared unit by unit. */
async function mergeDifferences(
  session: Session,
  spec: RunSpec,
  table: TableSpec,
  range: Range,
  rows: 'all' | 'unbroken',
): Promise<ChunkCounts> {
  const hash = await worthHashing(session, table, range);
  const differing = await runByHash(session, hash.rows, (by) => findDifferences(spec, table, range, by));
  const gone = mayHaveGone(spec, table)
    ? await runByHash(session, hash.keys, (by) => findGone(spec, table, range, by))
    : 0;
  const counted = await session.rows<{ incoming: string }>(countIncoming(spec, table, range));
  const counts: ChunkCounts = {
    incoming: Number(counted[0]?.incoming),
    inserted: 0,
    updated: 0,
    keptLive: 0,
    decidedByFirstRun: 0,
    deleted: 0,
  };
  if (differing + gone === 0) {
    await session.run(copyRange(spec, table, 'stage', range));
    return counts;
  }
  const keys = { kind: 'keys', within: range } as const;
  const count = countMerge(spec, table, keys);
  const incoming = (await session.rows<Record<string, string>>(count.incoming))[0] ?? {};
  const liveOnly =
    gone > 0
      ? ((await session.rows<Record<string, string>>(count.liveOnly))[0] ?? {})
      : { deleted: '0', conflicts: '0' };
  if (rows === 'unbroken') await holdBrokenRows(session, spec, table, range);
  await runByHash(session, hash.keys, (by) => mergeLive(spec, table, range, by));
  if (Number(incoming.incoming) > Number(incoming.in_both))
    await session.run(mergeInto(spec, table, keys, 'stage').incomingOnly);
  if (Number(incoming.conflicts) + Number(liveOnly.conflicts) > 0)
    await recordConflictsOf(session, spec, table, range);
  return {
    ...counts,
    inserted: Number(incoming.inserted),
    updated: Number(incoming.updated),
    keptLive: Number(incoming.kept_live),
    decidedByFirstRun: Number(incoming.by_first_run),
    deleted: Number(liveOnly.deleted),
  };
}

/**
 * Which joins of a range a hash is worth: of keys alone, and of rows, of which live's go into it. Chunks are planned along the incoming
 * side, so that live may have any number of rows in one.
 */
async function worthHashing(
  session: Session,
  table: TableSpec,
  { from, to }: Range,
): Promise<{ keys: boolean; rows: boolean }> {
  const neither = { keys: false, rows: false };
  if (!mayHash(table)) return neither;
  const [counted] = await session.rows<{ n: string }>(
    sql`SELECT COUNT(*) AS n FROM ${id(table.live)} AS ${as(table, 'l')} WHERE ${inRange(table, 'l', from, to)}`,
  );
  const liveRows = Number(counted?.n);
  if (liveRows < HASH_ROWS_MIN) return neither;
  return {
    keys: true,
    rows: liveRows * (await averageRowBytes(session, table.live)) <= HASH_BYTES_MAX,
  };
}

/**
 * Runs a statement that joins by hash, where the server says that it would: it is asked for each range, since the answer depends on
 * its version, its settings and its statistics, and a join that finds its rows in neither a hash nor an index would take for ever.
 */
async function runByHash(
  session: Session,
  may: boolean,
  statement: (by: KeyJoin) => Fragment,
): Promise<number> {
  const hashed = may ? statement('hash') : undefined;
  return session.run(hashed && (await joinsByHash(session, hashed)) ? hashed : statement('index'));
}

/** Takes rows that break a CHECK constraint out of those that differ, before the range is merged. They count as if they were merged, until the run ends. */
async function holdBrokenRows(
  session: Session,
  spec: RunSpec,
  table: TableSpec,
  range: Range,
): Promise<void> {
  const merge = mergeInto(spec, table, { kind: 'keys', within: range }, 'merged');
  await session.run(merge.both);
  await session.run(merge.incomingOnly);
  if ((await session.run(findBroken(spec, table, range))) > 0)
    for (const statement of holdBroken(spec, table, range)) await session.run(statement);
  await session.run(emptyMergedOf(spec, table, range));
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
    await session.run(findDifferences(spec, table, range, 'index'));
    await recordConflictsOf(session, spec, table, range);
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

/** Records the conflicts among the keys of a range; their own keys are collected first, since they are few. */
async function recordConflictsOf(
  session: Session,
  spec: RunSpec,
  table: TableSpec,
  range: Range,
): Promise<void> {
  const keys = { kind: 'keys', within: range } as const;
  for (const statement of collectConflictKeys(spec, table, keys)) await session.run(statement);
  const among = amongWork(spec, table);
  const held = recordHeldBack(spec, table, { ...keys, among });
  if (held) await session.run(held);
  for (const statement of recordConflicts(spec, table, { ...keys, among })) await session.run(statement);
}
