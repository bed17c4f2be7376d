/** INSERT, UPDATE and DELETE. */
import { type Column, type Database, quote, type Table, tableKey } from '../catalogue.js';
import { notSupported, SqlError } from '../errors.js';
import { isBinary, isCharacter } from '../types.js';
import { skipHints, tableName } from './from.js';
import { offsetText } from './functions.js';
import { closing, isName, splitCommas, type Token } from './lexer.js';
import { readChain, type Scope, type Translation } from './scope.js';
import { expression, type Query, query, startsQuery } from './translate.js';

export interface DataChange {
  readonly sql: string;
  readonly table: Table;
  readonly database: Database | undefined;
  /** Columns that may have changed; undefined: whole rows came or went. */
  readonly touched: readonly string[] | undefined;
  readonly verb: 'INSERT' | 'UPDATE' | 'DELETE';
  /** The statement answers with rows (OUTPUT). */
  readonly returning: Query['columns'] | 'none';
}

interface Top {
  readonly limit: string | undefined;
  readonly next: number;
}

function readTop(tokens: readonly Token[], at: number, t: Translation): Top {
  if (tokens[at]?.word !== 'TOP') return { limit: undefined, next: at };
  const end = tokens[at + 1]?.word === '(' ? closing(tokens, at + 1) : at + 1;
  return { limit: expression(tokens.slice(at + 1, end + 1), t, undefined), next: end + 1 };
}

function target(
  tokens: readonly Token[],
  at: number,
  t: Translation,
): { table: Table; database: Database | undefined; sql: string; name: string; next: number } {
  const { parts, next } = readChain(tokens, at);
  const found = tableName(parts, t, undefined);
  if (!found.table) throw new SqlError(259, 16, 1, 'Ad hoc updates to system catalogs are not allowed.');
  if (found.database?.source) throw readOnly(found.database);
  return {
    table: found.table,
    database: found.database,
    sql: found.sql,
    name: parts.at(-1) ?? '',
    next: skipHints(tokens, next),
  };
}

export const readOnly = (database: Database): SqlError =>
  new SqlError(
    3906,
    16,
    1,
    `Failed to update database "${database.name}" because the database is read-only.`,
  );

/** OUTPUT INSERTED.x, DELETED.y as RETURNING; the OUTPUT of an UPDATE's old values is not to be had. */
function output(
  tokens: readonly Token[],
  at: number,
  table: Table,
  t: Translation,
): { sql: string; columns: DataChange['returning']; next: number } {
  if (tokens[at]?.word !== 'OUTPUT') return { sql: '', columns: 'none', next: at };
  let end = at + 1;
  while (end < tokens.length && !/^(VALUES|SELECT|WHERE|FROM|INTO|DEFAULT)$/.test(tokens[end]?.word ?? ''))
    end++;
  if (tokens[end]?.word === 'INTO') throw notSupported('OUTPUT INTO');
  const list = tokens.slice(at + 1, end).filter((token, i, all) => {
    const next = all[i + 1]?.word === '.';
    const pseudo = /^(INSERTED|DELETED)$/i.test(token.text);
    const dot = token.word === '.' && /^(INSERTED|DELETED)$/i.test(all[i - 1]?.text ?? '');
    return !(pseudo && next) && !dot;
  });
  const columns = splitCommas(list).flatMap((item) => {
    if (item[0]?.word === '*')
      return table.columns.map((one) => ({ type: one.type, nullable: one.nullable, identity: one.identity }));
    const one = table.columns.find(
      (candidate) => candidate.name.toLowerCase() === item[0]?.text.toLowerCase(),
    );
    return [one && { type: one.type, nullable: one.nullable, identity: one.identity }];
  });
  return { sql: ` RETURNING ${expression(list, t, undefined)}`, columns, next: end };
}

