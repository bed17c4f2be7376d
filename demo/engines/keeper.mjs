// Ends what another process started, should that process go away without doing so, even by kill -9.
// Its standard input says what is there: lines of JSON, { add: pid, folder } and { remove: pid }. When it closes, the
// process that wrote is gone: each process group still named is killed and its temporary folder removed. All their
// data is temporary, so there is nothing to save.
import { rmSync } from 'node:fs';
import { createInterface } from 'node:readline';

const kept = new Map();
for await (const line of createInterface({ input: process.stdin })) {
  const { add, remove, folder } = JSON.parse(line);
  if (add) kept.set(add, folder);
  if (remove) kept.delete(remove);
}
for (const pid of kept.keys()) {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {} // it has ended by itself
}
for (const folder of kept.values()) {
  if (folder) rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
}
