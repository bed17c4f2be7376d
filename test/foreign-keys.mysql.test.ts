import { afterEach, describe, expect, inject, it } from 'vitest';
import { relativesOf } from '../src/mysql/tables.js';
import { ByHand, sourceTable } from './support/by-hand.js';

/** Foreign keys over columns that the source does not know: the application's own, kept in live and held by MySQL. */
const PARENT = sourceTable('Parent', { Id: 'int', Note: 'nvarchar' }, ['Id']);
const CHILD = sourceTable('Child', { Id: 'int', ParentId: 'int', Note: 'nvarchar' }, ['Id']);
const PARENTS = '  - { source: dbo.Parent, live: parent, key: [id], columns: { id: Id, note: Note } }\n';

let hand: ByHand;
afterEach(async () => hand?.close());
const open = async (definitions: string[], columnsOfChild: string) => {
  const child = `  - { source: dbo.Child, live: child, key: [id], columns: ${columnsOfChild} }\n`;
  hand = await ByHand.open(inject('mysqlUrl'), 'stageswap_test_foreign_keys', definitions, PARENTS + child, [
    PARENT,
    CHILD,
  ]);
};
const client = (statement: string) => hand.application.query(statement);
const rows = async (statement: string) =>
  (await hand.application.query({ sql: statement, rowsAsArray: true } as { sql: string }))[0];

describe('a foreign key of the application’s own column', () => {
  it('is kept by publishes, replays and a rollback, and with it a parent that is gone at the source', async () => {
    await open(
      [
        'CREATE TABLE parent (id INT PRIMARY KEY, note VARCHAR(20))',
        'CREATE TABLE child (id INT PRIMARY KEY, parent_id INT, note VARCHAR(20), favourite INT NULL, FOREIGN KEY (parent_id) REFERENCES parent (id), FOREIGN KEY (favourite) REFERENCES parent (id))',
      ],
      '{ id: Id, parent_id: ParentId, note: Note }',
    );
    const parent = [
      [1, 'a'],
      [2, 'a'],
    ];
    await hand.publish({
      parent,
      child: [
        [10, 1, 'x'],
        [20, 2, 'x'],
      ],
    });
    await client('UPDATE child SET favourite = 2 WHERE id = 10');
    await hand.publish(
      {
        parent: [
          [1, 'b'],
          [2, 'a'],
          [3, 'a'],
        ],
        child: [
          [10, 1, 'x'],
          [20, 2, 'x'],
          [30, 3, 'x'],
        ],
      },
      async () => {
        await client("UPDATE parent SET note = 'client' WHERE id = 2");
        await client('UPDATE child SET favourite = 1 WHERE id = 20');
      },
    );
    expect(await rows('SELECT * FROM child ORDER BY id')).toEqual([
      [10, 1, 'x', 2],
      [20, 2, 'x', 1],
      [30, 3, 'x', null],
    ]);
    // 2 is gone at the source, and a row of the application's still refers to it.
    const third = await hand.publish(
      {
        parent: [
          [1, 'b'],
          [3, 'a'],
        ],
        child: [
          [10, 1, 'x'],
          [30, 3, 'x'],
        ],
      },
      () => client('UPDATE child SET favourite = 3 WHERE id = 30'),
    );
    expect(await rows('SELECT * FROM parent ORDER BY id')).toEqual([
      [1, 'b'],
      [2, 'client'],
      [3, 'a'],
    ]);
    expect(await rows('SELECT id, favourite FROM child ORDER BY id')).toEqual([
      [10, 2],
      [30, 3],
    ]);
    await hand.rollBack(third, () => client('UPDATE child SET favourite = 1 WHERE id = 30'));
    expect(await rows('SELECT id, favourite FROM child ORDER BY id')).toEqual([
      [10, 2],
      [20, 1],
      [30, 1],
    ]);
  });
});

