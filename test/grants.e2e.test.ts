import { readFileSync } from 'node:fs';
import { Client, Connection as TemporalConnection } from '@temporalio/client';
import mysql, { type Connection, type RowDataPacket } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { startTemporal, type TemporalEngine } from '../demo/engines/temporal.js';
import { EditClient } from '../src/client.js';
import { PipelineUnderTest } from './support/pipeline-under-test.js';

/** The rights that docs/grants-mysql.sql gives are all that runs, edits and rollbacks need. */
const USER = "'stageswap_test_grants'@'%'";
const PASSWORD = 'change-me';
const SCHEMA = 'stageswap_test_grants';
const GRANTS = readFileSync(new URL('../docs/grants-mysql.sql', import.meta.url), 'utf8');
const APPLICATION = "'stageswap_test_app'@'%'";
let root: Connection;
let temporal: TemporalEngine;
let pipeline: PipelineUnderTest;
let url: string;

/** The statements of the file, for this test's user and schema. */
function statements(): string[] {
  return GRANTS.replace(/^--.*$/gm, '')
    .replaceAll("'stageswap'@'%'", USER)
    .replaceAll('`invoices`', `\`${SCHEMA}\``)
    .split(';')
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '');
}

beforeAll(async () => {
  root = await mysql.createConnection(inject('mysqlUrl'));
  await root.query(`DROP USER IF EXISTS ${USER}, ${APPLICATION}`);
  temporal = await startTemporal(() => {}, { owned: true });
  const as = new URL(inject('mysqlUrl'));
  as.username = 'stageswap_test_grants';
  as.password = PASSWORD;
  as.pathname = `/${SCHEMA}`;
  as.search = 'ssl=skip-verify';
  url = as.href;
  pipeline = await PipelineUnderTest.create({
    name: 'grants',
    mysqlUrl: inject('mysqlUrl'),
    mssqlUrl: inject('mssqlUrl'),
    temporalAddress: temporal.address,
    customers: 500,
    invoices: 500,
    through: { mysql: () => url },
  });
  for (const statement of statements()) await root.query(statement);
  pipeline.startWorker();
});
afterAll(async () => {
  await pipeline?.end();
  await root?.query(`DROP USER IF EXISTS ${USER}, ${APPLICATION}`);
  await root?.end();
  await temporal?.stop();
});

describe('a user with the documented rights', () => {
  it('passes the check without a warning about rights', async () => {
    const { exitCode, report } = await pipeline.stageswap('check');
    expect(exitCode).toBe(0);
    expect(JSON.stringify(report)).not.toMatch(/GRANT|metadata_locks|lacks/);
  });

  it('publishes twice with clients at work, hands an edit in, and rolls back', async () => {
    pipeline.clients.start();
    expect((await pipeline.stageswap('run')).report).toMatchObject({ outcome: 'published' });
    expect((await pipeline.stageswap('run')).report).toMatchObject({ outcome: 'published' });
    const [rows] = await root.query<RowDataPacket[]>(`SELECT MIN(invoice_id) AS id FROM ${SCHEMA}.invoice`);
    const connection = await TemporalConnection.connect({ address: temporal.address });
    const edits = new EditClient({
      pipeline: 'grants',
      temporal: new Client({ connection }),
      mysqlUrl: url,
      tables: [{ live: 'invoice', key: ['invoice_id'] }],
    });
    expect(
      await edits.submit([
        { table: 'invoice', key: { invoice_id: String(rows[0]?.id) }, set: { memo: 'granted' } },
      ]),
    ).toMatchObject([{ outcome: 'applied' }]);
    await edits.close();
    await connection.close();
    expect((await pipeline.stageswap('rollback')).report).toMatchObject({ outcome: 'rolledBack' });
    await pipeline.clients.stop();
    expect(await pipeline.leftovers()).toEqual([]);
  });

  it('lets an application hand edits in with rights on the ids of edits alone, besides those that it has', async () => {
    await root.query(`CREATE USER ${APPLICATION} IDENTIFIED BY '${PASSWORD}'`);
    await root.query(`GRANT SELECT, UPDATE ON ${SCHEMA}.invoice TO ${APPLICATION}`);
    const [, grant = ''] = /^--\s+(GRANT SELECT, INSERT .*);$/m.exec(GRANTS) ?? [];
    await root.query(grant.replace("'application'@'%'", APPLICATION).replace('`invoices`', SCHEMA));
    const as = new URL(url);
    as.username = 'stageswap_test_app';
    const away = TemporalConnection.lazy({ address: '127.0.0.1:1' });
    const edits = new EditClient({
      pipeline: 'grants',
      temporal: new Client({ connection: away }),
      mysqlUrl: as.href,
      tables: [{ live: 'invoice', key: ['invoice_id'] }],
      answerMsMax: 500,
    });
    const [rows] = await root.query<RowDataPacket[]>(`SELECT MIN(invoice_id) AS id FROM ${SCHEMA}.invoice`);
    const edit = {
      editId: 'once',
      table: 'invoice',
      key: { invoice_id: String(rows[0]?.id) },
      set: { memo: 'by the application' },
    };
    expect(await edits.submit([edit])).toMatchObject([{ outcome: 'applied' }]);
    expect(await edits.submit([edit])).toMatchObject([{ outcome: 'repeated' }]);
    await edits.close();
    await away.close();
  });

  it('has no right beside them', async () => {
    const [grants] = await root.query<RowDataPacket[]>({ sql: `SHOW GRANTS FOR ${USER}`, rowsAsArray: true });
    expect((grants as unknown as string[][]).flat().sort()).toEqual([
      'GRANT PROCESS ON *.* TO `stageswap_test_grants`@`%`',
      'GRANT SELECT ON `performance_schema`.`events_transactions_current` TO `stageswap_test_grants`@`%`',
      'GRANT SELECT ON `performance_schema`.`metadata_locks` TO `stageswap_test_grants`@`%`',
      'GRANT SELECT ON `performance_schema`.`threads` TO `stageswap_test_grants`@`%`',
      'GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, ALTER, LOCK TABLES, TRIGGER ON `stageswap_test_grants`.* TO `stageswap_test_grants`@`%`',
    ]);
  });
});
