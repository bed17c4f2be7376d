export { scheduledSync } from './scheduled-sync.js';
export { rollback, sync } from './sync.js';
