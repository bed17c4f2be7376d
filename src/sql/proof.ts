import type { RunSpec, TableSpec } from '../model/spec.js';
import { asText, at, inRange, type KeyText } from './columns.js';
import { as, physical } from './shape.js';
import { type Fragment, join, raw, sql } from './text.js';

/** What MySQL says that it stored in a range of keys, per chunk: rows, and two order-independent sums over the row's checksum. */
export function proofOfBaseNext(
  spec: RunSpec,
  table: TableSpec,
  { from, to }: { from: KeyText; to: KeyText },
): Fragment {
  const fields = table.columns.map(
    ({ live }) => sql`COALESCE(${asText(live, at(table, 'i', live.name))}, ${raw("_utf8mb4 x'1e'")})`,
  );
  const crc = sql`CRC32(CONCAT_WS(_utf8mb4 x'1f', ${join(fields)}))`;
  return sql`SELECT _ss_chunk AS seq, COUNT(*) AS row_count, SUM(crc) AS checksum_sum, BIT_XOR(crc) AS checksum_xor
FROM (SELECT _ss_chunk, ${crc} AS crc FROM ${physical(spec, table, 'baseNext')} AS ${as(table, 'i')} WHERE ${inRange(table, 'i', from, to)}) AS rows_of_chunk
GROUP BY _ss_chunk`;
}
