import { PassThrough } from 'node:stream';
import { crc32 } from 'node:zlib';
import { travelsAsHex } from '../model/conversion.js';
import { StageswapError } from '../model/failures.js';
import type { TableSpec } from '../model/spec.js';
import { id, join, raw, sql } from '../sql/text.js';
import type { Session } from './connection.js';

const FIELD = '\x1f';
const NULL_IN_SUM = '\x1e';
const BUFFER_CHARACTERS = 1 << 16;
// biome-ignore lint/suspicious/noControlCharactersInRegex: the characters that LOAD DATA reads as syntax
const SPECIAL = /[\\\n\x1f\0]/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above
const SPECIALS = /[\\\n\x1f\0]/g;

/** What was sent: rows, and two order-independent sums over each row's CRC-32, as `proofOfBaseNext` computes them. */
export interface Sent {
  rows: number;
  checksumSum: bigint;
  checksumXor: number;
}

/** Rows on their way into LOAD DATA: text fields in, one in-memory stream out, with back-pressure. */
export class RowStream {
  readonly stream = new PassThrough({ highWaterMark: 1 << 20 });
  readonly sent: Sent = { rows: 0, checksumSum: 0n, checksumXor: 0 };
  #pending = '';
  #sum = 0;

  /** Takes one row of canonical texts. @returns false if the caller should wait for `drained` */
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
    this.sent.rows += 1;
    this.#sum += crc;
    if (this.#sum > Number.MAX_SAFE_INTEGER - 0xffffffff) this.#foldSum();
    this.sent.checksumXor = (this.sent.checksumXor ^ crc) >>> 0;
    this.#pending += special ? `${fields.map(escapeField).join(FIELD)}\n` : `${plain}\n`;
    if (this.#pending.length < BUFFER_CHARACTERS) return true;
    return this.#flush();
  }

  /** Resolves when the stream takes more. */
  drained(): Promise<void> {
    return new Promise((resolve) => {
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
    this.stream.destroy(error);
  }

  #foldSum(): void {
    this.sent.checksumSum += BigInt(this.#sum);
    this.#sum = 0;
  }
  #flush(): boolean {
    if (this.#pending === '') return true;
    // A Buffer, never a string: a string in this stream ends the process (TRAPS "LOAD DATA LOCAL").
    const more = this.stream.write(Buffer.from(this.#pending, 'utf8'));
    this.#pending = '';
    return more;
  }
}

function escapeField(field: string | null): string {
  if (field === null) return '\\N';
  return SPECIAL.test(field)
    ? field.replace(SPECIALS, (character) => (character === '\0' ? '\\0' : `\\${character}`))
    : field;
}

/**
 * Loads rows into a table by LOAD DATA LOCAL … REPLACE. REPLACE makes the first bad value an error instead of another
 * value; records = sent and skipped = deleted = warnings = 0 is asserted, so a doubled key is found, too.
 *
 * @param constant a column that is the same in every row, such as the chunk's number
 * @throws {StageswapError} BadValue: MySQL refuses a value · ProofFailed: the counts differ
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
FIELDS TERMINATED BY ${raw("x'1f'")} ESCAPED BY ${raw("'\\\\'")} LINES TERMINATED BY ${raw("'\\n'")} (${join(places)}) SET ${set}`;
  let info: string;
  try {
    const [result] = await session.connection.query({
      sql: statement.text,
      values: statement.values,
      infileStreamFactory: () => rows.stream,
    } as Parameters<typeof session.connection.query>[0]);
    info = (result as { info?: string }).info ?? '';
  } catch (error) {
    const errno = (error as { errno?: number }).errno;
    if (errno !== undefined && errno >= 1000 && errno < 2000) {
      throw new StageswapError(
        'BadValue',
        `${table.live}: MySQL refuses a value from ${table.source.schema}.${table.source.table}: ${(error as Error).message}. Correct it at the source, or widen live's column.`,
        { cause: error },
      );
    }
    throw error;
  }
  const numbers = /Records: (\d+)\s+Deleted: (\d+)\s+Skipped: (\d+)\s+Warnings: (\d+)/.exec(info);
  const [records, deleted, skipped, warnings] = (numbers ?? []).slice(1).map(Number);
  if (deleted) {
    throw new StageswapError(
      'BadValue',
      `${table.live}: ${deleted} keys of ${table.source.schema}.${table.source.table} are not unique in MySQL (by case, accents or trailing spaces, or doubled). Make them differ, or give live's key a binary collation.`,
    );
  }
  if (records !== rows.sent.rows || skipped !== 0 || warnings !== 0) {
    throw new StageswapError(
      'ProofFailed',
      `${table.live}: ${rows.sent.rows} rows were sent and MySQL says "${info}". Nothing of this chunk is kept.`,
    );
  }
}
