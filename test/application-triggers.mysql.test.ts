import mysql, { type Connection, type RowDataPacket } from 'mysql2/promise';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { ByHand, type ByHandOptions, sourceTable } from './support/by-hand.js';

const SCHEMA = 'stageswap_test_application_triggers';
const SOURCE = [sourceTable('T', { Id: 'int', Body: 'nvarchar' }, ['Id'])];
const mappingOf = (live: string) =>
  `\n  - { source: dbo.T, live: ${live}, key: [id], columns: { id: Id, body: Body } }`;
const ROWS = [[1, 'one']];

let hand: ByHand;
afterEach(async () => {
  await hand?.close();
});

async function open(definitions: string[], live = 't', options: ByHandOptions = {}): Promise<void> {
  hand = await ByHand.open(inject('mysqlUrl'), SCHEMA, definitions, mappingOf(live), SOURCE, options);
}
const client = (statement: string) => hand.application.query(statement);
async function rows(statement: string): Promise<unknown[][]> {
  const [found] = await hand.application.query<RowDataPacket[][]>({ sql: statement, rowsAsArray: true });
  return found;
}

describe("the application's triggers do after a swap what they did before", () => {
  /** each sets a column of its own, told apart by the name, with the SQL mode where it is not MySQL's default */
  const bodies: Record<string, [string, string?]> = {
    doubled_quote: ["HEX('it''s')"],
    backslashes: ["HEX('a\\\\b\\n\\t\\0\\Z\\%\\_x')"],
    escaped_quote: ["HEX('it\\'s')"],
    double_quotes: ['HEX("it\'s ""so""")'],
    introducer: ["HEX(_latin1'\\\\xé')"],
    binary_introducer: ["HEX(_binary'é')"],
    hexadecimal: ["HEX(CONVERT(_latin1 x'E9' USING utf8mb4))"],
    national: ["HEX(N'é')"],
    four_bytes: ["HEX('😀')"],
    expression: ["REGEXP_REPLACE(NEW.body, '\\\\\\\\d+', 'x')"],
    'back`quote': ["'x'"],
    'question?': ["'?'"],
    'double"quote': ["'x'"],
    ansi_quotes: ['CONCAT(NEW."body", \'x"y\')', 'ANSI_QUOTES'],
    no_escapes: ["HEX('a\\b')", 'NO_BACKSLASH_ESCAPES'],
    pipes: ["'a' || 'b'", 'PIPES_AS_CONCAT'],
    version_comment: ["'a' /*!80000 'b' */"],
    concatenated: ["'a' 'b'\n'c'"],
    comment: ["'x' -- don't"],
    condition: ["'IF @stageswap_silent IS NULL THEN\n; END IF; END'"],
  };
  const quoted = (name: string) => `\`${name.replaceAll('`', '``')}\``;

  it('whatever is in their literals and names', async () => {
    const names = Object.keys(bodies);
    await open([
      `CREATE TABLE t (id INT PRIMARY KEY, body VARCHAR(60), ${names.map((name) => `${quoted(name)} VARCHAR(200)`).join(', ')})`,
    ]);
    for (const [name, [value, mode]] of Object.entries(bodies)) {
      await client(`SET SESSION sql_mode = ${mode === undefined ? 'DEFAULT' : `'${mode}'`}`);
      await client(
        `CREATE TRIGGER ${quoted(name)} BEFORE INSERT ON t FOR EACH ROW SET NEW.${quoted(name)} = ${value}`,
      );
    }
    await client('SET SESSION sql_mode = DEFAULT');
    const written: Record<string, unknown>[] = [];
    for (const id of [100, 101, 102]) {
      await client(`INSERT INTO t (id, body) VALUES (${id}, 'a1 d')`);
      const [found] = await hand.application.query<RowDataPacket[]>(
        `SELECT ${names.map(quoted).join(', ')} FROM t WHERE id = ${id}`,
      );
      written.push({ ...found[0] });
      await hand.publish({ t: ROWS });
    }
    expect(written[0]).not.toContain(null);
    expect(written[1]).toEqual(written[0]);
    expect(written[2]).toEqual(written[0]);
  });

  describe('whatever character set their client spoke', () => {
    const charset = async (live: string) =>
      rows(
        `SELECT character_set_client, collation_connection FROM information_schema.triggers WHERE trigger_schema = '${SCHEMA}' AND event_object_table = '${live}' AND trigger_name NOT LIKE '\\_ss%'`,
      );
    /** Bytes as a letter each: of latin1 some are none in Node's, and a letter of GBK may have a backquote's byte. */
    const cases = {
      größe: { clientCharset: 'latin1', collation: 'latin1_german1_ci', name: '\xa4', text: '\xe9\x80' },
      plain: { clientCharset: 'gbk', collation: 'gbk_chinese_ci', name: 'stamp', text: "\x95`\xb1\xed''" },
    };
    for (const [live, { clientCharset, collation, name, text }] of Object.entries(cases))
      it(`${clientCharset}, on ${live}`, async () => {
        await open(['CREATE TABLE made (id INT PRIMARY KEY, body VARCHAR(60), told VARCHAR(200))'], 'made');
        await hand.session.runAsClient(
          `CREATE TRIGGER \`${name}\` BEFORE INSERT ON made FOR EACH ROW SET NEW.told = CONCAT_WS(',', HEX(_binary'${text}'), HEX('${text}'), COLLATION('${text}'))`,
          { clientCharset, collation, sqlMode: '' },
        );
        await client(`RENAME TABLE made TO \`${live}\``);
        hand.remap(mappingOf(live));
        const before = await charset(live);
        expect(before).toEqual([[clientCharset, collation]]);
        const told: unknown[][] = [];
        for (const id of [100, 101, 102]) {
          await client(`INSERT INTO \`${live}\` (id, body) VALUES (${id}, 'x')`);
          told.push(...(await rows(`SELECT told FROM \`${live}\` WHERE id = ${id}`)));
          await hand.publish({ [live]: ROWS });
        }
        expect(told[0]?.[0]).toContain(collation);
        expect([told[1], told[2], await charset(live)]).toEqual([told[0], told[0], before]);
      });

    it('but for one that lacks letters of the name: that is said', async () => {
      await open(['CREATE TABLE made (id INT PRIMARY KEY, body VARCHAR(60))'], 'made');
      await hand.session.runAsClient(
        "CREATE TRIGGER stamp BEFORE INSERT ON made FOR EACH ROW SET NEW.body = '\xe9'",
        { clientCharset: 'latin1', collation: 'latin1_swedish_ci', sqlMode: '' },
      );
      await client('RENAME TABLE made TO `表`');
      hand.remap(mappingOf('表'));
      await expect(hand.publish({ 表: ROWS })).rejects.toThrow(
        /trigger stamp was made by a client that speaks latin1, which lacks letters of the table's or the trigger's name/,
      );
    });
  });
});

