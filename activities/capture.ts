import { physicalTable } from '../src/model/names.js';
import { createRunTriggers } from '../src/mysql/run-triggers.js';
import { triggersOf } from '../src/mysql/tables.js';
import { logTriggers } from '../src/sql/capture.js';
import { type Dependencies, isSwapped, onRun } from './context.js';
import { underLock } from './under-lock.js';

/** Capture: from here on every edit to live is logged. */
export function captureActivities(dependencies: Dependencies) {
  /**
   * Capture begins: triggers on live, made under LOCK TABLES live WRITE with the fence, so that a worker that was stopped
   * and woke up cannot make a trigger whose log is gone. From its return on every edit is in the log.
   */
  const capture = onRun(dependencies, 'capture', async (session, spec): Promise<void> => {
    for (const table of spec.tables) {
      const wanted = logTriggers(spec, table);
      await underLock(
        dependencies,
        session,
        spec,
        [table.live, physicalTable(spec.generation, 'log', table.live)],
        async () => {
          // An attempt that slept over the swap: live has a next generation now, and this one's log will go.
          if (await isSwapped(session, spec)) return;
          await createRunTriggers(session, wanted, await triggersOf(session, table.live));
        },
      );
    }
  });
  return { capture };
}
