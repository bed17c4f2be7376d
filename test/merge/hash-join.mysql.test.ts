import { afterEach, describe, expect, inject, it } from 'vitest';
import { type RunSpec, type TableSpec, tableOf } from '../../src/model/spec.js';
import { joinsByHash } from '../../src/mysql/plan-of-statement.js';
import {
  findDifferences,
  findGone,
  type KeyJoin,
  mayHashKeys,
  mayHashRows,
  mergeLive,
  type Range,
} from '../../src/sql/differences.js';
import { type Fragment, sql } from '../../src/sql/text.js';
import type { SourceTable } from '../../src/sql-server/schema.js';
import { ByHand, type SourceRows, sourceTable } from '../support/by-hand.js';

/** Keys of whole numbers are joined by hash, if the server says that it would; what is merged is the same either way. */
let pipeline: ByHand;
afterEach(async () => {
  await pipeline.application.query('SET GLOBAL optimizer_switch = default');
  await pipeline.close();
});

const open = async (definition: string, tables: string, source: SourceTable[]) => {
  pipeline = await ByHand.open(inject('mysqlUrl'), 'stageswap_test_hash', [definition], tables, source, {
    chunkRows: 1_000,
  });
};
const withoutHash = () =>
  pipeline.application.query("SET GLOBAL optimizer_switch = 'block_nested_loop=off,hash_join=off'");

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
  it('is not asked for with keys that have more than one spelling, nor with rows of long values', async () => {
    await open('CREATE TABLE thing (id VARCHAR(20) PRIMARY KEY, name VARCHAR(20))', MAPPED, [
      sourceTable('Thing', { Id: 'nvarchar', Name: 'nvarchar' }, ['Id']),
    ]);
    const texts = tableOf(await pipeline.beforeCutOver({ thing: [['a', 'n']] }), 'thing');
    expect([mayHashKeys(texts), mayHashRows(texts)]).toEqual([false, false]);
    await pipeline.close();
    await open('CREATE TABLE thing (id BIGINT PRIMARY KEY, name TEXT)', MAPPED, SOURCE);
    const long = tableOf(await pipeline.beforeCutOver(things(0, 1)), 'thing');
    expect([mayHashKeys(long), mayHashRows(long)]).toEqual([true, false]);
  });
});

describe.each(['by hash', 'by index'] as const)('a merge %s', (how) => {
  const live = () => pipeline.read('SELECT * FROM thing ORDER BY 1, 2');
  /** statements of the merge that joined by hash, as the server remembers them */
  const hashed = async () =>
    Number(
      (
        await pipeline.read(
          "SELECT SUM(count_star) FROM performance_schema.events_statements_summary_by_digest WHERE schema_name = 'stageswap_test_hash' AND digest_text LIKE 'INSERT%JOIN%+ ? =%'",
        )
      )[0]?.[0] ?? 0,
    );

  it('finds what is new, changed, edited, and gone on either side', async () => {
    await open(THING, MAPPED, SOURCE);
    if (how === 'by index') await withoutHash();
    const before = await hashed();
    await pipeline.publish(things(0, 3_000));
    await pipeline.application.query("UPDATE thing SET name = 'edited' WHERE id IN (7, 1500)");
    await pipeline.application.query('DELETE FROM thing WHERE id IN (8, 1501)');
    await pipeline.application.query("INSERT INTO thing VALUES (-5, 'own'), (1000000, 'own')");
    const source = things(0, 3_010).thing ?? [];
    const changed = source
      .filter(([id]) => id !== 9 && id !== 1_502)
      .map(([id, name]) => [id, id === 10 || id === 1_503 ? 'billed' : name] as (string | number)[]);
    await pipeline.publish({ thing: changed });
    const expected = new Map(changed.map(([id, name]) => [id, name]));
    for (const id of [7, 1_500]) expected.set(id, 'edited');
    for (const id of [8, 1_501]) expected.delete(id);
    const rows = [[-5, 'own'], ...expected, [1_000_000, 'own']];
    expect(await live()).toEqual(rows);
    expect((await hashed()) - before > 0).toBe(how === 'by hash');
  });

  it('tells keys apart that doubles would call one, over several columns and to the ends of their types', async () => {
    await open(
      'CREATE TABLE thing (id BIGINT UNSIGNED, part SMALLINT, name VARCHAR(40), PRIMARY KEY (id, part))',
      '  - { source: dbo.Thing, live: thing, key: [id, part], columns: { id: Id, part: Part, name: Name } }\n',
      [sourceTable('Thing', { Id: 'decimal', Part: 'smallint', Name: 'nvarchar' }, ['Id', 'Part'])],
    );
    if (how === 'by index') await withoutHash();
    const ids = [
      '0',
      '9007199254740992',
      '9007199254740993',
      '9223372036854775807',
      '9223372036854775808',
      '18446744073709551615',
    ];
    const rows = ids.flatMap((id) => [-32_768, -1, 0, 32_767].map((part) => [id, part, `${id} ${part}`]));
    await pipeline.publish({ thing: rows });
    await pipeline.application.query(
      "UPDATE thing SET name = 'edited' WHERE id = 9007199254740993 AND part = -1",
    );
    const gone = (row: (string | number)[]) => row[0] === '18446744073709551615' && row[1] === 0;
    const next = rows
      .filter((row) => !gone(row))
      .map(([id = '', part = 0, name = '']) => [id, part, id === '9223372036854775808' ? 'billed' : name]);
    await pipeline.publish({ thing: next });
    const found = await pipeline.read('SELECT CAST(id AS CHAR), part, name FROM thing ORDER BY id, part');
    expect(found).toEqual(
      next.map(([id, part, name]) => [id, part, id === '9007199254740993' && part === -1 ? 'edited' : name]),
    );
  });
});
