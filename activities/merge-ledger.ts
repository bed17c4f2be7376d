import { control } from '../src/model/names.js';
import type { RunSpec } from '../src/model/spec.js';
import type { Session } from '../src/mysql/connection.js';
import type { KeyText } from '../src/sql/columns.js';
import { type Fragment, id, join, sql } from '../src/sql/text.js';
import { chunkOf } from './chunks.js';

/** The ledger of reconcile: ranges of the target's key order, and which of them are merged. Written in the transaction of the merge. */

/** A half-open range of keys; null is open. */
export interface MergeChunk {
  seq: number;
  from: KeyText;
  to: KeyText;
}

const ofTable = (spec: RunSpec, live: string) =>
  sql`pipeline = ${spec.pipeline} AND generation = ${spec.generation} AND live = ${live} AND step = 'merge'`;

/** WHERE of one chunk's ledger row. */
export function ofMerge(spec: RunSpec, live: string, chunk: MergeChunk): Fragment {
  return sql`${ofTable(spec, live)} AND seq = ${chunk.seq}`;
}

/** Writes a plan down, inside of one transaction: it is whole or not there. */
export async function writeMergePlan(
  session: Session,
  spec: RunSpec,
  live: string,
  chunks: MergeChunk[],
): Promise<void> {
  const text = (key: KeyText) => key && JSON.stringify(key);
  for (let at = 0; at < chunks.length; at += WRITTEN_TOGETHER) {
    const rows = chunks
      .slice(at, at + WRITTEN_TOGETHER)
      .map(
        ({ seq, from, to }) =>
          sql`(${spec.pipeline}, ${spec.generation}, ${live}, 'merge', ${seq}, ${text(from)}, ${text(to)})`,
      );
    await session.run(
      sql`INSERT INTO ${id(control.chunk)} (pipeline, generation, live, step, seq, range_from, range_to) VALUES ${join(rows)}`,
    );
  }
}
const WRITTEN_TOGETHER = 100;

/** All chunks that are planned, or those that are not merged yet. */
export async function mergeChunks(
  session: Session,
  spec: RunSpec,
  live: string,
  which: 'all' | 'pending',
): Promise<MergeChunk[]> {
  const pending = which === 'pending' ? sql` AND done = 0` : sql``;
  const rows = await session.rows<{ seq: number; range_from: unknown; range_to: unknown }>(
    sql`SELECT seq, range_from, range_to FROM ${id(control.chunk)} WHERE ${ofTable(spec, live)}${pending} ORDER BY seq`,
  );
  return rows.map(chunkOf).map(({ seq, range_from, range_to }) => ({ seq, from: range_from, to: range_to }));
}

export async function isMergePlanned(session: Session, spec: RunSpec, live: string): Promise<boolean> {
  const rows = await session.rows(
    sql`SELECT 1 AS found FROM ${id(control.chunk)} WHERE ${ofTable(spec, live)} LIMIT 1`,
  );
  return rows.length > 0;
}

/**
 * Takes a chunk for the transaction that merges it: a second attempt of the activity waits here until the first has
 * committed, or died.
 *
 * @returns false if it is merged already
 */
export async function takeMergeChunk(
  session: Session,
  spec: RunSpec,
  live: string,
  chunk: MergeChunk,
): Promise<boolean> {
  const rows = await session.rows<{ done: number }>(
    sql`SELECT done FROM ${id(control.chunk)} WHERE ${ofMerge(spec, live, chunk)} FOR UPDATE`,
  );
  return Number(rows[0]?.done) !== 1;
}
