import { MockActivityEnvironment } from '@temporalio/testing';
import mysql from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, inject, it, vi } from 'vitest';
import type { CutOver } from '../activities/cut-over.js';
import { createActivities } from '../activities/index.js';
import { parseMysqlAddress } from '../src/config/address.js';
import { parseConfig } from '../src/config/load.js';
import { control, physicalTable } from '../src/model/names.js';
import type { RunSpec } from '../src/model/spec.js';
import { Session } from '../src/mysql/connection.js';
import { definitionOf } from '../src/mysql/fingerprint.js';
import { publishedSpec } from '../src/mysql/published.js';
import { readLiveTables, readServerFacts } from '../src/mysql/schema.js';
import type { Facts } from '../src/preflight/facts.js';
import { freeze } from '../src/preflight/freeze.js';
import { createControlTables, createMarker } from '../src/sql/control.js';
import { id, sql } from '../src/sql/text.js';
import { WAIT_MS_MAX } from './support/patience.js';

/**
 * Merge, capture, cut-over and rollback on a real MySQL. What ingest would have loaded is written into base_next by the
 * test, so that each row case can be set up by hand.
 */
const SCHEMA = 'stageswap_test_publish';
const url = new URL(inject('mysqlUrl'));
url.pathname = `/${SCHEMA}`;

const CONFIG = `
pipeline: test
source: { url: "\${MSSQL_URL}" }
target: { url: "\${MYSQL_URL}" }
firstRun: source
approve: never
chunkRows: 100
cutOver: { lockAttemptMsMax: 5000 }
tables:
  - source: dbo.Customer
    live: customer
    key: [customer_id]
    columns:
      customer_id: CustomerId
      name: Name
      email: Email
      street: Street
      city: City
      balance: { from: Balance, owner: source }
    groups: [[street, city]]
  - source: dbo.Invoice
    live: invoice
    key: [invoice_id]
    columns: { invoice_id: InvoiceId, customer_id: CustomerId, note: Note }
`;

const column = (name: string, type: string, more: Partial<Facts['source'][0]['columns'][0]> = {}) => ({
  name,
  type,
  maxLengthBytes: 200,
  precision: 18,
  scale: 4,
  nullable: true,
  computed: false,
  identity: false,
  collation: null,
  ...more,
});
const SOURCE: Facts['source'] = [
  {
    schema: 'dbo',
    name: 'Customer',
    columns: [
      column('CustomerId', 'bigint'),
      column('Name', 'nvarchar'),
      column('Email', 'nvarchar'),
      column('Street', 'nvarchar'),
      column('City', 'nvarchar'),
      column('Balance', 'decimal'),
    ],
    primaryKey: ['CustomerId'],
    uniqueIndexes: [],
    foreignKeys: [],
  },
  {
    schema: 'dbo',
    name: 'Invoice',
    columns: [column('InvoiceId', 'bigint'), column('CustomerId', 'bigint'), column('Note', 'nvarchar')],
    primaryKey: ['InvoiceId'],
    uniqueIndexes: [],
    foreignKeys: [],
  },
];

type Customer = [
  id: number,
  name: string,
  email: string | null,
  street: string,
  city: string,
  balance: string,
];
type Invoice = [id: number, customer: number, note: string | null];

let application: mysql.Connection;
let session: Session;
const config = parseConfig(CONFIG, 'stageswap.yaml', {
  MSSQL_URL: 'mssql://sa:x@127.0.0.1:1/none?encrypt=false',
  MYSQL_URL: url.href,
});
const activities = createActivities({ config: () => config });
const environment = new MockActivityEnvironment();
// biome-ignore lint/suspicious/noExplicitAny: the environment takes any activity
const run = <R>(activity: (...input: any[]) => Promise<R>, ...input: unknown[]): Promise<R> =>
  environment.run(activity, ...input) as Promise<R>;

beforeAll(async () => {
  const server = await mysql.createConnection(inject('mysqlUrl'));
  await server.query(`DROP DATABASE IF EXISTS ${SCHEMA}`);
  await server.query(`CREATE DATABASE ${SCHEMA}`);
  await server.end();
  application = await mysql.createConnection({ uri: url.href, charset: 'utf8mb4' });
  await application.query(
    `CREATE TABLE customer (customer_id BIGINT PRIMARY KEY, name VARCHAR(100), email VARCHAR(100), street VARCHAR(100), city VARCHAR(100), balance DECIMAL(18,4), portal_note VARCHAR(100) DEFAULT 'none', KEY by_email (email))`,
  );
  await application.query(
    'CREATE TABLE invoice (invoice_id BIGINT PRIMARY KEY, customer_id BIGINT NOT NULL, note VARCHAR(100), CONSTRAINT invoice_customer FOREIGN KEY (customer_id) REFERENCES customer (customer_id))',
  );
  session = await Session.open(parseMysqlAddress(url.href));
  for (const statement of createControlTables()) await session.run(statement);
  await session.run(createMarker('test'));
});
afterAll(async () => {
  await session?.close();
  await application?.end();
});

