import { MockActivityEnvironment } from '@temporalio/testing';
import mysql from 'mysql2/promise';
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest';
import { editActivities } from '../activities/edits.js';
import { parseMysqlAddress } from '../src/config/address.js';
import type { Config } from '../src/config/load.js';
import type { ClientEdit } from '../src/model/messages.js';
import { Session } from '../src/mysql/connection.js';
import { applyEdit } from '../src/mysql/edits.js';
import { createControlTables } from '../src/sql/control.js';

/** Edits handed in through Temporal, as they come: from programs that nobody has checked. */
const SCHEMA = 'stageswap_test_edits';
const url = new URL(inject('mysqlUrl'));
url.pathname = `/${SCHEMA}`;
const TABLES = [
  { live: 'customer', key: ['id'] },
  { live: 'invoice', key: ['id'] },
];
let server: mysql.Connection;
let session: Session;

beforeAll(async () => {
  server = await mysql.createConnection(inject('mysqlUrl'));
  await server.query(`DROP DATABASE IF EXISTS ${SCHEMA}`);
  await server.query(`CREATE DATABASE ${SCHEMA}`);
  await server.query(`USE ${SCHEMA}`);
  await server.query(
    'CREATE TABLE customer (id BIGINT PRIMARY KEY, email VARCHAR(100), born DATE, extra JSON, twice BIGINT AS (id * 2))',
  );
  await server.query(
    'CREATE TABLE invoice (id BIGINT PRIMARY KEY, customer_id BIGINT, FOREIGN KEY (customer_id) REFERENCES customer (id))',
  );
  await server.query("INSERT INTO customer (id, email) VALUES (1, 'a@old')");
  await server.query('INSERT INTO invoice VALUES (10, 1)');
  session = await Session.open(parseMysqlAddress(url.href), { logged: true });
  for (const statement of createControlTables()) await session.run(statement);
});
afterAll(async () => {
  await session?.close();
  await server?.query(`DROP DATABASE IF EXISTS ${SCHEMA}`);
  await server?.end();
});

let number = 0;
const send = (edit: object) =>
  applyEdit(session, 'p', TABLES, {
    editId: `edit-${++number}`,
    table: 'customer',
    key: { id: '1' },
    ...edit,
  } as unknown as ClientEdit);
const email = async () => {
  const [rows] = await server.query<mysql.RowDataPacket[]>('SELECT email FROM customer WHERE id = 1');
  return rows[0]?.email;
};

