import { physicalTable } from '../src/model/names.js';
import { type RehearsalNames, rehearseOn } from '../src/preflight/rehearse.js';
import { type Dependencies, holdFence, onRun } from './context.js';

/** How long live will be locked, before anybody has to wait for it. */
export function rehearsalActivities(dependencies: Dependencies) {
  /**
   * Rehearses the cut-over on empty tables. A slow moment of the machine is no reason to wake anybody: above the limit it is
   * rehearsed once more, and the quickest round counts. What the tables themselves cost, every round has.
   *
   * @returns milliseconds from LOCK granted to UNLOCK
   */
  const rehearseCutOver = onRun(dependencies, null, async (session, spec): Promise<{ heldMs: number }> => {
    const [first] = spec.tables;
    const of = (kind: Parameters<typeof physicalTable>[1], live = '') =>
      physicalTable(spec.generation, kind, live);
    const names: RehearsalNames = {
      table: (live) => ({
        live: of('rehearsedLive', live),
        stage: of('rehearsedStage', live),
        backup: of('rehearsedBackup', live),
      }),
      marker: { from: of('rehearsedMarker', first?.live), to: of('rehearsedMarkerNext', first?.live) },
    };
    const once = async () => {
      await holdFence(session, spec);
      return rehearseOn(session, spec.tables, names);
    };
    const { heldMs, heldMsMin } = await once();
    if (heldMs <= spec.cutOver.heldMsMax) return { heldMs };
    return { heldMs: Math.min(heldMsMin, (await once()).heldMsMin) };
  });
  return { rehearseCutOver };
}
