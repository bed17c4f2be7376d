/** [dbo].[Order.Line] → two parts without their brackets; a dot within brackets is no separator. */
export function unbracket(source: string): string {
  return source.replace(/\[((?:[^\]]|\]\])+)\]/g, (_, name: string) => name.replaceAll('.', '_'));
}

/**
 * The two names of a source table.
 *
 * @param source as configured: schema.table, table, or either in brackets
 */
export function sourceTableName(source: string): { schema: string; table: string } {
  const parts = [...source.matchAll(/\[((?:[^\]]|\]\])+)\]|([^.[\]]+)/g)].map((match) =>
    match[1] === undefined ? (match[2] ?? '') : match[1].replaceAll(']]', ']'),
  );
  return parts.length === 1
    ? { schema: 'dbo', table: parts[0] ?? '' }
    : { schema: parts[0] ?? '', table: parts[1] ?? '' };
}
