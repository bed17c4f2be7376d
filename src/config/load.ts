import { readFileSync } from 'node:fs';
import { type Document, LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import type { NoticeKind } from '../model/messages.js';
import type { Assertion, RunSpec } from '../model/spec.js';
import { AddressError, parseMssqlAddress, parseMysqlAddress } from './address.js';
import { checkAcross } from './check.js';
import {
  ConfigError,
  checked,
  type Place,
  placeOf,
  type Reporter,
  syntaxProblems,
  withReporter,
} from './problems.js';
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

type Environment = Record<string, string | undefined>;

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

function parseDocumentOf(text: string, file: string): { content: unknown; place: Place } {
  const lines = new LineCounter();
  const document = parseDocument(text, { version: '1.2', uniqueKeys: true, lineCounter: lines });
  if (document.errors.length > 0) throw new ConfigError(syntaxProblems(document.errors, file, lines));
  return { content: toPlain(document, file), place: (path) => placeOf(file, document, lines, path) };
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

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) deepFreeze(inner);
  }
  return value;
}