export function insert(
  tokens: readonly Token[],
  t: Translation,
  identityInsert: string | undefined,
): DataChange {
  let at = 1;
  if (tokens[at]?.word === 'TOP') throw notSupported('INSERT TOP');
  if (tokens[at]?.word === 'INTO') at++;
  const into = target(tokens, at, t);
  at = into.next;
  let columns: string[] | undefined;
  if (tokens[at]?.word === '(' && !startsQuery(tokens.slice(at + 1))) {
    const end = closing(tokens, at);
    columns = splitCommas(tokens.slice(at + 1, end)).map((one) => one.at(-1)?.text ?? '');
    at = end + 1;
  }
  for (const name of columns ?? []) {
    if (!into.table.columns.some((one) => one.name.toLowerCase() === name.toLowerCase()))
      throw new SqlError(207, 16, 1, `Invalid column name '${name}'.`);
  }
  const identity = into.table.columns.find((one) => one.identity);
  const named = columns?.some((one) => one.toLowerCase() === identity?.name.toLowerCase()) ?? false;
  if (identity && named && identityInsert !== into.table.stored) {
    throw new SqlError(
      544,
      16,
      1,
      `Cannot insert explicit value for identity column in table '${into.name}' when IDENTITY_INSERT is set to OFF.`,
    );
  }
  for (const one of columns ?? []) refuseGiven(into.table, one);
  const isGiven = (one: Column) => one.identity || one.computed || one.type.rowversion;
  if (!columns && into.table.columns.some(isGiven))
    columns = into.table.columns.filter((one) => !isGiven(one)).map((one) => one.name);
  const list = columns ?? into.table.columns.map((one) => one.name);
  const returning = output(tokens, at, into.table, t);
  at = returning.next;
  const rest = tokens.slice(at);
  let source: string;
  if (rest[0]?.word === 'DEFAULT')
    return {
      ...into,
      touched: undefined,
      verb: 'INSERT',
      sql: `INSERT INTO ${into.sql} DEFAULT VALUES${returning.sql}`,
      returning: returning.columns,
    };
  if (rest[0]?.word === 'VALUES') {
    const rows = splitCommas(rest.slice(1)).map((row) => {
      const values = splitCommas(row.slice(1, -1));
      if (values.length !== list.length) {
        throw new SqlError(
          values.length > list.length ? 110 : 109,
          15,
          1,
          'There are a different number of columns in the INSERT statement than values specified in the VALUES clause.',
        );
      }
      return `(${values.map((value, i) => assigned(value, list[i] ?? '', into.table, t, undefined)).join(', ')})`;
    });
    source = `VALUES ${rows.join(', ')}`;
  } else if (startsQuery(rest)) source = query(rest, t, undefined).sql;
  else throw notSupported(rest[0]?.text ?? 'INSERT');
  return {
    ...into,
    touched: undefined,
    verb: 'INSERT',
    sql: `INSERT INTO ${into.sql} (${list.map(quote).join(', ')}) ${source}${returning.sql}`,
    returning: returning.columns,
  };
}

/** Computed columns and rowversion get their values from the server alone. */
function refuseGiven(table: Table, name: string): void {
  const column = table.columns.find((one) => one.name.toLowerCase() === name.toLowerCase());
  if (column?.computed)
    throw new SqlError(
      271,
      16,
      1,
      `The column "${column.name}" cannot be modified because it is either a computed column or is the result of a UNION operator.`,
    );
  if (column?.type.rowversion)
    throw new SqlError(
      273,
      16,
      1,
      'Cannot insert an explicit value into a timestamp column. Use INSERT with a column list to exclude the timestamp column, or insert a DEFAULT into the timestamp column.',
    );
}

/** A value on its way into a column: text given to a binary column, and text cut by char's padding, need a hand. */
function assigned(
  value: readonly Token[],
  name: string,
  table: Table,
  t: Translation,
  scope: Scope | undefined,
): string {
  const sql = expression(value, t, scope);
  const column = table.columns.find((one) => one.name.toLowerCase() === name.toLowerCase());
  if (value.length === 1 && value[0]?.kind === 'str') {
    if (column && isBinary(column.type)) return `encode(${sql})`;
    if (column?.type.name === 'datetimeoffset') return offsetText(sql);
    if (column?.type.name === 'bit') return /^(1|true)$/i.test(value[0].text) ? 'true' : 'false';
    if (column && /^(small)?money$/.test(column.type.name))
      return `CAST(replace(${sql}, ',', '') AS DECIMAL(19,4))`;
    if (column && !isCharacter(column.type) && /^\d{8}$/.test(value[0].text))
      return `CAST(strptime(${sql}, '%Y%m%d') AS TIMESTAMP)`;
  }
  return sql;
}

/** Finds a keyword outside parentheses. */
function find(tokens: readonly Token[], word: string, from = 0): number {
  let depth = 0;
  for (let i = from; i < tokens.length; i++) {
    if (tokens[i]?.word === '(') depth++;
    else if (tokens[i]?.word === ')') depth--;
    else if (depth === 0 && tokens[i]?.word === word) return i;
  }
  return -1;
}

