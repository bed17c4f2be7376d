import { PassThrough } from 'node:stream';
import { crc32 } from 'node:zlib';
import { NULL_REFUSED } from '../model/bad-value.js';
import { travelsAsHex } from '../model/conversion.js';
import { StageswapError } from '../model/failures.js';
import type { TableSpec } from '../model/spec.js';
import { ROW_CHECKSUM } from '../sql/stage.js';
import { id, join, raw, sql } from '../sql/text.js';
import type { Session } from './connection.js';
import { errorNumber, UNKNOWN_COLUMN } from './errors.js';

const FIELD = '\x1f';
const NULL_IN_SUM = '\x1e';
const BUFFER_CHARACTERS = 1 << 16;
const PACKET_BYTES_MAX = 1 << 20;
// biome-ignore lint/suspicious/noControlCharactersInRegex: the characters that LOAD DATA reads as syntax
const SPECIAL = /[\\\n\x1f\0]/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above
const SPECIALS = /[\\\n\x1f\0]/g;

/** What was sent: rows, and the sum of their CRC-32, each of which travels with its row for `proofOfBaseNext`. */
export interface Sent {
  rows: number;
  bytes: number;
  checksumSum: bigint;
}

/** Rows on their way into LOAD DATA: text fields in, one in-memory stream out, with back-pressure. */
export class RowStream {
  readonly stream = new PassThrough({ highWaterMark: 1 << 20 });
  readonly sent: Sent = { rows: 0, bytes: 0, checksumSum: 0n };
  #pending = '';
  #sum = 0;
  #failure: Error | undefined;
  /** four bytes a row: by it a row that MySQL refuses is known again, in whatever order the source gives its rows */
  #crcs = new Uint32Array(1 << 12);

  constructor() {
    // A stream that fails before the driver listens to it would end the process; the load's own promise tells why.
    this.stream.on('error', () => {});
  }

  /** The CRC-32 of a row that was written. @param row from 1, as MySQL counts */
  crcOf(row: number): number | undefined {
    return row >= 1 && row <= this.sent.rows ? this.#crcs[row - 1] : undefined;
  }

