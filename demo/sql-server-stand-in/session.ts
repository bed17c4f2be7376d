/** One client's session: its database, variables and transaction, with SQL Server's isolation over DuckDB's. */
import type { DuckDBConnection } from '@duckdb/node-api';
import { copyTables, type Database, type Table } from './catalogue.js';
import { catalogueView } from './catalogue-views.js';
import { SqlError, toSqlError } from './errors.js';
import type { StandIn } from './stand-in.js';
import type { Names, Variable } from './tsql/scope.js';
import { literal } from './tsql/translate.js';

export type Isolation =
  | 'read uncommitted'
  | 'read committed'
  | 'repeatable read'
  | 'serializable'
  | 'snapshot';

interface Transaction {
  readonly id: bigint;
  /** DuckDB's transaction is open: from the first read, or in READ COMMITTED from the first write. */
  open: boolean;
  /** A run-time error ended DuckDB's transaction: only ROLLBACK helps. */
  doomed: boolean;
  written: Database | undefined;
  readonly before: Map<Database, Map<string, Table>>;
}

let nextTransaction = 1n;

export class Session implements Names {
  isolation: Isolation = 'read committed';
  depth = 0;
  transaction: Transaction | undefined;
  noCount = false;
  lockTimeoutMs = -1;
  rowCount = 0n;
  identityInsert: string | undefined;
  lastIdentity: string | undefined;
  variables = new Map<string, Variable>();
  readonly temporary = new Map<string, Table>();
  cancel = new AbortController();
  database: Database;

  constructor(
    readonly standIn: StandIn,
    readonly connection: DuckDBConnection,
    readonly id: number,
    readonly user: string,
    readonly home: Database,
  ) {
    this.database = home;
  }

  findDatabase(name: string): Database | undefined {
    return this.standIn.catalogue.find(name);
  }
  findTemporary(name: string): Table | undefined {
    return this.temporary.get(name.toLowerCase());
  }
  variable(name: string): Variable | undefined {
    return this.variables.get(name.toLowerCase());
  }
  view(database: Database, schema: 'sys' | 'information_schema', name: string): string | undefined {
    return catalogueView(this.standIn.catalogue, database, schema, name);
  }

