// Takes the pictures of docs/img: runs in the Temporal UI, as a person sees them in a browser. Needs Chromium (Debian's
// package) and a build: npm run build && npx tsx scripts/screenshots.ts
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Client, Connection } from '@temporalio/client';
import { type Browser, chromium } from 'playwright-core';
import { startEngines } from '../demo/engines/index.js';
import type { Progress } from '../src/model/messages.js';
import { PipelineUnderTest } from '../test/support/pipeline-under-test.js';

const IMAGES = fileURLToPath(new URL('../docs/img/', import.meta.url));
const ID = 'stageswap-billing';
const LOAD_MS = 4_000;

const engines = await startEngines({ say: console.error, databases: ['stageswap_test_billing'] });
const connection = await Connection.connect({ address: engines.temporal.address });
const run = new Client({ connection }).workflow.getHandle(ID);
const pipeline = await PipelineUnderTest.create({
  name: 'billing',
  mysqlUrl: engines.mysql.url,
  mssqlUrl: engines.sqlServer.url,
  temporalAddress: engines.temporal.address,
  customers: 40_000,
  invoices: 200_000,
});
const configuration = readFileSync(pipeline.file, 'utf8');
const configure = (change: (text: string) => string) => writeFileSync(pipeline.file, change(configuration));

async function until(reached: (progress: Progress) => boolean): Promise<void> {
  for (;;) {
    const progress = await run.query<Progress>('progress').catch(() => undefined);
    if (progress && reached(progress)) return;
    await sleep(200);
  }
}

async function take(browser: Browser, name: string, tab = ''): Promise<void> {
  const page = await browser.newPage({ viewport: { width: 1400, height: 1000 } });
  const { runId } = await run.describe();
  await page.goto(`${engines.temporal.uiUrl}/namespaces/default/workflows/${ID}/${runId}/${tab}`);
  await page.waitForLoadState('networkidle').catch(() => {});
  await sleep(LOAD_MS);
  await page.screenshot({ path: `${IMAGES}${name}.png` });
  await page.close();
  console.error(`docs/img/${name}.png`);
}

const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
try {
  mkdirSync(IMAGES, { recursive: true });
  configure((text) => text.replace('approve: never', 'approve: always'));
  let worker = pipeline.startWorker();
  await pipeline.stageswap('run', '--no-wait');
  await until(({ phase }) => phase === 'ingest' || phase === 'reconcile');
  await take(browser, 'running', 'timeline');
  await until(({ waitingFor }) => waitingFor !== undefined);
  await take(browser, 'waiting', 'user-metadata');
  await pipeline.stageswap('approve');
  await run.result();
  await worker.stop();

  configure((text) => text.replace('cutOver: { ', 'cutOver: { attemptsMax: 3, '));
  worker = pipeline.startWorker();
  const reader = await pipeline.connect();
  await reader.query('START TRANSACTION');
  await reader.query('SELECT COUNT(*) FROM customer');
  await pipeline.stageswap('run');
  await reader.end();
  await take(browser, 'failed', 'timeline');
} finally {
  await browser.close();
  await pipeline.end();
  await connection.close();
  await engines.stop();
}
