import { afterEach, describe, expect, inject, it, vi } from 'vitest';
import { readBackups } from '../src/mysql/backups.js';
import { Session } from '../src/mysql/connection.js';
import { publishedGeneration } from '../src/mysql/published.js';
import { ByHand, type SourceRows, sourceTable } from './support/by-hand.js';

/** The way back after a swap: what is kept, what is told, and how far back it goes. */
const CUSTOMER = `CREATE TABLE customer (id INT PRIMARY KEY AUTO_INCREMENT, email VARCHAR(40), street VARCHAR(40), city VARCHAR(40),
  note VARCHAR(40) DEFAULT 'none', KEY by_email (email)) COMMENT='the application''s'`;
const INVOICE =
  'CREATE TABLE invoice (id INT PRIMARY KEY, customer_id INT NOT NULL, amount DECIMAL(10,2), CONSTRAINT of_customer FOREIGN KEY (customer_id) REFERENCES customer (id))';
const TABLES = `
  - { source: dbo.Customer, live: customer, key: [id], columns: { id: Id, email: Email, street: Street, city: City }, groups: [[street, city]] }
  - { source: dbo.Invoice, live: invoice, key: [id], columns: { id: Id, customer_id: CustomerId, amount: Amount } }
`;
const SOURCE = [
  sourceTable('Customer', { Id: 'int', Email: 'nvarchar', Street: 'nvarchar', City: 'nvarchar' }, ['Id']),
  sourceTable('Invoice', { Id: 'int', CustomerId: 'int', Amount: 'decimal' }, ['Id']),
];
const FIRST: SourceRows = {
  customer: [
    [1, 'one@old', 'Elm 1', 'Oslo'],
    [2, 'two@old', 'Oak 2', 'Bonn'],
    [3, 'three@old', 'Ash 3', 'Rome'],
  ],
  invoice: [[10, 1, '1.00']],
};
const SECOND: SourceRows = {
  customer: [
    [1, 'one@new', 'New 1', 'Oslo'],
    [2, 'two@new', 'Oak 2', 'Berlin'],
    [4, 'four@new', 'Yew 4', 'Kyiv'],
    [5, 'five@new', 'Fir 5', 'Lyon'],
    [6, 'six@new', 'Bay 6', 'Nice'],
  ],
  invoice: [
    [10, 1, '2.00'],
    [11, 4, '3.00'],
  ],
};

let pipeline: ByHand;
const open = async (more = '') => {
  pipeline = await ByHand.open(
    inject('mysqlUrl'),
    'stageswap_test_rollback',
    [CUSTOMER, INVOICE],
    TABLES,
    SOURCE,
    { more },
  );
};
afterEach(async () => {
  await pipeline?.close();
});

const client = (statement: string) => pipeline.application.query(statement);
const rowsOf = (statement: string) => pipeline.read(statement);
const customers = () => rowsOf('SELECT id, email, street, city, note FROM customer ORDER BY id');
const names = async () => (await readBackups(pipeline.session, 'hand')).map(({ name }) => name);

