import type { LiveColumn, RunSpec, TableSpec } from '../model/spec.js';
import { asText, at, inRange, isUnicodeText, type KeyText, keyTexts } from './columns.js';
import { as, physical } from './shape.js';
import { ROW_CHECKSUM } from './stage.js';
import { type Fragment, join, raw, sql } from './text.js';

/**
 * The proof that MySQL stored what was sent. Each row came with the CRC-32 of its canonical texts; MySQL computes it again of what
 * it stored. That no row and no checksum was lost on the way is told by the count and the sum of a chunk.
 */

/** What MySQL says of a range of keys, per chunk: rows, the sum of the checksums that came with them, and how many rows have another. */
export function proofOfBaseNext(
  spec: RunSpec,
  table: TableSpec,
  { from, to }: { from: KeyText; to: KeyText },
): Fragment {
  return sql`SELECT _ss_chunk AS seq, COUNT(*) AS row_count, SUM(${sentChecksum(table)}) AS checksum_sum, SUM(${isStoredOtherwise(table)}) AS otherwise
FROM ${physical(spec, table, 'baseNext')} AS ${as(table, 'i')} FORCE INDEX (PRIMARY)
WHERE ${inRange(table, 'i', from, to)}
GROUP BY _ss_chunk`;
}

/** Keys of rows of a chunk that MySQL stored otherwise than they were sent, as canonical text. */
export function rowsStoredOtherwise(
  spec: RunSpec,
  table: TableSpec,
  chunk: number,
  rowsMax: number,
): Fragment {
  return sql`SELECT ${keyTexts(table, 'i')}
FROM ${physical(spec, table, 'baseNext')} AS ${as(table, 'i')}
WHERE _ss_chunk = ${chunk} AND ${isStoredOtherwise(table)} LIMIT ${raw(String(rowsMax))}`;
}

/**
 * A row of a chunk of which MySQL makes no text, since it would be longer than one may be (`_ss_limit`, bytes): all values together give
 * NULL then, and a JSON value alone the empty text, with warning 1301 (9.7.4).
 */
export function rowTooLong(spec: RunSpec, table: TableSpec, chunk: number): Fragment {
  const documents = table.columns
    .filter(({ live }) => live.type === 'json')
    .map(({ live }) => sql` OR ${storedValue(live, at(table, 'i', live.name))} = ''`);
  return sql`SELECT ${keyTexts(table, 'i')}, @@max_allowed_packet AS _ss_limit
FROM ${physical(spec, table, 'baseNext')} AS ${as(table, 'i')}
WHERE _ss_chunk = ${chunk} AND (${storedText(table)} IS NULL${join(documents, '')}) LIMIT 1`;
}

const sentChecksum = (table: TableSpec) => at(table, 'i', ROW_CHECKSUM);

function isStoredOtherwise(table: TableSpec): Fragment {
  return sql`NOT (${sentChecksum(table)} <=> CRC32(${storedText(table)}))`;
}

/** The canonical texts of a row, as MySQL prints what it stored. */
function storedText(table: TableSpec): Fragment {
  const texts = table.columns.map(({ live }) => textToProve(live, at(table, 'i', live.name)));
  return sql`CONCAT_WS(_utf8mb4 x'1f', ${join(texts)})`;
}

/**
 * The canonical text, NULL as `RowStream` sums it. Where live has no NULL none is sent: one that was stored would be missing
 * in the text, and so break the checksum.
 */
function textToProve(column: LiveColumn, value: Fragment): Fragment {
  const text = storedValue(column, value);
  return column.nullable ? sql`COALESCE(${text}, ${raw("_utf8mb4 x'1e'")})` : text;
}
/** The collation is for CONCAT_WS, which mixes no two. */
const storedValue = (column: LiveColumn, value: Fragment) =>
  isUnicodeText(column) ? sql`${value} COLLATE utf8mb4_bin` : asText(column, value);
