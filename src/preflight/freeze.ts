import type { Config, TableConfig } from '../config/load.js';
import { noBaseOf } from '../model/mapping.js';
import type { LiveColumn, MergeUnit, RunSpec, TableSpec, UniquePart } from '../model/spec.js';
import type { LiveColumnFacts, LiveTable } from '../mysql/schema.js';
import { id } from '../sql/text.js';
import type { SourceTable } from '../sql-server/schema.js';
import type { Facts } from './facts.js';
import { sourceColumnOf, sourceOf } from './source-names.js';
import { digitsOfNow } from './zone.js';

/** Stands for a run where `check` tries what a run would do: no run has generation 0, and tables of it that a check left are dropped with the next run's cleanup. */
export const CHECK_RUN = { runId: 'check', generation: 0, baseGeneration: null, fingerprints: {} };

/** Freezes the configuration and the two schemas into the specification of a run. Facts must have passed `decide`. */
export function freeze(
  config: Config,
  facts: Facts,
  run: {
    runId: string;
    generation: number;
    fingerprints: Record<string, string>;
  },
): RunSpec {
  const published = facts.published ?? null;
  const tables = config.tables.map((table) => {
    const live = facts.live.find((candidate) => candidate.name === table.live);
    const source = sourceOf(facts.source, table.source);
    if (!live || !source) throw new Error(`${table.live} did not pass preflight`);
    const fingerprint = run.fingerprints[table.live] ?? '';
    return sinceThen(freezeTable(table, live, source, fingerprint, config.timeZone), published);
  });
  return {
    pipeline: config.pipeline,
    runId: run.runId,
    generation: run.generation,
    baseGeneration: published?.generation ?? null,
    kind: 'publish',
    undoes: null,
    schema: facts.schema,
    firstRun: config.firstRun,
    moment: config.source.moment,
    approve: config.approve,
    approvalHoursMax: config.approvalHoursMax,
    window: config.window,
    sourceAgeMsMax: config.sourceAgeMsMax,
    replay: config.replay,
    chunkRows: config.chunkRows,
    parallel: config.parallel,
    ...(config.source.rowsPerSecondMax === undefined
      ? {}
      : { rowsPerSecondMax: config.source.rowsPerSecondMax }),
    ...(config.target.threadsRunningMax === undefined
      ? {}
      : { threadsRunningMax: config.target.threadsRunningMax }),
    backups: config.backups,
    backup: config.backup,
    guards: config.guards,
    badRows: config.badRows,
    badRowsMax: config.badRowsMax,
    assertions: config.assertions,
    cutOver: config.cutOver,
    tables: parentsFirst(tables).map((table, ordinal) => ({ ...table, ordinal })),
  };
}

function freezeTable(
  table: TableConfig,
  live: LiveTable,
  source: SourceTable,
  fingerprint: string,
  timeZone: string | undefined,
): TableSpec {
  const names = Object.keys(table.columns);
  const ordered = [...table.key, ...names.filter((name) => !table.key.includes(name))];
  const columns = ordered.map((name) => {
    const to = live.columns.find((column) => column.name === name);
    const from = sourceColumnOf(source, table.columns[name]?.from ?? '');
    if (!to || !from) throw new Error(`${table.live}.${name} did not pass preflight`);
    const { type, maxLengthBytes, precision, scale, collation } = from;
    return {
      source: { name: from.name, type, maxLengthBytes, precision, scale, collation },
      live: liveColumn(to),
      ...(timeZone === undefined ? {} : { timeZone }),
    };
  });
  return {
    source: { schema: source.schema, table: source.name },
    live: table.live,
    ordinal: 0, // given when the order is known
    key: table.key,
    columns,
    unmapped: live.columns
      .filter((column) => !Object.hasOwn(table.columns, column.name) && !column.generated)
      .map((column) => {
        const digits = digitsOfNow(column);
        return { ...liveColumn(column), ...(digits === undefined ? {} : { defaultsToNow: digits }) };
      }),
    units: unitsOf(table, ordered),
    foreignKeys: live.foreignKeys.map((key) => ({
      name: key.name,
      columns: key.columns,
      parent: key.referencedTable,
      parentColumns: key.referencedColumns,
    })),
    uniqueIndexes: live.uniqueIndexes.map(partsOf),
    ...checksOf(live),
    onSourceDelete: table.onSourceDelete,
    onLiveDelete: table.onLiveDelete,
    fingerprint,
  };
}

/** What the base of the last publish can tell of the table, and of which columns it cannot. */
function sinceThen(table: TableSpec, published: RunSpec | null): TableSpec {
  if (published === null) return table;
  const then = published.tables.find(({ live }) => live === table.live);
  if (!then) return { ...table, firstPublish: true };
  const columns = table.columns.map((column) => {
    const unit = table.units.find(({ columns: names }) => names.includes(column.live.name));
    const noBase = noBaseOf(column, unit?.owner, then);
    return noBase ? { ...column, noBase } : column;
  });
  return { ...table, columns, ...(then.gaps ? { gaps: then.gaps } : {}) };
}

/** Of an index over the beginning of a column that beginning is a part, in characters or, of binary columns, bytes. */
function partsOf(index: LiveTable['uniqueIndexes'][0]): UniquePart[] {
  return index.columns.map((column, place) => {
    const { expression, prefix } = index.parts?.[place] ?? {};
    if (column === null) return { expression: expression ?? 'NULL' };
    return prefix === undefined ? column : { expression: `LEFT(${id(column).text}, ${prefix})` };
  });
}

function checksOf({ checks, columns }: LiveTable): Pick<TableSpec, 'checks'> {
  const enforced = checks.filter(({ enforced: yes }) => yes);
  if (enforced.length === 0) return {};
  const over = (clause: string) =>
    columns.flatMap(({ name }) => (clause.includes(id(name).text) ? name : []));
  return { checks: enforced.map(({ name, clause }) => ({ name, clause, columns: over(clause) })) };
}

function liveColumn(column: LiveColumnFacts): LiveColumn {
  const { name, type, columnType, nullable, charset, collation, precision, scale, fractionDigits } = column;
  return { name, type, columnType, nullable, charset, collation, precision, scale, fractionDigits };
}

/** Column groups, then every other column on its own; the key is never merged. */
function unitsOf(table: TableConfig, names: string[]): MergeUnit[] {
  const grouped = new Set(table.groups.flat());
  const unit = (columns: string[]): MergeUnit => {
    const first = table.columns[columns[0] ?? ''];
    return { columns, owner: first?.owner ?? 'merge', onConflict: first?.onConflict ?? 'live' };
  };
  const singles = names.filter((name) => !grouped.has(name) && !table.key.includes(name));
  return [...table.groups.map(unit), ...singles.map((name) => unit([name]))];
}

/** Parents before their children. @throws {Error} a cycle of foreign keys between tables */
function parentsFirst(tables: TableSpec[]): TableSpec[] {
  const done: TableSpec[] = [];
  const open = new Set(tables);
  while (open.size > 0) {
    const ready = [...open].filter((table) =>
      table.foreignKeys.every(
        (key) => key.parent === table.live || ![...open].some((other) => other.live === key.parent),
      ),
    );
    if (ready.length === 0)
      throw new Error(`foreign keys form a cycle among ${[...open].map((table) => table.live).join(', ')}`);
    for (const table of ready) {
      done.push(table);
      open.delete(table);
    }
  }
  return done;
}
