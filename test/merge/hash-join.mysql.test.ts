import { afterEach, describe, expect, inject, it, vi } from 'vitest';
import { type RunSpec, type TableSpec, tableOf } from '../../src/model/spec.js';
import { Session } from '../../src/mysql/connection.js';
import { joinsByHash } from '../../src/mysql/hash-join.js';
import { averageRowBytes } from '../../src/mysql/statistics.js';
import {
  findDifferences,
  findGone,
  type KeyJoin,
  mayHash,
  mergeLive,
  type Range,
} from '../../src/sql/differences.js';
import { type Fragment, sql } from '../../src/sql/text.js';
import type { SourceTable } from '../../src/sql-server/schema.js';
import { ByHand, type SourceRows, sourceTable } from '../support/by-hand.js';

/** Keys of whole numbers are joined by hash, if the server says that it would; what is merged is the same either way. */
let pipeline: ByHand;
afterEach(async () => {
  vi.restoreAllMocks();
  await pipeline?.close();
});

const open = async (definition: string, tables: string, source: SourceTable[], chunkRows = 1_000) => {
  pipeline = await ByHand.open(inject('mysqlUrl'), 'stageswap_test_hash', [definition], tables, source, {
    chunkRows,
  });
};
/** The run's sessions from now on are told to make no hash joins. */
function withoutHash(): void {
  const opened = Session.open.bind(Session);
  vi.spyOn(Session, 'open').mockImplementation(async (...given) => {
    const session = await opened(...given);
    await session.connection.query("SET SESSION optimizer_switch = 'block_nested_loop=off'");
    return session;
  });
}

const THING = 'CREATE TABLE thing (id BIGINT PRIMARY KEY, name VARCHAR(20))';
const MAPPED = '  - { source: dbo.Thing, live: thing, key: [id], columns: { id: Id, name: Name } }\n';
const SOURCE = [sourceTable('Thing', { Id: 'bigint', Name: 'nvarchar' }, ['Id'])];
const things = (from: number, to: number): SourceRows => ({
  thing: Array.from({ length: to - from }, (_, index) => [from + index, `n${from + index}`]),
});

describe('a join by hash', () => {
  const statements: [string, (spec: RunSpec, table: TableSpec, by: KeyJoin) => Fragment][] = [
    ['of rows', (spec, table, by) => findDifferences(spec, table, RANGE, by)],
    ['of keys', (spec, table, by) => findGone(spec, table, RANGE, by)],
    ['of the collected keys', (spec, table, by) => mergeLive(spec, table, RANGE, by)],
  ];
  const RANGE: Range = { kind: 'range', from: ['1000'], to: ['2000'] };
  const planOf = async (statement: Fragment) =>
    (await pipeline.session.rows<{ EXPLAIN: string }>(sql`EXPLAIN FORMAT=TREE ${statement}`))[0]?.EXPLAIN ??
    '';

  it.each(statements)(
    '%s is what the server would do, with one hash of the range alone',
    async (_, statement) => {
      await open(THING, MAPPED, SOURCE);
      await pipeline.publish(things(0, 3_000));
      const spec = await pipeline.beforeCutOver(things(0, 3_000));
      const table = tableOf(spec, 'thing');
      expect(await joinsByHash(pipeline.session, statement(spec, table, 'hash'))).toBe(true);
      expect(await joinsByHash(pipeline.session, statement(spec, table, 'index'))).toBe(false);
      const plan = await planOf(statement(spec, table, 'hash'));
      expect(plan.match(/hash (?:anti)?join/gi), plan).toHaveLength(1);
      expect(plan, plan).not.toMatch(/Table scan/i);
    },
  );
  it('is not taken where the server would compare every row with every other', async () => {
    await open(THING, MAPPED, SOURCE);
    await pipeline.publish(things(0, 3_000));
    const spec = await pipeline.beforeCutOver(things(0, 3_000));
    await pipeline.session.connection.query("SET SESSION optimizer_switch = 'block_nested_loop=off'");
    for (const [, statement] of statements)
      expect(await joinsByHash(pipeline.session, statement(spec, tableOf(spec, 'thing'), 'hash'))).toBe(
        false,
      );
  });
  it('reads of either side the range alone where one tenant has most rows', async () => {
    await open(
      'CREATE TABLE thing (tenant INT, id BIGINT, name VARCHAR(20), PRIMARY KEY (tenant, id))',
      '  - { source: dbo.Thing, live: thing, key: [tenant, id], columns: { tenant: Tenant, id: Id, name: Name } }\n',
      [sourceTable('Thing', { Tenant: 'int', Id: 'bigint', Name: 'nvarchar' }, ['Tenant', 'Id'])],
    );
    const rows = { thing: Array.from({ length: 4_000 }, (_, id) => [1, id, `n${id}`]) };
    await pipeline.publish(rows);
    const spec = await pipeline.beforeCutOver(rows);
    await pipeline.application.query('ANALYZE TABLE thing');
    const range: Range = { kind: 'range', from: ['1', '2000'], to: ['1', '3000'] };
    const table = tableOf(spec, 'thing');
    for (const statement of [findDifferences, findGone, mergeLive]) {
      const plan = await planOf(statement(spec, table, range, 'hash'));
      expect(plan, plan).toMatch(/hash (?:anti)?join/i);
      const ranges = plan.match(/over \(tenant = 1 AND 2000 <= id < 3000\)/g) ?? [];
      expect(ranges.length, plan).toBeGreaterThanOrEqual(statement === mergeLive ? 1 : 2);
    }
  });
  it('is not asked for with keys that have more than one spelling', async () => {
    await open('CREATE TABLE thing (id VARCHAR(20) PRIMARY KEY, name VARCHAR(20))', MAPPED, [
      sourceTable('Thing', { Id: 'nvarchar', Name: 'nvarchar' }, ['Id']),
    ]);
    const texts = await pipeline.beforeCutOver({ thing: [['a', 'n']] });
    expect(mayHash(tableOf(texts, 'thing'))).toBe(false);
    await pipeline.close();
    await open(THING, MAPPED, SOURCE);
    expect(mayHash(tableOf(await pipeline.beforeCutOver(things(0, 1)), 'thing'))).toBe(true);
  });
});

