import { MockActivityEnvironment } from '@temporalio/testing';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { createActivities } from '../activities/index.js';
import type { Begun } from '../activities/runs.js';
import { startSqlServer } from '../demo/engines/sql-server.js';
import { loadConfig, parseConfig } from '../src/config/load.js';
import { control, physicalTable } from '../src/model/names.js';
import { PipelineUnderTest } from './support/pipeline-under-test.js';

/** A source that allows neither database snapshots nor SNAPSHOT transactions, and changes while it is read. */
let engine: Awaited<ReturnType<typeof startSqlServer>>;
beforeAll(async () => {
  engine = await startSqlServer(() => {}, {
    databases: ['stageswap_test_fuzzy'],
    arguments: ['--no-database-snapshots'],
  });
});
afterAll(async () => engine?.stop());

async function pipelineOf(name: string, more: Partial<Parameters<typeof PipelineUnderTest.create>[0]>) {
  const pipeline = await PipelineUnderTest.create({
    name,
    mysqlUrl: inject('mysqlUrl'),
    mssqlUrl: engine.url,
    temporalAddress: inject('temporalAddress'),
    moment: 'fuzzy',
    ...more,
  });
  const database = new URL(engine.url).pathname.slice(1);
  await pipeline.billing.pool
    .request()
    .batch(`ALTER DATABASE [${database}] SET ALLOW_SNAPSHOT_ISOLATION OFF`);
  return pipeline;
}

const act = <T>(activityType: string, work: () => Promise<T>) =>
  new MockActivityEnvironment({ activityType, activityId: activityType }).run(work) as Promise<T>;

