// Records the histories that test/histories.test.ts replays, those that are named or all: runs that were published, aborted, failed
// and rolled back, ones that wait, are paused or go on as a new execution, and the other workflows. Older records stay, since
// they are what a new version meets: npm run build && npx tsx scripts/record-histories.ts [NAME…]
import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Client, Connection } from '@temporalio/client';
import { startEngines } from '../demo/engines/index.js';
import { startTemporal } from '../demo/engines/temporal.js';
import { EditClient } from '../src/client.js';
import { type Progress, TASK_QUEUE, WORKFLOWS } from '../src/model/messages.js';
import { PipelineUnderTest } from '../test/support/pipeline-under-test.js';

const FOLDER = fileURLToPath(new URL('../test/histories/', import.meta.url));
const NAME = 'recorded';
const wanted = process.argv.slice(2);
/** Temporal suggests a new execution after 4,096 events: here an ordinary run goes on as one. */
const EVENTS_AN_EXECUTION = 60;
const engines = await startEngines({ say: console.error, databases: ['stageswap_test_billing'] });
const temporal = await startTemporal(console.error, {
  owned: true,
  settings: wanted.includes('continued')
    ? [`limit.historyCount.suggestContinueAsNew=${EVENTS_AN_EXECUTION}`]
    : [],
});
const connection = await Connection.connect({ address: temporal.address });
const client = new Client({ connection });
const run = client.workflow.getHandle(`stageswap-${NAME}`);
const pipeline = await PipelineUnderTest.create({
  name: NAME,
  mysqlUrl: engines.mysql.url,
  mssqlUrl: engines.sqlServer.url,
  temporalAddress: temporal.address,
  customers: 200,
  invoices: 200,
});
const configuration = readFileSync(pipeline.file, 'utf8');
const configure = (change: (text: string) => string) => writeFileSync(pipeline.file, change(configuration));
const ended = () => run.result().catch(() => undefined);

async function until(reached: (progress: Progress) => boolean): Promise<void> {
  for (;;) {
    const progress = await run.query<Progress>('progress').catch(() => undefined);
    if (progress && reached(progress)) return;
    await sleep(100);
  }
}

/** Saves the latest run's history, without what belongs to this machine alone. */
async function record(name: string, workflowId = run.workflowId): Promise<void> {
  if (wanted.length > 0 && !wanted.includes(name)) return;
  const { runId } = await client.workflow.getHandle(workflowId).describe();
  const history = await client.workflow.getHandle(workflowId, runId).fetchHistory();
  const text = JSON.stringify(
    history,
    (key, value) => (key === 'stackTrace' ? undefined : key === 'identity' ? 'worker' : value),
    1,
  );
  writeFileSync(`${FOLDER}${name}.json`, `${text}\n`);
  console.error(`test/histories/${name}.json: ${history.events?.length} events`);
}

const edits = new EditClient({
  pipeline: NAME,
  temporal: client,
  mysqlUrl: pipeline.url,
  tables: [{ live: 'customer', key: ['customer_id'] }],
});
try {
  configure((text) => text.replace(/chunkRows: \d+/, 'chunkRows: 100\nparallel: 1'));
  let worker = pipeline.startWorker();
  await pipeline.stageswap('run');
  await record('planned-meanwhile'); // with tables of more chunks than are loaded at a time
  await worker.stop();

  configure((text) => text);
  worker = pipeline.startWorker();
  await pipeline.stageswap('run');
  await record('published');
  await record('continued'); // by itself: the setting above changes all others

  await pipeline.stageswap('plan');
  await record('planned');
  await pipeline.stageswap('cleanup', '--now', '--yes');
  await record('cleaned');
  await pipeline.stageswap('run', '--no-wait');
  await pipeline.stageswap('pause');
  await until(({ paused, pausing }) => paused && !pausing);
  await record('paused');
  await run.terminate('the recording');
  await pipeline.stageswap('repair', '--yes');
  await record('repaired');
  const scheduled = await client.workflow.start(WORKFLOWS.scheduledSync, {
    workflowId: `stageswap-${NAME}-scheduled`,
    taskQueue: TASK_QUEUE,
    args: [{ pipeline: NAME }],
  });
  await scheduled.result();
  await record('scheduled', scheduled.workflowId);

  await pipeline.stageswap('run', '--no-wait');
  await pipeline.stageswap('pause');
  const database = await pipeline.connect();
  const [rows] = await database.query('SELECT MIN(customer_id) AS id FROM customer');
  const id = String((rows as { id: number }[])[0]?.id);
  await edits.submit([{ table: 'customer', key: { customer_id: id }, set: { email: 'edited' } }]);
  const signalled = {
    editId: 'signalled',
    table: 'customer',
    key: { customer_id: id },
    set: { note: 'edited' },
  };
  await run.signal('clientEdits', { edits: [signalled] });
  await pipeline.stageswap('resume');
  await ended();
  await record('published-with-edits');

  await pipeline.stageswap('rollback');
  await record('rolled-back');
  await pipeline.stageswap('run');
  await record('refused');
  await pipeline.stageswap('release');
  await worker.stop();

  configure((text) => text.replace('approve: never', 'approve: always'));
  worker = pipeline.startWorker();
  await pipeline.stageswap('run', '--no-wait');
  await until(({ waitingFor }) => waitingFor !== undefined);
  await record('waiting');
  await pipeline.stageswap('approve');
  await ended();
  await record('approved');
  await pipeline.stageswap('run', '--no-wait');
  await until(({ waitingFor }) => waitingFor !== undefined);
  await pipeline.stageswap('abort');
  await ended();
  await record('aborted');
  await worker.stop();

  configure((text) => text.replace('cutOver: { ', 'cutOver: { attemptsMax: 2, '));
  pipeline.startWorker();
  await database.query('START TRANSACTION');
  await database.query('SELECT COUNT(*) FROM customer');
  await pipeline.stageswap('run');
  await record('failed');
  await database.end();
} finally {
  await edits.close();
  await pipeline.end();
  await connection.close();
  await temporal.stop();
  await engines.stop();
}
