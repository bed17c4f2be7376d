import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
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

/** A folder of the cache, made once: `make` fills a temporary folder, which is then renamed. Two processes do not make it twice. */
export async function cached(name: string, make: (folder: string) => Promise<void>): Promise<string> {
  const folder = join(cacheFolder(), name);
  if (existsSync(folder)) return folder;
  mkdirSync(cacheFolder(), { recursive: true });
  const lock = `${folder}.lock`;
  for (;;) {
    try {
      const handle = openSync(lock, 'wx');
      writeSync(handle, String(process.pid));
      closeSync(handle);
      break;
    } catch {
      if (existsSync(folder)) return folder;
      if (!isAlive(lock)) rmSync(lock, { force: true });
      await sleep(500);
    }
  }
  const temporary = mkdtempSync(join(cacheFolder(), `${name}.new-`));
  try {
    if (existsSync(folder)) return folder;
    await make(temporary);
    renameSync(temporary, folder);
    return folder;
  } finally {
    rmSync(temporary, { recursive: true, force: true });
    rmSync(lock, { force: true });
  }
}

function isAlive(lock: string): boolean {
  try {
    const pid = Number(readFileSync(lock, 'utf8'));
    if (!pid) return true; // just being written
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: string }).code === 'EPERM';
  }
}
