import type { MergeUnit, RunSpec, Side, TableSpec } from './spec.js';

/**
 * The verdicts of one row, to explain them: the same rules as the merge has in SQL, over canonical texts, which are equal
 * exactly where the stored values are. The rules across the group are not among them.
 *
 * @see DESIGN "The merge"
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
export function rowVerdict(
  spec: Pick<RunSpec, 'baseGeneration'>,
  table: Pick<TableSpec, 'units' | 'onSourceDelete' | 'onLiveDelete'>,
  { base, source, live }: ThreeRows,
): RowVerdict {
  const changed = (row: RowTexts) => table.units.some((unit) => !sameUnit(unit, row, base));
  if (source && live) return base || spec.baseGeneration === null ? 'merge' : 'sameKey';
  if (source) {
    if (!base || table.onLiveDelete === 'restore') return 'insert';
    return changed(source) ? 'deletedInLive' : 'staysDeleted';
  }
  if (!live) return 'nowhere';
  if (!base) return 'keep';
  if (changed(live)) return 'deletedAtSource';
  return table.onSourceDelete === 'keep' ? 'keep' : 'delete';
}

/** The verdict of a unit of a row that both sides have and that merges by field. */
export function fieldVerdict(
  spec: Pick<RunSpec, 'baseGeneration' | 'firstRun'>,
  unit: MergeUnit,
  { base, source, live }: ThreeRows,
): FieldVerdict {
  if (sameUnit(unit, source, live)) return 'agreed';
  const taken = (side: Side) => (side === 'source' ? 'takeSource' : 'keepLive');
  if (unit.owner !== 'merge') return taken(unit.owner);
  if (spec.baseGeneration === null) return taken(spec.firstRun);
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
