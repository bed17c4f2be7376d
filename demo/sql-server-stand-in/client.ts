/** One connection, from pre-login to its end: requests one after another. */
import type { Socket } from 'node:net';
import { Answer } from './answer.js';
import { type BulkTarget, bulkTarget, runBulk } from './bulk.js';
import { notSupported, SqlError, toSqlError } from './errors.js';
import { runBatch, valueLiteral } from './execute.js';
import { type Isolation, Session } from './session.js';
import type { StandIn } from './stand-in.js';
import { insistsOnEncryption, preloginReply, readLogin } from './tds/login.js';
import { type Incoming, MessageWriter, PACKET, PacketReader } from './tds/packets.js';
import {
  DONE,
  DONE_KIND,
  writeCollationChange,
  writeDatabaseChange,
  writeDone,
  writeError,
  writeInfo,
  writeLoginAck,
  writePacketBytesChange,
  writeResetDone,
  writeReturnInt,
  writeReturnStatus,
  writeTransactionChange,
} from './tds/tokens.js';
import { ByteReader, readTypeInfo, readValue, type WireValue } from './tds/types.js';
import { tokenize } from './tsql/lexer.js';
import type { Variable } from './tsql/scope.js';
import { literal } from './tsql/translate.js';
import { storedType, type TsqlType } from './types.js';

const ISOLATIONS: Record<number, Isolation> = {
  1: 'read uncommitted',
  2: 'read committed',
  3: 'repeatable read',
  4: 'serializable',
  5: 'snapshot',
};
/** An interrupted statement may cost DuckDB's transaction, so inside one it gets this long to end by itself. */
const INTERRUPT_AFTER_MS = 100;
let nextSession = 51;

export class Client {
  readonly #reader: PacketReader;
  readonly #writer: MessageWriter;
  #session: Session | undefined;
  #attention = false;
  #busy = false;
  #bulk: BulkTarget | undefined;
  readonly #prepared = new Map<number, { text: string; names: string[] }>();
  #nextHandle = 1;

