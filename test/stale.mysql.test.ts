import type { RowDataPacket } from 'mysql2/promise';
import { afterEach, beforeEach, describe, expect, inject, it, vi } from 'vitest';
import { parseMysqlAddress } from '../src/config/address.js';
import { control } from '../src/model/names.js';
import { Session } from '../src/mysql/connection.js';
import { id, sql } from '../src/sql/text.js';
import { ByHand, type SourceRows, sourceTable } from './support/by-hand.js';

/** What others did to the tables of a run, or attempts of its own that slept: found before the swap, or without effect. */
const CUSTOMER =
  'CREATE TABLE customer (id INT PRIMARY KEY, email VARCHAR(40), constructor VARCHAR(40), KEY by_email (email))';
const INVOICE =
  'CREATE TABLE invoice (id INT PRIMARY KEY, customer_id INT NOT NULL, CONSTRAINT of_customer FOREIGN KEY (customer_id) REFERENCES customer (id))';
const TABLES = `
  - { source: dbo.Customer, live: customer, key: [id], columns: { id: Id, email: Email } }
  - { source: dbo.Invoice, live: invoice, key: [id], columns: { id: Id, customer_id: CustomerId } }
`;
const SOURCE = [
  sourceTable('Customer', { Id: 'int', Email: 'nvarchar' }, ['Id']),
  sourceTable('Invoice', { Id: 'int', CustomerId: 'int' }, ['Id']),
];
const ROWS: SourceRows = { customer: [[1, 'a@x']], invoice: [[10, 1]] };

let pipeline: ByHand;
beforeEach(async () => {
  const open = ByHand.open(inject('mysqlUrl'), 'stageswap_test_stale', [CUSTOMER, INVOICE], TABLES, SOURCE);
  pipeline = await open;
});
afterEach(async () => {
  vi.restoreAllMocks();
  await pipeline?.close();
});

const client = (statement: string) => pipeline.application.query(statement);
async function customers(): Promise<unknown> {
  const [rows] = await pipeline.application.query<RowDataPacket[]>('SELECT * FROM customer');
  return rows;
}
async function triggers(table: string): Promise<string[]> {
  const rows = await pipeline.session.rows<{ name: string }>(
    sql`SELECT trigger_name AS name FROM information_schema.triggers WHERE trigger_schema = DATABASE() AND event_object_table = ${table} ORDER BY name`,
  );
  return rows.map((row) => row.name);
}

describe('a run that was taken back', () => {
  it('is shut out: no attempt of it that wakes up makes triggers, or swaps', async () => {
    await pipeline.publish(ROWS);
    const second = pipeline.publish(ROWS, async () => {
      await pipeline.again('undo', 2);
      await expect(pipeline.again('prepare', 2)).rejects.toThrow(/owns its tables/);
      await expect(pipeline.again('capture', 2)).rejects.toThrow();
      await expect(pipeline.again('cutOver', 2)).rejects.toThrow();
      expect((await triggers('customer')).filter((name) => name.startsWith('_ss2'))).toEqual([]);
      await pipeline.again('undo', 2); // a repetition finds nothing to do
    });
    await expect(second).rejects.toThrow(/owns its tables/);
    const [owner] = await pipeline.session.rows<{ generation: number }>(
      sql`SELECT generation FROM ${id(control.pipeline)}`,
    );
    expect(Number(owner?.generation)).toBe(3);
  });

  it('cannot swap what it had locked before, either', async () => {
    await pipeline.publish(ROWS);
    const second = pipeline.publish(ROWS, async () => {
      // as undo has it, when capture's triggers are gone and the tables are not yet
      await pipeline.session.run(sql`UPDATE ${id(control.pipeline)} SET generation = 3`);
      await expect(pipeline.again('cutOver', 2)).rejects.toThrow(/owns its tables/);
      throw new Error('stop here');
    });
    await expect(second).rejects.toThrow('stop here');
  });

  it('is not taken back after the swap, and keeps the pipeline', async () => {
    await pipeline.publish(ROWS);
    await pipeline.again('undo', 1);
    expect(await triggers('customer')).toHaveLength(3);
    await client("UPDATE customer SET email = 'client' WHERE id = 1");
    await pipeline.publish({ ...ROWS, customer: [[1, 'a@x']] });
    expect(await customers()).toMatchObject([{ email: 'client' }]);
  });
});

