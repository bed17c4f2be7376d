import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type MySqlEngine, startMySql } from '../demo/engines/mysql.js';
import { parseMysqlAddress } from '../src/config/address.js';
import { Session } from '../src/mysql/connection.js';
import { applyEdit } from '../src/mysql/edits.js';
import { createControlTables } from '../src/sql/control.js';
import { ByHand, sourceTable } from './support/by-hand.js';

/** A server that is not in UTC: what MySQL computes by the clock is the application's, whoever writes. */
const SCHEMA = 'stageswap_test_zone';
const ZONE = '+05:30';
const MAPPING =
  '  - { source: dbo.Customer, live: customer, key: [id], columns: { id: Id, email: Email } }\n';
const SOURCE = [sourceTable('Customer', { Id: 'int', Email: 'nvarchar' }, ['Id'])];

let engine: MySqlEngine;
let hand: ByHand;
beforeAll(async () => {
  engine = await startMySql(() => {}, { owned: true, settings: [`default-time-zone=${ZONE}`] });
});
afterAll(() => engine?.stop());
afterEach(() => hand?.close());

async function open(columns: string, ...more: string[]): Promise<void> {
  const customer = `CREATE TABLE customer (id INT PRIMARY KEY, email VARCHAR(40), ${columns})`;
  hand = await ByHand.open(engine.url, SCHEMA, [customer, ...more], MAPPING, SOURCE);
}
/** What is refused, by place. */
const refused = async () => (await hand.decide()).refusals.map(({ where, what }) => `${where}: ${what}`);

describe('defaults that are the moment', () => {
  const NEAR = `ABS(TIMESTAMPDIFF(SECOND, created_at, NOW())) < 600 AND ABS(TIMESTAMPDIFF(SECOND, stamped_at, NOW())) < 600
    AND ABS(TIMESTAMPDIFF(SECOND, ADDTIME(CAST(born_on AS DATETIME), born_at), NOW())) < 600`;

  it('are those of a client that sets no time zone, in rows that are new, replayed, or settled', async () => {
    await open(
      'created_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6), stamped_at TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3), born_on DATE NOT NULL DEFAULT (CURDATE()), born_at TIME(2) NOT NULL DEFAULT (CURTIME(2)), whole_at DATETIME(6) NOT NULL DEFAULT (NOW())',
    );
    const far = "created_at = '2001-01-01', born_on = '2001-01-01'";
    await hand.publish({
      customer: [
        [1, 'a@x'],
        [2, 'b@x'],
      ],
    });
    expect(
      await hand.read(
        `SELECT id, ${NEAR}, MICROSECOND(whole_at), whole_at >= created_at - INTERVAL 600 SECOND FROM customer ORDER BY id`,
      ),
    ).toEqual([
      [1, 1, 0, 1],
      [2, 1, 0, 1],
    ]);
    await hand.application.query(`UPDATE customer SET ${far} WHERE id = 2`);
    await hand.publish(
      {
        customer: [
          [1, 'a@y'],
          [2, 'b@y'],
          [3, 'c@y'],
        ],
      },
      async () => {
        await hand.application.query("INSERT INTO customer (id, email) VALUES (3, 'mine@x')");
        await hand.application.query('DELETE FROM customer WHERE id = 3');
      },
    );
    expect(await hand.read(`SELECT id, email, ${NEAR} FROM customer ORDER BY id`)).toEqual([
      [1, 'a@y', 1],
      [2, 'b@y', 0], // kept as the application has it
      [3, 'c@y', 1],
    ]);
  });

  it('that are more than the moment are refused', async () => {
    await open(
      'due_at DATETIME NOT NULL DEFAULT (NOW() + INTERVAL 30 DAY), label VARCHAR(40) NOT NULL DEFAULT (CAST(CURDATE() AS CHAR)), utc_at DATETIME NOT NULL DEFAULT (UTC_TIMESTAMP()), till TIMESTAMP NOT NULL DEFAULT (NOW() + INTERVAL 36 HOUR), midnight DATETIME NOT NULL DEFAULT (CURDATE())',
    );
    expect(await refused()).toEqual([
      expect.stringMatching(/^customer\.due_at: its default .* depends on the time zone of whoever writes/),
      expect.stringMatching(/^customer\.label: its default/),
      expect.stringMatching(/^customer\.midnight: its default/),
    ]);
  });
});

describe('a default', () => {
  it.each([
    'a TIMESTAMP NOT NULL DEFAULT (CURDATE())',
    "a TIMESTAMP NOT NULL DEFAULT ('2024-01-01 00:00:00')",
    "a TIMESTAMP NOT NULL DEFAULT (DATE_FORMAT(NOW(), '%Y-%m-01'))",
    'a TIMESTAMP NOT NULL DEFAULT (NOW() + INTERVAL 1 DAY)',
    "s TIMESTAMP NOT NULL DEFAULT '2024-01-01 22:00:00', a DATETIME NOT NULL DEFAULT (s)",
    "a BIGINT NOT NULL DEFAULT (UNIX_TIMESTAMP('2024-01-01 00:00:00'))",
  ])('is refused: %s', async (columns) => {
    await open(columns);
    expect(await refused()).toEqual([expect.stringMatching(/^customer\.a: its default/)]);
  });

  it.each([
    "a TIMESTAMP NOT NULL DEFAULT '2024-01-01 00:00:00'",
    "a VARCHAR(20) NOT NULL DEFAULT (_utf8mb4'pay now')",
    "a VARCHAR(20) NOT NULL DEFAULT (CONCAT('it''s now', ' '))",
    "a DATETIME NOT NULL DEFAULT (STR_TO_DATE('2024-02-03', '%Y-%m-%d') + INTERVAL 1 DAY)",
  ])('is the same in a row of a run as in a client’s: %s', async (columns) => {
    await open(columns);
    expect(await refused()).toEqual([]);
    await hand.publish({ customer: [[1, 'a@x']] });
    await hand.application.query("INSERT INTO customer (id, email) VALUES (2, 'b@x')");
    expect(await hand.read('SELECT COUNT(DISTINCT a) FROM customer')).toEqual([[1]]);
  });
});

