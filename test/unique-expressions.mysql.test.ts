import { afterEach, describe, expect, inject, it } from 'vitest';
import { ByHand, type Moment, sourceTable } from './support/by-hand.js';

/** Unique indexes that are not over whole columns: rows that collide fall back to live, as in any other. */
const TABLES = '  - { source: dbo.T, live: t, key: [id], columns: { id: Id, v: V, n: N } }\n';
const SOURCE = [sourceTable('T', { Id: 'int', V: 'nvarchar', N: 'int' }, ['Id'])];
const MOMENTS: Moment[] = ['captured', 'merged', 'locking'];

let hand: ByHand;
afterEach(async () => hand?.close());
const open = async (index: string) => {
  const definition = `CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(40) COLLATE utf8mb4_bin, n INT, ${index})`;
  const schema = 'stageswap_test_unique_expressions';
  hand = await ByHand.open(inject('mysqlUrl'), schema, [definition], TABLES, SOURCE);
};
const client = (statement: string) => hand.application.query(statement);
const rows = async (statement: string) =>
  (await hand.application.query({ sql: statement, rowsAsArray: true } as { sql: string }))[0];
const conflicts = (generation: number) =>
  rows(
    `SELECT kind, row_key->>'$.id' FROM _stageswap_conflict WHERE generation = ${generation} AND state = 'open' ORDER BY 2`,
  );

const INDEXES: [string, string][] = [
  ['an expression', 'UNIQUE KEY u ((UPPER(v)))'],
  ['the beginning of a column', 'UNIQUE KEY u (v(2))'],
  ['an expression and a column', "UNIQUE KEY u ((CONCAT(LOWER(v), 'x''y?, (é')), n)"],
];

describe.each(INDEXES)('an edit that collides in a unique index over %s', (_, index) => {
  it.each(MOMENTS)('keeps the source’s new row back, and is kept itself (%s)', async (moment) => {
    await open(index);
    const before = [
      [1, 'One', 1],
      [2, 'Two', 1],
    ];
    await hand.publish({ t: before });
    const after = { t: [...before, [4, moment === 'captured' ? 'five' : 'FIve', 1], [5, 'Six', 1]] };
    // 'FI' begins all of them where the beginning counts; where an expression does, case is no difference.
    const value = index.includes('v(2)') && moment === 'captured' ? 'fiVE' : 'FIVE';
    await hand.publish(after, { [moment]: () => client(`INSERT INTO t VALUES (50, '${value}', 1)`) });
    expect(await rows('SELECT id, v FROM t ORDER BY id')).toEqual([
      [1, 'One'],
      [2, 'Two'],
      [5, 'Six'],
      [50, value],
    ]);
    expect(await conflicts(2)).toEqual([
      ['unique', '4'],
      ['unique', '50'],
    ]);
    // It gives way while the next run works: then the source's row comes.
    await hand.publish(after, { merged: () => client("UPDATE t SET v = 'Moved' WHERE id = 50") });
    expect(await rows('SELECT id, v FROM t WHERE id IN (4, 50) ORDER BY id')).toEqual([
      [4, after.t[2]?.[1]],
      [50, 'Moved'],
    ]);
  });
});

it('two edits that exchange such values while the run works do not collide', async () => {
  await open('UNIQUE KEY u ((UPPER(v)))');
  const source = {
    t: [
      [1, 'One', 1],
      [2, 'Two', 1],
    ],
  };
  await hand.publish(source);
  await hand.publish(source, {
    merged: async () => {
      await client("UPDATE t SET v = 'x' WHERE id = 1");
      await client("UPDATE t SET v = 'one' WHERE id = 2");
      await client("UPDATE t SET v = 'two' WHERE id = 1");
    },
  });
  expect(await rows('SELECT id, v FROM t ORDER BY id')).toEqual([
    [1, 'two'],
    [2, 'one'],
  ]);
  expect(await conflicts(2)).toEqual([]);
});

it('one over an array is refused by name', async () => {
  await open("j JSON, UNIQUE KEY u ((CAST(j->'$.codes' AS UNSIGNED ARRAY)))");
  const { refusals } = await hand.decide();
  expect(refusals.map(({ what }) => what)).toEqual([
    expect.stringMatching(/^unique index u is over an array/),
  ]);
});

it('an index over columns that are not mapped is refused where all new rows would have its value', async () => {
  hand = await ByHand.open(
    inject('mysqlUrl'),
    'stageswap_test_unique_own',
    [
      `CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(20),
        token VARCHAR(20) NOT NULL DEFAULT '', at DATETIME DEFAULT CURRENT_TIMESTAMP, one INT DEFAULT (1), uid CHAR(36) DEFAULT (UUID()),
        nothing INT NULL, twice INT AS (one * 2),
        UNIQUE KEY by_token (token), UNIQUE KEY by_start (token(3)), UNIQUE KEY by_at (at), UNIQUE KEY by_one (one, token),
        UNIQUE KEY by_uid (uid, one), UNIQUE KEY by_nothing (one, nothing), UNIQUE KEY by_mapped (token, a),
        UNIQUE KEY by_twice (twice), UNIQUE KEY by_lower ((LOWER(token))), UNIQUE KEY by_both ((CONCAT(token, a))))`,
    ],
    '  - { source: dbo.T, live: t, key: [id], columns: { id: Id, a: A } }\n',
    [sourceTable('T', { Id: 'int', A: 'nvarchar' }, ['Id'])],
  );
  const { refusals, warnings } = await hand.decide();
  const named = (found: typeof refusals) =>
    found
      .flatMap(({ what }) => /^unique index (\w+) is over what is not mapped/.exec(what)?.[1] ?? [])
      .sort();
  expect(named(refusals)).toEqual(['by_at', 'by_one', 'by_start', 'by_token']);
  expect(named(warnings)).toEqual(['by_lower']);
});
