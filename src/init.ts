import { DEFAULTS, LIMITS, type Side } from './config/schema.js';
import { keyRefusalOf, refusalOf } from './model/conversion.js';
import { isMadeByRun, LIVE_NAME_CHARACTERS_MAX } from './model/names.js';
import { cascades, type LiveForeignKey, type LiveTable } from './mysql/schema.js';
import type { SourceTable } from './sql-server/schema.js';

export interface InitInput {
  pipeline: string;
  sourceTables: SourceTable[];
  liveTables: LiveTable[];
  /** pairs that names alone do not give */
  map: { source: { schema: string; table: string }; live: string }[];
  firstRun: Side;
  /** names of environment variables */
  sourceEnv: string;
  targetEnv: string;
}

export interface InitResult {
  /** the configuration file */
  text: string;
  /** live tables that it publishes, parents before children */
  tables: string[];
  /** what was left out, and why: also in the file, as comments */
  leftOut: string[];
}

/** Names that cannot be followed: the caller tells the user. */
export class InitError extends Error {
  readonly cure: string;
  constructor(message: string, cure: string) {
    super(message);
    this.name = 'InitError';
    this.cure = cure;
  }
}

/** A name as it is matched: case, underscores and spaces aside. */
export function matchedName(name: string): string {
  return name.toLowerCase().replace(/[_\s]/g, '');
}

interface Pair {
  source: SourceTable;
  live: LiveTable;
}

interface Draft extends Pair {
  key: string[];
  /** live's column, source's column; the key's first */
  columns: { live: string; source: string }[];
  notes: string[];
}

/**
 * Writes a configuration from two schemas: tables and columns matched by name, keys and the order of tables from
 * live's schema. What cannot be published as it stands is left out with its reason, so that the file runs as it is.
 *
 * @throws {InitError} a mapping that names no table, or nothing to publish
 */
export function writeConfig(input: InitInput): InitResult {
  const leftOut: string[] = [];
  const drafts = pairTables(input, leftOut).flatMap((pair) => {
    const draft = draftTable(pair);
    if (typeof draft !== 'string') return [draft];
    leftOut.push(`${sourceName(pair.source)} = ${pair.live.name}: ${draft}`);
    return [];
  });
  const group = parentsFirst(closeGroup(drafts, leftOut));
  if (group.length > LIMITS.tablesMax) {
    throw new InitError(
      `${group.length} tables match, a pipeline publishes at most ${LIMITS.tablesMax}`,
      'split them into pipelines along their foreign keys',
    );
  }
  if (group.length === 0) {
    throw new InitError(
      `no table can be published:\n${leftOut.map((line) => `  ${line}`).join('\n')}`,
      'name pairs by --map dbo.Customer=customer, and cure what is listed',
    );
  }
  return { text: fileText(input, group, leftOut), tables: group.map((draft) => draft.live.name), leftOut };
}

function sourceName(table: SourceTable): string {
  return `${table.schema}.${table.name}`;
}

/** Live tables by their source: those that were named first, then those whose names are the same. */
function pairTables(input: InitInput, leftOut: string[]): Pair[] {
  const pairs: Pair[] = [];
  for (const { source, live } of input.map) {
    const from = input.sourceTables.find(
      (table) => equalName(table.schema, source.schema) && equalName(table.name, source.table),
    );
    const to = input.liveTables.find((table) => table.name === live);
    if (!from) {
      throw new InitError(`the source has no table ${source.schema}.${source.table}`, 'correct --map');
    }
    if (!to) throw new InitError(`the target has no table ${live}`, 'correct --map; case matters here');
    if (pairs.some((pair) => pair.source === from || pair.live === to)) {
      throw new InitError(`--map names ${sourceName(from)} or ${live} twice`, 'map each table once');
    }
    pairs.push({ source: from, live: to });
  }
  const openSources = input.sourceTables.filter((table) => !pairs.some((pair) => pair.source === table));
  const openLive = input.liveTables.filter((table) => !pairs.some((pair) => pair.live === table));
  const matched = new Set<SourceTable>();
  for (const live of openLive) {
    const found = openSources.filter((table) => matchedName(table.name) === matchedName(live.name));
    const rivals = openLive.filter((table) => matchedName(table.name) === matchedName(live.name));
    for (const table of found) matched.add(table);
    const [source] = found;
    if (source && found.length === 1 && rivals.length === 1) {
      pairs.push({ source, live });
    } else if (source) {
      const choice = found.map(sourceName).join(' or ');
      leftOut.push(
        `${live.name}: could come from ${choice}; say which by --map ${sourceName(source)}=${live.name}`,
      );
    } else {
      leftOut.push(`${live.name}: no source table of that name; name one by --map dbo.Table=${live.name}`);
    }
  }
  for (const source of openSources) {
    if (!matched.has(source)) leftOut.push(`${sourceName(source)}: no live table of that name`);
  }
  return pairs;
}

