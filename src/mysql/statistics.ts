import { id, raw, sql } from '../sql/text.js';
import type { Session } from './connection.js';

interface Histogram {
  name: string;
  buckets: string;
  /** MySQL makes it anew with each ANALYZE; before 8.4 none does */
  auto_update: string | null;
}

/**
 * Gives the next version of a table what the optimizer knows of live: fresh statistics, and histograms of the same columns with as
 * many buckets. MySQL renames histograms with their table. A column of which MySQL can have none is passed over by it.
 */
export async function analyze(session: Session, live: string, next: string): Promise<void> {
  await session.rows(sql`ANALYZE TABLE ${id(next)}`);
  const histograms = await session.rows<Histogram>(
    sql`SELECT column_name AS name, histogram->>'$."number-of-buckets-specified"' AS buckets, histogram->>'$."auto-update"' AS auto_update FROM information_schema.column_statistics WHERE schema_name = DATABASE() AND table_name = ${live} ORDER BY column_name`,
  );
  for (const { name, buckets, auto_update } of histograms) {
    const kept = raw(auto_update === 'true' ? ' AUTO UPDATE' : '');
    await session.rows(
      sql`ANALYZE TABLE ${id(next)} UPDATE HISTOGRAM ON ${id(name)} WITH ${raw(String(Number(buckets)))} BUCKETS${kept}`,
    );
  }
}

/** Bytes of a row of live on average, by the statistics of InnoDB as they are now; infinite where they say nothing. */
export async function averageRowBytes(session: Session, live: string): Promise<number> {
  const rows = await session.rows<{ bytes: string }>(
    sql`SELECT avg_row_length AS bytes FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ${live}`,
  );
  return Number(rows[0]?.bytes ?? 0) || Number.POSITIVE_INFINITY;
}
