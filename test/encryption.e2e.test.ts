import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { Client, Connection } from '@temporalio/client';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { startTemporal, type TemporalEngine } from '../demo/engines/temporal.js';
import { EditClient } from '../src/client.js';
import { EncryptionCodec, parseCodecKeys } from '../src/temporal/codec.js';
import { PipelineUnderTest } from './support/pipeline-under-test.js';
import { CLI } from './support/worker-process.js';

/** A run whose payloads are encrypted: what Temporal keeps of it holds neither an edit nor the words of a failure. */
const KEYS = `k1:${randomBytes(32).toString('base64')}`;
let pipeline: PipelineUnderTest;
// of its own, since every worker of this machine polls the same task queue
let temporal: TemporalEngine;
let connection: Connection;

beforeAll(async () => {
  temporal = await startTemporal(() => {}, { owned: true });
  pipeline = await PipelineUnderTest.create({
    name: 'encrypted',
    mysqlUrl: inject('mysqlUrl'),
    mssqlUrl: inject('mssqlUrl'),
    temporalAddress: temporal.address,
    customers: 300,
    invoices: 300,
  });
  pipeline.environment.STAGESWAP_CODEC_KEYS = KEYS;
  connection = await Connection.connect({ address: temporal.address });
  pipeline.startWorker();
});
afterAll(async () => {
  await pipeline?.end();
  await connection?.close();
  await temporal?.stop();
});

/** All that Temporal holds of the pipeline's latest run, as text. */
async function historyText(): Promise<string> {
  const { events = [] } = await new Client({ connection }).workflow
    .getHandle('stageswap-encrypted')
    .fetchHistory();
  // the API's JSON holds bytes in base64
  return JSON.stringify(events, (name, value) =>
    typeof value === 'string' && (name === 'data' || name === 'encoding')
      ? Buffer.from(value, 'base64').toString('latin1')
      : value,
  );
}
const holds = (text: string, ...words: string[]) => words.filter((word) => text.includes(word));

describe('a run with a payload codec', () => {
  it('publishes, takes edits, and leaves nothing of either to read in Temporal', async () => {
    expect((await pipeline.stageswap('run')).report.outcome).toBe('published');
    await pipeline.stageswap('run', '--no-wait');
    await pipeline.stageswap('pause');
    const database = await pipeline.connect();
    const [rows] = await database.query(
      'SELECT customer_id AS id FROM customer ORDER BY customer_id LIMIT 1',
    );
    const id = String((rows as { id: number }[])[0]?.id);
    const edits = new EditClient({
      pipeline: 'encrypted',
      temporal: new Client({
        connection,
        // the way an application has it is dataConverterOf(); its failure converter is found in what was built
        dataConverter: { payloadCodecs: [new EncryptionCodec(parseCodecKeys(KEYS))] },
      }),
      mysqlUrl: pipeline.url,
      tables: [{ live: 'customer', key: ['customer_id'] }],
    });
    expect(
      await edits.submit([
        { table: 'customer', key: { customer_id: id }, set: { email: 'ada@secret.example' } },
      ]),
    ).toMatchObject([{ outcome: 'applied' }]);
    await edits.close();
    await pipeline.stageswap('resume');
    await new Client({ connection }).workflow
      .getHandle('stageswap-encrypted')
      .result()
      .catch(() => {});
    const [changed] = await database.query('SELECT email FROM customer WHERE customer_id = ?', [id]);
    expect(changed).toEqual([{ email: 'ada@secret.example' }]);
    await database.end();
    const text = await historyText();
    expect(holds(text, 'binary/encrypted', 'submitEdits')).toHaveLength(2);
    expect(holds(text, 'ada@secret.example', 'check both sides', 'rowsRead')).toEqual([]);
  });

  it('fails with words that Temporal cannot read, and that the command line shows', async () => {
    const { stdout } = await execa(
      'node',
      [CLI, 'hold', '--config', pipeline.file, '--reason', 'Ada says no', '--json'],
      {
        env: pipeline.environment,
      },
    );
    expect(JSON.parse(stdout)).toMatchObject({ held: true });
    const { exitCode, report } = await pipeline.stageswap('run');
    expect(exitCode).toBe(3);
    expect(JSON.stringify(report)).toContain('Ada says no');
    const text = await historyText();
    expect(holds(text, 'Encoded failure', 'Ada says no')).toEqual(['Encoded failure']);
    await pipeline.stageswap('release');
  });

  it('can be read through the codec server, by the origin of the UI and with the token', async () => {
    const server = execa(
      'node',
      [CLI, 'codec-server', '--listen', '127.0.0.1:0', '--origin', 'http://ui.example'],
      {
        env: { STAGESWAP_CODEC_KEYS: KEYS, STAGESWAP_CODEC_TOKEN: 'token' },
        reject: false,
      },
    );
    const [line] = (await once(server.stderr, 'data')) as [Buffer];
    const at = /http:\/\/[\d.:]+/.exec(String(line))?.[0];
    const [sealed] = await new EncryptionCodec(parseCodecKeys(KEYS)).encode([
      { metadata: { encoding: Buffer.from('json/plain') }, data: Buffer.from('"ada"') },
    ]);
    const base64 = (bytes: Uint8Array | null | undefined) => Buffer.from(bytes ?? []).toString('base64');
    const body = JSON.stringify({
      payloads: [
        {
          metadata: Object.fromEntries(
            Object.entries(sealed?.metadata ?? {}).map(([name, value]) => [name, base64(value)]),
          ),
          data: base64(sealed?.data),
        },
      ],
    });
    const ask = (headers: Record<string, string>) =>
      fetch(`${at}/decode`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body,
      });
    const good = await ask({ origin: 'http://ui.example', authorization: 'Bearer token' });
    expect(good.headers.get('access-control-allow-origin')).toBe('http://ui.example');
    expect(await good.json()).toMatchObject({
      payloads: [{ data: Buffer.from('"ada"').toString('base64') }],
    });
    expect((await ask({ origin: 'http://ui.example' })).status).toBe(401);
    expect((await ask({ origin: 'http://evil.example', authorization: 'Bearer token' })).status).toBe(403);
    server.kill('SIGTERM');
    expect((await server).exitCode).toBe(0);
  });

  it('is not understood without the keys, and the command line says what is missing', async () => {
    const { exitCode, stderr } = await execa('node', [CLI, 'codec-server'], {
      reject: false,
      env: { STAGESWAP_CODEC_KEYS: '' },
    });
    expect(exitCode).toBe(2);
    expect(stderr).toContain('STAGESWAP_CODEC_KEYS is not set');
  });
});
