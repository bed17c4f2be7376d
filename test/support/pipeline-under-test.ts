import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import mssql from 'mssql';
import mysql, { type Connection, type RowDataPacket } from 'mysql2/promise';
import { parseMssqlAddress } from '../../src/config/address.js';
import { control, parsePhysicalName } from '../../src/model/names.js';
import type { Report } from '../../src/model/report.js';
import { Billing } from './billing.js';
import { ClientProgram, differences, readLive } from './client-program.js';
import { configurationOf, LIVE_TABLES, type Rows } from './invoice-app.js';
import { CLI, WorkerProcess } from './worker-process.js';

export interface PipelineOptions {
  /** also the schema's name after `stageswap_test_`, and, without hyphens, the prefix of the source's tables */
  name: string;
  /** without a schema */
  mysqlUrl: string;
  mssqlUrl: string;
  temporalAddress: string;
  namespace?: string;
  seed?: number;
  moment?: string;
  customers?: number;
  invoices?: number;
  /** the pipeline's way to an engine, where it is another than the test's and the clients' */
  through?: { mysql?: (url: string) => string; mssql?: (url: string) => string };
  chunkRows?: number;
  rowsPerSecondMax?: number;
  /** further keys of the configuration, as YAML */
  more?: string;
}

export interface Ended {
  exitCode: number | undefined;
  report: Report;
}

/**
 * One pipeline as an operator has it: a schema, a source, a configuration file, the command line, worker processes, and
 * a client program that edits all the while.
 */
export class PipelineUnderTest {
  readonly clients: ClientProgram;
  readonly billing: Billing;
  readonly environment: Record<string, string>;
  readonly #folder: string;
  readonly #workers = new Set<WorkerProcess>();
  readonly #schema: string;
  /** what the source said when live was last published, and before that */
  #published: Rows[] = [];

  private constructor(
    readonly options: PipelineOptions,
    source: mssql.ConnectionPool,
    readonly url: string,
  ) {
    const seed = options.seed ?? 1;
    const size = { customers: options.customers ?? 4_000, invoices: options.invoices ?? 16_000 };
    const prefix = `${options.name.replaceAll('-', '')}_`;
    this.#schema = new URL(url).pathname.slice(1);
    this.billing = new Billing(source, prefix, size, seed);
    this.clients = new ClientProgram({ url, seed, owns: this.billing.clientsOwn });
    this.#folder = mkdtempSync(join(tmpdir(), 'ssw-pipeline-'));
    const { moment = 'auto', chunkRows = 1_000, rowsPerSecondMax, through, more = '' } = options;
    writeFileSync(
      this.file,
      configurationOf(options.name, prefix, { moment, chunkRows, rowsPerSecondMax, more }),
    );
    this.environment = {
      MYSQL_URL: through?.mysql?.(url) ?? url,
      MSSQL_URL: through?.mssql?.(options.mssqlUrl) ?? options.mssqlUrl,
      TEMPORAL_ADDRESS: options.temporalAddress,
      TEMPORAL_NAMESPACE: options.namespace ?? 'default',
    };
  }

  /** Makes source and live; live is empty, and nothing was ever published. */
  static async create(options: PipelineOptions): Promise<PipelineUnderTest> {
    const address = parseMssqlAddress(options.mssqlUrl);
    const source = await new mssql.ConnectionPool({
      server: address.host,
      port: address.port,
      user: address.user,
      password: address.password,
      database: address.database,
      options: { encrypt: address.encrypt, trustServerCertificate: true, useUTC: true },
    }).connect();
    await source.request().batch(`ALTER DATABASE [${address.database}] SET ALLOW_SNAPSHOT_ISOLATION ON`);
    const url = new URL(options.mysqlUrl);
    const schema = `stageswap_test_${options.name.replaceAll('-', '_')}`;
    const server = await mysql.createConnection(url.href);
    await server.query(`DROP DATABASE IF EXISTS ${schema}`);
    await server.query(`CREATE DATABASE ${schema} CHARACTER SET utf8mb4`);
    await server.query(`USE ${schema}`);
    for (const table of LIVE_TABLES) await server.query(table);
    await server.end();
    url.pathname = `/${schema}`;
    const pipeline = new PipelineUnderTest(options, source, url.href);
    await pipeline.billing.create();
    return pipeline;
  }