describe('what is stored of a TIMESTAMP, or decided by it,', () => {
  it('is refused where it depends on the time zone: generated columns, indexes, CHECK constraints', async () => {
    await open(
      `ts TIMESTAMP NULL, \`odd\`\`name\` TIMESTAMP NULL,
       day DATE AS (DATE(ts)) STORED, shown DATE AS (DATE(ts)) VIRTUAL,
       shown_year INT AS (YEAR(shown)) VIRTUAL, year_kept INT AS (YEAR(shown)) STORED, other INT AS (HOUR(\`odd\`\`name\`)) VIRTUAL,
       later TIMESTAMP NULL, CONSTRAINT in_order CHECK (later > ts OR (ts IS NULL AND later <> ts)), CONSTRAINT by_day CHECK (HOUR(later) < 18), CONSTRAINT since CHECK (ts > '2000-01-01'), CONSTRAINT same_day CHECK (day = shown),
       KEY by_shown_year (shown_year), KEY by_hour ((HOUR(ts))), KEY by_other (other), KEY by_ts (ts)`,
    );
    const because = 'depends on the time zone of whoever writes: a run would compute it in UTC';
    const found = await refused();
    expect(found.map((text) => text.split(':')[0]).sort()).toEqual(
      ['by_day', 'by_hour', 'by_other', 'by_shown_year', 'day', 'same_day', 'since', 'year_kept'].map(
        (name) => `customer.${name}`,
      ),
    );
    for (const text of found) expect(text).toContain(because);
  });

  it('is carried as live has it where it does not', async () => {
    await open(
      'ts TIMESTAMP NULL, shown DATE AS (DATE(ts)) VIRTUAL, day DATE AS (DATE(at)) STORED, at DATETIME NULL, KEY (ts)',
    );
    await hand.application.query(
      "INSERT INTO customer (id, email, ts, at) VALUES (7, 'own@x', '2026-07-01 02:00:00', '2026-07-01 02:00:00')",
    );
    const all = () => hand.read('SELECT id, ts, shown, day, UNIX_TIMESTAMP(ts) FROM customer WHERE id = 7');
    const before = await all();
    await hand.publish({ customer: [[1, 'a@x']] });
    expect(await all()).toEqual(before);
  });
});

describe('an edit that is handed in', () => {
  const edit = async (editId: string, key: Record<string, string>, set: Record<string, string>) => {
    const session = await Session.open(parseMysqlAddress(`${engine.url}${SCHEMA}`), { logged: true });
    try {
      return await applyEdit(session, 'hand', [{ live: 'customer', key: Object.keys(key) }], {
        editId,
        table: 'customer',
        key,
        set,
      });
    } finally {
      await session.close();
    }
  };

  it('makes MySQL and triggers compute as any client does; one that names a TIMESTAMP is in UTC, in whatever spelling', async () => {
    await open(
      'touched_at DATETIME(6) NULL ON UPDATE CURRENT_TIMESTAMP(6), triggered_at DATETIME NULL, seen_at TIMESTAMP NULL, seen_on DATE AS (DATE(seen_at)) VIRTUAL',
      'CREATE TRIGGER stamp BEFORE UPDATE ON customer FOR EACH ROW SET NEW.triggered_at = NOW()',
    );
    await hand.publish({ customer: [[1, 'a@x']] });
    const seen = () =>
      hand.read(
        'SELECT email, ABS(TIMESTAMPDIFF(SECOND, touched_at, NOW())) < 600, ABS(TIMESTAMPDIFF(SECOND, triggered_at, NOW())) < 600, UNIX_TIMESTAMP(seen_at) FROM customer WHERE id = 1',
      );
    expect(await edit('one', { id: '1' }, { email: 'b@x' })).toMatchObject({ outcome: 'applied' });
    expect(await seen()).toEqual([['b@x', 1, 1, null]]);
    const at = Date.UTC(2026, 6, 1, 20, 0, 0) / 1000;
    for (const [name, value, moment] of [
      ['seen_at', '2026-07-01 20:00:00', at],
      ['SEEN_AT', '2026-07-01 20:01', at + 60],
      ['seen_at', '2026/7/1 20:02:00', at + 120],
      ['seen_at', '20260701200300', at + 180],
      ['seen_at', '2026-07-01', at - 20 * 3600],
      ['seen_at', '2026-07-01 22:00:00+01:00', at + 3600],
    ] as const) {
      expect(await edit(`${name} ${value}`, { id: '1' }, { [name]: value })).toMatchObject({
        outcome: 'applied',
      });
      expect((await seen())[0]?.[3], `${name} ${value}`).toBe(moment);
    }
  });

  it('finds its row by a TIMESTAMP in UTC', async () => {
    hand = await ByHand.open(
      engine.url,
      SCHEMA,
      ['CREATE TABLE customer (id TIMESTAMP PRIMARY KEY, email VARCHAR(40))'],
      MAPPING,
      SOURCE,
    );
    for (const statement of createControlTables()) await hand.session.run(statement);
    await hand.application.query("REPLACE INTO customer VALUES ('2026-07-01 20:00:00+00:00', 'a@x')");
    expect(await edit('key', { id: '2026-07-01 20:00:00' }, { email: 'b@x' })).toMatchObject({
      outcome: 'applied',
    });
    expect(await hand.read('SELECT email FROM customer')).toEqual([['b@x']]);
  });
});
