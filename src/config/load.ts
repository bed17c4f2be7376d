import { readFileSync } from 'node:fs';
import { type Document, isNode, LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import type { NoticeKind } from '../model/messages.js';
import {
  isReservedColumn,
  isReservedTable,
  LIVE_NAME_CHARACTERS_MAX,
  triggerNameOf,
} from '../model/names.js';
import type { Assertion, RunSpec } from '../model/spec.js';
import { parseWindow } from '../model/window.js';
import { AddressError, parseMssqlAddress, parseMysqlAddress } from './address.js';
import { configSchema, type Moment, type Owner, type RawConfig, type Side } from './schema.js';

export interface ColumnConfig {
  /** the source's column */
  from: string;
  owner: Owner;
  onConflict: Side;
}

export interface TableConfig {
  /** schema.table as given */
  source: string;
  live: string;
  /** live's columns */
  key: string[];
  /** by live's column, in the file's order */
  columns: Record<string, ColumnConfig>;
  groups: string[][];
  onSourceDelete: 'delete' | 'keep';
  onLiveDelete: 'respect' | 'restore';
  localKeys?: 'none' | { from: string } | undefined;
}

/** One pipeline, as loaded: references resolved, defaults filled in, frozen. Holds secrets: never goes into history. */
export interface Config {
  pipeline: string;
  source: { url: string; moment: Moment; rowsPerSecondMax?: number };
  target: { url: string; threadsRunningMax?: number };
  firstRun: Side;
  approve: 'never' | 'firstPublish' | 'always';
  approvalHoursMax: number;
  /** as written: parseWindow reads it */
  window?: string;
  sourceAgeMsMax?: number;
  replay: RunSpec['replay'];
  chunkRows: number;
  parallel: number;
  guards: { deleteShareMax: number; changeShareMax?: number; emptyShareMax?: number };
  cutOver: {
    lockAttemptMsMax: number;
    attemptsMax: number;
    heldMsMax: number;
    killBlockersAfterMs?: number | undefined;
  };
  backups: number;
  backup: 'rename' | 'copy';
  badRows: 'stop' | 'quarantine';
  badRowsMax: number;
  assertions: Assertion[];
  webhook?: { url: string; on: NoticeKind[]; conflictsMax: number };
  retention: { conflictsDays: number; editsDays: number; reportsDays: number; rollbackDays: number };
  timeZone?: string;
  tables: TableConfig[];
}

export interface ConfigProblem {
  /** where: file:line and the key's path, as far as they are known */
  path: string;
  message: string;
  cure: string;
}

type Environment = Record<string, string | undefined>;

/** Everything that is wrong with a configuration, at once. */
export class ConfigError extends Error {
  readonly problems: ConfigProblem[];
  constructor(problems: ConfigProblem[]) {
    super(problems.map(({ path, message, cure }) => `${path}: ${message}\n  cure: ${cure}`).join('\n'));
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

/**
 * Reads a configuration file.
 *
 * @param file path of a YAML 1.2 file
 * @param env  where `${VAR}` in the addresses is looked up; nowhere else is it resolved
 * @throws {ConfigError} with all problems that were found
 */
export function loadConfig(file: string, env: Environment = process.env): Config {
  return parseConfig(readText(file), file, env);
}

/** Like `loadConfig`, from text. @param file only named in messages */
export function parseConfig(text: string, file: string, env: Environment = process.env): Config {
  const { content, place } = parseDocumentOf(text, file);
  const raw = checked(configSchema.safeParse(content, { reportInput: true }), place);
  return deepFreeze(
    withReporter(place, (report) => {
      const config = resolve(raw, env, report);
      checkAcross(config, report);
      return config;
    }),
  );
}

const nameSchema = z.object({ pipeline: configSchema.shape.pipeline });
const targetSchema = nameSchema.extend({ target: z.object({ url: configSchema.shape.target.shape.url }) });

/**
 * The pipeline's name alone, for what must work while the rest of the file is wrong or its variables are not set:
 * steering a run needs no database.
 *
 * @throws {ConfigError} the file cannot be read, is no YAML, or names no pipeline
 */
export function loadPipelineName(file: string): string {
  const { content, place } = parseDocumentOf(readText(file), file);
  return checked(nameSchema.safeParse(content, { reportInput: true }), place).pipeline;
}

/** A pipeline's name and where its control tables are. */
export interface PipelineTarget {
  pipeline: string;
  target: { url: string };
}

/**
 * Name and target alone, for what asks or changes the control tables only, such as status, hold and rollback.
 *
 * @throws {ConfigError} like `loadConfig`, of these two
 */
export function loadTarget(file: string, env: Environment = process.env): PipelineTarget {
  const { content, place } = parseDocumentOf(readText(file), file);
  const { pipeline, target } = checked(targetSchema.safeParse(content, { reportInput: true }), place);
  return withReporter(place, (report) => ({
    pipeline,
    target: { url: resolveTarget(target.url, env, report) },
  }));
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const why =
      (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'no such file' : (error as Error).message;
    throw new ConfigError([
      {
        path: file,
        message: why,
        cure: 'name a file with --config, go to the folder that has it, or write one with `stageswap init`',
      },
    ]);
  }
}

type Place = (path: PropertyKey[]) => string;

function parseDocumentOf(text: string, file: string): { content: unknown; place: Place } {
  const lines = new LineCounter();
  const document = parseDocument(text, { version: '1.2', uniqueKeys: true, lineCounter: lines });
  if (document.errors.length > 0) throw new ConfigError(syntaxProblems(document.errors, file, lines));
  return { content: toPlain(document, file), place: (path) => placeOf(file, document, lines, path) };
}

/** @throws {ConfigError} with what the schema found */
function checked<T>(parsed: z.ZodSafeParseResult<T>, place: Place): T {
  if (parsed.success) return parsed.data;
  throw new ConfigError(parsed.error.issues.flatMap((issue) => problemsOf(issue, [], place)));
}

/** @throws {ConfigError} with what the work reported */
function withReporter<T>(place: Place, work: (report: Reporter) => T): T {
  const problems: ConfigProblem[] = [];
  const result = work((path, message, cure) => problems.push({ path: place(path), message, cure }));
  if (problems.length > 0) throw new ConfigError(problems);
  return result;
}

/** One bracket that is missing makes an error of every line after it: the first few are what there is to correct. */
const SYNTAX_ERRORS_SHOWN = 3;

function syntaxProblems(errors: Document['errors'], file: string, lines: LineCounter): ConfigProblem[] {
  const more = errors.length - SYNTAX_ERRORS_SHOWN;
  return errors.slice(0, SYNTAX_ERRORS_SHOWN).map((error, index) => {
    const cure =
      error.code === 'DUPLICATE_KEY' ? 'write the key once' : 'correct the YAML; indentation is by spaces';
    const isLast = index === SYNTAX_ERRORS_SHOWN - 1 && more > 0;
    return {
      path: `${file}:${lines.linePos(error.pos[0]).line}`,
      message: error.message.split('\n')[0]?.replace(/ at line \d+.*$/, '') ?? error.code,
      cure: isLast ? `${cure} (${more} more behind it, which may come from the same mistake)` : cure,
    };
  });
}

/** The document as plain values. Aliases are allowed, a bomb of them is not. */
function toPlain(document: Document, file: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 10_000 }) as unknown;
  } catch (error) {
    throw new ConfigError([
      { path: file, message: (error as Error).message, cure: 'write out what the YAML aliases stand for' },
    ]);
  }
}

