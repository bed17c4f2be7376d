import { keepsValue } from '../model/mapping.js';
import { physicalTable } from '../model/names.js';
import { leavesGaps, mappedNames, type NoBase, type TableSpec, withoutBase } from '../model/spec.js';
import { at, sameKey } from './columns.js';
import { as, GAPS } from './shape.js';
import { type Fragment, id, join, raw, sql } from './text.js';

/**
 * What base becomes of rows that were not published: none, so that they are tried again, or, where live's row stayed
 * although the source changed it, the base row that they had before; over a change of the mapping it keeps its gaps.
 * Afterwards nothing is held back any more, so it can be repeated.
 *
 * @param before the base of that run; null: it was a first publish
 */
export function carryBase(table: TableSpec, generation: number, before: number | null): Fragment[] {
  const base = id(physicalTable(generation, 'baseNext', table.live));
  const held = sql`${id(physicalTable(generation, 'heldBack', table.live))} AS ${as(table, 'h')}`;
  const gaps = new Map<string, NoBase>(withoutBase(table).map(({ name, noBase }) => [name, noBase]));
  const carried = mappedNames(table).filter((name) => keepsValue(gaps.get(name)));
  const names = [...carried, '_ss_chunk', ...(leavesGaps(table) ? [GAPS] : [])];
  const values = [...carried, '_ss_chunk'].map((name) => at(table, 'a', name));
  if (leavesGaps(table)) values.push(gapsOf(table, gaps));
  return [
    sql`DELETE ${as(table, 'i')} FROM ${held} STRAIGHT_JOIN ${base} AS ${as(table, 'i')} ON ${sameKey(table, 'i', 'h')}`,
    ...(before === null
      ? []
      : [
          sql`INSERT INTO ${base} (${join(names.map(id))})
SELECT ${join(values)}
FROM ${held}
STRAIGHT_JOIN ${id(physicalTable(before, 'baseNext', table.live))} AS ${as(table, 'a')} ON ${sameKey(table, 'a', 'h')}
WHERE ${at(table, 'h', '_ss_keeps_base')} = 1`,
        ]),
    sql`DELETE FROM ${id(physicalTable(generation, 'heldBack', table.live))}`,
  ];
}

/** The gaps of a row that is carried over: its own, and those of this run. A value that cannot be carried is not there any more. */
function gapsOf(table: TableSpec, gaps: Map<string, NoBase>): Fragment {
  const json = (lost: boolean) =>
    sql`CAST(${JSON.stringify(Object.fromEntries([...gaps].filter(([, noBase]) => keepsValue(noBase) !== lost)))} AS JSON)`;
  const own = table.gaps ? sql`COALESCE(${at(table, 'a', GAPS)}, JSON_OBJECT())` : raw('JSON_OBJECT()');
  return sql`NULLIF(JSON_MERGE_PATCH(${json(false)}, ${own}, ${json(true)}), JSON_OBJECT())`;
}
