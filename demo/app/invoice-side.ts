import mysql, { type Connection, type ConnectionOptions, type RowDataPacket } from 'mysql2/promise';
import { assertDemoDatabase, batches, DEMO_TABLES, type Row, TABLES, type TableName } from './tables.js';

export const INVOICES_DATABASE = 'stageswap_demo_invoices';

const DDL = [
  `CREATE TABLE customer (
    customer_id int NOT NULL PRIMARY KEY,
    first_name varchar(40) NOT NULL, last_name varchar(20) NOT NULL, company varchar(80) NULL,
    address varchar(70) NULL, city varchar(40) NULL, state varchar(40) NULL, country varchar(40) NULL,
    postal_code varchar(10) NULL, phone varchar(24) NULL, fax varchar(24) NULL, email varchar(60) NOT NULL,
    support_rep_id int NULL, balance decimal(18,4) NOT NULL DEFAULT 0, updated_at datetime(6) NOT NULL,
    portal_note varchar(200) NULL, portal_language char(2) NOT NULL DEFAULT 'en',
    KEY customer_email (email), KEY customer_name (last_name, first_name)
  ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4`,
  `CREATE TABLE invoice (
    invoice_id bigint NOT NULL PRIMARY KEY, customer_id int NOT NULL, invoice_date datetime(3) NOT NULL,
    billing_address varchar(70) NULL, billing_city varchar(40) NULL, billing_state varchar(40) NULL,
    billing_country varchar(40) NULL, billing_postal_code varchar(10) NULL, total decimal(10,2) NOT NULL,
    purchase_order varchar(40) NULL, status varchar(20) NOT NULL, updated_at datetime(6) NOT NULL,
    reminder_muted tinyint NOT NULL DEFAULT 0,
    KEY invoice_customer (customer_id), KEY invoice_status (status, invoice_date),
    CONSTRAINT invoice_of_customer FOREIGN KEY (customer_id) REFERENCES customer (customer_id)
  ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4`,
  `CREATE TABLE invoice_line (
    invoice_line_id bigint NOT NULL PRIMARY KEY, invoice_id bigint NOT NULL, track_id int NOT NULL,
    unit_price decimal(10,2) NOT NULL, quantity int NOT NULL, updated_at datetime(6) NOT NULL,
    dispute varchar(80) NULL,
    KEY invoice_line_invoice (invoice_id),
    CONSTRAINT line_of_invoice FOREIGN KEY (invoice_id) REFERENCES invoice (invoice_id)
  ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4`,
];

/** The invoice application: a MySQL schema that the demo makes. */
export class InvoiceSide {
  private constructor(
    readonly url: string,
    private readonly connection: Connection,
  ) {}

  /** Makes the schema anew, with its three tables empty: the first publish fills them. */
  static async create(serverUrl: string): Promise<InvoiceSide> {
    assertDemoDatabase(INVOICES_DATABASE);
    const url = new URL(serverUrl);
    url.pathname = '/';
    const server = await mysql.createConnection(optionsOf(url.href));
    try {
      await server.query(`DROP DATABASE IF EXISTS ${INVOICES_DATABASE}`);
      await server.query(`CREATE DATABASE ${INVOICES_DATABASE} CHARACTER SET utf8mb4`);
    } finally {
      await server.end();
    }
    url.pathname = `/${INVOICES_DATABASE}`;
    const connection = await mysql.createConnection(optionsOf(url.href));
    for (const statement of DDL) await connection.query(statement);
    return new InvoiceSide(url.href, connection);
  }

  /** A connection as the application makes one. */
  connect(): Promise<Connection> {
    return mysql.createConnection(optionsOf(this.url));
  }

  /** Rows by key, whole, in the values' texts; absent keys are absent. */
  async rows(table: TableName, keys: Iterable<string>): Promise<Map<string, Row>> {
    const found = new Map<string, Row>();
    const { key } = DEMO_TABLES[table];
    const connection = await this.connect();
    try {
      for (const batch of batches(keys, 1000)) {
        const [rows] = await connection.query<RowDataPacket[]>(`SELECT * FROM ${table} WHERE ${key} IN (?)`, [
          batch,
        ]);
        for (const row of rows as Row[]) found.set(String(row[key]), row);
      }
    } finally {
      await connection.end();
    }
    return found;
  }

  async counts(): Promise<Record<TableName, number>> {
    const counts: Partial<Record<TableName, number>> = {};
    const connection = await this.connect();
    try {
      for (const table of TABLES) {
        const [rows] = await connection.query<RowDataPacket[]>(`SELECT COUNT(*) AS n FROM ${table}`);
        counts[table] = Number(rows[0]?.n);
      }
    } finally {
      await connection.end();
    }
    return counts as Record<TableName, number>;
  }

  async close(): Promise<void> {
    await this.connection.end().catch(() => {});
  }

  /** Drops the schema that the demo made. */
  async drop(): Promise<void> {
    await this.close();
    const connection = await this.connect();
    try {
      await connection.query(`DROP DATABASE IF EXISTS ${INVOICES_DATABASE}`);
    } finally {
      await connection.end();
    }
  }
}

function optionsOf(text: string): ConnectionOptions {
  const url = new URL(text);
  const ssl = url.searchParams.get('ssl');
  url.search = '';
  const options: ConnectionOptions = {
    uri: url.href,
    charset: 'utf8mb4',
    dateStrings: true,
    supportBigNumbers: true,
  };
  if (ssl === 'true') options.ssl = {};
  if (ssl === 'skip-verify') options.ssl = { rejectUnauthorized: false };
  return options;
}
