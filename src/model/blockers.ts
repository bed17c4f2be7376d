/**
 * A session for which the cut-over has to wait: it holds a table of the group, one that a trigger of it writes to, or records that
 * are locked with them; or it keeps all DDL waiting; or it reads as of a moment before stage was written.
 */
export interface Blocker {
  /** as SHOW PROCESSLIST and KILL know it; null where the run's user may not see it, or there is none */
  sessionId: number | null;
  /** a prepared XA transaction whose session has ended */
  withoutSession?: true;
  user: string;
  host: string;
  /** of its transaction; of its current state where that is not to be seen */
  ageSeconds: number;
  /** what it holds: tables, or the words of HELD_INSTANCE and HELD_SNAPSHOT */
  tables: string[];
}

/** What a session holds that is no table: LOCK INSTANCE FOR BACKUP, for which every DDL waits; an old snapshot. */
export const HELD_INSTANCE = 'LOCK INSTANCE FOR BACKUP';
export const HELD_SNAPSHOT = 'a snapshot from before the last edits';

const SHOWN_MAX = 5;

/** Blockers by name, the oldest first, in one sentence without its full stop. */
export function blockersText(blockers: Blocker[]): string {
  if (blockers.length === 0)
    return 'who holds them is not to be seen: short transactions in turn, or the run may not read performance_schema (stageswap check)';
  const shown = blockers.slice(0, SHOWN_MAX).map(blockerText);
  if (blockers.length > shown.length) shown.push(`${blockers.length - shown.length} more sessions`);
  return shown.join('; ');
}

function blockerText({ sessionId, withoutSession, user, host, ageSeconds, tables }: Blocker): string {
  if (withoutSession)
    return `a prepared XA transaction whose session has ended holds ${tables.join(' and ')} (XA RECOVER names it; XA COMMIT or XA ROLLBACK ends it)`;
  const who =
    sessionId === null ? 'a session that the run may not see' : `session ${sessionId}, ${user}@${host},`;
  return `${who} has held ${tables.join(' and ')} for ${ageSeconds} s`;
}
