import mysql, { type Connection, type RowDataPacket } from 'mysql2/promise';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { type LiveTable, readLiveTableNames, readLiveTables, readServerFacts } from '../src/mysql/schema.js';

const SCHEMA = `stageswap_test_schema_${process.pid}`;
const OTHER = `${SCHEMA}_other`;

let connection: Connection;

beforeAll(async () => {
  connection = await mysql.createConnection(inject('mysqlUrl'));
  for (const statement of [
    `DROP DATABASE IF EXISTS ${OTHER}`,
    `DROP DATABASE IF EXISTS ${SCHEMA}`,
    `CREATE DATABASE ${SCHEMA}`,
    `CREATE DATABASE ${OTHER}`,
    `USE ${SCHEMA}`,
    `CREATE TABLE parent (
       a INT NOT NULL, b VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_bin NOT NULL DEFAULT 'x', PRIMARY KEY (b, a))`,
    `CREATE TABLE child (
       id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
       parent_a INT, parent_b VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_bin,
       amount DECIMAL(12,4) NOT NULL, at DATETIME(3) DEFAULT CURRENT_TIMESTAMP(3),
       twice DECIMAL(13,4) AS (amount * 2) STORED,
       hidden INT INVISIBLE,
       code VARCHAR(10) CHARACTER SET utf8mb4,
       UNIQUE KEY by_code (code, amount),
       UNIQUE KEY by_expression ((UPPER(code))),
       KEY plain (amount),
       CONSTRAINT positive CHECK (amount > 0),
       CONSTRAINT child_parent FOREIGN KEY (parent_b, parent_a) REFERENCES parent (b, a) ON DELETE CASCADE)`,
    `CREATE TABLE parts (id INT PRIMARY KEY) PARTITION BY HASH (id) PARTITIONS 2`,
    'CREATE VIEW seen AS SELECT id FROM child',
    'CREATE TRIGGER child_touch BEFORE UPDATE ON child FOR EACH ROW SET NEW.hidden = 1',
    'CREATE TABLE _ss7s_child (id INT PRIMARY KEY)',
    `CREATE TABLE ${OTHER}.outside (id INT PRIMARY KEY, child_id BIGINT UNSIGNED,
       CONSTRAINT outside_child FOREIGN KEY (child_id) REFERENCES ${SCHEMA}.child (id))`,
    'INSERT INTO parent VALUES (1, "x")',
  ]) {
    await connection.query(statement);
  }
});

afterAll(async () => {
  if (connection) {
    await connection.query(`DROP DATABASE IF EXISTS ${OTHER}`);
    await connection.query(`DROP DATABASE IF EXISTS ${SCHEMA}`);
    await connection.end();
  }
});

async function table(name: string): Promise<LiveTable> {
  const [found] = await readLiveTables(connection, SCHEMA, [name]);
  if (!found) throw new Error(`${name} was not found`);
  return found;
}

test('tables come in the order asked for, and those that do not exist are not there', async () => {
  const found = await readLiveTables(connection, SCHEMA, ['parts', 'nowhere', 'child']);
  expect(found.map(({ name }) => name)).toEqual(['parts', 'child']);
  expect(await readLiveTables(connection, SCHEMA, [])).toEqual([]);
});

test('keys keep the order of their columns', async () => {
  const parent = await table('parent');
  expect(parent.primaryKey).toEqual(['b', 'a']);
  const child = await table('child');
  expect(child.primaryKey).toEqual(['id']);
  expect(child.uniqueIndexes).toEqual([
    { name: 'by_code', columns: ['code', 'amount'] },
    { name: 'by_expression', columns: [null], parts: [{ expression: 'upper(`code`)' }] },
  ]);
});

test('foreign keys are known from both ends, across schemas too', async () => {
  const child = await table('child');
  expect(child.foreignKeys).toEqual([
    {
      name: 'child_parent',
      schema: SCHEMA,
      table: 'child',
      columns: ['parent_b', 'parent_a'],
      referencedSchema: SCHEMA,
      referencedTable: 'parent',
      referencedColumns: ['b', 'a'],
      onDelete: 'CASCADE',
      onUpdate: 'NO ACTION',
    },
  ]);
  expect(child.referencedBy).toMatchObject([{ name: 'outside_child', schema: OTHER, table: 'outside' }]);
  expect((await table('parent')).referencedBy.map(({ name }) => name)).toEqual(['child_parent']);
});

test('columns are described as they are', async () => {
  const { columns } = await table('child');
  const column = (name: string) => columns.find((candidate) => candidate.name === name);
  expect(columns.map(({ name }) => name)).toContain('hidden');
  expect(column('id')).toMatchObject({
    type: 'bigint',
    columnType: 'bigint unsigned',
    nullable: false,
    autoIncrement: true,
    generated: false,
  });
  expect(column('parent_b')).toMatchObject({
    type: 'varchar',
    charset: 'latin1',
    collation: 'latin1_bin',
    lengthCharacters: 20,
    lengthOctets: 20,
    nullable: true,
  });
  expect(column('code')).toMatchObject({ lengthCharacters: 10, lengthOctets: 40 });
  expect(column('amount')).toMatchObject({ type: 'decimal', precision: 12, scale: 4, autoIncrement: false });
  expect(column('at')).toMatchObject({ type: 'datetime', fractionDigits: 3, generated: false });
  expect(column('twice')).toMatchObject({ generated: true });
  expect(column('hidden')).toMatchObject({ invisible: true, default: null });
});

test('triggers, checks, partitions, engines and views are told', async () => {
  const child = await table('child');
  expect(child.triggers).toMatchObject([{ name: 'child_touch', event: 'UPDATE', timing: 'BEFORE' }]);
  expect(child.checks).toMatchObject([{ name: 'positive', enforced: true }]);
  expect(child).toMatchObject({ engine: 'InnoDB', partitioned: false, kind: 'BASE TABLE' });
  expect(child.dataBytes).toBeGreaterThan(0);
  expect((await table('parts')).partitioned).toBe(true);
  expect((await table('seen')).kind).toBe('VIEW');
});

test('the list of live tables has neither views nor tables that runs made', async () => {
  expect(await readLiveTableNames(connection, SCHEMA)).toEqual(['child', 'parent', 'parts']);
});

test('the server is described', async () => {
  const facts = await readServerFacts(connection);
  expect(facts).toMatchObject({ isMariaDb: false, groupReplication: false });
  expect(facts.version).toMatch(/^\d+\.\d+\.\d+/);
  expect(facts.grants.join('\n')).toMatch(/^GRANT /);
  expect(facts.sqlMode).toMatch(/[A-Z]/);
  const [asked] = await connection.query<RowDataPacket[]>(
    "SHOW GLOBAL VARIABLES LIKE 'binlog_transaction_dependency_%'",
  );
  const said = new Map(asked.map(({ Variable_name, Value }) => [Variable_name, Value]));
  const forgets = said.get('binlog_transaction_dependency_tracking') === 'COMMIT_ORDER';
  const most = said.get('binlog_transaction_dependency_history_size');
  expect(facts.writeSetsMax).toBe(forgets ? undefined : Number(most));
});
