import { afterEach, expect, inject, it } from 'vitest';
import { readConflicts } from '../src/mysql/settlements.js';
import { ByHand, sourceTable } from './support/by-hand.js';

/** Values of live that only an older SQL mode lets in: they are carried as they are, and merge like any other. */
const SCHEMA = 'stageswap_test_legacy';

let hand: ByHand;
afterEach(async () => hand?.close());
const ask = async (statement: string) =>
  (await hand.application.query({ sql: statement, rowsAsArray: true } as { sql: string }))[0] as unknown[][];

const open = async (type: string, sourceType: string, firstRun: 'live' | 'source') => {
  const source = sourceTable('T', { Id: 'int', C: sourceType }, ['Id']);
  hand = await ByHand.open(
    inject('mysqlUrl'),
    SCHEMA,
    [`CREATE TABLE t (id INT PRIMARY KEY, c ${type}, own ${type.replace(' NOT NULL', '')})`],
    '  - { source: dbo.T, live: t, key: [id], columns: { id: Id, c: C } }\n',
    [{ ...source, columns: source.columns.map((column) => ({ ...column, nullable: false, scale: 0 })) }],
    { firstRun, more: 'guards: { deleteShareMax: 1 }' },
  );
  await hand.application.query("SET SESSION sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00'");
};

it.each([
  ['an ENUM without a member', "ENUM('a','b','0')", 'nvarchar', "'zzz'", 'a', 'b', 'c+0'],
  ['an ENUM without a member, NOT NULL', "ENUM('a','b') NOT NULL", 'nvarchar', "'zzz'", 'a', 'b', 'c+0'],
  [
    'an ENUM with an empty member',
    "ENUM('a','','b') CHARACTER SET utf16",
    'nvarchar',
    "'zzz'",
    'a',
    'b',
    'c+0',
  ],
  ['31 February', 'DATE', 'date', "'2024-02-31'", '2024-01-01', '2024-01-02', 'CAST(c AS CHAR)'],
  ['a zero date', 'DATE NOT NULL', 'date', "'0000-00-00'", '2024-01-01', '2024-01-02', 'CAST(c AS CHAR)'],
  ['year 0', 'YEAR', 'int', '0', 2024, 2025, 'CAST(c AS CHAR)'],
  [
    '30 February with its time',
    'DATETIME',
    'datetime2',
    "'2023-02-30 00:00:00'",
    '2024-01-01 00:00:00',
    '2024-01-02 00:00:00',
    'CAST(c AS CHAR)',
  ],
  [
    'a zero timestamp',
    'TIMESTAMP NULL',
    'datetimeoffset',
    "'0000-00-00 00:00:00'",
    '2024-01-01 00:00:00',
    '2024-01-02 00:00:00',
    'CAST(c AS CHAR)',
  ],
])(
  '%s is kept, and is a conflict where the source changed it',
  async (_, type, sourceType, value, first, second, shown) => {
    await open(type, sourceType, 'live');
    const read = () => ask(`SELECT id, ${shown}, ${shown.replace('c', 'own')} FROM t ORDER BY id`);
    await hand.application.query(`INSERT INTO t VALUES (1, ${value}, ${value})`);
    const before = await read();
    await hand.publish({ t: [[1, first]] });
    expect(await read()).toEqual(before);
    await hand.publish(
      { t: [[1, second]] },
      {
        merged: () => hand.application.query('UPDATE t SET id = 2'),
        replayed: () => hand.application.query('UPDATE t SET id = 1'),
      },
    );
    expect(await read()).toEqual(before);
    expect((await readConflicts(hand.session, 'hand', {}, 9)).conflicts.map(({ kind }) => kind)).toEqual([
      'field',
    ]);
  },
);

it('a value that a client left so since the publish stays through a rollback, and one of the backup comes back', async () => {
  await open("ENUM('a','b') NOT NULL", 'nvarchar', 'source');
  await hand.application.query("INSERT INTO t VALUES (1, 'zzz', 'zzz'), (2, 'a', 'a')");
  const published = await hand.publish({
    t: [
      [1, 'b'],
      [2, 'b'],
    ],
  });
  expect(await ask('SELECT id, c+0, own+0 FROM t')).toEqual([
    [1, 2, 0],
    [2, 2, 1],
  ]);
  await hand.application.query("UPDATE t SET c = 'zzz' WHERE id = 2");
  await hand.rollBack(published);
  expect(await ask('SELECT id, c+0, own+0 FROM t')).toEqual([
    [1, 0, 0],
    [2, 0, 1],
  ]);
});