/** Begins a run as `begin` does, without asking a source. */
async function begin(generation: number, baseGeneration: number | null): Promise<RunSpec> {
  const names = config.tables.map((table) => table.live);
  const fingerprints: Record<string, string> = {};
  for (const name of names) fingerprints[name] = (await definitionOf(session, name)).fingerprint;
  const facts: Facts = {
    server: await readServerFacts(session.connection),
    schema: SCHEMA,
    live: await readLiveTables(session.connection, SCHEMA, names),
    source: SOURCE,
    badKeys: {},
    liveIsEmpty: {},
    claims: [],
    held: null,
    published: await publishedSpec(session, 'test'),
    metadataLocksVisible: true,
  };
  const spec = freeze(config, facts, { runId: `run-${generation}`, generation, fingerprints });
  expect(spec.baseGeneration).toBe(baseGeneration);
  await session.run(
    sql`REPLACE INTO ${id(control.pipeline)} (pipeline, generation) VALUES ('test', ${generation})`,
  );
  await session.run(
    sql`INSERT INTO ${id(control.run)} (pipeline, generation, run_id, kind, phase, started_at, spec) VALUES ('test', ${generation}, ${spec.runId}, 'publish', 'preflight', UTC_TIMESTAMP(6), ${JSON.stringify(spec)})`,
  );
  await run(activities.prepare, spec);
  return spec;
}

async function loadSource(spec: RunSpec, customers: Customer[], invoices: Invoice[]): Promise<void> {
  for (const [live, rows] of [
    ['customer', customers],
    ['invoice', invoices],
  ] as const) {
    for (const row of rows) {
      await session.connection.query(
        `INSERT INTO \`${physicalTable(spec.generation, 'baseNext', live)}\` VALUES (?, 0, NULL)`,
        [row],
      );
    }
  }
}

async function reconcile(spec: RunSpec): Promise<void> {
  for (const table of spec.tables) while (!(await run(activities.reconcile, spec, table.live)).finished);
  await run(activities.settle, spec);
}

async function publish(spec: RunSpec): Promise<CutOver> {
  await run(activities.backup, spec);
  const result = await run(activities.cutOver, spec);
  if ('notYet' in result) throw new Error('a cut-over without limits came back before its swap');
  expect((await run(activities.finalSync, spec)).left).toBe(0);
  await session.run(
    sql`UPDATE ${id(control.run)} SET outcome = 'published' WHERE pipeline = 'test' AND generation = ${spec.generation}`,
  );
  await run(activities.cleanup, spec);
  return result;
}

/** Resolves when a LOCK TABLES waits for somebody. */
async function lockIsPending(): Promise<void> {
  await vi.waitFor(
    async () =>
      expect(
        await session.rows(
          sql`SELECT 1 AS found FROM performance_schema.metadata_locks WHERE object_schema = ${SCHEMA} AND lock_type IN ('SHARED_NO_READ_WRITE', 'SHARED_READ_ONLY') AND lock_status = 'PENDING'`,
        ),
      ).not.toHaveLength(0),
    { timeout: WAIT_MS_MAX, interval: 5 },
  );
}

const customers = async () => {
  const [rows] = await application.query<mysql.RowDataPacket[]>({
    sql: 'SELECT customer_id, name, email, street, city, balance, portal_note FROM customer ORDER BY customer_id',
    rowsAsArray: true,
  } as mysql.QueryOptions);
  return rows as unknown as unknown[][];
};

