import { copyFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import type { RowDataPacket } from 'mysql2/promise';
import { afterEach, describe, expect, inject, it } from 'vitest';
import { definitionOf, indexesOf } from '../src/mysql/fingerprint.js';
import { ByHand, sourceTable } from './support/by-hand.js';

/** What is read out of a live table's definition, where it is written in a way that is easily misread. */
const SCHEMA = 'stageswap_test_definitions';
const SOURCE = [sourceTable('T', { Id: 'int', Body: 'nvarchar' }, ['Id'])];
const ROWS = [
  [1, 'one'],
  [2, 'two'],
];

let hand: ByHand;
afterEach(async () => {
  await hand?.close();
});

async function open(definition: string, live = 't'): Promise<void> {
  const mapping = `\n  - { source: dbo.T, live: ${live}, key: [id], columns: { id: Id, body: Body } }`;
  hand = await ByHand.open(inject('mysqlUrl'), SCHEMA, [definition], mapping, SOURCE);
}
const client = (statement: string) => hand.application.query(statement);
async function rows(statement: string): Promise<unknown[][]> {
  const [found] = await hand.application.query<RowDataPacket[][]>({ sql: statement, rowsAsArray: true });
  return found;
}

describe('the counter of a table', () => {
  const texts = {
    'a comment': "body VARCHAR(60) UNIQUE COMMENT 'it''s AUTO_INCREMENT=3 of id'",
    'a default': "body VARCHAR(60) UNIQUE DEFAULT ' AUTO_INCREMENT=3'",
    'a CHECK constraint': "body VARCHAR(60) UNIQUE CHECK (body <> ') ENGINE=InnoDB AUTO_INCREMENT=3')",
  };
  for (const [what, column] of Object.entries(texts))
    it(`is not taken from ${what} that speaks of AUTO_INCREMENT`, async () => {
      await open(
        `CREATE TABLE t (${column}, id INT PRIMARY KEY AUTO_INCREMENT) COMMENT 'ENGINE=InnoDB AUTO_INCREMENT=4'`,
      );
      expect((await definitionOf(hand.session, 't')).autoIncrement).toBeNull();
      expect((await indexesOf(hand.session, 't')).map(({ name }) => name)).toEqual(['body']);
      await client("INSERT INTO t (id, body) VALUES (500, 'own')");
      await client('DELETE FROM t WHERE id = 500');
      const before = await definitionOf(hand.session, 't');
      expect(before.autoIncrement).toBe('501');
      await client("INSERT INTO t (body) VALUES ('counted')");
      expect((await definitionOf(hand.session, 't')).fingerprint).toBe(before.fingerprint);
      await client("ALTER TABLE t COMMENT 'ENGINE=InnoDB AUTO_INCREMENT=5'");
      expect((await definitionOf(hand.session, 't')).fingerprint).not.toBe(before.fingerprint);
      await hand.publish({ t: ROWS }, () => client("INSERT INTO t (body) VALUES ('while it works')"));
      await client("INSERT INTO t (body) VALUES ('next')");
      expect(await rows("SELECT id FROM t WHERE body = 'next'")).toEqual([[503]]);
    });
});

describe('a TRUNCATE while a run works', () => {
  for (const live of ['größe', '表 Ж-Ǆ①ẞＡ'])
    it(`is found on a table called ${live}`, async () => {
      await open(`CREATE TABLE \`${live}\` (id INT PRIMARY KEY, body VARCHAR(60))`, live);
      await client(`INSERT INTO \`${live}\` VALUES (900, 'own')`);
      await hand.publish({ [live]: ROWS });
      await expect(hand.publish({ [live]: ROWS }, () => client(`TRUNCATE \`${live}\``))).rejects.toThrow(
        /was changed as a whole .* TRUNCATE/,
      );
      expect(await rows(`SELECT * FROM \`${live}\``)).toEqual([]);
    });
});

describe('rows that no trigger sees while a run works', () => {
  const DEFINITION = '(id INT PRIMARY KEY, body VARCHAR(60))';
  // before the first publish: a table that was swapped in has had instant columns, and MySQL takes no other's space for it
  const opened = () => open(`CREATE TABLE t ${DEFINITION}`);

  it('are found where a partition was exchanged with the table', async () => {
    await opened();
    await client(`CREATE TABLE other ${DEFINITION} PARTITION BY HASH (id) PARTITIONS 1`);
    await client("INSERT INTO other VALUES (7, 'exchanged')");
    const run = hand.publish({ t: ROWS }, () =>
      client('ALTER TABLE other EXCHANGE PARTITION p0 WITH TABLE t'),
    );
    await expect(run).rejects.toThrow(/was changed as a whole/);
    expect(await rows('SELECT * FROM t')).toEqual([[7, 'exchanged']]);
  });

  it('come into a table that was swapped in only after it was rebuilt', async () => {
    await opened();
    await hand.publish({ t: ROWS });
    await client(`CREATE TABLE other ${DEFINITION} PARTITION BY HASH (id) PARTITIONS 1`);
    const exchange = () => client('ALTER TABLE other EXCHANGE PARTITION p0 WITH TABLE t');
    await expect(exchange()).rejects.toMatchObject({ errno: 1731 });
    await client('ALTER TABLE t FORCE');
    await exchange();
    expect(await rows('SELECT * FROM t')).toEqual([]);
  });

  it('are found where its tablespace was imported', async () => {
    await opened();
    const run = hand.publish({ t: ROWS }, async () => {
      await client('CREATE TABLE kept LIKE t');
      await client("INSERT INTO kept VALUES (7, 'kept')");
      const [[datadir]] = (await rows('SELECT @@datadir')) as [[string]];
      const file = (table: string, ending: string) => join(datadir, SCHEMA, `${table}.${ending}`);
      await client('FLUSH TABLES kept FOR EXPORT');
      copyFileSync(file('kept', 'ibd'), file('copy', 'ibd'));
      copyFileSync(file('kept', 'cfg'), file('copy', 'cfg'));
      await client('UNLOCK TABLES');
      await client('ALTER TABLE t DISCARD TABLESPACE');
      renameSync(file('copy', 'ibd'), file('t', 'ibd'));
      renameSync(file('copy', 'cfg'), file('t', 'cfg'));
      await client('ALTER TABLE t IMPORT TABLESPACE');
    });
    await expect(run).rejects.toThrow(/was changed as a whole/);
    expect(await rows('SELECT * FROM t')).toEqual([[7, 'kept']]);
  });
});

describe('CHECK constraints', () => {
  it('keep their names and numbers, however MySQL prints them in a table made LIKE another', async () => {
    const checks = [
      "CONSTRAINT sane CHECK (body <> 'x')",
      ...Array.from({ length: 10 }, (_, at) => `CHECK (body <> '${at}')`),
      "CONSTRAINT lenient CHECK (body <> 'y') NOT ENFORCED",
    ];
    await open(
      `CREATE TABLE t (id INT PRIMARY KEY, body VARCHAR(60) CHARACTER SET latin1, ${checks.join(', ')})`,
    );
    await client('ALTER TABLE t DROP CHECK t_chk_3');
    const shown = async () => String((await rows('SHOW CREATE TABLE t'))[0]?.[1]).replace(/__ss\d+`/g, '`');
    const before = await shown();
    await hand.publish({ t: ROWS });
    expect(await shown()).toBe(before);
    const second = await hand.publish({ t: ROWS });
    expect(await shown()).toBe(before);
    expect(
      await rows(
        `SELECT constraint_name FROM information_schema.table_constraints WHERE table_schema = '${SCHEMA}' AND table_name = 't' AND constraint_name LIKE '%\\_\\_ss%' ORDER BY 1`,
      ),
    ).toEqual([['lenient__ss2'], ['sane__ss2']]);
    await hand.rollBack(second);
    expect(await shown()).toBe(before);
  });
});
