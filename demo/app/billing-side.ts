import sql from 'mssql';
import type { Chinook } from './chinook.js';
import {
  assertDemoDatabase,
  batches,
  DEMO_TABLES,
  type Row,
  TABLES,
  type TableName,
  type Value,
} from './tables.js';

export const BILLING_DATABASE = 'stageswap_demo_billing';
const BATCH_ROWS = 20_000;

const DDL: Record<TableName, string> = {
  customer: `CREATE TABLE dbo.Customer (
    CustomerId int NOT NULL CONSTRAINT PK_Customer PRIMARY KEY,
    FirstName nvarchar(40) NOT NULL, LastName nvarchar(20) NOT NULL, Company nvarchar(80) NULL,
    Address nvarchar(70) NULL, City nvarchar(40) NULL, State nvarchar(40) NULL, Country nvarchar(40) NULL,
    PostalCode nvarchar(10) NULL, Phone nvarchar(24) NULL, Fax nvarchar(24) NULL, Email nvarchar(60) NOT NULL,
    SupportRepId int NULL, Balance decimal(18,4) NOT NULL, UpdatedAt datetime2(6) NOT NULL)`,
  invoice: `CREATE TABLE dbo.Invoice (
    InvoiceId bigint NOT NULL CONSTRAINT PK_Invoice PRIMARY KEY,
    CustomerId int NOT NULL CONSTRAINT FK_Invoice_Customer FOREIGN KEY REFERENCES dbo.Customer (CustomerId),
    InvoiceDate datetime NOT NULL, BillingAddress nvarchar(70) NULL, BillingCity nvarchar(40) NULL,
    BillingState nvarchar(40) NULL, BillingCountry nvarchar(40) NULL, BillingPostalCode nvarchar(10) NULL,
    Total decimal(10,2) NOT NULL, PurchaseOrder nvarchar(40) NULL, Status varchar(20) NOT NULL,
    UpdatedAt datetime2(6) NOT NULL)`,
  invoice_line: `CREATE TABLE dbo.InvoiceLine (
    InvoiceLineId bigint NOT NULL CONSTRAINT PK_InvoiceLine PRIMARY KEY,
    InvoiceId bigint NOT NULL CONSTRAINT FK_InvoiceLine_Invoice FOREIGN KEY REFERENCES dbo.Invoice (InvoiceId),
    TrackId int NOT NULL, UnitPrice decimal(10,2) NOT NULL, Quantity int NOT NULL,
    UpdatedAt datetime2(6) NOT NULL)`,
};

type Typed = [type: (() => sql.ISqlType) | sql.ISqlType, nullable: boolean];
const text = (characters: number, nullable = true): Typed => [sql.NVarChar(characters), nullable];
const TYPES: Record<TableName, Record<string, Typed>> = {
  customer: {
    CustomerId: [sql.Int, false],
    FirstName: text(40, false),
    LastName: text(20, false),
    Company: text(80),
    Address: text(70),
    City: text(40),
    State: text(40),
    Country: text(40),
    PostalCode: text(10),
    Phone: text(24),
    Fax: text(24),
    Email: text(60, false),
    SupportRepId: [sql.Int, true],
    Balance: [sql.Decimal(18, 4), false],
    UpdatedAt: [sql.DateTime2(6), false],
  },
  invoice: {
    InvoiceId: [sql.BigInt, false],
    CustomerId: [sql.Int, false],
    InvoiceDate: [sql.DateTime, false],
    BillingAddress: text(70),
    BillingCity: text(40),
    BillingState: text(40),
    BillingCountry: text(40),
    BillingPostalCode: text(10),
    Total: [sql.Decimal(10, 2), false],
    PurchaseOrder: text(40),
    Status: [sql.VarChar(20), false],
    UpdatedAt: [sql.DateTime2(6), false],
  },
  invoice_line: {
    InvoiceLineId: [sql.BigInt, false],
    InvoiceId: [sql.BigInt, false],
    TrackId: [sql.Int, false],
    UnitPrice: [sql.Decimal(10, 2), false],
    Quantity: [sql.Int, false],
    UpdatedAt: [sql.DateTime2(6), false],
  },
};

/** The billing system: a SQL Server database that the demo makes, fills and changes. */
export class BillingSide {
  private constructor(
    readonly pool: sql.ConnectionPool,
    readonly url: string,
    /** the address as given, to make and drop our database from */
    private readonly given: string,
  ) {}

