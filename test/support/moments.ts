import type { Connection, RowDataPacket } from 'mysql2/promise';
import { control } from '../../src/model/names.js';

/** The moments of a run at which something can be killed, as MySQL shows them. */
export const PUBLISH_MOMENTS = [
  'preflight',
  'prepare',
  'ingest',
  'capture',
  'reconcile',
  'verify',
  'replay',
  'backup',
  'cutOver',
  'locked',
  'swapped',
  'finalSync',
  'cleanup',
] as const;
export type PublishMoment = (typeof PUBLISH_MOMENTS)[number];
export type Moment = PublishMoment | 'half ingested' | 'triggers half made' | 'barrier half raised';

/** A rollback reads no source. */
export const ROLLBACK_MOMENTS: readonly Moment[] = PUBLISH_MOMENTS.filter((moment) => moment !== 'ingest');

/**
 * Waits for a moment of the pipeline's newest run, asking MySQL again and again without a pause.
 *
 * @param after generation of the run before
 * @throws {Error} the run ended, or a minute passed, without the moment having been seen
 */
export async function untilMoment(
  connection: Connection,
  pipeline: string,
  moment: Moment,
  after: number,
): Promise<void> {
  const end = Date.now() + 60_000;
  const reached = READERS[moment] ?? inPhase(moment);
  for (;;) {
    const run = await newestRun(connection, pipeline);
    const generation = run?.generation ?? 0;
    if (generation > after) {
      if (await reached(connection, pipeline, generation, run?.phase ?? '')) return;
      if (run?.phase === 'ended') throw new Error(`the run ended before ${moment} was seen`);
    }
    if (Date.now() > end) throw new Error(`${moment} did not come within a minute: ${JSON.stringify(run)}`);
  }
}

/** The newest run's generation, 0 before the first. */
export async function newestGeneration(connection: Connection, pipeline: string): Promise<number> {
  return (await newestRun(connection, pipeline))?.generation ?? 0;
}

const NO_SUCH_TABLE = 1146;

async function newestRun(
  connection: Connection,
  pipeline: string,
): Promise<{ generation: number; phase: string } | undefined> {
  try {
    const [rows] = await connection.query<RowDataPacket[]>(
      `SELECT generation, phase FROM ${control.run} WHERE pipeline = ? ORDER BY generation DESC LIMIT 1`,
      [pipeline],
    );
    return rows[0] as { generation: number; phase: string } | undefined;
  } catch (error) {
    if ((error as { errno?: number }).errno === NO_SUCH_TABLE) return undefined;
    throw error;
  }
}

type Reader = (
  connection: Connection,
  pipeline: string,
  generation: number,
  phase: string,
) => Promise<boolean>;

function inPhase(moment: string): Reader {
  return async (_connection, _pipeline, _generation, phase) => phase === moment;
}

const found = async (connection: Connection, text: string, values: unknown[]): Promise<boolean> => {
  const [rows] = await connection.query<RowDataPacket[]>(text, values);
  return rows.length > 0;
};

const READERS: Partial<Record<Moment, Reader>> = {
  /** the cut-over holds the lock */
  locked: async (connection, _pipeline, _generation, phase) =>
    phase === 'cutOver' &&
    found(
      connection,
      "SELECT 1 FROM performance_schema.metadata_locks WHERE object_schema = DATABASE() AND object_name = 'customer' AND lock_type = 'SHARED_NO_READ_WRITE' AND lock_status = 'GRANTED'",
      [],
    ),
  /** the RENAME was executed, and the step has perhaps not ended yet */
  swapped: async (connection, _pipeline, generation, phase) =>
    ['cutOver', 'finalSync', 'cleanup'].includes(phase) &&
    !(await found(
      connection,
      'SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?',
      [`_ss${generation}s_customer`],
    )),
  'half ingested': async (connection, pipeline, generation) =>
    found(
      connection,
      `SELECT 1 FROM ${control.chunk} WHERE pipeline = ? AND generation = ? AND step = 'ingest' AND live = 'invoice' AND done = 1`,
      [pipeline, generation],
    ),
  'barrier half raised': async (connection, _pipeline, generation) =>
    found(
      connection,
      "SELECT 1 FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = ? AND column_name = '_ss_barrier'",
      [`_ss${generation}s_invoice`],
    ),
  'triggers half made': async (connection, _pipeline, generation) =>
    found(
      connection,
      'SELECT 1 FROM information_schema.triggers WHERE trigger_schema = DATABASE() AND trigger_name = ?',
      [`_ss${generation}lu_customer`],
    ),
};
