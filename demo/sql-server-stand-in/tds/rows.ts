/** Rows from DuckDB's chunks to ROW tokens, one encoder a column. */
import type { DuckDBDataChunk } from '@duckdb/node-api';
import { decimalBytes, type TsqlType } from '../types.js';
import type { ByteWriter } from './bytes.js';
import { toAnsi } from './types.js';

type Encode = (w: ByteWriter, value: unknown) => void;
const DAY_MICROS = 86_400_000_000n;

const int = (w: ByteWriter, bytes: 1 | 2 | 4, value: unknown): void => {
  const at = w.reserve(1 + bytes);
  w.buffer[at] = bytes;
  w.buffer.writeIntLE(bytes === 1 ? (Number(value) << 24) >> 24 : Number(value), at + 1, bytes);
};

/** Days since 1970 and microseconds of the day. */
function split(micros: bigint): [number, number] {
  if (micros > -9007199254740991n && micros < 9007199254740991n) {
    const number = Number(micros);
    const days = Math.floor(number / 86_400_000_000);
    return [days, number - days * 86_400_000_000];
  }
  const rest = ((micros % DAY_MICROS) + DAY_MICROS) % DAY_MICROS;
  return [Number((micros - rest) / DAY_MICROS), Number(rest)];
}

/** Microseconds since 1970 of any of DuckDB's timestamps. */
function microsOf(value: unknown): bigint {
  const stamp = value as {
    micros?: bigint;
    millis?: bigint;
    milliseconds?: bigint;
    seconds?: bigint;
    nanos?: bigint;
    nanoseconds?: bigint;
    days?: number;
  };
  if (stamp.micros !== undefined) return stamp.micros;
  if (stamp.days !== undefined) return BigInt(stamp.days) * DAY_MICROS;
  const millis = stamp.millis ?? stamp.milliseconds;
  if (millis !== undefined) return millis * 1000n;
  if (stamp.seconds !== undefined) return stamp.seconds * 1_000_000n;
  return (stamp.nanos ?? stamp.nanoseconds ?? 0n) / 1000n;
}

function writeTime(w: ByteWriter, micros: number, scale: number, more: number): number {
  const bytes = scale <= 2 ? 3 : scale <= 4 ? 4 : 5;
  const at = w.reserve(1 + bytes + more);
  w.buffer[at] = bytes + more;
  const ticks = scale === 7 ? micros * 10 : Math.floor(micros / 10 ** (6 - scale));
  w.buffer.writeUIntLE(ticks, at + 1, bytes);
  return at + 1 + bytes;
}

function scaledOf(value: unknown, scale: number): bigint {
  if (typeof value === 'bigint') return value * 10n ** BigInt(scale);
  if (typeof value === 'number') return BigInt(Math.round(value * 10 ** scale));
  const decimal = value as { value: bigint; scale: number };
  if (decimal.scale === scale) return decimal.value;
  if (decimal.scale < scale) return decimal.value * 10n ** BigInt(scale - decimal.scale);
  return decimal.value / 10n ** BigInt(decimal.scale - scale);
}

function writePlp(w: ByteWriter, bytes: Uint8Array): void {
  w.u64(BigInt(bytes.length));
  if (bytes.length > 0) {
    w.u32(bytes.length);
    w.bytes(bytes);
  }
  w.u32(0);
}

