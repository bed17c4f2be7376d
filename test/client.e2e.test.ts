import { fileURLToPath } from 'node:url';
import { Client, Connection } from '@temporalio/client';
import { bundleWorkflowCode, DefaultLogger, NativeConnection, Worker } from '@temporalio/worker';
import mysql from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { type Activities, createActivities } from '../activities/index.js';
import { DoubtfulEdits, EditClient } from '../src/client.js';
import { parseMysqlAddress } from '../src/config/address.js';
import { parseConfig } from '../src/config/load.js';
import { withSession } from '../src/mysql/connection.js';
import { createControlTables } from '../src/sql/control.js';

/** What an application imports: the same outcome through a run, and directly where none works. */
const SCHEMA = 'stageswap_test_client';
const url = new URL(inject('mysqlUrl'));
url.pathname = `/${SCHEMA}`;
let server: mysql.Connection;
let connection: Connection;
let native: NativeConnection;
let edits: EditClient;

beforeAll(async () => {
  server = await mysql.createConnection(inject('mysqlUrl'));
  await server.query(`DROP DATABASE IF EXISTS ${SCHEMA}`);
  await server.query(`CREATE DATABASE ${SCHEMA}`);
  await server.query(`USE ${SCHEMA}`);
  await server.query('CREATE TABLE customer (id BIGINT PRIMARY KEY, email VARCHAR(100))');
  await server.query("INSERT INTO customer VALUES (1, 'old')");
  await withSession(parseMysqlAddress(url.href), async (session) => {
    for (const statement of createControlTables()) await session.run(statement);
  });
  connection = await Connection.connect({ address: inject('temporalAddress') });
  native = await NativeConnection.connect({ address: inject('temporalAddress') });
  edits = new EditClient({
    pipeline: 'clients',
    temporal: new Client({ connection }),
    mysqlUrl: url.href,
    tables: [{ live: 'customer', key: ['id'] }],
  });
});
afterAll(async () => {
  await server?.query(`DROP DATABASE IF EXISTS ${SCHEMA}`);
  await server?.end();
  await native?.close();
  await connection?.close();
});

const email = async () => {
  const [rows] = await server.query<mysql.RowDataPacket[]>('SELECT email FROM customer');
  return rows[0]?.email;
};
const edit = (editId: string, value: string) => ({
  editId,
  table: 'customer',
  key: { id: '1' },
  set: { email: value },
});

