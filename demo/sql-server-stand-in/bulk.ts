/** INSERT BULK and the rows after it: TDS bulk-load data into DuckDB's appender, as it arrives. */
import {
  DuckDBBlobValue,
  DuckDBDataChunk,
  DuckDBDateValue,
  DuckDBDecimalValue,
  DuckDBTimestampMillisecondsValue,
  DuckDBTimestampSecondsValue,
  DuckDBTimestampTZValue,
  DuckDBTimestampValue,
  DuckDBTimeValue,
  type DuckDBType,
  DuckDBUUIDValue,
  type DuckDBValue,
} from '@duckdb/node-api';
import { type Column, quote, type Table } from './catalogue.js';
import { notSupported, SqlError } from './errors.js';
import type { Session } from './session.js';
import type { Incoming, PacketReader } from './tds/packets.js';
import { ByteReader, NeedMore, readTypeInfo, readValue, type WireType, type WireValue } from './tds/types.js';
import { readOnly } from './tsql/changes.js';
import type { Token } from './tsql/lexer.js';
import { readChain, resolveTable } from './tsql/scope.js';
import { storedType } from './types.js';

const CHUNK_ROWS = 2048;

export interface BulkTarget {
  readonly table: Table;
  readonly parts: readonly string[];
}

/** The table of `INSERT BULK table (…)`. */
export function bulkTarget(session: Session, tokens: readonly Token[]): BulkTarget {
  const { parts } = readChain(tokens, 2);
  const found = resolveTable(session, parts);
  if (!found) throw new SqlError(208, 16, 1, `Invalid object name '${parts.join('.')}'.`);
  if (found.database?.source) throw readOnly(found.database);
  return { table: found.table, parts };
}

/** Takes the rows of a bulk message, its first packet in hand, and returns how many. All or none. */
export async function runBulk(
  session: Session,
  target: BulkTarget,
  reader: PacketReader,
  first: Incoming,
): Promise<number> {
  const found = resolveTable(session, target.parts);
  let last = first;
  try {
    return await session.writing(found?.database, async () => {
      const load = await Load.create(session, target.table);
      try {
        for (;;) {
          load.take(last.payload);
          if (last.end) break;
          const next = await reader.packet();
          if (!next) throw new Error('the client is gone');
          last = next;
        }
        if (last.ignore) throw new SqlError(3617, 16, 1, 'The bulk load was cancelled by the client.');
        return await load.finish();
      } catch (error) {
        load.abandon();
        throw error;
      }
    });
  } finally {
    while (!last.end) {
      const next = await reader.packet();
      if (!next) break;
      last = next;
    }
  }
}

class Load {
  #rest: Buffer = Buffer.alloc(0);
  #columns: { wire: WireType; target: number }[] | undefined;
  #rows: DuckDBValue[][] = [];
  #count = 0;
  #ended = false;
  readonly #convert: ((value: WireValue) => DuckDBValue)[];

  private constructor(
    private readonly session: Session,
    private readonly table: Table,
    private readonly appender: Awaited<ReturnType<Session['connection']['createAppender']>>,
    private readonly types: DuckDBType[],
    private readonly staged: string | undefined,
  ) {
    this.#convert = table.columns.map(converter);
    this.#rows = table.columns.map(() => []);
  }

