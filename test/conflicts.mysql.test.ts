import { afterEach, describe, expect, inject, it } from 'vitest';
import { tableOf } from '../src/model/spec.js';
import { readKnownRow } from '../src/mysql/explain.js';
import { publishedSpec } from '../src/mysql/published.js';
import { keyOfConflicts, readConflicts, readEdits, resync, settle } from '../src/mysql/settlements.js';
import { ByHand, sourceTable } from './support/by-hand.js';

/** Conflicts and rows as an operator looks for them: by whatever spelling of a key, however long their values are. */
const SCHEMA = 'stageswap_test_conflicts_by_hand';
let hand: ByHand;
afterEach(async () => hand?.close());

const query = (text: string) => hand.application.query(text);
const rows = async (text: string) =>
  (await hand.application.query({ sql: text, rowsAsArray: true } as { sql: string }))[0] as unknown[][];
const open = async (filter = {}) => (await readConflicts(hand.session, 'hand', filter, 100)).conflicts;
async function published() {
  const spec = await publishedSpec(hand.session, 'hand');
  if (!spec) throw new Error('never published');
  return { spec, table: tableOf(spec, 't') };
}
async function known(key: string) {
  const { spec, table } = await published();
  return readKnownRow(hand.session, { ...spec, baseGeneration: spec.generation }, table, [key]);
}

describe('a conflict of long values', () => {
  const long = async (size: number) => {
    hand = await ByHand.open(
      inject('mysqlUrl'),
      SCHEMA,
      ['CREATE TABLE t (id INT PRIMARY KEY, f LONGTEXT)'],
      '  - { source: dbo.T, live: t, key: [id], columns: { id: Id, f: F } }\n',
      [sourceTable('T', { Id: 'int', F: 'nvarchar' }, ['Id'])],
    );
    await hand.publish({
      t: [
        [1, 'a'.repeat(size)],
        [2, 'a'.repeat(size)],
      ],
    });
    await query(`UPDATE t SET f = REPEAT('b', ${size})`);
    await hand.publish({
      t: [
        [1, 'c'.repeat(size)],
        [2, 'c'.repeat(size)],
      ],
    });
  };

  // MySQL sorts rows of up to 256 kB by default, 32 kB at least; of a longer value there is a digest.
  it.each<[number, string, RegExp]>([
    [60_000, 'b%', /^b{60000}$/],
    [1_000_000, 'too long to show: %', /^too long to show: 1000000 bytes, SHA-256 [0-9a-f]{64}$/],
  ])('is listed, found by a condition and explained: %d characters', async (size, like, shown) => {
    await long(size);
    expect((await open()).map(({ key, live }) => [key.id, live?.f])).toEqual([
      ['1', expect.stringMatching(shown)],
      ['2', expect.stringMatching(shown)],
    ]);
    expect(await open({ where: `live->>'$.f' LIKE '${like}' AND \`key\`->>'$.id' = '2'` })).toHaveLength(1);
    expect((await known('1')).conflicts).toHaveLength(1);
  });

  it.each([60_000, 1_000_000])('is settled, and the run carries it out: %d characters', async (size) => {
    await long(size);
    const { spec, table } = await published();
    const unit = table.units[0];
    if (!unit) throw new Error('no unit');
    expect((await readEdits(hand.session, spec, table, unit, { where: 'TRUE' }, 9)).count).toBe(2);
    expect(await settle(hand.session, 'hand', {}, { side: 'source', by: 'test' })).toBe(2);
    expect((await known('1')).settlements).toMatchObject([{ kind: 'field', side: 'source' }]);
    expect((await open()).map(({ settledAs }) => settledAs)).toEqual(['source', 'source']);
    const again = 'c'.repeat(size);
    await hand.publish({
      t: [
        [1, again],
        [2, again],
      ],
    });
    expect(await rows('SELECT LEFT(f, 1) FROM t')).toEqual([['c'], ['c']]);
    expect(await open()).toEqual([]);
  });
});

