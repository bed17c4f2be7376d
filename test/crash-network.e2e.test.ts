import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { startTemporal, type TemporalEngine } from '../demo/engines/temporal.js';
import type { Report } from '../src/model/report.js';
import type { Moment } from './support/moments.js';
import { PipelineUnderTest } from './support/pipeline-under-test.js';
import { TcpProxy } from './support/proxy.js';
import {
  expectPublished,
  expectRolledBack,
  publishFirst,
  struckAt,
  whileClientsEdit,
} from './support/strike.js';

/**
 * Connections that break between a worker that lives and engines that live, and Temporal that is killed and started
 * again: the run goes on, and nothing is lost. A chunk is larger than all buffers on the way, so that reading waits for
 * storing when either is cut.
 */
const namespaces = ['snapshot', 'transaction'];
const BYTES_UNTIL_CUT = 300_000;
let temporal: TemporalEngine;

beforeAll(async () => {
  temporal = await startTemporal(() => {}, { owned: true, namespaces });
});
afterAll(async () => {
  await temporal?.stop();
});

describe.concurrent.each(namespaces)('a source read by %s', (moment) => {
  let pipeline: PipelineUnderTest;
  let source: TcpProxy;
  let target: TcpProxy;

  beforeAll(async () => {
    source = await TcpProxy.before(inject('mssqlUrl'));
    target = await TcpProxy.before(inject('mysqlUrl'));
    pipeline = await PipelineUnderTest.create({
      name: `crash-${moment}`,
      mysqlUrl: inject('mysqlUrl'),
      mssqlUrl: inject('mssqlUrl'),
      temporalAddress: temporal.address,
      namespace: moment,
      moment,
      chunkRows: 100_000,
      customers: 2_000,
      invoices: 20_000,
      through: { mysql: (url) => target.through(url), mssql: (url) => source.through(url) },
    });
    pipeline.startWorker();
    await publishFirst(pipeline);
  });
  afterAll(async () => {
    await pipeline?.end();
    await source?.end();
    await target?.end();
  });

  it.sequential('is read again when it is cut, and stored again when the target is', async () => {
    await expectPublished(pipeline, ['prepare'], async () => {
      source.cutAfter(BYTES_UNTIL_CUT, 2);
      target.cutAfter(BYTES_UNTIL_CUT, 2);
    });
    expect([source.cutsLeft, target.cutsLeft]).toEqual([0, 0]);
  });

  if (moment === 'transaction') return;

  it.sequential('ends when the connections to the target are cut, and so does its rollback', async () => {
    const moments: Moment[] = ['capture', 'reconcile', 'replay', 'locked', 'swapped', 'cleanup'];
    const cut = async () => target.cut();
    await expectPublished(pipeline, moments, cut);
    await expectRolledBack(pipeline, moments, cut);
  });

  it.sequential('does not keep clients waiting when the connection that holds the lock is dead', async () => {
    const { books } = pipeline.clients;
    const run = await expectPublished(pipeline, ['locked'], async () => {
      target.freeze();
      const { acknowledged } = books;
      while (books.acknowledged < acknowledged + 10) await sleep(10);
      target.thaw();
    });
    expect(run.report.outcome).toBe('published');
    expect(pipeline.clients.stallMsMax).toBeLessThan(8_000);
  });

  /** Aborts a run whose source is gone. Live is as it was, and the next run is published. @returns the report of the aborted one */
  async function abortedWithout(goes: () => void, comes: () => void): Promise<Report> {
    await pipeline.billing.change();
    const { report } = await whileClientsEdit(pipeline, () =>
      struckAt(pipeline, 'run', ['ingest'], async () => {
        goes();
        await pipeline.stageswap('abort');
      }),
    );
    expect(report, JSON.stringify(report)).toMatchObject({ outcome: 'aborted' });
    comes();
    expect(await pipeline.wrongInLive()).toEqual([]);
    await expectPublished(pipeline, ['prepare'], async () => {});
    return report;
  }
  it.sequential('can be aborted while it is away; live is as it was', async () => {
    await abortedWithout(
      () => source.close(),
      () => source.open(),
    );
  });
  it.sequential('can be aborted while it hangs, and gives it up', async () => {
    const report = await abortedWithout(
      () => source.freeze(),
      () => source.thaw(),
    );
    expect(report.problem).toMatch(/Taking back failed, too: SQL Server at \S+ does not answer/);
  });

  it.sequential('ends when Temporal is killed', async () => {
    const killTemporal = async () => {
      await temporal.kill();
      await temporal.start();
    };
    await expectPublished(pipeline, ['reconcile', 'cutOver'], killTemporal);
    await expectRolledBack(pipeline, ['swapped'], killTemporal);
  });
});
