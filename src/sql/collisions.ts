import type { RunSpec, TableSpec } from '../model/spec.js';
import { asText, keyColumns, keyValue, typedKey } from './columns.js';
import { physical } from './shape.js';
import { col, type Fragment, id, join, raw, sql } from './text.js';

/**
 * Keys of a chunk that MySQL takes for one key, in pairs: of two rows of the chunk, or of one of them and a row that
 * baseNext has from another chunk. The keys come as one JSON parameter, and are typed and collated like live's.
 *
 * @param into     baseNext's name, without rows of this chunk
 * @param keys     canonical texts of the chunk's keys
 * @param pairsMax of each kind
 * @returns        rows of a0, a1 … and b0, b1 …: the two keys as canonical text
 */
export function collidingKeys(
  table: TableSpec,
  into: string,
  keys: (string | null)[][],
  pairsMax: number,
): Fragment {
  const columns = keyColumns(table);
  const each = (make: (column: (typeof columns)[0], index: number) => Fragment, separator = ', ') =>
    join(columns.map(make), separator);
  const c = (prefix: string, index: number) => col('c', `${prefix}${index}`);
  const name = (prefix: string, index: number) => id(`${prefix}${index}`);
  const limit = raw(String(pairsMax));
  return sql`WITH c AS (
  SELECT n, ${each((_, index) => name('t', index))}, ${each((column, index) => sql`${typedKey(column, name('t', index))} AS ${name('k', index)}`)}
  FROM JSON_TABLE(CAST(${JSON.stringify(keys)} AS JSON), '$[*]' COLUMNS (
    n FOR ORDINALITY, ${each((_, index) => raw(`t${index} LONGTEXT PATH '$[${index}]'`))})) AS given
)
(SELECT ${each((_, index) => sql`${name('p', index)} AS ${name('a', index)}`)}, ${each((_, index) => sql`${name('t', index)} AS ${name('b', index)}`)}
 FROM (SELECT ${each((_, index) => c('t', index))}, ${each((_, index) => sql`LAG(${c('t', index)}) OVER same_key AS ${name('p', index)}`)}
       FROM c WINDOW same_key AS (PARTITION BY ${each((_, index) => c('k', index))} ORDER BY c.n)) AS neighbours
 WHERE ${name('p', 0)} IS NOT NULL LIMIT ${limit})
UNION ALL
(SELECT ${each((column, index) => sql`${asText(column, col('i', column.name))} AS ${name('a', index)}`)}, ${each((_, index) => sql`${c('t', index)} AS ${name('b', index)}`)}
 FROM c JOIN ${id(into)} AS i ON ${each((column, index) => sql`${col('i', column.name)} = ${c('k', index)}`, ' AND ')}
 LIMIT ${limit})`;
}

const texts = (table: TableSpec, alias: string, prefix: string) =>
  join(
    keyColumns(table).map(
      (column, index) => sql`${asText(column, col(alias, column.name))} AS ${id(`${prefix}${index}`)}`,
    ),
  );

/** Rows that were set aside, and rows beside them in baseNext that MySQL takes for the same: as `collidingKeys`, in pairs. */
export function collidingAside(spec: RunSpec, table: TableSpec, pairsMax: number): Fragment {
  const same = keyColumns(table).map((column) => sql`${col('i', column.name)} = ${col('h', column.name)}`);
  return sql`SELECT ${texts(table, 'i', 'a')}, ${texts(table, 'h', 'b')}
FROM ${physical(spec, table, 'heldBack')} AS h
JOIN ${physical(spec, table, 'baseNext')} AS i ON ${join(same, ' AND ')}
WHERE h._ss_reason = 'bad' LIMIT ${raw(String(pairsMax))}`;
}

/** The key under which a row is set aside that MySQL takes for one of this key: a0, a1 … as canonical text. */
export function keyAside(spec: RunSpec, table: TableSpec, key: (string | null)[]): Fragment {
  const same = keyColumns(table).map(
    (column, index) => sql`${col('h', column.name)} = ${keyValue(column, key[index] ?? '')}`,
  );
  return sql`SELECT ${texts(table, 'h', 'a')} FROM ${physical(spec, table, 'heldBack')} AS h WHERE ${join(same, ' AND ')}`;
}
