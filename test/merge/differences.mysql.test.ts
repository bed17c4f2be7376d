import { afterEach, describe, expect, inject, test } from 'vitest';
import type { SourceTable } from '../../src/sql-server/schema.js';
import { ByHand, type ByHandOptions, type SourceRows, sourceTable } from '../support/by-hand.js';

/** The merge by differences finds what most rows hide: all but a few say the same on both sides. */
const ITEM = 'CREATE TABLE item (id INT PRIMARY KEY, name VARCHAR(20), note VARCHAR(20) NULL)';
const TABLES = '  - { source: dbo.Item, live: item, key: [id], columns: { id: Id, name: Name } }\n';
const SOURCE = [sourceTable('Item', { Id: 'int', Name: 'nvarchar' }, ['Id'])];

let pipeline: ByHand;
afterEach(async () => pipeline?.close());

async function open(
  definition: string,
  tables: string,
  source: SourceTable[],
  options?: ByHandOptions,
): Promise<void> {
  pipeline = await ByHand.open(
    inject('mysqlUrl'),
    'stageswap_test_differences',
    [definition],
    tables,
    source,
    options,
  );
}

const rows = (...ids: number[]): SourceRows => ({ item: ids.map((id) => [id, `n${id}`]) });
async function published(first: SourceRows): Promise<void> {
  await open(ITEM, TABLES, SOURCE, { chunkRows: 2 });
  await pipeline.publish(first);
}
async function live(): Promise<string[]> {
  const [found] = await pipeline.application.query('SELECT id, name, note FROM item ORDER BY id');
  return (found as { id: number; name: string; note: string | null }[]).map(({ id, name, note }) =>
    [id, name, ...(note === null ? [] : [note])].join(' '),
  );
}

test('a row that both sides made alike does not hide one of the same range that the source deleted', async () => {
  await published(rows(1, 2, 3));
  await pipeline.application.query("INSERT INTO item (id, name, note) VALUES (4, 'n4', 'ours')");
  await pipeline.publish(rows(1, 2, 4));
  expect(await live()).toEqual(['1 n1', '2 n2', '4 n4 ours']);
});

test('nor where the two are in one range, whose counts are then the same on both sides', async () => {
  await published(rows(1, 2, 3, 4));
  await pipeline.application.query("INSERT INTO item (id, name, note) VALUES (5, 'n5', 'ours')");
  await pipeline.publish(rows(1, 2, 3, 5)); // 3 begins the second range
  expect(await live()).toEqual(['1 n1', '2 n2', '3 n3', '5 n5 ours']);
});

test('ranges of which live has nothing are merged beside others, and rows of live behind the last range stay', async () => {
  await published(rows(1, 2, 3, 4, 5, 6));
  await pipeline.application.query('DELETE FROM item WHERE id BETWEEN 3 AND 4');
  await pipeline.application.query("INSERT INTO item VALUES (90, 'mine', 'own'), (0, 'zero', 'own')");
  await pipeline.publish({ item: [...(rows(1, 2, 3, 4, 5).item ?? []), [7, 'seven'], [8, 'eight']] });
  expect(await live()).toEqual(['0 zero own', '1 n1', '2 n2', '5 n5', '7 seven', '8 eight', '90 mine own']);
});

test('a range of which every row is deleted at the source is gone from live, and comes back by a rollback', async () => {
  await published(rows(1, 2, 3, 4, 5));
  const second = await pipeline.publish(rows(5));
  expect(await live()).toEqual(['5 n5']);
  await pipeline.rollBack(second);
  expect(await live()).toEqual(['1 n1', '2 n2', '3 n3', '4 n4', '5 n5']);
});