describe('an edit client', () => {
  it('writes directly where no run works, and an edit once', async () => {
    expect(await edits.submit([edit('a', 'first')])).toEqual([{ editId: 'a', outcome: 'applied' }]);
    expect(await edits.submit([edit('b', 'second'), edit('a', 'first')])).toMatchObject([
      { editId: 'b', outcome: 'applied' },
      { editId: 'a', outcome: 'repeated' },
    ]);
    expect(await email()).toBe('second');
  });

  it('says what is refused, and why', async () => {
    const [outcome] = await edits.submit([{ ...edit('c', 'x'), key: { id: '404' } }]);
    expect(outcome).toMatchObject({ outcome: 'refused', problem: expect.stringContaining('no row') });
  });

  it('collects edits that come one by one, keeps their order, and has an outcome for each', async () => {
    const sent = ['one', 'two', 'three'].map((value, index) => edits.edit(edit(`order-${index}`, value)));
    expect(await Promise.all(sent)).toMatchObject([
      { editId: 'order-0', outcome: 'applied' },
      { editId: 'order-1', outcome: 'applied' },
      { editId: 'order-2', outcome: 'applied' },
    ]);
    expect(await email()).toBe('three');
  });

  it('writes although Temporal does not answer, and tells of it', async () => {
    const troubles: unknown[] = [];
    const away = Connection.lazy({ address: '127.0.0.1:1' });
    const client = new EditClient({
      ...edits.options,
      temporal: new Client({ connection: away }),
      answerMsMax: 500,
      onTrouble: (error) => troubles.push(error),
    });
    expect(await client.submit([edit('away', 'without Temporal')])).toMatchObject([{ outcome: 'applied' }]);
    expect(await client.submit([edit('away', 'again')])).toMatchObject([{ outcome: 'repeated' }]);
    await client.close();
    await away.close();
    expect(troubles).toHaveLength(1); // it is left alone for a while then
    expect(await email()).toBe('without Temporal');
  });

  it('gives edits back as doubtful, with their ids, when MySQL does not answer for too long', async () => {
    const client = new EditClient({
      ...edits.options,
      mysqlUrl: 'mysql://root:x@127.0.0.1:1/none',
      repeatMsMax: 300,
    });
    const outcome = client.submit([edit('doubt', 'never')]);
    await expect(outcome).rejects.toThrow(DoubtfulEdits);
    await expect(outcome).rejects.toMatchObject({ edits: [{ editId: 'doubt', set: { email: 'never' } }] });
    await client.close();
  });

  it('gives back what MySQL cannot be asked, and takes no other edit of the batch with it', async () => {
    const client = new EditClient({
      ...edits.options,
      tables: [...edits.options.tables, { live: 'gone', key: ['id'] }],
    });
    const [first, lost, last] = await Promise.allSettled([
      client.edit(edit('before', 'one')),
      client.edit({ ...edit('lost', 'two'), table: 'gone' }),
      client.edit(edit('after', 'three')),
    ]);
    expect(first).toMatchObject({ value: { editId: 'before' } });
    expect(lost).toMatchObject({ reason: { edits: [{ editId: 'lost' }] } });
    expect(last).toMatchObject({ value: { editId: 'after', outcome: 'applied' } });
    expect(await email()).toBe('three');
    await client.close();
  });

  it('writes before the first run of a pipeline, which has not made its tables yet', async () => {
    await server.query('DROP TABLE _stageswap_edit');
    expect(await edits.submit([edit('first', 'early')])).toMatchObject([{ outcome: 'applied' }]);
    expect(await email()).toBe('early');
  });

  it('goes through the run that works, and writes directly when it has ended', async () => {
    const config = parseConfig(
      `pipeline: clients
source: { url: "\${MSSQL_URL}" }
target: { url: "\${MYSQL_URL}" }
firstRun: source
tables: [{ source: dbo.C, live: customer, key: [id], columns: { id: Id, email: Email } }]`,
      'stageswap.yaml',
      { MSSQL_URL: 'mssql://sa:x@127.0.0.1:1/none?encrypt=false', MYSQL_URL: url.href },
    );
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let through = 0;
    const real = createActivities({ config: () => config });
    const activities = {
      ...real,
      begin: async () => {
        await held;
        throw new Error('this run only takes edits');
      },
      applyEdits: async (...input: Parameters<Activities['applyEdits']>) => {
        through += 1;
        return real.applyEdits(...input);
      },
    };
    const taskQueue = `clients-${Math.random()}`;
    const worker = await Worker.create({
      connection: native,
      taskQueue,
      activities,
      workflowBundle: await bundleWorkflowCode({
        workflowsPath: fileURLToPath(new URL('../workflows/index.ts', import.meta.url)),
        logger: new DefaultLogger('ERROR'),
      }),
    });
    await worker.runUntil(async () => {
      const run = await edits.options.temporal.workflow.start('sync', {
        taskQueue,
        workflowId: 'stageswap-clients',
        args: [{ pipeline: 'clients', approveFirst: true }],
      });
      expect(await edits.submit([edit('d', 'third')])).toEqual([{ editId: 'd', outcome: 'applied' }]);
      expect(through).toBe(1);
      release();
      await run.terminate('the test has seen what it wanted');
      expect(await edits.submit([edit('d', 'third'), edit('e', 'fourth')])).toMatchObject([
        { outcome: 'repeated' },
        { outcome: 'applied' },
      ]);
      expect(through).toBe(1);
    });
    expect(await email()).toBe('fourth');
  });
});