  /** Makes an empty billing database with its three tables; tables of an earlier demo are dropped. */
  static async create(given: string): Promise<BillingSide> {
    const url = withDatabase(given, BILLING_DATABASE);
    const pool = await connect(url).catch(async () => {
      const server = await connect(
        databaseOf(given) === BILLING_DATABASE ? withDatabase(given, 'master') : given,
      );
      try {
        await server.batch(`CREATE DATABASE [${BILLING_DATABASE}]`);
      } finally {
        await server.close();
      }
      return connect(url);
    });
    try {
      const { recordset } = await pool.query<{ name: string }>(
        "SELECT TABLE_NAME AS name FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = 'dbo'",
      );
      const there = new Set(recordset.map(({ name }) => `dbo.${name}`));
      for (const table of [...TABLES].reverse()) {
        const { source } = DEMO_TABLES[table];
        if (there.has(source)) await pool.batch(`DROP TABLE ${source}`);
      }
      for (const table of TABLES) await pool.batch(DDL[table]);
      // Lets a reader see all tables as of one moment; what refuses it has another way to do so.
      await pool
        .batch(`ALTER DATABASE [${BILLING_DATABASE}] SET ALLOW_SNAPSHOT_ISOLATION ON`)
        .catch(() => {});
    } catch (error) {
      await pool.close();
      throw error;
    }
    return new BillingSide(pool, url, given);
  }

  async seed(data: Chinook, progress: (table: TableName, rows: number) => void): Promise<void> {
    for (const name of TABLES) {
      let rows = 0;
      for (const batch of batches(data.all(name), BATCH_ROWS)) {
        await this.#bulk(name, batch);
        rows += batch.length;
        progress(name, rows);
      }
    }
  }

  async #bulk(name: TableName, rows: Row[]): Promise<void> {
    const { source, columns } = DEMO_TABLES[name];
    const table = new sql.Table(source);
    table.create = false;
    for (const [column, [type, nullable]] of Object.entries(TYPES[name]))
      table.columns.add(column, type, { nullable });
    const from = Object.entries(columns);
    for (const row of rows) {
      table.rows.add(...from.map(([live, { from: column }]) => bulkValue(column, row[live] ?? null)));
    }
    const { rowsAffected } = await this.pool.request().bulk(table);
    if (rowsAffected !== rows.length)
      throw new Error(`${source}: ${rowsAffected} of ${rows.length} rows loaded`);
  }

  insert(name: TableName, rows: Row[]): Promise<void> {
    return this.#bulk(name, rows);
  }

  /** Sets the same values in rows with these keys. */
  async update(name: TableName, keys: number[], set: Row): Promise<void> {
    const { source, key, columns } = DEMO_TABLES[name];
    const request = this.pool.request();
    const assignments = Object.entries(set).map(([live, value], index) => {
      const column = columns[live]?.from ?? '';
      request.input(`p${index}`, TYPES[name][column]?.[0] ?? sql.NVarChar, bulkValue(column, value));
      return `${column} = @p${index}`;
    });
    const result = await request.query(
      `UPDATE ${source} SET ${assignments.join(', ')} WHERE ${columns[key]?.from} IN (${keys.join(', ')})`,
    );
    if (result.rowsAffected[0] !== keys.length) {
      throw new Error(`${source}: ${result.rowsAffected[0]} of ${keys.length} rows changed`);
    }
  }

  async delete(name: TableName, keys: number[]): Promise<void> {
    const { source, key, columns } = DEMO_TABLES[name];
    await this.pool
      .request()
      .query(`DELETE FROM ${source} WHERE ${columns[key]?.from} IN (${keys.join(', ')})`);
  }

  async close(): Promise<void> {
    await this.pool.close();
  }

  /** Drops the database that the demo made. */
  async drop(): Promise<void> {
    await this.pool.close();
    assertDemoDatabase(BILLING_DATABASE);
    const server = await connect(
      databaseOf(this.given) === BILLING_DATABASE ? withDatabase(this.given, 'master') : this.given,
    );
    try {
      await server.batch(`DROP DATABASE [${BILLING_DATABASE}]`);
    } finally {
      await server.close();
    }
  }
}

/** Text for MySQL as the driver wants it: decimals of at most 15 digits are exact as numbers, times are dates. */
function bulkValue(column: string, value: Value): string | number | Date | null {
  if (value === null) return null;
  if (column === 'Balance' || column === 'Total' || column === 'UnitPrice') return Number(value);
  if (column === 'UpdatedAt' || column === 'InvoiceDate') {
    const [day, time = '00:00:00'] = String(value).split(' ');
    const [seconds, fraction = ''] = time.split('.');
    const micros = fraction.padEnd(6, '0');
    const date = new Date(`${day}T${seconds}.${micros.slice(0, 3)}Z`);
    return Object.assign(date, { nanosecondDelta: Number(micros.slice(3)) / 1e6 });
  }
  return value;
}

function databaseOf(url: string): string {
  return decodeURIComponent(new URL(url).pathname.slice(1));
}

function withDatabase(given: string, name: string): string {
  const url = new URL(given);
  url.pathname = `/${name}`;
  return url.href;
}

async function connect(text: string): Promise<sql.ConnectionPool> {
  const url = new URL(text);
  return new sql.ConnectionPool({
    server: url.hostname,
    port: Number(url.port || 1433),
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    database: databaseOf(text),
    options: {
      encrypt: url.searchParams.get('encrypt') !== 'false',
      trustServerCertificate: url.searchParams.get('trustServerCertificate') === 'true',
    },
    requestTimeout: 300_000,
    pool: { max: 4 },
  }).connect();
}
