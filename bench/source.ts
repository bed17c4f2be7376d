import sql from 'mssql';
import { parseMssqlAddress } from '../src/config/address.js';
import { assertBenchDatabase, type BenchTable } from './tables.js';

export const SOURCE_DATABASE = 'stageswap_demo_bench';
const BATCH_ROWS = 20_000;

/** The billing side of the bench: a database of its own at the SQL Server, or at the stand-in for one. */
export class SourceSide {
  private constructor(
    readonly pool: sql.ConnectionPool,
    readonly url: string,
    private readonly given: string,
  ) {}

  static async create(given: string): Promise<SourceSide> {
    assertBenchDatabase(SOURCE_DATABASE);
    const url = withDatabase(given, SOURCE_DATABASE);
    const pool = await connect(url).catch(async () => {
      const server = await connect(withDatabase(given, 'master'));
      await server.batch(`CREATE DATABASE [${SOURCE_DATABASE}]`);
      await server.close();
      return connect(url);
    });
    // What refuses it has another way to be read as of one moment.
    await pool.batch(`ALTER DATABASE [${SOURCE_DATABASE}] SET ALLOW_SNAPSHOT_ISOLATION ON`).catch(() => {});
    return new SourceSide(pool, url, given);
  }

  /** Makes a table with its rows, in the place of one that was there before. */
  async fill(table: BenchTable, rows: number): Promise<void> {
    await this.define(
      table.source,
      table.columns.map(({ source, sourceType }) => `${source} ${sourceType} NOT NULL`),
      table.columns[0]?.source ?? '',
    );
    for (let from = 1; from <= rows; from += BATCH_ROWS) {
      const batch = new sql.Table(table.source);
      batch.create = false;
      for (const { source, sourceType } of table.columns)
        batch.columns.add(source, bulkType(sourceType), { nullable: false });
      for (let key = from; key < Math.min(from + BATCH_ROWS, rows + 1); key += 1) {
        batch.rows.add(
          ...table.row(key).map((text, index) => bulkValue(table.columns[index]?.sourceType ?? '', text)),
        );
      }
      await this.pool.request().bulk(batch);
    }
  }

  /** Makes a table without rows. */
  async define(name: string, columns: string[], key: string): Promise<void> {
    await this.drop(name);
    await this.pool.batch(
      `CREATE TABLE ${name} (${columns.join(', ')}, CONSTRAINT PK_${name.replace('dbo.', '')} PRIMARY KEY (${key}))`,
    );
  }

  async drop(name: string): Promise<void> {
    await this.pool.batch(`DROP TABLE IF EXISTS ${name}`);
  }

  /** Billing changes every tenth row. */
  async changeTenth(table: BenchTable): Promise<void> {
    const [key] = table.columns;
    const changed = table.columns.find(({ name }) => name === table.changed);
    await this.pool.batch(
      `UPDATE ${table.source} SET ${changed?.source} = ${changed?.source} + 1 WHERE ${key?.source} % 10 = 3`,
    );
  }

  async close(): Promise<void> {
    await this.pool.close();
    const server = await connect(withDatabase(this.given, 'master')).catch(() => undefined);
    await server?.batch(`DROP DATABASE [${SOURCE_DATABASE}]`).catch(() => {});
    await server?.close();
  }
}

function bulkType(type: string): (() => sql.ISqlType) | sql.ISqlType {
  const [, name = '', first] = /^(\w+)(?:\((\d+))?/.exec(type) ?? [];
  if (name === 'bigint') return sql.BigInt;
  if (name === 'int') return sql.Int;
  if (name === 'nvarchar') return sql.NVarChar(Number(first));
  if (name === 'varchar') return sql.VarChar(Number(first));
  if (name === 'decimal') return sql.Decimal(18, 4);
  if (name === 'date') return sql.Date;
  return sql.DateTime2(6);
}

/** As the driver wants a value: the bench's decimals are exact as numbers; a moment has its microseconds beside it. */
function bulkValue(type: string, text: string): string | number | Date {
  if (type.startsWith('decimal')) return Number(text);
  if (type === 'date') return new Date(`${text}T00:00:00Z`);
  if (!type.startsWith('datetime2')) return text;
  const micros = text.slice(20);
  const date = new Date(`${text.slice(0, 10)}T${text.slice(11, 19)}.${micros.slice(0, 3)}Z`);
  return Object.assign(date, { nanosecondDelta: Number(micros.slice(3)) / 1e6 });
}

function withDatabase(given: string, name: string): string {
  const url = new URL(given);
  url.pathname = `/${name}`;
  return url.href;
}

export async function connect(text: string): Promise<sql.ConnectionPool> {
  const { host, port, user, password, database, encrypt, trustServerCertificate } = parseMssqlAddress(text);
  return new sql.ConnectionPool({
    server: host,
    port,
    user,
    password,
    database,
    options: { encrypt, trustServerCertificate },
    requestTimeout: 0,
    pool: { max: 4 },
  }).connect();
}
