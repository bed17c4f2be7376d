/** What a run does in the target's schema, as MySQL names the rights; tested one by one on a real server. */
export const PRIVILEGES = [
  'SELECT',
  'INSERT',
  'UPDATE',
  'DELETE',
  'CREATE',
  'DROP',
  'ALTER',
  'LOCK TABLES',
  'TRIGGER',
] as const;

/** Rights that a run needs in the schema. @param references whether foreign keys must be made */
export function privilegesNeeded({ references }: { references: boolean }): string[] {
  return references ? [...PRIVILEGES, 'REFERENCES'] : [...PRIVILEGES];
}

/** As SHOW GRANTS prints them: names are in backquotes, and may have spaces, dots and doubled backquotes. */
const GRANT = /^(GRANT|REVOKE) (.+?) ON (`(?:[^`]|``)*`|[^\s.]+)\.(`(?:[^`]|``)*`|\S+) (?:TO|FROM) /i;

/** Rights that no grant on everything or on the schema gives, or that a partial revoke takes back. */
export function missingPrivileges(
  grants: string[],
  schema: string,
  needs: { references: boolean },
): string[] {
  const given = new Set<string>();
  const revoked = new Set<string>();
  for (const grant of grants) {
    const match = GRANT.exec(grant);
    if (!match) continue;
    const on = (match[3] ?? '').replace(/^`(.*)`$/, '$1').replaceAll('``', '`');
    if (match[4] !== '*' || (on !== '*' && !like(schema, on))) continue;
    const into = match[1]?.toUpperCase() === 'GRANT' ? given : revoked;
    for (const privilege of (match[2] ?? '').split(',')) into.add(privilege.trim().toUpperCase());
  }
  const has = (privilege: string) =>
    (given.has('ALL PRIVILEGES') || given.has(privilege)) &&
    !revoked.has(privilege) &&
    !revoked.has('ALL PRIVILEGES');
  return privilegesNeeded(needs).filter((privilege) => !has(privilege));
}

/** MySQL takes % and _ in a grant's schema as patterns, unless a backslash stands before them. */
function like(text: string, pattern: string): boolean {
  const expression = pattern.replace(/\\([%_])|([%_])|[.*+?^${}()|[\]\\]/g, (found, escaped, wild) => {
    if (escaped) return String(escaped);
    if (wild) return wild === '%' ? '.*' : '.';
    return `\\${found}`;
  });
  return new RegExp(`^${expression}$`).test(text);
}
