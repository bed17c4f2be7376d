/** CREATE TABLE, ALTER TABLE, CREATE INDEX, DROP TABLE: the catalogue's record, and DuckDB's statements for it. */
import { type Column, quote, type Table, tableKey } from '../catalogue.js';
import { notSupported, SqlError } from '../errors.js';
import { isCharacter, storedType } from '../types.js';
import { closing, splitCommas, type Token } from './lexer.js';
import { readChain, readType, type Translation } from './scope.js';
import {
  addIndex,
  type Change,
  columnDefinition,
  columnSql,
  type Draft,
  indexColumns,
  indexSql,
  key,
  type Place,
  placeOf,
  sequenceName,
  storedName,
  tableConstraint,
} from './table-parts.js';
import { expression } from './translate.js';

export function createTable(
  place: Place,
  body: readonly Token[],
  t: Translation,
  nextObjectId: () => number,
): Change {
  if (place.tables.has(key(place)))
    throw new SqlError(2714, 16, 6, `There is already an object named '${place.name}' in the database.`);
  const draft: Draft = { columns: [], indexes: [], foreignKeys: [], checks: [] };
  const statements: string[] = [];
  const prefix = place.database ? '' : 'TEMP ';
  for (const part of splitCommas(body)) {
    if (/^(CONSTRAINT|PRIMARY|UNIQUE|FOREIGN|CHECK|INDEX)$/.test(part[0]?.word ?? ''))
      tableConstraint(part, place, draft, t, nextObjectId);
    else columnDefinition(part, place, draft, t, nextObjectId, statements);
  }
  for (const index of draft.indexes) {
    if (!index.primary) continue;
    for (const one of index.columns) {
      const column = draft.columns.find(
        (candidate) => candidate.name.toLowerCase() === one.column.toLowerCase(),
      );
      if (!column)
        throw new SqlError(
          1911,
          16,
          1,
          `Column name '${one.column}' does not exist in the target table or view.`,
        );
      column.nullable = false;
    }
  }
  const lines = draft.columns.map((column) => `${quote(column.name)} ${columnSql(column, place)}`);
  const keys = draft.indexes.filter((index) => index.constraint);
  for (const index of keys)
    lines.push(
      `${index.primary ? 'PRIMARY KEY' : 'UNIQUE'} (${index.columns.map((one) => quote(one.column)).join(', ')})`,
    );
  for (const check of draft.checks) lines.push(`CHECK (${check})`);
  for (const one of draft.columns) {
    const limit = one.type.length ?? -1;
    if (limit > 0 && isCharacter(one.type) && !one.computed)
      lines.push(`CHECK (length(${quote(one.name)}) <= ${limit})`);
  }
  const table: Table = {
    objectId: nextObjectId(),
    schema: place.schema,
    name: place.name,
    columns: draft.columns,
    indexes: [],
    foreignKeys: draft.foreignKeys,
    stored: storedName(place),
  };
  for (const index of [...draft.indexes].sort((a, b) => Number(b.clustered) - Number(a.clustered)))
    addIndex(table, index);
  statements.push(`CREATE ${prefix}TABLE ${table.stored} (${lines.join(', ')})`);
  for (const index of draft.indexes)
    if (!index.constraint && index.unique) statements.push(indexSql(place, table, index));
  return { statements, apply: () => place.tables.set(key(place), table) };
}

export function createIndex(
  tokens: readonly Token[],
  t: Translation,
  temporary: Map<string, Table>,
): Change & { readonly place: Place } {
  const at = tokens.findIndex((token) => token.word === 'INDEX');
  const on = tokens.findIndex((token) => token.word === 'ON');
  const head = tokens.slice(0, at).map((token) => token.word);
  const { parts, next } = readChain(tokens, on + 1);
  const place = placeOf(parts, t, temporary);
  const table = existing(place, parts);
  const end = closing(tokens, next);
  const name = tokens[at + 1]?.text ?? '';
  if (table.indexes.some((one) => one.name.toLowerCase() === name.toLowerCase())) {
    throw new SqlError(
      1913,
      16,
      1,
      `The operation failed because an index or statistics with name '${name}' already exists on table '${parts.join('.')}'.`,
    );
  }
  let columns = indexColumns(tokens.slice(next + 1, end));
  if (tokens[end + 1]?.word === 'INCLUDE') {
    const included = indexColumns(tokens.slice(end + 3, closing(tokens, end + 2))).map((one) => ({
      ...one,
      included: true,
    }));
    columns = [...columns, ...included];
  }
  for (const one of columns) column(table, one.column);
  const filtered = tokens.slice(end).some((token) => token.word === 'WHERE');
  const index = {
    name,
    unique: head.includes('UNIQUE'),
    primary: false,
    constraint: false,
    clustered: head.includes('CLUSTERED'),
    filtered,
    columns,
  };
  // Only a unique index changes what statements may do; DuckDB scans fast without the others, and updates faster.
  return {
    place,
    statements: index.unique && !filtered ? [indexSql(place, table, index)] : [],
    apply: () => addIndex(table, index),
  };
}

function column(table: Table, name: string): Column {
  const found = table.columns.find((one) => one.name.toLowerCase() === name.toLowerCase());
  if (!found)
    throw new SqlError(1911, 16, 1, `Column name '${name}' does not exist in the target table or view.`);
  return found;
}

export function existing(place: Place, parts: readonly string[], number = 4902): Table {
  const table = place.tables.get(key(place));
  if (!table) {
    const text =
      number === 4902
        ? `Cannot find the object "${parts.join('.')}" because it does not exist or you do not have permissions.`
        : `Cannot find the object '${parts.join('.')}' because it does not exist or you do not have permission.`;
    throw new SqlError(number, number === 4902 ? 16 : 11, number === 4902 ? 1 : 5, text);
  }
  return table;
}