describe('a foreign key to the application’s own column', () => {
  const PARENT_WITH_CODE =
    'CREATE TABLE parent (id INT PRIMARY KEY, note VARCHAR(20), code VARCHAR(10) NULL, UNIQUE KEY (code))';

  it('from its own column is kept by publishes, replays and a rollback', async () => {
    await open(
      [
        PARENT_WITH_CODE,
        'CREATE TABLE child (id INT PRIMARY KEY, note VARCHAR(20), parent_code VARCHAR(10), FOREIGN KEY (parent_code) REFERENCES parent (code))',
      ],
      '{ id: Id, note: Note }',
    );
    const parent = [
      [1, 'a'],
      [2, 'a'],
    ];
    await hand.publish({
      parent,
      child: [
        [10, 'x'],
        [20, 'x'],
      ],
    });
    await client("UPDATE parent SET code = CONCAT('c', id)");
    await client("UPDATE child SET parent_code = 'c2' WHERE id = 10");
    const second = await hand.publish(
      {
        parent: [[1, 'b']],
        child: [
          [10, 'y'],
          [30, 'y'],
        ],
      },
      async () => {
        await client("INSERT INTO parent VALUES (9, 'own', 'c9')");
        await client("INSERT INTO child VALUES (90, 'own', 'c9')");
        await client("UPDATE child SET parent_code = 'c1' WHERE id = 20");
      },
    );
    expect(await rows('SELECT * FROM parent ORDER BY id')).toEqual([
      [1, 'b', 'c1'],
      [2, 'a', 'c2'],
      [9, 'own', 'c9'],
    ]);
    expect(await rows('SELECT * FROM child ORDER BY id')).toEqual([
      [10, 'y', 'c2'],
      [30, 'y', null],
      [90, 'own', 'c9'],
    ]);
    await hand.rollBack(second, () => client("UPDATE parent SET note = 'late' WHERE id = 9"));
    expect(await rows('SELECT id, parent_code FROM child ORDER BY id')).toEqual([
      [10, 'c2'],
      [20, 'c1'],
      [90, 'c9'],
    ]);
  });

  it('from a mapped column stops a run whose source names a parent that nobody has', async () => {
    await open(
      [
        PARENT_WITH_CODE,
        'CREATE TABLE child (id INT PRIMARY KEY, note VARCHAR(20), parent_code VARCHAR(10), FOREIGN KEY (parent_code) REFERENCES parent (code))',
      ],
      '{ id: Id, note: ParentId, parent_code: Note }',
    );
    await client("INSERT INTO parent VALUES (1, 'a', 'c1')");
    await hand.publish({ parent: [[1, 'a']], child: [[10, 'x', 'c1']] });
    expect(await rows('SELECT parent_code FROM child')).toEqual([['c1']]);
    const nobody = hand.publish({
      parent: [[1, 'a']],
      child: [
        [10, 'x', 'c1'],
        [20, 'x', 'c2'],
      ],
    });
    await expect(nobody).rejects.toThrow(/1 rows of child would have no parent in parent/);
    expect(await rows('SELECT id FROM child')).toEqual([[10]]);
  });
});

it('a key whose parent was dropped does not keep a run from taking its triggers off the child', async () => {
  await open(
    [
      'CREATE TABLE parent (id INT PRIMARY KEY, note VARCHAR(20))',
      'CREATE TABLE child (id INT PRIMARY KEY, parent_id INT, note VARCHAR(20), FOREIGN KEY (parent_id) REFERENCES parent (id))',
    ],
    '{ id: Id, parent_id: ParentId, note: Note }',
  );
  expect(await relativesOf(hand.session, ['child'])).toEqual(['parent']);
  expect(await relativesOf(hand.session, ['parent'])).toEqual(['child']);
  const source = { parent: [[1, 'a']], child: [[10, 1, 'x']] };
  await hand.abort(source, {
    merged: async () => {
      await client('SET SESSION foreign_key_checks = 0');
      await client('DROP TABLE parent');
    },
  });
  expect(await relativesOf(hand.session, ['child'])).toEqual([]);
  expect(await rows("SHOW TRIGGERS LIKE 'child'")).toEqual([]);
});