  ask(name: string, args: readonly string[]): string | undefined {
    const text = (arg: string | undefined): string | undefined =>
      /'((?:[^']|'')*)'/.exec(arg ?? '')?.[1]?.replaceAll("''", "'");
    const now = (): string => new Date().toISOString().slice(0, -1);
    const int = (value: number | bigint | undefined): string => `CAST(${value ?? 'NULL'} AS INTEGER)`;
    switch (name) {
      case '@@VERSION':
        return literal(
          'Microsoft SQL Server 2022 (stand-in over DuckDB, not SQL Server) - 16.0.1000.6 (X64)',
        );
      case '@@SPID':
        return `CAST(${this.id} AS SMALLINT)`;
      case '@@TRANCOUNT':
        return int(this.depth);
      case '@@ROWCOUNT':
        return int(this.rowCount);
      case 'ROWCOUNT_BIG':
        return `CAST(${this.rowCount} AS BIGINT)`;
      case '@@ERROR':
        return int(0);
      case '@@SERVERNAME':
        return literal('stand-in');
      case '@@LOCK_TIMEOUT':
        return int(this.lockTimeoutMs);
      case '@@MAX_PRECISION':
        return 'CAST(38 AS UTINYINT)';
      case 'XACT_STATE':
        return `CAST(${this.transaction === undefined ? 0 : this.transaction.doomed ? -1 : 1} AS SMALLINT)`;
      case '@@IDENTITY':
      case 'SCOPE_IDENTITY':
        return this.lastIdentity
          ? `CAST(currval('${this.lastIdentity.replaceAll("'", "''")}') AS DECIMAL(38,0))`
          : 'CAST(NULL AS DECIMAL(38,0))';
      case 'GETDATE':
      case 'CURRENT_TIMESTAMP':
      case 'GETUTCDATE':
        return `CAST('${now()}' AS TIMESTAMP_MS)`;
      case 'SYSDATETIME':
      case 'SYSUTCDATETIME':
        return `CAST('${now()}' AS TIMESTAMP)`;
      case 'SYSDATETIMEOFFSET':
        return `CAST('${now()}+00' AS TIMESTAMPTZ)`;
      case 'SERVERPROPERTY': {
        const known: Record<string, string> = {
          productversion: literal('16.0.1000.6'),
          edition: literal('Developer Edition (64-bit)'),
          engineedition: int(3),
          productmajorversion: literal('16'),
          productlevel: literal('RTM'),
          servername: literal('stand-in'),
          collation: literal('SQL_Latin1_General_CP1_CI_AS'),
          machinename: literal('stand-in'),
          isclustered: int(0),
          ishadrenabled: int(0),
        };
        return known[(text(args[0]) ?? '').toLowerCase()] ?? 'NULL';
      }
      case 'DB_NAME':
        if (args.length === 0) return literal(this.database.name);
        return `(SELECT name FROM ${this.view(this.database, 'sys', 'databases')} WHERE database_id = ${args[0]})`;
      case 'DB_ID':
        return args.length === 0
          ? int(this.database.id)
          : `(SELECT CAST(database_id AS SMALLINT) FROM ${this.view(this.database, 'sys', 'databases')} WHERE name = ${args[0]})`;
      case 'SCHEMA_NAME':
        return args.length === 0
          ? literal('dbo')
          : `(SELECT name FROM ${this.view(this.database, 'sys', 'schemas')} WHERE schema_id = ${args[0]})`;
      case 'SCHEMA_ID':
        return args.length === 0
          ? int(1)
          : `(SELECT schema_id FROM ${this.view(this.database, 'sys', 'schemas')} WHERE name = ${args[0]})`;
      case 'OBJECT_ID':
        return this.#objectId(text(args[0]) ?? '');
      case 'OBJECT_NAME':
        return `(SELECT name FROM ${this.view(this.database, 'sys', 'objects')} WHERE object_id = ${args[0]})`;
      case 'TYPE_NAME':
        return `(SELECT name FROM ${this.view(this.database, 'sys', 'types')} WHERE user_type_id = ${args[0]})`;
      case 'SUSER_SNAME':
      case 'SUSER_NAME':
      case 'ORIGINAL_LOGIN':
      case 'SYSTEM_USER':
        return literal(this.user);
      case 'USER_NAME':
      case 'CURRENT_USER':
      case 'SESSION_USER':
      case 'USER':
        return literal('dbo');
      case 'APP_NAME':
      case 'HOST_NAME':
        return literal('client');
      case 'IS_SRVROLEMEMBER':
      case 'IS_MEMBER':
      case 'IS_ROLEMEMBER':
      case 'HAS_PERMS_BY_NAME':
        return int(1);
      case 'DATABASEPROPERTYEX':
        return /collation/i.test(args[1] ?? '')
          ? literal('SQL_Latin1_General_CP1_CI_AS')
          : /updateability/i.test(args[1] ?? '')
            ? literal(this.database.source ? 'READ_ONLY' : 'READ_WRITE')
            : 'NULL';
      default:
        return undefined;
    }
  }

  #objectId(name: string): string {
    const parts = [...name.matchAll(/\[((?:[^\]]|\]\])*)\]|"([^"]*)"|([^.[\]"]+)|(?<=\.)(?=\.)/g)].map((m) =>
      (m[1] ?? m[2] ?? m[3] ?? '').replaceAll(']]', ']'),
    );
    const last = parts.at(-1) ?? '';
    if (last.startsWith('#')) return `CAST(${this.findTemporary(last)?.objectId ?? 'NULL'} AS INTEGER)`;
    const database = parts.length >= 3 ? this.findDatabase(parts.at(-3) ?? '') : this.database;
    const found = database?.tables.get(`${parts.at(-2) || 'dbo'}.${last}`.toLowerCase());
    return `CAST(${found?.objectId ?? 'NULL'} AS INTEGER)`;
  }

  begin(): bigint {
    this.depth++;
    this.transaction ??= {
      id: nextTransaction++,
      open: false,
      doomed: false,
      written: undefined,
      before: new Map(),
    };
    return this.transaction.id;
  }

  /** @throws {SqlError} 3902 without a transaction; 3930 where it can only be rolled back */
  async commit(): Promise<void> {
    const transaction = this.transaction;
    if (!transaction)
      throw new SqlError(
        3902,
        16,
        1,
        'The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION.',
      );
    if (transaction.doomed) throw doomed();
    if (--this.depth > 0) return;
    this.transaction = undefined;
    try {
      if (transaction.open) await this.connection.run('COMMIT');
    } catch (error) {
      await this.connection.run('ROLLBACK').catch(() => {});
      restore(transaction);
      throw toSqlError(error);
    } finally {
      transaction.written?.writer.release(this);
    }
  }

  async rollback(): Promise<void> {
    const transaction = this.transaction;
    if (!transaction)
      throw new SqlError(
        3903,
        16,
        1,
        'The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.',
      );
    this.depth = 0;
    this.transaction = undefined;
    if (transaction.open) await this.connection.run('ROLLBACK').catch(() => {});
    restore(transaction);
    transaction.written?.writer.release(this);
  }

  /** What a reset of the connection and its end do. */
  async reset(): Promise<void> {
    if (this.transaction) await this.rollback();
    for (const table of this.temporary.values())
      await this.connection.run(`DROP TABLE IF EXISTS ${table.stored}`).catch(() => {});
    this.temporary.clear();
    this.isolation = 'read committed';
    this.noCount = false;
    this.lockTimeoutMs = -1;
    this.identityInsert = undefined;
    this.database = this.home;
  }

  /**
   * Before a statement that reads these databases: opens DuckDB's transaction where the isolation level wants the reads of
   * a transaction to be of one moment. READ COMMITTED reads outside of it until it writes, so it sees what others commit.
   */
  async reading(databases: Iterable<Database>): Promise<void> {
    const list = [...databases];
    const transaction = this.transaction;
    if (transaction?.doomed) throw doomed();
    if (list.length === 0) return;
    if (this.isolation === 'snapshot') {
      for (const one of list) if (!one.allowSnapshot) throw snapshotNotAllowed(one);
    }
    if (
      !transaction ||
      transaction.open ||
      this.isolation === 'read committed' ||
      this.isolation === 'read uncommitted'
    )
      return;
    await this.connection.run('BEGIN TRANSACTION');
    transaction.open = true;
  }

  /** Runs `change` as the one writer of the database, in the session's transaction or in one of its own. */
  async writing<T>(database: Database | undefined, change: () => Promise<T>): Promise<T> {
    const transaction = this.transaction;
    if (transaction?.doomed) throw doomed();
    if (database && this.isolation === 'snapshot' && !database.allowSnapshot)
      throw snapshotNotAllowed(database);
    if (database && transaction?.written && transaction.written !== database) {
      throw new SqlError(102, 15, 1, 'stand-in: not supported: a transaction that writes two databases');
    }
    if (database && !database.writer.heldBy(this)) {
      const granted = await database.writer.acquire(this, this.lockTimeoutMs, this.cancel.signal);
      if (!granted) throw new SqlError(1222, 16, 51, 'Lock request time out period exceeded.');
      if (transaction) transaction.written = database;
    }
    if (transaction) {
      if (database && !transaction.before.has(database))
        transaction.before.set(database, copyTables(database.tables));
      if (!transaction.open) await this.connection.run('BEGIN TRANSACTION');
      transaction.open = true;
      return change();
    }
    await this.connection.run('BEGIN TRANSACTION');
    try {
      const result = await change();
      await this.connection.run('COMMIT');
      return result;
    } catch (error) {
      await this.connection.run('ROLLBACK').catch(() => {});
      throw error;
    } finally {
      database?.writer.release(this);
    }
  }

  /** A change is made and must not stay: DuckDB cannot take back one statement of a transaction. */
  doom(): void {
    if (this.transaction) this.transaction.doomed = true;
  }

  /** After an error that may have ended DuckDB's transaction: asks it, and remembers. */
  async failed(): Promise<void> {
    const transaction = this.transaction;
    if (!transaction?.open || transaction.doomed) return;
    try {
      await this.connection.run('SELECT 1');
    } catch {
      transaction.doomed = true;
    }
  }
}

function restore(transaction: Transaction): void {
  for (const [database, tables] of transaction.before) database.tables = tables;
}
const doomed = (): SqlError =>
  new SqlError(
    3930,
    16,
    1,
    'The current transaction cannot be committed and cannot support operations that write to the log file. Roll back the transaction.',
  );
const snapshotNotAllowed = (database: Database): SqlError =>
  new SqlError(
    3952,
    16,
    1,
    `Snapshot isolation transaction failed accessing database '${database.name}' because snapshot isolation is not allowed in this database. Use ALTER DATABASE to allow snapshot isolation.`,
  );
