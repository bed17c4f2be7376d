import type mysql from 'mysql2/promise';
import { afterEach, describe, expect, inject, it } from 'vitest';
import { originalConstraintName } from '../src/model/names.js';
import { applicationTriggers, bodyOf } from '../src/mysql/application-triggers.js';
import { readLiveTables } from '../src/mysql/schema.js';
import { ByHand, sourceTable } from './support/by-hand.js';

/**
 * Shapes of live tables that an application may have, each through a whole publish, a merge with edits, and a rollback on
 * a real MySQL. A shape that cannot be carried through is refused by name, never ignored.
 */
const SCHEMA = 'stageswap_test_shapes';
let hand: ByHand;
afterEach(async () => hand?.close());

const open = async (
  definitions: string[],
  tables: string,
  source = [] as Parameters<typeof ByHand.open>[4],
) => {
  hand = await ByHand.open(inject('mysqlUrl'), SCHEMA, definitions, tables, source);
  return hand;
};
const rows = async (statement: string): Promise<unknown[][]> => {
  const [found] = await hand.application.query({ sql: statement, rowsAsArray: true } as mysql.QueryOptions);
  return found as unknown[][];
};
/** What the catalogue says of the tables, without what a run may change: estimates, and a generation in a name. */
const definitions = async () =>
  (
    await readLiveTables(
      hand.session.connection,
      SCHEMA,
      hand.config.tables.map((table) => table.live),
    )
  ).map(({ rowsEstimate: _, dataBytes: __, triggers: ___, checks, foreignKeys, referencedBy, ...table }) => ({
    ...table,
    // MySQL names the checks of a table that is made LIKE another anew: check warns of that
    checks: checks.map(({ clause, enforced }) => `${clause} ${enforced}`).sort(),
    foreignKeys: foreignKeys.map((key) => ({ ...key, name: originalConstraintName(key.name) })),
    referencedBy: referencedBy
      .filter((key) => !key.table.startsWith('_ss'))
      .map((key) => ({ ...key, name: originalConstraintName(key.name) })),
  }));
const indexes = async () =>
  rows(
    `SELECT index_name, non_unique, seq_in_index, column_name, collation, sub_part, index_type, expression, is_visible
       FROM information_schema.statistics WHERE table_schema = '${SCHEMA}' AND table_name NOT LIKE '\\_%'
      ORDER BY table_name, index_name, seq_in_index`,
  );

const CUSTOMER = sourceTable('Customer', { CustomerId: 'bigint', Name: 'nvarchar', Email: 'nvarchar' }, [
  'CustomerId',
]);
const MAPPING = `
  - source: dbo.Customer
    live: customer
    key: [customer_id]
    columns: { customer_id: CustomerId, name: Name, email: Email }
`;