describe('a rollback', () => {
  const held = async () => {
    const [row] = await pipeline.session.rows(sql`SELECT held_reason FROM ${id(control.pipeline)}`);
    return row?.held_reason;
  };

  it('holds the pipeline from the swap on, whatever becomes of its steps after that', async () => {
    const published = await pipeline.publish(ROWS);
    const seen: unknown[] = [];
    await pipeline.rollBack(published, { replayed: async () => seen.push(await held()) });
    expect([...seen, await held()]).toEqual([null, 'rolled back by run-2']); // nobody has ended the run
  });

  it('that is not executed holds nothing, and takes back no hold of an operator', async () => {
    const published = await pipeline.publish(ROWS);
    const migrate = { replayed: () => client('ALTER TABLE customer ADD COLUMN late INT') };
    await expect(pipeline.rollBack(published, migrate)).rejects.toThrow(/by a migration/);
    expect(await held()).toBe('rolled back by run-2');
    await pipeline.again('undo', 2);
    expect(await held()).toBeNull();
    await pipeline.again('cutOver', 2).catch(() => {}); // one that slept
    expect(await held()).toBeNull();
    await client(`UPDATE ${control.pipeline} SET held_reason = 'by me'`);
    await pipeline.again('undo', 2);
    expect(await held()).toBe('by me');
  });
});

describe('a backup', () => {
  it('is one of those that are kept, also of a run whose steps after the swap failed', async () => {
    await pipeline.close();
    const more = { more: 'backups: 2' };
    pipeline = await ByHand.open(
      inject('mysqlUrl'),
      'stageswap_test_stale',
      [CUSTOMER, INVOICE],
      TABLES,
      SOURCE,
      more,
    );
    for (const outcome of ['published', 'failed', 'published']) {
      const { generation } = await pipeline.publish(ROWS);
      await client(`UPDATE ${control.run} SET outcome = '${outcome}' WHERE generation = ${generation}`);
    }
    const backups = await pipeline.session.rows(
      sql`SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name LIKE '\\_ss%o\\_customer' ORDER BY name`,
    );
    expect(backups).toEqual([{ name: '_ss2o_customer' }, { name: '_ss3o_customer' }]);
  });
});

describe('before the swap', () => {
  it('a stage that lost an index is found', async () => {
    const run = pipeline.publish(ROWS, () => client('ALTER TABLE _ss1s_customer DROP INDEX by_email'));
    await expect(run).rejects.toThrow(/lacks index by_email/);
  });

  it('a stage that lost a trigger is found', async () => {
    const run = pipeline.publish(ROWS, () => client('DROP TRIGGER _ss1tu_customer'));
    await expect(run).rejects.toThrow(/lacks trigger _ss1tu_customer/);
  });

  it('a live table whose edits are not logged any more is found', async () => {
    const run = pipeline.publish(ROWS, () => client('DROP TRIGGER _ss1lu_customer'));
    await expect(run).rejects.toThrow(/that log its edits: _ss1lu_customer/);
    expect(await customers()).toEqual([]);
  });

  it('a live table that lost a column is found, also where an edit of that column waits in the log', async () => {
    await client("INSERT INTO customer (id, email) VALUES (1, 'a@x')");
    const run = pipeline.publish(ROWS, async () => {
      await client("UPDATE customer SET email = 'b@x' WHERE id = 1");
      await client('ALTER TABLE customer DROP COLUMN email');
    });
    await expect(run).rejects.toThrow(/customer was changed as a whole/);
  });

  it('a live table that was emptied by TRUNCATE is found: its rows would be back', async () => {
    await client("INSERT INTO customer (id, email) VALUES (1, 'a@x'), (2, 'b@x')");
    await client('INSERT INTO invoice VALUES (20, 2), (21, 2)');
    const run = pipeline.publish(ROWS, async () => {
      await client('TRUNCATE invoice');
      await client('INSERT INTO invoice VALUES (22, 2)');
    });
    await expect(run).rejects.toThrow(/invoice was changed as a whole .* TRUNCATE/);
    const [rows] = await pipeline.application.query('SELECT * FROM invoice');
    expect(rows).toMatchObject([{ id: 22 }]);
  });

  it('a stage that can take no more instant changes is rebuilt, and brings no column of its own', async () => {
    await pipeline.publish(ROWS, async () => {
      for (let version = 0; ; version += 1) {
        const change = version % 2 === 0 ? 'ADD COLUMN _ss_barrier INT INVISIBLE' : 'DROP COLUMN _ss_barrier';
        try {
          await client(`ALTER TABLE _ss1s_customer ${change}, ALGORITHM=INSTANT`);
        } catch (error) {
          expect((error as { errno: number }).errno).toBe(4092);
          return;
        }
      }
    });
    const [shown] = await pipeline.application.query<RowDataPacket[]>('SHOW CREATE TABLE customer');
    expect(shown[0]?.['Create Table']).not.toContain('_ss_barrier');
    await pipeline.publish(ROWS);
  });
});

