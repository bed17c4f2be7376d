import { type RunSpec, type TableSpec, tableOf } from '../model/spec.js';
import { at, sameKey } from './columns.js';
import { as, physical } from './shape.js';
import { type Fragment, join, sql } from './text.js';

/** Rows of stage without their parent, among the replayed keys: as children, and as children of a replayed parent. */
export function orphansOfReplay(spec: RunSpec, table: TableSpec): { parent: string; statement: Fragment }[] {
  const stage = (of: TableSpec, role: string) => sql`${physical(spec, of, 'stage')} AS ${as(of, role)}`;
  const keys = (of: TableSpec) => sql`${physical(spec, of, 'replayKeys')} AS ${as(of, 'k')}`;
  return table.foreignKeys.flatMap((key) => {
    const parent = tableOf(spec, key.parent);
    const pairs = key.columns.map((column, index) => [column, key.parentColumns[index] ?? ''] as const);
    const onParent = join(
      pairs.map(([child, to]) => sql`${at(parent, 'p', to)} = ${at(table, 'c', child)}`),
      ' AND ',
    );
    const isOrphan = join(
      [
        ...pairs.map(([child]) => sql`${at(table, 'c', child)} IS NOT NULL`),
        sql`${at(parent, 'p', pairs[0]?.[1] ?? '')} IS NULL`,
      ],
      ' AND ',
    );
    const orphansAmong = (from: Fragment, onChild: Fragment) =>
      sql`SELECT 1 AS found FROM ${from} STRAIGHT_JOIN ${stage(table, 'c')} ON ${onChild} LEFT JOIN ${stage(parent, 'p')} ON ${onParent} WHERE ${isOrphan} LIMIT 1`;
    const statements = [orphansAmong(keys(table), sameKey(table, 'c', 'k'))];
    if (key.parentColumns.every((column) => parent.key.includes(column))) {
      const onChild = join(
        pairs.map(([child, to]) => sql`${at(table, 'c', child)} = ${at(parent, 'k', to)}`),
        ' AND ',
      );
      statements.push(orphansAmong(keys(parent), onChild));
    }
    return statements.map((statement) => ({ parent: key.parent, statement }));
  });
}
