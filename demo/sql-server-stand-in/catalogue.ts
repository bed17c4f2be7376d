/** What the server knows of its databases: the declared T-SQL definitions, which DuckDB's own catalogue cannot hold. */
import type { TsqlType } from './types.js';

export interface Column {
  readonly id: number;
  readonly name: string;
  readonly type: TsqlType;
  nullable: boolean;
  readonly identity: boolean;
  readonly computed: boolean;
  /** DuckDB's expression of a computed column. */
  readonly computedSql?: string;
  defaultSql: string | undefined;
  readonly collation?: string;
}

export interface Index {
  readonly name: string;
  readonly id: number;
  readonly unique: boolean;
  readonly primary: boolean;
  readonly constraint: boolean;
  readonly clustered: boolean;
  readonly filtered: boolean;
  readonly columns: readonly {
    readonly column: string;
    readonly descending: boolean;
    readonly included: boolean;
  }[];
}

export interface ForeignKey {
  readonly name: string;
  readonly objectId: number;
  readonly columns: readonly string[];
  readonly referencedSchema: string;
  readonly referencedTable: string;
  readonly referencedColumns: readonly string[];
}

export interface Table {
  readonly objectId: number;
  readonly schema: string;
  name: string;
  readonly columns: Column[];
  readonly indexes: Index[];
  readonly foreignKeys: ForeignKey[];
  /** Where DuckDB keeps it: quoted, complete. */
  readonly stored: string;
}

export interface Database {
  readonly id: number;
  readonly name: string;
  readonly source: Database | undefined;
  allowSnapshot: boolean;
  readCommittedSnapshot: boolean;
  readonly schemas: Map<string, { readonly id: number; readonly name: string }>;
  tables: Map<string, Table>;
  readonly file: string;
  readonly writer: WriterLock;
}

export const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`;
export const tableKey = (schema: string, name: string): string => `${schema}.${name}`.toLowerCase();

/** One writer at a time per database: DuckDB fails write conflicts at once, SQL Server makes them wait. */
export class WriterLock {
  #holder: object | undefined;
  readonly #waiting: { owner: object; grant: () => void }[] = [];

  heldBy(owner: object): boolean {
    return this.#holder === owner;
  }

  /** Resolves to false after timeoutMs (-1 waits for ever) or when `cancelled` is aborted. */
  acquire(owner: object, timeoutMs: number, cancelled: AbortSignal): Promise<boolean> {
    if (this.#holder === undefined || this.#holder === owner) {
      this.#holder = owner;
      return Promise.resolve(true);
    }
    if (timeoutMs === 0 || cancelled.aborted) return Promise.resolve(false);
    return new Promise((resolve) => {
      const settle = (granted: boolean): void => {
        clearTimeout(timer);
        cancelled.removeEventListener('abort', giveUp);
        resolve(granted);
      };
      const entry = { owner, grant: () => settle(true) };
      const giveUp = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(entry), 1);
        settle(false);
      };
      const timer = timeoutMs > 0 ? setTimeout(giveUp, timeoutMs) : undefined;
      cancelled.addEventListener('abort', giveUp);
      this.#waiting.push(entry);
    });
  }

  release(owner: object): void {
    if (this.#holder !== owner) return;
    const next = this.#waiting.shift();
    this.#holder = next?.owner;
    next?.grant();
  }
}

export class Catalogue {
  readonly databases = new Map<string, Database>();
  #nextDatabase = 1;
  #nextObject = 245575913;

  find(name: string): Database | undefined {
    return this.databases.get(name.toLowerCase());
  }

  /** Adds the record of a database; the caller has attached it to DuckDB under the same name. */
  add(name: string, source?: Database): Database {
    const schemas = new Map([
      ['dbo', { id: 1, name: 'dbo' }],
      ['guest', { id: 2, name: 'guest' }],
      ['information_schema', { id: 3, name: 'INFORMATION_SCHEMA' }],
      ['sys', { id: 4, name: 'sys' }],
    ]);
    const database: Database = {
      id: this.#nextDatabase++,
      name,
      source,
      allowSnapshot: source?.allowSnapshot ?? false,
      readCommittedSnapshot: source?.readCommittedSnapshot ?? false,
      schemas: source ? new Map(source.schemas) : schemas,
      tables: new Map(),
      file: `C:\\stand-in\\${name}.mdf`,
      writer: new WriterLock(),
    };
    if (name === 'master') for (let i = this.#nextDatabase; i < 5; i++) this.#nextDatabase++;
    this.databases.set(name.toLowerCase(), database);
    return database;
  }

  nextObjectId(): number {
    this.#nextObject += 16;
    return this.#nextObject;
  }
}

/** A copy deep enough to put back after ROLLBACK. */
export function copyTables(tables: ReadonlyMap<string, Table>): Map<string, Table> {
  const copy = new Map<string, Table>();
  for (const [key, table] of tables) {
    copy.set(key, {
      ...table,
      columns: table.columns.map((column) => ({ ...column })),
      indexes: [...table.indexes],
      foreignKeys: [...table.foreignKeys],
    });
  }
  return copy;
}
