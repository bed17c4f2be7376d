/** What a translation knows about names: the session's answers, tables in reach, and the types of simple expressions. */
import type { Column, Database, Table } from '../catalogue.js';
import { SqlError } from '../errors.js';
import { makeType, type TsqlType } from '../types.js';
import { closing, isName, type Token } from './lexer.js';

export interface Variable {
  readonly type: TsqlType;
  /** DuckDB literal, with its cast. */
  readonly sql: string;
  readonly value: unknown;
}

/** What the translator asks of a session. */
export interface Names {
  readonly database: Database;
  findDatabase(name: string): Database | undefined;
  findTemporary(name: string): Table | undefined;
  variable(name: string): Variable | undefined;
  /** @@NAME or a function without arguments that asks the session; a DuckDB expression. */
  ask(name: string, args: readonly string[]): string | undefined;
  /** A catalogue view of a database as the text of a parenthesised relation. */
  view(database: Database, schema: 'sys' | 'information_schema', name: string): string | undefined;
}

/** Tables of one SELECT by alias; a parent is the query around it. */
export interface Scope {
  readonly tables: Map<string, Table | undefined>;
  readonly ctes: ReadonlySet<string>;
  readonly parent: Scope | undefined;
}

/** One translation's by-products. */
export interface Translation {
  readonly names: Names;
  readonly databasesRead: Set<Database>;
}

export interface NamedTable {
  readonly table: Table;
  readonly database: Database | undefined;
}

/** Reads `a.b.c` from `at`; an empty part, as in db..table, is ''. */
export function readChain(tokens: readonly Token[], at: number): { parts: string[]; next: number } {
  const parts: string[] = [];
  let i = at;
  const first = tokens[i];
  if (!isName(first)) throw new SqlError(102, 15, 1, `Incorrect syntax near '${first?.text ?? ''}'.`);
  parts.push(first.text);
  i++;
  while (tokens[i]?.word === '.') {
    const next = tokens[i + 1];
    if (next?.word === '.') {
      parts.push('');
      i++;
    } else if (isName(next)) {
      parts.push(next.text);
      i += 2;
    } else break;
  }
  return { parts, next: i };
}

/** Resolves a table name; undefined where there is no such table (a database that is not there throws 208, too). */
export function resolveTable(names: Names, parts: readonly string[]): NamedTable | undefined {
  const name = parts[parts.length - 1] ?? '';
  if (name.startsWith('#')) {
    const table = names.findTemporary(name);
    return table && { table, database: undefined };
  }
  const schema = parts.length >= 2 ? parts[parts.length - 2] || 'dbo' : 'dbo';
  const database = parts.length >= 3 ? names.findDatabase(parts[parts.length - 3] ?? '') : names.database;
  const table = database?.tables.get(`${schema}.${name}`.toLowerCase());
  return table && database && { table, database };
}

export function resolveColumn(scope: Scope | undefined, parts: readonly string[]): Column | undefined {
  const name = (parts[parts.length - 1] ?? '').toLowerCase();
  const qualifier = parts.length > 1 ? (parts[parts.length - 2] ?? '').toLowerCase() : undefined;
  for (let level = scope; level; level = level.parent) {
    if (qualifier !== undefined) {
      if (level.tables.has(qualifier)) {
        return level.tables.get(qualifier)?.columns.find((column) => column.name.toLowerCase() === name);
      }
      continue;
    }
    const found: Column[] = [];
    for (const table of level.tables.values()) {
      const column = table?.columns.find((candidate) => candidate.name.toLowerCase() === name);
      if (column) found.push(column);
    }
    if (found.length > 0) return found.length === 1 ? found[0] : undefined;
  }
  return undefined;
}

