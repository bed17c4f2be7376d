/** CREATE TABLE, ALTER TABLE, CREATE INDEX, DROP TABLE, TRUNCATE: the catalogue's record, and DuckDB's statements for it. */
import {
  type Column,
  type Database,
  type ForeignKey,
  type Index,
  quote,
  type Table,
  tableKey,
} from '../catalogue.js';
import { notSupported, SqlError } from '../errors.js';
import { isCharacter, storedType, type TsqlType } from '../types.js';
import { closing, isName, splitCommas, type Token } from './lexer.js';
import { readChain, readType, type Translation } from './scope.js';
import { expression } from './translate.js';

interface Draft {
  readonly columns: Column[];
  readonly indexes: Omit<Index, 'id'>[];
  readonly foreignKeys: ForeignKey[];
  readonly checks: string[];
}

export interface Change {
  readonly statements: string[];
  /** Applied to the catalogue once DuckDB has taken all statements. */
  apply(): void;
}

export interface Place {
  /** undefined: the session's temporary tables. */
  readonly database: Database | undefined;
  readonly tables: Map<string, Table>;
  readonly schema: string;
  readonly name: string;
}

/** The place a name in DDL means. */
export function placeOf(parts: readonly string[], t: Translation, temporary: Map<string, Table>): Place {
  const name = parts.at(-1) ?? '';
  if (name.startsWith('#')) return { database: undefined, tables: temporary, schema: 'dbo', name };
  const database = parts.length >= 3 ? t.names.findDatabase(parts.at(-3) ?? '') : t.names.database;
  if (!database)
    throw new SqlError(
      911,
      16,
      1,
      `Database '${parts.at(-3)}' does not exist. Make sure that the name is entered correctly.`,
    );
  const schema = parts.at(-2) || 'dbo';
  if (!database.schemas.has(schema.toLowerCase())) {
    throw new SqlError(
      2760,
      16,
      1,
      `The specified schema name "${schema}" either does not exist or you do not have permission to use it.`,
    );
  }
  return { database, tables: database.tables, schema, name };
}

const key = (place: Place): string =>
  place.database ? tableKey(place.schema, place.name) : place.name.toLowerCase();
const storedName = (place: Place): string =>
  place.database
    ? `${quote(place.database.name)}.${quote(place.schema)}.${quote(place.name)}`
    : `temp.main.${quote(place.name)}`;
const sequenceName = (place: Place, column: string): string =>
  place.database
    ? `${quote(place.database.name)}.${quote(place.schema)}.${quote(`identity ${place.name} ${column}`)}`
    : `temp.main.${quote(`identity ${place.name} ${column}`)}`;

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
    if (limit > 0 && isCharacter(one.type)) lines.push(`CHECK (length(${quote(one.name)}) <= ${limit})`);
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

/** DuckDB's column definition; a copy without defaults and keys serves database snapshots. */
export function columnSql(column: Column, place?: Place): string {
  let sql = storedType(column.type);
  if (isCharacter(column.type) && !/_(BIN2?|CS_\w+)$/i.test(column.collation ?? '')) sql += ' COLLATE NOCASE';
  if (place && column.identity)
    sql += ` DEFAULT nextval('${sequenceName(place, column.name).replaceAll("'", "''")}')`;
  else if (place && column.defaultSql !== undefined) sql += ` DEFAULT (${column.defaultSql})`;
  if (!column.nullable) sql += ' NOT NULL';
  return sql;
}

function columnDefinition(
  part: readonly Token[],
  place: Place,
  draft: Draft,
  t: Translation,
  nextObjectId: () => number,
  statements: string[],
): void {
  const name = part[0];
  if (!isName(name)) throw new SqlError(102, 15, 1, `Incorrect syntax near '${name?.text ?? ')'}'.`);
  if (part[1]?.word === 'AS') throw notSupported('computed column');
  let { type, next }: { type: TsqlType; next: number } = readType(part, 1);
  let nullable = true;
  let identity = false;
  let defaultSql: string | undefined;
  let collation: string | undefined;
  let constraintName: string | undefined;
  const column = name.text;
  while (next < part.length) {
    const word = part[next]?.word ?? '';
    if (word === 'NOT') {
      nullable = false;
      next += 2;
    } else if (
      word === 'NULL' ||
      word === 'CLUSTERED' ||
      word === 'NONCLUSTERED' ||
      word === 'ROWGUIDCOL' ||
      word === 'SPARSE'
    )
      next++;
    else if (word === 'COLLATE') {
      collation = part[next + 1]?.text;
      next += 2;
    } else if (word === 'CONSTRAINT') {
      constraintName = part[next + 1]?.text;
      next += 2;
    } else if (word === 'IDENTITY') {
      identity = true;
      nullable = false;
      next++;
      let start = '1';
      let step = '1';
      if (part[next]?.word === '(') {
        const end = closing(part, next);
        [start = '1', step = '1'] = splitCommas(part.slice(next + 1, end)).map((one) =>
          one.map((token) => token.text).join(''),
        );
        next = end + 1;
      }
      statements.push(
        `CREATE ${place.database ? '' : 'TEMP '}SEQUENCE ${sequenceName(place, column)} MINVALUE ${Math.min(Number(start), 1)} START ${start} INCREMENT ${step}`,
      );
    } else if (word === 'DEFAULT') {
      const end = defaultEnd(part, next + 1);
      defaultSql = expression(part.slice(next + 1, end), t, undefined);
      next = end;
    } else if (word === 'PRIMARY' || word === 'UNIQUE') {
      const primary = word === 'PRIMARY';
      next += primary ? 2 : 1;
      const clustered = part[next]?.word === 'CLUSTERED' || (primary && part[next]?.word !== 'NONCLUSTERED');
      draft.indexes.push({
        name: constraintName ?? `${primary ? 'PK' : 'UQ'}__${place.name}__${nextObjectId().toString(16)}`,
        unique: true,
        primary,
        constraint: true,
        clustered,
        filtered: false,
        columns: [{ column, descending: false, included: false }],
      });
    } else if (word === 'REFERENCES' || word === 'FOREIGN') {
      if (word === 'FOREIGN') next += 2;
      next = reference(part, next, [column], constraintName, place, draft, t, nextObjectId);
    } else if (word === 'CHECK') {
      const end = closing(part, next + 1);
      draft.checks.push(expression(part.slice(next + 2, end), t, undefined));
      next = end + 1;
    } else throw new SqlError(102, 15, 1, `Incorrect syntax near '${part[next]?.text ?? ''}'.`);
  }
  draft.columns.push({
    id: draft.columns.length + 1,
    name: column,
    type,
    nullable,
    identity,
    computed: false,
    defaultSql,
    ...(collation ? { collation } : {}),
  });
}

