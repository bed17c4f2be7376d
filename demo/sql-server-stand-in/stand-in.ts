/** The server's state: one DuckDB instance, its databases and the sessions. */
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { Catalogue, copyTables, type Database, quote, type Table } from './catalogue.js';
import { SqlError } from './errors.js';
import type { Session } from './session.js';
import { columnSql } from './tsql/table-parts.js';

export interface StandInOptions {
  readonly port: number;
  readonly user: string;
  readonly password: string;
  /** Databases to make at the start, next to master. */
  readonly databases: readonly string[];
  /** Refuse CREATE DATABASE … AS SNAPSHOT OF, as an engine without them does. */
  readonly noDatabaseSnapshots: boolean;
}

export class StandIn {
  readonly catalogue = new Catalogue();
  readonly sessions = new Set<Session>();

  private constructor(
    readonly options: StandInOptions,
    readonly instance: DuckDBInstance,
    private readonly own: DuckDBConnection,
  ) {}

  static async create(options: StandInOptions): Promise<StandIn> {
    const instance = await DuckDBInstance.create(':memory:', {
      integer_division: 'true',
      default_null_order: 'NULLS_FIRST_ON_ASC_LAST_ON_DESC',
      autoinstall_known_extensions: 'false',
    });
    const standIn = new StandIn(options, instance, await instance.connect());
    for (const name of ['master', ...options.databases]) await standIn.createDatabase(name);
    return standIn;
  }

  async createDatabase(name: string): Promise<Database> {
    if (this.catalogue.find(name)) throw databaseExists(name);
    await this.#attach(name);
    return this.catalogue.add(name);
  }

  async #attach(name: string): Promise<void> {
    await this.own.run(`ATTACH ':memory:' AS ${quote(name)}`);
    await this.own.run(`CREATE SCHEMA ${quote(name)}.dbo`);
  }

  /** A copy of all committed data as of one moment; in the new database nobody can write. */
  async createSnapshot(name: string, sourceName: string): Promise<void> {
    const source = this.catalogue.find(sourceName);
    if (!source)
      throw new SqlError(
        911,
        16,
        1,
        `Database '${sourceName}' does not exist. Make sure that the name is entered correctly.`,
      );
    if (this.options.noDatabaseSnapshots) {
      throw new SqlError(
        1844,
        16,
        1,
        'CREATE DATABASE AS SNAPSHOT is not supported on this edition of SQL Server.',
      );
    }
    if (this.catalogue.find(name)) throw databaseExists(name);
    if (source.source)
      throw new SqlError(
        1821,
        16,
        1,
        `Cannot create a database snapshot on another database snapshot. (${sourceName})`,
      );
    if (source.name === 'master')
      throw new SqlError(1822, 16, 1, 'The database must be a user database to have a database snapshot.');
    const copy = copyTables(source.tables);
    const connection = await this.instance.connect();
    await connection.run(`ATTACH ':memory:' AS ${quote(name)}`);
    try {
      await connection.run('BEGIN TRANSACTION');
      for (const schema of source.schemas.values()) {
        if (schema.id === 1 || schema.id > 4)
          await connection.run(`CREATE SCHEMA ${quote(name)}.${quote(schema.name)}`);
      }
      const tables = new Map<string, Table>();
      for (const [key, table] of copy) {
        const stored = `${quote(name)}.${quote(table.schema)}.${quote(table.name)}`;
        const columns = table.columns.map((column) => `${quote(column.name)} ${columnSql(column)}`);
        await connection.run(`CREATE TABLE ${stored} (${columns.join(', ')})`);
        await connection.run(`INSERT INTO ${stored} SELECT * FROM ${table.stored}`);
        tables.set(key, { ...table, stored });
      }
      await connection.run('COMMIT');
      this.catalogue.add(name, source).tables = tables;
    } catch (error) {
      await connection.run('ROLLBACK').catch(() => {});
      await connection.run(`DETACH ${quote(name)}`).catch(() => {});
      throw error;
    } finally {
      connection.closeSync();
    }
  }

  async dropDatabase(name: string, options: { ifExists: boolean; by: Session }): Promise<void> {
    const database = this.catalogue.find(name);
    if (!database) {
      if (options.ifExists) return;
      throw new SqlError(
        3701,
        11,
        1,
        `Cannot drop the database '${name}', because it does not exist or you do not have permission.`,
      );
    }
    if (database.name === 'master')
      throw new SqlError(3708, 16, 1, "Cannot drop the database 'master' because it is a system database.");
    for (const one of this.catalogue.databases.values()) {
      if (one.source === database)
        throw new SqlError(
          3709,
          16,
          2,
          `Cannot drop the database while the database snapshot "${one.name}" refers to it. Drop that database first.`,
        );
    }
    for (const session of this.sessions) {
      if (session.database === database)
        throw new SqlError(3702, 16, 3, `Cannot drop database "${name}" because it is currently in use.`);
    }
    await this.own.run(`DETACH ${quote(database.name)}`);
    this.catalogue.databases.delete(name.toLowerCase());
  }

  close(): void {
    this.own.closeSync();
    this.instance.closeSync();
  }
}

const databaseExists = (name: string): SqlError =>
  new SqlError(1801, 16, 3, `Database '${name}' already exists. Choose a different database name.`);
