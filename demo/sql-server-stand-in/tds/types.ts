/** TYPE_INFO and values on the wire, in both directions. [MS-TDS] 2.2.5.4 to 2.2.5.6. */
import { SqlError } from '../errors.js';
import { catalogueNumbers, decimalBytes, type TsqlType } from '../types.js';
import type { ByteWriter } from './bytes.js';

/** SQL_Latin1_General_CP1_CI_AS. */
export const COLLATION = Buffer.from([0x09, 0x04, 0xd0, 0x00, 0x34]);
/** Latin1_General_100_CI_AS_SC_UTF8: version 2, and the bit that says UTF-8. */
const COLLATION_UTF8 = Buffer.from([0x09, 0x04, 0xd0, 0x24, 0x00]);
/** 0x80 to 0x9f of code page 1252, with its five gaps as control characters. TextDecoder has it wrong in some releases of Node. */
const ANSI_HIGH = '€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ';
const ANSI_BYTES = new Map<string, number>();
for (let byte = 128; byte < 256; byte++)
  ANSI_BYTES.set(ANSI_HIGH[byte - 128] ?? String.fromCharCode(byte), byte);

const fromAnsi = (bytes: Buffer): string =>
  bytes.toString('latin1').replace(/[\x80-\x9f]/g, (byte) => ANSI_HIGH[byte.charCodeAt(0) - 128] as string);

/** Code page 1252; what it lacks becomes a question mark, as on SQL Server. */
export function toAnsi(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) > 127) bytes[i] = ANSI_BYTES.get(text[i] as string) ?? 63;
  }
  return bytes;
}

export function writeTypeInfo(w: ByteWriter, type: TsqlType): void {
  const length = type.length ?? -1;
  const tokens: Record<string, [number, number?]> = {
    bit: [0x68, 1],
    tinyint: [0x26, 1],
    smallint: [0x26, 2],
    int: [0x26, 4],
    bigint: [0x26, 8],
    real: [0x6d, 4],
    float: [0x6d, 8],
    money: [0x6e, 8],
    smallmoney: [0x6e, 4],
    datetime: [0x6f, 8],
    smalldatetime: [0x6f, 4],
    uniqueidentifier: [0x24, 16],
    date: [0x28],
  };
  const known = tokens[type.name];
  if (known) {
    w.u8(known[0]);
    if (known[1] !== undefined) w.u8(known[1]);
    return;
  }
  switch (type.name) {
    case 'decimal':
      w.u8(0x6a);
      w.u8(decimalBytes(type.precision ?? 18));
      w.u8(type.precision ?? 18);
      w.u8(type.scale ?? 0);
      return;
    case 'time':
    case 'datetime2':
    case 'datetimeoffset':
      w.u8(type.name === 'time' ? 0x29 : type.name === 'datetime2' ? 0x2a : 0x2b);
      w.u8(type.scale ?? 7);
      return;
    default: {
      const token =
        { binary: 0xad, varbinary: 0xa5, char: 0xaf, varchar: 0xa7, nchar: 0xef }[type.name] ?? 0xe7;
      w.u8(token);
      const bytes = catalogueNumbers(type).bytes;
      w.u16(length < 0 || bytes > 8000 ? 0xffff : bytes);
      if (token !== 0xad && token !== 0xa5) w.bytes(type.utf8 ? COLLATION_UTF8 : COLLATION);
    }
  }
}

/** A value read from the wire: decimals as scaled bigint, times as ticks of the type's own kind. */
export type WireValue =
  | null
  | number
  | bigint
  | string
  | boolean
  | Buffer
  | { readonly scaled: bigint; readonly scale: number; readonly precision: number }
  | { readonly days: number; readonly micros: number };

export interface WireType {
  readonly token: number;
  readonly type: TsqlType;
  /** How the value's length is written. */
  readonly frame: 'fixed' | 'u8' | 'u16' | 'plp' | 'u32' | 'textPointer' | 'none';
  readonly bytes: number;
}

/** Thrown when a value runs over the end of what has arrived. */
export class NeedMore extends Error {}
const NEED_MORE = new NeedMore();