describe('a live table', () => {
  it('carries the NULL of a generated column that divides by zero', async () => {
    await open(
      [
        'CREATE TABLE customer (customer_id BIGINT PRIMARY KEY, name VARCHAR(40), email VARCHAR(40), total INT NOT NULL DEFAULT 12, parts INT NOT NULL DEFAULT 0, part DECIMAL(10,2) AS (total / parts) STORED)',
        "SET sql_mode = 'STRICT_ALL_TABLES'",
        "INSERT INTO customer (customer_id, name) VALUES (1, 'Ada'), (500, 'own')",
      ],
      MAPPING,
      [CUSTOMER],
    );
    await hand.publish({ customer: [[1, 'Ada', 'ada@old']] }, () =>
      hand.application.query('UPDATE customer SET total = 13 WHERE customer_id = 500'),
    );
    await hand.publish({
      customer: [
        [1, 'Ada', 'ada@new'],
        [2, 'Bob', null],
      ],
    });
    expect(await rows('SELECT customer_id, email, total, part FROM customer ORDER BY 1')).toEqual([
      [1, 'ada@new', 12, null],
      [2, null, 12, null],
      [500, null, 13, null],
    ]);
  });

  it('whose foreign key points to a key that is not unique is refused, since the server takes none such any more', async () => {
    await open(
      [
        'SET SESSION restrict_fk_on_non_standard_key = OFF',
        'CREATE TABLE customer (customer_id BIGINT PRIMARY KEY, name VARCHAR(40), email VARCHAR(40), KEY (name))',
        'CREATE TABLE invoice (invoice_id BIGINT PRIMARY KEY, name VARCHAR(40), CONSTRAINT by_name FOREIGN KEY (name) REFERENCES customer (name))',
      ],
      `${MAPPING}  - { source: dbo.Invoice, live: invoice, key: [invoice_id], columns: { invoice_id: InvoiceId, name: Name } }\n`,
      [CUSTOMER, sourceTable('Invoice', { InvoiceId: 'bigint', Name: 'nvarchar' }, ['InvoiceId'])],
    );
    const { refusals } = await hand.decide();
    expect(refusals).toMatchObject([
      { where: 'invoice', what: expect.stringMatching(/foreign key by_name points to customer \(name\)/) },
    ]);
  });

  it('whose name fits MySQL and not the file system, with a generation before it, is refused', async () => {
    const fits = '客'.repeat(47);
    const tooLong = '客'.repeat(48);
    const of = (name: string) => MAPPING.replace('live: customer', `live: ${name}`);
    const definition = (name: string) =>
      `CREATE TABLE ${name} (customer_id BIGINT PRIMARY KEY, name VARCHAR(40), email VARCHAR(40))`;
    await open([definition(fits), definition(tooLong)], of(fits), [CUSTOMER]);
    await hand.publish({ [fits]: [[1, 'Ada', null]] });
    expect(await rows(`SELECT name FROM ${fits}`)).toEqual([['Ada']]);
    hand.remap(of(tooLong));
    expect((await hand.decide()).refusals).toMatchObject([
      { where: tooLong, what: expect.stringMatching(/too long for a file/) },
    ]);
  });

  it('keeps checks, generated and invisible columns, default expressions, ON UPDATE and AUTO_INCREMENT', async () => {
    await open(
      [
        `CREATE TABLE customer (
           customer_id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
           name VARCHAR(40) NOT NULL,
           email VARCHAR(40) NULL,
           name_length INT AS (CHAR_LENGTH(name)) STORED,
           shouted VARCHAR(40) AS (UPPER(name)) VIRTUAL,
           secret INT NULL DEFAULT 7 INVISIBLE,
           token CHAR(36) NOT NULL DEFAULT (UUID()),
           touched DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
           stars INT NOT NULL DEFAULT 1 CHECK (stars > 0),
           CONSTRAINT named CHECK (name <> 'nobody'),
           CONSTRAINT lenient CHECK (stars < 3) NOT ENFORCED,
           UNIQUE KEY by_length (name_length, customer_id)
         ) COMMENT='the application''s own'`,
        "INSERT INTO customer (customer_id, name, secret, stars, touched) VALUES (500, 'own', 42, 9, '2020-01-01 00:00:00.123456')",
      ],
      MAPPING,
      [CUSTOMER],
    );
    const before = [await definitions(), await indexes()];
    await hand.publish({
      customer: [
        [1, 'Ada', 'ada@old'],
        [2, 'Bob', 'bob@old'],
      ],
    });
    expect([await definitions(), await indexes()]).toEqual(before);
    const [[token]] = (await rows('SELECT token FROM customer WHERE customer_id = 1')) as [[string]];
    await hand.application.query(
      "UPDATE customer SET email = 'ada@client', secret = 8 WHERE customer_id = 1",
    );
    await hand.application.query("UPDATE customer SET touched = '2021-01-01' WHERE customer_id = 2");
    const second = await hand.publish(
      {
        customer: [
          [1, 'Ada L.', 'ada@old'],
          [2, 'Bobby', 'bob@old'],
          [3, 'Cyd', null],
        ],
      },
      () => hand.application.query("INSERT INTO customer (name) VALUES ('late')"),
    );
    expect([await definitions(), await indexes()]).toEqual(before);
    const everything = () =>
      rows('SELECT customer_id, name, email, name_length, shouted, secret, stars FROM customer ORDER BY 1');
    expect(await everything()).toEqual([
      [1, 'Ada L.', 'ada@client', 6, 'ADA L.', 8, 1],
      [2, 'Bobby', 'bob@old', 5, 'BOBBY', 7, 1],
      [3, 'Cyd', null, 3, 'CYD', 7, 1],
      [500, 'own', null, 3, 'OWN', 42, 9],
      [501, 'late', null, 4, 'LATE', 7, 1],
    ]);
    expect(await rows('SELECT token FROM customer WHERE customer_id = 1')).toEqual([[token]]);
    expect(
      await rows('SELECT touched FROM customer WHERE customer_id IN (2, 500) ORDER BY customer_id'),
    ).toEqual([['2021-01-01 00:00:00.000000'], ['2020-01-01 00:00:00.123456']]);
    await expect(hand.application.query("INSERT INTO customer (name) VALUES ('nobody')")).rejects.toThrow(
      /Check/,
    );
    await hand.application.query("UPDATE customer SET email = 'since' WHERE customer_id = 2");
    await hand.rollBack(second);
    expect([await definitions(), await indexes()]).toEqual(before);
    expect(await everything()).toEqual([
      [1, 'Ada', 'ada@client', 3, 'ADA', 8, 1],
      [2, 'Bob', 'since', 3, 'BOB', 7, 1],
      [500, 'own', null, 3, 'OWN', 42, 9],
      [501, 'late', null, 4, 'LATE', 7, 1],
    ]);
    // the counter went along: an id is never given twice
    await hand.application.query("INSERT INTO customer (name) VALUES ('next')");
    expect(await rows("SELECT customer_id > 501 FROM customer WHERE name = 'next'")).toEqual([[1]]);
  });

  it("keeps the application's triggers: they fire once for each client's write, in their order, and for none of a run's", async () => {
    await open(
      [
        `CREATE TABLE customer (customer_id BIGINT PRIMARY KEY, name VARCHAR(40), email VARCHAR(40), note VARCHAR(40))`,
        'CREATE TABLE audit (id INT AUTO_INCREMENT PRIMARY KEY, what VARCHAR(100))',
        "CREATE TRIGGER stamp BEFORE UPDATE ON customer FOR EACH ROW SET NEW.note = CONCAT(NEW.email, '?') -- a comment",
        `CREATE TRIGGER \`second one\` AFTER UPDATE ON customer FOR EACH ROW
         BEGIN DECLARE what VARCHAR(100); SET what = CONCAT('second ', NEW.note); INSERT INTO audit (what) VALUES (what); END`,
        `CREATE TRIGGER first_one AFTER UPDATE ON customer FOR EACH ROW PRECEDES \`second one\` INSERT INTO audit (what) VALUES ('first')`,
        "CREATE TRIGGER _ssl_gone AFTER DELETE ON customer FOR EACH ROW INSERT INTO audit (what) VALUES ('deleted')",
        "CREATE TRIGGER born AFTER INSERT ON customer FOR EACH ROW INSERT INTO audit (what) VALUES ('inserted')",
      ],
      MAPPING,
      [CUSTOMER],
    );
    const fired = async () => {
      const found = await rows('SELECT what FROM audit ORDER BY id');
      await hand.application.query('DELETE FROM audit');
      return found.flat();
    };
    const own = async () => {
      const found: string[][] = [];
      for (const trigger of await applicationTriggers(hand.session, 'customer'))
        found.push([trigger.name, await bodyOf(hand.session, trigger), trigger.definer]);
      return found;
    };
    const before = await own();
    expect(before).toHaveLength(5);
    const first = {
      customer: [
        [1, 'Ada', 'ada@old'],
        [2, 'Bob', 'bob@old'],
        [3, 'Cyd', 'cyd@old'],
      ],
    };
    await hand.publish(first);
    expect(await fired()).toEqual([]);
    expect(await own()).toEqual(before);
    await hand.application.query("UPDATE customer SET email = 'ada@client' WHERE customer_id = 1");
    expect(await fired()).toEqual(['first', 'second ada@client?']);
    const second = await hand.publish(
      {
        customer: [
          [1, 'Ada L.', 'ada@old'],
          [2, 'Bob', 'bob@new'],
        ],
      },
      async () => {
        await hand.application.query("UPDATE customer SET email = 'bob@late' WHERE customer_id = 2");
        await hand.application.query("INSERT INTO customer (customer_id, name) VALUES (9, 'own')");
      },
    );
    expect(await fired()).toEqual(['first', 'second bob@late?', 'inserted']);
    expect(await own()).toEqual(before);
    expect(await rows('SELECT customer_id, name, email, note FROM customer ORDER BY 1')).toEqual([
      [1, 'Ada L.', 'ada@client', 'ada@client?'],
      [2, 'Bob', 'bob@late', 'bob@late?'],
      [9, 'own', null, null],
    ]);
    await hand.application.query('DELETE FROM customer WHERE customer_id = 9');
    expect(await fired()).toEqual(['deleted']);
    await hand.rollBack(second);
    expect(await fired()).toEqual([]);
    expect(await own()).toEqual(before);
    await hand.application.query("UPDATE customer SET email = 'since' WHERE customer_id = 3");
    expect(await fired()).toEqual(['first', 'second since?']);
  });

  it('keeps the SQL mode and the collation with which a trigger was made', async () => {
    await open(
      [
        'CREATE TABLE customer (customer_id BIGINT PRIMARY KEY, name VARCHAR(40), email VARCHAR(40))',
        "SET SESSION sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT', collation_connection = 'utf8mb4_bin'",
        `CREATE TRIGGER joined BEFORE UPDATE ON customer FOR EACH ROW SET NEW."name" = NEW."email" || '!'`,
        "SET SESSION sql_mode = 'STRICT_ALL_TABLES'",
      ],
      MAPPING,
      [CUSTOMER],
    );
    await hand.publish({ customer: [[1, 'Ada', 'ada@old']] });
    await hand.application.query("UPDATE customer SET email = 'a' WHERE customer_id = 1");
    expect(await rows('SELECT name FROM customer')).toEqual([['a!']]);
    expect(
      await rows(
        `SELECT trigger_name, sql_mode, collation_connection FROM information_schema.triggers WHERE trigger_schema = '${SCHEMA}' AND event_object_table = 'customer' AND trigger_name LIKE 'joined%'`,
      ),
    ).toEqual([['joined__ss1', expect.stringContaining('ANSI_QUOTES'), 'utf8mb4_bin']]);
  });

  it('keeps full-text, functional, descending, prefix, spatial and invisible indexes', async () => {
    await open(
      [
        `CREATE TABLE customer (
           customer_id BIGINT NOT NULL,
           name VARCHAR(40) NOT NULL,
           email VARCHAR(40) NULL,
           place POINT NOT NULL SRID 0 DEFAULT (POINT(0, 0)),
           tags JSON NULL,
           PRIMARY KEY (customer_id DESC),
           FULLTEXT KEY words (name),
           KEY shouted ((UPPER(name))),
           KEY backwards (name DESC, email),
           KEY start (email(3)),
           KEY unseen (email) INVISIBLE,
           SPATIAL KEY places (place),
           KEY many ((CAST(tags AS UNSIGNED ARRAY)))
         )`,
      ],
      MAPPING,
      [CUSTOMER],
    );
    const before = [await definitions(), await indexes()];
    expect(before[0]).toMatchObject([{ notInstant: 'a full-text index' }]);
    await hand.publish({
      customer: [
        [1, 'Ada', 'ada@old'],
        [2, 'Bob', 'bob@old'],
      ],
    });
    await hand.application.query(
      "UPDATE customer SET tags = '[1, 2]', place = POINT(1, 2) WHERE customer_id = 1",
    );
    const second = await hand.publish({
      customer: [
        [1, 'Ada L.', 'ada@old'],
        [3, 'Cyd', null],
      ],
    });
    const everything = () =>
      rows('SELECT customer_id, name, ST_AsText(place), tags FROM customer ORDER BY 1');
    expect(await everything()).toEqual([
      [1, 'Ada L.', 'POINT(1 2)', [1, 2]],
      [3, 'Cyd', 'POINT(0 0)', null],
    ]);
    expect(await rows("SELECT customer_id FROM customer WHERE MATCH (name) AGAINST ('Cyd')")).toEqual([[3]]);
    await hand.rollBack(second);
    expect([await definitions(), await indexes()]).toEqual(before);
    expect(await everything()).toEqual([
      [1, 'Ada', 'POINT(1 2)', [1, 2]],
      [2, 'Bob', 'POINT(0 0)', null],
    ]);
  });

  it('may have a spatial, a JSON and a floating column of its own, edited while the run works', async () => {
    await open(
      [
        "CREATE TABLE customer (customer_id BIGINT PRIMARY KEY, name VARCHAR(40), email VARCHAR(40), place GEOMETRY, doc JSON, ratio DOUBLE, `bits` BIT(9), kind ENUM('a','b'), flags SET('x','y'), y YEAR, raw VARBINARY(9), t TIME(3))",
      ],
      MAPPING,
      [CUSTOMER],
    );
    await hand.publish({
      customer: [
        [1, 'Ada', null],
        [2, 'Bob', null],
      ],
    });
    const second = await hand.publish(
      {
        customer: [
          [1, 'Ada L.', null],
          [2, 'Bob', null],
        ],
      },
      () =>
        hand.application.query(
          "UPDATE customer SET place = ST_GeomFromText('POINT(3 4)'), doc = '{\"a\": 1}', ratio = 0.1, `bits` = b'101', kind = 'b', flags = 'x,y', y = 2024, raw = x'00ff', t = '01:02:03.456'",
        ),
    );
    const own = () =>
      rows(
        'SELECT customer_id, name, ST_AsText(place), doc, ratio, `bits` + 0, kind, flags, y, HEX(raw), t FROM customer ORDER BY 1',
      );
    const rest = ['POINT(3 4)', { a: 1 }, 0.1, 5, 'b', 'x,y', 2024, '00FF', '01:02:03.456'];
    expect(await own()).toEqual([
      [1, 'Ada L.', ...rest],
      [2, 'Bob', ...rest],
    ]);
    await hand.rollBack(second);
    expect(await own()).toEqual([
      [1, 'Ada', ...rest],
      [2, 'Bob', ...rest],
    ]);
  });
});

