import { CHANGED, EDITED, type Known, keepsValue, knownOf } from '../model/mapping.js';
import { physicalTable, type TableKind } from '../model/names.js';
import {
  baseGenerationOf,
  type LiveColumn,
  type MergeUnit,
  mappedNames,
  type RunSpec,
  type TableSpec,
  writtenNames,
} from '../model/spec.js';
import { aliasOf, at, same, sameKey, serverNow } from './columns.js';
import { type Fragment, id, join, literal, raw, sql } from './text.js';

/**
 * What a merge works on: the tables in their roles, the units, and what the base can tell of each. After a change of the
 * mapping the base may lack columns, or hold them otherwise; a row that was carried over such a change says for itself
 * which of its columns have no base (GAPS).
 */

/** A table of the run itself, by its kind; beside it live is `id(table.live)`. */
export const physical = (spec: RunSpec, table: TableSpec, kind: TableKind) =>
  id(physicalTable(spec.generation, kind, table.live));
/** The alias of a table in a role, as a fragment: `l0`. */
export const as = (table: TableSpec, role: string) => raw(aliasOf(table, role));
/** The key's columns of a table in a role: `l0`.`id`. */
export const keyOf = (table: TableSpec, role: string) => join(table.key.map((name) => at(table, role, name)));
/** The key's columns by their names alone, as INSERT wants them. */
export const keyNames = (table: TableSpec) => join(table.key.map(id));

/** Is the source's row of this key not published, for whatever reason? */
export function isHeldBack(spec: RunSpec, table: TableSpec, role: string): Fragment {
  return sql`EXISTS (${heldAs(spec, table, role)})`;
}
/**
 * Has ingest set the row of this key aside? It is not gone at the source, though the merge finds none there: what the source says
 * of it is not known, so nothing of it is over, and nothing is settled.
 */
export function isSetAside(spec: RunSpec, table: TableSpec, role: string): Fragment {
  return sql`EXISTS (${heldAs(spec, table, role)} AND ${at(table, 'h', '_ss_reason')} = 'bad')`;
}
function heldAs(spec: RunSpec, table: TableSpec, role: string): Fragment {
  return sql`SELECT 1 FROM ${physical(spec, table, 'heldBack')} AS ${as(table, 'h')} WHERE ${sameKey(table, 'h', role)}`;
}

export interface Shape {
  incoming: string;
  ancestor: string | null;
  /** what a row new to live gets: of the incoming row, and beside it; all else has its default */
  newColumns: { name: string; value: Fragment }[];
  units: MergeUnit[];
}

export function shapeOf(spec: RunSpec, table: TableSpec): Shape {
  if (spec.kind === 'rollback') {
    const undone = spec.restores ?? spec.undoes ?? 0;
    const covered = new Set(table.units.flatMap((unit) => unit.columns));
    const rest = writtenNames(table).filter((name) => !covered.has(name) && !table.key.includes(name));
    return {
      incoming: physicalTable(undone, 'backup', table.live),
      ancestor: spec.restores === undefined ? physicalTable(undone, 'firstTouch', table.live) : null,
      newColumns: writtenNames(table).map((name) => ({ name, value: at(table, 'i', name) })),
      units: [
        ...table.units.map((unit) => ({ ...unit, owner: 'merge' as const, onConflict: 'live' as const })),
        ...rest.map((name) => ({ columns: [name], owner: 'merge' as const, onConflict: 'live' as const })),
      ],
    };
  }
  const base = baseGenerationOf(spec, table);
  return {
    incoming: physicalTable(spec.generation, 'baseNext', table.live),
    ancestor: base === null ? null : physicalTable(base, 'baseNext', table.live),
    newColumns: [
      ...mappedNames(table).map((name) => ({ name, value: at(table, 'i', name) })),
      ...table.unmapped.flatMap(({ name, type, defaultsToNow }) =>
        defaultsToNow === undefined ? [] : { name, value: serverNow(type, defaultsToNow) },
      ),
    ],
    units: table.units,
  };
}

/** Name of the table that has the incoming rows: what the source says, or the backup. */
export function incomingOf(spec: RunSpec, table: TableSpec): string {
  return shapeOf(spec, table).incoming;
}
/** Name of the table that has the ancestors; null on a first publish. */
export function ancestorOf(spec: RunSpec, table: TableSpec): string | null {
  return shapeOf(spec, table).ancestor;
}