  get file(): string {
    return join(this.#folder, 'stageswap.yaml');
  }

  /** @param rest further options of the command */
  startWorker(...rest: string[]): WorkerProcess {
    const worker = new WorkerProcess(this.file, this.environment, rest);
    this.#workers.add(worker);
    return worker;
  }

  /** Runs a command to its end. @throws {Error} it printed no JSON */
  async stageswap(...rest: string[]): Promise<Ended> {
    const done = await execa('node', [CLI, ...rest, '--config', this.file, '--json'], {
      env: this.environment,
      reject: false,
    });
    if (!done.stdout)
      throw new Error(`stageswap ${rest.join(' ')} ended with ${done.exitCode}: ${done.stderr}`);
    return { exitCode: done.exitCode, report: JSON.parse(done.stdout) as Report };
  }

  /** A connection to live's schema. */
  async connect(): Promise<Connection> {
    return mysql.createConnection({ uri: this.url, charset: 'utf8mb4' });
  }

  /** Remembers what was published, or that it was taken back. */
  wasPublished(source: Rows): void {
    this.#published.push(source);
  }
  wasRolledBack(): void {
    this.#published.pop();
  }

  /** Where live differs from what it must hold. Clients must be at rest, and so what they know is all there is. */
  async wrongInLive(): Promise<string[]> {
    const source = this.#published.at(-1) ?? { customer: new Map(), invoice: new Map() };
    const connection = await this.connect();
    try {
      return differences(this.clients.books.over(source), await readLive(connection));
    } finally {
      await connection.end();
    }
  }

  /** What a run left behind that no rollback needs: tables, triggers, database snapshots. */
  async leftovers(): Promise<string[]> {
    const connection = await this.connect();
    try {
      const left = await leftoversOf(connection, this.options.name);
      const snapshots = await this.billing.pool
        .request()
        .query('SELECT name FROM sys.databases WHERE database_id > 4');
      const ours = `_stageswap_${this.options.name}_`;
      const named = (snapshots.recordset as { name: string }[]).map(({ name }) => name);
      return [...left, ...named.filter((name) => name.includes(ours)).map((name) => `snapshot ${name}`)];
    } finally {
      await connection.end();
    }
  }

  async end(): Promise<void> {
    await this.clients.stop();
    await Promise.all([...this.#workers].map((worker) => worker.stop()));
    await this.billing.pool.close();
    rmSync(this.#folder, { recursive: true, force: true });
    const server = await mysql.createConnection(this.options.mysqlUrl);
    await server.query(`DROP DATABASE IF EXISTS ${this.#schema}`);
    await server.end();
  }
}

/** Base n and held h of the published generation and the one before, backups o, its first touches t, and one marker. */
async function leftoversOf(connection: Connection, pipeline: string): Promise<string[]> {
  const names = async (text: string) => {
    const [rows] = await connection.query<RowDataPacket[]>(text);
    return rows as { name: string; place?: string }[];
  };
  const tables = (
    await names(
      "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name LIKE '\\_ss%'",
    )
  ).map(({ name }) => name);
  const left: string[] = [];
  const markers = tables.filter((name) => name.startsWith('_ss_at_'));
  if (markers.length !== 1) left.push(`${markers.length} markers: ${markers.join(', ')}`);
  const at = Number(/^_ss_at_(\d+)_/.exec(markers[0] ?? '')?.[1] ?? 0);
  const [runs] = await connection.query<RowDataPacket[]>(
    `SELECT generation, JSON_VALUE(spec, '$.baseGeneration') AS base FROM ${control.run} WHERE pipeline = ? AND generation = ?`,
    [pipeline, at],
  );
  const base = Number(runs[0]?.base ?? 0);
  const generations = new Map<string, Set<number>>();
  for (const name of tables.filter((table) => !markers.includes(table))) {
    const parsed = parsePhysicalName(name);
    const known = parsed && { n: [at, base], h: [at, base], t: [at], o: undefined }[parsed.kind];
    if (parsed?.kind === 'o') {
      generations.set(parsed.live, (generations.get(parsed.live) ?? new Set()).add(parsed.generation));
    } else if (!known?.includes(parsed?.generation ?? -1)) left.push(`table ${name}`);
  }
  for (const [live, backups] of generations)
    if (backups.size > 1) left.push(`${backups.size} backups of ${live}`);
  for (const { name, place } of await names(
    "SELECT trigger_name AS name, event_object_table AS place FROM information_schema.triggers WHERE trigger_schema = DATABASE() AND trigger_name LIKE '\\_ss%'",
  )) {
    if (!new RegExp(`^_ss${at}t[iud]_${place}$`).test(name)) left.push(`trigger ${name} on ${place}`);
  }
  return left;
}
