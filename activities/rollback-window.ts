import { control } from '../src/model/names.js';
import type { Cleaned } from '../src/model/report.js';
import type { Session } from '../src/mysql/connection.js';
import { ownerOf } from '../src/mysql/owner.js';
import { publishedGeneration } from '../src/mysql/published.js';
import { survey } from '../src/mysql/survey.js';
import { dropTables } from '../src/mysql/tables.js';
import { id, sql } from '../src/sql/text.js';
import { activity, type Dependencies, onTarget } from './context.js';
import { livesOf, lockingOf } from './repair.js';
import { beginning } from './runs.js';
import { dropTriggers } from './under-lock.js';

/** The end of the rollback window: what a publish keeps for its rollback goes, the backup stays. */
export function rollbackWindowActivities(dependencies: Dependencies) {
  /**
   * Closes the window of the latest publish where it is older than `retention.rollbackDays`, or at once. Triggers first, each
   * live table under its lock with the fence: who is stopped in between finds its connection gone.
   */
  const closeWindow = activity(
    async (pipeline: string, now: boolean): Promise<Omit<Cleaned, 'dropped'>> =>
      onTarget(dependencies, beginning(pipeline), async (session) => {
        const config = dependencies.config(pipeline);
        const at = await publishedGeneration(session, pipeline);
        const found = await survey(session, pipeline, livesOf(config), config.backups);
        if (!found) return { closed: null, because: 'nothing was ever published' };
        const { triggers, images } = found.window;
        if (triggers.length + images.length === 0)
          return { closed: null, because: 'no rollback window is open' };
        const days = config.retention.rollbackDays;
        if (!now && !(await isOlder(session, pipeline, at, days)))
          return { closed: null, because: `the rollback window of publish ${at} is open for ${days} days` };
        // Whoever owns the pipeline now: under the lock it must still be the owner.
        const generation = await ownerOf(session, pipeline);
        const locking = lockingOf(dependencies, { pipeline, generation });
        await dropTriggers(dependencies, session, locking, triggers);
        await dropTables(session, images);
        return { closed: at, because: now ? 'as asked' : `it is older than ${days} days` };
      }),
  );

  /** Drops tables of ended runs that neither the base nor the backups that are kept need. */
  const dropUnneeded = activity(
    async (pipeline: string): Promise<Pick<Cleaned, 'dropped'>> =>
      onTarget(dependencies, beginning(pipeline), async (session) => {
        const config = dependencies.config(pipeline);
        const found = await survey(session, pipeline, livesOf(config), config.backups);
        if (!found || found.undecided.length > 0) return { dropped: [] };
        await session.run(sql`SET SESSION foreign_key_checks = 0`);
        await dropTables(session, found.tables);
        return { dropped: found.tables };
      }),
  );

  return { closeWindow, dropUnneeded };
}

async function isOlder(session: Session, pipeline: string, at: number, days: number): Promise<boolean> {
  const rows = await session.rows(
    sql`SELECT 1 AS older FROM ${id(control.run)} WHERE pipeline = ${pipeline} AND generation = ${at} AND ended_at < UTC_TIMESTAMP(6) - INTERVAL ${days} DAY`,
  );
  return rows.length > 0;
}
