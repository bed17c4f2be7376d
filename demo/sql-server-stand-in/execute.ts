/** Runs a batch: statement by statement, each with its tokens. The first error ends the batch. */
import type { DuckDBResult } from '@duckdb/node-api';
import type { Answer } from './answer.js';
import { quote } from './catalogue.js';
import { define } from './define.js';
import { nameDuplicate, notSupported, SqlError, toSqlError } from './errors.js';
import type { Isolation, Session } from './session.js';
import { rowWriter } from './tds/rows.js';
import { DONE, writeColumns, writeDatabaseChange, writeInfo, writeTransactionChange } from './tds/tokens.js';
import { type DataChange, foreignKeyChecks, insert, remove, update } from './tsql/changes.js';
import { existing } from './tsql/definitions.js';
import { splitCommas, type Token, tokenize } from './tsql/lexer.js';
import { readChain, readType, type Translation } from './tsql/scope.js';
import { type Statement, splitStatements } from './tsql/statements.js';
import { placeOf } from './tsql/table-parts.js';
import { expression, literal, type Query, query } from './tsql/translate.js';
import { storedType, type TsqlType, typeFromDuck } from './types.js';

/** Runs a batch and reports its errors in the answer; false when it failed. */
export async function runBatch(session: Session, text: string, answer: Answer): Promise<boolean> {
  try {
    await runList(session, splitStatements(tokenize(text)), answer);
    return true;
  } catch (error) {
    await session.failed();
    if (session.cancel.signal.aborted) return false;
    answer.error(toSqlError(error));
    return false;
  }
}

async function runList(session: Session, list: readonly Statement[], answer: Answer): Promise<void> {
  for (const statement of list) {
    if (session.cancel.signal.aborted) return;
    if (statement.kind === 'if') {
      const holds = await evaluate(session, statement.condition, { name: 'int' }, true);
      await runList(session, holds === '1' ? statement.then : statement.otherwise, answer);
    } else await runOne(session, statement.tokens, answer);
  }
}

const translation = (session: Session): Translation => ({ names: session, databasesRead: new Set() });

/** An expression's value as text; null stays null. */
async function evaluate(
  session: Session,
  tokens: readonly Token[],
  type: TsqlType,
  condition = false,
): Promise<string | null> {
  const t = translation(session);
  const body = expression(tokens, t, undefined);
  const value = condition ? `CASE WHEN ${body} THEN 1 ELSE 0 END` : body;
  await session.reading(t.databasesRead);
  const stored = storedType(type);
  const text =
    stored === 'BLOB' ? `hex(CAST((${value}) AS BLOB))` : `CAST(CAST((${value}) AS ${stored}) AS VARCHAR)`;
  const rows = (await session.connection.runAndReadAll(`SELECT ${text}`)).getRows();
  return (rows[0]?.[0] ?? null) as string | null;
}

export function valueLiteral(type: TsqlType, text: string | null): string {
  const stored = storedType(type);
  if (text === null) return `CAST(NULL AS ${stored})`;
  return stored === 'BLOB' ? `unhex('${text}')` : `CAST(${literal(text)} AS ${stored})`;
}

