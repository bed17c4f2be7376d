import {
  isBytes,
  isFloating,
  isMembers,
  isOpaque,
  isString,
  isUnsigned,
  isZerofill,
  membersOf,
} from '../model/live-type.js';
import type { LiveColumn, TableSpec } from '../model/spec.js';
import { col, type Fragment, id, join, literal, raw, sql } from './text.js';

/** Fragments about columns: definitions, exact comparison, key ranges. */

/** Text that a collation makes comparable as it is, without the copy of each value that CAST and CONVERT make. */
export const isUnicodeText = (column: LiveColumn) => isString(column) && column.charset === 'utf8mb4';
const hasCharset = (column: LiveColumn) => isString(column) || isMembers(column);

/** Definition of a column typed like live's, with the nullability asked for and no default. */
export function columnDefinition(column: LiveColumn, nullable: boolean): Fragment {
  const charset =
    column.charset && column.collation && hasCharset(column)
      ? ` CHARACTER SET ${column.charset} COLLATE ${column.collation}`
      : '';
  return raw(`${id(column.name).text} ${column.columnType}${charset} ${nullable ? 'NULL' : 'NOT NULL'}`);
}

/** The alias under which a statement uses a table of the group: unique among all tables that are locked together. */
export function aliasOf(table: TableSpec, role: string): string {
  return `${role}${table.ordinal}`;
}

/** A column of one of the tables that a statement about `table` reads, by the table's role: `l0`.`email`. */
export function at(table: TableSpec, role: string, name: string): Fragment {
  return col(aliasOf(table, role), name);
}

/** The live columns of the key, in key order. */
export function keyColumns(table: TableSpec): LiveColumn[] {
  return table.key.map((name) => {
    const found = table.columns.find((column) => column.live.name === name);
    if (!found) throw new Error(`key column ${name} of ${table.live} is not mapped`);
    return found.live;
  });
}

/**
 * Are two values the same, exactly: bytes, not collation; NULL equals NULL. Both sides must have one column type.
 * Doubles and JSON are compared as text, since MySQL calls 0 and -0, and 1 and 1.0 in JSON, equal.
 * @see MySQL manual, Comparison Operators (<=>)
 */
export function same(column: LiveColumn, left: Fragment, right: Fragment): Fragment {
  const bytes = (value: Fragment) => {
    // byte by byte, without padding
    if (isUnicodeText(column)) return sql`${value} COLLATE utf8mb4_0900_bin`;
    if (hasCharset(column) || isBytes(column) || isOpaque(column)) return sql`CAST(${value} AS BINARY)`;
    if (isFloating(column) || column.type === 'json') return sql`CAST(${asText(column, value)} AS BINARY)`;
    return value;
  };
  return sql`(${bytes(left)} <=> ${bytes(right)})`;
}

/** Equality of the key between two aliases, by the key's own collation: what MySQL's primary key calls one key. */
export function sameKey(table: TableSpec, left: string, right: string): Fragment {
  return join(
    table.key.map((name) => sql`${at(table, left, name)} = ${at(table, right, name)}`),
    ' AND ',
  );
}

/**
 * A column's value as the canonical text: what `conversionOf` makes of a source value, and what `keyValue` reads back
 * exactly. Binary as hexadecimal; doubles as JSON prints them, since CAST of a DOUBLE to CHAR depends on a display width
 * and that of a FLOAT keeps six digits only.
 */
export function asText(column: LiveColumn, value: Fragment): Fragment {
  if (isBytes(column) || isOpaque(column)) return sql`HEX(${value})`;
  if (hasCharset(column)) return sql`CONVERT(${value} USING utf8mb4)`;
  // * 1e0 makes a FLOAT the double that it is; + 0e0 would make 0 of -0.
  if (isFloating(column)) return sql`CAST(CAST(${value} * 1e0 AS JSON) AS CHAR)`;
  // + 0 takes the leading zeros of ZEROFILL away, and makes BIT a number.
  return column.type === 'bit' || isZerofill(column)
    ? sql`CAST(${value} + 0 AS CHAR)`
    : sql`CAST(${value} AS CHAR)`;
}

/**
 * A value that an expression may choose, as it can be stored again: an ENUM's empty value of number 0, which older SQL modes left
 * where no member was given, is refused as a text in strict mode, and taken as the text of that number (9.7.4).
 */
export function storable(column: LiveColumn, value: Fragment): Fragment {
  if (column.type !== 'enum') return value;
  const members = membersOf(column);
  let zero = '0';
  while (members.includes(zero)) zero += '0';
  return sql`CASE WHEN ${value} + 0 = 0 THEN ${literal(zero)} ELSE ${value} END`;
}

/**
 * A key value bound with its column's type, so that MySQL compares within one type and in the order of the index: that of
 * ENUM and SET is by number, not by text.
 */
export function keyValue(column: LiveColumn, text: string): Fragment {
  return isMembers(column) ? raw(String(memberNumber(column, text))) : typedKey(column, sql`${text}`);
}

