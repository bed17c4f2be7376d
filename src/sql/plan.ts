import { control, physicalTable } from '../model/names.js';
import type { MergeUnit, RunSpec, TableSpec } from '../model/spec.js';
import { sameKey } from './columns.js';
import { incomingWithLive, keyJson, madeTwice } from './merge.js';
import { absent, as, isHeldBack, keyOf, neverHasBase, sameUnit, shapeOf, unitHasBase } from './shape.js';
import { type Fragment, id, join, raw, sql } from './text.js';

/** What a dry run reads of stage, before stage is dropped again. */

/** One row: per unit u0, u1 … of the table how many fields agree, take the source, keep live, are in conflict. */
export function countVerdicts(spec: RunSpec, table: TableSpec): Fragment {
  const shape = shapeOf(spec, table);
  // A row that both sides made has no verdicts by field: it is one conflict. Nor has one that a rule across the group takes as live has it.
  const published = sql`NOT ${isHeldBack(spec, table, 'i')}`;
  const compared = shape.ancestor ? sql`${published} AND NOT (${madeTwice(table, shape)})` : published;
  const counts = shape.units.flatMap((unit, index) => {
    const agree = sameUnit(table, unit, 'i', 'l');
    const cases = verdicts(spec, table, unit, shape.ancestor !== null);
    const sum = (name: string, when: Fragment) =>
      sql`COALESCE(SUM(${compared} AND ${when}), 0) AS ${id(`u${index}_${name}`)}`;
    return [
      sum('agreed', agree),
      ...Object.entries(cases).map(([name, when]) => sum(name, sql`NOT (${agree}) AND ${when}`)),
    ];
  });
  return sql`SELECT ${join(counts, ',\n  ', '0 AS nothing')}\n${incomingWithLive(spec, table, shape, { kind: 'range', from: null, to: null }, 'JOIN')}`;
}

/** Of fields that differ: which verdict is reached when. */
function verdicts(
  spec: RunSpec,
  table: TableSpec,
  unit: MergeUnit,
  hasBase: boolean,
): Record<'takeSource' | 'keepLive' | 'conflict', Fragment> {
  const always = (side: 'source' | 'live') => ({
    takeSource: raw(side === 'source' ? 'TRUE' : 'FALSE'),
    keepLive: raw(side === 'live' ? 'TRUE' : 'FALSE'),
    conflict: raw('FALSE'),
  });
  if (unit.owner !== 'merge') return always(unit.owner);
  const first = always(spec.firstRun);
  if (!hasBase || neverHasBase(table, unit)) return first;
  const known = unitHasBase(table, unit);
  const liveIsBase = sameUnit(table, unit, 'l', 'a');
  const sourceIsBase = sameUnit(table, unit, 'i', 'a');
  return {
    takeSource: sql`IF(${known}, ${liveIsBase}, ${first.takeSource})`,
    keepLive: sql`IF(${known}, ${sourceIsBase}, ${first.keepLive})`,
    conflict: sql`${known} AND NOT (${liveIsBase}) AND NOT (${sourceIsBase})`,
  };
}

/** Keys of rows that stage has and live has not, or the other way round. */
export function rowsToCome(spec: RunSpec, table: TableSpec, rowsMax: number): Fragment {
  return onlyIn(spec, table, 's', 'l', rowsMax);
}
export function rowsToGo(spec: RunSpec, table: TableSpec, rowsMax: number): Fragment {
  return onlyIn(spec, table, 'l', 's', rowsMax);
}
function onlyIn(
  spec: RunSpec,
  table: TableSpec,
  here: 's' | 'l',
  there: 's' | 'l',
  rowsMax: number,
): Fragment {
  const names = { s: physicalTable(spec.generation, 'stage', table.live), l: table.live };
  return sql`SELECT CAST(${keyJson(table, here)} AS CHAR) AS row_key
FROM ${id(names[here])} AS ${as(table, here)} LEFT JOIN ${id(names[there])} AS ${as(table, there)} ON ${sameKey(table, there, here)}
WHERE ${absent(table, there)} ORDER BY ${keyOf(table, here)} LIMIT ${raw(String(rowsMax))}`;
}

/** Fields and rows that settlements decided in this run, by their columns. */
export function countSettled(spec: RunSpec, table: TableSpec): Fragment {
  return sql`SELECT CAST(columns_json AS CHAR) AS columns_json, COUNT(*) AS n
FROM ${id(control.settlement)} WHERE pipeline = ${spec.pipeline} AND live = ${table.live} AND applied_in = ${spec.generation}
GROUP BY columns_json`;
}
