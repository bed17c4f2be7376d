import type { LiveColumn } from './spec.js';

/** What a column of live can hold, read from its COLUMN_TYPE. */

const INTEGER_BITS: Record<string, bigint> = {
  tinyint: 8n,
  smallint: 16n,
  mediumint: 24n,
  int: 32n,
  bigint: 64n,
};
const BYTES_MAX: Record<string, number> = {
  tinytext: 255,
  text: 65_535,
  mediumtext: 16_777_215,
  longtext: 4_294_967_295,
  tinyblob: 255,
  blob: 65_535,
  mediumblob: 16_777_215,
  longblob: 4_294_967_295,
};
/** As information_schema prints them: geometrycollection is geomcollection there since 8.0.11. */
const OPAQUE = new Set(
  'geometry point linestring polygon multipoint multilinestring multipolygon geomcollection geometrycollection vector'.split(
    ' ',
  ),
);

export const isInteger = (live: LiveColumn) => live.type in INTEGER_BITS;
export const isFloating = (live: LiveColumn) => live.type === 'float' || live.type === 'double';
/** char, varchar and the text family; ENUM and SET are lists of their own. */
export const isString = (live: LiveColumn) =>
  live.type === 'char' || live.type === 'varchar' || live.type.endsWith('text');
export const isMembers = (live: LiveColumn) => live.type === 'enum' || live.type === 'set';
export const isBytes = (live: LiveColumn) =>
  live.type === 'binary' || live.type === 'varbinary' || live.type.endsWith('blob');
/** Spatial types and VECTOR: never mapped, but the application's own columns may have them; they are compared as bytes. */
export const isOpaque = (live: LiveColumn) => OPAQUE.has(live.type);
export const isUnsigned = (live: LiveColumn) => / unsigned\b/.test(live.columnType);
export const isZerofill = (live: LiveColumn) => / zerofill\b/.test(live.columnType);
/** FLOAT(7,4) and DOUBLE(7,4) round what they store; deprecated since 8.0.17. */
export const isRounded = (live: LiveColumn) => isFloating(live) && live.columnType.includes(',');

/** Smallest and greatest value of an integer or BIT column. */
export function integerRange(live: LiveColumn): { min: bigint; max: bigint } {
  const bits = live.type === 'bit' ? BigInt(lengthOf(live)) : (INTEGER_BITS[live.type] ?? 0n);
  return live.type === 'bit' || isUnsigned(live)
    ? { min: 0n, max: (1n << bits) - 1n }
    : { min: -(1n << (bits - 1n)), max: (1n << (bits - 1n)) - 1n };
}

/** The declared length: characters of CHAR and VARCHAR, bytes of BINARY and VARBINARY, bits of BIT. */
export function lengthOf(live: LiveColumn): number {
  return Number(/^\w+\((\d+)\)/.exec(live.columnType)?.[1] ?? 1);
}

/** Bytes that a column of the TEXT or BLOB family holds; undefined for other types. */
export function bytesMax(live: LiveColumn): number | undefined {
  return BYTES_MAX[live.type];
}

const ESCAPED: Record<string, string> = { "''": "'", '\\\\': '\\', '\\n': '\n', '\\r': '\r', '\\0': '\0' };

/** Members of an ENUM or SET, in their order. */
export function membersOf(live: LiveColumn): string[] {
  const list = live.columnType.slice(live.columnType.indexOf('('));
  return [...list.matchAll(/'((?:[^'\\]|''|\\.)*)'/gs)].map((match) =>
    (match[1] ?? '').replace(/''|\\[\\nr0]/g, (spelled) => ESCAPED[spelled] ?? spelled),
  );
}