/** Which statements of the merge joined by hash: those that compare rows, and those of keys. */
async function hashedBy(work: () => Promise<unknown>): Promise<{ rows: boolean; keys: boolean }> {
  const run = vi.spyOn(Session.prototype, 'run');
  await work();
  const texts = run.mock.calls.map(([{ text }]) => text).filter((text) => /JOIN .* \+ 0 = /.test(text));
  run.mockRestore();
  const comparesRows = (text: string) => text.includes('LEFT JOIN `thing`');
  return { rows: texts.some(comparesRows), keys: texts.some((text) => !comparesRows(text)) };
}

describe('rows of live', () => {
  const WIDE = 'CREATE TABLE thing (id BIGINT PRIMARY KEY, name VARCHAR(20), own MEDIUMTEXT)';

  it('are hashed where they fit', async () => {
    await open(WIDE, MAPPED, SOURCE);
    await pipeline.publish(things(0, 3_000));
    await pipeline.application.query('ANALYZE TABLE thing');
    expect(await averageRowBytes(pipeline.session, 'thing')).toBeLessThan(200);
    expect(await hashedBy(() => pipeline.publish(things(0, 3_000)))).toEqual({ rows: true, keys: true });
  });
  it('are looked up where they are long, whoever owns the column', async () => {
    await open(WIDE, MAPPED, SOURCE);
    await pipeline.publish(things(0, 3_000));
    await pipeline.application.query("UPDATE thing SET own = REPEAT('x', 40000)");
    await pipeline.application.query('ANALYZE TABLE thing');
    expect(await averageRowBytes(pipeline.session, 'thing')).toBeGreaterThan(40_000);
    expect(await hashedBy(() => pipeline.publish(things(0, 3_000)))).toEqual({ rows: false, keys: true });
  });
  it('are looked up where a range has far more of them than the source', async () => {
    await open(
      'CREATE TABLE thing (id BIGINT PRIMARY KEY, name VARCHAR(20), own VARCHAR(1000))',
      MAPPED,
      SOURCE,
    );
    await pipeline.publish(things(0, 10));
    const own = "SELECT n, 'own', REPEAT('x', 1000) FROM up";
    await pipeline.application.query('SET SESSION cte_max_recursion_depth = 100000');
    await pipeline.application.query(
      `INSERT INTO thing WITH RECURSIVE up (n) AS (SELECT 1000 UNION ALL SELECT n + 1 FROM up WHERE n < 40000) ${own}`,
    );
    await pipeline.application.query('ANALYZE TABLE thing');
    expect(await hashedBy(() => pipeline.publish(things(0, 12)))).toEqual({ rows: false, keys: true });
    expect(await pipeline.read('SELECT COUNT(*), SUM(id < 12), SUM(LENGTH(own) = 1000) FROM thing')).toEqual([
      [39_013, '12', '39001'],
    ]);
  });
  it('are looked up where they are few', async () => {
    await open(THING, MAPPED, SOURCE);
    await pipeline.publish(things(0, 900));
    expect(await hashedBy(() => pipeline.publish(things(0, 900)))).toEqual({ rows: false, keys: false });
  });
});

