import { askAgainActivities } from './ask-again.js';
import { backupActivities } from './backup.js';
import { captureActivities } from './capture.js';
import { cleanupActivities } from './cleanup.js';
import type { Dependencies } from './context.js';
import { cutOverActivities } from './cut-over.js';
import { editActivities } from './edits.js';
import { guardActivities } from './guards.js';
import { ingestActivities } from './ingest.js';
import { mergeActivities } from './merge.js';
import { momentActivities } from './moment.js';
import { notifyActivities } from './notify.js';
import { planActivities } from './plan.js';
import { prepareActivities } from './prepare.js';
import { rehearsalActivities } from './rehearsal.js';
import { renewActivities } from './renew.js';
import { repairActivities } from './repair.js';
import { replayActivities } from './replay.js';
import { rollbackActivities } from './rollback.js';
import { rollbackWindowActivities } from './rollback-window.js';
import { runActivities } from './runs.js';
import { scheduleActivities } from './schedule.js';
import { settlementActivities } from './settlements.js';
import { undoActivities } from './undo.js';

/** Every activity, over its dependencies. */
export function createActivities(dependencies: Dependencies) {
  return {
    ...runActivities(dependencies),
    ...rollbackActivities(dependencies),
    ...prepareActivities(dependencies),
    ...captureActivities(dependencies),
    ...momentActivities(dependencies),
    ...ingestActivities(dependencies),
    ...askAgainActivities(dependencies),
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
    ...undoActivities(dependencies),
    ...cleanupActivities(dependencies),
    ...rollbackWindowActivities(dependencies),
    ...renewActivities(dependencies),
    ...rehearsalActivities(dependencies),
  };
}
export type Activities = ReturnType<typeof createActivities>;
