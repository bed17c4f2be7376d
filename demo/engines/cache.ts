import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** The folder where private copies of engines live: STAGESWAP_CACHE, or the user's cache folder. */
export function cacheFolder(): string {
  return (
    process.env.STAGESWAP_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'stageswap')
  );
}

/**
 * A folder of the cache, made once: `make` fills a temporary folder, which is then renamed, so that a folder is whole or
 * not there. A lock keeps two processes from making it twice; where the lock fails, the first rename wins.
 */
export async function cached(name: string, make: (folder: string) => Promise<void>): Promise<string> {
  const folder = join(cacheFolder(), name);
  if (existsSync(folder)) return folder;
  mkdirSync(cacheFolder(), { recursive: true });
  const lock = `${folder}.lock`;
  while (!take(lock)) {
    if (existsSync(folder)) return folder;
    if (isAbandoned(lock)) rmSync(lock, { force: true });
    else await sleep(500);
  }
  const temporary = join(cacheFolder(), `${name}.new-${process.pid}`);
  try {
    if (existsSync(folder)) return folder;
    removeLeftovers(name);
    mkdirSync(temporary);
    await make(temporary);
    try {
      renameSync(temporary, folder);
    } catch (error) {
      if (!existsSync(folder)) throw error;
    }
    return folder;
  } finally {
    rmSync(temporary, { recursive: true, force: true });
    rmSync(lock, { force: true });
  }
}

function take(lock: string): boolean {
  try {
    const handle = openSync(lock, 'wx');
    writeSync(handle, String(process.pid));
    closeSync(handle);
    return true;
  } catch (error) {
    if ((error as { code?: string }).code === 'EEXIST') return false;
    throw error;
  }
}

/** What a process left that was killed while it filled a folder. */
function removeLeftovers(name: string): void {
  for (const entry of readdirSync(cacheFolder())) {
    const pid = entry.startsWith(`${name}.new-`) ? Number(entry.slice(name.length + 5)) : 0;
    if (pid && (pid === process.pid || !isAlive(pid)))
      rmSync(join(cacheFolder(), entry), { recursive: true, force: true });
  }
}

function isAbandoned(lock: string): boolean {
  try {
    const pid = Number(readFileSync(lock, 'utf8'));
    // without a number it is just being written, or its writer died at that very moment
    return pid ? !isAlive(pid) : Date.now() - statSync(lock).mtimeMs > 10_000;
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return false;
    throw error;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: string }).code === 'EPERM';
  }
}
