import { setTimeout as sleep } from 'node:timers/promises';
import { Context } from '@temporalio/activity';
import { type Cost, noCost, sumOfCosts } from '../src/model/cost.js';
import { StageswapError } from '../src/model/failures.js';
import { control, physicalTable } from '../src/model/names.js';
import { type RunSpec, type TableSpec, tableOf } from '../src/model/spec.js';
import type { Session } from '../src/mysql/connection.js';
import { LOADED } from '../src/sql/ask-again.js';
import { id, sql } from '../src/sql/text.js';
import { quoted, type SourcePool } from '../src/sql-server/connection.js';
import { quotedTable } from '../src/sql-server/keys.js';
import { beginSnapshotTransaction } from '../src/sql-server/moment.js';
import { countRows, type Reader, readRange } from '../src/sql-server/read.js';
import { refuseKeysOfAside } from './bad-rows.js';
import { type ChunkRow, openChunks, type Planned, planChunks } from './chunks.js';
import { type Dependencies, holdFence, onRun, onSource, tellDoing, WORK_MS_MAX } from './context.js';
import { badRowsOf, type Load, load } from './load.js';
import { snapshotOf } from './moment.js';
import { paceOf } from './stand-back.js';

/** A slot that waits for its next chunk to be planned looks again after so long, and each time after twice as long, up to LOOK_AGAIN_MS_MAX. */
const LOOK_AGAIN_MS = 100;
const LOOK_AGAIN_MS_MAX = 2_000;

export interface IngestProgress {
  rows: number;
  chunksDone: number;
  chunks: number;
  /** what this activity cost both sides */
  cost?: Cost;
}

/** Ingest: the source's rows, as of one moment, in chunks along the key, into baseNext; each chunk exactly once. */
export function ingestActivities(dependencies: Dependencies) {
  /**
   * Divides a table into chunks by walking along its key in the snapshot; first and last are open.
   *
   * @param part first: only as many as can be loaded at a time, so that loading begins before all are planned; next: for at most
   * some seconds; absent, as older workflows call it: all
   */
  const planIngest = onRun(
    dependencies,
    null,
    async (session, spec, live: string, part?: 'first' | 'next'): Promise<Planned> => {
      const plan = (pool: SourcePool) => {
        const endsAt = Date.now() + WORK_MS_MAX;
        const until = (planned: number) =>
          part === 'first' ? planned >= spec.parallel : part === 'next' && Date.now() > endsAt;
        return planChunks(session, spec, tableOf(spec, live), pool, until);
      };
      return session.keptAlive(() =>
        onSource(dependencies, spec.pipeline, plan, readFrom(dependencies, spec)),
      );
    },
  );

  /**
   * Loads the chunks of one slot that are not yet done, for at most some seconds, so that pause and abort are quick. Chunks may
   * still be planned meanwhile.
   */
  const ingestChunks = onRun(
    dependencies,
    null,
    async (
      session,
      spec,
      live: string,
      slot: number,
      slots: number,
    ): Promise<IngestProgress & { finished: boolean }> => {
      const table = tableOf(spec, live);
      let finished = false;
      let cost = noCost();
      const pace = paceOf(spec, slots);
      const readAll = () =>
        onSource(
          dependencies,
          spec.pipeline,
          async (pool) => {
            const endsAt = Date.now() + WORK_MS_MAX; // from here on, so that a source that is slow to connect to is still read
            for await (const chunk of chunksOf(session, spec, table, (seq) => seq % slots === slot)) {
              if (Date.now() > endsAt) return;
              if (chunk)
                cost = sumOfCosts(
                  cost,
                  await load(session, spec, table, chunkAsLoad(session, pool, spec, table, chunk), pace),
                );
            }
            finished = true;
            const { rows, chunksDone, chunks } = await ingestProgress(session, spec, live);
            // without one moment the count proves nothing, and rows that were set aside are asked for again
            if (chunksDone === chunks && spec.moment !== 'fuzzy') {
              await refuseKeysOfAside(session, spec, table);
              await proveWhole(pool, table, rows + (await badRowsOf(session, spec, table)));
            }
          },
          readFrom(dependencies, spec),
        );
      await session.keptAlive(readAll);
      return { ...(await ingestProgress(session, spec, live)), finished, cost };
    },
    { localInfile: true, shared: true },
  );

  /** Reads the whole group in one SNAPSHOT transaction on one connection. A retry starts the ingest again. */
  const ingestTransaction = onRun(
    dependencies,
    null,
    async (session, spec): Promise<Record<string, IngestProgress>> => {
      const first = spec.tables[0];
      if (!first) throw new Error('a run without tables');
      for (const table of spec.tables) await startAgain(session, spec, table);
      const progress: Record<string, IngestProgress> = {};
      const readAll = () =>
        onSource(
          dependencies,
          spec.pipeline,
          async (pool) => {
            const key = quoted(first.columns[0]?.source.name ?? '');
            const transaction = await beginSnapshotTransaction(
              pool,
              `SELECT TOP (1) ${key} FROM ${quotedTable(first)}`,
            );
            const pace = paceOf(spec, 1);
            try {
              for (const table of spec.tables) {
                let cost = noCost();
                await planChunks(session, spec, table, transaction);
                const { open: chunks } = await openChunks(session, spec, table.live);
                for (const [chunksDone, chunk] of chunks.entries()) {
                  const rowsDone = cost.source.rows;
                  const counts = { rowsDone, chunksDone, chunks: chunks.length };
                  tellDoing({ table: table.live, phase: 'ingest', ...counts });
                  cost = sumOfCosts(
                    cost,
                    await load(
                      session,
                      spec,
                      table,
                      chunkAsLoad(session, transaction, spec, table, chunk),
                      pace,
                    ),
                  );
                }
                const done = await ingestProgress(session, spec, table.live);
                await refuseKeysOfAside(session, spec, table);
                await proveWhole(transaction, table, done.rows + (await badRowsOf(session, spec, table)));
                progress[table.live] = { ...done, cost };
              }
            } finally {
              await transaction.rollback().catch(() => {});
            }
          },
          { connectionsMax: 1 },
        );
      await session.keptAlive(readAll);
      return progress;
    },
    { localInfile: true },
  );

  // A worker of a version whose ingestChunks takes what is planned for all does not know the second name, and leaves it to others.
  return { planIngest, ingestChunks, ingestWhilePlanned: ingestChunks, ingestTransaction };
}

