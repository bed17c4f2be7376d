import { readFileSync } from 'node:fs';

/** What Linux says of a process; null elsewhere, or where the process is another machine's. */

const TICKS_A_SECOND = 100; // USER_HZ, the same on every Linux

/** CPU seconds that a process has used, user and system. */
export function cpuSeconds(pid: number | undefined): number | null {
  const stat = read(pid, 'stat');
  if (stat === undefined) return null;
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND;
}

/** Megabytes of memory that a process holds now. */
export const rssMb = (pid: number | undefined) => statusMb(pid, 'VmRSS');
/** The most that it has ever held. */
export const peakRssMb = (pid: number | undefined) => statusMb(pid, 'VmHWM');

function statusMb(pid: number | undefined, field: string): number | null {
  const found = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(read(pid, 'status') ?? '')?.[1];
  return found === undefined ? null : Math.round((Number(found) / 1024) * 10) / 10;
}

function read(pid: number | undefined, file: string): string | undefined {
  if (pid === undefined) return undefined;
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return undefined;
  }
}
