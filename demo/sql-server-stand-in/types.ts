/** The T-SQL types the stand-in knows, and the DuckDB type that stores each. */
import { notSupported, SqlError } from './errors.js';

/** length: characters (nchar, nvarchar, char, varchar) or bytes (binary, varbinary); -1 is max. */
export interface TsqlType {
  readonly name: string;
  readonly length?: number;
  readonly precision?: number;
  readonly scale?: number;
  /** char and varchar of a collation whose name ends with _UTF8 */
  readonly utf8?: boolean;
  /** binary(8), given anew by every insert and update */
  readonly rowversion?: boolean;
}

const CHARACTER = new Set(['char', 'varchar', 'nchar', 'nvarchar', 'text', 'ntext', 'sysname']);
const BINARY = new Set(['binary', 'varbinary', 'image']);

export const isCharacter = (type: TsqlType | undefined): boolean =>
  type !== undefined && CHARACTER.has(type.name);
export const isBinary = (type: TsqlType | undefined): boolean => type !== undefined && BINARY.has(type.name);

const STORED: Record<string, string> = {
  bit: 'BOOLEAN',
  tinyint: 'UTINYINT',
  smallint: 'SMALLINT',
  int: 'INTEGER',
  bigint: 'BIGINT',
  money: 'DECIMAL(19,4)',
  smallmoney: 'DECIMAL(10,4)',
  real: 'FLOAT',
  float: 'DOUBLE',
  date: 'DATE',
  time: 'TIME',
  smalldatetime: 'TIMESTAMP_S',
  datetime: 'TIMESTAMP_MS',
  datetime2: 'TIMESTAMP',
  datetimeoffset: 'TIMESTAMPTZ',
  uniqueidentifier: 'UUID',
};

/** DuckDB's type for a T-SQL type; the different timestamps keep datetime, smalldatetime and datetime2 apart. */
export function storedType(type: TsqlType): string {
  if (type.name === 'decimal') return `DECIMAL(${type.precision ?? 18},${type.scale ?? 0})`;
  if (isCharacter(type)) return 'VARCHAR';
  if (isBinary(type)) return 'BLOB';
  const stored = STORED[type.name];
  if (stored === undefined) throw notSupported(`type ${type.name}`);
  return stored;
}

/** Builds a type from its name and the numbers in parentheses after it; `max` is -1. */
export function makeType(nameGiven: string, numbers: readonly number[], castDefault?: number): TsqlType {
  let name = nameGiven.toLowerCase();
  const [first, second] = numbers;
  if (name === 'integer') name = 'int';
  if (name === 'numeric' || name === 'dec') name = 'decimal';
  if (name === 'timestamp' || name === 'rowversion') return { name: 'binary', length: 8, rowversion: true };
  if (name === 'sysname') return { name: 'nvarchar', length: 128 };
  if (name === 'ntext') return { name: 'nvarchar', length: -1 };
  if (name === 'text') return { name: 'varchar', length: -1 };
  if (name === 'image') return { name: 'varbinary', length: -1 };
  if (name === 'decimal') {
    const precision = first ?? 18;
    if (precision < 1 || precision > 38)
      throw new SqlError(
        2750,
        16,
        1,
        `Column or parameter: Specified column precision ${precision} is greater than the maximum precision of 38.`,
      );
    return { name, precision, scale: second ?? 0 };
  }
  if (CHARACTER.has(name) || BINARY.has(name)) return { name, length: first ?? castDefault ?? 1 };
  if (name === 'datetime2' || name === 'time' || name === 'datetimeoffset')
    return { name, scale: first ?? 7 };
  if (name === 'float') return first !== undefined && first <= 24 ? { name: 'real' } : { name };
  if (STORED[name] === undefined) {
    throw new SqlError(243, 16, 1, `Type ${nameGiven} is not a defined system type.`);
  }
  return { name };
}

