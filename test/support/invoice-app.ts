/** The tables that tests of whole runs share: customers and their invoices, as billing and as the application have them. */

export type TableName = 'customer' | 'invoice';
export type Value = string | null;
/** A row by live's column names; every value as MySQL prints it. */
export type Row = Record<string, Value>;
/** Rows of both tables by key. */
export type Rows = Record<TableName, Map<string, Row>>;

export const KEY: Record<TableName, string> = { customer: 'customer_id', invoice: 'invoice_id' };
/** live's columns, the key first; `note` is the application's own. */
export const COLUMNS: Record<TableName, string[]> = {
  customer: ['customer_id', 'name', 'email', 'balance', 'note'],
  invoice: ['invoice_id', 'customer_id', 'amount', 'memo'],
};

export const LIVE_TABLES = [
  `CREATE TABLE customer (
     customer_id BIGINT PRIMARY KEY, name VARCHAR(80) NOT NULL, email VARCHAR(80) NULL,
     balance DECIMAL(19,4) NULL, note VARCHAR(80) NULL
   )`,
  `CREATE TABLE invoice (
     invoice_id BIGINT PRIMARY KEY, customer_id BIGINT NOT NULL, amount DECIMAL(19,4) NOT NULL, memo VARCHAR(80) NULL,
     KEY by_customer (customer_id),
     CONSTRAINT invoice_customer FOREIGN KEY (customer_id) REFERENCES customer (customer_id)
   )`,
];

/** A configuration of one pipeline over both tables; `prefix` names the source's tables. */
export function configurationOf(
  pipeline: string,
  prefix: string,
  options: { moment: string; chunkRows: number; rowsPerSecondMax?: number | undefined; more?: string },
): string {
  return `
pipeline: ${pipeline}
source: { url: "\${MSSQL_URL}", moment: ${options.moment}${options.rowsPerSecondMax ? `, rowsPerSecondMax: ${options.rowsPerSecondMax}` : ''} }
target: { url: "\${MYSQL_URL}" }
firstRun: source
approve: never
cutOver: { heldMsMax: 600000 }
chunkRows: ${options.chunkRows}
${options.more ?? ''}
tables:
  - source: dbo.${prefix}Customer
    live: customer
    key: [customer_id]
    columns: { customer_id: CustomerId, name: Name, email: Email, balance: { from: Balance, owner: source } }
  - source: dbo.${prefix}Invoice
    live: invoice
    key: [invoice_id]
    columns: { invoice_id: InvoiceId, customer_id: CustomerId, amount: { from: Amount, owner: source }, memo: Memo }
`;
}