describe('edits handed in', () => {
  it('never name tables of our own, whatever the application has configured', async () => {
    const tables = [{ live: '_stageswap_run', key: ['run_id'] }];
    const edit = { editId: 'own', table: '_stageswap_run', key: { run_id: 'x' }, set: { phase: 'ended' } };
    expect(await applyEdit(session, 'p', tables, edit)).toMatchObject({ outcome: 'refused' });
  });

  it('of a table that is not there are repeated, with a word that says so', async () => {
    const tables = [{ live: 'customers', key: ['id'] }];
    const edit = { editId: 'typo', table: 'customers', key: { id: '1' }, set: { email: 'x' } };
    await expect(applyEdit(session, 'p', tables, edit)).rejects.toThrow(
      'MySQL shows no id of customers: there is no such table',
    );
  });

  it('find their row alone, also where keys are longer than a double can tell apart', async () => {
    const [one, other] = ['9007199254740993', '9007199254740992'];
    await server.query(`INSERT INTO customer (id, email) VALUES (${one}, 'one'), (${other}, 'other')`);
    expect(await send({ key: { id: one }, set: { email: 'edited' } })).toMatchObject({ outcome: 'applied' });
    const [rows] = await server.query(
      `SELECT email FROM customer WHERE id IN (${one}, ${other}) ORDER BY id`,
    );
    expect(rows).toEqual([{ email: 'other' }, { email: 'edited' }]);
  });
  it('do not find a row by the number that a text begins with', async () => {
    expect(await send({ key: { id: '1; DROP' }, set: { email: 'x' } })).toMatchObject({ outcome: 'refused' });
  });
  it('keep the foreign keys of live', async () => {
    const outcome = await send({ table: 'invoice', key: { id: '10' }, set: { customer_id: '999' } });
    expect(outcome).toMatchObject({ outcome: 'refused', problem: expect.stringContaining('1452') });
    const [rows] = await server.query('SELECT customer_id FROM invoice');
    expect(rows).toEqual([{ customer_id: 1 }]);
  });

  it('are never taken for the repetition of another one', async () => {
    const long = 'x'.repeat(128);
    expect((await send({ editId: `${long}1`, set: { email: 'first' } })).outcome).toBe('refused');
    expect((await send({ editId: long, set: { email: 'second' } })).outcome).toBe('applied');
    expect((await send({ editId: long, set: { email: 'third' } })).outcome).toBe('repeated');
    expect((await send({ editId: `${long.slice(1)} `, set: { email: 'fourth' } })).outcome).toBe('refused');
    expect(await email()).toBe('second');
  });

  it('stay refused, though their row is there when another of their deliveries arrives', async () => {
    const edit = { editId: 'late', key: { id: '77' }, set: { email: 'late' } };
    const first = await send(edit);
    expect(first).toMatchObject({ outcome: 'refused', problem: 'customer has no row with that key' });
    await server.query("INSERT INTO customer (id, email) VALUES (77, 'there again')");
    expect(await send(edit)).toEqual(first);
    const [rows] = await server.query('SELECT email FROM customer WHERE id = 77');
    expect(rows).toEqual([{ email: 'there again' }]);
  });

  it.each([
    ['null', null],
    ['no key', { key: undefined, set: { email: 'x' } }],
    ['no set', {}],
    ['an object as a value', { set: { email: { text: 'x' } } }],
    ['a list as a value', { set: { email: ['x', 'y'] } }],
    ['a list as a key', { key: { id: ['1', '2'] }, set: { email: 'x' } }],
    ['a number that is not exact', { set: { email: 0.1 + 0.2 } }],
    ['no id', { editId: undefined, set: { email: 'x' } }],
    ['a column that does not exist', { set: { nothing: 'x' } }],
    ['text that is no JSON', { set: { extra: '{' } }],
    ['text that is no date', { set: { born: 'yesterday' } }],
    ['a generated column', { set: { twice: '3' } }],
    ['the key by another spelling', { set: { ID: '2' } }],
    ['a key of another type', { key: { id: '1 or so' }, set: { email: 'x' } }],
  ])('are refused, and change nothing: %s', async (_, edit) => {
    const before = await email();
    const outcome =
      edit === null ? await applyEdit(session, 'p', TABLES, null as unknown as ClientEdit) : await send(edit);
    expect(outcome.outcome).toBe('refused');
    expect(await email()).toBe(before);
  });
});

describe('an edit that MySQL does not take now', () => {
  /** The activity at a late attempt, where whatever is unexpected would end another one. */
  const apply = (mysqlUrl: string, set: Record<string, string>) => {
    const config = { target: { url: mysqlUrl }, tables: TABLES } as unknown as Config;
    const { applyEdits } = editActivities({ config: () => config });
    const edit = { editId: `edit-${++number}`, table: 'customer', key: { id: '1' }, set };
    return new MockActivityEnvironment({ attempt: 50 }).run(() => applyEdits('p', [edit]));
  };
  /** As if the server said this error to every change. */
  const says = async (errorNumber: number) => {
    await server.query('DROP TRIGGER IF EXISTS says');
    await server.query(
      `CREATE TRIGGER says BEFORE UPDATE ON customer FOR EACH ROW SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = ${errorNumber}`,
    );
  };
  afterEach(() => server.query('DROP TRIGGER IF EXISTS says'));

  it.each([
    ['it is read-only', 1290],
    ['it is a replica by now', 1836],
    ['its disk is full', 1114],
    ['for a reason that nobody has thought of', 1815],
  ])('is repeated without an end, and written when it does: %s', async (_, errorNumber) => {
    await says(errorNumber);
    const failure = await apply(url.href, { email: 'late' }).catch((error: unknown) => error);
    expect(failure).toMatchObject({ message: expect.any(String) });
    expect(failure).not.toMatchObject({ nonRetryable: true });
    await server.query('DROP TRIGGER says');
    expect(await apply(url.href, { email: `after ${errorNumber}` })).toMatchObject([{ outcome: 'applied' }]);
    expect(await email()).toBe(`after ${errorNumber}`);
  });

  it('holds its row locked for seconds at most, where its worker freezes in the middle', async () => {
    await server.query(
      'CREATE TRIGGER says BEFORE UPDATE ON customer FOR EACH ROW SET NEW.email = @@SESSION.wait_timeout',
    );
    expect(await apply(url.href, { email: 'x' })).toMatchObject([{ outcome: 'applied' }]);
    expect(Number(await email())).toBeLessThanOrEqual(5);
  });

  it('is repeated while the login is refused', async () => {
    const wrong = new URL(url);
    wrong.username = 'nobody';
    await expect(apply(wrong.href, { email: 'x' })).rejects.toMatchObject({
      type: 'Refused',
      nonRetryable: false,
    });
  });
});