/** Where chunks are read: in the run's database snapshot; where no moment is wanted, in the database itself. */
const readFrom = (dependencies: Dependencies, spec: RunSpec) =>
  spec.moment === 'fuzzy' ? {} : { database: snapshotOf(dependencies, spec) };

/**
 * The chunks that are planned and not loaded, until there will be no more of them; undefined where the next is still
 * waited for.
 */
async function* chunksOf(
  session: Session,
  spec: RunSpec,
  table: TableSpec,
  isOurs: (seq: number) => boolean,
): AsyncGenerator<ChunkRow | undefined> {
  let waitMs = LOOK_AGAIN_MS;
  for (;;) {
    const { open, planned } = await openChunks(session, spec, table.live);
    const ours = open.filter(({ seq }) => isOurs(seq));
    yield* ours;
    if (planned) return;
    if (ours.length > 0) {
      waitMs = LOOK_AGAIN_MS;
      continue;
    }
    yield undefined;
    await sleep(waitMs, undefined, { signal: Context.current().cancellationSignal });
    waitMs = Math.min(2 * waitMs, LOOK_AGAIN_MS_MAX);
  }
}

/** A chunk as what is loaded in one transaction. */
function chunkAsLoad(
  session: Session,
  reader: Reader,
  spec: RunSpec,
  table: TableSpec,
  { seq, range_from: from, range_to: to }: ChunkRow,
): Load {
  const of = sql`pipeline = ${spec.pipeline} AND generation = ${spec.generation} AND live = ${table.live} AND step = 'ingest' AND seq = ${seq}`;
  return {
    async begin() {
      const ledger = await session.rows<{ done: number }>(
        sql`SELECT done FROM ${id(control.chunk)} WHERE ${of} FOR UPDATE`,
      );
      return Number(ledger[0]?.done) === 1 ? undefined : seq; // another attempt of this activity may have been first
    },
    read: (sink, signal, aside) => readRange(reader, table, from, to, sink, signal, aside),
    async done(sent) {
      await session.run(
        sql`UPDATE ${id(control.chunk)} SET done = 1, row_count = ${sent.rows}, checksum_sum = ${sent.checksumSum.toString()} WHERE ${of}`,
      );
    },
  };
}

/**
 * The ranges cover everything: the rows of all chunks are the rows that the source counts, as of the same moment. An engine
 * that orders keys in one way and compares them in another would else lose rows between two ranges, and they would count
 * as gone.
 */
async function proveWhole(reader: Reader, table: TableSpec, rows: number): Promise<void> {
  const counted = await countRows(reader, table, Context.current().cancellationSignal);
  if (counted === rows) return;
  throw new StageswapError(
    'ProofFailed',
    `${table.source.schema}.${table.source.table}: its chunks have ${rows} rows, the source counts ${counted}. Live is untouched. Choose a key of which no column is NULL or floating, or raise chunkRows above the row count.`,
  );
}

/** What base_next has of a table, and how many of its chunks are done. */
export async function ingestProgress(session: Session, spec: RunSpec, live: string): Promise<IngestProgress> {
  const rows = await session.rows<{ row_count: string | null; done: string | null; chunks: string }>(
    sql`SELECT SUM(row_count) AS row_count, SUM(done AND step = 'ingest') AS done, COALESCE(SUM(step = 'ingest'), 0) AS chunks FROM ${id(control.chunk)} WHERE pipeline = ${spec.pipeline} AND generation = ${spec.generation} AND live = ${live} AND ${LOADED}`,
  );
  return {
    rows: Number(rows[0]?.row_count ?? 0),
    chunksDone: Number(rows[0]?.done ?? 0),
    chunks: Number(rows[0]?.chunks ?? 0),
  };
}

async function startAgain(session: Session, spec: RunSpec, table: TableSpec): Promise<void> {
  await session.transaction(async () => {
    await holdFence(session, spec);
    await session.run(
      sql`DELETE FROM ${id(control.chunk)} WHERE pipeline = ${spec.pipeline} AND generation = ${spec.generation} AND live = ${table.live} AND step = 'ingest'`,
    );
    for (const kind of ['baseNext', 'heldBack'] as const)
      await session.run(sql`DELETE FROM ${id(physicalTable(spec.generation, kind, table.live))}`);
  });
}
