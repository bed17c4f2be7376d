import { Context } from '@temporalio/activity';
import type { Blocker } from '../src/model/blockers.js';
import { control } from '../src/model/names.js';
import type { RunSpec } from '../src/model/spec.js';
import { blockersOf, killBlockers } from '../src/mysql/blockers.js';
import type { Session } from '../src/mysql/connection.js';

/** Records that every cut-over of the schema locks for writing: a transaction of another pipeline that has written them holds it up. */
const RECORDS = [control.conflict, control.settlement];

/**
 * Who holds the tables of the group, or records that are locked with them: looked for when an attempt has failed. Who holds a
 * table of the group is ended where the configuration says so; another pipeline's merge that holds only records is soon over.
 */
export function holdersOf(session: Session, watchdog: Session, spec: RunSpec) {
  const found: { blockers: Blocker[]; killed: Blocker[] } = { blockers: [], killed: [] };
  const names = spec.tables.map((table) => table.live);
  const { killBlockersAfterMs: afterMs } = spec.cutOver;
  const look = async () => {
    const blockers = await blockersOf(
      watchdog,
      [...names, ...RECORDS],
      [session.threadId, watchdog.threadId],
    );
    if (blockers.length > 0) found.blockers = blockers;
    if (afterMs === undefined) return;
    const old = blockers.filter(
      ({ ageSeconds, tables }) =>
        ageSeconds * 1_000 >= afterMs && tables.some((table) => names.includes(table)),
    );
    for (const blocker of await killBlockers(watchdog, old)) {
      Context.current().log.warn('killed a session that kept the cut-over from its lock', { ...blocker });
      found.killed.push(blocker);
    }
  };
  return Object.assign(found, { look });
}
