import { type ForeignKey, type RunSpec, type TableSpec, tableOf } from '../model/spec.js';
import { asText, at, keyColumns, sameKey } from './columns.js';
import { refers, refersToKey } from './group.js';
import { as, physical } from './shape.js';
import { col, type Fragment, id, join, raw, sql } from './text.js';

/** Rows of stage without their parent, which no swap may make live: of all of stage, and of what a replay has touched. */

/** Of a child beside its parent, by LEFT JOIN: it refers to one, and there is none. */
function isOrphan(
  key: ForeignKey,
  child: (column: string) => Fragment,
  parent: (column: string) => Fragment,
): Fragment {
  return join(
    [
      ...key.columns.map((column) => sql`${child(column)} IS NOT NULL`),
      sql`${parent(key.parentColumns[0] ?? '')} IS NULL`,
    ],
    ' AND ',
  );
}

/** Rows of stage whose parent is not in stage. Sets, not one lookup a row; at most `rowsMax` keys come back. */
export function orphans(
  spec: RunSpec,
  table: TableSpec,
  rowsMax: number,
): { parent: string; statement: Fragment }[] {
  return table.foreignKeys.map((key) => {
    const child = (column: string) => col('c', column);
    const parent = (column: string) => col('p', column);
    const keys = keyColumns(table).map(
      (column) => sql`${asText(column, child(column.name))} AS ${id(column.name)}`,
    );
    const on = key.columns.map(
      (column, index) => sql`${parent(key.parentColumns[index] ?? '')} = ${child(column)}`,
    );
    return {
      parent: key.parent,
      statement: sql`SELECT ${join(keys)}
FROM ${physical(spec, table, 'stage')} AS c
LEFT JOIN ${physical(spec, tableOf(spec, key.parent), 'stage')} AS p ON ${join(on, ' AND ')}
WHERE ${isOrphan(key, child, parent)} LIMIT ${raw(String(rowsMax))}`,
    };
  });
}

/** Whether there are any among the replayed keys: as children, and as children of a replayed parent. */
export function orphansOfReplay(spec: RunSpec, table: TableSpec): { parent: string; statement: Fragment }[] {
  const stage = (of: TableSpec, role: string) => sql`${physical(spec, of, 'stage')} AS ${as(of, role)}`;
  const keys = (of: TableSpec) => sql`${physical(spec, of, 'replayKeys')} AS ${as(of, 'k')}`;
  return table.foreignKeys.flatMap((key) => {
    const parent = tableOf(spec, key.parent);
    const where = isOrphan(
      key,
      (column) => at(table, 'c', column),
      (column) => at(parent, 'p', column),
    );
    const orphansAmong = (from: Fragment, onChild: Fragment) =>
      sql`SELECT 1 AS found FROM ${from}
STRAIGHT_JOIN ${stage(table, 'c')} ON ${onChild}
LEFT JOIN ${stage(parent, 'p')} ON ${refers(parent, 'p', table, 'c', key)}
WHERE ${where} LIMIT 1`;
    const statements = [orphansAmong(keys(table), sameKey(table, 'c', 'k'))];
    if (refersToKey(spec, key))
      statements.push(orphansAmong(keys(parent), refers(parent, 'k', table, 'c', key)));
    return statements.map((statement) => ({ parent: key.parent, statement }));
  });
}