  constructor(
    private readonly standIn: StandIn,
    private readonly socket: Socket,
  ) {
    socket.setNoDelay(true);
    this.#reader = new PacketReader(socket, () => this.#onAttention());
    this.#writer = new MessageWriter(socket);
    socket.on('close', () => this.#stop());
  }

  async run(): Promise<void> {
    try {
      if (!(await this.#login())) return;
      for (;;) {
        const message = await this.#reader.message();
        if (!message) return;
        this.#busy = true;
        const session = this.#session as Session;
        await this.#request(session, message);
        await this.#writer.end();
        this.#busy = false;
        if (this.#attention) await this.#acknowledge(session);
      }
    } catch (error) {
      if (!this.socket.destroyed) this.#fatal(toSqlError(error));
    } finally {
      await this.#leave();
    }
  }

  #onAttention(): void {
    this.#attention = true;
    const session = this.#session;
    if (!session) return;
    if (this.#busy) this.#stop();
    else void this.#acknowledge(session).catch(() => this.socket.destroy());
  }

  /** Makes the statement that runs end: the row loop looks at the signal, the engine is interrupted. */
  #stop(): void {
    const session = this.#session;
    if (!session || !this.#busy) return;
    const { cancel } = session;
    cancel.abort();
    const interrupt = (): void => {
      if (this.#busy && session.cancel === cancel) session.connection.interrupt();
    };
    if (session.transaction?.open) setTimeout(interrupt, INTERRUPT_AFTER_MS).unref();
    else interrupt();
  }

  /** The attention's own answer: a message with DONE 0x20, after the cancelled one has ended. */
  async #acknowledge(session: Session): Promise<void> {
    this.#attention = false;
    if (session.cancel.signal.aborted) {
      session.cancel = new AbortController();
      await session.failed();
      if (!session.transaction?.open) await session.connection.run('SELECT 1').catch(() => {});
    }
    writeDone(this.#writer, DONE_KIND.done, DONE.attention, 0n);
    await this.#writer.end();
  }

  async #login(): Promise<boolean> {
    const w = this.#writer;
    const first = await this.#reader.message();
    if (!first || first.type !== PACKET.prelogin) return this.#refuse();
    w.bytes(preloginReply());
    await w.end();
    if (insistsOnEncryption(first.payload)) return this.#refuse();
    const message = await this.#reader.message();
    if (!message || message.type !== PACKET.login) return this.#refuse();
    const login = readLogin(message.payload);
    const { options, catalogue } = this.standIn;
    if (login.user !== options.user || login.password !== options.password) {
      return this.#fatal(new SqlError(18456, 14, 1, `Login failed for user '${login.user}'.`));
    }
    const database = catalogue.find(login.database || 'master');
    if (!database) {
      return this.#fatal(
        new SqlError(
          4060,
          11,
          1,
          `Cannot open database "${login.database}" requested by the login. The login failed.`,
        ),
      );
    }
    const connection = await this.standIn.instance.connect();
    await connection.run("SET TimeZone = 'UTC'");
    const session = new Session(this.standIn, connection, nextSession++, login.user, database);
    this.#session = session;
    this.standIn.sessions.add(session);
    const packetBytes = Math.min(32767, Math.max(512, login.packetBytes || 4096));
    writeDatabaseChange(w, database.name, 'master');
    writeInfo(w, 5701, 0, `Changed database context to '${database.name}'.`);
    writeCollationChange(w);
    writeLoginAck(w);
    writePacketBytesChange(w, packetBytes, 4096);
    writeDone(w, DONE_KIND.done, DONE.final, 0n);
    await w.end();
    w.packetBytes = packetBytes;
    return true;
  }

  #refuse(): boolean {
    this.socket.destroy();
    return false;
  }

  #fatal(error: SqlError): boolean {
    writeError(this.#writer, error);
    writeDone(this.#writer, DONE_KIND.done, DONE.error, 0n);
    this.#writer.end().then(
      () => this.socket.end(),
      () => this.socket.destroy(),
    );
    return false;
  }

  async #leave(): Promise<void> {
    const session = this.#session;
    if (session) {
      this.standIn.sessions.delete(session);
      await session.reset().catch(() => {});
      session.connection.closeSync();
    }
  }

  async #request(session: Session, message: Incoming): Promise<void> {
    const w = this.#writer;
    if (message.reset) {
      await session.reset();
      writeResetDone(w);
    }
    if (message.ignore) {
      writeDone(w, DONE_KIND.done, DONE.error, 0n);
      return;
    }
    session.variables = new Map();
    const answer = new Answer(w, message.type === PACKET.rpc ? DONE_KIND.inProc : DONE_KIND.done);
    try {
      if (message.type === PACKET.batch) await this.#batch(session, message.payload, answer);
      else if (message.type === PACKET.rpc) await this.#rpc(session, message.payload, answer);
      else if (message.type === PACKET.transaction) await this.#transaction(session, message.payload, answer);
      else if (message.type === PACKET.bulk) await this.#bulkRows(session, message, answer);
      else throw notSupported(`message type ${message.type}`);
    } catch (error) {
      if (this.socket.destroyed) throw error;
      await session.failed();
      if (!session.cancel.signal.aborted) answer.error(toSqlError(error));
    }
    if (message.type === PACKET.rpc) {
      answer.finish();
      writeReturnStatus(w, answer.failed ? 1 : 0);
      writeDone(w, DONE_KIND.proc, answer.failed ? DONE.error : DONE.final, 0n);
    } else answer.finish();
  }

