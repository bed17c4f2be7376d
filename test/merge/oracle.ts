/**
 * The merge, written down once more as plainly as it can be: maps of rows, no SQL, no code of the product.
 * What MySQL holds after a run is compared with what this says, value by value.
 */

/** A value as MySQL prints it, bytes as capital hexadecimal; null is NULL. Two values are the same if their texts are. */
export type Value = string | null;
export type Row = Readonly<Record<string, Value>>;
/** The rows of one table by the identity of their key. */
export type Rows = ReadonlyMap<string, Row>;
/** The rows of all tables of a group, by the name of the table. */
export type Group = Readonly<Record<string, Rows>>;

export type Side = 'source' | 'live';

/** Columns that merge as one value. */
export interface Unit {
  columns: string[];
  owner: 'merge' | 'source' | 'live';
  onConflict: Side;
}

export interface Reference {
  columns: string[];
  parent: string;
  /** the parent's key */
  parentColumns: string[];
}

export interface Table {
  name: string;
  key: string[];
  units: Unit[];
  /** the application's own columns, with the value that a new row gets */
  own: Record<string, Value>;
  onSourceDelete: 'delete' | 'keep';
  onLiveDelete: 'respect' | 'restore';
  references: Reference[];
  unique: string[][];
  /** What a column's collation takes for one value, by column; a column that is not here compares exactly. */
  folds: Record<string, (text: string) => string>;
}

export type FieldVerdict = 'agreed' | 'takeSource' | 'keepLive' | 'conflict';
export type RowVerdict =
  | 'merged'
  | 'inserted'
  | 'deleted'
  /** only live has it, and never had the source: the application's own */
  | 'own'
  /** gone at the source and kept all the same */
  | 'kept'
  | 'staysDeleted'
  | 'gone'
  | 'heldBack'
  | 'fallenBack'
  | 'quarantined';
export type ConflictKind =
  | 'field'
  | 'sameKey'
  | 'deletedInLive'
  | 'deletedAtSource'
  | 'parent'
  | 'orphan'
  | 'unique'
  | 'badValue';

export interface Conflict {
  table: string;
  /** identity of the row's key */
  key: string;
  kind: ConflictKind;
  columns: string[];
  base: Row | null;
  source: Row | null;
  live: Row | null;
}

/** Conflicts in an order of their own and without what only one side has of them, so that two lists can be compared. */
export function inOrder(conflicts: Conflict[]): Conflict[] {
  const place = ({ table, key, kind, columns }: Conflict) => JSON.stringify([table, key, kind, columns]);
  return conflicts
    .map(({ table, key, kind, columns, base, source, live }) => ({
      ...{ table, key, kind, columns: [...columns].sort() },
      ...{ base, source, live },
    }))
    .sort((left, right) => (place(left) < place(right) ? -1 : 1));
}

/** What becomes of one key. */
export interface Outcome {
  table: Table;
  key: string;
  base: Row | null;
  source: Row | null;
  live: Row | null;
  /** what live holds afterwards */
  row: Row | null;
  nextBase: Row | null;
  verdict: RowVerdict;
  /** of a merged row, by the unit's columns joined with commas */
  fields: Record<string, FieldVerdict>;
  conflicts: Conflict[];
}

/**
 * Why a column has no base although its row has one: it is new to the mapping, or of another type, or taken from another
 * column of the source, or has another owner. A row of a base says so for itself, under the column's name behind this mark.
 */
export type Change = 'new' | 'otherType' | 'otherSource' | 'otherOwner';
const GAP = '?';
const gapOf = (row: Row, column: string) => row[GAP + column] as Change | null | undefined;
/** The base has no value of the column any more. */
const isLost = (row: Row, column: string) => ['new', 'otherType'].includes(gapOf(row, column) ?? '');

/**
 * What a base is worth after the mapping of a table has changed.
 *
 * @param changes by column; columns that are not mapped any more are just not asked for
 */
export function remapped(table: Table, base: Rows, changes: Record<string, Change>): Rows {
  const rows = [...base].map(([key, row]): [string, Row] => {
    const kept: Record<string, Value> = {};
    for (const column of mappedColumns(table)) {
      const [value, gap] = [row[column], gapOf(row, column)];
      const change = changes[column];
      const lost = change === 'new' || change === 'otherType';
      const becomes = lost || !isLost(row, column) ? (change ?? gap) : gap;
      if (becomes) kept[GAP + column] = becomes;
      if (value !== undefined) kept[column] = value;
      if (isLost(kept, column)) delete kept[column];
    }
    return [key, kept];
  });
  return new Map(rows);
}