describe('a range of which few rows differ', () => {
  const ORDER = `CREATE TABLE purchase (id INT PRIMARY KEY, state VARCHAR(20) NOT NULL, total DECIMAL(18,4), kind ENUM('a','b'),
    note VARCHAR(20) NULL, touched DATETIME(6) NULL ON UPDATE CURRENT_TIMESTAMP(6), twice DECIMAL(20,4) AS (total * 2) STORED,
    CONSTRAINT owed CHECK (total >= 0))`;
  const MAPPED =
    '  - { source: dbo.Purchase, live: purchase, key: [id], columns: { id: Id, state: State, total: Total, kind: Kind } }\n';
  const OF = [
    sourceTable('Purchase', { Id: 'int', State: 'nvarchar', Total: 'decimal', Kind: 'nvarchar' }, ['Id']),
  ];
  const COUNT = 200;
  type Said = [id: number, state: string, total: string, kind: string];
  const said = (id: number): Said => [id, `s${id}`, `${id}.0000`, 'a'];
  const all = Array.from({ length: COUNT }, (_, index) => said(index + 1));
  const without = (said: Said[], ...ids: number[]) => said.filter(([id]) => !ids.includes(id));
  const edit = (text: string) => pipeline.application.query(text);
  /** Rows of live by key, each as a line. */
  const shown = async () =>
    new Map(
      (
        await pipeline.read('SELECT id, state, total, kind, note, touched, twice FROM purchase ORDER BY id')
      ).map((row) => [Number(row[0]), row.map((value) => (value === null ? '-' : String(value))).join(' ')]),
    );
  const purchases = async () => {
    await open(ORDER, MAPPED, OF, { more: 'badRows: quarantine' });
    await pipeline.publish({ purchase: all });
    await edit('UPDATE purchase SET note = id, touched = "2020-02-02" WHERE id > 0');
  };

  test('every kind of change is merged, own columns stay, ON UPDATE sets nothing, and a rollback takes it back', async () => {
    await purchases();
    const before = await shown();
    const expected = new Map(before);
    const keep = "touched = '2020-02-02'";
    await edit(`UPDATE purchase SET state = 'edited', ${keep} WHERE id IN (10, 11, 12)`);
    await edit('DELETE FROM purchase WHERE id IN (20, 21)');
    await edit("INSERT INTO purchase (id, state, total, kind) VALUES (900, 'own', 9, 'b')");
    const now = without(all, 12, 30, 21).map(([id, state, total, kind]): Said => {
      if (id === 11) return [id, state, '11.5000', 'b'];
      if (id === 40) return [id, 'S40', total, kind]; // equal for the collation
      if (id === 41) return [id, 's41', '41.0000', 'b'];
      return [id, state, total, kind];
    });
    const spec = await pipeline.publish({ purchase: [...now, said(500)] });
    const AT = '2020-02-02 00:00:00.000000';
    expected.set(10, `10 edited 10.0000 a 10 ${AT} 20.0000`);
    expected.set(11, `11 edited 11.5000 b 11 ${AT} 23.0000`);
    expected.set(12, `12 edited 12.0000 a 12 ${AT} 24.0000`);
    expected.delete(20);
    expected.delete(21);
    expected.delete(30);
    expected.set(40, `40 S40 40.0000 a 40 ${AT} 80.0000`);
    expected.set(41, `41 s41 41.0000 b 41 ${AT} 82.0000`);
    expected.set(500, '500 s500 500.0000 a - - 1000.0000');
    expected.set(900, '900 own 9.0000 b - - 18.0000');
    expect(await shown()).toEqual(expected);

    await pipeline.rollBack(spec, () =>
      edit(`UPDATE purchase SET state = 'after', ${keep} WHERE id IN (41, 42)`),
    );
    const back = new Map(before);
    back.set(10, `10 edited 10.0000 a 10 ${AT} 20.0000`);
    back.set(11, `11 edited 11.0000 a 11 ${AT} 22.0000`);
    back.set(12, `12 edited 12.0000 a 12 ${AT} 24.0000`);
    back.delete(20);
    back.delete(21);
    back.set(41, `41 after 41.0000 a 41 ${AT} 82.0000`);
    back.set(42, `42 after 42.0000 a 42 ${AT} 84.0000`);
    back.set(900, '900 own 9.0000 b - - 18.0000');
    expect(await shown()).toEqual(back);
  });

  test('a row that breaks a CHECK is held back, and the others of its range come', async () => {
    await purchases();
    const expected = await shown();
    await pipeline.publish({
      purchase: all.map(([id, state, total, kind]) =>
        id === 7 ? [id, state, '-1.0000', kind] : [id, id === 8 ? 'new' : state, total, kind],
      ),
    });
    expected.set(8, '8 new 8.0000 a 8 2020-02-02 00:00:00.000000 16.0000');
    expect(await shown()).toEqual(expected);
  });

  test('a client that holds a row which differs keeps no merge waiting, and its edit is not lost', async () => {
    await purchases();
    await pipeline.publish(
      {
        purchase: all.map(([id, state, ...rest]) => [
          id,
          id === 10 || id === 30 ? 'billing' : state,
          ...rest,
        ]),
      },
      {
        captured: async () => {
          await edit("UPDATE purchase SET state = 'edited' WHERE id = 20");
          await edit('START TRANSACTION');
          await edit("UPDATE purchase SET kind = 'b' WHERE id IN (10, 20)");
          await edit('DELETE FROM purchase WHERE id = 30');
        },
        merged: () => edit('COMMIT'),
      },
    );
    expect(await pipeline.read('SELECT id, state, kind FROM purchase WHERE id IN (10, 20, 30)')).toEqual([
      [10, 'billing', 'b'],
      [20, 'edited', 'b'],
    ]);
  });

  test('a JSON number of another kind comes, though MySQL calls the two equal, so that an UPDATE would leave it', async () => {
    await open(
      'CREATE TABLE doc (id INT PRIMARY KEY, body JSON)',
      '  - { source: dbo.Doc, live: doc, key: [id], columns: { id: Id, body: Body } }\n',
      [sourceTable('Doc', { Id: 'int', Body: 'nvarchar' }, ['Id'])],
    );
    const docs = (one: string) =>
      Array.from({ length: COUNT }, (_, index) => [index + 1, index === 3 ? one : '1']);
    await pipeline.publish({ doc: docs('1') });
    await pipeline.publish({ doc: docs('1.0') });
    expect(await pipeline.read('SELECT CAST(body AS CHAR) FROM doc WHERE id = 4')).toEqual([['1.0']]);
  });

  test('a table that is all key has new rows and loses others', async () => {
    await open(
      'CREATE TABLE pair (a INT, b INT, PRIMARY KEY (a, b))',
      '  - { source: dbo.Pair, live: pair, key: [a, b], columns: { a: A, b: B } }\n',
      [sourceTable('Pair', { A: 'int', B: 'int' }, ['A', 'B'])],
    );
    const pairs = Array.from({ length: COUNT }, (_, index) => [index, index]);
    await pipeline.publish({ pair: pairs });
    await pipeline.publish({ pair: [...pairs.slice(1), [0, 1]] });
    expect((await pipeline.read('SELECT a, b FROM pair ORDER BY a, b')).slice(0, 2)).toEqual([
      [0, 1],
      [1, 1],
    ]);
  });
});
