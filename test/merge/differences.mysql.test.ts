import { afterEach, expect, inject, test } from 'vitest';
import { ByHand, type SourceRows, sourceTable } from '../support/by-hand.js';

/** The merge by differences finds what most rows hide: all but a few say the same on both sides. */
const ITEM = 'CREATE TABLE item (id INT PRIMARY KEY, name VARCHAR(20), note VARCHAR(20) NULL)';
const TABLES = '  - { source: dbo.Item, live: item, key: [id], columns: { id: Id, name: Name } }\n';
const SOURCE = [sourceTable('Item', { Id: 'int', Name: 'nvarchar' }, ['Id'])];

let pipeline: ByHand;
afterEach(async () => pipeline?.close());

const rows = (...ids: number[]): SourceRows => ({ item: ids.map((id) => [id, `n${id}`]) });
async function published(first: SourceRows): Promise<void> {
  pipeline = await ByHand.open(inject('mysqlUrl'), 'stageswap_test_differences', [ITEM], TABLES, SOURCE, {
    chunkRows: 2,
  });
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
