import { Random } from '../../demo/app/random.js';
import {
  identityOf,
  type Reference,
  type Row,
  type Side,
  type Table,
  type Unit,
  type Value,
} from './oracle.js';
import { foldsOf, mappedColumns, parameter, type Shape, type ShapedTable, type TypeName } from './shape.js';
import type { Edit } from './story.js';

/**
 * Random schemas, and random rows, changes and edits within them, each drawn from a seed alone. Several worlds live in
 * one schema, since tables are dear to make and rows are not: each keeps to keys and unique values of its own.
 */

/** Values at the edges of a type, and such as a careless comparison takes for one. */
const VALUES: Record<TypeName, string[]> = {
  bigint: ['0', '-1', '9007199254740992', '9007199254740993', '9223372036854775807', '-9223372036854775808'],
  int: ['0', '-1', '2147483647', '-2147483648'],
  text: ['', ' ', 'a', 'A', 'á', 'a ', 'ß', 'ss', 'e\u0301', 'é', '😀', '\\', "'", '\0', 'NULL'],
  short: ['', 'a', 'A', 'á'],
  padded: ['', ' ', 'a', 'a ', 'a  ', 'A', '\t', '\n'],
  latin: ['', 'a', 'A', 'ä', 'é', 'ß', 'a '],
  currency: ['', 'EUR', 'eur', 'USD'],
  double: ['0', '-0', '1', '0.1', '0.10000000000000002', '1.7976931348623157e308', '5e-324', '-1.5'],
  decimal: ['0.0000', '0.0001', '-0.0001', '99999999999999.9999', '-99999999999999.9999'],
  json: ['1', '1.0', 'null', 'true', '"a"', '"A"', '[]', '{"a": 1}', '{"a": 1.0}'],
  bytes: ['', '00', '0000', '61', '6100', '41', 'FF'],
  binary: ['00000000', '61000000', '41000000', 'FFFFFFFF'],
  date: ['1000-01-01', '1970-01-01', '2024-02-29', '9999-12-31'],
  at: ['1000-01-01 00:00:00.000000', '2024-02-29 12:00:00.000001', '9999-12-31 23:59:59.999999'],
  status: ['open', 'paid', 'Void'],
  float: [
    '0',
    '-0',
    '1.5',
    '0.10000000149011612',
    '0.10000000894069672',
    '-16777216',
    '3.4028234663852886e38',
    '1.401298464324817e-45',
  ],
  tiny: ['0', '127', '128', '255'],
  unsigned: [
    '0',
    '1',
    '9007199254740993',
    '9223372036854775807',
    '9223372036854775808',
    '18446744073709551615',
  ],
  zerofill: ['0', '7', '70', '4294967295'],
  bits: ['0', '1', '48', '9007199254740993', '9223372036854775808', '18446744073709551615'],
  few: ['0', '1', '48', '8191'],
  long: ['', ' ', 'a', 'A', 'á', 'a ', 'e\u0301', 'é', '\0', '😀'.repeat(1_000)],
  wide: ['', 'a', 'A', 'a ', 'á', '😀', '\0', '語'.repeat(1_000)],
  blob: ['', '00', '0000', '6100', '61', '5C27', 'FF'.repeat(3_000)],
  time: ['00:00:00.000000', '-00:00:00.000001', '23:59:59.999999', '838:59:59.000000', '-838:59:59.000000'],
  timestamp: [
    '1970-01-01 00:00:01.000000',
    '2024-03-31 01:30:00.000000',
    '2024-10-27 00:30:00.000001',
    '2038-01-19 03:14:07.999999',
  ],
  year: ['0000', '1901', '2000', '2155'],
  flags: ['', 'a', 'B', 'a,B', 'a,B,ß,c d', 'c d'],
};
const MERGED_TYPES: TypeName[] = [
  'bigint',
  'text',
  'padded',
  'latin',
  'currency',
  'double',
  'decimal',
  'json',
  'bytes',
  'at',
  'status',
  'float',
  'tiny',
  'unsigned',
  'zerofill',
  'bits',
  'few',
  'long',
  'wide',
  'blob',
  'time',
  'timestamp',
  'year',
  'flags',
];
const KEY_TYPES: TypeName[][] = [
  ['bigint'],
  ['text'],
  ['padded'],
  ['latin'],
  ['bytes'],
  ['binary'],
  ['decimal'],
  ['date'],
  ['text', 'int'],
  ['binary', 'date'],
  ['unsigned'],
  ['time'],
  ['timestamp', 'tiny'],
  ['year', 'zerofill'],
];
const KEYS_A_WORLD = 6;

