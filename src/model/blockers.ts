/** A session for which the cut-over has to wait: it holds a table of the group, or records that are locked with them. */
export interface Blocker {
  /** as SHOW PROCESSLIST and KILL know it; null where the run's user may not see it */
  sessionId: number | null;
  user: string;
  host: string;
  /** of its transaction; of its current state where that is not to be seen */
  ageSeconds: number;
  /** tables that it holds */
  tables: string[];
}

const SHOWN_MAX = 5;

/** Blockers by name, the oldest first, in one sentence without its full stop. */
export function blockersText(blockers: Blocker[]): string {
  if (blockers.length === 0)
    return 'who holds them is not to be seen: short transactions in turn, or the run may not read performance_schema (stageswap check)';
  const shown = blockers.slice(0, SHOWN_MAX).map(blockerText);
  if (blockers.length > shown.length) shown.push(`${blockers.length - shown.length} more sessions`);
  return shown.join('; ');
}

function blockerText({ sessionId, user, host, ageSeconds, tables }: Blocker): string {
  const who =
    sessionId === null ? 'a session that the run may not see' : `session ${sessionId}, ${user}@${host},`;
  return `${who} has held ${tables.join(' and ')} for ${ageSeconds} s`;
}