function defaultEnd(part: readonly Token[], at: number): number {
  let i = at;
  if (part[i]?.word === '-' || part[i]?.word === '+') i++;
  if (part[i]?.word === '(') return closing(part, i) + 1;
  return part[i + 1]?.word === '(' ? closing(part, i + 1) + 1 : i + 1;
}

function tableConstraint(
  part: readonly Token[],
  place: Place,
  draft: Draft,
  t: Translation,
  nextObjectId: () => number,
): void {
  let at = 0;
  let name: string | undefined;
  if (part[0]?.word === 'CONSTRAINT') {
    name = part[1]?.text;
    at = 2;
  }
  const word = part[at]?.word;
  if (word === 'PRIMARY' || word === 'UNIQUE' || word === 'INDEX') {
    const primary = word === 'PRIMARY';
    at += primary ? 2 : 1;
    if (word === 'INDEX') name = part[at++]?.text;
    let unique = word !== 'INDEX';
    if (part[at]?.word === 'UNIQUE') {
      unique = true;
      at++;
    }
    const clustered = part[at]?.word === 'CLUSTERED' || (primary && part[at]?.word !== 'NONCLUSTERED');
    while (at < part.length && part[at]?.word !== '(') at++;
    draft.indexes.push({
      name: name ?? `${primary ? 'PK' : 'UQ'}__${place.name}__${nextObjectId().toString(16)}`,
      unique,
      primary,
      constraint: word !== 'INDEX',
      clustered,
      filtered: false,
      columns: indexColumns(part.slice(at + 1, closing(part, at))),
    });
  } else if (word === 'FOREIGN') {
    const end = closing(part, at + 2);
    const columns = part
      .slice(at + 3, end)
      .filter(isName)
      .map((token) => token.text);
    reference(part, end + 1, columns, name, place, draft, t, nextObjectId);
  } else if (word === 'CHECK') {
    draft.checks.push(expression(part.slice(at + 2, closing(part, at + 1)), t, undefined));
  } else throw notSupported(part[at]?.text ?? 'CONSTRAINT');
}

const indexColumns = (tokens: readonly Token[]): Index['columns'] =>
  splitCommas(tokens).map((one) => ({
    column: one[0]?.text ?? '',
    descending: one[1]?.word === 'DESC',
    included: false,
  }));

function reference(
  part: readonly Token[],
  at: number,
  columns: string[],
  name: string | undefined,
  place: Place,
  draft: Draft,
  t: Translation,
  nextObjectId: () => number,
): number {
  const chain = readChain(part, at + 1);
  let next = chain.next;
  let referencedColumns: string[] = [];
  if (part[next]?.word === '(') {
    const end = closing(part, next);
    referencedColumns = part
      .slice(next + 1, end)
      .filter(isName)
      .map((token) => token.text);
    next = end + 1;
  }
  const target = placeOf(chain.parts, t, new Map());
  const table = target.tables.get(key(target));
  const self = key(target) === key(place);
  if (!table && !self)
    throw new SqlError(
      1767,
      16,
      0,
      `Foreign key '${name ?? ''}' references invalid table '${chain.parts.join('.')}'.`,
    );
  if (referencedColumns.length === 0) {
    const indexes = self ? draft.indexes : (table?.indexes ?? []);
    referencedColumns = indexes.find((index) => index.primary)?.columns.map((one) => one.column) ?? [];
  }
  while (part[next]?.word === 'ON') {
    if (part[next + 2]?.word !== 'NO')
      throw notSupported(`ON ${part[next + 1]?.text} ${part[next + 2]?.text}`);
    next += 4;
  }
  const objectId = nextObjectId();
  draft.foreignKeys.push({
    name: name ?? `FK__${place.name}__${objectId.toString(16)}`,
    objectId,
    columns,
    referencedSchema: target.schema,
    referencedTable: target.name,
    referencedColumns,
  });
  return next;
}

function addIndex(table: Table, index: Omit<Index, 'id'>): void {
  const id = index.clustered ? 1 : Math.max(1, ...table.indexes.map((one) => one.id)) + 1;
  table.indexes.push({ ...index, id });
  table.indexes.sort((a, b) => a.id - b.id);
}

function indexSql(place: Place, table: Table, index: Omit<Index, 'id'>): string {
  const columns = index.columns.filter((one) => !one.included).map((one) => quote(one.column));
  return `CREATE ${index.unique ? 'UNIQUE ' : ''}INDEX ${quote(`${place.name} ${index.name}`)} ON ${table.stored} (${columns.join(', ')})`;
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
    .filter((one) => one.identity)
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
