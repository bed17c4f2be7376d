import { Context } from '@temporalio/activity';
import { control } from '../src/model/names.js';
import type { RunSpec, TableSpec } from '../src/model/spec.js';
import type { Session } from '../src/mysql/connection.js';
import { jsonOf } from '../src/mysql/json.js';
import { id, join, sql } from '../src/sql/text.js';
import { type KeyText, nextLimit } from '../src/sql-server/keys.js';
import { type Reader, requestOn } from '../src/sql-server/read.js';
import { holdFence, onlyOneAtATime } from './context.js';

/** A chunk of the source in the ledger: a half-open key range, the first and the last one open. */
export interface ChunkRow {
  seq: number;
  range_from: KeyText;
  range_to: KeyText;
}

/** So many chunks are written together: a plan goes on where an attempt of it ended. */
const PLANNED_TOGETHER = 25;

export interface Planned {
  /** how many there are by now */
  chunks: number;
  /** the table has more, of which the ledger does not know yet */
  more: boolean;
}

/** Chunks that are planned and not loaded, and whether all are planned. */
export interface OpenChunks {
  open: ChunkRow[];
  planned: boolean;
}

/**
 * Divides a table into chunks by walking along its key. The ledger says how far an attempt before this one came; what it
 * wrote is of the same moment, or was taken away.
 *
 * @param until ends the planning where it says so of how many there are; else all are planned
 */
export async function planChunks(
  session: Session,
  spec: RunSpec,
  table: TableSpec,
  reader: Reader,
  until: (planned: number) => boolean = () => false,
): Promise<Planned> {
  const { cancellationSignal: signal } = Context.current();
  for (;;) {
    const last = await lastPlanned(session, spec, table);
    const planned = last ? last.seq + 1 : 0;
    if (last?.range_to === null) return { chunks: planned, more: false };
    if (until(planned)) return { chunks: planned, more: true };
    const chunks: ChunkRow[] = [];
    let from = last?.range_to ?? null;
    do {
      const to: KeyText = await nextLimit(requestOn(reader), table, from, spec.chunkRows, signal);
      chunks.push({ seq: planned + chunks.length, range_from: from, range_to: to });
      from = to;
    } while (from && chunks.length < PLANNED_TOGETHER && !until(planned + chunks.length));
    await session.transaction(() => writePlanned(session, spec, table, last, chunks));
  }
}

/** Writes chunks behind the last one that was planned, unless another attempt of this activity did. */
async function writePlanned(
  session: Session,
  spec: RunSpec,
  table: TableSpec,
  behind: ChunkRow | undefined,
  chunks: ChunkRow[],
): Promise<void> {
  await holdFence(session, spec);
  await onlyOneAtATime(session, spec);
  if ((await lastPlanned(session, spec, table))?.seq !== behind?.seq) return;
  const text = (key: KeyText) => key && JSON.stringify(key);
  const rows = chunks.map(
    ({ seq, range_from, range_to }) =>
      sql`(${spec.pipeline}, ${spec.generation}, ${table.live}, 'ingest', ${seq}, ${text(range_from)}, ${text(range_to)})`,
  );
  await session.run(
    sql`INSERT INTO ${id(control.chunk)} (pipeline, generation, live, step, seq, range_from, range_to) VALUES ${join(rows)}`,
  );
}

async function lastPlanned(session: Session, spec: RunSpec, table: TableSpec): Promise<ChunkRow | undefined> {
  const rows = await session.rows<{ seq: number; range_from: unknown; range_to: unknown }>(
    sql`SELECT seq, range_from, range_to FROM ${id(control.chunk)} WHERE pipeline = ${spec.pipeline} AND generation = ${spec.generation} AND live = ${table.live} AND step = 'ingest' ORDER BY seq DESC LIMIT 1`,
  );
  return rows.map(chunkOf)[0];
}

/** Asks the ledger, by one statement: a chunk that is planned meanwhile is in neither answer. */
export async function openChunks(session: Session, spec: RunSpec, live: string): Promise<OpenChunks> {
  const rows = await session.rows<{ seq: number; range_from: unknown; range_to: unknown; done: number }>(
    sql`SELECT seq, range_from, range_to, done FROM ${id(control.chunk)} WHERE pipeline = ${spec.pipeline} AND generation = ${spec.generation} AND live = ${live} AND step = 'ingest' AND (done = 0 OR range_to IS NULL) ORDER BY seq`,
  );
  return {
    open: rows.filter(({ done }) => Number(done) === 0).map(chunkOf),
    planned: rows.some(({ range_to }) => range_to === null),
  };
}
/** A row of the ledger, its limits parsed. */
export function chunkOf(row: { seq: number; range_from: unknown; range_to: unknown }): ChunkRow {
  return { seq: Number(row.seq), range_from: keyOf(row.range_from), range_to: keyOf(row.range_to) };
}
const keyOf = (value: unknown): KeyText => jsonOf<KeyText>((value ?? null) as string | KeyText);
