import {
  type Conflict,
  type Group,
  identityOf,
  type Published,
  publish,
  type Row,
  rollBack,
} from '../merge/oracle.js';
import type { Version } from './billing.js';
import type { Commit } from './binary-log.js';
import { carryOut, type Model, type Operation } from './operations.js';
import { copyOf, emptyGroup, type Shape, type TableName, tablesOf } from './shape.js';

/** An edit that was handed in, by the token that it sets. */
export interface HandedIn {
  table: TableName;
  key: Record<string, string>;
  set: Record<string, string>;
}

/** What clients did, as far as their texts in the binary log name it. */
export interface Known {
  operations: Map<number, Operation>;
  edits: Map<string, HandedIn>;
}

export interface Swap {
  kind: 'publish' | 'rollback';
  generation: number;
  conflicts: Conflict[];
  /** the base that was valid before, and the one that is valid now, by generation */
  from: number;
  to: number;
}

/** The number that a client has written before its statement. */
function operationOf(text: string): number | undefined {
  const number = /^\/\*op (\d+)\*\//.exec(text)?.[1];
  return number === undefined ? undefined : Number(number);
}

/**
 * What must be in live: clients' commits in the order in which the binary log has them, and in between each swap as the
 * oracle of the merge says it. It knows nothing of how a run works.
 */
export class Ledger {
  readonly live: Model = emptyGroup();
  /** by generation; 0: nothing is published */
  readonly #bases = new Map<number, Group | null>([[0, null]]);
  #published: { to: number; before: Group; after: Group } | undefined;
  #touched: Record<TableName, Set<string>> = { customer: new Set(), invoice: new Set(), line: new Set() };
  /** what happened to each row, for people */
  readonly #history = new Map<string, string[]>();
  /** operations and tokens of edits that were committed, with how often */
  readonly committed = new Map<number | string, number>();
  /** what was committed together with an operation, for people */
  readonly commitOf = new Map<number, string>();
  readonly swaps: Swap[] = [];
  /** what nobody should have written */
  readonly strange: string[] = [];

  /** @param shape of this run alone: a migration changes it */
  constructor(readonly shape: Shape) {}

  /** The generation that was published last and can be rolled back; undefined: none. */
  get rollsBack(): number | undefined {
    return this.#published?.to;
  }

  /** Rows that live has from the start. */
  begin(rows: Model): void {
    for (const table of tablesOf(this.shape))
      for (const [key, row] of rows[table.name]) this.live[table.name].set(key, row);
  }

