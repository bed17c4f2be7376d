import { StageswapError } from '../model/failures.js';
import { control, generationOfMarker } from '../model/names.js';
import { asPublished, type RunSpec } from '../model/spec.js';
import { sql } from '../sql/text.js';
import type { Session } from './connection.js';
import { specOf } from './run-row.js';

/** Which generation's base is valid: the marker's name says it. 0: never published. */
export async function publishedGeneration(session: Session, pipeline: string): Promise<number> {
  const rows = await session.rows<{ name: string }>(
    sql`SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name LIKE ${`\\_ss\\_at\\_%\\_${pipeline}`}`,
  );
  const generations = rows
    .map((row) => generationOfMarker(pipeline, row.name))
    .filter((generation) => generation !== undefined);
  if (generations.length > 1)
    throw new StageswapError(
      'Refused',
      `more than one marker of ${pipeline}: ${generations.join(', ')}. Run stageswap repair.`,
    );
  return generations[0] ?? 0;
}

/**
 * What live was last published from, as the run that did it was specified, and as the next run sees it; null: never published.
 *
 * @throws {StageswapError} Refused: the marker names a run of which MySQL has no record
 */
export async function publishedSpec(session: Session, pipeline: string): Promise<RunSpec | null> {
  const generation = await publishedGeneration(session, pipeline);
  if (generation === 0) return null;
  const published = await specOf(session, pipeline, { generation });
  if (!published)
    throw new StageswapError(
      'Refused',
      `run ${generation} of ${pipeline} published live, but ${control.run} has no row of it: what its base means is not known. Restore the row from a backup of MySQL.`,
    );
  return { ...published, tables: published.tables.map(asPublished) };
}