/** The type for a result column of which only DuckDB's type is known. */
export function typeFromDuck(duck: string): TsqlType {
  const decimal = /^DECIMAL\((\d+),\s*(\d+)\)$/.exec(duck);
  if (decimal) return { name: 'decimal', precision: Number(decimal[1]), scale: Number(decimal[2]) };
  switch (duck) {
    case 'BOOLEAN':
      return { name: 'bit' };
    case 'UTINYINT':
      return { name: 'tinyint' };
    case 'TINYINT':
    case 'SMALLINT':
      return { name: 'smallint' };
    case 'USMALLINT':
    case 'INTEGER':
    case 'NULL':
    case 'SQLNULL':
      return { name: 'int' };
    case 'UINTEGER':
    case 'BIGINT':
      return { name: 'bigint' };
    case 'HUGEINT':
    case 'UBIGINT':
      return { name: 'decimal', precision: 38, scale: 0 };
    case 'FLOAT':
      return { name: 'real' };
    case 'DOUBLE':
      return { name: 'float' };
    case 'DATE':
      return { name: 'date' };
    case 'TIME':
      return { name: 'time', scale: 7 };
    case 'TIMESTAMP_S':
      return { name: 'smalldatetime' };
    case 'TIMESTAMP_MS':
      return { name: 'datetime' };
    case 'TIMESTAMP':
    case 'TIMESTAMP_NS':
      return { name: 'datetime2', scale: 7 };
    case 'TIMESTAMP WITH TIME ZONE':
    case 'TIMESTAMPTZ':
      return { name: 'datetimeoffset', scale: 7 };
    case 'UUID':
      return { name: 'uniqueidentifier' };
    case 'BLOB':
      return { name: 'varbinary', length: -1 };
    default:
      return { name: 'nvarchar', length: -1 };
  }
}

/** sys.columns' numbers for a type: system_type_id, max_length in bytes, precision, scale. */
export function catalogueNumbers(type: TsqlType): {
  id: number;
  bytes: number;
  precision: number;
  scale: number;
} {
  const fixed: Record<string, [number, number, number, number]> = {
    bit: [104, 1, 1, 0],
    tinyint: [48, 1, 3, 0],
    smallint: [52, 2, 5, 0],
    int: [56, 4, 10, 0],
    bigint: [127, 8, 19, 0],
    money: [60, 8, 19, 4],
    smallmoney: [122, 4, 10, 4],
    real: [59, 4, 24, 0],
    float: [62, 8, 53, 0],
    date: [40, 3, 10, 0],
    smalldatetime: [58, 4, 16, 0],
    datetime: [61, 8, 23, 3],
    uniqueidentifier: [36, 16, 0, 0],
  };
  const known = fixed[type.name];
  if (known) return { id: known[0], bytes: known[1], precision: known[2], scale: known[3] };
  if (type.rowversion) return { id: 189, bytes: 8, precision: 0, scale: 0 };
  const length = type.length ?? -1;
  const scale = type.scale ?? 0;
  const timeBytes = scale <= 2 ? 3 : scale <= 4 ? 4 : 5;
  const dot = scale === 0 ? 0 : scale + 1;
  switch (type.name) {
    case 'decimal':
      return { id: 106, bytes: decimalBytes(type.precision ?? 18), precision: type.precision ?? 18, scale };
    case 'time':
      return { id: 41, bytes: timeBytes, precision: 8 + dot, scale };
    case 'datetime2':
      return { id: 42, bytes: timeBytes + 3, precision: 19 + dot, scale };
    case 'datetimeoffset':
      return { id: 43, bytes: timeBytes + 5, precision: 26 + dot, scale };
    case 'char':
      return { id: 175, bytes: length, precision: 0, scale: 0 };
    case 'varchar':
      return { id: 167, bytes: length, precision: 0, scale: 0 };
    case 'nchar':
      return { id: 239, bytes: length < 0 ? -1 : length * 2, precision: 0, scale: 0 };
    case 'nvarchar':
      return { id: 231, bytes: length < 0 ? -1 : length * 2, precision: 0, scale: 0 };
    case 'binary':
      return { id: 173, bytes: length, precision: 0, scale: 0 };
    default:
      return { id: 165, bytes: length, precision: 0, scale: 0 };
  }
}

/** Bytes of a decimal on the wire and in sys.columns, sign included. */
export const decimalBytes = (precision: number): number =>
  precision <= 9 ? 5 : precision <= 19 ? 9 : precision <= 28 ? 13 : 17;
