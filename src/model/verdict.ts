import { CHANGED, EDITED, type Known, knownOf } from './mapping.js';
import {
  baseGenerationOf,
  type MergeUnit,
  type NoBase,
  type RunSpec,
  type Side,
  type TableSpec,
} from './spec.js';

/**
 * The verdicts of one row, to explain them: the same rules as the merge has in SQL, over canonical texts, which are equal
 * exactly where the stored values are. The rules across the group are not among them.
 *
 * @see test/merge/cases.ts, the specification of the merge
 */
export type FieldVerdict = 'agreed' | 'takeSource' | 'keepLive' | 'conflict';
export type RowVerdict =
  | 'merge'
  | 'insert'
  | 'delete'
  | 'keep'
  | 'staysDeleted'
  | 'sameKey'
  | 'deletedAtSource'
  | 'deletedInLive'
  | 'nowhere';

/** A row by live's columns, as canonical text; null: there is no such row. */
export type RowTexts = Record<string, string | null> | null;

export interface ThreeRows {
  base: RowTexts;
  source: RowTexts;
  live: RowTexts;
}

/** The rule that speaks about the row as a whole; `merge` where its fields are decided one by one. */
export function rowVerdict(spec: RunSpec, table: TableSpec, rows: ThreeRows, gaps: Gaps = {}): RowVerdict {
  const { base, source, live } = rows;
  const units = table.units;
  if (source && live)
    return base ||
      baseGenerationOf(spec, table) === null ||
      units.every((unit) => sameUnit(unit, source, live))
      ? 'merge'
      : 'sameKey';
  const differs = (row: RowTexts, known: Known) =>
    units
      .flatMap(({ columns }) => columns)
      .some((name) => {
        const told = knownOf(noBaseInRow(table, name, gaps), known);
        return told === 'compare' ? (row?.[name] ?? null) !== (base?.[name] ?? null) : told;
      });
  if (source) {
    if (!base || table.onLiveDelete === 'restore') return 'insert';
    return differs(source, CHANGED) ? 'deletedInLive' : 'staysDeleted';
  }
  if (!live) return 'nowhere';
  if (!base) return 'keep';
  if (differs(live, EDITED)) return 'deletedAtSource';
  return table.onSourceDelete === 'keep' ? 'keep' : 'delete';
}

/** Columns of which one row's base says nothing, with the reason. */
export type Gaps = Partial<Record<string, NoBase>>;

/** Why this row has no base of a column: no row of the table has one, or this one lacks it; undefined: it has one. */
const noBaseInRow = (table: TableSpec, name: string, gaps: Gaps) =>
  table.columns.find(({ live }) => live.name === name)?.noBase ?? gaps[name];

/** The verdict of a unit of a row that both sides have and that merges by field. */
export function fieldVerdict(
  spec: RunSpec,
  table: TableSpec,
  unit: MergeUnit,
  { base, source, live }: ThreeRows,
  gaps: Gaps = {},
): FieldVerdict {
  if (sameUnit(unit, source, live)) return 'agreed';
  const taken = (side: Side) => (side === 'source' ? 'takeSource' : 'keepLive');
  if (unit.owner !== 'merge') return taken(unit.owner);
  const hasBase = base !== null && unit.columns.every((name) => noBaseInRow(table, name, gaps) === undefined);
  if (!hasBase) return taken(spec.firstRun);
  if (sameUnit(unit, live, base)) return 'takeSource';
  return sameUnit(unit, source, base) ? 'keepLive' : 'conflict';
}

function sameUnit(unit: MergeUnit, left: RowTexts, right: RowTexts): boolean {
  return unit.columns.every((name) => (left?.[name] ?? null) === (right?.[name] ?? null));
}

/** Does a side still say what was shown when an operator settled? */
export function stillSays(shown: RowTexts, now: RowTexts): boolean {
  if (!shown || !now) return shown === now;
  return Object.entries(shown).every(([name, value]) => (now[name] ?? null) === value);
}
