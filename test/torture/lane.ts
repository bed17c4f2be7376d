import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, Connection as TemporalConnection } from '@temporalio/client';
import mssql from 'mssql';
import mysql, { type Connection } from 'mysql2/promise';
import { type MySqlEngine, startMySql } from '../../demo/engines/mysql.js';
import { startTemporal, type TemporalEngine } from '../../demo/engines/temporal.js';
import { TcpProxy } from '../support/proxy.js';
import { FailPoints } from './fail-points.js';
import { configurationOf, type Shape } from './shape.js';
import { Workers } from './workers.js';

export const PIPELINE = 'torture';
export const SCHEMA = 'stageswap_test_torture';
/** Of every statement the binary log keeps the text; small, since several servers share a machine. */
const MYSQL_SETTINGS = [
  'binlog-rows-query-log-events=ON',
  'innodb-buffer-pool-size=64M',
  'loose-innodb-redo-log-capacity=64M',
  'max-connections=150',
];

/** One place where runs are tortured, one after the other: engines of its own, which may be killed, and two workers. */
export class Lane {
  readonly points = new FailPoints();
  readonly #folder = mkdtempSync(join(tmpdir(), 'ssw-torture-'));
  #workers: Workers | undefined;
  #campaign: number | undefined;

  private constructor(
    readonly product: string,
    readonly mysql: MySqlEngine,
    readonly temporal: TemporalEngine,
    readonly target: TcpProxy,
    readonly source: TcpProxy,
    readonly pool: mssql.ConnectionPool,
    readonly sourceUrl: string,
    readonly client: Client,
  ) {}

  /**
   * @param sourceUrl of the SQL Server, whose database is this lane's alone
   * @param product   folder of the product: its own, or a copy
   */
  static async open(sourceUrl: string, product: string): Promise<Lane> {
    const [mysqlEngine, temporal] = await Promise.all([
      startMySql(() => {}, { owned: true, settings: MYSQL_SETTINGS }),
      startTemporal(() => {}, { owned: true }),
    ]);
    const url = new URL(sourceUrl);
    const database = url.pathname.slice(1);
    const pool = await new mssql.ConnectionPool({
      server: url.hostname,
      port: Number(url.port),
      user: url.username,
      password: url.password,
      database,
      options: { encrypt: false, trustServerCertificate: true, useUTC: true },
    }).connect();
    await pool.request().batch(`ALTER DATABASE [${database}] SET ALLOW_SNAPSHOT_ISOLATION ON`);
    const connection = await TemporalConnection.connect({ address: temporal.address });
    return new Lane(
      product,
      mysqlEngine,
      temporal,
      await TcpProxy.before(mysqlEngine.url),
      await TcpProxy.before(sourceUrl),
      pool,
      sourceUrl,
      new Client({ connection }),
    );
  }

  /** live's schema, by the clients' own way */
  get url(): string {
    const url = new URL(this.mysql.url);
    url.pathname = `/${SCHEMA}`;
    return url.href;
  }

  get workers(): Workers {
    if (!this.#workers) throw new Error('the lane has no campaign yet');
    return this.#workers;
  }

  /** Makes the lane ready for a campaign's seeds: workers with its configuration. */
  async prepare(campaign: number, shape: Shape): Promise<void> {
    if (this.#campaign === campaign) return;
    await this.#workers?.end();
    const file = join(this.#folder, 'stageswap.yaml');
    writeFileSync(file, configurationOf(shape, PIPELINE));
    this.#campaign = campaign;
    this.#workers = new Workers({
      product: this.product,
      file,
      environment: {
        MYSQL_URL: this.target.through(this.url),
        MSSQL_URL: this.source.through(this.sourceUrl),
        TEMPORAL_ADDRESS: this.temporal.address,
        TEMPORAL_NAMESPACE: 'default',
      },
      points: this.points,
    });
  }

  /** A fresh schema with live's tables. @returns a connection to it */
  async fresh(definitions: string[]): Promise<Connection> {
    const server = await mysql.createConnection(this.mysql.url);
    await server.query(`DROP DATABASE IF EXISTS ${SCHEMA}`);
    await server.query(`CREATE DATABASE ${SCHEMA} CHARACTER SET utf8mb4`);
    await server.query('PURGE BINARY LOGS BEFORE NOW()');
    await server.query(`USE ${SCHEMA}`);
    for (const definition of definitions) await server.query(definition);
    await server.end();
    return this.connect();
  }

  /** A connection by the clients' way that waits for a server that starts. */
  async connect(): Promise<Connection> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        const connection = await mysql.createConnection({
          uri: this.url,
          charset: 'utf8mb4',
          dateStrings: true,
          supportBigNumbers: true,
          bigNumberStrings: true,
        });
        connection.on('error', () => {}); // the next statement reports it
        return connection;
      } catch (error) {
        if (attempt > 200) throw error;
        await sleep(100);
      }
    }
  }

  async close(): Promise<void> {
    await this.#workers?.end();
    await this.pool.close();
    await this.client.connection.close();
    await Promise.all([this.target.end(), this.source.end()]);
    await Promise.all([this.mysql.stop(), this.temporal.stop()]);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