/** A parent and a child table with everything that a configuration may say of them. */
export function drawShape(seed: number): Shape {
  const random = new Random(seed);
  const keyTypes = random.pick(KEY_TYPES);
  const key = keyTypes.map((_, index) => `k${index + 1}`);
  const parentKey = Object.fromEntries(keyTypes.map((type, index) => [`k${index + 1}`, type]));
  const parent = drawTable(random, 'parent', parentKey, key, {
    boss: random.chance(0.5) ? { columns: key.map((name) => `boss_${name}`), parent: 'parent' } : undefined,
  });
  const inKey = random.chance(0.3);
  const childKey: Record<string, TypeName> = inKey
    ? { ...renamed(parentKey, 'of_'), no: 'int' }
    : { no: 'bigint' };
  const child = drawTable(
    random,
    'child',
    childKey,
    Object.keys(childKey),
    {
      of: { columns: key.map((name) => `of_${name}`), parent: 'parent' },
    },
    parentKey,
  );
  return {
    firstRun: random.pick(['source', 'live']),
    chunkRows: 3 + random.below(12),
    tables: [parent, child],
  };
}

/**
 * The same tables under another mapping: a column of the application's own is mapped, or one that was mapped is the
 * application's own now; one has another owner, or is taken from another column of the source; columns merge together, or
 * apart. Columns of keys, references and unique indexes stay as they are.
 */
export function drawMapping(random: Random, shape: Shape): Shape {
  const tables = shape.tables.map((table) => {
    if (random.chance(0.4)) return table;
    const fixed = new Set([...table.references.flatMap(({ columns }) => columns), ...table.unique.flat()]);
    const apart = table.units.filter(({ columns }) => columns.some((column) => fixed.has(column)));
    const own: Record<string, Value> = {};
    const units: Unit[] = [];
    const from = { ...table.from };
    const free = [
      ...table.units.filter((unit) => !apart.includes(unit)),
      ...Object.keys(table.own).map((column) => ({
        columns: [column],
        owner: undefined,
        onConflict: undefined,
      })),
    ];
    for (const { columns, owner = 'merge' as const, onConflict = 'live' as const } of free) {
      if (random.chance(0.15)) {
        for (const column of columns) own[column] = column === 'note' ? 'none' : null;
        continue;
      }
      const changed = { owner: random.chance(0.2) ? random.pick(OWNERS) : owner, onConflict };
      for (const column of columns)
        if (random.chance(0.1)) from[column] = from[column] ? column : `${column}_too`;
      if (columns.length > 1 && random.chance(0.2))
        for (const column of columns) units.push({ columns: [column], ...changed });
      else units.push({ columns, ...changed });
    }
    const [one, other] = [random.pick(units), random.pick(units)];
    if (one && other && one !== other && random.chance(0.3)) {
      units.splice(units.indexOf(other), 1);
      Object.assign(one, { columns: [...one.columns, ...other.columns] });
    }
    return { ...table, own, units: [...apart, ...units], from };
  });
  return { ...shape, tables };
}
const OWNERS: Unit['owner'][] = ['merge', 'merge', 'source', 'live'];

const renamed = (types: Record<string, TypeName>, prefix: string) =>
  Object.fromEntries(Object.entries(types).map(([name, type]) => [prefix + name, type]));

function drawTable(
  random: Random,
  name: string,
  keyTypes: Record<string, TypeName>,
  key: string[],
  wanted: Record<string, { columns: string[]; parent: string } | undefined>,
  parentKey: Record<string, TypeName> = keyTypes,
): ShapedTable {
  const types: Record<string, TypeName> = { ...keyTypes };
  const units: Unit[] = [];
  const draw = (columns: string[], owners: Unit['owner'][] = ['merge', 'merge', 'merge', 'source', 'live']) =>
    units.push({ columns, owner: random.pick(owners), onConflict: random.pick(['live', 'source']) });
  const references: Reference[] = [];
  for (const [prefix, reference] of Object.entries(wanted)) {
    if (!reference) continue;
    references.push({ ...reference, parentColumns: Object.keys(parentKey) });
    if (reference.columns.every((column) => key.includes(column))) continue;
    Object.assign(types, renamed(parentKey, `${prefix}_`));
    draw(reference.columns, ['merge', 'merge', 'source']);
  }
  const unique = random.chance(0.6) ? [['u']] : [];
  types.u = random.pick(['text', 'padded']);
  draw(['u']);
  for (const column of ['a', 'b', 'c'].slice(0, 1 + random.below(3))) {
    types[column] = random.pick(MERGED_TYPES);
    draw([column]);
  }
  const group = ['g1', 'g2', 'g3'].slice(0, 2 + random.below(2));
  for (const column of group) types[column] = random.pick(MERGED_TYPES);
  draw(group);
  const own = { note: 'none', mark: null };
  Object.assign(types, { note: 'text', mark: random.pick(MERGED_TYPES) });
  return {
    name,
    types,
    key,
    units,
    own,
    onSourceDelete: random.pick(['delete', 'delete', 'keep']),
    onLiveDelete: random.pick(['respect', 'respect', 'restore']),
    references,
    unique,
    folds: foldsOf(types),
  };
}

