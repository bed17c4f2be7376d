import type { Side, TableSpec } from './spec.js';

/** Settlements: what an operator said of single fields and rows, and what a merge makes of it. */

/** Conflicts that the merge of single rows finds. */
export const MERGE_KINDS: readonly string[] = ['field', 'sameKey', 'deletedInLive', 'deletedAtSource'];

/** Conflicts of single columns; all others are of whole rows, whatever columns they list. */
export const COLUMN_KINDS: readonly string[] = ['field'];

/** Conflicts that an operator can settle. */
export const SETTLEABLE: readonly string[] = [...MERGE_KINDS, 'parent', 'unique', 'check'];

/** Conflicts that go away with their cause, and what an operator can do about that. */
export const NOT_SETTLED: Record<string, string> = {
  orphan:
    'an orphan waits for its parent: settle the conflict of the parent, or bring back one that the application deleted with `stageswap resync PARENT KEY`; then the next run publishes the orphan, too',
  badValue:
    'a bad value cannot be held by live: correct it at the source, or change the column of live; every run tries it again',
};

/** open: waits · settled: an operator decided · agreed: both sides say the same · replaced: a newer one stands for it · undone: its run was taken back */
export type ConflictState = 'open' | 'settled' | 'agreed' | 'replaced' | 'undone';

/** A settlement of one row, as a merge finds it beside base_next and live. */
export interface FoundSettlement {
  id: string;
  /** of the row's key, in hexadecimal */
  keyHash: string;
  kind: string;
  side: Side;
  columns: string[];
  inSource: boolean;
  inLive: boolean;
}

/** What becomes of one row by its settlements. */
export interface Decision {
  /** place of a merge unit → the side whose value it takes; only for a row that both sides have */
  units: [unit: number, side: Side][];
  row: 'merge' | 'insert' | 'delete';
  /** the row was held back, or both sides had made its key: from now on it has a base */
  unhold: boolean;
}

export interface DecidedRow {
  decision: Decision;
  /** the settlements that are carried out by it, oldest first */
  ids: string[];
}

/**
 * The decisions of the rows that have settlements, which must be those that still hold: bound to the values that were
 * shown, and none of them changed. The newest settlement of a unit stands.
 *
 * @param found oldest first
 * @returns     by the key's hash; a row of which nothing can be carried out is not in it
 */
export function decisionsOf(table: TableSpec, found: FoundSettlement[]): Map<string, DecidedRow> {
  const decided = new Map<string, DecidedRow & { sides: Map<number, Side> }>();
  for (const settlement of found) {
    const row = decided.get(settlement.keyHash) ?? {
      decision: { units: [], row: 'merge' as const, unhold: false },
      ids: [],
      sides: new Map<number, Side>(),
    };
    if (!carryOut(table, settlement, row)) continue;
    row.ids.push(settlement.id);
    row.decision.units = [...row.sides].sort(([left], [right]) => left - right);
    decided.set(settlement.keyHash, row);
  }
  return decided;
}

/** @returns false where the settlement does not fit the row or the mapping of now */
function carryOut(
  table: TableSpec,
  settlement: FoundSettlement,
  row: { decision: Decision; sides: Map<number, Side> },
): boolean {
  const { kind, side, inSource, inLive } = settlement;
  const both = inSource && inLive;
  switch (kind) {
    case 'field': {
      const unit = table.units.findIndex(({ columns }) => columns.join() === settlement.columns.join());
      if (unit < 0 || !both) return false;
      row.sides.set(unit, side);
      return true;
    }
    case 'sameKey':
      return both && takeWhole(table, settlement, row);
    case 'deletedInLive':
      if (!inSource || inLive) return false;
      if (side === 'source') row.decision.row = 'insert';
      return true;
    case 'deletedAtSource':
    case 'parent':
      if (inSource || !inLive) return false;
      if (side === 'source') row.decision.row = 'delete';
      return true;
    case 'unique':
    case 'check':
      return takeWhole(table, settlement, row);
    case 'resync':
      if (!inSource) return false;
      if (both) table.units.forEach((_, unit) => void row.sides.set(unit, 'source'));
      else row.decision.row = 'insert';
      row.decision.unhold = true;
      return true;
    default:
      return false;
  }
}

/** A whole row is as one side has it, or is not there as there it is not; from now on it has a base, if the source has it. */
function takeWhole(
  table: TableSpec,
  { side, inSource, inLive }: FoundSettlement,
  row: { decision: Decision; sides: Map<number, Side> },
): boolean {
  row.decision.unhold = true;
  if (inSource && inLive)
    table.units.forEach(({ owner }, unit) => {
      row.sides.set(unit, owner === 'merge' ? side : owner);
    });
  else if (inSource) row.decision.row = side === 'source' ? 'insert' : 'delete';
  else if (inLive && side === 'source') row.decision.row = 'delete';
  return inSource || inLive;
}
