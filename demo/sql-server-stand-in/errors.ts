/** Errors as SQL Server numbers them, and the mapping from DuckDB's messages. */
import type { Table } from './catalogue.js';

export class SqlError extends Error {
  constructor(
    readonly number: number,
    readonly severity: number,
    readonly state: number,
    message: string,
  ) {
    super(message);
  }
}

/** What the stand-in does not understand is a syntax error to the client, and says whose limit it is. */
export const notSupported = (what: string): SqlError =>
  new SqlError(102, 15, 1, `Incorrect syntax near '${what}'. (stand-in: not supported)`);

export const invalidObject = (name: string): SqlError =>
  new SqlError(208, 16, 1, `Invalid object name '${name}'.`);

const RULES: readonly [RegExp, (match: RegExpExecArray, all: string) => SqlError][] = [
  [/SQLSERVER:(\d+):(.*?):END/s, (m) => new SqlError(Number(m[1]), 16, 1, m[2] ?? '')],
  [/Duplicate key "(.*?)" violates primary key/s, (m) => duplicate(2627, 'PRIMARY KEY', m[1])],
  [/PRIMARY KEY or UNIQUE constraint.*?duplicate key "(.*?)"/s, (m) => duplicate(2627, 'PRIMARY KEY', m[1])],
  [/Duplicate key "(.*?)" violates unique/s, (m) => duplicate(2627, 'UNIQUE KEY', m[1])],
  [
    /NOT NULL constraint failed: (?:.*\.)?([^.\s]+)/,
    (m) =>
      new SqlError(
        515,
        16,
        2,
        `Cannot insert the value NULL into column '${m[1]}'; column does not allow nulls. The statement has been terminated.`,
      ),
  ],
  [
    /[Vv]iolates foreign key constraint.*/s,
    (m) =>
      new SqlError(
        547,
        16,
        0,
        `The statement conflicted with the FOREIGN KEY constraint. ${m[0].slice(0, 200)}`,
      ),
  ],
  [
    /CHECK constraint failed.*length/s,
    () => new SqlError(2628, 16, 1, 'String or binary data would be truncated.'),
  ],
  [
    /CHECK constraint failed.*/s,
    (m) =>
      new SqlError(547, 16, 0, `The statement conflicted with the CHECK constraint. ${m[0].slice(0, 200)}`),
  ],
  [/Column "(.*?)" referenced that exists in the SELECT clause/, (m) => column(m[1])],
  [/Referenced column "(.*?)" not found|column named "(.*?)"/, (m) => column(m[1] ?? m[2])],
  [/Table "(.*?)" does not have a column named "(.*?)"/, (m) => column(m[2])],
  [/(?:Values list|table) "?(.*?)"? does not have a column named "(.*?)"/, (m) => column(m[2])],
  [
    /Column "(.*?)" .*does not exist|column "(.*?)" not found|Column with name (\S+) does not exist/i,
    (m) => column(m[1] ?? m[2] ?? m[3]),
  ],
  [
    /Referenced table "(.*?)" not found/,
    (m) => new SqlError(4104, 16, 1, `The multi-part identifier "${m[1]}" could not be bound.`),
  ],
  [
    /Ambiguous reference to column name "(.*?)"/,
    (m) => new SqlError(209, 16, 1, `Ambiguous column name '${m[1]}'.`),
  ],
  [/Table with name (\S+) does not exist/, (m) => invalidObject(m[1] ?? '')],
  [
    /column "?(.*?)"? must appear in the GROUP BY/,
    (m) =>
      new SqlError(
        8120,
        16,
        1,
        `Column '${m[1]}' is invalid in the select list because it is not contained in either an aggregate function or the GROUP BY clause.`,
      ),
  ],
  [/Out of Range Error.*[Oo]verflow|Could not cast value .* DECIMAL/s, (_m, all) => overflow(all)],
  [/out of range for the destination type/, (_m, all) => overflow(all)],
  [
    /(?:timestamp|date|time) field value|invalid (?:timestamp|date|time)/i,
    (_m, all) =>
      new SqlError(
        241,
        16,
        1,
        `Conversion failed when converting date and/or time from character string. ${all.slice(0, 160)}`,
      ),
  ],
  [
    /Conversion Error:(.*)/s,
    (m) => new SqlError(245, 16, 1, `Conversion failed.${(m[1] ?? '').slice(0, 200)}`),
  ],
  [
    /Transaction conflict|write-write conflict|Conflict on (?:tuple|update)/i,
    () => new SqlError(3960, 16, 2, 'Snapshot isolation transaction aborted due to update conflict.'),
  ],
  [
    /No function matches the given name and argument types '(\S+?)\(/,
    (m, all) =>
      new SqlError(8117, 16, 1, `Operand data type is invalid for ${m[1]} operator. (${all.slice(0, 160)})`),
  ],
  [
    /Scalar Function with name "?(\S+?)"? does not exist/,
    (m) =>
      new SqlError(
        195,
        15,
        10,
        `'${m[1]}' is not a recognized built-in function name. (stand-in: not supported)`,
      ),
  ],
  [/syntax error at or near "(.*?)"/, (m) => notSupported(m[1] ?? '')],
  [
    /Out of Memory/i,
    (_m, all) =>
      new SqlError(
        701,
        17,
        123,
        `There is insufficient system memory to run this query. ${all.slice(0, 200)}`,
      ),
  ],
];

