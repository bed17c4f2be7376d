import { StageswapError } from '../src/model/failures.js';
import { control, physicalTable } from '../src/model/names.js';
import type { RunSpec, TableSpec } from '../src/model/spec.js';
import type { Session } from '../src/mysql/connection.js';
import { madeBefore } from '../src/mysql/load.js';
import { LOADED } from '../src/sql/ask-again.js';
import { proofOfBaseNext, rowsStoredOtherwise, rowTooLong } from '../src/sql/proof.js';
import { id, sql } from '../src/sql/text.js';
import { type Dependencies, onTarget } from './context.js';
import { type MergeChunk, mergeChunks } from './merge-ledger.js';

/** The proof of what ingest loaded: per chunk, what was sent is what MySQL stored. */

/** A chunk as it was sent, by the ledger, or as it is stored. */
interface Chunk {
  seq: string;
  row_count: string;
  checksum_sum: string | null;
}
interface Stored {
  rows: bigint;
  sum: bigint;
  /** rows whose checksum is not that of what is stored */
  otherwise: bigint;
}
const NOTHING: Stored = { rows: 0n, sum: 0n, otherwise: 0n };
const ROWS_SHOWN = 3;

/**
 * What MySQL stored, by the chunk that it was sent with. Parts of the table are read side by side: their ranges cover it, and the sums
 * of a chunk do not depend on the order of its rows.
 */
async function storedChunks(
  dependencies: Dependencies,
  spec: RunSpec,
  table: TableSpec,
  ranges: MergeChunk[],
): Promise<Map<number, Stored>> {
  const count = Math.max(1, Math.min(spec.parallel, ranges.length));
  const beginOf = (part: number) => ranges[Math.floor((part * ranges.length) / count)]?.from ?? null;
  const parts = Array.from({ length: count }, (_, part) => ({ from: beginOf(part), to: beginOf(part + 1) }));
  const proofs = await Promise.all(
    parts.map((part) =>
      onTarget(dependencies, spec.pipeline, (session) =>
        session.rows<Chunk & { otherwise: string }>(proofOfBaseNext(spec, table, part)),
      ),
    ),
  );
  const stored = new Map<number, Stored>();
  for (const { seq, row_count, checksum_sum, otherwise } of proofs.flat()) {
    const before = stored.get(Number(seq)) ?? NOTHING;
    stored.set(Number(seq), {
      rows: before.rows + BigInt(row_count),
      sum: before.sum + BigInt(checksum_sum ?? 0),
      otherwise: before.otherwise + BigInt(otherwise),
    });
  }
  return stored;
}

/** @throws {StageswapError} ProofFailed: names the chunk, and rows of it where they were stored otherwise */
export async function proveTable(
  dependencies: Dependencies,
  session: Session,
  spec: RunSpec,
  table: TableSpec,
): Promise<{ chunks: number; chunksVerified: number }> {
  const sent = await session.rows<Chunk & { done: number }>(
    sql`SELECT seq, done, row_count, checksum_sum FROM ${id(control.chunk)} WHERE pipeline = ${spec.pipeline} AND generation = ${spec.generation} AND live = ${table.live} AND ${LOADED}`,
  );
  if (sent.length === 0) throw failed(`${table.live}: no chunk was read, so nothing is proved`);
  const ranges = await mergeChunks(session, spec, table.live, 'all');
  const stored = await storedChunks(dependencies, spec, table, ranges).catch((error: unknown) => {
    throw madeBefore(table, error) ?? error;
  });
  const known = new Set(sent.map(({ seq }) => Number(seq)));
  const unknown = [...stored.keys()].find((seq) => !known.has(seq));
  if (unknown !== undefined)
    throw failed(
      `${table.live}: MySQL has ${stored.get(unknown)?.rows} rows of chunk ${unknown}, which was not read. Live is untouched. ${lookInto(spec, table)}.`,
    );
  for (const chunk of sent) {
    const found = stored.get(Number(chunk.seq)) ?? NOTHING;
    if (found.otherwise > 0n) throw await storedOtherwise(session, spec, table, chunk, found);
    if (
      Number(chunk.done) !== 1 ||
      BigInt(chunk.row_count) !== found.rows ||
      BigInt(chunk.checksum_sum ?? 0) !== found.sum
    )
      throw failed(
        `${table.live}, chunk ${chunk.seq}: sent ${chunk.row_count} rows (sum ${chunk.checksum_sum}), MySQL stored ${found.rows} (sum ${found.sum}). Rows were lost, or are not those that were sent; live is untouched.`,
      );
  }
  return { chunks: sent.length, chunksVerified: sent.length };
}

/** Why rows of a chunk have another checksum than they came with. */
async function storedOtherwise(
  session: Session,
  spec: RunSpec,
  table: TableSpec,
  chunk: Chunk,
  { rows, sum, otherwise }: Stored,
): Promise<StageswapError> {
  const where = `${table.live}, chunk ${chunk.seq}`;
  if (otherwise === rows && sum === 0n)
    return failed(
      `${where}: its rows came without checksums, as an older version of stageswap sends them. Live is untouched. Stop the workers of the older version, and run again.`,
    );
  const [tooLong] = await session.rows(rowTooLong(spec, table, Number(chunk.seq)));
  if (tooLong) {
    const { _ss_limit: limit, ...key } = tooLong;
    return failed(
      `${where}: the values of ${JSON.stringify(key)}, or one of them, are longer than a text of MySQL may be (max_allowed_packet, ${limit} bytes; each byte of binary data counts twice), so that it cannot be proved what was stored. Live is untouched. Raise max_allowed_packet at the server, and run again.`,
    );
  }
  const shown = await session.rows(rowsStoredOtherwise(spec, table, Number(chunk.seq), ROWS_SHOWN));
  return failed(
    `${where}: MySQL stored ${otherwise} of ${chunk.row_count} rows otherwise than they were sent, such as ${shown.map((key) => JSON.stringify(key)).join(', ')}. Live is untouched. ${lookInto(spec, table)}; if it comes back, report it with the types of its columns.`,
  );
}

const failed = (message: string) => new StageswapError('ProofFailed', message);
const lookInto = (spec: RunSpec, table: TableSpec) =>
  `Look what has written into ${physicalTable(spec.generation, 'baseNext', table.live)}, and run again`;
