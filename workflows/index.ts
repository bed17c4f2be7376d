export { cleanup, scheduledCleanup } from './cleanup.js';
export { repair } from './repair.js';
export { scheduledSync } from './scheduled-sync.js';
export { plan, rollback, sync } from './sync.js';
