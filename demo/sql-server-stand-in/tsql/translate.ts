/** T-SQL expressions and queries to DuckDB's SQL, token by token: no parser, so what it does not know passes on and fails there. */
import { quote, type Table } from '../catalogue.js';
import { notSupported, SqlError } from '../errors.js';
import { isCharacter, type TsqlType } from '../types.js';
import { fromClause } from './from.js';
import { callFunction } from './functions.js';
import { closing, isName, splitCommas, type Token } from './lexer.js';
import { readChain, resolveColumn, type Scope, type Translation, typeOf } from './scope.js';

const KEYWORDS = new Set(
  'SELECT FROM WHERE GROUP BY ORDER HAVING JOIN INNER LEFT RIGHT FULL OUTER CROSS ON AND OR NOT NULL IS IN EXISTS BETWEEN LIKE CASE WHEN THEN ELSE END AS DISTINCT ALL UNION EXCEPT INTERSECT ASC DESC VALUES SET OVER ANY SOME ESCAPE DEFAULT INTO'.split(
    ' ',
  ),
);
const WINDOW_WORDS = new Set('PARTITION ROWS RANGE UNBOUNDED PRECEDING FOLLOWING CURRENT ROW'.split(' '));

/** Text of a string as DuckDB writes it. */
export const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/** Translates an expression, or any run of tokens that holds no SELECT of its own level. */
export function expression(
  tokens: readonly Token[],
  t: Translation,
  scope: Scope | undefined,
  inWindow = false,
): string {
  const out: string[] = [];
  const concat = concatenations(tokens, t, scope);
  for (let i = 0; i < tokens.length; ) {
    const one = primary(tokens, i, t, scope, inWindow);
    if (one) {
      out.push(one.sql);
      i = one.next;
      continue;
    }
    const token = tokens[i] as Token;
    if (token.word === '+' && concat.has(i)) out.push('||');
    else if (token.word === '/' || token.word === '%') {
      const sign = tokens[i + 1]?.word === '-' ? 1 : 0;
      const divisor = primary(tokens, i + 1 + sign, t, scope, inWindow);
      if (!divisor) throw new SqlError(102, 15, 1, `Incorrect syntax near '${token.text}'.`);
      const plain = tokens[i + 1]?.kind === 'num' && Number(tokens[i + 1]?.text) !== 0;
      const sql = sign ? `(-${divisor.sql})` : divisor.sql;
      out.push(
        token.word,
        plain
          ? sql
          : `(CASE WHEN ${sql} = 0 THEN error('SQLSERVER:8134:Divide by zero error encountered.:END') ELSE ${sql} END)`,
      );
      i = divisor.next;
      continue;
    } else if (token.word === 'COLLATE') {
      const name = tokens[i + 1]?.text ?? '';
      out.push(
        'COLLATE',
        /_BIN2?$/i.test(name)
          ? 'C'
          : /_AI/i.test(name)
            ? 'NOCASE.NOACCENT'
            : /_CS/i.test(name)
              ? 'C'
              : 'NOCASE',
      );
      i += 2;
      continue;
    } else if (token.word === 'LIKE') out.push('ILIKE');
    else if (token.word === 'OVER' && tokens[i + 1]?.word === '(') {
      const end = closing(tokens, i + 1);
      out.push(`OVER (${expression(tokens.slice(i + 2, end), t, scope, true)})`);
      i = end + 1;
      continue;
    } else if (token.word === 'AS' && tokens[i + 1]?.kind === 'str') {
      out.push('AS', quote(tokens[i + 1]?.text ?? ''));
      i += 2;
      continue;
    } else if (token.word === '!<') out.push('>=');
    else if (token.word === '!>') out.push('<=');
    else if (token.word === '^') throw notSupported('^');
    else out.push(token.word || token.text);
    i++;
  }
  return out.join(' ');
}