function encoder(type: TsqlType): { encode: Encode; empty: Encode } {
  const none: Encode = (w) => w.u8(0);
  const scale = type.scale ?? 7;
  switch (type.name) {
    case 'bit':
      return { empty: none, encode: (w, value) => int(w, 1, value ? 1 : 0) };
    case 'tinyint':
      return { empty: none, encode: (w, value) => int(w, 1, value) };
    case 'smallint':
      return { empty: none, encode: (w, value) => int(w, 2, value) };
    case 'int':
      return { empty: none, encode: (w, value) => int(w, 4, value) };
    case 'bigint':
      return {
        empty: none,
        encode: (w, value) => {
          const at = w.reserve(9);
          w.buffer[at] = 8;
          w.buffer.writeBigInt64LE(BigInt(value as bigint), at + 1);
        },
      };
    case 'real':
      return {
        empty: none,
        encode: (w, value) => {
          const at = w.reserve(5);
          w.buffer[at] = 4;
          w.buffer.writeFloatLE(Number(value), at + 1);
        },
      };
    case 'float':
      return {
        empty: none,
        encode: (w, value) => {
          const at = w.reserve(9);
          w.buffer[at] = 8;
          w.buffer.writeDoubleLE(Number(value), at + 1);
        },
      };
    case 'decimal': {
      const bytes = decimalBytes(type.precision ?? 18);
      return {
        empty: none,
        encode: (w, value) => {
          let scaled = scaledOf(value, type.scale ?? 0);
          const at = w.reserve(1 + bytes);
          w.buffer[at] = bytes;
          w.buffer[at + 1] = scaled < 0n ? 0 : 1;
          if (scaled < 0n) scaled = -scaled;
          if (scaled <= 0xffffffffffffn) {
            w.buffer.fill(0, at + 2, at + 1 + bytes);
            const number = Number(scaled);
            w.buffer.writeUInt32LE(number >>> 0, at + 2);
            if (bytes > 5) w.buffer.writeUInt32LE(Math.floor(number / 4294967296), at + 6);
            return;
          }
          for (let to = at + 2; to < at + 1 + bytes; to += 4) {
            w.buffer.writeUInt32LE(Number(scaled & 0xffffffffn), to);
            scaled >>= 32n;
          }
        },
      };
    }
    case 'money':
      return {
        empty: none,
        encode: (w, value) => {
          const scaled = scaledOf(value, 4);
          const at = w.reserve(9);
          w.buffer[at] = 8;
          w.buffer.writeInt32LE(Number(scaled >> 32n), at + 1);
          w.buffer.writeUInt32LE(Number(scaled & 0xffffffffn), at + 5);
        },
      };
    case 'smallmoney':
      return { empty: none, encode: (w, value) => int(w, 4, scaledOf(value, 4)) };
    case 'date':
      return {
        empty: none,
        encode: (w, value) => {
          const at = w.reserve(4);
          w.buffer[at] = 3;
          w.buffer.writeUIntLE(split(microsOf(value))[0] + 719162, at + 1, 3);
        },
      };
    case 'time':
      return {
        empty: none,
        encode: (w, value) => {
          writeTime(w, Number(microsOf(value)), scale, 0);
        },
      };
    case 'datetime2':
      return {
        empty: none,
        encode: (w, value) => {
          const [days, micros] = split(microsOf(value));
          const at = writeTime(w, micros, scale, 3);
          w.buffer.writeUIntLE(days + 719162, at, 3);
        },
      };
    case 'datetimeoffset':
      return {
        empty: none,
        encode: (w, value) => {
          const [days, micros] = split(microsOf(value));
          const at = writeTime(w, micros, scale, 5);
          w.buffer.writeUIntLE(days + 719162, at, 3);
          w.buffer.writeInt16LE(0, at + 3);
        },
      };
    case 'datetime':
      return {
        empty: none,
        encode: (w, value) => {
          const [days, micros] = split(microsOf(value));
          const at = w.reserve(9);
          w.buffer[at] = 8;
          w.buffer.writeInt32LE(days + 25567, at + 1);
          w.buffer.writeUInt32LE(Math.round((micros * 3) / 10_000), at + 5);
        },
      };
    case 'smalldatetime':
      return {
        empty: none,
        encode: (w, value) => {
          const [days, micros] = split(microsOf(value));
          const at = w.reserve(5);
          w.buffer[at] = 4;
          w.buffer.writeUInt16LE(days + 25567, at + 1);
          w.buffer.writeUInt16LE(Math.floor(micros / 60e6), at + 3);
        },
      };
    case 'uniqueidentifier':
      return {
        empty: none,
        encode: (w, value) => {
          const b = Buffer.from(String(value).replaceAll('-', ''), 'hex');
          const at = w.reserve(17);
          w.buffer[at] = 16;
          [3, 2, 1, 0, 5, 4, 7, 6].forEach((from, to) => {
            w.buffer[at + 1 + to] = b[from] as number;
          });
          b.copy(w.buffer, at + 9, 8);
        },
      };
    default:
      return lengthy(type);
  }
}

/** Text and bytes: a 16-bit length, or chunks for max. */
function lengthy(type: TsqlType): { encode: Encode; empty: Encode } {
  const length = type.length ?? -1;
  const unicode = type.name === 'nvarchar' || type.name === 'nchar';
  const binary = type.name === 'varbinary' || type.name === 'binary';
  const pad = type.name === 'char' || type.name === 'nchar';
  const encoded = type.utf8 ? (text: string) => Buffer.from(text, 'utf8') : toAnsi;
  if (length < 0 || length > (unicode ? 4000 : 8000)) {
    return {
      empty: (w) => w.u64(0xffffffffffffffffn),
      encode: (w, value) =>
        writePlp(
          w,
          binary ? bytesOf(value) : unicode ? Buffer.from(String(value), 'utf16le') : encoded(String(value)),
        ),
    };
  }
  const empty: Encode = (w) => w.u16(0xffff);
  if (unicode) {
    return {
      empty,
      encode: (w, value) => {
        const given = String(value);
        const text = pad ? given.padEnd(length) : given;
        const at = w.reserve(2 + text.length * 2);
        w.buffer.writeUInt16LE(text.length * 2, at);
        w.buffer.write(text, at + 2, 'utf16le');
      },
    };
  }
  return {
    empty,
    encode: (w, value) => {
      let bytes = binary ? bytesOf(value) : encoded(pad ? String(value).padEnd(length) : String(value));
      if (type.name === 'binary' && bytes.length < length)
        bytes = Buffer.concat([bytes, Buffer.alloc(length - bytes.length)]);
      w.u16(bytes.length);
      w.bytes(bytes);
    },
  };
}

const bytesOf = (value: unknown): Uint8Array =>
  typeof value === 'string' ? Buffer.from(value) : (value as { bytes: Uint8Array }).bytes;

/** A function that writes one chunk's rows as ROW tokens; it flushes through `flowed` as the writer asks. */
export function rowWriter(
  types: readonly TsqlType[],
): (
  w: ByteWriter & { flowed(): Promise<void> | undefined },
  chunk: DuckDBDataChunk,
  stopped: () => boolean,
) => Promise<number> {
  const encoders = types.map(encoder);
  return async (w, chunk, stopped) => {
    const rows = chunk.rowCount;
    const columns = encoders.map((_, index) => chunk.getColumnVector(index));
    for (let row = 0; row < rows; row++) {
      w.u8(0xd1);
      for (let index = 0; index < encoders.length; index++) {
        const one = encoders[index] as { encode: Encode; empty: Encode };
        const value: unknown = columns[index]?.getItem(row);
        if (value === null || value === undefined) one.empty(w, null);
        else one.encode(w, value);
      }
      const wait = w.length > 1 << 17 ? w.flowed() : undefined;
      if (wait) await wait;
      if (stopped()) return row + 1;
    }
    return rows;
  };
}