describe('a migration of triggers while a run works is not undone by the swap', () => {
  const definitions = [
    'CREATE TABLE t (id INT PRIMARY KEY, body VARCHAR(20))',
    'CREATE TRIGGER first BEFORE INSERT ON t FOR EACH ROW SET NEW.body = CONCAT(NEW.body, 1)',
    'CREATE TRIGGER second BEFORE INSERT ON t FOR EACH ROW SET NEW.body = CONCAT(NEW.body, 2)',
  ];
  const migrations: Record<string, string[]> = {
    'of their order': [
      'DROP TRIGGER second',
      'CREATE TRIGGER second BEFORE INSERT ON t FOR EACH ROW PRECEDES first SET NEW.body = CONCAT(NEW.body, 2)',
    ],
    'of a definer': [
      'DROP TRIGGER second',
      "CREATE DEFINER = 'someone'@'%' TRIGGER second BEFORE INSERT ON t FOR EACH ROW SET NEW.body = CONCAT(NEW.body, 2)",
    ],
    'of an SQL mode': [
      'DROP TRIGGER second',
      "SET SESSION sql_mode = 'ANSI_QUOTES'",
      'CREATE TRIGGER second BEFORE INSERT ON t FOR EACH ROW SET NEW.body = CONCAT(NEW.body, 2)',
    ],
    'of letters that the catalogue does not show': [
      'DROP TRIGGER second',
      "CREATE TRIGGER second BEFORE INSERT ON t FOR EACH ROW SET NEW.body = '😁'",
    ],
  };
  for (const [what, statements] of Object.entries(migrations))
    it(what, async () => {
      await open([
        ...definitions.slice(0, 2),
        what.includes('letters')
          ? "CREATE TRIGGER second BEFORE INSERT ON t FOR EACH ROW SET NEW.body = '😀'"
          : (definitions[2] ?? ''),
      ]);
      const replayed = async () => {
        for (const statement of statements) await client(statement);
      };
      await expect(hand.publish({ t: ROWS }, { replayed })).rejects.toThrow(/t was changed as a whole/);
    });

  it('but a run of its own order is no change', async () => {
    await open(definitions);
    await hand.publish({ t: ROWS });
    await hand.publish({ t: ROWS }, { replayed: () => client("INSERT INTO t VALUES (5, '')") });
    expect(await rows('SELECT body FROM t WHERE id = 5')).toEqual([['12']]);
  });
});