  /** A migration added a column, in every row NULL: the application's own from then on. */
  #addColumn(name: TableName, column: string): void {
    const table = this.shape.tables[name];
    table.types[column] = 'text';
    table.own[column] = null;
    for (const [key, row] of this.live[name]) this.live[name].set(key, { ...row, [column]: null });
  }

  history(table: TableName, key: string): string[] {
    return this.#history.get(`${table} ${key}`) ?? [];
  }

  /** @param version what the source said at the moment of a publish among the commits */
  feed(commits: Commit[], known: Known, version: Version | undefined): void {
    for (const commit of commits)
      for (const logged of commit) {
        const number = operationOf(logged.text);
        if (number !== undefined)
          this.commitOf.set(number, commit.map(({ text }) => text.slice(0, 200)).join('; '));
        if (logged.kind === 'definition') this.#definition(logged.text, version);
        else this.#statement(logged.text, logged.tables, known);
      }
  }

  #statement(text: string, tables: string[], known: Known): void {
    const number = operationOf(text);
    const operation = number === undefined ? undefined : known.operations.get(number);
    if (number !== undefined && operation) {
      this.#count(number);
      this.#carryOut(operation, `op ${number}: ${text.replace(/^\S+ \S+ /, '')}`);
      return;
    }
    const lives = tables.filter((name) => name in this.shape.tables);
    if (lives.length === 0) return;
    const token = /'(h\d+\.\d+\.\d+)'/.exec(text)?.[1];
    const edit = token === undefined ? undefined : known.edits.get(token);
    if (token !== undefined && edit && /^UPDATE /i.test(text)) {
      this.#count(token);
      const { table, key, set } = edit;
      this.#carryOut({ table, kind: 'update', keys: [key], set }, `handed in ${token}`);
      return;
    }
    this.strange.push(`${lives.join(', ')} written to by: ${text.slice(0, 300)}`);
  }

  #count(what: number | string): void {
    this.committed.set(what, (this.committed.get(what) ?? 0) + 1);
  }

  #carryOut(operation: Operation, what: string): void {
    carryOut(this.shape, this.live, operation, (table, key) => {
      this.#touched[table].add(key);
      this.#note(table, key, what);
    });
  }

  #note(table: TableName, key: string, what: string): void {
    const place = `${table} ${key}`;
    const history = this.#history.get(place) ?? [];
    history.push(what);
    this.#history.set(place, history);
  }

  #definition(text: string, version: Version | undefined): void {
    const column = /^ALTER TABLE (customer|invoice|line) ADD COLUMN (\w+) /.exec(text);
    if (column) this.#addColumn(column[1] as TableName, column[2] ?? '');
    if (!/^RENAME TABLE/i.test(text)) return;
    const moves = [...text.matchAll(/`([^`]+)` TO `([^`]+)`/g)].map(([, from, to]) => [from ?? '', to ?? '']);
    const marker = moves.find(([from]) => from?.startsWith('_ss_at_'));
    const generationOf = (name = '') => Number(/_ss(?:_at_)?(\d+)/.exec(name)?.[1]);
    const arrived = tablesOf(this.shape).filter(({ name }) => moves.some(([, to]) => to === name));
    if (arrived.length === 0) return;
    if (arrived.length < tablesOf(this.shape).length || !marker) {
      this.strange.push(`half of the group, or no base, was swapped: ${text}`);
      return;
    }
    const [from, to] = [generationOf(marker[0]), generationOf(marker[1])];
    const generation = generationOf(moves.find(([, name]) => name === 'customer')?.[0]);
    if (to > from) this.#publish({ generation, from, to }, version);
    else this.#rollBack({ generation, from, to });
  }

  #publish(at: { generation: number; from: number; to: number }, version: Version | undefined): void {
    const base = this.#bases.get(at.from);
    if (base === undefined || !version) {
      this.strange.push(
        base === undefined
          ? `generation ${at.to} was merged with the base of ${at.from}, which was never published or was rolled back`
          : `generation ${at.to} was published, and its meter says of no moment of the source`,
      );
      return;
    }
    const before = copyOf(this.live);
    const published = publish(tablesOf(this.shape), {
      firstRun: this.shape.firstRun,
      base,
      source: version.rows,
      live: before,
    });
    this.#tell(at.generation, published);
    this.#replace(published.live);
    this.#bases.set(at.to, published.base);
    this.#published = { to: at.to, before, after: copyOf(this.live) };
    this.swaps.push({ ...at, kind: 'publish', conflicts: published.conflicts });
  }

  #rollBack(at: { generation: number; from: number; to: number }): void {
    if (this.#published?.to !== at.from) {
      this.strange.push(`generation ${at.from} was rolled back, and cannot be`);
      return;
    }
    const live = rollBack(tablesOf(this.shape), {
      published: this.#published.after,
      backup: this.#published.before,
      live: copyOf(this.live),
      touched: this.#touched,
    });
    for (const table of tablesOf(this.shape))
      for (const key of new Set([...this.live[table.name].keys(), ...(live[table.name]?.keys() ?? [])]))
        if (this.live[table.name].get(key) !== live[table.name]?.get(key))
          this.#note(table.name, key, `rolled back by generation ${at.generation}`);
    this.#replace(live);
    this.#bases.delete(at.from);
    this.#published = undefined;
    this.swaps.push({ ...at, kind: 'rollback', conflicts: [] });
  }

  #tell(generation: number, published: Published): void {
    for (const table of tablesOf(this.shape))
      for (const [key, outcome] of published.outcomes[table.name] ?? [])
        if (
          outcome.verdict !== 'merged' ||
          Object.values(outcome.fields).some((verdict) => verdict !== 'agreed')
        )
          this.#note(
            table.name,
            key,
            `generation ${generation}: ${outcome.verdict} ${JSON.stringify(outcome.fields)}, base ${short(outcome.base)}, source ${short(outcome.source)}, live ${short(outcome.live)}`,
          );
  }

  #replace(live: Group): void {
    for (const table of tablesOf(this.shape)) {
      this.live[table.name].clear();
      for (const [key, row] of live[table.name] ?? []) this.live[table.name].set(key, row);
      this.#touched[table.name] = new Set();
    }
  }
}

const short = (row: Row | null) => (row ? JSON.stringify(Object.values(row)) : 'none');

/** The identity under which a row's history is kept. */
export const historyKey = (shape: Shape, table: TableName, row: Row) => identityOf(shape.tables[table], row);
