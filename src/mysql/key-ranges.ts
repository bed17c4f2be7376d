import type { TableSpec } from '../model/spec.js';
import { type KeyText, nextBoundary } from '../sql/columns.js';
import type { Session } from './connection.js';

/** Where a range of so many rows of `tableName` ends that begins at `from`, if before `to`; null: the rest is not longer. */
export async function endOfRange(
  session: Session,
  table: TableSpec,
  tableName: string,
  from: KeyText,
  rows: number,
  to: KeyText = null,
): Promise<KeyText> {
  const [row] = await session.rows<Record<string, string>>(nextBoundary(table, tableName, from, rows, to));
  return row ? table.key.map((name) => String(row[name])) : null;
}