function duplicate(number: number, kind: string, key: string | undefined): SqlError {
  const values = (key ?? '').replace(/[^,]*?: /g, '').trim();
  return new SqlError(
    number,
    14,
    1,
    `Violation of ${kind} constraint. Cannot insert duplicate key in object. The duplicate key value is (${values}).`,
  );
}
const column = (name: string | undefined): SqlError =>
  new SqlError(207, 16, 1, `Invalid column name '${(name ?? '').split('.').pop()}'.`);
const overflow = (all: string): SqlError =>
  new SqlError(8115, 16, 2, `Arithmetic overflow error converting expression. ${all.slice(0, 160)}`);

/** A duplicate key with the names that SQL Server gives, which DuckDB's text lacks; other errors pass. */
export function nameDuplicate(error: unknown, table: Table): unknown {
  const match = /Duplicate key "(.*?)" violates|duplicate key "(.*?)"/s.exec(
    error instanceof Error ? error.message : '',
  );
  const text = match?.[1] ?? match?.[2];
  if (text === undefined) return error;
  const index = table.indexes.find(
    (one) =>
      one.unique &&
      one.columns.every(({ column }) => text.toLowerCase().includes(`${column.toLowerCase()}: `)),
  );
  const values = text.replace(/(^|, )[^:,]*: /g, '$1');
  const object = `${table.schema}.${table.name}`;
  if (!index) return error;
  if (index.constraint) {
    const kind = index.primary ? 'PRIMARY KEY' : 'UNIQUE KEY';
    return new SqlError(
      2627,
      14,
      1,
      `Violation of ${kind} constraint '${index.name}'. Cannot insert duplicate key in object '${object}'. The duplicate key value is (${values}).`,
    );
  }
  return new SqlError(
    2601,
    14,
    1,
    `Cannot insert duplicate key row in object '${object}' with unique index '${index.name}'. The duplicate key value is (${values}).`,
  );
}

/** The SQL Server error for whatever was thrown; DuckDB's text is kept where no rule knows it. */
export function toSqlError(error: unknown): SqlError {
  if (error instanceof SqlError) return error;
  const text = error instanceof Error ? error.message : String(error);
  for (const [pattern, make] of RULES) {
    const match = pattern.exec(text);
    if (match) return make(match, text);
  }
  return new SqlError(102, 15, 1, `stand-in: not supported: ${text.slice(0, 400)}`);
}
