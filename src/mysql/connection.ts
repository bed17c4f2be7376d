import mysql, { type Connection, type ConnectionOptions } from 'mysql2/promise';
import { type MysqlAddress, thisProcess } from '../config/address.js';
import { StageswapError } from '../model/failures.js';
import { type Fragment, id, join, raw, sql } from '../sql/text.js';
import { errorNumber } from './errors.js';

export type Row = Record<string, string | null>;

/** the own default of sql_select_limit and max_join_size: the greatest BIGINT UNSIGNED */
const NO_LIMIT = '18446744073709551615';

/** MySQL closes a session that has been idle for so long: its worker is gone. */
const WAIT_TIMEOUT_SECONDS = 600;

/** A session whose statements are fragments. One a piece of work: it is never reconnected inside an activity. */
export class Session {
  private constructor(
    readonly connection: Connection,
    readonly threadId: number,
    readonly waitTimeoutSeconds: number,
    /** empty where it was opened without one */
    readonly schema: string,
    readonly batches: boolean,
  ) {}

  /**
   * Opens a session with everything pinned that changes what a statement means, or whether it is committed or cut short,
   * whatever the server's defaults are: time zone, SQL mode, character set, commits, limits, isolation (READ COMMITTED, in which INSERT … SELECT reads live without locks), and the age of
   * statistics, which MySQL keeps for a day: an estimate that old is none. Its writes are silent for capture
   * unless `logged` is asked for: such a session writes as a client does, whose foreign keys MySQL checks.
   */
  static async open(
    address: MysqlAddress,
    options: {
      logged?: boolean;
      localInfile?: boolean;
      /** `runAll` and `rowsOfAll` send several statements at once: a way to the server and back costs more than most statements */
      batches?: boolean;
      waitTimeoutSeconds?: number;
      database?: string | null;
    } = {},
  ): Promise<Session> {
    const settings: ConnectionOptions = {
      host: address.host,
      port: address.port,
      user: address.user,
      password: address.password,
      charset: 'utf8mb4_bin',
      supportBigNumbers: true,
      bigNumberStrings: true,
      dateStrings: true,
      multipleStatements: options.batches ?? false,
      connectTimeout: 10_000,
      // a server that is gone without a word is noticed, where nothing is being sent, after some 20 s
      enableKeepAlive: true,
      keepAliveInitialDelay: 10_000,
      // The server names the file of LOAD DATA LOCAL: the capability is off wherever it is not needed.
      flags: options.localInfile ? [] : ['-LOCAL_FILES'],
    };
    if (options.database !== null) settings.database = options.database ?? address.database;
    if (address.ssl) settings.ssl = address.ssl;
    let connection: Connection;
    try {
      connection = await mysql.createConnection(settings);
    } catch (error) {
      throw unreachable(address, error);
    }
    connection.on('error', () => {}); // the next statement reports it
    const waitTimeoutSeconds = options.waitTimeoutSeconds ?? WAIT_TIMEOUT_SECONDS;
    const session = new Session(
      connection,
      connection.threadId ?? 0,
      waitTimeoutSeconds,
      settings.database ?? '',
      options.batches ?? false,
    );
    // What live holds is carried as it is: a 31 February of an older SQL mode, and the NULL that a generated column has where it
    // divides by zero. New values come by the other sessions.
    const carries = !options.logged && !options.localInfile;
    try {
      await connection.query(
        `SET SESSION time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION,${carries ? 'ALLOW_INVALID_DATES' : 'ERROR_FOR_DIVISION_BY_ZERO'}', transaction_isolation = 'READ-COMMITTED', lock_wait_timeout = 60, innodb_lock_wait_timeout = 50, foreign_key_checks = ${options.logged ? 1 : 0}, autocommit = 1, completion_type = 'NO_CHAIN', sql_safe_updates = 0, sql_select_limit = ${NO_LIMIT}, max_join_size = ${NO_LIMIT}, sql_big_selects = 1, sql_quote_show_create = 1, max_execution_time = 0, information_schema_stats_expiry = 0, wait_timeout = ${waitTimeoutSeconds}`,
      );
      if (!options.logged) await connection.query('SET @stageswap_silent = 1');
      // LOAD DATA LOCAL waits for the source; MySQL's default gives up after 30 s
      if (options.localInfile) await connection.query('SET SESSION net_read_timeout = 300');
      return session;
    } catch (error) {
      const refused = await unsuitable(connection, error);
      connection.destroy();
      throw refused;
    }
  }