export function dropTable(place: Place, options: { ifExists: boolean }): Change {
  const table = place.tables.get(key(place));
  if (!table) {
    if (options.ifExists) return { statements: [], apply: () => {} };
    throw new SqlError(
      3701,
      11,
      5,
      `Cannot drop the table '${place.name}', because it does not exist or you do not have permission.`,
    );
  }
  for (const other of place.tables.values()) {
    if (
      other !== table &&
      other.foreignKeys.some((one) => tableKey(one.referencedSchema, one.referencedTable) === key(place))
    ) {
      throw new SqlError(
        3726,
        16,
        1,
        `Could not drop object '${place.name}' because it is referenced by a FOREIGN KEY constraint.`,
      );
    }
  }
  const sequences = table.columns
    .filter((one) => one.identity || one.type.rowversion)
    .map((one) => `DROP SEQUENCE IF EXISTS ${sequenceName(place, one.name)}`);
  return {
    statements: [`DROP TABLE ${table.stored}`, ...sequences],
    apply: () => place.tables.delete(key(place)),
  };
}

export function alterTable(
  place: Place,
  parts: readonly string[],
  rest: readonly Token[],
  t: Translation,
  nextObjectId: () => number,
): Change {
  const table = existing(place, parts);
  let body = rest;
  if (body[0]?.word === 'WITH') body = body.slice(2);
  const verb = body[0]?.word;
  if (verb === 'ADD') return alterAdd(place, table, body.slice(1), t, nextObjectId);
  if ((verb === 'CHECK' || verb === 'NOCHECK') && body[1]?.word === 'CONSTRAINT')
    return { statements: [], apply: () => {} };
  if (verb === 'DROP' && body[1]?.word === 'CONSTRAINT') {
    const name = body.at(-1)?.text.toLowerCase();
    const foreign = table.foreignKeys.findIndex((one) => one.name.toLowerCase() === name);
    if (foreign < 0) throw notSupported('DROP CONSTRAINT');
    return { statements: [], apply: () => table.foreignKeys.splice(foreign, 1) };
  }
  if (verb === 'DROP' && body[1]?.word === 'COLUMN') {
    const found = column(table, body.at(-1)?.text ?? '');
    return {
      statements: [`ALTER TABLE ${table.stored} DROP COLUMN ${quote(found.name)}`],
      apply: () => table.columns.splice(table.columns.indexOf(found), 1),
    };
  }
  if (verb === 'ALTER' && body[1]?.word === 'COLUMN') {
    const found = column(table, body[2]?.text ?? '');
    const { type, next } = readType(body, 3);
    const nullable = body[next]?.word !== 'NOT';
    return {
      statements: [
        `ALTER TABLE ${table.stored} ALTER COLUMN ${quote(found.name)} TYPE ${storedType(type)}`,
        `ALTER TABLE ${table.stored} ALTER COLUMN ${quote(found.name)} ${nullable ? 'DROP' : 'SET'} NOT NULL`,
      ],
      apply: () => table.columns.splice(table.columns.indexOf(found), 1, { ...found, type, nullable }),
    };
  }
  throw notSupported(`ALTER TABLE ${body[0]?.text ?? ''}`);
}

function alterAdd(
  place: Place,
  table: Table,
  body: readonly Token[],
  t: Translation,
  nextObjectId: () => number,
): Change {
  const draft: Draft = { columns: [], indexes: [], foreignKeys: [], checks: [] };
  const statements: string[] = [];
  const forDefault = body.findIndex((token) => token.word === 'FOR');
  if (forDefault > 0) {
    const found = column(table, body[forDefault + 1]?.text ?? '');
    const at = body.findIndex((token) => token.word === 'DEFAULT');
    const sql = expression(body.slice(at + 1, forDefault), t, undefined);
    return {
      statements: [`ALTER TABLE ${table.stored} ALTER COLUMN ${quote(found.name)} SET DEFAULT (${sql})`],
      apply: () => {
        found.defaultSql = sql;
      },
    };
  }
  for (const part of splitCommas(body)) {
    if (/^(CONSTRAINT|PRIMARY|UNIQUE|FOREIGN|CHECK)$/.test(part[0]?.word ?? ''))
      tableConstraint(part, place, draft, t, nextObjectId);
    else columnDefinition(part, place, draft, t, nextObjectId, statements);
  }
  for (const one of draft.columns) {
    if (table.columns.some((other) => other.name.toLowerCase() === one.name.toLowerCase())) {
      throw new SqlError(
        2705,
        16,
        4,
        `Column names in each table must be unique. Column name '${one.name}' in table '${table.name}' is specified more than once.`,
      );
    }
    statements.push(
      `ALTER TABLE ${table.stored} ADD COLUMN ${quote(one.name)} ${columnSql({ ...one, nullable: true }, place)}`,
    );
    if (!one.nullable)
      statements.push(`ALTER TABLE ${table.stored} ALTER COLUMN ${quote(one.name)} SET NOT NULL`);
  }
  for (const index of draft.indexes) {
    statements.push(
      index.primary
        ? `ALTER TABLE ${table.stored} ADD PRIMARY KEY (${index.columns.map((one) => quote(one.column)).join(', ')})`
        : indexSql(place, table, index),
    );
  }
  return {
    statements,
    apply: () => {
      let id = Math.max(0, ...table.columns.map((one) => one.id));
      for (const one of draft.columns) table.columns.push({ ...one, id: ++id });
      for (const index of draft.indexes) {
        for (const one of index.primary ? index.columns : []) column(table, one.column).nullable = false;
        addIndex(table, index);
      }
      table.foreignKeys.push(...draft.foreignKeys);
    },
  };
}
