import { Context } from '@temporalio/activity';
import type { Blocker } from '../src/model/blockers.js';
import { control, isMadeByRun } from '../src/model/names.js';
import type { RunSpec } from '../src/model/spec.js';
import { blockersOf, killBlockers, snapshotsOf } from '../src/mysql/blockers.js';
import type { Session } from '../src/mysql/connection.js';
import type { AwaitedTable } from '../src/mysql/lock.js';
import type { GivenBack } from './readiness.js';

/** Records that every cut-over of the schema locks for writing: a transaction of another pipeline that has written them holds it up. */
const RECORDS = [control.conflict, control.settlement];

/**
 * Who holds the tables of the group, those that its triggers write to, or records that are locked with them: looked for when an attempt has failed. Who holds a
 * table of the group is ended where the configuration says so; another pipeline's merge that holds only records is soon over.
 */
export function holdersOf(session: Session, watchdog: Session, spec: RunSpec) {
  const found: { blockers: Blocker[]; killed: Blocker[] } = { blockers: [], killed: [] };
  const names = spec.tables.map((table) => table.live);
  const { killBlockersAfterMs: afterMs } = spec.cutOver;
  const ours = [session.threadId, watchdog.threadId];
  const look = async (awaited: AwaitedTable[], givenBack: GivenBack | undefined) => {
    // A client that holds a run's own table, the log, holds live, too: that says more to whom it concerns.
    const others = awaited.filter(({ name }) => !isMadeByRun(name));
    const blockers = await blockersOf(watchdog, [...names, ...RECORDS], ours, others);
    if (givenBack === 'oldSnapshots') blockers.push(...(await snapshotsOf(watchdog, ours)));
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
