import { type Document, isNode, type LineCounter } from 'yaml';
import type { z } from 'zod';
import { configSchema } from './schema.js';

export interface ConfigProblem {
  /** where: file:line and the key's path, as far as they are known */
  path: string;
  message: string;
  cure: string;
}

/** Everything that is wrong with a configuration, at once. */
export class ConfigError extends Error {
  readonly problems: ConfigProblem[];
  constructor(problems: ConfigProblem[]) {
    super(problems.map(({ path, message, cure }) => `${path}: ${message}\n  cure: ${cure}`).join('\n'));
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

/** Where a path of the configuration stands, for people. */
export type Place = (path: PropertyKey[]) => string;

/** Takes one problem: the path within the configuration, what is wrong, and the cure. */
export type Reporter = (path: PropertyKey[], message: string, cure: string) => void;

/** `file:line at tables[0].key`; the line is that of the deepest part of the path that the file holds. */
export function placeOf(file: string, document: Document, lines: LineCounter, path: PropertyKey[]): string {
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

/** @throws {ConfigError} with what the schema found */
export function checked<T>(parsed: z.ZodSafeParseResult<T>, place: Place): T {
  if (parsed.success) return parsed.data;
  throw new ConfigError(parsed.error.issues.flatMap((issue) => problemsOf(issue, [], place)));
}

/** @throws {ConfigError} with what the work reported */
export function withReporter<T>(place: Place, work: (report: Reporter) => T): T {
  const problems: ConfigProblem[] = [];
  const result = work((path, message, cure) => problems.push({ path: place(path), message, cure }));
  if (problems.length > 0) throw new ConfigError(problems);
  return result;
}

/** One bracket that is missing makes an error of every line after it: the first few are what there is to correct. */
const SYNTAX_ERRORS_SHOWN = 3;

export function syntaxProblems(
  errors: Document['errors'],
  file: string,
  lines: LineCounter,
): ConfigProblem[] {
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