async function runOne(session: Session, tokens: readonly Token[], answer: Answer): Promise<void> {
  const [first, second] = tokens;
  const count = (rows: bigint): void => {
    session.rowCount = rows;
    answer.done(session.noCount ? DONE.final : DONE.count, rows);
  };
  switch (first?.word) {
    case 'SELECT':
    case '(':
    case 'WITH':
      if (first.word === 'WITH') refuseChangeOfCte(tokens);
      if (first.word === 'SELECT' && tokens[1]?.kind === 'var' && tokens[2]?.word === '=')
        return assignments(session, tokens);
      return runQuery(session, tokens, answer);
    case 'INSERT': {
      const t = translation(session);
      const change = insert(tokens, t, session.identityInsert);
      await runChange(session, change, t, answer, count);
      const identity = change.table.columns.find((one) => one.identity);
      if (identity && session.identityInsert === undefined && change.database) {
        session.lastIdentity = `${quote(change.database.name)}.${quote(change.table.schema)}.${quote(`identity ${change.table.name} ${identity.name}`)}`;
      }
      return;
    }
    case 'UPDATE': {
      const t = translation(session);
      return runChange(session, update(tokens, t), t, answer, count);
    }
    case 'DELETE': {
      const t = translation(session);
      return runChange(session, remove(tokens, t), t, answer, count);
    }
    case 'SET':
      return runSet(session, tokens);
    case 'DECLARE':
      for (const part of splitCommas(tokens.slice(1))) {
        const at = part[1]?.word === 'AS' ? 2 : 1;
        if (part[at]?.word === 'TABLE') throw notSupported('TABLE');
        const { type, next } = readType(part, at, 1);
        const value = part[next]?.word === '=' ? await evaluate(session, part.slice(next + 1), type) : null;
        session.variables.set((part[0]?.text ?? '').toLowerCase(), {
          type,
          value,
          sql: valueLiteral(type, value),
        });
      }
      return;
    case 'USE': {
      const before = session.database.name;
      const found = session.findDatabase(second?.text ?? '');
      if (!found)
        throw new SqlError(
          911,
          16,
          1,
          `Database '${second?.text}' does not exist. Make sure that the name is entered correctly.`,
        );
      session.database = found;
      answer.more();
      writeDatabaseChange(answer.w, found.name, before);
      return answer.done(DONE.final, 0n);
    }
    case 'BEGIN': {
      const outer = session.depth > 0;
      const id = session.begin();
      answer.more();
      if (!outer) writeTransactionChange(answer.w, 8, id);
      return answer.done(DONE.final, 0n);
    }
    case 'COMMIT':
    case 'ROLLBACK': {
      const id = session.transaction?.id ?? 0n;
      await (first.word === 'COMMIT' ? session.commit() : session.rollback());
      answer.more();
      if (!session.transaction) writeTransactionChange(answer.w, first.word === 'COMMIT' ? 9 : 10, id);
      return answer.done(DONE.final, 0n);
    }
    case 'PRINT': {
      const text = await evaluate(session, tokens.slice(1), { name: 'nvarchar', length: -1 });
      answer.more();
      writeInfo(answer.w, 0, 0, text ?? '');
      return answer.done(DONE.final, 0n);
    }
    case 'CREATE':
    case 'ALTER':
    case 'DROP':
    case 'TRUNCATE':
      await define(session, tokens);
      return answer.done(DONE.final, 0n);
    case 'EXEC':
    case 'EXECUTE':
      throw new SqlError(
        2812,
        16,
        62,
        `Could not find stored procedure '${second?.text ?? ''}'. (stand-in: not supported)`,
      );
    case undefined:
      return;
    default:
      throw notSupported(first?.text ?? '');
  }
}

function refuseChangeOfCte(tokens: readonly Token[]): void {
  let depth = 0;
  for (const token of tokens) {
    if (token.word === '(') depth++;
    else if (token.word === ')') depth--;
    else if (depth === 0 && /^(INSERT|UPDATE|DELETE|MERGE)$/.test(token.word))
      throw notSupported(`WITH … ${token.word}`);
  }
}

async function assignments(session: Session, tokens: readonly Token[]): Promise<void> {
  const from = tokens.findIndex((token) => token.word === 'FROM');
  const list = splitCommas(tokens.slice(1, from < 0 ? undefined : from));
  const targets = list.map((item) => {
    const variable = session.variable(item[0]?.text ?? '');
    if (!variable) throw new SqlError(137, 15, 2, `Must declare the scalar variable "${item[0]?.text}".`);
    return { name: (item[0]?.text ?? '').toLowerCase(), type: variable.type };
  });
  const comma: Token = { kind: 'op', text: ',', word: ',', at: 0 };
  const plain = [
    tokens[0] as Token,
    ...list.flatMap((item, i) => [...(i > 0 ? [comma] : []), ...item.slice(2)]),
    ...(from < 0 ? [] : tokens.slice(from)),
  ];
  const t = translation(session);
  const { sql } = query(plain, t, undefined);
  await session.reading(t.databasesRead);
  const names = targets.map((_, i) => `c${i}`);
  const texts = targets.map((target, i) => {
    const stored = storedType(target.type);
    return stored === 'BLOB' ? `hex(CAST(c${i} AS BLOB))` : `CAST(CAST(c${i} AS ${stored}) AS VARCHAR)`;
  });
  const rows = (
    await session.connection.runAndReadAll(`SELECT ${texts.join(', ')} FROM (${sql}) v(${names.join(', ')})`)
  ).getRows();
  session.rowCount = BigInt(rows.length);
  const last = rows.at(-1);
  if (!last) return;
  targets.forEach(({ name, type }, i) => {
    const value = last[i] as string | null;
    session.variables.set(name, { type, value, sql: valueLiteral(type, value) });
  });
}

