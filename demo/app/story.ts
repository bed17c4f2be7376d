import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, Connection, WorkflowNotFoundError } from '@temporalio/client';
import { workflowIdOf } from '../../src/model/messages.js';
import { startEngines } from '../engines/index.js';
import { type BillingPlan, planBilling } from './billing-changes.js';
import { BILLING_DATABASE, BillingSide } from './billing-side.js';
import { Bookkeeping, type Edit, Latency, type Live, same } from './bookkeeping.js';
import { Chinook } from './chinook.js';
import { InvoiceSide } from './invoice-side.js';
import { type Environment, Product } from './product.js';
import { Reader, ReaderBooks } from './readers.js';
import {
  conflictLines,
  type Findings,
  failures,
  finalTable,
  type JsonResult,
  jsonResult,
  judgeAll,
  type RunReport,
} from './report.js';
import { type Row, TABLES, type TableName } from './tables.js';
import { TemporalWriter } from './temporal-writers.js';
import { SqlWriter, type Stage } from './writers.js';

const SQL_WRITERS = 4;
const TEMPORAL_WRITERS = ['signal', 'update'] as const;
const READERS = 3;
const WRITER_PAUSE_MS = 12;
const TEMPORAL_PAUSE_MS = 300;
const READER_PAUSE_MS = 6;
/** a run that takes longer is asked how far it is */
const PROGRESS_MS = 15_000;
const CALM_MS = 2_000;

export interface DemoOptions {
  rows: number;
  seed: number;
  keep: boolean;
  folder: string;
  say: (line: string) => void;
  signal: AbortSignal;
}

/**
 * The whole demo: seed both sides, publish, publish again while clients edit and billing has changed, roll back.
 *
 * @throws {Error} something could not be started, or a command of the product failed; all is stopped before
 */
export async function runDemo(options: DemoOptions): Promise<{ result: JsonResult; failures: number }> {
  const cleanup: { what: string; stop: () => Promise<void> }[] = [];
  const left: LeftRunning = {};
  let whole = false;
  try {
    const played = await play(options, cleanup, left);
    whole = true;
    if (options.keep) await keepRunning(options, left);
    return played;
  } catch (error) {
    if (!whole && options.keep && !options.signal.aborted) {
      options.say(`the demo failed: ${(error as Error).message}`);
      await keepRunning(options, left);
    }
    throw error;
  } finally {
    for (const { what, stop } of cleanup.reverse()) {
      await stop().catch((error: Error) => options.say(`could not stop ${what}: ${error.message}`));
    }
  }
}

/** What there is to try things on, as far as the demo came. */
interface LeftRunning {
  product?: Product;
  /** the pipeline refuses runs, as after every rollback */
  held?: boolean;
}

/** Says how to reach what was started, and waits until the demo is interrupted. */
async function keepRunning({ say, signal }: DemoOptions, { product, held }: LeftRunning): Promise<void> {
  say('everything is left running for a look (--keep); Ctrl-C ends it');
  if (product) {
    console.log('In another terminal:');
    for (const [name, value] of Object.entries(product.environment))
      console.log(`  export ${name}=${inQuotes(value)}`);
    console.log(`  stageswap status --config ${inQuotes(product.configFile)}`);
    if (held)
      console.log(
        `the pipeline is held: stageswap release --config ${inQuotes(product.configFile)} lets it run again`,
      );
  }
  await untilAborted(signal);
}

/** A word as a shell reads it. */
const inQuotes = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  // a signal alone keeps no process alive
  const alive = setInterval(() => {}, 1_000);
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => {
      clearInterval(alive);
      resolve();
    });
  });
}

