import { StageswapError } from '../model/failures.js';
import { control } from '../model/names.js';
import { id, sql } from '../sql/text.js';
import type { Session } from './connection.js';

/** The generation that owns the pipeline's tables, whichever run that is; 0: none ever has. */
export async function ownerOf(session: Session, pipeline: string): Promise<number> {
  const rows = await session.rows<{ generation: number }>(
    sql`SELECT generation FROM ${id(control.pipeline)} WHERE pipeline = ${pipeline}`,
  );
  return Number(rows[0]?.generation ?? 0);
}

/** A run, or what is left of one, by the generation that it had. */
interface Generation {
  pipeline: string;
  generation: number;
}

/** What a run is told that does not own its pipeline any more. */
export const fenced = ({ pipeline, generation }: Generation): StageswapError =>
  new StageswapError(
    'Fenced',
    `a newer run of ${pipeline} owns its tables; run ${generation} changes nothing more`,
  );

/** Looks, without a lock on the pipeline's row. @throws {StageswapError} Fenced: a newer run owns the pipeline */
export async function refuseNewer(session: Session, run: Generation): Promise<void> {
  if ((await ownerOf(session, run.pipeline)) !== run.generation) throw fenced(run);
}
