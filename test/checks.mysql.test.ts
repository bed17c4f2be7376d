import { afterEach, describe, expect, inject, it, test } from 'vitest';
import { physicalTable } from '../src/model/names.js';
import { tableOf } from '../src/model/spec.js';
import { readConflicts, settle } from '../src/mysql/settlements.js';
import { brokenOfSource } from '../src/sql/checks.js';
import { sql } from '../src/sql/text.js';
import { ByHand, type Moment, type SourceRows, sourceTable } from './support/by-hand.js';

/** A merged row may break a CHECK constraint of live although neither side does: it stays as live has it, and the run goes on. */
const DEFINITION =
  'CREATE TABLE offer (id INT PRIMARY KEY, low INT, high INT, own INT NOT NULL DEFAULT 0, CONSTRAINT in_order CHECK (low <= high))';
const TABLES =
  '  - { source: dbo.Offer, live: offer, key: [id], columns: { id: Id, low: Low, high: High } }\n';
const SOURCE = [sourceTable('Offer', { Id: 'int', Low: 'int', High: 'int' }, ['Id'])];

let pipeline: ByHand;
afterEach(async () => pipeline?.close());

const open = async (definitions = [DEFINITION], tables = TABLES, source = SOURCE, more = '') => {
  pipeline = await ByHand.open(inject('mysqlUrl'), 'stageswap_test_checks', definitions, tables, source, {
    chunkRows: 2,
    more,
  });
};
const query = (statement: string) => pipeline.application.query(statement);
const rows = (statement = 'SELECT id, low, high FROM offer ORDER BY id') => pipeline.read(statement);
const conflicts = async () =>
  (await readConflicts(pipeline.session, 'hand', {}, 100)).conflicts.map(
    ({ kind, key, base, source, live }) => ({
      kind,
      key: Object.values(key),
      sides: [base, source, live].map((side) => (side ? Object.values(side).slice(1) : null)),
    }),
  );

const FIRST: SourceRows = { offer: [1, 2, 3, 4, 5].map((id) => [id, 1, 10]) };
/** Of row 3 billing raises the low end above the high end that the client has set. */
const SECOND: SourceRows = { offer: [1, 2, 3, 4, 5].map((id) => [id, id === 3 ? 8 : 2, 10]) };
const MERGED = [1, 2, 3, 4, 5].map((id) => (id === 3 ? [3, 1, 5] : [id, 2, 10]));
const CLIENT = 'UPDATE offer SET high = 5 WHERE id = 3';
const CHECK = {
  kind: 'check',
  key: ['3'],
  sides: [
    ['1', '10'],
    ['8', '10'],
    ['1', '5'],
  ],
};

it('what the source says by itself is looked at chunk by chunk, each of which is read alone', async () => {
  await open();
  const spec = await pipeline.publish({ offer: Array.from({ length: 2_000 }, (_, id) => [id, 1, 10]) });
  await query(`UPDATE ${physicalTable(spec.generation, 'baseNext', 'offer')} SET _ss_chunk = id DIV 100`);
  await query(
    `UPDATE ${physicalTable(spec.generation, 'baseNext', 'offer')} SET low = 11 WHERE id IN (450, 550)`,
  );
  const { session } = pipeline;
  await session.run(sql`FLUSH STATUS`);
  expect(await session.rows(brokenOfSource(spec, tableOf(spec, 'offer'), 5, 10))).toMatchObject([
    { k0: '550' },
  ]);
  const read = await session.rows<{ Value: string }>(sql`SHOW SESSION STATUS LIKE 'Handler_read%'`);
  expect(read.reduce((sum, { Value }) => sum + Number(Value), 0)).toBeLessThan(110);
});