describe('what is read while the source changes', () => {
  const CUSTOMERS = 30;
  const INVOICES = 6_500; // more than are compared at a time
  const NAME_MAX = 20;
  let pipeline: PipelineUnderTest;
  let live: Connection;
  let begun: Begun;
  let activities: ReturnType<typeof createActivities>;

  beforeAll(async () => {
    pipeline = await pipelineOf('fuzzy-read', {
      customers: CUSTOMERS,
      invoices: INVOICES,
      chunkRows: 100,
      more: 'badRows: quarantine',
    });
    live = await pipeline.connect();
    await live.query(`ALTER TABLE customer MODIFY name VARCHAR(${NAME_MAX}) NOT NULL`);
    const worker = pipeline.startWorker();
    const { report } = await pipeline.stageswap('run', '--yes');
    expect(report, JSON.stringify(report)).toMatchObject({ outcome: 'published', moment: 'fuzzy' });
    await worker.stop();
    const config = loadConfig(pipeline.file, pipeline.environment);
    activities = createActivities({ config: () => config });
  });
  afterAll(async () => {
    await live?.end();
    await pipeline?.end();
  });
  let n = 0;
  beforeEach(async () => {
    begun = await act<Begun>('begin', () => activities.begin('fuzzy-read', `run-${n++}`));
    await act('prepare', () => activities.prepare(begun));
    await act('openMoment', () => activities.openMoment(begun));
  });

  const read = async (table: string) => {
    await act('planIngest', () => activities.planIngest(begun, table));
    await act('ingestChunks', () => activities.ingestChunks(begun, table, 0, 1));
  };
  const askAgain = async () => {
    for (const table of ['customer', 'invoice'])
      expect(await act('askAgain', () => activities.askAgain(begun, table))).toMatchObject({
        finished: true,
      });
    return act('askForParents', () => activities.askForParents(begun));
  };
  const bills = (statement: string) =>
    pipeline.billing.pool
      .request()
      .batch(statement.replace(/\b(Customer|Invoice)\b(?= |$)/g, `dbo.fuzzyread_$1`));
  const addCustomer = (id: number) =>
    bills(`INSERT INTO Customer (CustomerId, Name, Email, Balance) VALUES (${id}, N'new ${id}', NULL, 1)`);
  const addInvoice = (id: number, customer: number) =>
    bills(`INSERT INTO Invoice (InvoiceId, CustomerId, Amount, Memo) VALUES (${id}, ${customer}, 1, NULL)`);
  const baseNext = async (table: 'customer' | 'invoice'): Promise<number[]> => {
    const [rows] = await live.query<RowDataPacket[]>(
      `SELECT ${table}_id AS id FROM ${physicalTable(begun.generation, 'baseNext', table)} ORDER BY 1`,
    );
    return rows.map(({ id }) => Number(id));
  };
  const said = async (table: 'customer' | 'invoice'): Promise<number[]> => {
    const name = table === 'customer' ? 'Customer' : 'Invoice';
    const { recordset } = await pipeline.billing.pool
      .request()
      .query(`SELECT ${name}Id AS id FROM dbo.fuzzyread_${name}`);
    return recordset.map(({ id }: { id: unknown }) => Number(id)).sort((a, b) => a - b);
  };
  /** The ledger says of each chunk what base_next has of it, and nothing is left over from the asking. */
  const proved = async () => {
    for (const table of ['customer', 'invoice']) {
      const [ledger] = await live.query<RowDataPacket[]>(
        `SELECT seq, row_count AS n, checksum_sum AS sum FROM ${control.chunk} WHERE generation = ? AND live = ? AND row_count > 0 ORDER BY seq`,
        [begun.generation, table],
      );
      const [stored] = await live.query<RowDataPacket[]>(
        `SELECT _ss_chunk AS seq, COUNT(*) AS n, CAST(SUM(_ss_crc) AS UNSIGNED) AS sum FROM ${physicalTable(begun.generation, 'baseNext', table)} GROUP BY 1 ORDER BY 1`,
      );
      expect(ledger.map(({ seq, n, sum }) => [seq, n, sum].map(Number))).toEqual(
        stored.map(({ seq, n, sum }) => [seq, n, sum].map(Number)),
      );
      for (const kind of ['work', 'replayKeys'] as const) {
        const [rows] = await live.query<RowDataPacket[]>(
          `SELECT COUNT(*) AS n FROM ${physicalTable(begun.generation, kind, table)}`,
        );
        expect(rows[0]).toEqual({ n: 0 });
      }
    }
  };
  const isTheSource = async () => {
    expect(await baseNext('customer')).toEqual(await said('customer'));
    expect(await baseNext('invoice')).toEqual(await said('invoice'));
    await proved();
  };

  it('a row that was missed is not gone', async () => {
    await bills('DELETE FROM Invoice WHERE InvoiceId IN (3, 60)');
    await read('customer');
    await read('invoice');
    await addInvoice(3, 1);
    await addInvoice(60, 1);
    expect(await baseNext('invoice')).not.toContain(3);
    expect(await askAgain()).toMatchObject({ invoice: { rows: INVOICES } });
    await isTheSource();
  });

  it('a row that is gone by now is not new', async () => {
    await addCustomer(50_000);
    await addInvoice(50_000, 50_000);
    await read('customer');
    await read('invoice');
    await bills('DELETE FROM Invoice WHERE InvoiceId = 50000');
    await bills('DELETE FROM Customer WHERE CustomerId = 50000');
    expect(await baseNext('customer')).toContain(50_000);
    await askAgain();
    await isTheSource();
  });

  it('a parent that came while its child was read is asked for', async () => {
    await read('customer');
    await addCustomer(50_001);
    await addInvoice(50_001, 50_001);
    await read('invoice');
    await askAgain();
    await isTheSource();
  });

  it('a child of a parent that went meanwhile is asked for once more, though it is neither new nor gone', async () => {
    await read('invoice');
    await bills('DELETE FROM Invoice WHERE CustomerId = 7');
    await bills('DELETE FROM Customer WHERE CustomerId = 7');
    await read('customer');
    await askAgain();
    await isTheSource();
  });

  it('a bad row that is good by now is taken, and one that is bad by now is set aside', async () => {
    await addCustomer(502);
    await addCustomer(503);
    const long = `N'${'x'.repeat(NAME_MAX + 1)}'`;
    await bills(`UPDATE Customer SET Name = ${long} WHERE CustomerId = 502`);
    await bills(`UPDATE Customer SET Name = ${long} WHERE CustomerId = 2`);
    await read('customer');
    await read('invoice');
    const aside = async () => {
      const [rows] = await live.query<RowDataPacket[]>(
        `SELECT customer_id AS id FROM ${physicalTable(begun.generation, 'heldBack', 'customer')} ORDER BY 1`,
      );
      return rows.map(({ id }) => Number(id));
    };
    expect(await aside()).toEqual([2, 502]);
    await bills(`UPDATE Customer SET Name = N'short' WHERE CustomerId = 2`);
    await bills(`UPDATE Customer SET Name = ${long} WHERE CustomerId = 503`);
    await askAgain();
    // 502 is neither in the base nor read, so nobody asks; as a bad row it is read in every run
    expect(await aside()).toEqual([502, 503]);
    expect(await baseNext('customer')).toEqual(
      (await said('customer')).filter((id) => id !== 502 && id !== 503),
    );
    await proved();
    await askAgain();
    expect(await aside()).toEqual([502, 503]);
    await proved();
    await bills(`UPDATE Customer SET Name = N'short' WHERE CustomerId IN (502, 503)`);
  });

  it('of many rows that seem to be gone those that are there', async () => {
    await bills('DELETE FROM Invoice WHERE InvoiceId > 100');
    await read('customer');
    await read('invoice');
    for (const id of [101, 3_000, 5_101, INVOICES]) await addInvoice(id, 1);
    await askAgain();
    await isTheSource();
  });

  it('more rows than are asked for together, from where an attempt was interrupted', async () => {
    const MANY = 1_300;
    for (let at = 0; at < MANY; at += 100) {
      const rows = Array.from({ length: 100 }, (_, index) => `(${10_000 + at + index}, 1, 1, NULL)`);
      await bills(`INSERT INTO Invoice (InvoiceId, CustomerId, Amount, Memo) VALUES ${rows.join(', ')}`);
    }
    await read('customer');
    await read('invoice');
    await bills('DELETE FROM Invoice WHERE InvoiceId >= 10000 AND InvoiceId < 11000');
    const environment = new MockActivityEnvironment({ activityType: 'askAgain', activityId: 'askAgain' });
    const interrupted = environment.run(() => activities.askAgain(begun, 'invoice'));
    const ended = expect(interrupted).rejects.toThrow(/cancelled/i);
    const asked = async () => {
      const [rows] = await live.query<RowDataPacket[]>(
        `SELECT COUNT(*) AS n FROM ${control.chunk} WHERE generation = ? AND step = 'asked'`,
        [begun.generation],
      );
      return Number(rows[0]?.n);
    };
    while ((await asked()) === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    environment.cancel();
    await ended;
    await askAgain();
    await isTheSource();
  });
});

describe('a key that is spelled otherwise by now, which only the source takes for the same', () => {
  /** A table of texts at the source, which takes no notice of case, and beside it one of live. */
  async function spelled(
    collation: string,
    codes: string[],
    work: (of: {
      says(statement: string): Promise<unknown>;
      askAgain(environment?: MockActivityEnvironment): Promise<unknown>;
      asked(): Promise<number>;
      wait(codes: string[]): Promise<unknown>;
    }) => Promise<void>,
  ): Promise<void> {
    const pipeline = await pipelineOf('fuzzy-spelling', { customers: 1, invoices: 1 });
    const live = await pipeline.connect();
    const says = (statement: string) => pipeline.billing.pool.request().batch(statement);
    const values = (texts: string[]) => texts.map((code, index) => `(N'${code}', ${index})`).join(', ');
    try {
      await says('DROP TABLE IF EXISTS dbo.FuzzyTag');
      await says('CREATE TABLE dbo.FuzzyTag (Code nvarchar(20) NOT NULL PRIMARY KEY, N int NOT NULL)');
      for (let at = 0; at < codes.length; at += 500)
        await says(`INSERT INTO dbo.FuzzyTag (Code, N) VALUES ${values(codes.slice(at, at + 500))}`);
      await live.query(
        `CREATE TABLE tag (code VARCHAR(20) COLLATE ${collation} PRIMARY KEY, n INT NOT NULL)`,
      );
      const config = parseConfig(
        `pipeline: fuzzy-spelling
source: { url: "\${MSSQL_URL}", moment: fuzzy }
target: { url: "\${MYSQL_URL}" }
firstRun: source
tables: [{ source: dbo.FuzzyTag, live: tag, key: [code], columns: { code: Code, n: N } }]`,
        'stageswap.yaml',
        pipeline.environment,
      );
      const activities = createActivities({ config: () => config });
      const begun = (await act('begin', () => activities.begin('fuzzy-spelling', 'run-1'))) as Begun;
      await act('prepare', () => activities.prepare(begun));
      await act('planIngest', () => activities.planIngest(begun, 'tag'));
      await act('ingestChunks', () => activities.ingestChunks(begun, 'tag', 0, 1));
      const physical = (kind: 'baseNext' | 'replayKeys') => physicalTable(begun.generation, kind, 'tag');
      await work({
        says,
        askAgain: (environment) =>
          environment
            ? environment.run(() => activities.askAgain(begun, 'tag'))
            : act('askAgain', () => activities.askAgain(begun, 'tag')),
        asked: async () => {
          const [rows] = await live.query<RowDataPacket[]>(
            `SELECT COUNT(*) AS n FROM ${control.chunk} WHERE step = 'asked'`,
          );
          return Number(rows[0]?.n);
        },
        wait: (waiting) =>
          live.query(`INSERT INTO ${physical('replayKeys')} (code) VALUES ?`, [
            waiting.map((code) => [code]),
          ]),
      });
      const [rows] = await live.query<RowDataPacket[]>(`SELECT code FROM ${physical('baseNext')}`);
      const { recordset } = await pipeline.billing.pool
        .request()
        .query('SELECT Code AS code FROM dbo.FuzzyTag');
      const texts = (of: { code?: string }[]) => of.map(({ code }) => code).sort();
      expect(texts(rows as { code?: string }[])).toEqual(texts(recordset));
      const [ledger] = await live.query<RowDataPacket[]>(
        `SELECT SUM(row_count) AS n FROM ${control.chunk} WHERE step IN ('ingest', 'asked')`,
      );
      expect(Number(ledger[0]?.n)).toBe(rows.length);
    } finally {
      await live.end();
      await pipeline.end();
    }
  }
  const COLLATIONS = ['utf8mb4_bin', 'utf8mb4_0900_as_cs', 'utf8mb4_0900_ai_ci'];
  const numbered = (prefix: string, count: number) =>
    Array.from({ length: count }, (_, index) => `${prefix}${String(index).padStart(4, '0')}`);

  it.each(COLLATIONS)(
    'is taken as it is, also by who goes on after an interruption: %s',
    async (collation) => {
      await spelled(collation, numbered('abc', 1_300), async ({ says, askAgain, asked }) => {
        await says('UPDATE dbo.FuzzyTag SET Code = UPPER(Code)');
        const environment = new MockActivityEnvironment({ activityType: 'askAgain', activityId: 'askAgain' });
        const interrupted = expect(askAgain(environment)).rejects.toThrow(/cancelled/i);
        while ((await asked()) === 0) await new Promise((resolve) => setTimeout(resolve, 1));
        environment.cancel();
        await interrupted;
        await askAgain();
      });
    },
  );

  it.each(COLLATIONS)('is loaded once, however it is asked for: %s', async (collation) => {
    const between = numbered('B', 60);
    await spelled(collation, ['ABC', ...between], async ({ askAgain, wait }) => {
      await wait(['ABC', ...between, ...(collation.endsWith('ci') ? [] : ['abc'])]);
      await askAgain();
    });
  });
});

describe('runs without one moment', () => {
  it('publish while billing and clients change the same tables, and once both rest nothing is wrong', async () => {
    const pipeline = await pipelineOf('fuzzy-runs', {
      customers: 500,
      invoices: 1_500,
      chunkRows: 100,
      rowsPerSecondMax: 2_000,
      more: 'guards: { deleteShareMax: 1 }',
    });
    let resting = false;
    try {
      pipeline.startWorker();
      const billing = (async () => {
        while (!resting) await pipeline.billing.change();
      })();
      for (let run = 0; run < 2; run += 1) {
        const { report } = await pipeline.stageswap('run', '--yes');
        expect(report, JSON.stringify(report)).toMatchObject({ outcome: 'published', moment: 'fuzzy' });
        if (run === 0) pipeline.clients.start(); // they have rows to edit now
      }
      resting = true;
      await billing;
      const source = pipeline.billing.saysNow();
      const { report } = await pipeline.stageswap('run', '--yes');
      expect(report, JSON.stringify(report)).toMatchObject({ outcome: 'published', moment: 'fuzzy' });
      await pipeline.clients.stop();
      pipeline.wasPublished(source);
      expect(await pipeline.wrongInLive()).toEqual([]);
      expect(await pipeline.leftovers()).toEqual([]);
    } finally {
      resting = true;
      await pipeline.end();
    }
  });
});