export function update(tokens: readonly Token[], t: Translation): DataChange {
  const top = readTop(tokens, 1, t);
  const from = find(tokens, 'FROM');
  const set = find(tokens, 'SET');
  const first = targetOrAlias(tokens, top.next, from, t);
  const scope: Scope = {
    tables: new Map([[first.alias.toLowerCase(), first.table]]),
    ctes: new Set(),
    parent: undefined,
  };
  const outputAt = find(tokens, 'OUTPUT', set);
  const where = find(tokens, 'WHERE', set);
  const ends = [outputAt, from, where].filter((at) => at > 0);
  const returning = output(tokens, outputAt > 0 ? outputAt : tokens.length, first.table, t);
  const touched: string[] = [];
  const list = splitCommas(tokens.slice(set + 1, Math.min(tokens.length, ...ends))).map((item) => {
    const equals = item.findIndex((token) => /^[-+]?=$/.test(token.word));
    const name = item[equals - 1]?.text ?? '';
    if (!first.table.columns.some((one) => one.name.toLowerCase() === name.toLowerCase()))
      throw new SqlError(207, 16, 1, `Invalid column name '${name}'.`);
    refuseGiven(first.table, name);
    touched.push(name.toLowerCase());
    const value = assigned(item.slice(equals + 1), name, first.table, t, scope);
    const operator = item[equals]?.word ?? '=';
    return `${quote(name)} = ${operator === '=' ? value : `${quote(name)} ${operator[0]} (${value})`}`;
  });
  for (const column of first.table.columns)
    if (column.type.rowversion) list.push(`${quote(column.name)} = ${column.defaultSql}`);
  const more = first.extra(scope);
  const condition = where > 0 ? expression(tokens.slice(where + 1), t, scope) : undefined;
  const conditions = [first.on, condition && `(${condition})`].filter(
    (one) => one !== undefined && one !== '',
  );
  let sql = `UPDATE ${first.sql} AS ${quote(first.alias)} SET ${list.join(', ')}${more}`;
  if (top.limit !== undefined)
    sql += ` WHERE rowid IN (SELECT rowid FROM ${first.sql} AS ${quote(first.alias)}${condition ? ` WHERE ${condition}` : ''} LIMIT ${top.limit})`;
  else if (conditions.length > 0) sql += ` WHERE ${conditions.join(' AND ')}`;
  return {
    touched,
    verb: 'UPDATE',
    sql: sql + returning.sql,
    table: first.table,
    database: first.database,
    returning: returning.columns,
  };
}

export function remove(tokens: readonly Token[], t: Translation): DataChange {
  const top = readTop(tokens, 1, t);
  let at = top.next;
  if (tokens[at]?.word === 'FROM') at++;
  const first = targetOrAlias(tokens, at, find(tokens, 'FROM', at), t);
  if (first.on !== '') throw notSupported('DELETE FROM JOIN');
  const scope: Scope = {
    tables: new Map([[first.alias.toLowerCase(), first.table]]),
    ctes: new Set(),
    parent: undefined,
  };
  const outputAt = find(tokens, 'OUTPUT', at);
  const returning = output(tokens, outputAt > 0 ? outputAt : tokens.length, first.table, t);
  const where = find(tokens, 'WHERE', at);
  const condition = where > 0 ? ` WHERE ${expression(tokens.slice(where + 1), t, scope)}` : '';
  const source = `${first.sql} AS ${quote(first.alias)}`;
  const sql =
    top.limit === undefined
      ? `DELETE FROM ${source}${condition}`
      : `DELETE FROM ${source} WHERE rowid IN (SELECT rowid FROM ${source}${condition} LIMIT ${top.limit})`;
  return {
    touched: undefined,
    verb: 'DELETE',
    sql: sql + returning.sql,
    table: first.table,
    database: first.database,
    returning: returning.columns,
  };
}

interface Target {
  readonly table: Table;
  readonly database: Database | undefined;
  readonly sql: string;
  readonly alias: string;
  /** The join's condition, which DuckDB wants in WHERE; '' without a join. */
  readonly on: string;
  extra(scope: Scope): string;
}