export class ByteReader {
  at = 0;
  constructor(readonly buffer: Buffer) {}
  take(count: number): number {
    const at = this.at;
    if (at + count > this.buffer.length) throw NEED_MORE;
    this.at = at + count;
    return at;
  }
  u8(): number {
    return this.buffer[this.take(1)] as number;
  }
  u16(): number {
    return this.buffer.readUInt16LE(this.take(2));
  }
  u32(): number {
    return this.buffer.readUInt32LE(this.take(4));
  }
  u64(): bigint {
    return this.buffer.readBigUInt64LE(this.take(8));
  }
  bytes(count: number): Buffer {
    const at = this.take(count);
    return this.buffer.subarray(at, at + count);
  }
  text(characters: number): string {
    const at = this.take(characters * 2);
    return this.buffer.toString('utf16le', at, at + characters * 2);
  }
}

const FIXED: Record<number, [string, number]> = {
  48: ['tinyint', 1],
  50: ['bit', 1],
  52: ['smallint', 2],
  56: ['int', 4],
  127: ['bigint', 8],
  59: ['real', 4],
  62: ['float', 8],
  58: ['smalldatetime', 4],
  61: ['datetime', 8],
  60: ['money', 8],
  122: ['smallmoney', 4],
};

export function readTypeInfo(r: ByteReader): WireType {
  const token = r.u8();
  const fixed = FIXED[token];
  if (fixed) return { token, type: { name: fixed[0] }, frame: 'fixed', bytes: fixed[1] };
  switch (token) {
    case 0x1f:
      return { token, type: { name: 'int' }, frame: 'none', bytes: 0 };
    case 0x26:
    case 0x68:
    case 0x6d:
    case 0x6e:
    case 0x6f:
    case 0x24: {
      const bytes = r.u8();
      const name =
        token === 0x26
          ? ({ 1: 'tinyint', 2: 'smallint', 4: 'int' }[bytes] ?? 'bigint')
          : token === 0x68
            ? 'bit'
            : token === 0x6d
              ? bytes === 4
                ? 'real'
                : 'float'
              : token === 0x6e
                ? bytes === 4
                  ? 'smallmoney'
                  : 'money'
                : token === 0x6f
                  ? bytes === 4
                    ? 'smalldatetime'
                    : 'datetime'
                  : 'uniqueidentifier';
      return { token, type: { name }, frame: 'u8', bytes };
    }
    case 0x6a:
    case 0x6c:
    case 0x37:
    case 0x3f: {
      const bytes = r.u8();
      return { token, type: { name: 'decimal', precision: r.u8(), scale: r.u8() }, frame: 'u8', bytes };
    }
    case 0x28:
      return { token, type: { name: 'date' }, frame: 'u8', bytes: 3 };
    case 0x29:
    case 0x2a:
    case 0x2b: {
      const name = token === 0x29 ? 'time' : token === 0x2a ? 'datetime2' : 'datetimeoffset';
      return { token, type: { name, scale: r.u8() }, frame: 'u8', bytes: 0 };
    }
    case 0xa5:
    case 0xad:
    case 0xa7:
    case 0xaf:
    case 0xe7:
    case 0xef: {
      const bytes = r.u16();
      const name = {
        165: 'varbinary',
        173: 'binary',
        167: 'varchar',
        175: 'char',
        231: 'nvarchar',
        239: 'nchar',
      }[token] as string;
      if (token !== 0xa5 && token !== 0xad) r.take(5);
      const unicode = token === 0xe7 || token === 0xef;
      const length = bytes === 0xffff ? -1 : unicode ? bytes >> 1 : bytes;
      return { token, type: { name, length }, frame: bytes === 0xffff ? 'plp' : 'u16', bytes };
    }
    case 0x22:
    case 0x23:
    case 0x63: {
      r.u32();
      if (token !== 0x22) r.take(5);
      const name = token === 0x22 ? 'varbinary' : token === 0x23 ? 'varchar' : 'nvarchar';
      return { token, type: { name, length: -1 }, frame: 'u32', bytes: -1 };
    }
    default:
      throw new SqlError(
        8009,
        16,
        1,
        `The incoming tabular data stream is incorrect: data type 0x${token.toString(16)}. (stand-in: not supported)`,
      );
  }
}