describe('what the application calls like a run’s own', () => {
  it('is looked at under the lock: a foreign key that came meanwhile keeps the swap from being made', async () => {
    const run = pipeline.publish(ROWS, () =>
      client('CREATE TABLE _ssl_child (id INT PRIMARY KEY, FOREIGN KEY (id) REFERENCES customer (id))'),
    );
    await expect(run).rejects.toThrow(/points at it since the run began: _ssl_child\._ssl_child_ibfk_1/);
  });

  it('is not taken away by cleanup', async () => {
    await client('CREATE TABLE _ss0zz_customer (id INT PRIMARY KEY)');
    await pipeline.publish(ROWS);
    await client('SELECT id FROM _ss0zz_customer');
  });
});

describe('columns of the application’s own', () => {
  it('are kept, also under a name that every JavaScript object has', async () => {
    await client("INSERT INTO customer VALUES (1, 'a@x', 'ours')");
    await pipeline.publish(ROWS);
    expect(await customers()).toEqual([{ id: 1, email: 'a@x', constructor: 'ours' }]);
  });

  it('that came after a publish keep it from being rolled back', async () => {
    await pipeline.publish(ROWS);
    await client('ALTER TABLE customer ADD COLUMN vip INT');
    await client('UPDATE customer SET vip = 1');
    await expect(pipeline.beginRollback()).rejects.toThrow(
      /customer is not what run 1 published: since then it has `vip` int/,
    );
    await client('ALTER TABLE customer DROP COLUMN vip');
    await pipeline.beginRollback();
  });
});

describe('a merge', () => {
  it('goes on where a client deletes a row between two of its statements', async () => {
    await client("INSERT INTO customer (id, email) VALUES (1, 'a@x')");
    const run = Session.prototype.run;
    let inserts = 0;
    vi.spyOn(Session.prototype, 'run').mockImplementation(async function (this: Session, statement) {
      // the second INSERT takes what is new to live
      if (/^INSERT INTO `_ss1s_customer`/.test(statement.text)) {
        inserts += 1;
        if (inserts === 2) await client('DELETE FROM customer WHERE id = 1');
      }
      return run.call(this, statement);
    });
    await pipeline.publish({
      customer: [
        [1, 'a@x'],
        [2, 'b@x'],
      ],
    });
    expect(inserts).toBeGreaterThan(2);
    expect(await customers()).toMatchObject([{ id: 1 }, { id: 2 }]); // nothing was published: no row is known as deleted
  });
});

describe('a session', () => {
  it.each([true, false])(
    'runs statements in their order, at once or not (%s), and none after one that fails',
    async (batches) => {
      const session = await Session.open(parseMysqlAddress(pipeline.config.target.url), { batches });
      const insert = (key: number) => sql`INSERT INTO customer (id, email) VALUES (${key}, ${"a'; -- "})`;
      try {
        expect(await session.runAll([])).toEqual([]);
        expect(await session.runAll([insert(1)])).toEqual([1]);
        expect(
          await session.runAll([insert(2), sql`UPDATE customer SET email = 'b' WHERE id < ${3}`, insert(3)]),
        ).toEqual([1, 2, 1]);
        await expect(session.runAll([insert(4), insert(1), insert(5)])).rejects.toMatchObject({
          errno: 1062,
        });
        const count = sql`SELECT COUNT(*) AS n FROM customer`;
        expect(await session.rowsOfAll([count, sql`SELECT id AS id FROM customer WHERE id > 3`])).toEqual([
          [{ n: '4' }],
          [{ id: 4 }],
        ]);
      } finally {
        await session.close();
      }
    },
  );

  it('does not depend on what the server has as its defaults', async () => {
    // harmless to whoever else uses the server, or for an instant
    await client(
      'SET GLOBAL max_execution_time = 3600000, sql_select_limit = 1000000000, max_join_size = 1000000000, sql_quote_show_create = OFF',
    );
    try {
      const session = await Session.open(parseMysqlAddress(pipeline.config.target.url));
      await client('SET GLOBAL sql_quote_show_create = ON');
      const [values] = await session.rows(
        sql`SELECT CAST(@@autocommit AS CHAR) AS autocommit, @@completion_type AS completion, CAST(@@sql_safe_updates AS CHAR) AS safe, @@sql_select_limit AS rows_max, CAST(@@max_execution_time AS CHAR) AS ms_max, @@max_join_size AS join_max, CAST(@@sql_big_selects AS CHAR) AS big, CAST(@@sql_quote_show_create AS CHAR) AS quoted`,
      );
      await session.close();
      expect(values).toEqual({
        autocommit: '1',
        completion: 'NO_CHAIN',
        safe: '0',
        rows_max: '18446744073709551615',
        ms_max: '0',
        join_max: '18446744073709551615',
        big: '1',
        quoted: '1',
      });
    } finally {
      await client(
        'SET GLOBAL max_execution_time = DEFAULT, sql_select_limit = DEFAULT, max_join_size = DEFAULT, sql_quote_show_create = ON',
      );
    }
  });
});