/** One operand: a literal, name, call or parenthesis; undefined for an operator or a keyword. */
function primary(
  tokens: readonly Token[],
  at: number,
  t: Translation,
  scope: Scope | undefined,
  inWindow: boolean,
): { sql: string; next: number } | undefined {
  const token = tokens[at];
  if (token === undefined) return undefined;
  switch (token.kind) {
    case 'str':
      return { sql: literal(token.text), next: at + 1 };
    case 'hex':
      return { sql: `unhex('${token.text}')`, next: at + 1 };
    case 'num':
      return { sql: token.text, next: at + 1 };
    case 'var': {
      const known = token.text.startsWith('@@')
        ? t.names.ask(token.text.toUpperCase(), [])
        : t.names.variable(token.text)?.sql;
      if (known === undefined)
        throw new SqlError(137, 15, 2, `Must declare the scalar variable "${token.text}".`);
      return { sql: known, next: at + 1 };
    }
    case 'op': {
      if (token.word !== '(') return undefined;
      const end = closing(tokens, at);
      const inner = tokens.slice(at + 1, end);
      const sql = startsQuery(inner) ? query(inner, t, scope).sql : expression(inner, t, scope, inWindow);
      return { sql: `(${sql})`, next: end + 1 };
    }
    default: {
      const call = tokens[at + 1]?.word === '(' && token.kind === 'id';
      if (
        call &&
        !/^(IN|EXISTS|VALUES|AND|OR|NOT|ON|BY|OVER|ALL|ANY|SOME|FROM|JOIN|WHEN|THEN|ELSE|WHERE|AS|BETWEEN|LIKE|UNION|SELECT|DISTINCT|HAVING|CASE|EXCEPT|INTERSECT|SET)$/.test(
          token.word,
        )
      ) {
        const end = closing(tokens, at + 1);
        return callFunction(token.word, tokens.slice(at + 2, end), tokens, end + 1, t, scope);
      }
      if (token.kind === 'id' && (KEYWORDS.has(token.word) || (inWindow && WINDOW_WORDS.has(token.word))))
        return undefined;
      if (token.word === 'COLLATE') return undefined;
      if (/^(CURRENT_TIMESTAMP|CURRENT_USER|SESSION_USER|SYSTEM_USER|USER)$/.test(token.word)) {
        return { sql: t.names.ask(token.word, []) ?? 'NULL', next: at + 1 };
      }
      const { parts, next } = readChain(tokens, at);
      if (tokens[next]?.word === '.' && tokens[next + 1]?.word === '*')
        return { sql: `${quote(parts.at(-1) ?? '')}.*`, next: next + 2 };
      if (tokens[next]?.word === '(')
        throw new SqlError(
          4121,
          16,
          1,
          `Cannot find either column "${parts[0]}" or the user-defined function or aggregate "${parts.join('.')}", or the name is ambiguous.`,
        );
      return { sql: parts.slice(-2).map(quote).join('.'), next };
    }
  }
}

/** The positions of `+` that join strings: those of a chain in which an operand is known to be one. */
function concatenations(tokens: readonly Token[], t: Translation, scope: Scope | undefined): Set<number> {
  const joined = new Set<number>();
  if (!tokens.some((token) => token.word === '+')) return joined;
  let run: number[] = [];
  let operand: Token[] = [];
  let text = false;
  const endOperand = (): void => {
    if (isCharacter(typeOf(operand, t, scope)) || isTextCase(operand, t, scope)) text = true;
    operand = [];
  };
  const endRun = (): void => {
    endOperand();
    if (text) for (const at of run) joined.add(at);
    run = [];
    text = false;
  };
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i] as Token;
    if (token.word === '(') {
      const end = closing(tokens, i);
      operand.push(...tokens.slice(i, end + 1));
      i = end;
    } else if (token.word === '+') {
      endOperand();
      run.push(i);
    } else if (
      (token.kind === 'op' && token.word !== '.') ||
      (KEYWORDS.has(token.word) && !/^(LEFT|RIGHT)$/.test(token.word))
    )
      endRun();
    else operand.push(token);
  }
  endRun();
  return joined;
}

function isTextCase(operand: readonly Token[], t: Translation, scope: Scope | undefined): boolean {
  return (
    operand[0]?.word === '(' && operand.length > 2 && concatenations(operand.slice(1, -1), t, scope).size > 0
  );
}

export const startsQuery = (tokens: readonly Token[]): boolean =>
  tokens[0]?.word === 'SELECT' ||
  (tokens[0]?.word === 'WITH' && isName(tokens[1])) ||
  (tokens[0]?.word === '(' && startsQuery(tokens.slice(1)));

export interface Query {
  readonly sql: string;
  /** Per output column, where it could be told: type, nullability, identity. Undefined where the list is not known. */
  readonly columns: (OutputColumn | undefined)[] | undefined;
}
export interface OutputColumn {
  readonly type: TsqlType;
  readonly nullable: boolean;
  readonly identity: boolean;
}

