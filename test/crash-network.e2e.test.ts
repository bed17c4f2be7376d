import { afterAll, beforeAll, describe, inject, it } from 'vitest';
import { startTemporal, type TemporalEngine } from '../demo/engines/temporal.js';
import { PipelineUnderTest } from './support/pipeline-under-test.js';
import { TcpProxy } from './support/proxy.js';
import { expectPublished, publishFirst } from './support/strike.js';

/** Connections that break between a worker that lives and engines that live: the run goes on, and nothing is lost. */
let temporal: TemporalEngine;

beforeAll(async () => {
  temporal = await startTemporal(() => {}, { owned: true, namespaces: ['snapshot', 'transaction'] });
});
afterAll(async () => {
  await temporal?.stop();
});

describe.each(['snapshot', 'transaction'])('a source read by %s, whose connections are cut', (moment) => {
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
      // a chunk that is larger than all buffers on the way: reading waits for loading when it is cut
      chunkRows: 100_000,
      customers: 2_000,
      invoices: 60_000,
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

  it('reads again what was being read', async () => {
    await expectPublished(pipeline, 'ingest', async () => {
      for (let cuts = 0; cuts < 7; cuts += 1) {
        await new Promise((resolve) => setTimeout(resolve, 300));
        source.cut();
      }
    });
  });
  it('reads again what was being stored', async () => {
    await expectPublished(pipeline, 'ingest', async () => {
      for (let cuts = 0; cuts < 7; cuts += 1) {
        await new Promise((resolve) => setTimeout(resolve, 300));
        target.cut();
      }
    });
  });
});
