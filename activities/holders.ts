import { Context } from '@temporalio/activity';
import type { Blocker } from '../src/model/blockers.js';
import type { RunSpec } from '../src/model/spec.js';
import { blockersOf, killBlockers } from '../src/mysql/blockers.js';
import type { Session } from '../src/mysql/connection.js';

/** Who holds the tables of the group: looked for when an attempt has failed, and ended where the configuration says so. */
export function holdersOf(session: Session, watchdog: Session, spec: RunSpec) {
  const found: { blockers: Blocker[]; killed: Blocker[] } = { blockers: [], killed: [] };
  const names = spec.tables.map((table) => table.live);
  const { killBlockersAfterMs: afterMs } = spec.cutOver;
  const look = async () => {
    const blockers = await blockersOf(watchdog, names, [session.threadId, watchdog.threadId]);
    if (blockers.length > 0) found.blockers = blockers;
    if (afterMs === undefined) return;
    const old = blockers.filter(({ ageSeconds }) => ageSeconds * 1_000 >= afterMs);
    for (const blocker of await killBlockers(watchdog, old)) {
      Context.current().log.warn('killed a session that kept the cut-over from its lock', { ...blocker });
      found.killed.push(blocker);
    }
  };
  return Object.assign(found, { look });
}