/** An operator's decision, bound to the source's and live's values that were shown. */
export interface Settlement {
  table: string;
  key: string;
  columns: string[];
  source: Row;
  live: Row;
  side: Side;
}

export interface Run {
  firstRun: Side;
  /** null: never published, or that was rolled back */
  base: Group | null;
  source: Group;
  live: Group;
  settlements?: Settlement[];
  /** keys, by table, whose source row has a value that does not fit */
  quarantined?: Record<string, ReadonlySet<string>>;
}

/** The identity of a row's key: what the primary key calls one key. */
export function identityOf(table: Table, row: Row, columns: string[] = table.key): string {
  return JSON.stringify(columns.map((column) => folded(table, column, row[column] ?? null)));
}
const folded = (table: Table, column: string, value: Value): Value =>
  value === null ? null : (table.folds[column]?.(value) ?? value);

export const sameIn = (columns: string[], left: Row, right: Row): boolean =>
  columns.every((column) => left[column] === right[column]);
const columnsOfUnits = (table: Table) => table.units.flatMap((unit) => unit.columns);
const mappedColumns = (table: Table) => [...table.key, ...columnsOfUnits(table)];
const everyColumn = (table: Table) => [...mappedColumns(table), ...Object.keys(table.own)];
const only = (row: Row, columns: string[]): Row =>
  Object.fromEntries(columns.map((column) => [column, row[column] ?? null]));

/** One value of a row that both sides have. @returns the verdict, and whose value stands */
export function mergeUnit(
  unit: Unit,
  sides: { base: Row | null; source: Row; live: Row },
  firstRun: Side,
): { verdict: FieldVerdict; from: Side } {
  const { base, source, live } = sides;
  if (sameIn(unit.columns, source, live)) return { verdict: 'agreed', from: 'live' };
  const take = { verdict: 'takeSource', from: 'source' } as const;
  const keep = { verdict: 'keepLive', from: 'live' } as const;
  if (unit.owner !== 'merge') return unit.owner === 'source' ? take : keep;
  if (base === null || unit.columns.some((column) => gapOf(base, column)))
    return firstRun === 'source' ? take : keep;
  if (sameIn(unit.columns, live, base)) return take;
  if (sameIn(unit.columns, source, base)) return keep;
  return { verdict: 'conflict', from: unit.onConflict };
}

/** One key, without regard to the rest of the group. */
function mergeRow(run: Run, table: Table, key: string): Outcome {
  const find = (group: Group | null) => group?.[table.name]?.get(key) ?? null;
  const [base, source, live] = [find(run.base), find(run.source), find(run.live)];
  const sides = { table, key, base, source, live };
  const decided = (verdict: RowVerdict, row: Row | null, nextBase: Row | null): Outcome => ({
    ...sides,
    row,
    nextBase,
    verdict,
    fields: {},
    conflicts: [],
  });
  if (run.quarantined?.[table.name]?.has(key))
    return conflicting(decided('quarantined', live, base), 'badValue');
  if (source && live) {
    const agree = table.units.every((unit) => sameIn(unit.columns, source, live));
    // Of a table that was never published there is no base, though there may be one of others.
    if (!run.base?.[table.name] || base || agree) return mergeFields(run, decided('merged', null, source));
    return conflicting(decided('heldBack', live, null), 'sameKey');
  }
  if (source) {
    const inserted = { ...source, ...table.own };
    if (!base) return decided('inserted', inserted, source);
    const outcome =
      table.onLiveDelete === 'restore'
        ? decided('inserted', inserted, source)
        : decided('staysDeleted', null, source);
    const changed = columnsOfUnits(table).some((column) => {
      const gap = gapOf(base, column);
      return (!gap || gap === 'otherOwner') && source[column] !== base[column];
    });
    return changed ? conflicting(outcome, 'deletedInLive') : outcome;
  }
  if (live) {
    if (!base) return decided('own', live, null);
    const edited = columnsOfUnits(table).some((column) => {
      const gap = gapOf(base, column);
      return gap !== 'new' && (gap === 'otherType' || live[column] !== base[column]);
    });
    if (edited) return conflicting(decided('kept', live, null), 'deletedAtSource');
    return table.onSourceDelete === 'keep' ? decided('kept', live, null) : decided('deleted', null, null);
  }
  return decided('gone', null, null);
}

