import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer, type Server } from 'node:tls';
import { execa } from 'execa';
import mysql from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { startMySql } from '../demo/engines/mysql.js';
import { startTemporal, type TemporalEngine } from '../demo/engines/temporal.js';
import { parseMysqlAddress } from '../src/config/address.js';
import { withSession } from '../src/mysql/connection.js';
import { sql } from '../src/sql/text.js';
import { PipelineUnderTest } from './support/pipeline-under-test.js';

/** TLS to MySQL and to Temporal, with certificates that are good, of a stranger, or of another host. */
const folder = mkdtempSync(join(tmpdir(), 'ssw-tls-'));
const file = (name: string) => join(folder, name);
let engine: Awaited<ReturnType<typeof startMySql>>;
let ca: string;
// of its own, since every worker of this machine polls the same task queue
let temporal: TemporalEngine;

/** An authority, and a certificate of it for localhost. */
async function certificates(name: string): Promise<void> {
  const openssl = (...args: string[]) => execa('openssl', args, { cwd: folder });
  const key = ['-newkey', 'rsa:2048', '-nodes', '-sha256'];
  await openssl(
    'req',
    '-x509',
    ...key,
    '-days',
    '2',
    '-subj',
    `/CN=${name}`,
    '-keyout',
    `${name}-ca.key`,
    '-out',
    `${name}-ca.pem`,
  );
  await openssl('req', ...key, '-subj', '/CN=localhost', '-keyout', `${name}.key`, '-out', `${name}.csr`);
  writeFileSync(file('extensions'), 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n');
  const by = ['-CA', `${name}-ca.pem`, '-CAkey', `${name}-ca.key`, '-CAcreateserial', '-days', '2'];
  await openssl('x509', '-req', '-in', `${name}.csr`, ...by, '-out', `${name}.pem`, '-extfile', 'extensions');
}

beforeAll(async () => {
  await certificates('own');
  await certificates('stranger');
  temporal = await startTemporal(() => {}, { owned: true });
  engine = await startMySql(() => {}, { owned: true });
  const connection = await mysql.createConnection(engine.url);
  const [rows] = await connection.query('SELECT @@datadir AS folder, @@ssl_ca AS ca');
  await connection.end();
  const [found] = rows as { folder: string; ca: string }[];
  ca = join(found?.folder ?? '', found?.ca ?? '');
});
afterAll(async () => {
  await engine?.stop();
  await temporal?.stop();
  rmSync(folder, { recursive: true, force: true });
});

describe('TLS to MySQL', () => {
  const cipher = async (search: string) => {
    const url = new URL(engine.url);
    url.pathname = '/mysql';
    url.hostname = 'localhost';
    url.search = search;
    return withSession(parseMysqlAddress(url.href), async (session) => {
      const [row] = await session.rows<{ Value: string }>(sql`SHOW SESSION STATUS LIKE 'Ssl_cipher'`);
      return row?.Value;
    });
  };

  it('is had with the authority that signed the certificate, and refused with another or none', async () => {
    expect(await cipher(`ssl=${ca}&verifyIdentity=false`)).toMatch(/\w/);
    for (const search of [`ssl=${file('stranger-ca.pem')}&verifyIdentity=false`, 'ssl=true'])
      await expect(cipher(search), search).rejects.toMatchObject({
        type: 'Refused',
        message: expect.stringContaining('is not trusted'),
      });
  });

  it('is refused to a server of another name, although the authority is right', async () => {
    await expect(cipher(`ssl=${ca}`)).rejects.toMatchObject({
      type: 'Refused',
      message: expect.stringMatching(/not trusted.*localhost/),
    });
  });

  it('is unchecked only where that is asked for', async () => {
    expect(await cipher('ssl=skip-verify')).toMatch(/\w/);
    expect(await cipher('ssl=false')).toBe('');
  });
});

describe('TLS to Temporal', () => {
  let proxy: Server;
  let pipeline: PipelineUnderTest;
  beforeAll(async () => {
    const [host = '', port = ''] = temporal.address.split(':');
    proxy = createServer(
      { cert: readFileSync(file('own.pem')), key: readFileSync(file('own.key')), ALPNProtocols: ['h2'] },
      (near) => {
        const far = connect(Number(port), host);
        for (const [socket, other] of [
          [near, far],
          [far, near],
        ] as const) {
          socket.on('error', () => {});
          socket.on('close', () => other.destroy());
        }
        near.pipe(far).pipe(near);
      },
    );
    proxy.on('tlsClientError', () => {});
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    pipeline = await PipelineUnderTest.create({
      name: 'tls',
      mysqlUrl: inject('mysqlUrl'),
      mssqlUrl: inject('mssqlUrl'),
      temporalAddress: `localhost:${(proxy.address() as { port: number }).port}`,
      customers: 100,
      invoices: 100,
    });
  });
  afterAll(async () => {
    await pipeline?.end();
    proxy?.close();
  });

  it('carries a whole run, of worker and command line', async () => {
    pipeline.environment.TEMPORAL_TLS_SERVER_CA_CERT_PATH = file('own-ca.pem');
    const worker = pipeline.startWorker();
    const { report } = await pipeline.stageswap('run');
    expect(report, worker.output).toMatchObject({ outcome: 'published' });
  });

  it('is refused with another authority, or without TLS', async () => {
    pipeline.environment.TEMPORAL_TLS_SERVER_CA_CERT_PATH = file('stranger-ca.pem');
    expect((await pipeline.stageswap('status')).exitCode).toBe(6);
    pipeline.environment.TEMPORAL_TLS_SERVER_CA_CERT_PATH = '';
    expect((await pipeline.stageswap('status')).exitCode).toBe(6);
  });
});