export function columnNamed(table: TableSpec, name: string): LiveColumn {
  const found =
    table.columns.find((column) => column.live.name === name)?.live ??
    table.unmapped.find((column) => column.name === name);
  if (!found) throw new Error(`column ${name} of ${table.live} is not written by the run`);
  return found;
}

export function sameUnit(table: TableSpec, unit: MergeUnit, left: string, right: string): Fragment {
  return join(
    unit.columns.map((name) => same(columnNamed(table, name), at(table, left, name), at(table, right, name))),
    ' AND ',
  );
}

const firstKey = (table: TableSpec) => table.key[0] ?? '';
export const absent = (table: TableSpec, alias: string) => sql`${at(table, alias, firstKey(table))} IS NULL`;

/** Column of base_next, where the mapping changed: the columns without a base in a row that was carried over, with the reason. */
export const GAPS = '_ss_gaps';

/** Why no row of the table has a base of a column, as preflight has found; undefined: rows may have one. */
const recordedNoBase = (table: TableSpec, name: string) =>
  table.columns.find((column) => column.live.name === name)?.noBase;
/** The reason for which a row has no base of a column; NULL where it has one, and where it was not carried over. */
const gapOf = (table: TableSpec, name: string) =>
  sql`JSON_UNQUOTE(JSON_EXTRACT(${at(table, 'a', GAPS)}, ${literal(`$.${JSON.stringify(name)}`)}))`;

/** Does the base say nothing of a unit in any row, so that not even its columns need be there? Then `firstRun` decides. */
export function neverHasBase(table: TableSpec, unit: MergeUnit): boolean {
  return unit.columns.some((name) => recordedNoBase(table, name) !== undefined);
}

/** Does the base decide about a unit that may have one, in a row that has one? A row that was carried over tells itself. */
export function unitHasBase(table: TableSpec, unit: MergeUnit): Fragment {
  if (!table.gaps) return raw('TRUE');
  const whole = join(
    unit.columns.map((name) => sql`${gapOf(table, name)} IS NULL`),
    ' AND ',
  );
  return sql`(${at(table, 'a', GAPS)} IS NULL OR (${whole}))`;
}

/** A client changed the row since it was last published: a mapped column differs from its ancestor. */
export function editedSince(table: TableSpec, shape: Shape): Fragment {
  return differs(table, shape, 'l', EDITED);
}
/** The source changed the row since it was last published. */
export function changedAtSource(table: TableSpec, shape: Shape): Fragment {
  return differs(table, shape, 'i', CHANGED);
}

function differs(table: TableSpec, shape: Shape, role: 'l' | 'i', known: Known): Fragment {
  const untold = join(
    Object.entries(known).map(([reason, told]) => sql`WHEN ${literal(reason)} THEN ${truth(told)}`),
    ' ',
  );
  const conditions = shape.units
    .flatMap((unit) => unit.columns)
    .map((name) => {
      const told = knownOf(recordedNoBase(table, name), known);
      if (told !== 'compare') return truth(told);
      const compared = sql`NOT ${same(columnNamed(table, name), at(table, role, name), at(table, 'a', name))}`;
      return table.gaps ? sql`(CASE ${gapOf(table, name)} ${untold} ELSE ${compared} END)` : compared;
    });
  return sql`(${join(conditions, ' OR ', 'FALSE')})`;
}
const truth = (told: boolean) => raw(told ? 'TRUE' : 'FALSE');

/** The columns of which the base holds a value that can be shown beside the others'. */
export function shownOfBase(table: TableSpec, names: string[]): string[] {
  return names.filter((name) => keepsValue(recordedNoBase(table, name)));
}

/** A unit of which `firstRun` decides, in a row that both sides have and that is merged by field; null: it never does. */
export function firstRunDecides(spec: RunSpec, table: TableSpec, unit: MergeUnit): Fragment | null {
  if (spec.kind === 'rollback' || unit.owner !== 'merge') return null;
  if (baseGenerationOf(spec, table) === null) return raw('TRUE');
  if (neverHasBase(table, unit)) return sql`NOT (${absent(table, 'a')})`;
  return table.gaps ? sql`(NOT (${absent(table, 'a')}) AND NOT ${unitHasBase(table, unit)})` : null;
}