const CLIENT_ACTIONS = [
  ...Array<'update'>(7).fill('update'),
  'insert',
  'insert',
  'delete',
  'delete',
  'rekey',
  'replace',
  'upsert',
] as const;

/** What billing and the clients do to one seed's rows. */
export class World {
  readonly #random: Random;
  readonly #source: Record<string, Map<string, Row>>;
  readonly #keys: Record<string, Value[][]>;

  /** @param place among the worlds of a schema: which keys and unique values are this one's */
  constructor(
    public shape: Shape,
    readonly seed: number,
    readonly place: number,
  ) {
    this.#random = new Random(seed * 7919 + 17);
    this.#source = Object.fromEntries(shape.tables.map(({ name }) => [name, new Map()]));
    this.#keys = {};
    for (const table of shape.tables) this.#keys[table.name] = this.#drawKeys(table);
  }

  /** Is this key one of the world's? */
  owns(table: string, key: string): boolean {
    const found = this.#tableOf(table);
    return (this.#keys[table] ?? []).some((values) => identityOf(found, rowOfKey(found, values)) === key);
  }

  /** What billing says now. */
  rows(table: string): Map<string, Row> {
    return new Map(this.#source[table]);
  }

  /** Billing's next day. */
  change(): void {
    for (let index = 0; index < 12; index += 1) {
      const table = this.#random.pick(this.shape.tables);
      const row = this.#pickFrom(table);
      const what = this.#random.below(10);
      if (!row || what < 5) this.#insert(table);
      else if (what < 9) this.#update(table, row);
      else this.#delete(table, row);
    }
  }

  /** What clients do at one moment: statements that MySQL may refuse. */
  edits(): Edit[] {
    return Array.from({ length: this.#random.below(4) }, () => this.#edit());
  }

  /** How the world's operator settles the next conflict; undefined: they leave it open. */
  settles(): Side | undefined {
    return this.#random.chance(0.7) ? this.#random.pick(['source', 'live']) : undefined;
  }

  #tableOf(name: string): ShapedTable {
    const table = this.shape.tables.find((candidate) => candidate.name === name);
    if (!table) throw new Error(`no table ${name}`);
    return table;
  }

  #pickFrom(table: ShapedTable): Row | undefined {
    const rows = [...(this.#source[table.name]?.values() ?? [])];
    return rows.length === 0 ? undefined : this.#random.pick(rows);
  }

  /** Keys of the world: a few, so that both sides come to the same ones. */
  #drawKeys(table: ShapedTable): Value[][] {
    const parents = this.#keys.parent ?? [];
    return Array.from({ length: KEYS_A_WORLD }, (_, index) => {
      const inParent = table.references.find(({ columns }) =>
        columns.every((name) => table.key.includes(name)),
      );
      if (inParent) return [...this.#random.pick(parents), String(this.place * 100 + index)];
      return table.key.map((column) => keyValue(table.types[column] ?? 'int', this.place, index));
    });
  }

  /** A key as either side may spell it: in another case, or with other spaces at the end, where that is one key. */
  #spelled(table: ShapedTable, values: Value[]): Value[] {
    return values.map((value, index) => {
      const type = table.types[table.key[index] ?? ''];
      if (value === null || !this.#random.chance(0.3)) return value;
      if (type === 'text' || type === 'latin') return value.toUpperCase();
      return type === 'padded' ? `${value} ` : value;
    });
  }

  #value(table: ShapedTable, column: string): Value {
    if (this.#random.chance(0.2)) return null;
    const type = table.types[column] ?? 'text';
    if (column !== 'u') return this.#random.pick(VALUES[type]);
    const end = this.#random.chance(0.2) ? ' ' : '';
    return `${this.place}${this.#random.pick(['a', 'A', 'á', 'b', 'c', 'd', 'e'])}${end}`;
  }

  #parentKey(reference: Reference, among: Value[][]): Record<string, Value> {
    const none = among.length === 0 || this.#random.chance(0.15);
    const parent = this.#tableOf(reference.parent);
    const values = none ? [] : this.#spelled(parent, this.#random.pick(among));
    return Object.fromEntries(reference.columns.map((column, index) => [column, values[index] ?? null]));
  }

  /** Values of one unit; a reference points at one of the given keys, or at nothing. */
  #unitValues(
    table: ShapedTable,
    unit: Unit,
    parents: (reference: Reference) => Value[][],
  ): Record<string, Value> {
    const reference = table.references.find(({ columns }) => columns.join() === unit.columns.join());
    if (reference) return this.#parentKey(reference, parents(reference));
    return Object.fromEntries(unit.columns.map((column) => [column, this.#value(table, column)]));
  }

  #parentsInSource(reference: Reference): Value[][] {
    const parent = this.#tableOf(reference.parent);
    return [...(this.#source[reference.parent]?.values() ?? [])].map((row) => keyOf(parent, row));
  }

  #insert(table: ShapedTable): void {
    const values = this.#spelled(table, this.#random.pick(this.#keys[table.name] ?? []));
    const row: Record<string, Value> = rowOfKey(table, values);
    const rows = this.#source[table.name];
    const key = identityOf(table, row);
    if (!rows || rows.has(key)) return;
    for (const unit of table.units)
      Object.assign(
        row,
        this.#unitValues(table, unit, (reference) => this.#parentsInSource(reference)),
      );
    const orphan = table.references.some(
      (reference) =>
        row[reference.columns[0] ?? ''] !== null &&
        !this.#source[reference.parent]?.has(this.#identityOfParent(reference, row)),
    );
    if (!orphan && !this.#isDouble(table, key, row)) rows.set(key, row);
  }

  #update(table: ShapedTable, row: Row): void {
    const unit = this.#random.pick(table.units);
    const changed = {
      ...row,
      ...this.#unitValues(table, unit, (reference) => this.#parentsInSource(reference)),
    };
    if (this.#random.chance(0.2))
      Object.assign(changed, rowOfKey(table, this.#spelled(table, keyOf(table, row))));
    const key = identityOf(table, row);
    if (!this.#isDouble(table, key, changed)) this.#source[table.name]?.set(key, changed);
  }

  /** With all that refers to it: billing has no orphans. */
  #delete(table: ShapedTable, row: Row): void {
    const key = identityOf(table, row);
    this.#source[table.name]?.delete(key);
    for (const child of this.shape.tables) {
      for (const reference of child.references) {
        if (reference.parent !== table.name) continue;
        for (const found of [...(this.#source[child.name]?.values() ?? [])])
          if (this.#identityOfParent(reference, found) === key) this.#delete(child, found);
      }
    }
  }

  #identityOfParent(reference: Reference, row: Row): string {
    const parent = this.#tableOf(reference.parent);
    return identityOf(
      parent,
      rowOfKey(
        parent,
        reference.columns.map((column) => row[column] ?? null),
      ),
    );
  }

  /** Billing keeps its own unique values apart, nearly always. */
  #isDouble(table: ShapedTable, key: string, row: Row): boolean {
    if (row.u === null || this.#random.chance(0.05)) return false;
    return [...(this.#source[table.name] ?? [])].some(
      ([other, found]) => other !== key && identityOf(table, found, ['u']) === identityOf(table, row, ['u']),
    );
  }

  #edit(): Edit {
    const random = this.#random;
    const table = random.pick(this.shape.tables);
    const anyKey = () => this.#spelled(table, random.pick(this.#keys[table.name] ?? []));
    const key = anyKey();
    const anyParent = (reference: Reference) => this.#keys[reference.parent] ?? [];
    const unit = random.pick([
      ...table.units,
      ...Object.keys(table.own).map((column) => ({ columns: [column] })),
    ]);
    const set = this.#unitValues(table, unit as Unit, anyParent);
    const whole = (): Record<string, Value> => {
      const row: Record<string, Value> = rowOfKey(table, key);
      for (const each of table.units) Object.assign(row, this.#unitValues(table, each, anyParent));
      row.note = `of ${random.below(1000)}`;
      return row;
    };
    const one = (values: Value[]) => identityOf(table, rowOfKey(table, values));
    const edit = (text: string, values: unknown[], keys: Value[][], more: Partial<Edit> = {}): Edit => ({
      text,
      values,
      table,
      keys: keys.map(one),
      ...more,
    });
    const where = table.key.map((column) => `\`${column}\` = ?`).join(' AND ');
    const bound = (columns: string[], row: Row) =>
      columns.map((column) => parameter(table, column, row[column] ?? null));
    const keyValues = (values: Value[]) => bound(table.key, rowOfKey(table, values));
    const assign = (row: Row) =>
      Object.keys(row)
        .map((column) => `\`${column}\` = ?`)
        .join(', ');
    switch (random.pick(CLIENT_ACTIONS)) {
      case 'update':
        return edit(
          `UPDATE ${table.name} SET ${assign(set)} WHERE ${where}`,
          [...bound(Object.keys(set), set), ...keyValues(key)],
          [key],
        );
      case 'delete':
        return edit(`DELETE FROM ${table.name} WHERE ${where}`, keyValues(key), [key]);
      case 'rekey': {
        const to = anyKey();
        return edit(
          `UPDATE ${table.name} SET ${assign(rowOfKey(table, to))} WHERE ${where}`,
          [...keyValues(to), ...keyValues(key)],
          [key, to],
        );
      }
      case 'insert': {
        const row = whole();
        return edit(`INSERT INTO ${table.name} SET ${assign(row)}`, bound(Object.keys(row), row), [key]);
      }
      case 'replace': {
        const row = whole();
        // MySQL lets REPLACE delete, by a unique value, the very row that the new one refers to: live would have an orphan.
        for (const { parent, columns } of table.references)
          if (parent === table.name) for (const column of columns) row[column] = null;
        return edit(`REPLACE INTO ${table.name} SET ${assign(row)}`, bound(Object.keys(row), row), [key], {
          byUnique: true,
        });
      }
      case 'upsert': {
        const row = whole();
        return edit(
          `INSERT INTO ${table.name} SET ${assign(row)} ON DUPLICATE KEY UPDATE note = CONCAT(COALESCE(LEFT(note, 20), ''), '+')`,
          bound(Object.keys(row), row),
          [],
          { byUnique: true },
        );
      }
    }
  }
}

const keyOf = (table: Table, row: Row): Value[] => table.key.map((column) => row[column] ?? null);
const rowOfKey = (table: Table, values: Value[]): Record<string, Value> =>
  Object.fromEntries(table.key.map((column, index) => [column, values[index] ?? null]));

/** One of a world's keys; that of index 5 is at an edge, or such as another engine takes for its neighbour. */
function keyValue(type: TypeName, place: number, index: number): string {
  const n = place * 10 + index;
  const hex = (bytes: number, value: number) =>
    value
      .toString(16)
      .toUpperCase()
      .padStart(bytes * 2, '0');
  switch (type) {
    case 'bigint': {
      const edges = VALUES.bigint;
      return index === 5 && place < edges.length ? (edges[place] ?? '') : String(n + 10);
    }
    case 'int':
      return String(index % 2 === 0 ? n : -n - 1);
    case 'unsigned': {
      const edges = VALUES.unsigned;
      return index === 5 && place < edges.length ? (edges[place] ?? '') : String(n + 10);
    }
    case 'tiny':
    case 'zerofill':
      return String(n);
    case 'year':
      return String(index === 5 ? 2155 - place : 1901 + n);
    case 'time':
      return `${index % 2 === 0 ? '' : '-'}${String(500 + n).padStart(3, '0')}:00:00.${index === 5 ? '000001' : '000000'}`;
    case 'timestamp':
      return `20${String(10 + place).padStart(2, '0')}-03-31 01:3${index}:00.00000${index}`;
    case 'decimal':
      return `${index % 2 === 0 ? '' : '-'}${n + 1}.${index === 5 ? '0001' : '5000'}`;
    case 'date':
      return `2${String(n).padStart(3, '0')}-02-${index === 5 ? '01' : '28'}`;
    case 'binary':
      return `${hex(2, n)}${index % 2 === 0 ? '0000' : '2000'}`;
    case 'bytes':
      return `${hex(2, place)}61${'00'.repeat(index)}`;
    default:
      return `k${place}-${index}`;
  }
}

/** All mapped columns of a row that only has some: the rest is NULL. */
export const completed = (table: ShapedTable, row: Row): Row =>
  Object.fromEntries(mappedColumns(table).map((column) => [column, row[column] ?? null]));