describe('a merged row that breaks a CHECK constraint', () => {
  it('stays whole as live has it, is listed with all three values, and keeps its base', async () => {
    await open();
    await pipeline.publish(FIRST);
    await query(CLIENT);
    await pipeline.publish(SECOND);
    expect(await rows()).toEqual(MERGED);
    expect(await conflicts()).toEqual([CHECK]);

    await pipeline.publish(SECOND);
    expect(await rows()).toEqual(MERGED);
    expect(await conflicts()).toEqual([CHECK]);

    await query('UPDATE offer SET high = 9 WHERE id = 3');
    await pipeline.publish(SECOND);
    expect(await rows()).toContainEqual([3, 8, 9]);
    expect(await conflicts()).toEqual([]);
  });

  it.each<Moment>(['captured', 'merged', 'replayed', 'locking'])(
    'stays so, too, where the client comes while the run works: %s',
    async (moment) => {
      await open();
      await pipeline.publish(FIRST);
      await pipeline.publish(SECOND, { [moment]: () => query(CLIENT) });
      expect(await rows()).toEqual(MERGED);
      expect(await conflicts()).toEqual([CHECK]);
    },
  );

  it('merges where the client undoes its edit while the run works', async () => {
    await open();
    await pipeline.publish(FIRST);
    await query(CLIENT);
    await pipeline.publish(SECOND, { replayed: () => query('UPDATE offer SET high = 10 WHERE id = 3') });
    expect(await rows()).toContainEqual([3, 8, 10]);
    expect(await conflicts()).toEqual([]);
  });

  it.each<['source' | 'live', unknown[]]>([
    ['source', [3, 8, 10]],
    ['live', [3, 1, 5]],
  ])('is settled as the row of one side: %s', async (side, settled) => {
    await open();
    await pipeline.publish(FIRST);
    await query(CLIENT);
    await pipeline.publish(SECOND);
    expect(await settle(pipeline.session, 'hand', {}, { side, by: 'test' })).toBe(1);
    await pipeline.publish(SECOND);
    expect(await rows()).toContainEqual(settled);
    expect(await conflicts()).toEqual([]);
  });

  it('does not come back by a rollback, which keeps the edit made since', async () => {
    await open();
    await pipeline.publish(FIRST);
    const second = await pipeline.publish({ offer: [1, 2, 3, 4, 5].map((id) => [id, 8, 20]) });
    await query('UPDATE offer SET low = 15 WHERE id = 3'); // 15 to 20; before the publish it was 1 to 10
    await pipeline.rollBack(second);
    expect(await rows()).toEqual([1, 2, 3, 4, 5].map((id) => (id === 3 ? [3, 15, 20] : [id, 1, 10])));
  });

  it('is found where several ranges are merged, and where live has none of a range', async () => {
    await open([DEFINITION.replace('low <= high', 'low <= high AND (own = 0 OR low < 100)')]);
    await pipeline.publish(FIRST);
    await query('UPDATE offer SET own = 1 WHERE id IN (1, 5)');
    await query('DELETE FROM offer WHERE id IN (3, 4)');
    await pipeline.publish({
      offer: [
        [1, 100, 200],
        [2, 100, 200],
        [3, 1, 10],
        [4, 1, 10],
        [5, 100, 200],
        [6, 1, 1],
        [7, 2, 2],
      ],
    });
    expect(await rows()).toEqual([
      [1, 1, 10],
      [2, 100, 200],
      [5, 1, 10],
      [6, 1, 1],
      [7, 2, 2],
    ]);
    expect((await conflicts()).map(({ kind, key }) => [kind, ...key])).toEqual(
      expect.arrayContaining([
        ['check', '1'],
        ['check', '5'],
      ]),
    );
  });
});

test('a new row that its defaults make break a CHECK constraint is held back with its children', async () => {
  await open(
    [
      'CREATE TABLE offer (id INT PRIMARY KEY, low INT, own INT NOT NULL DEFAULT 10, twice INT AS (low * 2), CONSTRAINT of_both CHECK (twice <= own))',
      'CREATE TABLE part (id INT PRIMARY KEY, offer_id INT, CONSTRAINT part_offer FOREIGN KEY (offer_id) REFERENCES offer (id))',
    ],
    `  - { source: dbo.Offer, live: offer, key: [id], columns: { id: Id, low: Low } }
  - { source: dbo.Part, live: part, key: [id], columns: { id: Id, offer_id: OfferId } }\n`,
    [
      sourceTable('Offer', { Id: 'int', Low: 'int' }, ['Id']),
      sourceTable('Part', { Id: 'int', OfferId: 'int' }, ['Id']),
    ],
  );
  const all = {
    offer: [
      [1, 1],
      [2, 6],
      [3, 5],
    ],
    part: [
      [11, 1],
      [12, 2],
      [13, 3],
    ],
  };
  await pipeline.publish(all);
  expect(await rows('SELECT id, low FROM offer ORDER BY id')).toEqual([
    [1, 1],
    [3, 5],
  ]);
  expect(await rows('SELECT id FROM part ORDER BY id')).toEqual([[11], [13]]);
  await pipeline.publish({
    ...all,
    offer: [
      [1, 1],
      [2, 4],
      [3, 5],
    ],
  });
  expect(await rows('SELECT id, low FROM offer ORDER BY id')).toEqual([
    [1, 1],
    [2, 4],
    [3, 5],
  ]);
  expect(await rows('SELECT id FROM part ORDER BY id')).toEqual([[11], [12], [13]]);
});

test('a CHECK constraint that is not enforced keeps no row', async () => {
  await open([DEFINITION.replace('(low <= high)', '(low <= high) NOT ENFORCED')]);
  await pipeline.publish(FIRST);
  await query(CLIENT);
  await pipeline.publish(SECOND);
  expect(await rows()).toContainEqual([3, 8, 5]);
});

test('rows fall back by a unique index and by a CHECK constraint of one table', async () => {
  await open([DEFINITION.replace('low INT', 'low INT UNIQUE')]);
  await pipeline.publish({
    offer: [
      [1, 1, 10],
      [2, 2, 10],
      [3, 3, 10],
    ],
  });
  await query('UPDATE offer SET high = 5 WHERE id = 1');
  // row 1 falls back by its constraint, to low = 1, which row 2 wants
  await pipeline.publish({
    offer: [
      [1, 6, 10],
      [2, 1, 10],
      [3, 4, 10],
    ],
  });
  expect(await rows()).toEqual([
    [1, 1, 5],
    [2, 2, 10],
    [3, 4, 10],
  ]);
  expect((await conflicts()).map(({ kind, key }) => [kind, ...key]).sort()).toEqual([
    ['check', '1'],
    ['unique', '2'],
  ]);
});