describe('a live table', () => {
  it.each(['COMPRESSED', 'COMPACT', 'REDUNDANT', 'DYNAMIC'])('may have rows of format %s', async (format) => {
    await open(
      [
        `CREATE TABLE customer (customer_id BIGINT PRIMARY KEY, name VARCHAR(40), email VARCHAR(40)) ROW_FORMAT=${format}`,
      ],
      MAPPING,
      [CUSTOMER],
    );
    const first = await hand.publish({ customer: [[1, 'Ada', null]] });
    expect(await rows('SELECT * FROM customer')).toEqual([[1, 'Ada', null]]);
    await hand.rollBack(first);
    expect(await rows('SELECT * FROM customer')).toEqual([]);
  });
});

describe('a group', () => {
  it('keeps composite keys, composite and unnamed foreign keys, and references to itself', async () => {
    await open(
      [
        `CREATE TABLE invoice (
           company INT NOT NULL, number INT NOT NULL, corrects INT NULL, note VARCHAR(40),
           PRIMARY KEY (number, company),
           KEY (company, corrects),
           FOREIGN KEY (corrects, company) REFERENCES invoice (number, company))`,
        `CREATE TABLE line (
           company INT NOT NULL, number INT NOT NULL, line INT NOT NULL, text VARCHAR(40),
           PRIMARY KEY (company, number, line),
           FOREIGN KEY (number, company) REFERENCES invoice (number, company) ON DELETE RESTRICT,
           CONSTRAINT line_invoice_again FOREIGN KEY (number, company) REFERENCES invoice (number, company) ON UPDATE NO ACTION)`,
      ],
      `
  - source: dbo.Line
    live: line
    key: [company, number, line]
    columns: { company: Company, number: Number, line: Line, text: Text }
  - source: dbo.Invoice
    live: invoice
    key: [company, number]
    columns: { company: Company, number: Number, corrects: Corrects, note: Note }
`,
      [
        sourceTable('Line', { Company: 'int', Number: 'int', Line: 'int', Text: 'nvarchar' }, [
          'Company',
          'Number',
          'Line',
        ]),
        sourceTable('Invoice', { Company: 'int', Number: 'int', Corrects: 'int', Note: 'nvarchar' }, [
          'Company',
          'Number',
        ]),
      ],
    );
    const before = await definitions();
    await hand.publish({
      invoice: [
        [1, 10, null, 'a'],
        [1, 11, 10, 'b'],
        [2, 10, null, 'c'],
      ],
      line: [
        [1, 10, 1, 'x'],
        [1, 11, 1, 'y'],
        [2, 10, 1, 'z'],
      ],
    });
    await hand.application.query("UPDATE invoice SET note = 'client' WHERE company = 1 AND number = 11");
    const second = await hand.publish(
      {
        invoice: [
          [1, 10, null, 'a2'],
          [1, 11, 10, 'b'],
          [1, 12, 11, 'd'],
        ],
        line: [
          [1, 10, 1, 'x'],
          [1, 11, 1, 'y2'],
          [1, 12, 1, 'w'],
        ],
      },
      () => hand.application.query("UPDATE line SET text = 'late' WHERE number = 10 AND company = 1"),
    );
    const all = async () => [
      await rows('SELECT * FROM invoice ORDER BY company, number'),
      await rows('SELECT * FROM line ORDER BY company, number, line'),
    ];
    expect(await all()).toEqual([
      [
        [1, 10, null, 'a2'],
        [1, 11, 10, 'client'],
        [1, 12, 11, 'd'],
      ],
      [
        [1, 10, 1, 'late'],
        [1, 11, 1, 'y2'],
        [1, 12, 1, 'w'],
      ],
    ]);
    await expect(hand.application.query('DELETE FROM invoice WHERE number = 11')).rejects.toThrow(
      /foreign key/,
    );
    await hand.rollBack(second);
    expect(await all()).toEqual([
      [
        [1, 10, null, 'a'],
        [1, 11, 10, 'client'],
        [2, 10, null, 'c'],
      ],
      [
        [1, 10, 1, 'late'],
        [1, 11, 1, 'y'],
        [2, 10, 1, 'z'],
      ],
    ]);
    const ruled = (tables: Awaited<ReturnType<typeof definitions>>) =>
      tables.map(({ foreignKeys }) =>
        foreignKeys.map(({ columns, referencedTable }) => [columns, referencedTable]),
      );
    expect(ruled(await definitions())).toEqual(ruled(before));
  });

  it('may have names with spaces, capitals, quotes, backticks, accents, reserved words, and of our own aliases', async () => {
    const odd = [
      'Select',
      "it's",
      'tick`tock',
      'say "hi"',
      'ÄÖ ü',
      'l0',
      'i0',
      'a0',
      'k0',
      's0',
      'found',
      '100%',
      'a_b',
      'back\\slash',
      'new',
      'OLD',
      'n?',
      '@x',
      'user',
    ];
    const quote = (name: string) => `\`${name.replaceAll('`', '``')}\``;
    const yaml = (name: string) => JSON.stringify(name);
    await open(
      [
        `CREATE TABLE \`Order of "Ä\`\`s" it's\` (\`key of\` BIGINT PRIMARY KEY, ${odd.map((name) => `${quote(name)} VARCHAR(20)`).join(', ')})`,
        `CREATE TABLE \`group\` (\`Primary\` BIGINT PRIMARY KEY, \`key of\` BIGINT, CONSTRAINT \`a fk\`\`s\` FOREIGN KEY (\`key of\`) REFERENCES \`Order of "Ä\`\`s" it's\` (\`key of\`))`,
      ],
      `
  - source: "[dbo].[My Orders.x]"
    live: ${yaml('Order of "Ä`s" it\'s')}
    key: ["key of"]
    columns:
      "key of": Id
${odd.map((name) => `      ${yaml(name)}: { from: ${yaml(`S ${name}`)} }`).join('\n')}
  - source: dbo.Group
    live: group
    key: [Primary]
    columns: { Primary: Id, "key of": "Order" }
`,
      [
        sourceTable(
          'My Orders.x',
          { Id: 'bigint', ...Object.fromEntries(odd.map((name) => [`S ${name}`, 'nvarchar'])) },
          ['Id'],
        ),
        sourceTable('Group', { Id: 'bigint', Order: 'bigint' }, ['Id']),
      ],
    );
    const order = 'Order of "Ä`s" it\'s';
    const values = (text: string) => odd.map((_, index) => `${text}${index}`);
    await hand.publish({
      [order]: [
        [1, ...values('a')],
        [2, ...values('b')],
      ],
      group: [[7, 1]],
    });
    await hand.application.query(
      `UPDATE ${quote(order)} SET ${quote("it's")} = 'client' WHERE \`key of\` = 1`,
    );
    const second = await hand.publish(
      {
        [order]: [
          [1, ...values('c')],
          [2, ...values('b')],
          [3, ...values('d')],
        ],
        group: [[7, 3]],
      },
      () =>
        hand.application.query(
          `UPDATE ${quote(order)} SET ${quote('tick`tock')} = 'late' WHERE \`key of\` = 2`,
        ),
    );
    const one = (text: string, change: Record<string, string> = {}) =>
      odd.map((name, index) => change[name] ?? `${text}${index}`);
    const all = () => rows(`SELECT * FROM ${quote(order)} ORDER BY 1`);
    expect(await all()).toEqual([
      [1, ...one('c', { "it's": 'client' })],
      [2, ...one('b', { 'tick`tock': 'late' })],
      [3, ...one('d')],
    ]);
    await hand.rollBack(second);
    expect(await all()).toEqual([
      [1, ...one('a', { "it's": 'client' })],
      [2, ...one('b', { 'tick`tock': 'late' })],
    ]);
    expect(await rows('SELECT * FROM `group`')).toEqual([[7, 1]]);
  });

  it('may have so many tables that locking them all takes longer than an attempt may wait', async () => {
    const names = Array.from({ length: 25 }, (_, index) => `t${index}`);
    await open(
      names.map((name) => `CREATE TABLE ${name} (id BIGINT PRIMARY KEY, name VARCHAR(40))`),
      names
        .map(
          (name) => `  - { source: dbo.${name}, live: ${name}, key: [id], columns: { id: Id, name: Name } }`,
        )
        .join('\n'),
      names.map((name) => sourceTable(name, { Id: 'bigint', Name: 'nvarchar' }, ['Id'])),
    );
    const said = (text: string) => Object.fromEntries(names.map((name) => [name, [[1, text]]]));
    await hand.publish(said('old'));
    const second = await hand.publish(said('new'), () =>
      hand.application.query("UPDATE t20 SET name = 'late'"),
    );
    const all = async () =>
      (await Promise.all(names.map((name) => rows(`SELECT name FROM ${name}`)))).flat(2);
    const but = (text: string) => names.map((name) => (name === 't20' ? 'late' : text));
    expect(await all()).toEqual(but('new'));
    await hand.rollBack(second);
    expect(await all()).toEqual(but('old'));
  });

  /** Widens a column as far as MySQL lets a row of the table go. */
  const widen = async (column: string, more: string) => {
    for (let characters = 16_383; ; characters -= 1) {
      const type = `${column} VARCHAR(${characters}) ${more}`;
      const failure = await hand.application
        .query(`ALTER TABLE customer MODIFY ${type}`)
        .catch((error: { errno: number }) => error.errno);
      if (typeof failure !== 'number') return;
      expect(failure).toBe(1118);
    }
  };

  it('is refused by name where it is so wide that no run table can be made after it', async () => {
    await open(
      ['CREATE TABLE customer (customer_id BIGINT PRIMARY KEY, name VARCHAR(40), email VARCHAR(40))'],
      MAPPING,
      [CUSTOMER],
    );
    await widen('name', 'NOT NULL');
    const run = hand.publish({ customer: [[1, 'Ada', 'ada@old']] });
    await expect(run).rejects.toThrow(/customer is so wide .* Live is untouched\. Cure: make a long VARCHAR/);
    expect(await rows('SELECT * FROM customer')).toEqual([]);
  });

  it('may be so wide that it has no room for the barrier’s column', async () => {
    await open(
      [
        'CREATE TABLE customer (customer_id BIGINT PRIMARY KEY, name VARCHAR(40), email VARCHAR(40), shouted VARCHAR(40) AS (UPPER(name)) STORED)',
      ],
      MAPPING,
      [CUSTOMER],
    );
    await widen('shouted', 'AS (UPPER(name)) STORED');
    await hand.publish({ customer: [[1, 'Ada', 'ada@old']] });
    expect(await rows('SELECT name, shouted FROM customer')).toEqual([['Ada', 'ADA']]);
  });
});
