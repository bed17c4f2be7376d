import { setTimeout as sleep } from 'node:timers/promises';
import { CancelledFailure } from '@temporalio/activity';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, inject, it, vi } from 'vitest';
import { createActivities } from '../activities/index.js';
import { parseMssqlAddress } from '../src/config/address.js';
import { parseConfig } from '../src/config/load.js';
import { type SourcePool, withSource } from '../src/sql-server/connection.js';
import { TcpProxy } from './support/proxy.js';

/** A source that neither answers nor hangs up, as one behind a firewall that has forgotten the connection. */
let proxy: TcpProxy;
beforeAll(async () => {
  proxy = await TcpProxy.before(inject('mssqlUrl'));
});
afterAll(async () => {
  await proxy?.end();
});

describe('a repair of the source', () => {
  it('that is cancelled while it hangs is not done', async () => {
    const config = parseConfig(
      `pipeline: hangs
firstRun: source
source: { url: "\${HANGS_MSSQL_URL}" }
target: { url: "\${HANGS_MYSQL_URL}" }
tables:
  - { source: dbo.Thing, live: thing, key: [id], columns: { id: Id } }
`,
      'hangs.yaml',
      { HANGS_MSSQL_URL: proxy.through(inject('mssqlUrl')), HANGS_MYSQL_URL: `${inject('mysqlUrl')}hangs` },
    );
    const { repairSource } = createActivities({ config: () => config });
    const environment = new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') });
    proxy.freeze();
    const repairing = environment.run(() => repairSource({ pipeline: 'hangs', generation: 1 }));
    environment.cancel();
    await expect(repairing).rejects.toBeInstanceOf(CancelledFailure);
    proxy.thaw();
    const again = new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') });
    await expect(again.run(() => repairSource({ pipeline: 'hangs', generation: 1 }))).resolves.toEqual({
      done: [],
      left: [],
    });
  });
});

describe('work that should end, at a source that hangs', () => {
  const address = () => parseMssqlAddress(proxy.through(inject('mssqlUrl')));
  const aborted = new Error('it should end');

  /** Aborts as soon as the work has begun. @returns what the work ended with */
  async function abortedAtWork(work: Parameters<typeof withSource>[1]): Promise<unknown> {
    const ending = new AbortController();
    const working = withSource(
      address(),
      async (pool) => {
        await pool.request().query('SELECT 1 AS one');
        proxy.freeze();
        ending.abort(aborted);
        return work(pool);
      },
      { signal: ending.signal, connectionsMax: 1 },
    );
    try {
      return await working.catch((error: unknown) => error);
    } finally {
      proxy.thaw();
    }
  }

  it('is hung up on where it asks what nothing cancels, and ends', async () => {
    const ends: unknown[] = [];
    const asking = (pool: SourcePool) =>
      pool
        .request()
        .query('SELECT 2 AS two')
        .catch((error: unknown) => {
          ends.push(error);
          throw error;
        });
    expect(await abortedAtWork(asking)).toBe(aborted);
    expect(ends).toHaveLength(1);
  });
  it('gets no further connection, nor leaves one', async () => {
    const asking = async (pool: SourcePool) => {
      await pool
        .request()
        .query('SELECT 2 AS two')
        .catch(() => proxy.thaw());
      return pool.request().query('SELECT 3 AS three');
    };
    expect(await abortedAtWork(asking)).toBe(aborted);
    await vi.waitFor(() => expect(proxy.connections).toBe(0), 10_000);
  });
  it('is waited for, so that it can end what it has begun', async () => {
    const done: string[] = [];
    const ended = await abortedAtWork(async () => {
      await sleep(500);
      done.push('what it had begun');
      return 'its own end';
    });
    expect([ended, done]).toEqual(['its own end', ['what it had begun']]);
  });
  it('is not begun where it only connects', async () => {
    proxy.freeze();
    const ending = new AbortController();
    let begun = false;
    const working = withSource(
      address(),
      async () => {
        begun = true;
      },
      { signal: ending.signal },
    ).catch((error: unknown) => error);
    ending.abort(aborted);
    try {
      expect(await working).toBe(aborted);
    } finally {
      proxy.thaw();
    }
    await sleep(1_000); // now it could connect
    expect([begun, proxy.connections]).toEqual([false, 0]);
  });
});