describe('a group of two tables', () => {
  it('is published, merged by field with what clients changed, and rolled back with their edits', async () => {
    const source1: Customer[] = [
      [1, 'Ada', 'ada@old', 'Elm 1', 'Oslo', '1.0000'],
      [2, 'Bob', 'bob@old', 'Oak 2', 'Bonn', '2.0000'],
      [3, 'Cyd', null, 'Ash 3', 'Rome', '3.0000'],
      [4, 'Dan', 'dan@old', 'Fir 4', 'Lyon', '4.0000'],
    ];
    const first = await begin(1, null);
    await run(activities.capture, first);
    await loadSource(first, source1, [[10, 1, 'first']]);
    await reconcile(first);
    await publish(first);
    expect((await customers()).map((row) => row[2])).toEqual(['ada@old', 'bob@old', null, 'dan@old']);

    // Clients edit between the runs.
    await application.query("UPDATE customer SET email = 'ada@client' WHERE customer_id = 1");
    await application.query(
      "UPDATE customer SET street = 'Client 2', portal_note = 'vip' WHERE customer_id = 2",
    );
    await application.query("INSERT INTO customer (customer_id, name) VALUES (900, 'own')");

    const second = await begin(2, 1);
    await run(activities.capture, second);
    await loadSource(
      second,
      [
        [1, 'Ada L.', 'ada@billing', 'Elm 1', 'Oslo', '11.0000'], // e-mail: conflict, live wins
        [2, 'Bob', 'bob@billing', 'Oak 2', 'Berlin', '2.0000'], // address group: conflict, kept whole
        [3, 'Cyd', 'cyd@billing', 'Ash 3', 'Rome', '3.0000'],
        [5, 'Eve', 'eve@billing', 'Yew 5', 'Kyiv', '5.0000'], // 4 is gone at the source
      ],
      [
        [10, 1, 'changed'],
        [11, 5, 'new'],
      ],
    );
    await reconcile(second);
    // Clients edit while the run works: after the merge, before the lock.
    await application.query("UPDATE customer SET email = 'cyd@late' WHERE customer_id = 3");
    await application.query("UPDATE customer SET name = 'own, edited' WHERE customer_id = 900");
    expect(await run(activities.replay, second)).toEqual({ replayed: 2, pending: 0 });
    await application.query("UPDATE invoice SET note = 'later' WHERE invoice_id = 10");
    await application.query('START TRANSACTION');
    await application.query("UPDATE invoice SET note = 'late' WHERE invoice_id = 10");
    const published = publish(second);
    await lockIsPending(); // the cut-over has replayed what it could, and waits for this transaction
    await application.query('COMMIT');
    expect(await published).toMatchObject({ replayedBefore: 1, replayedUnderLock: 1 });

    expect(await customers()).toEqual([
      [1, 'Ada L.', 'ada@client', 'Elm 1', 'Oslo', '11.0000', 'none'],
      [2, 'Bob', 'bob@billing', 'Client 2', 'Bonn', '2.0000', 'vip'],
      [3, 'Cyd', 'cyd@late', 'Ash 3', 'Rome', '3.0000', 'none'],
      [5, 'Eve', 'eve@billing', 'Yew 5', 'Kyiv', '5.0000', 'none'],
      [900, 'own, edited', null, null, null, null, 'none'],
    ]);
    const [invoices] = await application.query('SELECT * FROM invoice ORDER BY invoice_id');
    expect(invoices).toEqual([
      { invoice_id: 10, customer_id: 1, note: 'late' },
      { invoice_id: 11, customer_id: 5, note: 'new' },
    ]);
    const conflicts = await session.rows<{ live: string; kind: string; columns_json: unknown }>(
      sql`SELECT live, kind, columns_json FROM ${id(control.conflict)} WHERE generation = 2 ORDER BY live, id`,
    );
    expect(conflicts.map(({ live, kind, columns_json }) => [live, kind, columns_json])).toEqual(
      [
        ['customer', 'field', ['street', 'city']],
        ['customer', 'field', ['email']],
        ['customer', 'field', ['email']],
        ['invoice', 'field', ['note']],
      ].sort((left, right) => conflictsOrder(left, right)),
    );

    // Since the swap a client edits again; then the run is rolled back.
    await application.query("UPDATE customer SET email = 'cyd@since' WHERE customer_id = 3");
    await application.query("INSERT INTO customer (customer_id, name) VALUES (901, 'since')");
    const undone = second;
    const tables = [];
    for (const table of undone.tables)
      tables.push({ ...table, fingerprint: (await definitionOf(session, table.live)).fingerprint });
    const back: RunSpec = { ...undone, runId: 'run-3', generation: 3, kind: 'rollback', undoes: 2, tables };
    await session.run(sql`UPDATE ${id(control.pipeline)} SET generation = 3 WHERE pipeline = 'test'`);
    await session.run(
      sql`INSERT INTO ${id(control.run)} (pipeline, generation, run_id, kind, phase, started_at, spec) VALUES ('test', 3, 'run-3', 'rollback', 'preflight', UTC_TIMESTAMP(6), ${JSON.stringify(back)})`,
    );
    await run(activities.prepare, back);
    await run(activities.capture, back);
    await reconcile(back);
    await run(activities.backup, back);
    await run(activities.cutOver, back);
    expect(await customers()).toEqual([
      [1, 'Ada', 'ada@client', 'Elm 1', 'Oslo', '1.0000', 'none'],
      [2, 'Bob', 'bob@old', 'Client 2', 'Bonn', '2.0000', 'vip'],
      [3, 'Cyd', 'cyd@since', 'Ash 3', 'Rome', '3.0000', 'none'],
      [4, 'Dan', 'dan@old', 'Fir 4', 'Lyon', '4.0000', 'none'],
      [900, 'own, edited', null, null, null, null, 'none'],
      [901, 'since', null, null, null, null, 'none'],
    ]);
    const markers = await session.rows<{ name: string }>(
      sql`SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name LIKE ${'\\_ss\\_at\\_%'}`,
    );
    expect(markers).toEqual([{ name: '_ss_at_1_test' }]);
  });
});

function conflictsOrder(left: unknown[], right: unknown[]): number {
  return String(left[0]).localeCompare(String(right[0]));
}