/** Reads a type as in CAST: name, then (n), (p,s) or (max). */
export function readType(
  tokens: readonly Token[],
  at: number,
  castDefault?: number,
): { type: TsqlType; next: number } {
  let i = at;
  let name = tokens[i];
  if (name?.text.toLowerCase() === 'sys' && tokens[i + 1]?.word === '.') {
    i += 2;
    name = tokens[i];
  }
  if (!isName(name)) throw new SqlError(102, 15, 1, `Incorrect syntax near '${name?.text ?? ''}'.`);
  i++;
  let text = name.text;
  if (/^(character|char|nchar)$/i.test(text) && tokens[i]?.word === 'VARYING') {
    text = `var${text}`;
    i++;
  }
  if (/^double$/i.test(text) && tokens[i]?.word === 'PRECISION') {
    text = 'float';
    i++;
  }
  const numbers: number[] = [];
  if (tokens[i]?.word === '(') {
    const end = closing(tokens, i);
    for (const token of tokens.slice(i + 1, end)) {
      if (token.kind === 'num') numbers.push(Number(token.text));
      else if (token.word === 'MAX') numbers.push(-1);
    }
    i = end + 1;
  }
  return { type: makeType(text, numbers, castDefault), next: i };
}

const TEXT_FUNCTIONS = new Set(
  'CONCAT CONCAT_WS SUBSTRING LEFT RIGHT UPPER LOWER LTRIM RTRIM TRIM REPLACE CHAR NCHAR REPLICATE QUOTENAME FORMAT STR SPACE STUFF STRING_AGG DB_NAME SCHEMA_NAME OBJECT_NAME SUSER_SNAME TYPE_NAME'.split(
    ' ',
  ),
);

/** The type of a simple expression: a column, literal, variable, CAST, CONVERT or text function; else undefined. */
export function typeOf(
  tokens: readonly Token[],
  translation: Translation,
  scope: Scope | undefined,
): TsqlType | undefined {
  const first = tokens[0];
  if (first === undefined) return undefined;
  if (first.kind === 'op') {
    if (first.word === '(' && closing(tokens, 0) === tokens.length - 1)
      return typeOf(tokens.slice(1, -1), translation, scope);
    return undefined;
  }
  const collate = tokens.findIndex((token) => token.word === 'COLLATE');
  if (collate > 0) return typeOf(tokens.slice(0, collate), translation, scope);
  if (tokens.length === 1) {
    if (first.kind === 'str') return { name: 'varchar', length: Math.max(1, first.text.length) };
    if (first.kind === 'hex') return { name: 'varbinary', length: Math.max(1, first.text.length >> 1) };
    if (first.kind === 'var') return translation.names.variable(first.text)?.type;
  }
  if (!isName(first)) return undefined;
  const chain = readChain(tokens, 0);
  if (chain.next === tokens.length) return resolveColumn(scope, chain.parts)?.type;
  if (tokens[chain.next]?.word !== '(' || closing(tokens, chain.next) !== tokens.length - 1) return undefined;
  const inner = tokens.slice(chain.next + 1, -1);
  const upper = first.word;
  if (upper === 'CONVERT' || upper === 'TRY_CONVERT') return readType(inner, 0, 30).type;
  if (upper === 'CAST' || upper === 'TRY_CAST') {
    const as = inner.findLastIndex((token) => token.word === 'AS');
    return readType(inner, as + 1, 30).type;
  }
  if (upper === 'COUNT' || upper === 'LEN' || upper === 'DATALENGTH' || upper === 'DATEDIFF')
    return { name: 'int' };
  if (upper === 'COUNT_BIG' || upper === 'ROW_NUMBER' || upper === 'RANK' || upper === 'DENSE_RANK')
    return { name: 'bigint' };
  if (upper === 'MIN' || upper === 'MAX') return typeOf(inner, translation, scope);
  if (upper === 'SUM') return sumType(typeOf(inner, translation, scope));
  if (upper === 'ISNULL' || upper === 'COALESCE' || upper === 'NULLIF') {
    const comma = inner.findIndex((token) => token.word === ',');
    return typeOf(inner.slice(0, comma), translation, scope);
  }
  if (upper === 'GETDATE') return { name: 'datetime' };
  if (upper === 'SYSUTCDATETIME' || upper === 'SYSDATETIME') return { name: 'datetime2', scale: 7 };
  if (TEXT_FUNCTIONS.has(upper)) return { name: 'nvarchar', length: -1 };
  return undefined;
}

function sumType(of: TsqlType | undefined): TsqlType | undefined {
  if (of === undefined) return undefined;
  if (/^(tinyint|smallint|int)$/.test(of.name)) return { name: 'int' };
  if (of.name === 'real') return { name: 'float' };
  if (of.name === 'smallmoney') return { name: 'money' };
  return of.name === 'decimal' ? { ...of, precision: 38 } : of;
}
