import { afterEach, describe, expect, inject, it } from 'vitest';
import { ByHand, sourceTable } from './support/by-hand.js';

/** The application is migrated while the rollback window is open, as it is for a week after every publish. */
const TABLES = '  - { source: dbo.T, live: t, key: [id], columns: { id: Id, body: Body } }\n';
const SOURCE = [sourceTable('T', { Id: 'int', Body: 'nvarchar' }, ['Id'])];
const COLUMNS =
  "id SMALLINT PRIMARY KEY, body VARCHAR(20), note VARCHAR(5), kind ENUM('a','b'), n SMALLINT, l VARCHAR(20) CHARACTER SET latin1, j JSON, g POINT";
const UNKNOWN_COLUMN = 1054;

let pipeline: ByHand;
const PARENT =
  'CREATE TABLE p (id INT PRIMARY KEY AUTO_INCREMENT, body VARCHAR(20), name VARCHAR(20) NOT NULL DEFAULT (CONCAT("no", "ne")), UNIQUE KEY by_name (id, name))';
const CHILD = `CREATE TABLE c (
  id INT PRIMARY KEY, p_id INT, body VARCHAR(20) CHARACTER SET latin1 COMMENT 'a ''comment''', note VARCHAR(20) DEFAULT 'x',
  whole VARCHAR(60) CHARACTER SET latin1 GENERATED ALWAYS AS (CONCAT(body, 'ä', note)) STORED,
  KEY by_whole (whole), UNIQUE KEY by_body (p_id, (LOWER(CONCAT(body, 'ö', id)))), FULLTEXT KEY by_words (note),
  CONSTRAINT of_p FOREIGN KEY (p_id) REFERENCES p (id) ON DELETE RESTRICT,
  CHECK (body <> 'x'), CONSTRAINT sane CHECK (note <> 'ü')
) COMMENT 'of the application' DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci`;
const TRIGGER = "CREATE TRIGGER mark BEFORE INSERT ON c FOR EACH ROW SET NEW.note = 'new'";
const GROUP = `
  - { source: dbo.P, live: p, key: [id], columns: { id: Id, body: Body } }
  - { source: dbo.C, live: c, key: [id], columns: { id: Id, p_id: PId, body: Body } }`;
const GROUP_SOURCE = [
  sourceTable('P', { Id: 'int', Body: 'nvarchar' }, ['Id']),
  sourceTable('C', { Id: 'int', PId: 'int', Body: 'nvarchar' }, ['Id']),
];
const group = (body: string) => ({ p: [[1, body]], c: [[10, 1, body]] });
const openGroup = async () => {
  pipeline = await ByHand.open(
    inject('mysqlUrl'),
    'stageswap_test_migrations',
    [PARENT, CHILD, TRIGGER],
    GROUP,
    GROUP_SOURCE,
    { more: 'backups: 2' },
  );
};
const open = async (...definitions: string[]) => {
  pipeline = await ByHand.open(inject('mysqlUrl'), 'stageswap_test_migrations', definitions, TABLES, SOURCE);
};
afterEach(async () => {
  await pipeline?.close();
});
const client = (statement: string) => pipeline.application.query(statement);
const rowsOf = (statement: string) => pipeline.read(statement);
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

it('while the cut-over is rehearsed is named: a foreign key with its column', async () => {
  await openGroup();
  await pipeline.publish(group('one'));
  const spec = await pipeline.beforeCutOver(group('two'));
  const [[key] = []] = await rowsOf(
    "SELECT constraint_name FROM information_schema.referential_constraints WHERE constraint_schema = DATABASE() AND table_name = 'c'",
  );
  await client(`ALTER TABLE c DROP FOREIGN KEY ${key}, RENAME COLUMN p_id TO parent_id`);
  await expect(pipeline.rehearse(spec)).rejects.toMatchObject({ type: 'LiveChanged' });
});

describe('a rollback', () => {
  const bodies = () => rowsOf('SELECT p.body, c.body FROM p JOIN c ON c.p_id = p.id');
  const named = async (like: string) => {
    const [[name] = []] = await rowsOf(
      `SELECT constraint_name FROM information_schema.table_constraints WHERE table_schema = DATABASE() AND table_name = 'c' AND constraint_name LIKE '${like}%'`,
    );
    return String(name);
  };

  it('takes a table of any definition for what was published, of the latest publish and of older ones', async () => {
    await openGroup();
    for (const body of ['one', 'two', 'three']) await pipeline.publish(group(body));
    await pipeline.rollBackTo();
    expect(await bodies()).toEqual([['two', 'two']]);
    await client(`ALTER TABLE c MODIFY note VARCHAR(60), DROP CHECK ${await named('sane')}`);
    await client(
      "ALTER TABLE c MODIFY note VARCHAR(20) DEFAULT 'x', ADD CONSTRAINT sane CHECK (note <> 'ü')",
    );
    await pipeline.rollBackTo('2-without-edits');
    expect(await bodies()).toEqual([['one', 'one']]);
  });

  const MIGRATIONS: Record<string, () => Promise<string[]>> = {
    'a column': async () => ['ALTER TABLE c ADD COLUMN late INT'],
    'a character set': async () => ['ALTER TABLE c MODIFY note VARCHAR(20) CHARACTER SET latin1'],
    'a default': async () => ["ALTER TABLE c ALTER note SET DEFAULT 'y'"],
    'an index': async () => ['ALTER TABLE c DROP INDEX by_words'],
    'a check': async () => ["ALTER TABLE c ADD CHECK (note <> 'z')"],
    'a dropped foreign key': async () => [`ALTER TABLE c DROP FOREIGN KEY ${await named('of_p')}`],
    'another foreign key': async () => ['ALTER TABLE c ADD FOREIGN KEY (id) REFERENCES p (id)'],
    'a trigger': async () => ['CREATE TRIGGER late BEFORE DELETE ON c FOR EACH ROW SET @gone = OLD.id'],
  };
  for (const [what, migration] of Object.entries(MIGRATIONS))
    it(`over a migration is refused: ${what}`, async () => {
      await openGroup();
      await pipeline.publish({ ...group('one'), c: [] });
      for (const statement of await migration()) await client(statement);
      await expect(pipeline.beginRollbackTo()).rejects.toThrow(
        /definition of c is not what run 1 published: (since then it has|it had) .*Undo the migration/,
      );
    });
});
