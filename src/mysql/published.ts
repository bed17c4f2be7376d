import { StageswapError } from '../model/failures.js';
import { control, generationOfMarker } from '../model/names.js';
import type { RunSpec } from '../model/spec.js';
import { id, sql } from '../sql/text.js';
import type { Session } from './connection.js';

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

/** What live was last published from, as the run that did it was specified; undefined: never published. */
export async function publishedSpec(session: Session, pipeline: string): Promise<RunSpec | undefined> {
  const generation = await publishedGeneration(session, pipeline);
  if (generation === 0) return undefined;
  const rows = await session.rows<{ spec: string | RunSpec }>(
    sql`SELECT spec FROM ${id(control.run)} WHERE pipeline = ${pipeline} AND generation = ${generation}`,
  );
  const spec = rows[0]?.spec;
  return typeof spec === 'string' ? (JSON.parse(spec) as RunSpec) : spec;
}
