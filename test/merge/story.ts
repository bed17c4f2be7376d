import type mysql from 'mysql2/promise';
import type { RunSpec } from '../../src/model/spec.js';
import { settle } from '../../src/mysql/settlements.js';
import type { ByHand, Meanwhile, SetAside } from '../support/by-hand.js';
import {
  type Conflict,
  type Group,
  inOrder,
  type Outcomes,
  publish,
  type Row,
  rollBack,
  type Settlement,
  type Side,
  sameIn,
  type Table,
} from './oracle.js';
import {
  catalogueOf,
  mappedColumns,
  migrationTo,
  readBase,
  readConflicts,
  readLive,
  remappedBase,
  type Shape,
  sourceRows,
  yamlOf,
} from './shape.js';

/** A client's statement, and the rows that it names. */
export interface Edit {
  text: string;
  values: unknown[];
  table: Table;
  /** identities of the keys that the statement touches if it does anything */
  keys: string[];
  /** it may touch rows by a unique value, too */
  byUnique?: true;
}

/** Something that MySQL holds otherwise than the oracle says. */
export interface Found {
  kind: 'live' | 'base' | 'conflict';
  table: string;
  key: string;
  expected: unknown;
  found: unknown;
  /** what the merge had before it */
  sides?: { base: Row | null; source: Row | null; live: Row | null };
}
type Sides = { base: Group | null; source: Group; live: Group };

/** What a publish left behind, for the rollback that may follow. */
interface Undoable {
  spec: RunSpec;
  published: Group;
  backup: Group;
  baseBefore: Group | null;
  shapeBefore: Shape;
  shape: Shape;
  pendingBefore: Settlement[];
  pendingAfter: Settlement[];
}

/** What clients may be refused: a duplicate, a parent that is missing, a child that is there. */
const REFUSED = new Set([1062, 1216, 1217, 1451, 1452, 1761, 1762]);

/**
 * Run after run over one pipeline, told twice: by the product in MySQL, and by the oracle, which remembers what it said
 * before. Each run says in what the two differ.
 */
export class Story {
  #base: Group | null = null;
  #undoable: Undoable | null = null;
  #pending: Settlement[] = [];
  #touched: Record<string, Set<string>> = {};
  #seen: Group = {};

  /** the shape that the base was published with */
  #published: Shape;

  constructor(
    readonly hand: ByHand,
    public shape: Shape,
  ) {
    this.#published = shape;
  }

  /** The operator changes the mapping, after the application has changed its tables. */
  async remap(shape: Shape): Promise<void> {
    for (const statement of migrationTo(shape, this.shape)) await this.hand.application.query(statement);
    this.hand.remap(yamlOf(shape), catalogueOf(shape));
    this.shape = shape;
  }

  /** Is there a publish that a rollback could take back? */
  get canRollBack(): boolean {
    return this.#undoable !== null;
  }
  /** Live as clients saw it last; in a run, right before the swap. */
  get seen(): Group {
    return this.#seen;
  }

  /** Clients' statements; what MySQL refuses as a duplicate, or for want of a parent, they go without. */
  async edit(edits: Edit[]): Promise<void> {
    for (const edit of edits) await this.#apply(edit);
    this.#seen = await readLive(this.hand, this.shape);
  }