describe('a rollback of the latest publish', () => {
  it('keeps edits by column group, tells stale forms, and rows that stay', async () => {
    await open();
    await pipeline.publish(FIRST);
    await pipeline.publish(SECOND);
    await client("UPDATE customer SET city = 'Trondheim' WHERE id = 1"); // a group that the publish changed, too
    await client("UPDATE customer SET email = 'two@old' WHERE id = 2"); // a form that was opened before the swap
    await client("UPDATE customer SET note = 'vip' WHERE id = 4"); // built upon a row that came with the publish
    await client("INSERT INTO customer (id, email) VALUES (900, 'own')");
    await client('INSERT INTO invoice VALUES (901, 5, 1)'); // needs a row that came with the publish
    const found = await pipeline.rollBackTo();
    expect(await customers()).toEqual([
      [1, 'one@old', 'New 1', 'Trondheim', 'none'],
      [2, 'two@old', 'Oak 2', 'Bonn', 'none'],
      [3, 'three@old', 'Ash 3', 'Rome', 'none'],
      [4, 'four@new', 'Yew 4', 'Kyiv', 'vip'],
      [5, 'five@new', 'Fir 5', 'Lyon', 'none'],
      [900, 'own', null, null, 'none'],
    ]);
    expect(found.stale).toEqual({
      count: 1,
      edits: [
        {
          table: 'customer',
          key: { id: '2' },
          published: { email: 'two@new' },
          backup: { email: 'two@old' },
        },
      ],
    });
    expect(found.staying.count).toBe(4);
    expect(found.staying.rows.map(({ table, key, why }) => [table, key.id, why])).toEqual(
      expect.arrayContaining([
        ['customer', '4', 'changed by a client'],
        ['customer', '5', 'has rows that stay'],
        ['customer', '900', 'made by a client'],
        ['invoice', '901', 'made by a client'],
      ]),
    );
    expect(await publishedGeneration(pipeline.session, 'hand')).toBe(1);
  });

  it('is refused where nothing was published', async () => {
    await open();
    await expect(pipeline.beginRollbackTo()).rejects.toThrow(/has never published/);
  });

  it('is told to have been done already where it is asked for a second time, and not after the next publish', async () => {
    await open();
    await pipeline.publish(FIRST);
    await pipeline.publish(SECOND);
    await pipeline.rollBackTo();
    const ended = (outcome: string, generation: number) =>
      client(
        `UPDATE _stageswap_run SET ended_at = '2030-01-02 03:04:05', outcome = '${outcome}' WHERE generation = ${generation}`,
      );
    await ended('rolledBack', 3);
    await expect(pipeline.beginRollbackTo()).rejects.toThrow(
      /number 2 .*was rolled back already at 2030-01-02 03:04:05 UTC, by number 3 \(run run-3\)\. No backup is left/,
    );
    await pipeline.publish(SECOND);
    await ended('published', 4);
    await pipeline.cleanUp(true);
    await expect(pipeline.beginRollbackTo()).rejects.toThrow(/window has closed/);
  });

  it('may be abandoned, and repeated: the backup is still what it was', async () => {
    await open();
    await pipeline.publish(FIRST);
    const before = await customers();
    await pipeline.publish(SECOND);
    const after = await customers();
    const abandoned = await pipeline.beginRollbackTo();
    await pipeline.takeBack(abandoned);
    expect(await customers()).toEqual(after);
    await client("UPDATE customer SET email = 'three@client' WHERE id = 2");
    await pipeline.rollBackTo();
    before[1] = [2, 'three@client', 'Oak 2', 'Bonn', 'none'];
    expect(await customers()).toEqual(before);
    await pipeline.publish(SECOND, {}); // the base is that of the first publish again: two@new is a conflict, live wins
    expect((await customers())[1]).toEqual([2, 'three@client', 'Oak 2', 'Berlin', 'none']);
  });

  it('is refused where rows have gone by TRUNCATE, which no trigger sees', async () => {
    await open();
    await pipeline.publish(FIRST);
    await pipeline.publish(SECOND);
    await client('DELETE FROM customer WHERE id = 2'); // a client's, which a trigger has seen
    await client('TRUNCATE TABLE invoice');
    await expect(pipeline.rollBackTo()).rejects.toThrow(
      /rows of invoice that run 2 published are gone.*TRUNCATE.*--to-backup 2-without-edits/,
    );
    expect(await rowsOf('SELECT * FROM invoice')).toEqual([]);
  });

  it('is refused where a trigger is gone that keeps rows as published', async () => {
    await open();
    await pipeline.publish(FIRST);
    await pipeline.publish(SECOND);
    await client('DROP TRIGGER _ss2tu_customer');
    await expect(pipeline.beginRollbackTo()).rejects.toThrow(/_ss2tu_customer.*--to-backup 2-without-edits/s);
  });
});

describe('backups', () => {
  it('are kept as many as configured, and an older one is restored as it is, with its base', async () => {
    await open('backups: 2');
    await pipeline.publish(FIRST);
    await client("UPDATE customer SET email = 'one@client' WHERE id = 1");
    const before = await customers();
    await pipeline.publish(SECOND);
    expect(await names()).toEqual(['2-with-edits', '2-without-edits', '1-without-edits']);
    await pipeline.publish({
      ...SECOND,
      customer: [[1, 'one@third', 'New 1', 'Oslo']],
      invoice: [[10, 1, '2.00']],
    });
    expect(await names()).toEqual(['3-with-edits', '3-without-edits', '2-without-edits']);
    await client("UPDATE customer SET note = 'lost' WHERE id = 1");
    await expect(pipeline.beginRollbackTo('1-without-edits')).rejects.toThrow(
      /has no backup 1-without-edits/,
    );
    await expect(pipeline.beginRollbackTo('2')).rejects.toThrow(/no name of a backup/);
    const found = await pipeline.rollBackTo('2-without-edits', {
      replayed: () => client("UPDATE customer SET note = 'lost, too' WHERE id = 1"),
    });
    expect(found).toMatchObject({ stale: { count: 0 }, staying: { count: 0 }, editsLost: 1 });
    expect(await customers()).toEqual(before);
    expect(await publishedGeneration(pipeline.session, 'hand')).toBe(1);
    await pipeline.publish(SECOND);
    const [first] = await customers();
    expect(first).toEqual([1, 'one@client', 'New 1', 'Oslo', 'none']); // still the client's, against its own base
  });

  it('are written as a copy, too, where that is configured: live as it was before the cut-over', async () => {
    await open('backup: copy\nchunkRows: 100');
    await pipeline.publish(FIRST);
    const before = await customers();
    await pipeline.publish(SECOND);
    expect(await rowsOf('SELECT id, email, street, city, note FROM _ss2c_customer ORDER BY id')).toEqual(
      before,
    );
    expect(await rowsOf("SHOW TABLES LIKE '\\_ss1c%'")).toEqual([]);
    await pipeline.rollBackTo();
    expect(await customers()).toEqual(before);
  });
});

