import { retained } from '../src/model/lineage.js';
import { isMadeByRun, parsePhysicalName } from '../src/model/names.js';
import type { Session } from '../src/mysql/connection.js';
import { pastRunsOf } from '../src/mysql/past-runs.js';
import { publishedGeneration } from '../src/mysql/published.js';
import { dropTables, triggersOf } from '../src/mysql/tables.js';
import { id, sql } from '../src/sql/text.js';
import { carryBaseOf } from './carry-base.js';
import { type Dependencies, onRun } from './context.js';
import { giveUpClaims, hasLeft, livesOf } from './left-tables.js';
import { forgetOld } from './retention.js';
import { dropOwnTriggers } from './under-lock.js';

/** Cleanup: the end of what a published run has made, but for what base and rollback need. */
export function cleanupActivities(dependencies: Dependencies) {
  /**
   * Takes away what a published run needs no longer: its log and replay keys, the triggers that went with the backup, and
   * generations of which neither base nor a retained backup is needed. What the rollback needs stays.
   */
  const cleanup = onRun(dependencies, 'cleanup', async (session, spec): Promise<{ dropped: string[] }> => {
    if (spec.kind === 'publish') await carryBaseOf(session, spec, spec.generation);
    const at = await publishedGeneration(session, spec.pipeline);
    const lives = await livesOf(session, spec);
    const made = await tablesOfRuns(session, lives);
    const kept = retained(at, await pastRunsOf(session, spec.pipeline, at), spec.backups);
    // Triggers before the tables they write to: one whose table is gone fails every write.
    for (const { name, kind } of made) {
      if (kind !== 'o') continue;
      for (const trigger of await triggersOf(session, name)) {
        if (isMadeByRun(trigger)) await session.run(sql`DROP TRIGGER IF EXISTS ${id(trigger)}`);
      }
    }
    for (const live of lives)
      if (hasLeft(spec, live)) await dropOwnTriggers(dependencies, session, spec, live, isMadeByRun);
    const unneeded = made.filter(({ kind, generation, live }) => {
      const stays = kept.has(`${generation}${kind}`) && (!hasLeft(spec, live) || 'nh'.includes(kind));
      return generation <= spec.generation && !stays;
    });
    const dropped = unneeded.map(({ name }) => name);
    await dropTables(session, dropped);
    await giveUpClaims(session, spec);
    await forgetOld(session, spec, dependencies.config(spec.pipeline).retention);
    return { dropped };
  });
  return { cleanup };
}

interface MadeTable {
  name: string;
  generation: number;
  kind: string;
  live: string;
}

/** Tables that runs have made for live's tables, whatever became of the runs. */
async function tablesOfRuns(session: Session, lives: Set<string>): Promise<MadeTable[]> {
  const rows = await session.rows<{ name: string }>(
    sql`SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name LIKE ${'\\_ss%'}`,
  );
  return rows.flatMap(({ name }) => {
    const parsed = parsePhysicalName(name);
    return parsed && lives.has(parsed.live) ? [{ name, ...parsed }] : [];
  });
}