/** Translates a query: WITH, SELECT, set operators, ORDER BY, TOP, OFFSET. */
export function query(tokens: readonly Token[], t: Translation, parent: Scope | undefined): Query {
  let scope: Scope | undefined = parent;
  let rest = tokens;
  let prefix = '';
  if (rest[0]?.word === 'WITH') {
    const ctes = new Set(parent?.ctes ?? []);
    const parts: string[] = [];
    let at = 0;
    do {
      const name = rest[at + 1]?.text ?? '';
      at += 2;
      let columns = '';
      if (rest[at]?.word === '(') {
        const end = closing(rest, at);
        columns = `(${expression(rest.slice(at + 1, end), t, undefined)})`;
        at = end + 1;
      }
      if (rest[at]?.word !== 'AS') throw new SqlError(102, 15, 1, "Incorrect syntax near 'WITH'.");
      const end = closing(rest, at + 1);
      const recursive = new Set([...ctes, name.toLowerCase()]);
      const body = query(rest.slice(at + 2, end), t, { tables: new Map(), ctes: recursive, parent });
      ctes.add(name.toLowerCase());
      parts.push(`${quote(name)}${columns} AS (${body.sql})`);
      at = end + 1;
    } while (rest[at]?.word === ',');
    prefix = `WITH RECURSIVE ${parts.join(', ')} `;
    rest = rest.slice(at);
    scope = { tables: new Map(), ctes, parent };
  }
  const pieces: string[] = [];
  let columns: Query['columns'];
  let depth = 0;
  let start = 0;
  const flush = (end: number): void => {
    const one = select(rest.slice(start, end), t, scope);
    columns ??= one.columns;
    pieces.push(one.sql);
  };
  for (let i = 0; i < rest.length; i++) {
    const word = rest[i]?.word ?? '';
    if (word === '(') depth++;
    else if (word === ')') depth--;
    else if (depth === 0 && /^(UNION|EXCEPT|INTERSECT)$/.test(word)) {
      flush(i);
      const all = rest[i + 1]?.word === 'ALL';
      pieces.push(all ? `${word} ALL` : word);
      start = i + (all ? 2 : 1);
    }
  }
  flush(rest.length);
  return { sql: prefix + pieces.join(' '), columns };
}

const CLAUSES = /^(FROM|WHERE|GROUP|HAVING|ORDER|OPTION|FOR|INTO)$/;

function select(tokens: readonly Token[], t: Translation, parent: Scope | undefined): Query {
  if (tokens[0]?.word === '(') {
    const end = closing(tokens, 0);
    const inner = query(tokens.slice(1, end), t, parent);
    return { sql: `(${inner.sql}) ${expression(tokens.slice(end + 1), t, parent)}`, columns: inner.columns };
  }
  if (tokens[0]?.word !== 'SELECT')
    throw new SqlError(102, 15, 1, `Incorrect syntax near '${tokens[0]?.text ?? ''}'.`);
  const clauses: { word: string; tokens: Token[] }[] = [{ word: 'SELECT', tokens: [] }];
  let depth = 0;
  for (const token of tokens.slice(1)) {
    if (token.word === '(') depth++;
    if (token.word === ')') depth--;
    if (depth === 0 && CLAUSES.test(token.word)) clauses.push({ word: token.word, tokens: [] });
    else clauses.at(-1)?.tokens.push(token);
  }
  const clause = (word: string): Token[] | undefined => clauses.find((one) => one.word === word)?.tokens;
  if (clause('INTO')) throw notSupported('SELECT INTO');
  if (clause('FOR')) throw notSupported('FOR');
  const scope: Scope = { tables: new Map(), ctes: parent?.ctes ?? new Set(), parent };
  const from = clause('FROM');
  const fromSql = from ? fromClause(from, t, scope) : '';
  let list = clauses[0]?.tokens ?? [];
  let head = 'SELECT';
  if (list[0]?.word === 'DISTINCT' || list[0]?.word === 'ALL') {
    head += ` ${list[0].word}`;
    list = list.slice(1);
  }
  let limit: string | undefined;
  if (list[0]?.word === 'TOP') {
    const end = list[1]?.word === '(' ? closing(list, 1) : 1;
    limit = expression(list.slice(1, end + 1), t, undefined);
    list = list.slice(end + 1);
    if (list[0]?.word === 'PERCENT' || list[0]?.word === 'WITH') throw notSupported(`TOP ${list[0].word}`);
  }
  const items = splitCommas(list).map((item) => selectItem(item, t, scope));
  let sql = `${head} ${items.map((item) => item.sql).join(', ')}`;
  if (from) sql += ` FROM ${fromSql}`;
  const where = clause('WHERE');
  if (where) sql += ` WHERE ${expression(where, t, scope)}`;
  const group = clause('GROUP');
  if (group) sql += ` GROUP ${expression(group, t, scope)}`;
  const having = clause('HAVING');
  if (having) sql += ` HAVING ${expression(having, t, scope)}`;
  const order = clause('ORDER');
  if (order) {
    const offset = order.findIndex(
      (token, i) => token.word === 'OFFSET' && /^ROWS?$/.test(rowsWord(order, i)),
    );
    sql += ` ORDER ${expression(offset < 0 ? order : order.slice(0, offset), t, scope)}`;
    if (offset >= 0) {
      const rows = order.findIndex((token, i) => i > offset && /^ROWS?$/.test(token.word));
      const fetch = order.findIndex((token, i) => i > rows && token.word === 'FETCH');
      if (fetch >= 0) {
        const end = order.findIndex((token, i) => i > fetch && /^ROWS?$/.test(token.word));
        sql += ` LIMIT ${expression(order.slice(fetch + 2, end), t, undefined)}`;
      }
      sql += ` OFFSET ${expression(order.slice(offset + 1, rows), t, undefined)}`;
    }
  }
  if (limit !== undefined) sql += ` LIMIT ${limit}`;
  const columns = items.flatMap((item) => item.columns ?? [null]);
  return {
    sql,
    columns: items.some((item) => item.columns === undefined)
      ? undefined
      : (columns as (OutputColumn | undefined)[]),
  };
}