type Reporter = (path: PropertyKey[], message: string, cure: string) => void;

/** `file:line at tables[0].key`; the line is that of the deepest part of the path that the file holds. */
function placeOf(file: string, document: Document, lines: LineCounter, path: PropertyKey[]): string {
  let line: number | undefined;
  for (let depth = path.length; depth >= 0 && line === undefined; depth -= 1) {
    const node: unknown = depth === 0 ? document.contents : document.getIn(path.slice(0, depth), true);
    if (isNode(node) && node.range) line = lines.linePos(node.range[0]).line;
  }
  const where = line === undefined ? file : `${file}:${line}`;
  return path.length === 0 ? where : `${where} at ${pathText(path)}`;
}

function pathText(path: PropertyKey[]): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`;
    return text === '' ? String(part) : `${text}.${String(part)}`;
  }, '');
}

type Issue = z.core.$ZodIssue;

function problemsOf(issue: Issue, prefix: PropertyKey[], place: Place): ConfigProblem[] {
  const path = [...prefix, ...issue.path];
  if (issue.input === undefined && issue.code !== 'unrecognized_keys' && path.length > 0) {
    return [
      { path: place(path), message: `the key ${String(path.at(-1))} is missing`, cure: missingCure(path) },
    ];
  }
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => ({
        path: place([...path, key]),
        message: `the key ${key} is not known`,
        cure: suggestion(key, knownKeysAt(path)),
      }));
    case 'invalid_union': {
      // a column is text or an object: complain about the form that was meant
      const branch = issue.errors.find(
        (errors) => !errors.some((e) => e.code === 'invalid_type' && e.path.length === 0),
      );
      if (branch) return branch.flatMap((inner) => problemsOf(inner, path, place));
      return [
        {
          path: place(path),
          message: 'neither a column name nor an object',
          cure: "write the source's column, or { from: Column, owner: merge | source | live, onConflict: live | source }",
        },
      ];
    }
    case 'invalid_type':
      return [{ path: place(path), message: issue.message, cure: `write a value of type ${issue.expected}` }];
    case 'invalid_value':
      return [
        {
          path: place(path),
          message: issue.message,
          cure: `write one of: ${issue.values.map(String).join(', ')}`,
        },
      ];
    case 'invalid_key':
      return issue.issues.map((inner) => ({
        path: place(path),
        message: `the column's name: ${inner.message}`,
        cure: 'name a column of live',
      }));
    default:
      return [{ path: place(path), message: issue.message, cure: 'write a value within the limits' }];
  }
}