describe('a key that live spells otherwise', () => {
  it('finds its conflicts and settlements, whatever the spelling, and no other row’s', async () => {
    hand = await ByHand.open(
      inject('mysqlUrl'),
      SCHEMA,
      ['CREATE TABLE t (id VARCHAR(20) COLLATE utf8mb4_0900_ai_ci PRIMARY KEY, a VARCHAR(20))'],
      '  - { source: dbo.T, live: t, key: [id], columns: { id: Id, a: A } }\n',
      [sourceTable('T', { Id: 'nvarchar', A: 'nvarchar' }, ['Id'])],
    );
    const said = (value: string) => ({
      t: [
        ['Abc', value],
        ['other', value],
      ],
    });
    await hand.publish(said('x'));
    await query("UPDATE t SET a = 'mine'");
    await query("UPDATE t SET id = 'ABC' WHERE id = 'abc'");
    await hand.publish(said('theirs'));
    await query("UPDATE t SET id = 'aBC' WHERE id = 'abc'");
    for (const spelled of ['abc', 'aBC', 'ÁBC', 'Abc']) {
      expect((await known(spelled)).conflicts.map(({ columns }) => columns)).toEqual([['a']]);
      const key = await keyOfConflicts(hand.session, 'hand', 't', { id: spelled });
      expect(await open({ table: 't', key })).toHaveLength(1);
    }
    const key = await keyOfConflicts(hand.session, 'hand', 't', { id: 'abc' });
    expect(await settle(hand.session, 'hand', { key }, { side: 'source', by: 'test' })).toBe(1);
    expect((await known('ABC')).settlements).toHaveLength(1);
    expect((await known('other')).settlements).toEqual([]);
    await hand.publish(said('theirs'));
    expect(await rows('SELECT id, a FROM t ORDER BY id')).toEqual([
      ['aBC', 'theirs'],
      ['other', 'mine'],
    ]);
  });

  it.each([
    ['DECIMAL(10,4)', 'decimal', '1.5000', '1.5'],
    ['DATETIME(3)', 'datetime2', '2024-01-02 03:04:05.500', '2024-01-02 03:04:05.5'],
    ['INT UNSIGNED ZEROFILL', 'bigint', '17', '0000000017'],
    ["ENUM('new','OLD')", 'nvarchar', 'OLD', 'OLD'],
    ["SET('a','b')", 'nvarchar', 'a,b', 'a,b'],
    ['BIT(10)', 'int', '17', '17'],
    ['VARBINARY(4)', 'varbinary', '6100', '6100'],
  ])('of type %s likewise', async (type, from, said, spelled) => {
    hand = await ByHand.open(
      inject('mysqlUrl'),
      SCHEMA,
      [`CREATE TABLE t (id ${type} PRIMARY KEY, a VARCHAR(20))`],
      '  - { source: dbo.T, live: t, key: [id], columns: { id: Id, a: A } }\n',
      [
        {
          ...sourceTable('T', { Id: from, A: 'nvarchar' }, ['Id']),
        },
      ],
    );
    const isBytes = type.startsWith('VARBINARY');
    const value = type.startsWith('BIT') ? Number(said) : isBytes ? Buffer.from(said, 'hex') : said;
    await hand.publish({ t: [[value, 'x']] });
    await query("UPDATE t SET a = 'mine'");
    await hand.publish({ t: [[value, 'theirs']] });
    expect((await known(spelled)).conflicts).toHaveLength(1);
  });
});

describe('a new row that is held back', () => {
  const collision = async () => {
    hand = await ByHand.open(
      inject('mysqlUrl'),
      SCHEMA,
      ['CREATE TABLE t (id INT PRIMARY KEY, u INT, UNIQUE KEY (u))'],
      '  - { source: dbo.T, live: t, key: [id], columns: { id: Id, u: U } }\n',
      [sourceTable('T', { Id: 'int', U: 'int' }, ['Id'])],
    );
    await hand.publish({ t: [[1, 1]] });
    await query('INSERT INTO t VALUES (50, 5)');
    await hand.publish({
      t: [
        [1, 1],
        [2, 5],
      ],
    });
    expect(await rows('SELECT id FROM t ORDER BY id')).toEqual([[1], [50]]);
  };

  it('can be resynced: it comes when its value is free, and the word waits until then', async () => {
    await collision();
    const { spec, table } = await published();
    expect(await resync(hand.session, spec, table, ['2'], 'test')).toBe(true);
    expect((await known('2')).settlements).toMatchObject([{ kind: 'resync' }]);
    const said = {
      t: [
        [1, 1],
        [2, 5],
      ],
    };
    await hand.publish(said);
    expect(await rows('SELECT id FROM t ORDER BY id')).toEqual([[1], [50]]);
    expect((await known('2')).settlements).toHaveLength(1);
    await query('DELETE FROM t WHERE id = 50');
    await hand.publish(said);
    expect(await rows('SELECT id, u FROM t ORDER BY id')).toEqual([
      [1, 1],
      [2, 5],
    ]);
    expect((await known('2')).settlements).toEqual([]);
  });

  it('and one that neither side has are told apart', async () => {
    await collision();
    const { spec, table } = await published();
    expect(await resync(hand.session, spec, table, ['3'], 'test')).toBe(false);
  });
});