const rowsWord = (tokens: readonly Token[], from: number): string =>
  tokens.slice(from + 1).find((token) => /^ROWS?$/.test(token.word))?.word ?? '';

function selectItem(
  item: readonly Token[],
  t: Translation,
  scope: Scope,
): { sql: string; columns: (OutputColumn | undefined)[] | undefined } {
  if (item.length === 0) throw new SqlError(102, 15, 1, "Incorrect syntax near ','.");
  const last = item.at(-1);
  if (last?.word === '*' && (item.length === 1 || item.at(-2)?.word === '.')) {
    const qualifier = item.length > 1 ? item.at(-3)?.text.toLowerCase() : undefined;
    const tables = qualifier === undefined ? [...scope.tables.values()] : [scope.tables.get(qualifier)];
    const known = tables.every((table) => table !== undefined);
    const columns = known ? tables.flatMap((table) => (table as Table).columns.map(output)) : undefined;
    return { sql: qualifier === undefined ? '*' : `${quote(item.at(-3)?.text ?? '')}.*`, columns };
  }
  let body = item;
  let alias: string | undefined;
  if (isName(item[0]) && item[1]?.word === '=') {
    alias = item[0].text;
    body = item.slice(2);
  } else if (item.length > 2 && item.at(-2)?.word === 'AS' && last) {
    alias = last.text;
    body = item.slice(0, -2);
  } else if (
    item.length > 1 &&
    last &&
    (isName(last) || last.kind === 'str') &&
    last.word !== 'END' &&
    last.word !== 'NULL'
  ) {
    const before = item.at(-2) as Token;
    if (
      before.word === ')' ||
      before.word === 'END' ||
      before.word === '*' ||
      (before.kind !== 'op' && !KEYWORDS.has(before.word) && before.word !== 'COLLATE')
    ) {
      alias = last.text;
      body = item.slice(0, -1);
    }
  }
  const type = typeOf(body, t, scope);
  let column: OutputColumn | undefined = type && { type, nullable: true, identity: false };
  if (isName(body[0])) {
    const chain = readChain(body, 0);
    if (chain.next === body.length) {
      alias ??= chain.parts.at(-1);
      const found = resolveColumn(scope, chain.parts);
      if (found) column = output(found);
    }
  }
  return { sql: `${expression(body, t, scope)} AS ${quote(alias ?? '\u0001')}`, columns: [column] };
}

const output = (column: Table['columns'][number]): OutputColumn => ({
  type: column.type,
  nullable: column.nullable,
  identity: column.identity,
});
