/** Cuts a batch into statements. T-SQL needs no separator, so a keyword that can start a statement may do so. */
import { notSupported } from '../errors.js';
import type { Token } from './lexer.js';

export type Statement =
  | { readonly kind: 'simple'; readonly tokens: readonly Token[] }
  | {
      readonly kind: 'if';
      readonly condition: readonly Token[];
      readonly then: Statement[];
      readonly otherwise: Statement[];
    };

const STARTS = new Set(
  'SELECT INSERT UPDATE DELETE MERGE SET USE BEGIN COMMIT ROLLBACK SAVE CREATE ALTER DROP TRUNCATE DECLARE IF PRINT EXEC EXECUTE WHILE RETURN KILL DBCC RAISERROR THROW WAITFOR CHECKPOINT GO'.split(
    ' ',
  ),
);

export function splitStatements(tokens: readonly Token[]): Statement[] {
  const cursor = { at: 0 };
  const list = statements(tokens, cursor, false);
  return list;
}

function statements(tokens: readonly Token[], cursor: { at: number }, block: boolean): Statement[] {
  const list: Statement[] = [];
  while (cursor.at < tokens.length) {
    const word = tokens[cursor.at]?.word;
    if (word === ';' || word === 'GO') cursor.at++;
    else if (block && word === 'END') return list;
    else list.push(...one(tokens, cursor));
  }
  if (block) throw notSupported('BEGIN');
  return list;
}

function one(tokens: readonly Token[], cursor: { at: number }): Statement[] {
  const first = tokens[cursor.at]?.word;
  if (first === 'IF') {
    const start = ++cursor.at;
    skipTo(tokens, cursor, (word) => STARTS.has(word ?? ''));
    const condition = tokens.slice(start, cursor.at);
    const then = one(tokens, cursor);
    let otherwise: Statement[] = [];
    const mark = cursor.at;
    if (tokens[cursor.at]?.word === ';') cursor.at++;
    if (tokens[cursor.at]?.word === 'ELSE') {
      cursor.at++;
      otherwise = one(tokens, cursor);
    } else cursor.at = mark;
    return [{ kind: 'if', condition, then, otherwise }];
  }
  if (first === 'BEGIN' && !/^(TRAN|TRANSACTION|DISTRIBUTED)$/.test(tokens[cursor.at + 1]?.word ?? '')) {
    cursor.at++;
    if (/^(TRY|CATCH)$/.test(tokens[cursor.at]?.word ?? '')) throw notSupported('BEGIN TRY');
    const list = statements(tokens, cursor, true);
    cursor.at++;
    return list;
  }
  const start = cursor.at++;
  const seen = new Set<string>();
  let depth = 0;
  let cases = 0;
  for (; cursor.at < tokens.length; cursor.at++) {
    const word = tokens[cursor.at]?.word ?? '';
    const before = tokens[cursor.at - 1]?.word ?? '';
    if (word === '(') depth++;
    else if (word === ')') depth--;
    if (depth > 0) continue;
    if (word === ';') break;
    if (word === 'CASE') cases++;
    else if (word === 'END') {
      if (cases === 0) break;
      cases--;
    } else if (word === 'ELSE' && cases === 0) break;
    else if (STARTS.has(word) && before !== '.' && begins(first ?? '', word, before, seen)) break;
    else if (STARTS.has(word) || word === 'VALUES') seen.add(word);
  }
  return [{ kind: 'simple', tokens: tokens.slice(start, cursor.at) }];
}

/** Whether `word` starts a new statement inside one that began with `first`. */
function begins(first: string, word: string, before: string, seen: ReadonlySet<string>): boolean {
  switch (word) {
    case 'SELECT':
      if (/^(UNION|ALL|EXCEPT|INTERSECT|AS)$/.test(before)) return false;
      if (first === 'INSERT') return seen.has('SELECT') || seen.has('VALUES');
      return !(first === 'WITH' && seen.size === 0);
    case 'INSERT':
    case 'UPDATE':
    case 'DELETE':
      if (before === 'ON' || before === 'THEN') return false;
      if (first === 'INSERT' && word === 'INSERT') return true;
      return !(first === 'WITH' && seen.size === 0);
    case 'SET':
      if (first === 'UPDATE' || (first === 'WITH' && seen.has('UPDATE'))) return seen.has('SET');
      return !(first === 'ALTER' && !seen.has('SET')) && before !== 'DELETE' && before !== 'UPDATE';
    case 'DROP':
    case 'ALTER':
      return first !== 'ALTER' || seen.has(word);
    case 'EXEC':
    case 'EXECUTE':
      return first !== 'INSERT';
    case 'IF':
      return !(first === 'DROP' && /^(TABLE|DATABASE|INDEX|SCHEMA|VIEW|COLUMN|CONSTRAINT)$/.test(before));
    case 'KILL':
    case 'SAVE':
    case 'THROW':
    case 'GO':
    case 'USE':
      return before !== 'AS' && before !== ',';
    default:
      return true;
  }
}

function skipTo(
  tokens: readonly Token[],
  cursor: { at: number },
  stop: (word: string | undefined) => boolean,
): void {
  let depth = 0;
  for (; cursor.at < tokens.length; cursor.at++) {
    const word = tokens[cursor.at]?.word;
    if (word === '(') depth++;
    else if (word === ')') depth--;
    else if (depth === 0 && stop(word)) return;
  }
}