/** Canonical text as a value of a key column's type; members of ENUM and SET stay text. */
export function typedKey(column: LiveColumn, text: Fragment): Fragment {
  if (isBytes(column)) return sql`UNHEX(${text})`;
  if (hasCharset(column))
    return sql`CONVERT(${text} USING ${raw(column.charset ?? 'utf8mb4')}) COLLATE ${raw(column.collation ?? 'utf8mb4_bin')}`;
  switch (column.type) {
    case 'decimal':
      return sql`CAST(${text} AS DECIMAL(${raw(String(column.precision))},${raw(String(column.scale))}))`;
    case 'date':
      return sql`CAST(${text} AS DATE)`;
    case 'datetime':
    case 'timestamp':
      return sql`CAST(${text} AS DATETIME(6))`;
    case 'time':
      return sql`CAST(${text} AS TIME(6))`;
    case 'bit':
      return sql`CAST(${text} AS UNSIGNED)`;
    default:
      return isUnsigned(column) ? sql`CAST(${text} AS UNSIGNED)` : sql`CAST(${text} AS SIGNED)`;
  }
}

/** A value of a narrower column of the same kind as this column would hold it: with as many digits. */
export function widened(column: LiveColumn, value: Fragment): Fragment {
  const digits = raw(String(column.fractionDigits ?? 0));
  switch (column.type) {
    case 'decimal':
      return sql`CAST(${value} AS DECIMAL(${raw(String(column.precision))},${raw(String(column.scale))}))`;
    case 'datetime':
    case 'timestamp':
      return sql`CAST(${value} AS DATETIME(${digits}))`;
    case 'time':
      return sql`CAST(${value} AS TIME(${digits}))`;
    default:
      return value;
  }
}

/** The number under which MySQL stores a member of an ENUM (its place, from 1) or members of a SET (a bit each). */
function memberNumber(column: LiveColumn, text: string): bigint {
  const members = membersOf(column);
  if (column.type === 'enum') return BigInt(members.indexOf(text) + 1);
  const wanted = new Set(text.split(','));
  return members.reduce((sum, member, place) => (wanted.has(member) ? sum | (1n << BigInt(place)) : sum), 0n);
}

/** Key values of a range's end, as text, in key order; null is open. */
export type KeyText = string[] | null;

/**
 * `(k1, k2) >= (a, b)` or `<`, column by column: of this spelling MySQL's range optimiser makes ranges of the primary key with both
 * ends. Of row constructors, or of NOT, it makes one that begins or ends at the first column, and reads all that lies there (9.7.4).
 */
function compared(
  columns: LiveColumn[],
  alias: string,
  bounds: string[],
  side: 'atOrAfter' | 'before',
): Fragment {
  const [column, ...rest] = columns;
  const [value, ...restValues] = bounds;
  if (!column || value === undefined) throw new Error('a bound has no value of a key column');
  const here = col(alias, column.name);
  const bound = keyValue(column, value);
  if (rest.length === 0) return side === 'before' ? sql`${here} < ${bound}` : sql`${here} >= ${bound}`;
  const beyond = raw(side === 'before' ? '<' : '>');
  return sql`(${here} ${beyond} ${bound} OR (${here} = ${bound} AND ${compared(rest, alias, restValues, side)}))`;
}

/** The half-open key range [from, to) in the target's own order. */
export function inRange(table: TableSpec, alias: string, from: KeyText, to: KeyText): Fragment {
  const columns = keyColumns(table);
  const parts: Fragment[] = [];
  if (from) parts.push(compared(columns, aliasOf(table, alias), from, 'atOrAfter'));
  if (to) parts.push(compared(columns, aliasOf(table, alias), to, 'before'));
  return join(parts, ' AND ', 'TRUE');
}

/** The key of a table in a role, as a select list of canonical texts by the columns' names. */
export function keyTexts(table: TableSpec, role: string): Fragment {
  return join(
    keyColumns(table).map(
      (column) => sql`${asText(column, at(table, role, column.name))} AS ${id(column.name)}`,
    ),
  );
}

/** The key of the row `rows` after `from` in the target's order, and before `to`: where the next chunk begins. No row: the last chunk. */
export function nextBoundary(
  table: TableSpec,
  tableName: string,
  from: KeyText,
  rows: number,
  to: KeyText = null,
): Fragment {
  const columns = keyColumns(table);
  const order = join(columns.map((column) => at(table, 'i', column.name)));
  return sql`SELECT ${keyTexts(table, 'i')} FROM ${id(tableName)} AS ${raw(aliasOf(table, 'i'))} WHERE ${inRange(table, 'i', from, to)} ORDER BY ${order} LIMIT 1 OFFSET ${raw(String(rows))}`;
}

/** Collations of UCA 9.0.0 and of binary strings do not pad; for all others trailing spaces are no part of a key. */
const NO_PAD = /_0900_|^binary$/;

/** A hash of the key, equal for what MySQL's primary key calls one key: by collation, not by bytes. */
export function keyHash(table: TableSpec, alias: string): Fragment {
  const parts = keyColumns(table).map((column) => {
    const value = at(table, alias, column.name);
    if (!hasCharset(column)) return asText(column, value);
    const padded = !NO_PAD.test(column.collation ?? '');
    return sql`HEX(WEIGHT_STRING(${padded ? sql`TRIM(TRAILING ' ' FROM ${value})` : value}))`;
  });
  return sql`UNHEX(LEFT(SHA2(CONCAT_WS(_utf8mb4 x'1f', ${join(parts)}), 256), 32))`;
}

/**
 * The moment as a session sees it that sets no time zone of its own, which is what an application's defaults mean. A run's
 * sessions are in UTC.
 */
export function serverNow(type: string, digits: number): Fragment {
  const moment = `CONVERT_TZ(UTC_TIMESTAMP(${digits}), '+00:00', @@GLOBAL.time_zone)`;
  return raw(type === 'date' || type === 'time' ? `${type.toUpperCase()}(${moment})` : moment);
}
