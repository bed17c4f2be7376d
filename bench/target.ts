import mysql, { type Connection, type RowDataPacket } from 'mysql2/promise';
import { assertBenchDatabase, type BenchTable } from './tables.js';

/** The application side of the bench: a schema of its own at the MySQL server. */
export class TargetSide {
  private constructor(
    readonly connection: Connection,
    readonly url: string,
    readonly schema: string,
  ) {}

  /** Makes the schema anew. @param server address without a schema */
  static async create(server: string, schema: string): Promise<TargetSide> {
    assertBenchDatabase(schema);
    const url = new URL(server);
    url.pathname = '/';
    const first = await mysql.createConnection(url.href);
    await first.query(`DROP DATABASE IF EXISTS ${schema}`);
    await first.query(`CREATE DATABASE ${schema} CHARACTER SET utf8mb4`);
    await first.end();
    url.pathname = `/${schema}`;
    const connection = await mysql.createConnection({
      uri: url.href,
      charset: 'utf8mb4',
      flags: ['+LOCAL_FILES'],
    });
    return new TargetSide(connection, url.href, schema);
  }

  async define(table: BenchTable, name = table.live): Promise<void> {
    const columns = table.columns.map((column) => `${column.name} ${column.liveType} NOT NULL`);
    await this.connection.query(
      `CREATE TABLE ${name} (${columns.join(', ')}, PRIMARY KEY (${table.columns[0]?.name})) ENGINE=InnoDB`,
    );
  }

  /** Clients edit every hundredth row. @param round makes the value another one each time */
  async editHundredth(table: BenchTable, round: number): Promise<void> {
    const key = table.columns[0]?.name;
    await this.connection.query(
      `UPDATE ${table.live} SET ${table.edited} = CONCAT('edit ', ?) WHERE ${key} % 100 = 7`,
      [round],
    );
  }

  async rows(table: string): Promise<number> {
    const [rows] = await this.connection.query<RowDataPacket[]>(`SELECT COUNT(*) AS n FROM ${table}`);
    return Number(rows[0]?.n);
  }

  /** Bytes that the server has written since it started: tables and doublewrite, redo, binary log (null: it does not say). */
  async written(): Promise<Written> {
    const [status] = await this.connection.query<RowDataPacket[]>(
      "SHOW GLOBAL STATUS WHERE Variable_name IN ('Innodb_data_written', 'Innodb_os_log_written')",
    );
    const of = (name: string) => Number(status.find((row) => row.Variable_name === name)?.Value ?? 0);
    const logs = await this.connection
      .query<RowDataPacket[]>('SHOW BINARY LOGS')
      .then(([found]) => found)
      .catch(() => undefined);
    const binlog = logs?.reduce((sum, row) => sum + Number(row.File_size), 0);
    return {
      data: of('Innodb_data_written'),
      redo: of('Innodb_os_log_written'),
      binlog: binlog ?? null,
    };
  }

  async close(): Promise<void> {
    await this.connection.query(`DROP DATABASE IF EXISTS ${this.schema}`).catch(() => {});
    await this.connection.end();
  }
}

/** Bytes. */
export interface Written {
  data: number;
  redo: number;
  binlog: number | null;
}
