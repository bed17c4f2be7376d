import type { Connection, RowDataPacket } from 'mysql2/promise';
import { control } from '../../src/model/names.js';
import { WAIT_MS_MAX } from './patience.js';

/** The phases of a run, in their order, as the run's row in MySQL names them. */
const PHASES = [
  'preflight',
  'prepare',
  'ingest',
  'capture',
  'reconcile',
  'verify',
  'replay',
  'backup',
  'cutOver',
  'finalSync',
  'cleanup',
] as const;

/** The moments of a run at which something can be killed, in their order; two of them are inside the cut-over. */
export const MOMENTS = [...PHASES.slice(0, 9), 'locked', 'swapped', ...PHASES.slice(9)] as const;
export type Moment = (typeof PHASES)[number] | 'locked' | 'swapped';

/** A rollback reads no source. */
export const MOMENTS_OF_ROLLBACK = MOMENTS.filter((moment) => moment !== 'ingest');

/**
 * Waits for a moment of the pipeline's newest run, asking MySQL again and again without a pause. On a busy machine a
 * short one may be over before it is seen: then the wait ends as soon after it as can be.
 *
 * @param after generation of the run before
 * @throws {Error} the run ended, or it did not reach the moment in time
 */
export async function untilMoment(
  connection: Connection,
  pipeline: string,
  moment: Moment,
  after: number,
): Promise<void> {
  const end = Date.now() + WAIT_MS_MAX;
  const reached = moment === 'locked' ? isLocked : moment === 'swapped' ? isSwapped : inPhase(moment);
  for (;;) {
    const run = await newestRun(connection, pipeline);
    const generation = run?.generation ?? 0;
    if (generation > after) {
      if (run?.phase === 'ended') throw new Error(`the run ended before ${moment} was reached`);
      if (await reached(connection, pipeline, generation, run?.phase ?? '')) return;
    }
    if (Date.now() > end) throw new Error(`${moment} did not come in time: ${JSON.stringify(run)}`);
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

const place = (phase: string) => PHASES.indexOf(phase as (typeof PHASES)[number]);

function inPhase(moment: string): Reader {
  return async (_connection, _pipeline, _generation, phase) => place(phase) >= place(moment);
}

/** The cut-over holds the lock, or has swapped already. */
const isLocked: Reader = async (connection, pipeline, generation, phase) => {
  if (place(phase) < place('cutOver')) return false;
  const lock = `SELECT 1 FROM performance_schema.metadata_locks WHERE object_schema = DATABASE()
    AND object_name = 'customer' AND lock_type = 'SHARED_NO_READ_WRITE' AND lock_status = 'GRANTED'`;
  return (await found(connection, lock)) || isSwapped(connection, pipeline, generation, phase);
};

/** The RENAME was executed; the step that sent it may still be under way. */
const isSwapped: Reader = async (connection, _pipeline, generation, phase) => {
  if (place(phase) < place('cutOver')) return false;
  const stage = `SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = '_ss${generation}s_customer'`;
  return !(await found(connection, stage));
};

async function found(connection: Connection, text: string): Promise<boolean> {
  const [rows] = await connection.query<RowDataPacket[]>(text);
  return rows.length > 0;
}