describe('a copy', () => {
  it('is written, too, where a client moves a unique value from row to row meanwhile', async () => {
    const codes = `
  - { source: dbo.Code, live: code, key: [id], columns: { id: Id, body: Body } }`;
    pipeline = await ByHand.open(
      inject('mysqlUrl'),
      'stageswap_test_rollback',
      [
        'CREATE TABLE code (id INT PRIMARY KEY, body VARCHAR(9), code VARCHAR(9), n INT AUTO_INCREMENT UNIQUE, UNIQUE KEY by_code (code, (LOWER(code))))',
      ],
      codes.replace('body: Body', 'body: Body, n: N'),
      [sourceTable('Code', { Id: 'int', Body: 'nvarchar', N: 'int' }, ['Id'])],
      { more: 'backup: copy', chunkRows: 1 },
    );
    await client("INSERT INTO code VALUES (1, 'x', 'free', 1), (2, 'x', NULL, 2)");
    const transaction = Session.prototype.transaction;
    let chunks = 0;
    const spied = vi.spyOn(Session.prototype, 'transaction').mockImplementation(async function <T>(
      this: Session,
      work: () => Promise<T>,
    ) {
      const done = await transaction.call(this, work);
      const [copy] = await rowsOf("SHOW TABLES LIKE '\\_ss1c\\_code'");
      if (copy && (await rowsOf('SELECT id FROM _ss1c_code')).length === 1 && chunks++ === 0) {
        await client('UPDATE code SET code = NULL WHERE id = 1');
        await client("UPDATE code SET code = 'free' WHERE id = 2");
      }
      return done as T;
    });
    await pipeline.publish({
      code: [
        [1, 'x', 1],
        [2, 'x', 2],
      ],
    });
    spied.mockRestore();
    expect(await rowsOf('SELECT id, code FROM _ss1c_code ORDER BY id')).toEqual([
      [1, 'free'],
      [2, 'free'],
    ]);
    expect(await rowsOf('SELECT id, code FROM code ORDER BY id')).toEqual([
      [1, null],
      [2, 'free'],
    ]);
  });
});

describe('a cleanup', () => {
  const triggers = () =>
    rowsOf('SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = DATABASE()');

  it('closes a rollback window that is old enough, and leaves the backup to be restored as it is', async () => {
    await open();
    expect(await pipeline.cleanUp(true)).toMatchObject({ closed: null });
    await pipeline.publish(FIRST);
    const before = await customers();
    await pipeline.publish(SECOND);
    expect(await pipeline.cleanUp(false)).toMatchObject({ closed: null, dropped: [] });
    expect(await triggers()).toHaveLength(6);
    await client("UPDATE _stageswap_run SET ended_at = NOW() - INTERVAL 8 DAY, outcome = 'published'");
    expect(await pipeline.cleanUp(false)).toEqual({
      closed: 2,
      because: 'it is older than 7 days',
      dropped: [],
    });
    expect(await triggers()).toEqual([]);
    expect(await rowsOf("SHOW TABLES LIKE '\\_ss%t\\_%'")).toEqual([['_ss_at_2_hand']]);
    expect(await names()).toEqual(['2-without-edits']);
    expect(await pipeline.cleanUp(false)).toMatchObject({ closed: null });
    await client("UPDATE customer SET note = 'lost' WHERE id = 1");
    await expect(pipeline.beginRollbackTo()).rejects.toThrow(/window has closed.*2-without-edits/);
    await pipeline.rollBackTo('2-without-edits');
    expect(await customers()).toEqual(before);
    await pipeline.publish(SECOND);
    expect(await names()).toEqual(['4-with-edits', '4-without-edits']);
  });

  it('closes it at once where it is told so, and drops what nothing needs', async () => {
    await open();
    await pipeline.publish(FIRST);
    await client('CREATE TABLE _ss0w_customer (id INT PRIMARY KEY)');
    expect(await pipeline.cleanUp(true)).toEqual({
      closed: 1,
      because: 'as asked',
      dropped: ['_ss0w_customer'],
    });
  });
});

describe('an abort before the swap', () => {
  it('leaves live as if the run had never been: definition, rows, triggers, counter', async () => {
    await open();
    await pipeline.publish(FIRST);
    await client("INSERT INTO customer (email) VALUES ('own')");
    const seen = async () => [
      await rowsOf('SHOW CREATE TABLE customer'),
      await rowsOf('SHOW CREATE TABLE invoice'),
      await rowsOf('CHECKSUM TABLE customer, invoice EXTENDED'),
      await rowsOf(
        'SELECT trigger_name, action_statement FROM information_schema.triggers WHERE trigger_schema = DATABASE() ORDER BY 1',
      ),
      await rowsOf("SHOW TABLES LIKE '\\_ss%'"),
    ];
    const before = await seen();
    await pipeline.abort(SECOND);
    expect(await seen()).toEqual(before);
  });
});