/** The configuration of one table, or why there cannot be one. */
function draftTable({ source, live }: Pair): Draft | string {
  const notes: string[] = [];
  if (live.kind !== 'BASE TABLE') return 'live is a view';
  if ([...live.name].length > LIVE_NAME_CHARACTERS_MAX) {
    return `live's name is longer than ${LIVE_NAME_CHARACTERS_MAX} characters`;
  }
  if (/[.[\]]/.test(source.name + source.schema)) return "the source's name holds a dot or a bracket";
  if (live.primaryKey.length === 0) return 'live has no primary key';
  if (live.primaryKey.length > LIMITS.keyColumnsMax) return "live's primary key has too many columns";
  if (live.partitioned) return 'live is partitioned';
  if (live.engine !== 'InnoDB') return `live's engine ${live.engine} has no transactions`;
  const cascading = live.foreignKeys.find(cascades);
  if (cascading) return `its foreign key ${cascading.name} cascades, and cascades fire no triggers`;
  const columns: Draft['columns'] = [];
  const taken = new Set<string>();
  for (const column of live.columns) {
    const isKey = live.primaryKey.includes(column.name);
    const found = source.columns.filter(
      (candidate) => matchedName(candidate.name) === matchedName(column.name),
    );
    const rivals = live.columns.filter(
      (candidate) => matchedName(candidate.name) === matchedName(column.name),
    );
    const [from] = found;
    let why: string | undefined;
    if (column.generated) why = 'generated by MySQL';
    else if (/^(0|[1-9]\d*)$/.test(column.name)) why = 'its name is a number';
    else if (!from) why = 'no source column of that name';
    else if (found.length > 1 || rivals.length > 1) why = 'more than one column of that name';
    else why = (refusalOf(from, column) ?? (isKey ? keyRefusalOf(from, column) : undefined))?.what;
    if (why === undefined && from) {
      columns.push({ live: column.name, source: from.name });
      taken.add(from.name);
    } else if (isKey) {
      return `key column ${column.name}: ${why}`;
    } else if (!column.generated && !column.nullable && column.default === null && !column.autoIncrement) {
      return `${column.name} is NOT NULL without a default, and cannot be filled: ${why}`;
    } else {
      notes.push(`live's ${column.name} is left alone: ${why}`);
    }
  }
  for (const column of source.columns) {
    if (!taken.has(column.name)) notes.push(`the source's ${column.name} goes nowhere`);
  }
  const key = live.primaryKey;
  const inKeyOrder = [
    ...key.flatMap((name) => columns.filter((column) => column.live === name)),
    ...columns.filter((column) => !key.includes(column.live)),
  ];
  const sourceKey = inKeyOrder.slice(0, key.length).map((column) => column.source);
  const proven = [source.primaryKey, ...source.uniqueIndexes.map((index) => index.columns)].some(
    (unique) => unique.length > 0 && unique.every((name) => sourceKey.includes(name)),
  );
  if (!proven)
    notes.push(`the source does not promise that ${sourceKey.join(', ')} is unique; a run checks it`);
  return { source, live, key, columns: inKeyOrder, notes };
}

