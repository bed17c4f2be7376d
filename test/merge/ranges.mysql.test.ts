import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import { parseMysqlAddress } from '../../src/config/address.js';
import type { LiveColumn, TableSpec } from '../../src/model/spec.js';
import { Session } from '../../src/mysql/connection.js';
import { inRange, type KeyText } from '../../src/sql/columns.js';
import { raw, sql } from '../../src/sql/text.js';

/** A range of keys has each row of the target's order once, and MySQL reads no row outside of it. */
const SCHEMA = 'stageswap_test_ranges';
let session: Session;

const INT = (name: string): LiveColumn =>
  ({ name, type: 'int', columnType: 'int', nullable: false }) as LiveColumn;
const TEXT = (name: string): LiveColumn =>
  ({
    name,
    type: 'varchar',
    columnType: 'varchar(20)',
    nullable: false,
    charset: 'utf8mb4',
    collation: 'utf8mb4_0900_ai_ci',
  }) as LiveColumn;
const tableOf = (live: string, columns: LiveColumn[]) =>
  ({
    live,
    ordinal: 0,
    key: columns.map(({ name }) => name),
    columns: columns.map((column) => ({ source: {}, live: column })),
    unmapped: [],
  }) as unknown as TableSpec;

const TABLES = [
  tableOf('one', [INT('a')]),
  tableOf('two', [INT('a'), INT('b')]),
  tableOf('three', [INT('a'), TEXT('b'), INT('c')]),
];
const DDL: Record<string, string> = {
  one: 'a INT, PRIMARY KEY (a)',
  two: 'a INT, b INT, PRIMARY KEY (a, b)',
  three: 'a INT, b VARCHAR(20), c INT, PRIMARY KEY (a, b, c)',
};
const ROWS: Record<string, string> = {
  one: 'SELECT n FROM numbers',
  // one tenant has nearly all of them
  two: 'SELECT IF(n < 100, 1, IF(n < 8100, 2, 3)), n FROM numbers',
  three: "SELECT 1, CONCAT('text ', LPAD(n DIV 100, 4, '0')), n FROM numbers",
};

beforeAll(async () => {
  session = await Session.open(parseMysqlAddress(new URL('/mysql', inject('mysqlUrl')).href));
  const run = (text: string) => session.run(raw(text));
  await run(`DROP DATABASE IF EXISTS ${SCHEMA}`);
  await run(`CREATE DATABASE ${SCHEMA} CHARACTER SET utf8mb4`);
  await run(`USE ${SCHEMA}`);
  await run('SET SESSION cte_max_recursion_depth = 20000');
  await run('CREATE TABLE numbers (n INT PRIMARY KEY)');
  await run(
    'INSERT INTO numbers WITH RECURSIVE up (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM up WHERE n < 9999) SELECT n FROM up',
  );
  for (const { live } of TABLES) {
    await run(`CREATE TABLE ${live} (${DDL[live]})`);
    await run(`INSERT INTO ${live} ${ROWS[live]}`);
    await run(`ANALYZE TABLE ${live}`);
  }
});
afterAll(async () => {
  await session.run(raw(`DROP DATABASE IF EXISTS ${SCHEMA}`));
  await session.close();
});

/** Half-open ranges of so many keys each; the first and the last are open. */
function rangesOf(
  table: TableSpec,
  keys: Record<string, string>[],
  size: number,
): { from: KeyText; to: KeyText }[] {
  const limits: KeyText[] = [null];
  for (let at = size; at < keys.length; at += size)
    limits.push(table.key.map((name) => String(keys[at]?.[name])));
  return limits.map((from, index) => ({ from, to: limits[index + 1] ?? null }));
}

