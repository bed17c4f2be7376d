export { scheduledSync } from './scheduled-sync.js';
export { plan, rollback, sync } from './sync.js';