function missingCure(path: PropertyKey[]): string {
  if (pathText(path) === 'firstRun') {
    return 'write firstRun: source (live is overwritten where both differ) or firstRun: live (live stays); there is no default';
  }
  return `add it; see \`stageswap init\` for a whole example`;
}

interface SchemaNode {
  properties?: Record<string, SchemaNode>;
  items?: SchemaNode;
  additionalProperties?: SchemaNode | boolean;
  anyOf?: SchemaNode[];
}

let schemaTree: SchemaNode | undefined;

/** The keys that the schema knows at a path, read from the schema itself. */
function knownKeysAt(path: PropertyKey[]): string[] {
  schemaTree ??= configSchema.toJSONSchema({ io: 'input' }) as SchemaNode;
  let node: SchemaNode | undefined = schemaTree;
  for (const part of path) {
    const next: SchemaNode | boolean | undefined =
      typeof part === 'number'
        ? node?.items
        : (node?.properties?.[String(part)] ?? node?.additionalProperties);
    node = typeof next === 'object' ? next : undefined;
  }
  const forms = node?.anyOf ?? (node ? [node] : []);
  return forms.flatMap((form) => Object.keys(form.properties ?? {})).filter((key) => key !== '$schema');
}

function suggestion(key: string, known: string[]): string {
  const near = known
    .map((candidate) => ({ candidate, distance: editDistance(key.toLowerCase(), candidate.toLowerCase()) }))
    .filter(({ distance, candidate }) => distance <= Math.max(2, Math.floor(candidate.length / 3)))
    .sort((a, b) => a.distance - b.distance)[0];
  const list = known.length > 0 ? `known here: ${known.join(', ')}` : 'remove it';
  return near ? `did you mean ${near.candidate}? (${list})` : list;
}

/** Levenshtein: insertions, deletions and exchanges that turn one text into the other. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const exchange = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(exchange, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

function resolve(raw: RawConfig, env: Environment, report: Reporter): Config {
  const sourceUrl = resolveReferences(raw.source.url, ['source', 'url'], env, report);
  const targetUrl = resolveTarget(raw.target.url, env, report);
  checkNoSecret(raw.source.url, ['source', 'url'], report);
  if (sourceUrl !== undefined) checkAddress(() => parseMssqlAddress(sourceUrl), ['source', 'url'], report);
  const webhook = raw.webhook && resolveWebhook(raw.webhook, env, report);
  const { guards } = raw;
  return {
    pipeline: raw.pipeline,
    source: {
      url: sourceUrl ?? '',
      moment: raw.source.moment,
      ...(raw.source.rowsPerSecondMax === undefined ? {} : { rowsPerSecondMax: raw.source.rowsPerSecondMax }),
    },
    target: {
      url: targetUrl,
      ...(raw.target.threadsRunningMax === undefined
        ? {}
        : { threadsRunningMax: raw.target.threadsRunningMax }),
    },
    firstRun: raw.firstRun,
    approve: raw.approve,
    approvalHoursMax: raw.approvalHoursMax,
    ...(raw.window === undefined ? {} : { window: raw.window }),
    ...(raw.sourceAgeMax === undefined ? {} : { sourceAgeMsMax: milliseconds(raw.sourceAgeMax) }),
    replay: raw.replay,
    chunkRows: raw.chunkRows,
    parallel: raw.parallel,
    guards: {
      deleteShareMax: guards.deleteShareMax,
      ...(guards.changeShareMax === undefined ? {} : { changeShareMax: guards.changeShareMax }),
      ...(guards.emptyShareMax === undefined ? {} : { emptyShareMax: guards.emptyShareMax }),
    },
    cutOver: raw.cutOver,
    backups: raw.backups,
    backup: raw.backup,
    badRows: raw.badRows,
    badRowsMax: raw.badRowsMax,
    assertions: raw.assertions,
    ...(webhook === undefined ? {} : { webhook }),
    retention: raw.retention,
    ...(raw.timeZone === undefined ? {} : { timeZone: raw.timeZone }),
    tables: raw.tables.map((table) => ({
      ...table,
      columns: Object.fromEntries(
        Object.entries(table.columns).map(([live, column]): [string, ColumnConfig] => [
          live,
          typeof column === 'string' ? { from: column, owner: 'merge', onConflict: 'live' } : column,
        ]),
      ),
    })),
  };
}

/** @returns the target's address; empty if it is reported */
function resolveTarget(written: string, env: Environment, report: Reporter): string {
  const path = ['target', 'url'];
  const url = resolveReferences(written, path, env, report);
  checkNoSecret(written, path, report);
  if (url !== undefined) checkAddress(() => parseMysqlAddress(url), path, report);
  return url ?? '';
}

