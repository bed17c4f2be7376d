/** The parts of a table's definition: columns, keys, foreign keys, and where they are kept. */
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
import { readChain, readType, type Translation, typeOf } from './scope.js';
import { expression } from './translate.js';

export interface Draft {
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

export const key = (place: Place): string =>
  place.database ? tableKey(place.schema, place.name) : place.name.toLowerCase();
export const storedName = (place: Place): string =>
  place.database
    ? `${quote(place.database.name)}.${quote(place.schema)}.${quote(place.name)}`
    : `temp.main.${quote(place.name)}`;
export const sequenceName = (place: Place, column: string): string =>
  place.database
    ? `${quote(place.database.name)}.${quote(place.schema)}.${quote(`identity ${place.name} ${column}`)}`
    : `temp.main.${quote(`identity ${place.name} ${column}`)}`;

/** What the next rowversion of a table is. */
export const nextRowversion = (place: Place, column: string): string =>
  `unhex(lpad(hex(nextval('${sequenceName(place, column).replaceAll("'", "''")}')), 16, '0'))`;

/** DuckDB's column definition; a copy without defaults and keys serves database snapshots. */
export function columnSql(column: Column, place?: Place): string {
  let sql = storedType(column.type);
  if (isCharacter(column.type) && !/_(BIN2?|CS_\w+)$/i.test(column.collation ?? '')) sql += ' COLLATE NOCASE';
  if (place && column.computedSql !== undefined)
    return `${sql} GENERATED ALWAYS AS (${column.computedSql}) VIRTUAL`;
  if (place && column.identity)
    sql += ` DEFAULT nextval('${sequenceName(place, column.name).replaceAll("'", "''")}')`;
  else if (place && column.defaultSql !== undefined) sql += ` DEFAULT (${column.defaultSql})`;
  if (!column.nullable) sql += ' NOT NULL';
  return sql;
}

export function columnDefinition(
  part: readonly Token[],
  place: Place,
  draft: Draft,
  t: Translation,
  nextObjectId: () => number,
  statements: string[],
): void {
  const name = part[0];
  if (!isName(name)) throw new SqlError(102, 15, 1, `Incorrect syntax near '${name?.text ?? ')'}'.`);
  if (part[1]?.word === 'AS') {
    const end = part[2]?.word === '(' ? closing(part, 2) + 1 : part.length;
    const tokens = part.slice(2, end);
    const computed = typeOf(tokens, t, undefined);
    if (!computed) throw notSupported('computed column without CAST or CONVERT');
    draft.columns.push({
      id: draft.columns.length + 1,
      name: name.text,
      type: computed,
      nullable: true,
      identity: false,
      computed: true,
      computedSql: expression(tokens, t, undefined),
      defaultSql: undefined,
    });
    return;
  }
  let { type, next }: { type: TsqlType; next: number } = readType(part, 1);
  let nullable = true;
  let identity = false;
  let defaultSql: string | undefined;
  let collation: string | undefined;
  let constraintName: string | undefined;
  const column = name.text;
  if (type.rowversion) {
    nullable = false;
    statements.push(
      `CREATE ${place.database ? '' : 'TEMP '}SEQUENCE ${sequenceName(place, column)} START 2001`,
    );
    defaultSql = nextRowversion(place, column);
  }
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
      if (/_UTF8$/i.test(collation ?? '') && /^(var)?char$/.test(type.name)) type = { ...type, utf8: true };
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

export function tableConstraint(
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

export const indexColumns = (tokens: readonly Token[]): Index['columns'] =>
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

export function addIndex(table: Table, index: Omit<Index, 'id'>): void {
  const id = index.clustered ? 1 : Math.max(1, ...table.indexes.map((one) => one.id)) + 1;
  table.indexes.push({ ...index, id });
  table.indexes.sort((a, b) => a.id - b.id);
}

export function indexSql(place: Place, table: Table, index: Omit<Index, 'id'>): string {
  const columns = index.columns.filter((one) => !one.included).map((one) => quote(one.column));
  return `CREATE ${index.unique ? 'UNIQUE ' : ''}INDEX ${quote(`${place.name} ${index.name}`)} ON ${table.stored} (${columns.join(', ')})`;
}