async function play(
  options: DemoOptions,
  cleanup: { what: string; stop: () => Promise<void> }[],
  left: LeftRunning,
): Promise<{ result: JsonResult; failures: number }> {
  const { say, signal, folder } = options;
  const onExit = (what: string, stop: () => Promise<void>) => cleanup.push({ what, stop });
  const goOn = () => signal.throwIfAborted();

  say('starting MySQL, Temporal and SQL Server');
  const engines = await startEngines({ say: (line) => say(`  ${line}`), databases: [BILLING_DATABASE] });
  onExit('the engines', () => engines.stop());
  goOn();

  const data = new Chinook(options.rows, options.seed);
  say(
    `filling billing with ${data.rows.toLocaleString('en')} rows (Chinook × ${data.copies}, seed ${options.seed})`,
  );
  const billing = await BillingSide.create(engines.sqlServer.url);
  onExit('the billing database', () => (engines.sqlServer.owned ? billing.close() : billing.drop()));
  const app = await InvoiceSide.create(engines.mysql.url);
  onExit('the invoice database', () => (engines.mysql.owned ? app.close() : app.drop()));
  await timed(say, 'billing is filled; the invoice application is empty', () => billing.seed(data, goOn));

  const environment: Environment = {
    MSSQL_URL: billing.url,
    MYSQL_URL: app.url,
    TEMPORAL_ADDRESS: engines.temporal.address,
  };
  const connection = await Connection.connect({ address: engines.temporal.address });
  onExit('the connection to Temporal', () => connection.close());
  const client = new Client({ connection, namespace: process.env.TEMPORAL_NAMESPACE || 'default' });
  // A Temporal that is not ours may have a workflow of the plain name, and it is not ours to end.
  const pipeline = engines.temporal.owned ? 'demo' : `demo-${randomBytes(4).toString('hex')}`;
  if (!engines.temporal.owned) onExit('the workflow', () => endWorkflow(client, pipeline));
  const product = new Product(folder, pipeline, environment);
  left.product = product;
  onExit('stageswap', () => product.stop());
  const kill = () => product.killNow();
  process.once('exit', kill);
  // an interrupt ends the command that the story waits for
  signal.addEventListener('abort', () => product.killCommands());
  product.startWorker();

  const runs: RunReport[] = [];
  const publish = async (what: string, ...words: string[]) => {
    const watch = setInterval(
      () => void product.progress().then((line) => line && say(`    ${line}`)),
      PROGRESS_MS,
    );
    try {
      runs.push(await timed(say, what, () => product.command<RunReport>(...words)));
    } finally {
      clearInterval(watch);
    }
    goOn();
  };
  say('first publish: stageswap run');
  await publish('live is published', 'run', '--yes');
  const counts = await app.counts();
  const wrong = TABLES.filter((table) => counts[table] !== data.counts[table]);
  if (wrong.length > 0)
    throw new Error(
      `after the first publish these tables have not billing's number of rows: ${wrong.join(', ')}`,
    );

  const plan = planBilling(data);
  const leave = new AbortController();
  const stage: Stage = {
    pipeline,
    app,
    data,
    plan,
    books: new Bookkeeping(),
    owners: SQL_WRITERS + TEMPORAL_WRITERS.length,
    writes: new Latency(),
    retried: new Map(),
    refused: [],
    signal: AbortSignal.any([signal, leave.signal]),
  };
  const crowd = new Crowd(stage, client);
  const readerBooks = new ReaderBooks();
  const stopReaders = startReaders(stage, readerBooks);
  onExit('readers and writers', async () => {
    leave.abort();
    await crowd.stop();
    await stopReaders();
  });

  say(
    `${SQL_WRITERS} clients edit by SQL, ${TEMPORAL_WRITERS.length} through Temporal while a run works; ${READERS} read`,
  );
  crowd.start();
  await sleep(CALM_MS);
  await timed(say, `billing has made ${plan.changes.length.toLocaleString('en')} changes`, async () => {
    for (const step of plan.steps) {
      goOn();
      await step.apply(billing);
    }
  });
  say('second publish, while clients go on editing: stageswap run');
  crowd.runs = true;
  await publish('live is published again', 'run', '--yes');
  crowd.runs = false;
  const swapped = new Set(stage.books.edits());
  await sleep(CALM_MS);
  await crowd.stop();
  goOn();

  say('comparing live with the books');
  const live = await readLive(stage);
  const edits = stage.books.verifyEdits(live);
  const billingVerdicts = judgeAll(plan.changes, (change) => stage.books.judge(change, live));
  const rowCounts = await wrongCounts(stage, crowd, 'after the second publish', plan.inserted, plan.deleted);
  say(
    `  ${edits.edits.toLocaleString('en')} client edits, ${edits.lost.length} lost; ${billingVerdicts.get('arrived')?.length ?? 0} billing changes arrived, ${billingVerdicts.get('conflict')?.length ?? 0} held back, ${billingVerdicts.get('missing')?.length ?? 0} missing`,
  );
  const conflicts = billingVerdicts.get('conflict') ?? [];
  if (conflicts.length > 0) say('held back, as a client had edited the same field:');
  for (const line of conflictLines(conflicts, stage.books, live)) say(`  ${line}`);

  say('clients go on, then the second run is rolled back: stageswap rollback');
  crowd.start();
  await sleep(CALM_MS);
  crowd.runs = true;
  await publish('the second run is rolled back', 'rollback');
  crowd.runs = false;
  await sleep(CALM_MS / 2);
  await crowd.stop();
  await stopReaders();
  goOn();

  say('comparing live with the books again');
  const atLast = await readLive(stage);
  const finalEdits = stage.books.verifyEdits(atLast);
  const lost = new Set(finalEdits.lost.map((one) => one.edit));
  const since = [...stage.books.edits()].filter((edit) => edit.result === 'done' && !swapped.has(edit));
  rowCounts.push(...(await wrongCounts(stage, crowd, 'after the rollback')));
  const findings: Findings = {
    edits: finalEdits,
    sinceSwap: { edits: since.length, kept: since.filter((edit: Edit) => !lost.has(edit)).length },
    billing: billingVerdicts,
    rolledBack: judgeAll(plan.changes, (change) => stage.books.judgeRolledBack(change, atLast)),
    rowCounts,
  };
  const status = await product.command<{ held?: { reason?: string } | null }>('status');
  left.held = Boolean(status.held);
  if (status.held) say(`the pipeline is held now: ${status.held.reason ?? 'until it is released'}`);

  console.log(
    finalTable(findings, {
      rows: data.rows,
      writes: stage.writes,
      updates: crowd.updateMs,
      retried: stage.retried,
      books: stage.books,
      readers: readerBooks,
      runs,
      uiUrl:
        engines.temporal.uiUrl &&
        `${engines.temporal.uiUrl}/namespaces/${client.options.namespace}/workflows`,
      engines: [
        `MySQL ${engines.mysql.version}${engines.mysql.owned ? ', started by the demo' : ' (MYSQL_URL)'}`,
        `Temporal${engines.temporal.owned ? ', started by the demo' : ' (TEMPORAL_ADDRESS)'}`,
        engines.sqlServer.standIn ? 'a stand-in for SQL Server, not a SQL Server' : 'SQL Server (MSSQL_URL)',
      ],
    }),
  );
  const problems = failures(findings, readerBooks, stage.refused, atLast);
  for (const line of problems) console.log(line);
  console.log(
    problems.length === 0 ? 'Nothing was lost, nothing is missing.' : 'The demo did not end as it must.',
  );
  return { result: jsonResult(findings, stage.writes, readerBooks, runs), failures: problems.length };
}