function resolveWebhook(
  raw: NonNullable<RawConfig['webhook']>,
  env: Environment,
  report: Reporter,
): NonNullable<RawConfig['webhook']> {
  const path = ['webhook', 'url'];
  const url = resolveReferences(raw.url, path, env, report);
  if (!raw.url.includes('${'))
    report(
      path,
      'the address of a webhook is a secret, and is written in the file',
      `put it into an environment variable and write ${reference('STAGESWAP_WEBHOOK_URL')}`,
    );
  else if (url !== undefined && !/^https?:\/\/[^/\s]/.test(url))
    report(path, 'the webhook is no http:// or https:// address', 'write it as https://host/path');
  return { ...raw, url: url ?? '' };
}

const UNIT_MS: Record<string, number> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Of a duration as the schema lets it pass: a number and its unit. */
function milliseconds(duration: string): number {
  return Number(duration.slice(0, -1)) * (UNIT_MS[duration.slice(-1)] ?? Number.NaN);
}

/** A password stands in the environment, never in the file. */
function checkNoSecret(text: string, path: string[], report: Reporter): void {
  if (!/^[a-z0-9+.-]+:\/\/[^:@/]*:(?!\$\{)[^@]+@/i.test(text)) return;
  report(
    path,
    'a password is written in the file',
    `put the address into an environment variable and write ${reference(path[0] === 'source' ? 'MSSQL_URL' : 'MYSQL_URL')}`,
  );
}

function reference(variable: string): string {
  return `\${${variable}}`;
}

/** Replaces each `${VAR}`. @returns undefined if one is not set, which is reported */
function resolveReferences(
  text: string,
  path: string[],
  env: Environment,
  report: Reporter,
): string | undefined {
  let complete = true;
  const resolved = text.replace(/\$\{([^}]*)\}/g, (_, name: string) => {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
      report(
        path,
        'a reference that names no variable',
        `write ${reference('NAME')}, of letters, digits and underscores`,
      );
      complete = false;
      return '';
    }
    const value = env[name];
    if (value === undefined || value === '') {
      report(
        path,
        `the environment variable ${name} is not set`,
        `export ${name}=… in the worker's and the command's environment`,
      );
      complete = false;
      return '';
    }
    return value;
  });
  return complete ? resolved : undefined;
}

function checkAddress(parse: () => unknown, path: string[], report: Reporter): void {
  try {
    parse();
  } catch (error) {
    if (!(error instanceof AddressError)) throw error;
    report(path, error.message, error.cure);
  }
}

/** What spans several keys. Names of live compare without regard to case, as MySQL's columns do. */
function checkAcross(config: Config, report: Reporter): void {
  if (config.timeZone !== undefined && !isTimeZone(config.timeZone)) {
    report(['timeZone'], `${config.timeZone} is not a time zone`, 'write an IANA name such as Europe/Berlin');
  }
  checkWindow(config.window, report);
  const seenLive = new Map<string, number>();
  const seenSource = new Map<string, number>();
  config.tables.forEach((table, index) => {
    const at = (...rest: PropertyKey[]) => ['tables', index, ...rest];
    const earlier = seenLive.get(triggerNameOf(table.live));
    if (earlier !== undefined) {
      report(
        at('live'),
        `${table.live} is also the live table of tables[${earlier}], or differs from it by case and accents alone`,
        'publish each live table once: MySQL ignores case and accents in names of triggers',
      );
    }
    seenLive.set(triggerNameOf(table.live), index);
    if (!/^[^.]+(\.[^.]+)?$/.test(unbracket(table.source))) {
      report(at('source'), `${table.source} is not schema.table`, 'write schema.table, such as dbo.Customer');
    }
    const twin = seenSource.get(table.source.toLowerCase());
    if (twin !== undefined) {
      report(
        at('source'),
        `${table.source} is also the source of tables[${twin}]`,
        'map each source table once',
      );
    }
    seenSource.set(table.source.toLowerCase(), index);
    if ([...table.live].length > LIVE_NAME_CHARACTERS_MAX) {
      report(
        at('live'),
        `${table.live} is longer than ${LIVE_NAME_CHARACTERS_MAX} characters, so that a run's names beside it would not fit MySQL's 64`,
        'rename the live table',
      );
    }
    if (isReservedTable(table.live)) {
      report(
        at('live'),
        `${table.live} is a name that runs make for themselves`,
        'name a table of the application',
      );
    }
    checkColumns(table, at, report);
    checkGroups(table, at, report);
  });
}

