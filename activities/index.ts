import { backupActivities } from './backup.js';
import { cleanupActivities } from './cleanup.js';
import type { Dependencies } from './context.js';
import { cutOverActivities } from './cut-over.js';
import { editActivities } from './edits.js';
import { guardActivities } from './guards.js';
import { ingestActivities } from './ingest.js';
import { mergeActivities } from './merge.js';
import { notifyActivities } from './notify.js';
import { planActivities } from './plan.js';
import { rehearsalActivities } from './rehearsal.js';
import { renewActivities } from './renew.js';
import { repairActivities } from './repair.js';
import { replayActivities } from './replay.js';
import { rollbackActivities } from './rollback.js';
import { runActivities } from './runs.js';
import { scheduleActivities } from './schedule.js';
import { settlementActivities } from './settlements.js';
import { tableActivities } from './tables.js';

/** Every activity, over its dependencies. */
export function createActivities(dependencies: Dependencies) {
  return {
    ...runActivities(dependencies),
    ...rollbackActivities(dependencies),
    ...tableActivities(dependencies),
    ...ingestActivities(dependencies),
    ...mergeActivities(dependencies),
    ...replayActivities(dependencies),
    ...guardActivities(dependencies),
    ...backupActivities(dependencies),
    ...cutOverActivities(dependencies),
    ...settlementActivities(dependencies),
    ...planActivities(dependencies),
    ...editActivities(dependencies),
    ...notifyActivities(dependencies),
    ...scheduleActivities(),
    ...repairActivities(dependencies),
    ...cleanupActivities(dependencies),
    ...renewActivities(dependencies),
    ...rehearsalActivities(dependencies),
  };
}
export type Activities = ReturnType<typeof createActivities>;