async function runQuery(session: Session, tokens: readonly Token[], answer: Answer): Promise<void> {
  const t = translation(session);
  const translated = query(tokens, t, undefined);
  await session.reading(t.databasesRead);
  await sendRows(session, await session.connection.stream(translated.sql), translated.columns, answer);
}

async function sendRows(
  session: Session,
  result: DuckDBResult,
  known: Query['columns'],
  answer: Answer,
): Promise<void> {
  const names = result.columnNames();
  const list = known?.length === names.length ? known : undefined;
  const columns = names.map((name, i) => ({
    ...(list?.[i] ?? {
      type: typeFromDuck(result.columnType(i).toString()),
      nullable: true,
      identity: false,
    }),
    name: name === '\u0001' ? '' : name,
  }));
  const { w } = answer;
  answer.more();
  writeColumns(w, columns);
  const write = rowWriter(columns.map((column) => column.type));
  const stopped = (): boolean => session.cancel.signal.aborted;
  let rows = 0;
  while (!stopped()) {
    const chunk = await result.fetchChunk();
    if (!chunk || chunk.rowCount === 0) break;
    rows += await write(w, chunk, stopped);
  }
  if (stopped()) return;
  session.rowCount = BigInt(rows);
  answer.done(session.noCount ? DONE.final : DONE.count, BigInt(rows));
}

async function runChange(
  session: Session,
  change: DataChange,
  t: Translation,
  answer: Answer,
  count: (rows: bigint) => void,
): Promise<void> {
  const returning = change.returning;
  const work = async (): Promise<void> => {
    await session.reading(t.databasesRead);
    const checked = async (): Promise<void> => {
      for (const { sql, error } of foreignKeyChecks(change)) {
        if ((await session.connection.runAndReadAll(sql)).currentRowCount === 0) continue;
        session.doom();
        throw error;
      }
    };
    if (returning !== 'none') {
      await sendRows(session, await session.connection.run(change.sql), returning, answer);
      return checked();
    }
    const result = await session.connection.run(change.sql);
    await checked();
    count(BigInt(result.rowsChanged));
  };
  await session.writing(change.database, work).catch((error: unknown) => {
    throw nameDuplicate(error, change.table);
  });
}

async function runSet(session: Session, tokens: readonly Token[]): Promise<void> {
  const second = tokens[1];
  if (second?.kind === 'var') {
    const variable = session.variable(second.text);
    if (!variable) throw new SqlError(137, 15, 2, `Must declare the scalar variable "${second.text}".`);
    const value = await evaluate(session, tokens.slice(3), variable.type);
    session.variables.set(second.text.toLowerCase(), {
      ...variable,
      value,
      sql: valueLiteral(variable.type, value),
    });
    return;
  }
  const words = tokens.map((token) => token.word);
  if (second?.word === 'TRANSACTION') {
    const level = words.slice(4).join(' ').toLowerCase() as Isolation;
    if (!/^(read uncommitted|read committed|repeatable read|serializable|snapshot)$/.test(level))
      throw notSupported(level);
    session.isolation = level;
  } else if (second?.word === 'NOCOUNT') session.noCount = words[2] === 'ON';
  else if (second?.word === 'LOCK_TIMEOUT')
    session.lockTimeoutMs = Number(
      tokens
        .slice(2)
        .map((token) => token.text)
        .join(''),
    );
  else if (second?.word === 'IDENTITY_INSERT') {
    const place = placeOf(readChain(tokens, 2).parts, translation(session), session.temporary);
    session.identityInsert = words.at(-1) === 'ON' ? existing(place, [place.name]).stored : undefined;
  } else if (second?.word === 'IMPLICIT_TRANSACTIONS' && words[2] === 'ON')
    throw notSupported('IMPLICIT_TRANSACTIONS');
}
