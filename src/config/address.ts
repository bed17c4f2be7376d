import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { hostname } from 'node:os';

/** Where an engine is: parsed from an address such as mysql://user:password@host:port/schema. Messages never show a password. */

export interface MssqlAddress {
  host: string;
  port: number;
  user: string;
  password: string;
  database: string;
  /** TLS for everything after the login packet */
  encrypt: boolean;
  /** accepts a certificate that no known authority signed */
  trustServerCertificate: boolean;
  /** ApplicationIntent=ReadOnly: an availability group may answer by a readable secondary */
  readOnlyIntent?: boolean;
}

export interface MysqlAddress {
  host: string;
  port: number;
  user: string;
  password: string;
  /** MySQL's word for a database */
  database: string;
  /** absent: plain; else TLS as mysql2 takes it, certificate and host name checked unless something else was asked for */
  ssl?: { rejectUnauthorized: boolean; verifyIdentity?: boolean; ca?: string };
}

/** An address that cannot be used. The message holds neither password nor the address as given. */
export class AddressError extends Error {
  readonly cure: string;
  constructor(message: string, cure: string) {
    super(message);
    this.name = 'AddressError';
    this.cure = cure;
  }
}

/** Whose environment an address was read from: a worker's and an operator's shell may differ. */
export const thisProcess = () => `process ${process.pid} on ${hostname()}`;

const MSSQL_FORM = 'mssql://user:password@host:1433/database';
const MYSQL_FORM = 'mysql://user:password@host:3306/schema';

/**
 * Parses a SQL Server address.
 *
 * @param text mssql://user:password@host:port/database?encrypt=true&trustServerCertificate=false&applicationIntent=ReadOnly
 * @throws {AddressError} not of that form
 */
export function parseMssqlAddress(text: string): MssqlAddress {
  const url = parse(text, 'mssql', MSSQL_FORM);
  const options = optionsOf(url, ['encrypt', 'trustServerCertificate', 'applicationIntent']);
  return {
    ...partsOf(url, 1433, MSSQL_FORM),
    encrypt: flag(options, 'encrypt', true),
    trustServerCertificate: flag(options, 'trustServerCertificate', false),
    ...(isReadOnly(options.get('applicationIntent')) ? { readOnlyIntent: true } : {}),
  };
}

function isReadOnly(intent = 'ReadWrite'): boolean {
  if (!/^Read(Only|Write)$/i.test(intent))
    throw new AddressError(
      `applicationIntent=${intent} is not known`,
      'use applicationIntent=ReadOnly or applicationIntent=ReadWrite',
    );
  return /^ReadOnly$/i.test(intent);
}

/**
 * Parses a MySQL address. Without `ssl` a server on this machine is spoken to in the clear, any other by TLS.
 *
 * @param text mysql://user:password@host:port/schema?ssl=true|false|skip-verify|PATH-OF-CA&verifyIdentity=true|false
 * @throws {AddressError} not of that form
 */
export function parseMysqlAddress(text: string): MysqlAddress {
  const url = parse(text, 'mysql', MYSQL_FORM);
  const options = optionsOf(url, ['ssl', 'verifyIdentity']);
  const parts = partsOf(url, 3306, MYSQL_FORM);
  const ssl = options.get('ssl') ?? (isThisMachine(parts.host) ? 'false' : 'true');
  if (ssl === 'false') return parts;
  if (ssl === 'skip-verify') return { ...parts, ssl: { rejectUnauthorized: false } };
  const verifyIdentity = flag(options, 'verifyIdentity', true);
  if (verifyIdentity && isIP(parts.host) !== 0)
    throw new AddressError(
      'the address names an IP, and the name in a certificate can be checked for a host name only',
      'write the host name; or add verifyIdentity=false to check the authority alone, ssl=skip-verify to check nothing, or ssl=false to go without TLS',
    );
  if (ssl === 'true') return { ...parts, ssl: { rejectUnauthorized: true, verifyIdentity } };
  if (/[/\\]|\.pem$|\.crt$/.test(ssl))
    return { ...parts, ssl: { rejectUnauthorized: true, verifyIdentity, ca: readCa(ssl) } };
  throw new AddressError(
    `ssl=${ssl} is not known`,
    'use ssl=true, ssl=false, ssl=skip-verify or the path of a CA file',
  );
}

/** Whether a host, an IPv6 address without its brackets, is this machine: what goes there nobody else hears. */
export function isThisMachine(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

function readCa(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new AddressError(
      `the CA file ${file} cannot be read (${(error as NodeJS.ErrnoException).code})`,
      'name a readable PEM file in ssl=, or use ssl=true for the authorities of the system',
    );
  }
}

/** An address without its password, for messages and logs. Whatever cannot be parsed is hidden whole. */
export function redact(text: string): string {
  try {
    const url = new URL(text);
    if (!url.host) return '(address hidden)';
    const user = url.username === '' ? '' : `${url.username}${url.password === '' ? '' : ':***'}@`;
    return `${url.protocol}//${user}${url.host}${url.pathname}`;
  } catch {
    return '(address hidden)';
  }
}

function parse(text: string, scheme: string, form: string): URL {
  const found = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1];
  if (found?.toLowerCase() !== scheme) {
    const what = found ? `starts with ${found}://` : 'is not a URL';
    throw new AddressError(`the address ${what}, but must start with ${scheme}://`, `write it as ${form}`);
  }
  try {
    return new URL(text);
  } catch {
    throw new AddressError(
      `the ${scheme}:// address cannot be read`,
      `write it as ${form}; percent-encode the characters / ? # @ : % in user and password`,
    );
  }
}

function partsOf(url: URL, defaultPort: number, form: string) {
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  if (host === '') throw new AddressError('the address names no host', `write it as ${form}`);
  const user = decode(url.username, 'user');
  if (user === '') throw new AddressError('the address names no user', `write it as ${form}`);
  const path = url.pathname.replace(/^\//, '');
  const database = decode(path, 'database');
  if (database === '' || path.includes('/')) {
    throw new AddressError('the address names no database', `write it as ${form}`);
  }
  const port = url.port === '' ? defaultPort : Number(url.port);
  if (port < 1) throw new AddressError('port 0 cannot be connected to', `write the address as ${form}`);
  return { host: decode(host, 'host'), port, user, password: decode(url.password, 'password'), database };
}

function decode(text: string, part: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new AddressError(
      `the ${part} in the address has a % that starts no percent-encoding`,
      'write % as %25',
    );
  }
}

function optionsOf(url: URL, known: string[]): Map<string, string> {
  if (url.hash !== '') {
    throw new AddressError('the address holds a #', 'percent-encode a # in user or password as %23');
  }
  const options = new Map<string, string>();
  for (const [name, value] of url.searchParams) {
    // the name is not shown: with an unencoded ? in a password it would be part of it
    if (!known.includes(name)) {
      throw new AddressError(
        'the address has an option that is not known',
        `known options: ${known.join(', ')}; percent-encode a ? in user or password as %3F`,
      );
    }
    options.set(name, value);
  }
  return options;
}

function flag(options: Map<string, string>, name: string, whenAbsent: boolean): boolean {
  const value = options.get(name);
  if (value === undefined) return whenAbsent;
  if (value === 'true' || value === 'yes') return true;
  if (value === 'false' || value === 'no') return false;
  throw new AddressError(`${name} is neither true nor false`, `write ${name}=true or ${name}=false`);
}