async function readOf(table: TableSpec, from: KeyText, to: KeyText): Promise<{ rows: number; read: number }> {
  const status = async () =>
    (await session.rows<{ Value: string }>(sql`SHOW SESSION STATUS LIKE 'Handler_read%'`)).reduce(
      (sum, { Value }) => sum + Number(Value),
      0,
    );
  const before = await status();
  const keys = raw(table.key.map((name) => `l0.${name}`).join(', '));
  const found = await session.rows(
    sql`SELECT ${keys} FROM ${raw(table.live)} AS l0 WHERE ${inRange(table, 'l', from, to)}`,
  );
  const asked = (await status()) - before;
  return { rows: found.length, read: asked };
}

/** Keys of two parts, of which the first is of every kind that preflight accepts; few values, so that ranges begin and end within one. */
const FIRST: [columnType: string, values: string[]][] = [
  ["enum('b','a','c')", ['b', 'a', 'c']],
  ["set('x','y')", ['', 'x', 'y', 'x,y']],
  ['tinyint(1)', ['-128', '0', '127']],
  ['bigint unsigned', ['0', '9223372036854775808', '18446744073709551615']],
  ['decimal(20,4)', ['-1.5000', '0.0000', '1234567890123456.7890']],
  ['date', ['1000-01-01', '2024-02-29']],
  ['datetime(6)', ['2024-01-01 00:00:00.000001', '2024-01-01 00:00:00.000002']],
  ['timestamp', ['2024-01-01 00:00:00', '2024-01-01 00:00:01']],
  ['time(3)', ['-10:00:00.500', '00:00:00.000', '838:00:00.000']],
  ['varchar(20)', ['', 'a', 'B', 'é', 'z']],
  ['char(5)', ['a', 'B', 'z']],
];
it.each(FIRST)('ranges of a key that begins with %s have each row once', async (columnType, values) => {
  const type = /^\w+/.exec(columnType)?.[0] ?? '';
  const isText = /char|enum|set/.test(type);
  const scale = /,(\d+)\)/.exec(columnType)?.[1];
  const first = {
    ...INT('a'),
    type,
    columnType,
    ...(isText ? { charset: 'utf8mb4', collation: 'utf8mb4_0900_ai_ci' } : {}),
    ...(type === 'decimal' ? { precision: 20, scale: Number(scale) } : {}),
  } as LiveColumn;
  const table = tableOf('typed', [first, INT('b')]);
  await session.run(raw('DROP TABLE IF EXISTS typed'));
  await session.run(
    raw(`CREATE TABLE typed (a ${columnType}, b INT, PRIMARY KEY (a, b)) COLLATE utf8mb4_0900_ai_ci`),
  );
  for (const value of values)
    await session.run(sql`INSERT INTO typed SELECT ${value}, n FROM numbers WHERE n < 10`);
  const keys = await session.rows<Record<string, string>>(
    sql`SELECT CAST(a AS CHAR) AS a, CAST(b AS CHAR) AS b FROM typed ORDER BY typed.a, typed.b`,
  );
  expect(keys).toHaveLength(10 * values.length);
  const seen: Record<string, string>[] = [];
  for (const { from, to } of rangesOf(table, keys, 3))
    seen.push(
      ...(await session.rows<Record<string, string>>(
        sql`SELECT CAST(a AS CHAR) AS a, CAST(b AS CHAR) AS b FROM typed AS l0 WHERE ${inRange(table, 'l', from, to)} ORDER BY l0.a, l0.b`,
      )),
    );
  expect(seen).toEqual(keys);
});

it.each(TABLES.map((table) => [table.live, table] as const))(
  'ranges of a key of %s: each row once, and no more read than there are',
  async (live, table) => {
    const keys = await session.rows<Record<string, string>>(
      sql`SELECT * FROM ${raw(live)} ORDER BY ${raw(table.key.join(', '))}`,
    );
    let rows = 0;
    for (const { from, to } of rangesOf(table, keys, 1_000)) {
      const range = await readOf(table, from, to);
      expect(range.rows).toBe(1_000);
      // beside its rows, a look at either end of each of the key's parts
      expect(range.read).toBeLessThan(1_020);
      rows += range.rows;
    }
    expect(rows).toBe(keys.length);
  },
);