  /** @param said all that billing could say; what is not mapped is not read */
  async publish(said: Group, meanwhile: Meanwhile = {}, setAside: SetAside[] = []): Promise<Found[]> {
    const { tables, firstRun } = this.shape;
    const source = readBy(this.shape, said);
    await this.#look();
    const spec = await this.hand.publish(sourceRows(this.shape, source), meanwhile, setAside);
    const base = remappedBase(this.shape, this.#base, this.#published);
    const before = { base, source, live: this.#seen };
    const quarantined = Object.fromEntries(
      tables.map(({ name }) => [
        name,
        new Set(setAside.filter(({ live }) => live === name).map(({ key }) => JSON.stringify(key))),
      ]),
    );
    const merged = publish(tables, { firstRun, ...before, settlements: this.#pending, quarantined });
    this.#undoable = {
      spec,
      published: merged.live,
      backup: this.#seen,
      baseBefore: this.#base,
      shapeBefore: this.#published,
      shape: this.shape,
      pendingBefore: this.#pending,
      pendingAfter: this.#pending.filter((settlement) => stillWaits(settlement, merged.outcomes)),
    };
    this.#base = merged.base;
    this.#published = this.shape;
    this.#pending = this.#undoable.pendingAfter;
    this.#touched = {};
    const conflicts = await readConflicts(this.hand, this.shape, spec.generation);
    return [...(await this.#compare(merged.live, before)), ...compareConflicts(merged.conflicts, conflicts)];
  }

  /** A publish that ends before its swap: live is what clients made of it, and all else as it was. */
  async abort(source: Group, meanwhile: Meanwhile = {}): Promise<Found[]> {
    await this.#look();
    await this.hand.abort(sourceRows(this.shape, source), meanwhile);
    return this.#compare(this.#seen);
  }

  async rollBack(meanwhile: Meanwhile = {}): Promise<Found[]> {
    const undoable = this.#undoable;
    if (!undoable) throw new Error('nothing was published that a rollback could take back');
    const mapped = this.shape;
    this.shape = undoable.shape; // a mapping that changed since concerns the next run
    await this.#look();
    await this.hand.rollBack(undoable.spec, meanwhile);
    const live = rollBack(undoable.shape.tables, { ...undoable, live: this.#seen, touched: this.#touched });
    this.#base = undoable.baseBefore;
    this.#published = undoable.shapeBefore;
    // What was said since is bound to the values that were shown, and not to the run that found them.
    const since = this.#pending.filter((settlement) => !undoable.pendingAfter.includes(settlement));
    this.#pending = [...undoable.pendingBefore, ...since];
    this.#undoable = null;
    const found = await this.#compare(live, {
      base: undoable.published,
      source: undoable.backup,
      live: this.#seen,
    });
    this.shape = mapped;
    await this.#look();
    return found;
  }

  /** An operator settles conflicts of fields that the last publish found. @param choose undefined leaves one open */
  async settle(choose: (conflict: Conflict) => Side | undefined): Promise<number> {
    const generation = this.#undoable?.spec.generation ?? 0;
    let settled = 0;
    for (const conflict of await readConflicts(this.hand, this.shape, generation)) {
      const { id, table, key, kind, columns, source, live } = conflict;
      const side = kind === 'field' ? choose(conflict) : undefined;
      if (!side || !source || !live) continue;
      // Where the source has won, both sides agree: there is nothing left to settle.
      if ((await settle(this.hand.session, 'hand', { ids: [id] }, { side, by: 'operator' })) === 0) continue;
      settled += 1;
      this.#pending = [...this.#pending, { table, key, columns, source, live, side }];
    }
    return settled;
  }

  /** Settlements whose columns are not merged as they were are void in the next run. */
  forgetSettlements(): void {
    this.#pending = [];
  }

  async #look(): Promise<void> {
    this.#seen = await readLive(this.hand, this.shape);
  }

  async #apply(edit: Edit): Promise<void> {
    const { name } = edit.table;
    const touched = this.#touched[name] ?? new Set();
    this.#touched[name] = touched;
    const before = edit.byUnique && (await readLive(this.hand, this.shape))[name];
    try {
      const [result] = await this.hand.application.query(edit.text, edit.values);
      if ((result as mysql.ResultSetHeader).affectedRows > 0) for (const key of edit.keys) touched.add(key);
    } catch (error) {
      if (!REFUSED.has((error as mysql.QueryError).errno ?? 0)) throw error;
    }
    if (!before) return;
    const after = (await readLive(this.hand, this.shape))[name] ?? new Map<string, Row>();
    for (const key of new Set([...before.keys(), ...after.keys()]))
      if (!alike(before.get(key), after.get(key))) touched.add(key);
  }

  async #compare(live: Group, sides?: Sides): Promise<Found[]> {
    this.#seen = await readLive(this.hand, this.shape);
    const base = await readBase(this.hand, this.#published);
    const bases = this.#base && base ? this.#differences('base', this.#base, base, sides) : [];
    if ((this.#base === null) !== (base === null))
      bases.push({ kind: 'base', table: '', key: '', expected: this.#base, found: base });
    return [...this.#differences('live', live, this.#seen, sides), ...bases];
  }

  #differences(kind: 'live' | 'base', expected: Group, found: Group, sides?: Sides): Found[] {
    return Object.keys(expected).flatMap((name) => {
      const [left, right] = [expected[name] ?? new Map(), found[name] ?? new Map()];
      return [...new Set([...left.keys(), ...right.keys()])].flatMap((key) => {
        const [one, other] = [left.get(key), right.get(key)];
        if (alike(one, other)) return [];
        const rowOf = (group: Group | null) => group?.[name]?.get(key) ?? null;
        const had = sides && {
          sides: { base: rowOf(sides.base), source: rowOf(sides.source), live: rowOf(sides.live) },
        };
        return [{ kind, table: name, key, expected: one ?? null, found: other ?? null, ...had }];
      });
    });
  }
}

/** What a mapping reads of what billing could say. */
function readBy(shape: Shape, said: Group): Group {
  return Object.fromEntries(
    shape.tables.map((table) => {
      const columns = mappedColumns(table);
      const rows = [...(said[table.name] ?? [])].map(([key, row]): [string, Row] => [
        key,
        Object.fromEntries(columns.map((column) => [column, row[column] ?? null])),
      ]);
      return [table.name, new Map(rows)];
    }),
  );
}

/**
 * A settlement is carried out or void after a publish; but where the row was taken as live has it, and both sides still
 * say what was shown, it waits for the next.
 */
function stillWaits(settlement: Settlement, outcomes: Outcomes): boolean {
  const outcome = outcomes[settlement.table]?.get(settlement.key);
  if (outcome?.verdict === 'quarantined') return true;
  if (outcome?.verdict !== 'fallenBack' || !outcome.source || !outcome.live) return false;
  const names = settlement.columns.join();
  if (!outcome.table.units.some(({ columns }) => columns.join() === names)) return false;
  return (
    sameIn(settlement.columns, settlement.source, outcome.source) &&
    sameIn(settlement.columns, settlement.live, outcome.live)
  );
}

function compareConflicts(expected: Conflict[], found: Conflict[]): Found[] {
  const [left, right] = [listed(expected), listed(found)];
  return [...new Set([...left.keys(), ...right.keys()])].flatMap((place) => {
    const [one, other] = [left.get(place), right.get(place)];
    if (alike(one, other && withoutGaps(other, one))) return [];
    const { table, key } = one ?? other ?? { table: '', key: '' };
    return [{ kind: 'conflict' as const, table, key, expected: one ?? null, found: other ?? null }];
  });
}

/** Of a row that was carried over a change of the mapping a lost value of the base is shown as NULL. */
function withoutGaps(found: Conflict, expected: Conflict | undefined): Conflict {
  if (!found.base || !expected?.base) return found;
  const known = Object.keys(expected.base);
  const base = Object.entries(found.base).filter(([name, value]) => value !== null || known.includes(name));
  return { ...found, base: Object.fromEntries(base) };
}

/** Conflicts by table, key, kind and columns; a second of the same place keeps a place of its own. */
function listed(conflicts: Conflict[]): Map<string, Conflict> {
  const places = new Map<string, Conflict>();
  for (const conflict of inOrder(conflicts)) {
    let place = JSON.stringify([conflict.table, conflict.key, conflict.kind, conflict.columns]);
    while (places.has(place)) place += '+';
    places.set(place, conflict);
  }
  return places;
}

/** Are two things the same to the last character, whatever the order of their properties? */
export function alike(left: unknown, right: unknown): boolean {
  if (left === right) return true;
  if (typeof left !== 'object' || typeof right !== 'object' || left === null || right === null) return false;
  const [one, other] = [left as Record<string, unknown>, right as Record<string, unknown>];
  const names = new Set([...Object.keys(one), ...Object.keys(other)]);
  return [...names].every((name) => alike(one[name], other[name]));
}
