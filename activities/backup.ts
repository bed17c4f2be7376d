import { StageswapError } from '../src/model/failures.js';
import { control, physicalTable } from '../src/model/names.js';
import { type RunSpec, type TableSpec, tableOf } from '../src/model/spec.js';
import type { Session } from '../src/mysql/connection.js';
import { uniqueIndexesOf } from '../src/mysql/fingerprint.js';
import { jsonOf } from '../src/mysql/json.js';
import { endOfRange } from '../src/mysql/key-ranges.js';
import { tableExists } from '../src/mysql/tables.js';
import type { KeyText } from '../src/sql/columns.js';
import { copyRange, createCopy } from '../src/sql/stage.js';
import { id, join, raw, sql } from '../src/sql/text.js';
import {
  type Dependencies,
  holdFence,
  isSwapped,
  onRun,
  type RunRef,
  stopIfCancelled,
  WORK_MS_MAX,
} from './context.js';
import { markerOf } from './drain-and-swap.js';

/** Backup: what must be there before the swap, so that there is a way back. */
export function backupActivities(dependencies: Dependencies) {
  /** Backup: the RENAME makes it, for nothing. Here: its names are free, so that the RENAME cannot fail on them. */
  const backup = onRun(dependencies, 'backup', async (session, spec): Promise<{ backups: string[] }> => {
    const backups = spec.tables.map((table) => physicalTable(spec.generation, 'backup', table.live));
    if (await isSwapped(session, spec)) return { backups };
    for (const name of [...backups, markerOf(spec).to]) {
      if (await tableExists(session, name))
        throw new StageswapError(
          'Refused',
          `a table ${name} is in the way of the swap. Run stageswap repair.`,
        );
    }
    return { backups };
  });

  /**
   * Copies live where the configuration wants that, for some seconds: chunk after chunk, each in a transaction with its ledger
   * row. Clients write meanwhile, so it is no exact image of one moment: that is the backup which the swap makes.
   */
  const copyLive = onRun(
    dependencies,
    null,
    async (session, spec, live: string): Promise<{ finished: boolean; chunksDone: number }> => {
      const table = tableOf(spec, live);
      if (await isSwapped(session, spec)) return { finished: true, chunksDone: 0 };
      await createLooseCopy(session, spec, table);
      const until = Date.now() + WORK_MS_MAX;
      for (;;) {
        stopIfCancelled();
        const { finished, seq } = await session.transaction(() => copyNextChunk(session, spec, table));
        if (finished || Date.now() > until) return { finished, chunksDone: seq };
      }
    },
  );
  return { backup, copyLive };
}

/**
 * The copy's secondary indexes are not unique: a value that a client moves from row to row meanwhile may be read in both. An index
 * stays in the place of each, since an AUTO_INCREMENT column needs one.
 */
async function createLooseCopy(session: Session, spec: RunSpec, table: TableSpec): Promise<void> {
  await session.run(createCopy(spec, table));
  const copy = physicalTable(spec.generation, 'copy', table.live);
  const changes = (await uniqueIndexesOf(session, copy)).map(
    ({ name, definition }) => sql`DROP INDEX ${id(name)}, ADD ${raw(definition.replace('UNIQUE ', ''))}`,
  );
  if (changes.length > 0) await session.run(sql`ALTER TABLE ${id(copy)} ${join(changes)}`);
}

/** Where the next chunk begins, as the ledger's last row says. */
async function whereToGoOn(
  session: Session,
  ref: RunRef,
  live: string,
): Promise<{ seq: number; from: KeyText } | 'finished'> {
  // FOR UPDATE: a second attempt of this activity waits here until the first has committed its chunk, or died.
  const rows = await session.rows<{ seq: number; range_to: string | string[] | null }>(
    sql`SELECT seq, range_to FROM ${id(control.chunk)} WHERE pipeline = ${ref.pipeline} AND generation = ${ref.generation} AND live = ${live} AND step = 'copy' ORDER BY seq DESC LIMIT 1 FOR UPDATE`,
  );
  const last = rows[0];
  if (!last) return { seq: 0, from: null };
  if (last.range_to === null) return 'finished';
  return {
    seq: Number(last.seq) + 1,
    from: jsonOf<string[]>(last.range_to),
  };
}

async function copyNextChunk(
  session: Session,
  spec: RunSpec,
  table: TableSpec,
): Promise<{ finished: boolean; seq: number }> {
  await holdFence(session, spec);
  const next = await whereToGoOn(session, spec, table.live);
  if (next === 'finished') return { finished: true, seq: 0 };
  const to = await endOfRange(session, table, table.live, next.from, spec.chunkRows);
  const rows = await session.run(copyRange(spec, table, 'copy', { from: next.from, to }));
  await session.run(
    sql`INSERT INTO ${id(control.chunk)} (pipeline, generation, live, step, seq, range_from, range_to, done, row_count) VALUES (${spec.pipeline}, ${spec.generation}, ${table.live}, 'copy', ${next.seq}, ${next.from && JSON.stringify(next.from)}, ${to && JSON.stringify(to)}, 1, ${rows})`,
  );
  return { finished: to === null, seq: next.seq + 1 };
}