  /** Runs a statement and returns its rows, every value as text or null. */
  async rows<R = Row>(statement: Fragment): Promise<R[]> {
    const [rows] = await this.connection.query(statement.text, statement.values);
    return rows as R[];
  }

  /** Runs a statement that returns no rows. @returns the rows it affected */
  async run(statement: Fragment): Promise<number> {
    const [result] = await this.connection.query(statement.text, statement.values);
    return (result as { affectedRows?: number }).affectedRows ?? 0;
  }

  /** Runs statements one after another; none follows one that fails. @returns the rows that each affected */
  async runAll(statements: Fragment[]): Promise<number[]> {
    if (this.batches) {
      const results = await this.#atOnce(statements);
      return results.map((result) => (result as { affectedRows?: number }).affectedRows ?? 0);
    }
    const counts: number[] = [];
    for (const statement of statements) counts.push(await this.run(statement));
    return counts;
  }

  /** The same of statements that return rows. */
  async rowsOfAll<R = Row>(statements: Fragment[]): Promise<R[][]> {
    if (this.batches) return (await this.#atOnce(statements)) as R[][];
    const found: R[][] = [];
    for (const statement of statements) found.push(await this.rows<R>(statement));
    return found;
  }

  async #atOnce(statements: Fragment[]): Promise<unknown[]> {
    const results: unknown[] = [];
    for (const batch of batchesOf(statements)) {
      const { text, values } = join(batch, '; ');
      const [result] = await this.connection.query(text, values);
      results.push(...(batch.length === 1 ? [result] : (result as unknown[])));
    }
    return results;
  }

  /** Runs a statement that returns rows, each value as the bytes that MySQL keeps, in whatever character set. */
  async bytes(statement: Fragment): Promise<Record<string, Buffer | null>[]> {
    await this.connection.query('SET SESSION character_set_results = NULL');
    try {
      const [rows] = await this.connection.query({
        sql: statement.text,
        values: statement.values,
        typeCast: (field) => field.buffer(),
      });
      return rows as Record<string, Buffer | null>[];
    } finally {
      await this.connection.query('SET SESSION character_set_results = utf8mb4');
    }
  }

  /**
   * Runs a statement as another client would have sent it, with its SQL mode, character set and collation.
   *
   * @param statement a letter for each byte
   */
  async runAsClient(
    statement: string,
    client: { sqlMode: string; clientCharset: string; collation: string },
  ): Promise<void> {
    const names = ['sql_mode', 'character_set_client', 'collation_connection'] as const;
    const tracked = 'session_track_system_variables';
    const [pinned] = await this.rows<Record<(typeof names)[number] | typeof tracked, string>>(
      sql`SELECT ${join([...names, tracked].map((name) => sql`${raw(`@@SESSION.${name}`)} AS ${id(name)}`))}`,
    );
    if (!pinned) throw new Error('the session does not say how it is set');
    const set = (name: string, value: string) =>
      this.connection.query(`SET SESSION ${name} = ${mysql.escape(value)}`);
    try {
      // mysql2 encodes as the server last told it to: bytes as they are, of which it must not hear more
      await set(tracked, 'character_set_client');
      await set('character_set_client', 'binary');
      await set(tracked, '');
      await set('character_set_client', client.clientCharset);
      await set('collation_connection', client.collation);
      await set('sql_mode', client.sqlMode);
      await this.connection.query(statement);
    } finally {
      await set(tracked, 'character_set_client');
      for (const name of names) await set(name, pinned[name]);
      await set(tracked, pinned[tracked]);
    }
  }

  /** One transaction: committed if `work` returns, rolled back if it throws. Not for use under LOCK TABLES. */
  async transaction<T>(work: () => Promise<T>): Promise<T> {
    await this.connection.query('START TRANSACTION');
    try {
      const result = await work();
      await this.connection.query('COMMIT');
      return result;
    } catch (error) {
      await this.connection.query('ROLLBACK').catch(() => {});
      throw error;
    }
  }

