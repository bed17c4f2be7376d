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
import { parseMssqlAddress, parseMysqlAddress } from '../src/config/address.js';
import { withSession } from '../src/mysql/connection.js';
import { sql } from '../src/sql/text.js';
import { PipelineUnderTest } from './support/pipeline-under-test.js';
import { tlsBefore } from './support/tds-tls.js';

/** TLS to MySQL, SQL Server and Temporal, with certificates that are good, of a stranger, or of another host. */
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

describe('TLS to SQL Server', () => {
  // the certificate is of localhost and 127.0.0.1
  type Front = Awaited<ReturnType<typeof tlsBefore>>;
  let front: Front;
  let elsewhere: Front;
  beforeAll(async () => {
    const server = parseMssqlAddress(inject('mssqlUrl'));
    const certificate = { cert: readFileSync(file('own.pem')), key: readFileSync(file('own.key')) };
    front = await tlsBefore(server, certificate);
    elsewhere = await tlsBefore(server, certificate, '127.0.0.2');
  });
  afterAll(() => {
    front?.close();
    elsewhere?.close();
  });

  /** In a process of its own: authorities are read when Node starts. */
  const ask = async (host: string, authority?: string, search = '') => {
    const url = new URL(inject('mssqlUrl'));
    url.search = search; // neither encrypt nor trustServerCertificate is said: the defaults
    url.host = host;
    const program = `
      const { parseMssqlAddress } = await import('./dist/src/config/address.js');
      const { withSource } = await import('./dist/src/sql-server/connection.js');
      const asked = withSource(parseMssqlAddress(process.env.ASKED), (pool) => pool.request().query('SELECT 1 AS one'));
      console.log(JSON.stringify(await asked.then(({ recordset }) => recordset[0], ({ type, message }) => ({ type, message }))));`;
    const { stdout } = await execa('node', ['--input-type=module', '--eval', program], {
      cwd: join(import.meta.dirname, '..'),
      env: {
        ASKED: url.href,
        ...(authority ? { NODE_EXTRA_CA_CERTS: file(`${authority}-ca.pem`) } : {}),
      },
    });
    return JSON.parse(stdout) as object;
  };
  const here = () => `localhost:${front.port}`;
  const notTrusted = {
    type: 'Refused',
    message: expect.stringMatching(/SQL Server at .* is not trusted: .*NODE_EXTRA_CA_CERTS/),
  };

  it('is had by default with the authority that signed the certificate', async () => {
    const before = front.encrypted();
    expect(await ask(here(), 'own')).toEqual({ one: 1 });
    expect(front.encrypted()).toBeGreaterThan(before);
  });

  it('is refused by default with another authority, or none', async () => {
    expect(await ask(here(), 'stranger')).toMatchObject(notTrusted);
    expect(await ask(here())).toMatchObject(notTrusted);
  });

  it('is refused to a server of another name, although the authority is right', async () => {
    expect(await ask(`127.0.0.2:${elsewhere.port}`, 'own')).toMatchObject(notTrusted);
  });

  it('is unchecked only where that is asked for', async () => {
    expect(await ask(here(), undefined, 'trustServerCertificate=true')).toEqual({ one: 1 });
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