function mergeFields(run: Run, outcome: Outcome): Outcome {
  const { table, base, source, live } = outcome;
  if (!source || !live) throw new Error(`${outcome.key} is not on both sides`);
  const row = { ...live };
  const fields: Record<string, FieldVerdict> = {};
  for (const unit of table.units) {
    const { verdict, from } = mergeUnit(unit, { base, source, live }, run.firstRun);
    fields[unit.columns.join()] = verdict;
    const side = settled(run, outcome, unit) ?? from;
    Object.assign(row, only(side === 'source' ? source : live, unit.columns));
    if (verdict === 'conflict') conflicting(outcome, 'field', unit.columns);
  }
  return { ...outcome, row, fields };
}

function settled(run: Run, { table, key, source, live }: Outcome, unit: Unit): Side | undefined {
  return run.settlements?.findLast(
    (settlement) =>
      settlement.table === table.name &&
      settlement.key === key &&
      settlement.columns.join() === unit.columns.join() &&
      source !== null &&
      live !== null &&
      sameIn(unit.columns, settlement.source, source) &&
      sameIn(unit.columns, settlement.live, live),
  )?.side;
}

function conflicting(outcome: Outcome, kind: ConflictKind, columns = mappedColumns(outcome.table)): Outcome {
  const side = (row: Row | null) =>
    row &&
    only(
      row,
      columns.filter((column) => !isLost(row, column)),
    );
  outcome.conflicts.push({
    table: outcome.table.name,
    key: outcome.key,
    kind,
    columns,
    base: side(outcome.base),
    source: side(outcome.source),
    live: side(outcome.live),
  });
  return outcome;
}

/** Outcomes by table and key. */
export type Outcomes = Record<string, Map<string, Outcome>>;

export interface Published {
  outcomes: Outcomes;
  live: Group;
  base: Group;
  conflicts: Conflict[];
}

/** A publish. @param tables parents before their children */
export function publish(tables: Table[], run: Run): Published {
  const outcomes: Outcomes = {};
  for (const table of tables) {
    const sides = [run.base, run.source, run.live].map((group) => [...(group?.[table.name]?.keys() ?? [])]);
    const keys = new Set([...sides.flat(), ...(run.quarantined?.[table.name] ?? [])]);
    outcomes[table.name] = new Map([...keys].map((key) => [key, mergeRow(run, table, key)] as const));
  }
  settleGroup(tables, outcomes);
  return {
    outcomes,
    live: groupOf(outcomes, ({ row }) => row),
    base: groupOf(outcomes, ({ nextBase }) => nextBase),
    conflicts: allOf(outcomes).flatMap((outcome) => outcome.conflicts),
  };
}

function groupOf(outcomes: Outcomes, pick: (outcome: Outcome) => Row | null): Group {
  const rowsOf = (table: Map<string, Outcome>) =>
    new Map([...table.values()].flatMap((outcome) => toEntry(outcome.key, pick(outcome))));
  return Object.fromEntries(Object.entries(outcomes).map(([name, table]) => [name, rowsOf(table)]));
}
const toEntry = (key: string, row: Row | null): [string, Row][] => (row ? [[key, row]] : []);
const allOf = (outcomes: Outcomes) => Object.values(outcomes).flatMap((table) => [...table.values()]);

/**
 * The rules across the group, until none has anything to say. Each takes rows as live has them, never the other way; so
 * this ends. Parents' values of unique indexes are told apart before their children's.
 */
function settleGroup(tables: Table[], outcomes: Outcomes): void {
  do {
    while (keepParents(outcomes) || holdOrphans(outcomes));
  } while (tables.some((table) => separateDoubles(table, outcomes)));
}

function parentOf(outcomes: Outcomes, child: Outcome, reference: Reference): Outcome | undefined {
  const { row } = child;
  if (!row || reference.columns.some((column) => row[column] === null)) return undefined;
  const values = Object.fromEntries(
    reference.parentColumns.map((column, index) => [column, row[reference.columns[index] ?? ''] ?? null]),
  );
  const parents = outcomes[reference.parent];
  const table = parents?.values().next().value?.table;
  return table && parents?.get(identityOf(table, values, reference.parentColumns));
}