describe('a trigger of another definer', () => {
  const names = ['runs', 'plain', 'mighty', 'by_role', 'role'].map((name) => `stageswap_test_${name}`);
  const [runs = '', plain = '', mighty = '', byRole = '', role = ''] = names;
  const gone = 'stageswap_test_gone';
  let root: Connection;
  const dropUsers = () => root.query(`DROP USER IF EXISTS ${names.join(', ')}`);
  beforeEach(async () => {
    root = await mysql.createConnection(inject('mysqlUrl'));
    await dropUsers();
    for (const user of names) await root.query(`CREATE USER ${user} IDENTIFIED BY 'x'`);
    await root.query(`GRANT SYSTEM_USER ON *.* TO ${mighty}, ${role}`);
    await root.query(`GRANT ${role} TO ${byRole}`);
    await root.query(`GRANT SELECT ON performance_schema.* TO ${runs}`);
    await root.query(
      `GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, LOCK TABLES, TRIGGER ON ${SCHEMA}.* TO ${runs}`,
    );
  });
  afterEach(async () => {
    await dropUsers();
    await root.end();
  });

  async function openWith(rights: string): Promise<void> {
    await root.query(`GRANT ${rights} ON *.* TO ${runs}`);
    await open(
      [
        'CREATE TABLE t (id INT PRIMARY KEY, body VARCHAR(20))',
        ...[plain, mighty, byRole, gone].map(
          (user) =>
            `CREATE DEFINER = ${user} TRIGGER by_${user} BEFORE INSERT ON t FOR EACH ROW SET NEW.body = CONCAT(NEW.body, '!')`,
        ),
      ],
      't',
      { login: `${runs}:x` },
    );
  }

  it('is refused with the right that is missing, where MySQL would refuse it after the ingest', async () => {
    await openWith('PROCESS, SET_ANY_DEFINER');
    const without = (user: string, right: string) => ({
      where: 't',
      what: `its trigger by_${user} is defined by ${user}@%, in whose name this user may not make a trigger without ${right}`,
      cure: `GRANT ${right} ON *.* TO the user of the target's address, or make the trigger anew with another DEFINER`,
    });
    expect((await hand.decide()).refusals).toEqual([
      without(byRole, 'SYSTEM_USER'),
      without(gone, 'ALLOW_NONEXISTENT_DEFINER'),
      without(mighty, 'SYSTEM_USER'),
    ]);
    const left = await rows(
      `SELECT table_name FROM information_schema.tables WHERE table_schema = '${SCHEMA}' UNION ALL SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = '${SCHEMA}' AND event_object_table <> 't'`,
    );
    expect(left).toEqual([['t']]);
  });

  it('goes with its table where these rights are given', async () => {
    await openWith('PROCESS, SET_ANY_DEFINER, SYSTEM_USER, ALLOW_NONEXISTENT_DEFINER');
    await hand.publish({ t: ROWS });
    const [definers] = await root.query<RowDataPacket[][]>({
      sql: `SELECT definer FROM information_schema.triggers WHERE trigger_schema = '${SCHEMA}' AND event_object_table = 't' AND trigger_name LIKE 'by%' ORDER BY action_order`,
      rowsAsArray: true,
    });
    expect(definers).toEqual([plain, mighty, byRole, gone].map((user) => [`${user}@%`]));
  });
});