  async #batch(session: Session, payload: Buffer, answer: Answer): Promise<void> {
    const text = payload.toString('utf16le', payload.readUInt32LE(0));
    if (/^\s*insert\s+bulk\b/i.test(text)) {
      this.#bulk = bulkTarget(session, tokenize(text));
      return;
    }
    await runBatch(session, text, answer);
  }

  async #bulkRows(session: Session, message: Incoming, answer: Answer): Promise<void> {
    const target = this.#bulk;
    this.#bulk = undefined;
    if (!target) throw notSupported('bulk rows without INSERT BULK');
    const rows = await runBulk(session, target, this.#reader, message);
    session.rowCount = BigInt(rows);
    answer.done(DONE.count, BigInt(rows));
  }

  async #transaction(session: Session, payload: Buffer, answer: Answer): Promise<void> {
    const at = payload.readUInt32LE(0);
    const request = payload.readUInt16LE(at);
    const id = session.transaction?.id ?? 0n;
    if (request === 5) {
      const isolation = ISOLATIONS[payload[at + 2] ?? 0];
      if (isolation) session.isolation = isolation;
      writeTransactionChange(answer.w, 8, session.begin());
    } else if (request === 7) {
      await session.commit();
      writeTransactionChange(answer.w, 9, id);
    } else if (request === 8) {
      await session.rollback();
      writeTransactionChange(answer.w, 10, id);
    } else throw notSupported(request === 9 ? 'SAVE TRANSACTION' : `transaction request ${request}`);
    answer.done(DONE.final, 0n);
  }

  async #rpc(session: Session, payload: Buffer, answer: Answer): Promise<void> {
    const reader = new ByteReader(payload);
    reader.at = payload.readUInt32LE(0);
    const length = reader.u16();
    const procedure =
      length === 0xffff
        ? (PROCEDURES[reader.u16()] ?? 'unknown')
        : reader
            .text(length)
            .toLowerCase()
            .replace(/^(sys\.|dbo\.|\[sys\]\.)/, '');
    reader.u16();
    const given: { name: string; type: TsqlType; value: WireValue }[] = [];
    while (reader.at < payload.length) {
      const name = reader.text(reader.u8());
      reader.u8();
      const wire = readTypeInfo(reader);
      given.push({ name, type: wire.type, value: readValue(reader, wire) });
    }
    const bind = (values: typeof given, names: readonly string[]): void => {
      values.forEach((one, i) => {
        const name = one.name || names[i] || '';
        session.variables.set(
          (name.startsWith('@') ? name : `@${name}`).toLowerCase(),
          variable(one.type, one.value),
        );
      });
    };
    const text = (i: number): string => String(given[i]?.value ?? '');
    switch (procedure) {
      case 'sp_executesql':
        bind(given.slice(2), namesOf(text(1)));
        await runBatch(session, text(0), answer);
        return;
      case 'sp_prepare': {
        const handle = this.#nextHandle++;
        this.#prepared.set(handle, { text: text(2), names: namesOf(text(1)) });
        writeReturnInt(answer.w, given[0]?.name ?? '', handle);
        return;
      }
      case 'sp_execute': {
        const prepared = this.#prepared.get(Number(given[0]?.value));
        if (!prepared)
          throw new SqlError(
            8179,
            16,
            1,
            `Could not find prepared statement with handle ${String(given[0]?.value)}.`,
          );
        bind(given.slice(1), prepared.names);
        await runBatch(session, prepared.text, answer);
        return;
      }
      case 'sp_unprepare':
        this.#prepared.delete(Number(given[0]?.value));
        return;
      default:
        throw new SqlError(
          2812,
          16,
          62,
          `Could not find stored procedure '${procedure}'. (stand-in: not supported)`,
        );
    }
  }
}

const PROCEDURES: Record<number, string> = {
  10: 'sp_executesql',
  11: 'sp_prepare',
  12: 'sp_execute',
  15: 'sp_unprepare',
};

const namesOf = (definitions: string): string[] =>
  [...definitions.matchAll(/(?:^|,)\s*(@[\p{L}\p{N}_$#@]+)/gu)].map((match) => match[1] as string);

/** A parameter as a DuckDB literal of its own type. */
function variable(type: TsqlType, value: WireValue): Variable {
  const stored = storedType(type);
  let sql: string;
  if (value === null) sql = valueLiteral(type, null);
  else if (Buffer.isBuffer(value)) sql = `unhex('${value.toString('hex')}')`;
  else if (typeof value === 'object' && 'scaled' in value)
    sql = `CAST(${literal(decimalText(value.scaled, value.scale))} AS ${stored})`;
  else if (typeof value === 'object') {
    const micros = BigInt(value.days) * 86_400_000_000n + BigInt(value.micros);
    if (type.name === 'time') sql = `CAST(make_timestamp(${value.micros}) AS TIME)`;
    else if (type.name === 'datetimeoffset')
      sql = `CAST(CAST(make_timestamp(${micros}) AS VARCHAR) || '+00' AS TIMESTAMPTZ)`;
    else sql = `CAST(make_timestamp(${micros}) AS ${stored})`;
  } else sql = `CAST(${literal(String(value))} AS ${stored})`;
  return { type, sql, value };
}

function decimalText(scaled: bigint, scale: number): string {
  const sign = scaled < 0n ? '-' : '';
  const digits = (scaled < 0n ? -scaled : scaled).toString().padStart(scale + 1, '0');
  return scale === 0 ? sign + digits : `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}