  /**
   * Does work for which this session waits, such as reading the source, and keeps MySQL from closing it as idle. Not for a
   * session that holds locks on live: they must not outlive its worker.
   */
  async keptAlive<T>(work: () => Promise<T>): Promise<T> {
    let asked: Promise<unknown> | undefined;
    const ask = () => {
      // behind a statement that runs it waits, and one that waits is enough
      asked ??= this.connection
        .query('DO 0')
        .catch(() => {}) // the next statement reports it
        .finally(() => {
          asked = undefined;
        });
    };
    const timer = setInterval(ask, (this.waitTimeoutSeconds * 1_000) / 4);
    try {
      return await work();
    } finally {
      clearInterval(timer);
      await asked;
    }
  }

  async close(): Promise<void> {
    await this.connection.end().catch(() => this.connection.destroy());
  }
  destroy(): void {
    this.connection.destroy();
  }
}

/** A server takes packets of a limited size: statements of wide tables are long. */
const BATCH_CHARACTERS_MAX = 200_000;

function batchesOf(statements: Fragment[]): Fragment[][] {
  const batches: Fragment[][] = [];
  let characters = Number.POSITIVE_INFINITY;
  for (const statement of statements) {
    characters += statement.text.length;
    if (characters > BATCH_CHARACTERS_MAX) {
      batches.push([]);
      characters = statement.text.length;
    }
    batches.at(-1)?.push(statement);
  }
  return batches;
}

/** Opens a session, does the work, closes it. */
export async function withSession<T>(
  address: MysqlAddress,
  work: (session: Session) => Promise<T>,
  options: Parameters<typeof Session.open>[1] = {},
): Promise<T> {
  const session = await Session.open(address, options);
  try {
    return await work(session);
  } finally {
    await session.close();
  }
}

const UNKNOWN_VARIABLE = 1193;

/** A server that does not know what a session must pin is no MySQL that stageswap can work with: told by its version. */
async function unsuitable(connection: Connection, error: unknown): Promise<unknown> {
  if (errorNumber(error) !== UNKNOWN_VARIABLE) return error;
  const [rows] = await connection.query('SELECT VERSION() AS version');
  const version = (rows as { version: string }[])[0]?.version;
  return new StageswapError(
    'Refused',
    `target: ${/mariadb/i.test(String(version)) ? 'MariaDB' : 'MySQL'} ${version} is not supported. Cure: use MySQL 8.0.13 or later.`,
    { cause: error },
  );
}

/** OpenSSL's words for a certificate that it does not take, and mysql2's for a server without TLS. */
const TLS_REFUSED =
  /CERT_|_CERT|self[- ]signed|certificate|altnames|HANDSHAKE_NO_SSL_SUPPORT|HANDSHAKE_SSL_ERROR|UNABLE_TO_VERIFY/i;
const REFUSED_LOGIN = new Set([1044, 1045, 1049, 1698]);

function unreachable(address: MysqlAddress, error: unknown): Error {
  const message = error instanceof Error ? error.message : String(error);
  const number = errorNumber(error);
  if (number !== undefined && REFUSED_LOGIN.has(number)) {
    return new StageswapError(
      'Refused',
      `MySQL at ${address.host}:${address.port} refuses the login: ${message}. Check user, password and schema in the target's address, as ${thisProcess()} has it.`,
      { cause: error },
    );
  }
  if (TLS_REFUSED.test(`${(error as { code?: string }).code} ${message}`)) {
    return new StageswapError(
      'Refused',
      `MySQL at ${address.host}:${address.port} is not trusted: ${message}. Name the file of its authority in the target's address by ssl=, and its host as in its certificate; verifyIdentity=false checks the authority alone.`,
      { cause: error },
    );
  }
  return new StageswapError(
    'Unreachable',
    `MySQL at ${address.host}:${address.port} does not answer: ${message || (error as { code?: string }).code}. Start it, or correct the target's address.`,
    { cause: error },
  );
}