/** Leaves out tables whose foreign keys cross the group's border, until none does: preflight refuses such a group. */
function closeGroup(drafts: Draft[], leftOut: string[]): Draft[] {
  let group = drafts;
  for (;;) {
    const names = new Set(group.map((draft) => draft.live.name));
    const crossing = (draft: Draft): string | undefined => {
      const crosses = (key: LiveForeignKey, table: string) =>
        key.schema !== key.referencedSchema || !names.has(table);
      const out = draft.live.foreignKeys.find((key) => crosses(key, key.referencedTable));
      if (out) return `its foreign key ${out.name} points to ${out.referencedTable}, which is not published`;
      const inward = draft.live.referencedBy.find(
        (key) => !isMadeByRun(key.table) && crosses(key, key.table),
      );
      if (inward)
        return `foreign key ${inward.name} of ${inward.table}, which is not published, points to it`;
      return undefined;
    };
    const kept: Draft[] = [];
    for (const draft of group) {
      const why = crossing(draft);
      if (why === undefined) kept.push(draft);
      else leftOut.push(`${sourceName(draft.source)} = ${draft.live.name}: ${why}`);
    }
    if (kept.length === group.length) return kept;
    group = kept;
  }
}

/** Parents before children; tables of a cycle keep their order. */
function parentsFirst(drafts: Draft[]): Draft[] {
  const byName = new Map(drafts.map((draft) => [draft.live.name, draft]));
  const order: Draft[] = [];
  const seen = new Set<Draft>();
  const visit = (draft: Draft) => {
    if (seen.has(draft)) return;
    seen.add(draft);
    for (const key of draft.live.foreignKeys) {
      const parent = byName.get(key.referencedTable);
      if (parent) visit(parent);
    }
    order.push(draft);
  };
  for (const draft of drafts) visit(draft);
  return order;
}

function fileText(input: InitInput, group: Draft[], leftOut: string[]): string {
  const lines = [
    '# yaml-language-server: $schema=./node_modules/stageswap/dist/stageswap.schema.json',
    `pipeline: ${scalar(input.pipeline)}`,
    `source: { url: ${reference(input.sourceEnv)}, moment: ${DEFAULTS.moment} }    # auto | snapshot | transaction`,
    `target: { url: ${reference(input.targetEnv)} }`,
    '# who is right where the first publish finds both sides different: source | live',
    `firstRun: ${input.firstRun}`,
    `approve: ${DEFAULTS.approve}    # never | firstPublish | always`,
    '# Short for a column: { from: Column, owner: merge, onConflict: live }.',
    '# owner: merge (three-way), source (always the source), live (from the source in new rows only).',
    'tables:',
  ];
  for (const draft of group) lines.push(...tableText(draft));
  if (leftOut.length > 0) {
    lines.push('# Not published:', ...leftOut.map((line) => `#   ${comment(line)}`));
  }
  return `${lines.join('\n')}\n`;
}

function tableText(draft: Draft): string[] {
  return [
    `  - source: ${scalar(sourceName(draft.source))}`,
    `    live: ${scalar(draft.live.name)}`,
    `    key: [${draft.key.map(scalar).join(', ')}]`,
    '    columns:',
    ...draft.columns.map((column) => `      ${scalar(column.live)}: ${scalar(column.source)}`),
    ...draft.notes.map((line) => `      # ${comment(line)}`),
    '    # groups: [[street, city, postcode]] would merge columns as one value',
    `    onSourceDelete: ${DEFAULTS.onSourceDelete}    # delete | keep`,
    `    onLiveDelete: ${DEFAULTS.onLiveDelete}    # respect | restore`,
  ];
}

function reference(variable: string): string {
  return `"\${${variable}}"`;
}

/** Words that YAML 1.2, or an older reader, would take for something else than text. */
const WORDS = /^(true|false|null|yes|no|on|off|y|n)$/i;

/** A name as a YAML scalar: plain where that is safe everywhere, else quoted as JSON, which YAML contains. */
function scalar(name: string): string {
  return /^[A-Za-z_][A-Za-z0-9_.-]*$/.test(name) && !WORDS.test(name) ? name : JSON.stringify(name);
}

/** Text that stays within one comment line, whatever a name holds. */
function comment(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]/gu, ' ');
}

function equalName(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}
