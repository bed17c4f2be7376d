import { Client, Connection } from '@temporalio/client';
import mysql from 'mysql2/promise';
import { expect, inject, test } from 'vitest';
import { isRecentMySql, startMySql } from '../demo/engines/mysql.js';
import { startTemporal } from '../demo/engines/temporal.js';

/** A real engine of this test's own, whatever the environment says. */
function withoutAddress<T>(name: string, start: () => Promise<T>): Promise<T> {
  const given = process.env[name];
  delete process.env[name];
  return start().finally(() => {
    if (given !== undefined) process.env[name] = given;
  });
}

async function rowsOf(url: string, statement: string): Promise<Record<string, unknown>[]> {
  const connection = await mysql.createConnection(url);
  try {
    const [rows] = await connection.query(statement);
    return rows as Record<string, unknown>[];
  } finally {
    await connection.end();
  }
}

test('MySQL answers, is recent enough, and is set up as a run needs it', async () => {
  const [row] = await rowsOf(
    inject('mysqlUrl'),
    'SELECT VERSION() AS version, @@local_infile AS localInfile, @@log_bin AS binaryLog, @@log_bin_trust_function_creators AS trust, @@performance_schema AS performanceSchema',
  );
  expect(isRecentMySql(String(row?.version))).toBe(true);
  expect(row).toMatchObject({ localInfile: 1, binaryLog: 1, trust: 1, performanceSchema: 1 });
});

test('Temporal answers, and knows the search attributes of a run', async () => {
  const connection = await Connection.connect({ address: inject('temporalAddress') });
  try {
    const client = new Client({ connection });
    const answer = await client.connection.operatorService.listSearchAttributes({ namespace: 'default' });
    expect(Object.keys(answer.customAttributes ?? {})).toEqual(
      expect.arrayContaining(['StageswapPipeline', 'StageswapPhase']),
    );
  } finally {
    await connection.close();
  }
});

test('a committed row is there after MySQL was killed and started again, at the same address', async () => {
  const engine = await withoutAddress('MYSQL_URL', () => startMySql(() => {}));
  try {
    await rowsOf(engine.url, 'CREATE DATABASE stageswap_test_kill');
    await rowsOf(engine.url, 'CREATE TABLE stageswap_test_kill.t (id INT PRIMARY KEY)');
    await rowsOf(engine.url, 'INSERT INTO stageswap_test_kill.t VALUES (17)');
    await engine.kill();
    await expect(rowsOf(engine.url, 'SELECT 1')).rejects.toThrow('ECONNREFUSED');
    await engine.start();
    expect(await rowsOf(engine.url, 'SELECT id FROM stageswap_test_kill.t')).toEqual([{ id: 17 }]);
  } finally {
    await engine.stop();
  }
});

test('a workflow is there after Temporal was killed and started again, at the same address', async () => {
  const engine = await withoutAddress('TEMPORAL_ADDRESS', () => startTemporal(() => {}));
  const ask = async <T>(work: (client: Client) => Promise<T>): Promise<T> => {
    const connection = await Connection.connect({ address: engine.address });
    return work(new Client({ connection })).finally(() => connection.close());
  };
  try {
    await ask((client) => client.workflow.start('none', { taskQueue: 'none', workflowId: 'kept' }));
    await engine.kill();
    await engine.start();
    const { status } = await ask((client) => client.workflow.getHandle('kept').describe());
    expect(status.name).toBe('RUNNING');
  } finally {
    await engine.stop();
  }
});