describe.each(['by hash', 'by index'] as const)('a merge %s', (how) => {
  const live = () => pipeline.read('SELECT * FROM thing ORDER BY 1, 2');
  it('finds what is new, changed, edited, and gone on either side', async () => {
    await open(THING, MAPPED, SOURCE);
    if (how === 'by index') withoutHash();
    await pipeline.publish(things(0, 3_000));
    await pipeline.application.query('ANALYZE TABLE thing');
    await pipeline.application.query("UPDATE thing SET name = 'edited' WHERE id IN (7, 1500)");
    await pipeline.application.query('DELETE FROM thing WHERE id IN (8, 1501)');
    await pipeline.application.query("INSERT INTO thing VALUES (-5, 'own'), (1000000, 'own')");
    const source = things(0, 3_010).thing ?? [];
    const changed = source
      .filter(([id]) => id !== 9 && id !== 1_502)
      .map(([id, name]) => [id, id === 10 || id === 1_503 ? 'billed' : name] as (string | number)[]);
    const used = await hashedBy(() => pipeline.publish({ thing: changed }));
    const expected = new Map(changed.map(([id, name]) => [id, name]));
    for (const id of [7, 1_500]) expected.set(id, 'edited');
    for (const id of [8, 1_501]) expected.delete(id);
    const rows = [[-5, 'own'], ...expected, [1_000_000, 'own']];
    expect(await live()).toEqual(rows);
    expect(used).toEqual({ rows: how === 'by hash', keys: how === 'by hash' });
  });

  it('tells keys apart that doubles would call one, over several columns and to the ends of their types', async () => {
    await open(
      'CREATE TABLE thing (id BIGINT UNSIGNED, part SMALLINT, name VARCHAR(40), PRIMARY KEY (id, part))',
      '  - { source: dbo.Thing, live: thing, key: [id, part], columns: { id: Id, part: Part, name: Name } }\n',
      [sourceTable('Thing', { Id: 'decimal', Part: 'smallint', Name: 'nvarchar' }, ['Id', 'Part'])],
      5_000,
    );
    if (how === 'by index') withoutHash();
    const ids = [
      '0',
      '9007199254740992',
      '9007199254740993',
      '9223372036854775807',
      '9223372036854775808',
      '18446744073709551615',
    ];
    const parts = [-32_768, -1, ...Array(200).keys(), 32_767];
    const rows = ids.flatMap((id) => parts.map((part) => [id, part, `${id} ${part}`]));
    await pipeline.publish({ thing: rows });
    await pipeline.application.query('ANALYZE TABLE thing');
    await pipeline.application.query(
      "UPDATE thing SET name = 'edited' WHERE id = 9007199254740993 AND part = -1",
    );
    const gone = (row: (string | number)[]) => row[0] === '18446744073709551615' && row[1] === 0;
    const next = rows
      .filter((row) => !gone(row))
      .map(([id = '', part = 0, name = '']) => [id, part, id === '9223372036854775808' ? 'billed' : name]);
    const used = await hashedBy(() => pipeline.publish({ thing: next }));
    expect(used).toEqual({ rows: how === 'by hash', keys: how === 'by hash' });
    const found = await pipeline.read('SELECT CAST(id AS CHAR), part, name FROM thing ORDER BY id, part');
    expect(found).toEqual(
      next.map(([id, part, name]) => [id, part, id === '9007199254740993' && part === -1 ? 'edited' : name]),
    );
  });
});
