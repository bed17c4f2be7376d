import { isCancellation, log, patched } from '@temporalio/workflow';
import type { IngestProgress } from '../activities/ingest.js';
import { problemOf } from './failure.js';
import type { Undo } from './governed.js';
import type { RunState } from './run-state.js';
import { inSlots, newestOf } from './slots.js';
import { step } from './steps.js';

/** A source that is away or hangs must not keep a run from its end, nor an aborted one from taking capture off live: the next run drops the snapshot. */
const CLOSE_MOMENT_ATTEMPTS_MAX = 3;

/** Every row of the group, as of one moment of the source, which is given up once they are here. Where there is none, what looks new or gone is asked for again. */
export async function ingest(state: RunState, undo: Undo): Promise<void> {
  undo('moment', () => giveUpMoment(state));
  const { run } = state;
  state.gate.readAtMs ||= Date.now(); // of the first execution, where it takes several: the snapshot is that one's
  const { moment, because } = await step('open one moment of the source').openMoment(run);
  state.figures.moment = moment;
  state.figures.momentBecause = because;
  if (moment === 'transaction') await ingestTransaction(state);
  else for (const table of run.tables) await ingestTable(state, table);
  if (moment === 'fuzzy') await askAgain(state);
  await tryToGiveUpMoment(state);
}

const giveUpMoment = (state: RunState) =>
  step('give up the moment of the source', {
    retry: { maximumAttempts: CLOSE_MOMENT_ATTEMPTS_MAX },
  }).closeMoment(state.run);

/** Every row is here: a source that is away by now, or a snapshot that a frozen worker reads, does not keep them from being published. */
export async function tryToGiveUpMoment(state: RunState): Promise<void> {
  try {
    await giveUpMoment(state);
    state.figures.momentLeft = false;
  } catch (error) {
    if (isCancellation(error)) throw error;
    state.figures.momentLeft = true;
    log.warn(
      'the moment of the source could not be given up; it is tried again when the run ends, and by the next run',
      { ...problemOf(error) },
    );
  }
}

async function ingestTransaction(state: RunState): Promise<void> {
  const read = () => {
    state.gate.readAtMs = Date.now(); // a transaction that a pause has ended begins at another moment
    return step('read the group in one transaction').ingestTransaction(state.run);
  };
  for (const [table, done] of Object.entries(await state.interruptible(read))) isRead(state, table, done);
}

/** A row that moved while the tables were read may look new or gone, and its parent may be missing. */
async function askAgain(state: RunState): Promise<void> {
  const { run } = state;
  for (const table of run.tables) {
    const ask = () => step(`${table}: ask again for rows that came or went`).askAgain(run, table);
    for (let finished = false; !finished; ) {
      const done = await state.interruptible(ask);
      isRead(state, table, done);
      finished = done.finished;
      if (!finished) await state.checkpoint();
    }
  }
  const ask = () => step('ask for the parents of orphans').askForParents(run);
  for (const [table, done] of Object.entries(await state.interruptible(ask))) isRead(state, table, done);
}

function isRead(state: RunState, table: string, { rows, chunksDone, chunks, cost }: IngestProgress): void {
  if (cost) state.addCost(cost);
  state.table(table, { phase: 'ingest', rowsDone: rows, chunksDone, chunks }, { rowsRead: rows });
}

/**
 * Reads a table by its chunks, dealt to as many activities at a time as `parallel` says, as soon as the first are planned; the
 * others are planned meanwhile. How many there are is said when all are.
 */
async function ingestTable(state: RunState, table: string): Promise<void> {
  const { run } = state;
  const plan = (part?: 'first' | 'next') =>
    state.interruptible(() => step(`divide ${table} into chunks`).planIngest(run, table, part));
  // a worker whose workflows take the first chunks for all leaves the rest of such a run to others
  const { chunks, more } = await plan(patched('planned-meanwhile') ? 'first' : undefined);
  state.table(table, { phase: 'ingest', chunks: more ? 0 : chunks });
  const planOthers = async () => {
    let planned = { chunks, more };
    while (planned.more && !state.historyIsLong()) planned = await plan('next');
    if (!planned.more) state.table(table, { chunks: planned.chunks });
  };
  const isNewest = newestOf();
  const ingestSlot = async (slot: number, slots: number) => {
    const load = step(`${table}: source → base`);
    const read = () =>
      more ? load.ingestWhilePlanned(run, table, slot, slots) : load.ingestChunks(run, table, slot, slots);
    const done = await state.interruptible(read);
    if (done.cost) state.addCost(done.cost);
    if (isNewest(done.chunksDone))
      state.table(table, { rowsDone: done.rows, chunksDone: done.chunksDone }, { rowsRead: done.rows });
    return done.finished;
  };
  await inSlots(state, chunks, ingestSlot, more ? planOthers : undefined);
}
