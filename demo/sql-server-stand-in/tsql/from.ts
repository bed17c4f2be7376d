/** FROM: table names, derived tables, joins and hints. */
import { type Database, quote, type Table } from '../catalogue.js';
import { invalidObject, SqlError } from '../errors.js';
import { closing, isName, type Token } from './lexer.js';
import { readChain, resolveTable, type Scope, type Translation } from './scope.js';
import { expression, query, startsQuery } from './translate.js';

const JOIN_WORDS =
  /^(JOIN|INNER|LEFT|RIGHT|FULL|OUTER|CROSS|ON|APPLY|HASH|MERGE|LOOP|WHERE|PIVOT|UNPIVOT|WITH)$/;

/** FROM: tables, derived tables, joins; fills the scope's tables first so that conditions know their columns. */
export function fromClause(tokens: readonly Token[], t: Translation, scope: Scope): string {
  const out: string[] = [];
  let condition: Token[] = [];
  const later: { at: number; tokens: Token[] }[] = [];
  const endCondition = (): void => {
    if (condition.length > 0) {
      later.push({ at: out.length, tokens: condition });
      out.push('');
      condition = [];
    }
  };
  let expecting = true;
  let inCondition = false;
  let lateral = '';
  for (let i = 0; i < tokens.length; ) {
    const token = tokens[i] as Token;
    if (expecting) {
      const source = tableSource(tokens, i, t, scope);
      out.push(source.sql + lateral);
      lateral = '';
      i = source.next;
      expecting = false;
      continue;
    }
    if (token.word === '(' && inCondition) {
      const end = closing(tokens, i);
      condition.push(...tokens.slice(i, end + 1));
      i = end + 1;
      continue;
    }
    if (token.word === ',' && !inCondition) {
      out.push(',');
      expecting = true;
    } else if (/^(JOIN|INNER|FULL|CROSS|OUTER|LEFT|RIGHT)$/.test(token.word) && tokens[i + 1]?.word !== '(') {
      endCondition();
      inCondition = false;
      if (tokens[i + 1]?.word === 'APPLY') {
        out.push(token.word === 'CROSS' ? 'CROSS JOIN LATERAL' : 'LEFT JOIN LATERAL');
        if (token.word === 'OUTER') lateral = ' ON TRUE';
        i++;
        expecting = true;
      } else {
        out.push(token.word);
        if (token.word === 'JOIN') expecting = true;
      }
    } else if (token.word === ',') {
      endCondition();
      inCondition = false;
      out.push(',');
      expecting = true;
    } else if (token.word === 'ON') {
      out.push('ON');
      inCondition = true;
    } else if (inCondition) condition.push(token);
    else if (/^(HASH|MERGE|LOOP)$/.test(token.word)) {
    } else throw new SqlError(102, 15, 1, `Incorrect syntax near '${token.text}'.`);
    i++;
  }
  endCondition();
  for (const one of later) out[one.at] = expression(one.tokens, t, scope);
  return out.join(' ');
}

/** One source after FROM, JOIN or a comma: name, hints and alias, or a derived table. */
function tableSource(
  tokens: readonly Token[],
  at: number,
  t: Translation,
  scope: Scope,
): { sql: string; next: number } {
  const token = tokens[at];
  let sql: string;
  let next: number;
  let table: Table | undefined;
  let natural: string | undefined;
  if (token?.word === '(') {
    const end = closing(tokens, at);
    const inner = tokens.slice(at + 1, end);
    next = end + 1;
    if (inner[0]?.word === 'VALUES') sql = `(${expression(inner, t, scope)})`;
    else if (startsQuery(inner)) sql = `(${query(inner, t, scope).sql})`;
    else return { sql: `(${fromClause(inner, t, scope)})`, next };
  } else {
    const chain = readChain(tokens, at);
    next = chain.next;
    if (tokens[next]?.word === '(' && !isHint(tokens, next)) throw invalidObject(chain.parts.join('.'));
    const named = tableName(chain.parts, t, scope);
    sql = named.sql;
    table = named.table;
    natural = chain.parts.at(-1);
  }
  next = skipHints(tokens, next);
  let alias = natural;
  if (tokens[next]?.word === 'AS') next++;
  const candidate = tokens[next];
  if (isName(candidate) && !JOIN_WORDS.test(candidate.word)) {
    alias = candidate.text;
    next++;
  }
  let columns = '';
  if (token?.word === '(' && tokens[next]?.word === '(') {
    const end = closing(tokens, next);
    columns = `(${tokens
      .slice(next + 1, end)
      .map((one) => (one.word === ',' ? ',' : quote(one.text)))
      .join('')})`;
    next = end + 1;
  }
  next = skipHints(tokens, next);
  if (alias === undefined) throw new SqlError(102, 15, 1, "Incorrect syntax near ')'.");
  scope.tables.set(alias.toLowerCase(), table);
  return { sql: `${sql} AS ${quote(alias)}${columns}`, next };
}

const isHint = (tokens: readonly Token[], open: number): boolean =>
  /^(NOLOCK|READPAST|UPDLOCK|HOLDLOCK|TABLOCKX?|ROWLOCK)$/.test(tokens[open + 1]?.word ?? '');

export function skipHints(tokens: readonly Token[], at: number): number {
  if (tokens[at]?.word === 'WITH' && tokens[at + 1]?.word === '(') return closing(tokens, at + 1) + 1;
  if (tokens[at]?.word === '(' && isHint(tokens, at)) return closing(tokens, at) + 1;
  return at;
}

/** A table's or view's place in DuckDB; 208 where there is none. */
export function tableName(
  parts: readonly string[],
  t: Translation,
  scope: Scope | undefined,
): { sql: string; table: Table | undefined; database: Database | undefined } {
  const name = parts.at(-1) ?? '';
  if (parts.length === 1 && scope?.ctes.has(name.toLowerCase()))
    return { sql: quote(name), table: undefined, database: undefined };
  const schema = (parts.at(-2) ?? '').toLowerCase();
  if (schema === 'sys' || schema === 'information_schema') {
    const database = parts.length >= 3 ? t.names.findDatabase(parts.at(-3) ?? '') : t.names.database;
    const view = database && t.names.view(database, schema, name.toLowerCase());
    if (view === undefined) throw invalidObject(parts.join('.'));
    return { sql: view, table: undefined, database: undefined };
  }
  const found = resolveTable(t.names, parts);
  if (!found) throw invalidObject(parts.join('.'));
  if (found.database) t.databasesRead.add(found.database);
  return { sql: found.table.stored, table: found.table, database: found.database };
}