/** All writers, started and stopped together. */
class Crowd {
  /** a run or a rollback works, so edits can be handed in through Temporal */
  runs = false;
  readonly #sql: SqlWriter[];
  readonly #temporal: TemporalWriter[];
  #stopped = true;
  #working: Promise<void>[] = [];

  constructor(stage: Stage, client: Client) {
    this.#sql = Array.from(
      { length: SQL_WRITERS },
      (_, owner) => new SqlWriter(stage, owner, WRITER_PAUSE_MS),
    );
    this.#temporal = TEMPORAL_WRITERS.map(
      (via, index) => new TemporalWriter(stage, client, via, SQL_WRITERS + index, TEMPORAL_PAUSE_MS),
    );
  }

  get updateMs(): Latency {
    return this.#temporal.find((writer) => writer.via === 'update')?.updateMs ?? new Latency();
  }

  get ownRows(): number {
    return this.#sql.reduce((sum, writer) => sum + writer.ownRowsSaved, 0);
  }

  start(): void {
    this.#stopped = false;
    const until = () => this.#stopped;
    this.#working = [
      ...this.#sql.map((writer) => writer.work(until)),
      ...this.#temporal.map((writer) => writer.work(until, () => this.runs)),
    ];
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#working);
    this.#working = [];
  }
}

function startReaders(stage: Stage, books: ReaderBooks): () => Promise<void> {
  let stopped = false;
  const working = Array.from({ length: READERS }, (_, index) =>
    new Reader(stage, books, stage.data.seed * 100 + index, READER_PAUSE_MS).work(() => stopped),
  );
  return async () => {
    stopped = true;
    await Promise.all(working);
  };
}

/** Reads all rows of live that the books speak of. */
async function readLive(stage: Stage): Promise<Live> {
  const rows = new Map<TableName, Map<string, Row>>();
  for (const table of TABLES) {
    const keys = stage.books.editedKeys(table);
    for (const change of stage.plan.changes) if (change.table === table) keys.add(change.key);
    rows.set(table, await stage.app.rows(table, keys));
  }
  return (table, key) => rows.get(table)?.get(key);
}

/** The number of rows must be what was there at first, and what billing and clients made and removed since. */
async function wrongCounts(
  stage: Stage,
  crowd: Crowd,
  when: string,
  inserted?: BillingPlan['inserted'],
  deleted?: BillingPlan['deleted'],
): Promise<string[]> {
  const counts = await stage.app.counts();
  return TABLES.flatMap((table) => {
    const own = table === 'invoice_line' ? 0 : crowd.ownRows;
    const expected = stage.data.counts[table] + own + (inserted?.[table] ?? 0) - (deleted?.[table].size ?? 0);
    return same(counts[table], expected)
      ? []
      : [`${table} ${when}: ${counts[table]} rows instead of ${expected}`];
  });
}

async function endWorkflow(client: Client, pipeline: string): Promise<void> {
  const handle = client.workflow.getHandle(workflowIdOf(pipeline));
  try {
    const { status } = await handle.describe();
    if (status.name === 'RUNNING') await handle.terminate('the demo ended');
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError)) throw error; // the demo ended before it started one
  }
}

/** Says what was done, and how long it took. */
async function timed<T>(say: (line: string) => void, what: string, work: () => Promise<T>): Promise<T> {
  const start = Date.now();
  const result = await work();
  say(`  ${what} (${((Date.now() - start) / 1000).toFixed(1)} s)`);
  return result;
}