  /** Takes one row of canonical texts. @returns false if the caller should wait for `drained` @throws why the load failed */
  write(fields: (string | null)[]): boolean {
    let plain = '';
    let special = false;
    for (let index = 0; index < fields.length; index += 1) {
      const field = fields[index] ?? null;
      if (index > 0) plain += FIELD;
      if (field === null) {
        special = true;
        plain += NULL_IN_SUM;
      } else {
        if (!special && SPECIAL.test(field)) special = true;
        plain += field;
      }
    }
    const crc = crc32(plain);
    if (this.sent.rows === this.#crcs.length) this.#growCrcs();
    this.#crcs[this.sent.rows] = crc;
    this.sent.rows += 1;
    this.#sum += crc;
    if (this.#sum > Number.MAX_SAFE_INTEGER - 0xffffffff) this.#foldSum();
    this.#pending += `${special ? fields.map(escapeField).join(FIELD) : plain}${FIELD}${crc}\n`;
    if (this.#pending.length < BUFFER_CHARACTERS) return true;
    return this.#flush();
  }

  /** Resolves when the stream takes more, or will never again. */
  drained(): Promise<void> {
    if (this.#failure) return Promise.resolve();
    return new Promise((resolve) => {
      if (this.stream.destroyed) return resolve();
      const done = () => {
        this.stream.off('drain', done);
        this.stream.off('close', done);
        resolve();
      };
      this.stream.once('drain', done);
      this.stream.once('close', done);
    });
  }

  end(): void {
    this.#flush();
    this.#foldSum();
    this.stream.end();
  }
  fail(error: Error): void {
    this.#failure ??= error;
    this.stream.destroy(error);
  }

  #growCrcs(): void {
    const more = new Uint32Array(this.#crcs.length * 2);
    more.set(this.#crcs);
    this.#crcs = more;
  }
  #foldSum(): void {
    this.sent.checksumSum += BigInt(this.#sum);
    this.#sum = 0;
  }
  #flush(): boolean {
    if (this.#failure) throw this.#failure;
    if (this.#pending === '') return true;
    // A Buffer, never a string: a string in this stream ends the process.
    const bytes = Buffer.from(this.#pending, 'utf8');
    this.sent.bytes += bytes.length;
    this.#pending = '';
    // Each write is one packet, and a row may be longer than the server takes at a time (max_allowed_packet).
    let more = true;
    for (let at = 0; at < bytes.length; at += PACKET_BYTES_MAX)
      more = this.stream.write(bytes.subarray(at, at + PACKET_BYTES_MAX));
    return more;
  }
}

/** The CRC-32 of one row, as `RowStream.write` and `proofOfBaseNext` compute it. */
export function rowCrc(fields: (string | null)[]): number {
  return crc32(fields.map((field) => field ?? NULL_IN_SUM).join(FIELD));
}

function escapeField(field: string | null): string {
  if (field === null) return '\\N';
  return SPECIAL.test(field)
    ? field.replace(SPECIALS, (character) => (character === '\0' ? '\\0' : `\\${character}`))
    : field;
}

/** What MySQL says of a value that it refuses, by error number. Its own messages quote values, so they are not shown. */
const VALUE_ERRORS: Record<number, { reason: string; cure: string }> = {
  1048: NULL_REFUSED,
  1263: NULL_REFUSED,
  1264: {
    reason: 'a number outside of its range',
    cure: "Correct it at the source, or widen live's column.",
  },
  1265: {
    reason: 'what the column would cut or change',
    cure: "Correct it at the source, or change live's column.",
  },
  1292: {
    reason: 'a date or time that MySQL does not know',
    cure: "Correct it at the source, or change live's column.",
  },
  1366: {
    reason: "a character that the column's character set does not have",
    cure: "Make live's column utf8mb4, or correct the value at the source.",
  },
  1406: { reason: 'more than the column holds', cure: "Shorten it at the source, or widen live's column." },
  3140: { reason: 'text that is not valid JSON', cure: 'Correct it at the source.' },
};

/** MySQL refuses a value of a row; who knows the source names the row's key. */
export class RowRefused extends StageswapError {
  constructor(
    table: TableSpec,
    /** live's name, if MySQL says it */
    readonly column: string | undefined,
    /** place in the load, from 1, if MySQL says it */
    readonly row: number | undefined,
    readonly reason: string,
    readonly cure: string,
  ) {
    super(
      'BadValue',
      `${table.source.schema}.${table.source.table}, a row whose key could not be read again, column ${column ?? 'unknown'} of ${table.live}: a value has ${reason}. ${cure}`,
    );
  }
}

/** Rows of the source have keys that MySQL calls one key; who knows the source names them. */
export class KeysCollide extends StageswapError {
  constructor(
    table: TableSpec,
    readonly count: number,
  ) {
    super(
      'BadValue',
      `${table.source.schema}.${table.source.table}: ${count} keys are one key in MySQL with another row's. ${COLLISION_CURE}`,
    );
  }
}

export const COLLISION_CURE =
  "MySQL compares by live's collation: case, accents or trailing spaces do not tell keys apart. Make them differ at the source, or give live's key a binary collation.";

function refused(table: TableSpec, error: unknown): RowRefused | undefined {
  const known = VALUE_ERRORS[errorNumber(error) ?? 0];
  if (!known) return undefined;
  const message = (error as Error).message;
  const column = / for column '([^']+?)'/.exec(message)?.[1];
  const row = / at row (\d+)$/.exec(message)?.[1];
  return new RowRefused(table, column, row === undefined ? undefined : Number(row), known.reason, known.cure);
}

/** A run that began under a version whose tables have no checksums of rows. @returns undefined: the error is another one */
export function madeBefore(table: TableSpec, error: unknown): StageswapError | undefined {
  if (errorNumber(error) !== UNKNOWN_COLUMN || !(error as Error).message.includes(ROW_CHECKSUM))
    return undefined;
  return new StageswapError(
    'Refused',
    `${table.live}: the tables of this run were made by an older version of stageswap, and its rows cannot be proved by this one. Live is untouched. Run again.`,
    { cause: error },
  );
}

/**
 * Loads rows into a table by LOAD DATA LOCAL … REPLACE. REPLACE makes the first bad value an error instead of another
 * value; records = sent and skipped = deleted = warnings = 0 is asserted, so a doubled key is found, too.
 *
 * @param constant a column that is the same in every row, such as the chunk's number
 * @throws {RowRefused} MySQL refuses a value
 * @throws {KeysCollide} two rows have one key
 * @throws {StageswapError} ProofFailed: the counts differ
 */
export async function loadRows(
  session: Session,
  table: TableSpec,
  into: string,
  constant: { column: string; value: number },
  rows: RowStream,
): Promise<void> {
  const places = table.columns.map(({ live }, index) =>
    travelsAsHex(live) || live.type === 'bit' ? raw(`@v${index}`) : id(live.name),
  );
  const decoded = table.columns.flatMap(({ live }, index) => {
    if (travelsAsHex(live)) return [sql`${id(live.name)} = UNHEX(${raw(`@v${index}`)})`];
    return live.type === 'bit' ? [sql`${id(live.name)} = CAST(${raw(`@v${index}`)} AS UNSIGNED)`] : [];
  });
  const set = join([sql`${id(constant.column)} = ${raw(String(constant.value))}`, ...decoded]);
  const statement = sql`LOAD DATA LOCAL INFILE 'stageswap' REPLACE INTO TABLE ${id(into)} CHARACTER SET utf8mb4
FIELDS TERMINATED BY ${raw("x'1f'")} ESCAPED BY ${raw("'\\\\'")} LINES TERMINATED BY ${raw("'\\n'")} (${join(places)}, ${id(ROW_CHECKSUM)}) SET ${set}`;
  let info: string;
  try {
    const [result] = await session.connection.query({
      sql: statement.text,
      values: statement.values,
      infileStreamFactory: () => rows.stream,
    } as Parameters<typeof session.connection.query>[0]);
    info = (result as { info?: string }).info ?? '';
  } catch (error) {
    throw refused(table, error) ?? madeBefore(table, error) ?? error;
  }
  const numbers = /Records: (\d+)\s+Deleted: (\d+)\s+Skipped: (\d+)\s+Warnings: (\d+)/.exec(info);
  const [records, deleted, skipped, warnings] = (numbers ?? []).slice(1).map(Number);
  if (deleted) throw new KeysCollide(table, deleted);
  if (records !== rows.sent.rows || skipped !== 0 || warnings !== 0) {
    throw new StageswapError(
      'ProofFailed',
      `${table.live}: ${rows.sent.rows} rows were sent and MySQL says "${info}". Nothing of this chunk is kept.`,
    );
  }
}
