import mssql from 'mssql';
import { type MssqlAddress, thisProcess } from '../config/address.js';
import { StageswapError } from '../model/failures.js';

/** What requests are made on: connections to one database of the source. */
export type SourcePool = mssql.ConnectionPool;

const REFUSED_LOGIN = new Set(['ELOGIN']);
/** What OpenSSL and Node say of a certificate that they do not accept; the driver passes it on as text. */
const TLS_REFUSED = /certificate|altnames/i;

/**
 * Bytes of a packet, as they are asked for; a server may grant less. Where a packet ends inside a row the driver begins that row
 * again: with its own 4,096 bytes that is every twentieth row. An encrypted connection has 16,383 at most.
 *
 * @see SQL Server documentation, Configure the network packet size
 */
const PACKET_BYTES = 16_000;

/** What differs between the pools of a run. */
interface ConnectionOptions {
  database?: string;
  connectionsMax?: number;
  /** milliseconds after which a server that does not let us in is given up */
  connectMsMax?: number;
  /** told of each connection that is being made */
  connecting?: (connection: DriverConnection) => void;
}

type DriverConnection = Parameters<NonNullable<mssql.config['beforeConnect']>>[0];

/** What the driver is told of an address. */
export function settingsOf(
  address: MssqlAddress,
  {
    database = address.database,
    connectionsMax = 2,
    connectMsMax = 15_000,
    connecting,
  }: ConnectionOptions = {},
): mssql.config {
  return {
    server: address.host,
    port: address.port,
    user: address.user,
    password: address.password,
    database,
    connectionTimeout: connectMsMax,
    requestTimeout: 0,
    pool: { max: connectionsMax, min: 0 },
    ...(connecting ? { beforeConnect: connecting } : {}),
    options: {
      encrypt: address.encrypt,
      trustServerCertificate: address.trustServerCertificate,
      readOnlyIntent: address.readOnlyIntent ?? false,
      useUTC: true,
      packetSize: PACKET_BYTES,
      appName: 'stageswap',
    },
  };
}

/**
 * Opens a pool on one database of the source. Bulk reads have no timeout of their own (requestTimeout 0): the activity's
 * heartbeat watches them. Dates are read as UTC. In a deadlock it is us whom the source should choose to end.
 */
export async function openSource(
  address: MssqlAddress,
  options: ConnectionOptions = {},
): Promise<mssql.ConnectionPool> {
  const pool = new mssql.ConnectionPool(settingsOf(address, options));
  pool.on('error', () => {}); // the next request reports it
  try {
    await pool.connect();
    await giveWayInDeadlocks(pool);
    return pool;
  } catch (error) {
    const message = sentence(error instanceof Error ? error.message : String(error));
    if (REFUSED_LOGIN.has((error as { code?: string }).code ?? '')) {
      throw new StageswapError(
        'Refused',
        `SQL Server at ${address.host}:${address.port} refuses the login: ${message} Check user, password and database in the source's address, as ${thisProcess()} has it.`,
        { cause: error },
      );
    }
    if (address.encrypt && TLS_REFUSED.test(message)) {
      throw new StageswapError(
        'Refused',
        `SQL Server at ${address.host}:${address.port} is not trusted: ${message} Name the file of its authority by NODE_EXTRA_CA_CERTS where the worker and the command line are started, and its host as in its certificate; trustServerCertificate=true in the source's address checks nothing.`,
        { cause: error },
      );
    }
    // a server that is asked for TLS and has none hangs up
    const hungUp = address.encrypt && /socket hang up|ECONNRESET/i.test(message);
    throw new StageswapError(
      'Unreachable',
      `SQL Server at ${address.host}:${address.port} does not answer: ${message} Start it, or correct the source's address${hungUp ? '; if it speaks no TLS, write encrypt=false into it' : ''}.`,
      { cause: error },
    );
  }
}

/** A message as a sentence: the driver ends some with a full stop, and others not. */
export function sentence(text: string): string {
  return /[.!?]$/.test(text.trim()) ? text.trim() : `${text.trim()}.`;
}

/** An engine that does not know the statement is read all the same: reading takes hardly a lock. */
async function giveWayInDeadlocks(pool: mssql.ConnectionPool): Promise<void> {
  try {
    await pool.request().batch('SET DEADLOCK_PRIORITY LOW');
  } catch (error) {
    if (isPassing(error)) throw error;
  }
}

