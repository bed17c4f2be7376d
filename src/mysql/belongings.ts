import { control } from '../model/names.js';
import { id, sql } from '../sql/text.js';
import type { Session } from './connection.js';

/** Whether the pipeline may take a table of this generation, made for this live table, for its own. */
export type Belongs = (made: { generation: number; live: string }) => boolean;

/**
 * What of the tables that runs have made belongs to a pipeline. Names say generation and live table, but every pipeline of the
 * schema counts its generations from 1: whose a table is, claims and run rows tell. Beside a live table that another pipeline
 * claims nothing is ours, whatever configuration or old runs say. What no run row knows is ours if nobody else claims it.
 */
export async function belongingsOf(session: Session, pipeline: string): Promise<Belongs> {
  const claims = await session.rows<{ live: string; pipeline: string }>(
    sql`SELECT live, pipeline FROM ${id(control.claim)}`,
  );
  const claimants = new Map(claims.map((claim) => [claim.live, claim.pipeline]));
  const runs = await session.rows<{ pipeline: string; generation: string; works: string; lives: string }>(
    sql`SELECT pipeline, generation, outcome IS NULL AS works, CAST(JSON_EXTRACT(spec, '$.tables[*].live') AS CHAR) AS lives FROM ${id(control.run)} WHERE JSON_LENGTH(spec, '$.tables') > 0`,
  );
  const ours = new Set<string>();
  const others = new Map<string, { work: boolean }>();
  for (const run of runs)
    for (const live of JSON.parse(run.lives) as string[]) {
      const key = keyOf({ generation: Number(run.generation), live });
      if (run.pipeline === pipeline) ours.add(key);
      else others.set(key, { work: Number(run.works) === 1 || others.get(key)?.work === true });
    }
  return (made) => {
    const claimant = claimants.get(made.live);
    if (claimant !== undefined && claimant !== pipeline) return false;
    const key = keyOf(made);
    const claimed = claimant === pipeline;
    if (claimed && ours.has(key)) return true;
    const other = others.get(key);
    if (other?.work) return false; // a plan claims nothing
    return claimed || ours.has(key) || other === undefined;
  };
}

const keyOf = ({ generation, live }: { generation: number; live: string }) => `${generation} ${live}`;