function checkWindow(text: string | undefined, report: Reporter): void {
  if (text === undefined) return;
  const window = parseWindow(text);
  const cure = 'write from-to and an IANA zone, such as 02:00-04:00 Europe/Berlin';
  if (!window) report(['window'], `${text} is no part of a day`, cure);
  else if (!isTimeZone(window.timeZone)) report(['window'], `${window.timeZone} is not a time zone`, cure);
}

/** [dbo].[Order.Line] → two parts without their brackets; a dot within brackets is no separator. */
function unbracket(source: string): string {
  return source.replace(/\[((?:[^\]]|\]\])+)\]/g, (_, name: string) => name.replaceAll('.', '_'));
}

/**
 * The two names of a source table.
 *
 * @param source as configured: schema.table, table, or either in brackets
 */
export function sourceTableName(source: string): { schema: string; table: string } {
  const parts = [...source.matchAll(/\[((?:[^\]]|\]\])+)\]|([^.[\]]+)/g)].map((match) =>
    match[1] === undefined ? (match[2] ?? '') : match[1].replaceAll(']]', ']'),
  );
  return parts.length === 1
    ? { schema: 'dbo', table: parts[0] ?? '' }
    : { schema: parts[0] ?? '', table: parts[1] ?? '' };
}

type At = (...rest: PropertyKey[]) => PropertyKey[];

function checkColumns(table: TableConfig, at: At, report: Reporter): void {
  const names = Object.keys(table.columns);
  if (names.length === 0) {
    report(at('columns'), `${table.live} maps no column`, 'map at least the key');
  }
  const integerLike = names.find((name) => /^(0|[1-9]\d*)$/.test(name));
  if (integerLike !== undefined) {
    // JavaScript would move such a name to the front of its object, and columns would lose their order
    report(at('columns', integerLike), 'a column whose name is a whole number', 'rename the column');
  }
  const seen = new Set<string>();
  for (const name of names) {
    if (seen.has(name.toLowerCase())) {
      report(at('columns', name), `${name} is mapped twice, MySQL ignores case in columns`, 'map it once');
    }
    seen.add(name.toLowerCase());
    if (isReservedColumn(name)) {
      report(at('columns', name), `${name} is a name that runs make for themselves`, 'rename the column');
    }
  }
  table.key.forEach((name, index) => {
    if (!names.includes(name)) {
      report(at('key', index), `${name} is not among the columns`, `map it: ${name}: itsSourceColumn`);
    }
    if (table.key.indexOf(name) !== index) {
      report(at('key', index), `${name} is named twice in the key`, 'name it once');
    }
  });
}

function checkGroups(table: TableConfig, at: At, report: Reporter): void {
  const seen = new Set<string>();
  table.groups.forEach((group, g) => {
    const first = table.columns[group[0] ?? ''];
    group.forEach((name, index) => {
      const column = table.columns[name];
      const path = at('groups', g, index);
      if (!column) {
        report(path, `${name} is not among the columns`, `map it: ${name}: itsSourceColumn`);
      }
      if (seen.has(name)) {
        report(path, `${name} is in two groups, or twice in one`, 'name it in one group, once');
      }
      seen.add(name);
      if (table.key.includes(name)) {
        report(path, `${name} is of the key, which is never merged`, 'leave it out of the group');
      }
      if (column && first && (column.owner !== first.owner || column.onConflict !== first.onConflict)) {
        report(
          path,
          `${name} differs from ${group[0]} in owner or onConflict`,
          'columns of a group are one value: give all the same owner and onConflict',
        );
      }
    });
  });
}

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return /^[A-Za-z]/.test(name);
  } catch {
    return false;
  }
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) deepFreeze(inner);
  }
  return value;
}