  static async create(session: Session, table: Table): Promise<Load> {
    const own =
      table.columns.some((column) => column.identity || column.defaultSql !== undefined) ||
      table.name.startsWith('#');
    const staged = own ? `bulk ${session.id}` : undefined;
    if (staged) {
      const columns = table.columns.map((column) => `${quote(column.name)} ${storedType(column.type)}`);
      await session.connection.run(`CREATE OR REPLACE TEMP TABLE ${quote(staged)} (${columns.join(', ')})`);
    }
    const catalog = /^"((?:[^"]|"")*)"/.exec(table.stored)?.[1]?.replaceAll('""', '"');
    const appender = staged
      ? await session.connection.createAppender(staged, 'main', 'temp')
      : await session.connection.createAppender(table.name, table.schema, catalog);
    return new Load(
      session,
      table,
      appender,
      table.columns.map((_, i) => appender.columnType(i)),
      staged,
    );
  }

  take(payload: Buffer): void {
    const reader = new ByteReader(this.#rest.length === 0 ? payload : Buffer.concat([this.#rest, payload]));
    let mark = 0;
    try {
      while (!this.#ended && reader.at < reader.buffer.length) {
        mark = reader.at;
        this.#token(reader);
        mark = reader.at;
      }
      this.#rest = Buffer.alloc(0);
    } catch (error) {
      if (!(error instanceof NeedMore)) throw error;
      this.#rest = reader.buffer.subarray(mark);
    }
  }

  #token(reader: ByteReader): void {
    const token = reader.u8();
    if (token === 0x81) this.#columns = this.#metadata(reader);
    else if (token === 0xd1) this.#row(reader);
    else if (token === 0xfd) {
      reader.take(12);
      this.#ended = true;
    } else throw notSupported(`bulk token 0x${token.toString(16)}`);
  }

  #metadata(reader: ByteReader): { wire: WireType; target: number }[] {
    const count = reader.u16();
    return Array.from({ length: count }, () => {
      reader.take(6);
      let wire = readTypeInfo(reader);
      if (wire.frame === 'u32') {
        reader.text(reader.u16());
        wire = { ...wire, frame: 'textPointer' };
      }
      const name = reader.text(reader.u8());
      const target = this.table.columns.findIndex(
        (column) => column.name.toLowerCase() === name.toLowerCase(),
      );
      if (target < 0) throw new SqlError(207, 16, 1, `Invalid column name '${name}'.`);
      return { wire, target };
    });
  }

  #row(reader: ByteReader): void {
    const columns = this.#columns;
    if (!columns) throw notSupported('bulk row before its columns');
    const values: WireValue[] = [];
    for (const { wire } of columns) values.push(readValue(reader, wire));
    for (let i = 0; i < columns.length; i++) {
      const target = (columns[i] as { target: number }).target;
      const value = values[i] as WireValue;
      const convert = this.#convert[target] as (value: WireValue) => DuckDBValue;
      (this.#rows[target] as DuckDBValue[]).push(value === null ? null : convert(value));
    }
    this.#count++;
    if (this.#count % CHUNK_ROWS === 0) this.#flush();
  }

  #flush(): void {
    const rows = this.#count % CHUNK_ROWS || (this.#count > 0 ? CHUNK_ROWS : 0);
    const filled = Math.max(0, ...this.#rows.map((column) => column.length));
    if (rows === 0 || filled === 0) return;
    for (const column of this.#rows) while (column.length < filled) column.push(null);
    const chunk = DuckDBDataChunk.create(this.types, filled);
    chunk.setColumns(this.#rows);
    this.appender.appendDataChunk(chunk);
    this.#rows = this.table.columns.map(() => []);
  }

  async finish(): Promise<number> {
    if (!this.#ended && this.#rest.length > 0)
      throw new SqlError(
        4804,
        16,
        1,
        'While reading current row from host, a premature end-of-message was encountered.',
      );
    this.#flush();
    this.appender.closeSync();
    if (this.staged) {
      const given = this.#columns
        ?.map(({ target }) => quote(this.table.columns[target]?.name ?? ''))
        .join(', ');
      if (this.#count > 0)
        await this.session.connection.run(
          `INSERT INTO ${this.table.stored} (${given}) SELECT ${given} FROM temp.main.${quote(this.staged)}`,
        );
      await this.session.connection.run(`DROP TABLE temp.main.${quote(this.staged)}`);
    }
    return this.#count;
  }

  abandon(): void {
    try {
      this.appender.clear();
      this.appender.closeSync();
    } catch {
      // The transaction is rolled back by the caller; what the appender still holds goes with it.
    }
  }
}

/** From a wire value, of whatever wire type, to the value DuckDB's column takes. */
function converter(column: Column): (value: WireValue) => DuckDBValue {
  const micros = (value: WireValue): bigint => {
    const { days, micros: rest } = value as { days: number; micros: number };
    return BigInt(days) * 86_400_000_000n + BigInt(rest);
  };
  const bad = (): SqlError =>
    new SqlError(4816, 16, 1, `Invalid column type from bcp client for column ${column.name}.`);
  const scaled = (value: WireValue, scale: number): bigint => {
    if (typeof value === 'bigint') return value * 10n ** BigInt(scale);
    if (typeof value === 'number') return BigInt(Math.round(value * 10 ** scale));
    if (value === null || typeof value !== 'object' || !('scaled' in value)) throw bad();
    if (value.scale <= scale) return value.scaled * 10n ** BigInt(scale - value.scale);
    const divisor = 10n ** BigInt(value.scale - scale);
    const half = divisor / 2n;
    return (value.scaled + (value.scaled < 0n ? -half : half)) / divisor;
  };
  const { name, precision = 18, scale = 0, length = -1 } = column.type;
  switch (name) {
    case 'bit':
      return (value) => Boolean(value);
    case 'tinyint':
    case 'smallint':
    case 'int':
    case 'real':
    case 'float':
      return (value) =>
        typeof value === 'object' && value !== null && 'scaled' in value
          ? Number(value.scaled) / 10 ** value.scale
          : Number(value);
    case 'bigint':
      return (value) => (typeof value === 'bigint' ? value : BigInt(value as number));
    case 'decimal':
      return (value) => new DuckDBDecimalValue(scaled(value, scale), precision, scale);
    case 'money':
      return (value) => new DuckDBDecimalValue(scaled(value, 4), 19, 4);
    case 'smallmoney':
      return (value) => new DuckDBDecimalValue(scaled(value, 4), 10, 4);
    case 'date':
      return (value) => new DuckDBDateValue((value as { days: number }).days);
    case 'time':
      return (value) => new DuckDBTimeValue(BigInt((value as { micros: number }).micros));
    case 'datetime2':
      return (value) => new DuckDBTimestampValue(micros(value));
    case 'datetime':
      return (value) => new DuckDBTimestampMillisecondsValue(micros(value) / 1000n);
    case 'smalldatetime':
      return (value) => new DuckDBTimestampSecondsValue(micros(value) / 1_000_000n);
    case 'datetimeoffset':
      return (value) => new DuckDBTimestampTZValue(micros(value));
    case 'uniqueidentifier':
      return (value) => DuckDBUUIDValue.fromUint128(BigInt(`0x${String(value).replaceAll('-', '')}`));
    case 'binary':
    case 'varbinary':
      return (value) => new DuckDBBlobValue(value as Buffer);
    default:
      return (value) => {
        const text = String(value);
        if (length > 0 && text.length > length)
          throw new SqlError(
            2628,
            16,
            1,
            `String or binary data would be truncated in column '${column.name}'.`,
          );
        return text;
      };
  }
}