/** UPDATE t …, or UPDATE a … FROM t AS a [JOIN u AS b ON …] with one inner join. */
function targetOrAlias(tokens: readonly Token[], at: number, from: number, t: Translation): Target {
  const { parts } = readChain(tokens, at);
  if (from < 0 || from <= at) {
    const one = target(tokens, at, t);
    return { ...one, alias: one.name, on: '', extra: () => '' };
  }
  const one = target(tokens, from + 1, t);
  let next = one.next;
  if (tokens[next]?.word === 'AS') next++;
  let alias = one.name;
  if (isName(tokens[next]) && !/^(WHERE|INNER|JOIN|LEFT|CROSS)$/.test(tokens[next]?.word ?? ''))
    alias = tokens[next++]?.text ?? '';
  if (
    alias.toLowerCase() !== parts.at(-1)?.toLowerCase() &&
    one.name.toLowerCase() !== parts.at(-1)?.toLowerCase()
  )
    throw notSupported('UPDATE FROM');
  next = skipHints(tokens, next);
  const done = next >= tokens.length || tokens[next]?.word === 'WHERE';
  if (done) return { ...one, alias, on: '', extra: () => '' };
  if (tokens[next]?.word === 'INNER') next++;
  if (tokens[next]?.word !== 'JOIN') throw notSupported('UPDATE FROM');
  const on = find(tokens, 'ON', next);
  const where = find(tokens, 'WHERE', on);
  const chain = readChain(tokens, next + 1);
  const other = tableName(chain.parts, t, undefined);
  const otherAlias = tokens[on - 1]?.text ?? '';
  const scope: Scope = {
    tables: new Map([
      [alias.toLowerCase(), one.table],
      [otherAlias.toLowerCase(), other.table],
    ]),
    ctes: new Set(),
    parent: undefined,
  };
  const condition = expression(tokens.slice(on + 1, where < 0 ? tokens.length : where), t, scope);
  return {
    ...one,
    alias,
    on: `(${condition})`,
    extra: (outer) => {
      outer.tables.set(otherAlias.toLowerCase(), other.table);
      return ` FROM ${other.sql} AS ${quote(otherAlias)}`;
    },
  };
}

export interface ForeignKeyCheck {
  /** Gives a row where the key is broken. */
  readonly sql: string;
  readonly error: SqlError;
}

/**
 * What must hold after a change: DuckDB's own foreign keys refuse any update of a referenced row, so these are asked
 * for once the statement has run, in its transaction.
 */
export function foreignKeyChecks(change: DataChange): ForeignKeyCheck[] {
  const { table, database, touched, verb } = change;
  if (!database) return [];
  const concerns = (columns: readonly string[]): boolean =>
    touched === undefined || columns.some((one) => touched.includes(one.toLowerCase()));
  const checks: ForeignKeyCheck[] = [];
  const add = (
    child: Table,
    parent: Table | undefined,
    key: Table['foreignKeys'][number],
    kind: string,
  ): void => {
    if (!parent) return;
    const present = key.columns.map((one) => `c.${quote(one)} IS NOT NULL`).join(' AND ');
    const equal = key.columns
      .map((one, i) => `p.${quote(key.referencedColumns[i] ?? '')} = c.${quote(one)}`)
      .join(' AND ');
    checks.push({
      sql: `SELECT 1 FROM ${child.stored} c WHERE ${present} AND NOT EXISTS (SELECT 1 FROM ${parent.stored} p WHERE ${equal}) LIMIT 1`,
      error: new SqlError(
        547,
        16,
        0,
        `The ${verb} statement conflicted with the ${kind} constraint "${key.name}". The conflict occurred in database "${database.name}", table "${child.schema}.${child.name}".`,
      ),
    });
  };
  const named = (schema: string, name: string): Table | undefined =>
    database.tables.get(tableKey(schema, name));
  if (verb !== 'DELETE') {
    for (const key of table.foreignKeys) {
      if (concerns(key.columns))
        add(table, named(key.referencedSchema, key.referencedTable), key, 'FOREIGN KEY');
    }
  }
  if (verb !== 'INSERT') {
    for (const child of database.tables.values()) {
      for (const key of child.foreignKeys) {
        const here = named(key.referencedSchema, key.referencedTable);
        if (here?.objectId === table.objectId && concerns(key.referencedColumns))
          add(child, here, key, 'REFERENCE');
      }
    }
  }
  return checks;
}
