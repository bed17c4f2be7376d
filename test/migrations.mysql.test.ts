import type { RowDataPacket } from 'mysql2/promise';
import { afterEach, describe, expect, inject, it } from 'vitest';
import { ByHand, sourceTable } from './support/by-hand.js';

/** The application is migrated while the rollback window is open, as it is for a week after every publish. */
const TABLES = '  - { source: dbo.T, live: t, key: [id], columns: { id: Id, body: Body } }\n';
const SOURCE = [sourceTable('T', { Id: 'int', Body: 'nvarchar' }, ['Id'])];
const COLUMNS =
  "id SMALLINT PRIMARY KEY, body VARCHAR(20), note VARCHAR(5), kind ENUM('a','b'), n SMALLINT, l VARCHAR(20) CHARACTER SET latin1, j JSON, g POINT";
const UNKNOWN_COLUMN = 1054;

let pipeline: ByHand;
const open = async (...definitions: string[]) => {
  pipeline = await ByHand.open(inject('mysqlUrl'), 'stageswap_test_migrations', definitions, TABLES, SOURCE);
};
afterEach(async () => {
  await pipeline?.close();
});
const client = (statement: string) => pipeline.application.query(statement);
async function rowsOf(statement: string): Promise<unknown[][]> {
  const [rows] = await pipeline.application.query<RowDataPacket[]>({
    sql: statement,
    rowsAsArray: true,
  } as never);
  return rows as unknown as unknown[][];
}
const row = (id: number) => rowsOf(`SELECT id, body FROM t WHERE id = ${id}`);

describe('in the rollback window', () => {
  const MIGRATIONS = {
    'widens a text': ['note VARCHAR(50)', "note = 'longer than five'"],
    'widens a number': ['n INT', 'n = 100000'],
    'widens the key': ['id INT', 'id = 100000'],
    'adds a member to an ENUM': ["kind ENUM('a','b','c')", "kind = 'c'"],
    'changes a character set': ['l VARCHAR(20) CHARACTER SET utf8mb4', "l = '表'"],
    'makes text of JSON': ['j TEXT', "j = 'no JSON'"],
    'makes text of a point': ['g VARBINARY(40)', "g = 'nowhere'"],
  } as const;
  for (const [what, [column, set]] of Object.entries(MIGRATIONS))
    it(`a migration that ${what} breaks no write of a client`, async () => {
      await open(`CREATE TABLE t (${COLUMNS})`);
      await pipeline.publish({ t: [[1, 'one']] });
      await client("INSERT INTO t (id, body) VALUES (9, 'own')");
      if (column.startsWith('g')) await client('UPDATE t SET g = NULL');
      await client(`ALTER TABLE t MODIFY ${column}`);
      await client(`UPDATE t SET ${set} WHERE id = 9`);
      const [[id] = []] = await rowsOf("SELECT id FROM t WHERE body = 'own'");
      await client(`UPDATE t SET body = 'again' WHERE id = ${id}`);
      expect(await row(Number(id))).toEqual([[id, 'again']]);
      await client(`DELETE FROM t WHERE id = ${id}`);
      expect(await row(Number(id))).toEqual([]);
    });

  it('a migration that takes a column away needs the window closed first', async () => {
    await open('CREATE TABLE t (id INT PRIMARY KEY, body VARCHAR(20), note VARCHAR(5))');
    await pipeline.publish({ t: [[1, 'one']] });
    await client('ALTER TABLE t RENAME COLUMN note TO remark');
    const write = () => client("UPDATE t SET body = 'client' WHERE id = 1");
    await expect(write()).rejects.toMatchObject({ errno: UNKNOWN_COLUMN });
    await pipeline.cleanUp(true);
    await write();
    expect(await row(1)).toEqual([[1, 'client']]);
  });
});

it('a migration while a run works breaks no write of a client', async () => {
  await open(`CREATE TABLE t (${COLUMNS})`);
  const migrated = async () => {
    await client("INSERT INTO t (id, body, j) VALUES (9, 'own', '1')");
    await client('ALTER TABLE t MODIFY id INT, MODIFY j TEXT');
    await client("UPDATE t SET id = 100000, j = 'no JSON' WHERE id = 9");
    await client("UPDATE t SET body = 'again', j = 'none' WHERE id = 100000");
    await client('DELETE FROM t WHERE id = 100000');
  };
  await expect(pipeline.publish({ t: [[1, 'one']] }, { captured: migrated })).rejects.toThrow(
    /t was changed as a whole/,
  );
  expect(await row(100000)).toEqual([]);
});