/**
 * A request that was cancelled waits five seconds for the server's word; then the driver closes its connection. What lasts longer has
 * nothing that cancels it: connecting, asking whether an idle connection still stands, making a database snapshot.
 */
const HANGS_AFTER_MS = 7_000;
/** Of connections that are closed, whatever was asked on them ends at once, and who asked has so long to notice. */
const NOTICED_AFTER_MS = 2_000;

/**
 * Opens a pool, does the work, closes it.
 *
 * @param signal the work should end then, and is waited for; where it has not after some seconds, as at a source that neither answers
 *   nor hangs up, we hang up
 * @throws the signal's reason, where that kept the work from being done
 */
export async function withSource<T>(
  address: MssqlAddress,
  work: (pool: mssql.ConnectionPool) => Promise<T>,
  { signal, ...options }: ConnectionOptions & { signal?: AbortSignal | undefined } = {},
): Promise<T> {
  const line = new Line();
  const working = async () => {
    const pool = await openSource(address, { ...options, connecting: (connection) => line.add(connection) });
    try {
      signal?.throwIfAborted();
      return await work(pool);
    } finally {
      await pool.close().catch(() => {});
    }
  };
  return signal ? line.hungUpAfter(signal, working()) : working();
}

/** One that is still being made would be there all the same, and nobody's: it is closed once it is. */
function close(connection: DriverConnection): void {
  connection.once('connect', () => connection.close());
  connection.close();
}

/** The connections of a pool, to hang up on all of them: the driver has no such call. */
class Line {
  readonly #connections = new Set<DriverConnection>();
  #isHungUp = false;

  add(connection: DriverConnection): void {
    this.#connections.add(connection);
    connection.once('end', () => this.#connections.delete(connection));
    if (this.#isHungUp) close(connection);
  }

  #hangUp(): void {
    this.#isHungUp = true;
    for (const connection of this.#connections) close(connection);
  }

  /** The work's own end; where it has none some seconds after the signal, its connections are closed. */
  async hungUpAfter<T>(signal: AbortSignal, working: Promise<T>): Promise<T> {
    const timers: NodeJS.Timeout[] = [];
    let countDown = () => {};
    const isStuck = new Promise<never>((_, reject) => {
      countDown = () => {
        timers.push(
          setTimeout(() => this.#hangUp(), HANGS_AFTER_MS),
          setTimeout(() => reject(signal.reason), HANGS_AFTER_MS + NOTICED_AFTER_MS),
        );
      };
    });
    if (signal.aborted) countDown();
    else signal.addEventListener('abort', countDown, { once: true });
    try {
      return await Promise.race([working, isStuck]);
    } catch (error) {
      throw this.#isHungUp ? signal.reason : error;
    } finally {
      signal.removeEventListener('abort', countDown);
      for (const timer of timers) clearTimeout(timer);
    }
  }
}

/** Asks one thing that may take long. @param signal ends the asking; undefined: nothing does */
export async function askUntil(
  signal: AbortSignal | undefined,
  request: mssql.Request,
  query: string,
): Promise<mssql.IResult<unknown>> {
  signal?.throwIfAborted();
  const stop = () => request.cancel();
  signal?.addEventListener('abort', stop, { once: true });
  try {
    return await request.query(query);
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

/** A quoted T-SQL identifier. */
export function quoted(name: string): string {
  return `[${name.replaceAll(']', ']]')}]`;
}

/** SQL Server's error number, or undefined. */
export function errorNumber(error: unknown): number | undefined {
  const number = (error as { number?: unknown })?.number;
  return typeof number === 'number' ? number : undefined;
}

const CUT = new Set([
  'ESOCKET',
  'ECLOSE',
  'ECONNCLOSED',
  'ECONNRESET',
  'ETIMEOUT',
  'ENOTOPEN',
  'ENOCONN',
  'EPIPE',
]);
/** Deadlock victim, lock timeout. */
const PASSING = new Set([1205, 1222]);

/** Trouble that passes: a cut connection, a deadlock. Repeating may help. */
export function isPassing(error: unknown): boolean {
  const { code, name } = error as { code?: string; name?: string };
  const number = errorNumber(error);
  if (number !== undefined && PASSING.has(number)) return true;
  return name === 'ConnectionError' || (code !== undefined && CUT.has(code));
}