export function readValue(r: ByteReader, wire: WireType): WireValue {
  let bytes: Buffer;
  switch (wire.frame) {
    case 'none':
      return null;
    case 'fixed':
      bytes = r.bytes(wire.bytes);
      break;
    case 'u8': {
      const length = r.u8();
      if (length === 0) return null;
      bytes = r.bytes(length);
      break;
    }
    case 'u16': {
      const length = r.u16();
      if (length === 0xffff) return null;
      bytes = r.bytes(length);
      break;
    }
    case 'textPointer': {
      const pointer = r.u8();
      if (pointer === 0) return null;
      r.take(pointer + 8);
      bytes = r.bytes(r.u32());
      break;
    }
    case 'u32': {
      const length = r.u32();
      if (length === 0xffffffff) return null;
      bytes = r.bytes(length);
      break;
    }
    case 'plp': {
      if (r.u64() === 0xffffffffffffffffn) return null;
      const parts: Buffer[] = [];
      for (let length = r.u32(); length > 0; length = r.u32()) parts.push(r.bytes(length));
      bytes = parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
    }
  }
  return decode(bytes, wire.type);
}

const time = (bytes: Buffer, length: number, scale: number): number =>
  Math.floor((bytes.readUIntLE(0, length) * 1e6) / 10 ** scale);
const DAYS_TO_1900 = -25567;
const DAYS_TO_YEAR_1 = -719162;

function decode(bytes: Buffer, type: TsqlType): WireValue {
  switch (type.name) {
    case 'bit':
      return bytes[0] !== 0;
    case 'tinyint':
      return bytes[0] as number;
    case 'smallint':
      return bytes.readInt16LE(0);
    case 'int':
      return bytes.readInt32LE(0);
    case 'bigint':
      return bytes.readBigInt64LE(0);
    case 'real':
      return bytes.readFloatLE(0);
    case 'float':
      return bytes.readDoubleLE(0);
    case 'money':
      return {
        scaled: (BigInt(bytes.readInt32LE(0)) << 32n) | BigInt(bytes.readUInt32LE(4)),
        scale: 4,
        precision: 19,
      };
    case 'smallmoney':
      return { scaled: BigInt(bytes.readInt32LE(0)), scale: 4, precision: 10 };
    case 'decimal': {
      let scaled = 0n;
      for (let at = bytes.length - 4; at >= 1; at -= 4)
        scaled = (scaled << 32n) | BigInt(bytes.readUInt32LE(at));
      return {
        scaled: bytes[0] === 0 ? -scaled : scaled,
        scale: type.scale ?? 0,
        precision: type.precision ?? 18,
      };
    }
    case 'uniqueidentifier': {
      const hex = Buffer.from(
        [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15].map((at) => bytes[at] as number),
      ).toString('hex');
      return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
    }
    case 'date':
      return { days: bytes.readUIntLE(0, 3) + DAYS_TO_YEAR_1, micros: 0 };
    case 'time':
      return { days: 0, micros: time(bytes, bytes.length, type.scale ?? 7) };
    case 'datetime2':
      return {
        days: bytes.readUIntLE(bytes.length - 3, 3) + DAYS_TO_YEAR_1,
        micros: time(bytes, bytes.length - 3, type.scale ?? 7),
      };
    case 'datetimeoffset':
      return {
        days: bytes.readUIntLE(bytes.length - 5, 3) + DAYS_TO_YEAR_1,
        micros: time(bytes, bytes.length - 5, type.scale ?? 7),
      };
    case 'datetime':
      return {
        days: bytes.readInt32LE(0) + DAYS_TO_1900,
        micros: Math.round((bytes.readUInt32LE(4) * 10) / 3) * 1000,
      };
    case 'smalldatetime':
      return { days: bytes.readUInt16LE(0) + DAYS_TO_1900, micros: bytes.readUInt16LE(2) * 60e6 };
    case 'nchar':
    case 'nvarchar':
      return bytes.toString('utf16le');
    case 'char':
    case 'varchar':
      return fromAnsi(bytes);
    default:
      return Buffer.from(bytes);
  }
}