/** A parent that would go, with a child that stays, is kept as it is in live. @returns whether one was found */
function keepParents(outcomes: Outcomes): boolean {
  let found = false;
  for (const child of allOf(outcomes)) {
    for (const reference of child.table.references) {
      const parent = parentOf(outcomes, child, reference);
      if (!parent || parent.row || !parent.live) continue;
      asInLive(parent, 'parent');
      found = true;
    }
  }
  return found;
}

/**
 * A source row that is not in live, and whose parent stays deleted or is held back, is held back. A row that is in live,
 * and which the source gave such a parent, stays with its own.
 */
function holdOrphans(outcomes: Outcomes): boolean {
  let found = false;
  for (const child of allOf(outcomes)) {
    const isOrphan = child.table.references.some((reference) => {
      const parent = parentOf(outcomes, child, reference);
      if (!parent?.source && parent?.verdict !== 'quarantined') return false;
      return parent.row === null || (parent.verdict === 'heldBack' && child.live === null);
    });
    if (!isOrphan) continue;
    asInLive(child, 'orphan');
    found = true;
  }
  return found;
}

/** Rows that would have one value in a unique index fall back to live's values; a row that is new to live is held back. */
function separateDoubles(table: Table, outcomes: Outcomes): boolean {
  const doubles = new Set<Outcome>();
  for (const columns of table.unique) {
    const byValue = new Map<string, Outcome[]>();
    for (const outcome of outcomes[table.name]?.values() ?? []) {
      const { row } = outcome;
      if (!row || columns.some((column) => row[column] === null)) continue;
      const value = identityOf(table, row, columns);
      byValue.set(value, [...(byValue.get(value) ?? []), outcome]);
    }
    for (const rows of byValue.values()) if (rows.length > 1) for (const row of rows) doubles.add(row);
  }
  const standing = [...doubles].filter(({ verdict }) => verdict !== 'heldBack' && verdict !== 'fallenBack');
  for (const outcome of standing) asInLive(outcome, 'unique');
  return standing.length > 0;
}

/** Takes a row as live has it, whatever the merge of its fields said; that is its one conflict. */
function asInLive(outcome: Outcome, kind: ConflictKind): void {
  const { base, live } = outcome;
  const becomes: Pick<Outcome, 'nextBase' | 'verdict'> =
    kind === 'parent'
      ? { nextBase: null, verdict: 'kept' }
      : live
        ? { nextBase: base, verdict: 'fallenBack' }
        : { nextBase: null, verdict: 'heldBack' };
  Object.assign(outcome, { ...becomes, row: live, conflicts: [] });
  conflicting(outcome, kind);
}

export interface Undone {
  /** live as the publish that is undone left it, and as it found it */
  published: Group;
  backup: Group;
  live: Group;
  /** keys, by table, that clients touched since */
  touched: Record<string, ReadonlySet<string>>;
}

/** A rollback after the swap: what clients changed since is kept, all else goes back. @returns live afterwards */
export function rollBack(tables: Table[], undone: Undone): Group {
  const outcomes: Outcomes = {};
  for (const table of tables) {
    const keys = [undone.backup, undone.live].flatMap((group) => [...(group[table.name]?.keys() ?? [])]);
    outcomes[table.name] = new Map([...new Set(keys)].map((key) => [key, undoRow(undone, table, key)]));
  }
  settleGroup(tables, outcomes);
  return groupOf(outcomes, ({ row }) => row);
}

function undoRow(undone: Undone, table: Table, key: string): Outcome {
  const find = (group: Group) => group[table.name]?.get(key) ?? null;
  const [asPublished, backup, live] = [find(undone.published), find(undone.backup), find(undone.live)];
  const touched = undone.touched[table.name]?.has(key) ?? false;
  const back = (row: Row | null, verdict: RowVerdict): Outcome => ({
    table,
    key,
    base: asPublished,
    source: backup,
    live,
    row,
    nextBase: null,
    verdict,
    fields: {},
    conflicts: [],
  });
  if (!touched) return back(backup, backup ? (live ? 'merged' : 'inserted') : 'deleted');
  // Whether a row that clients touched is there at all is what they made of it.
  if (!live || !backup || !asPublished) return back(live, live ? 'own' : 'staysDeleted');
  const grouped = table.units.map((unit) => unit.columns);
  const single = everyColumn(table)
    .filter((column) => !grouped.flat().includes(column) && !table.key.includes(column))
    .map((column) => [column]);
  const row = { ...live };
  for (const columns of [...grouped, ...single])
    if (sameIn(columns, live, asPublished)) Object.assign(row, only(backup, columns));
  return back(row, 'merged');
}
