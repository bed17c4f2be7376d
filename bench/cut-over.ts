import { setTimeout as sleep } from 'node:timers/promises';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import type { Connection } from 'mysql2/promise';
import { stringify } from 'yaml';
import type { NotYet } from '../activities/cut-over.js';
import { type Activities, createActivities } from '../activities/index.js';
import { parseConfig } from '../src/config/load.js';
import { physicalTable } from '../src/model/names.js';
import { median, percentile, round } from './figures.js';
import { configurationOf } from './product.js';
import type { Bench } from './runs.js';
import type { BenchTable } from './tables.js';
import { TargetSide } from './target.js';
import { sharedNow, Writers } from './writers.js';

/**
 * Cut-overs of three tables with foreign keys under 50 writers: real ones, by the product's own activities. Between two of them stage is
 * not merged again: the backup of the last becomes the stage of the next by RENAME, and base_next likewise, so that a hundred
 * cut-overs take minutes at any size of the tables. Capture, replay, drain and swap are those of any run.
 */

export interface CutOverFigures {
  /** of the three tables together */
  rows: number;
  cutOvers: number;
  writers: number;
  /** between two edits of a writer, on average */
  thinkMs: number;
  /** R: bare LOCK + RENAME + UNLOCK of three such tables, idle */
  renameFloorMs: number;
  /** LOCK granted to UNLOCK */
  heldMsP50: number;
  heldMsP99: number;
  /** the longest attempt that was pending */
  queuedMsMax: number;
  attemptsMax: number;
  /** where the milliseconds under the lock went: medians */
  checkMsP50: number;
  drainMsP50: number;
  swapMsP50: number;
  replayedUnderLockMax: number;
  /** the longest wait of a writer's statement: medians over the cut-overs, and over windows of the same length without one */
  writersWaitMsMaxP50: number;
  writersWaitWithoutMsMaxP50: number;
  writersWaitMsMax: number;
  writersWaitWithoutMsMax: number;
  /** transactions of writers that MySQL ended in favour of the swap */
  writersDeadlocks: number;
}

export interface CaptureFigures {
  /** p50 of a client's statement: no triggers; those of capture; after a swap those of the rollback window; both */
  withoutMs: number;
  captureMs: number;
  touchMs: number;
  captureAndTouchMs: number;
  /** captureMs over withoutMs, and both over those of the rollback window */
  captureRatio: number;
  captureInWindowRatio: number;
}

/** Rename floors are measured between the cut-overs, with the writers at rest. */
const FLOOR_EVERY = 10;
const FLOORS_EACH = 3;

interface GroupTable extends BenchTable {
  /** of all rows of the group */
  share: number;
  ddl: (name: string, parents: Record<string, string>) => string;
}

const at = (name: string, source: string, sourceType: string, liveType: string) => ({
  name,
  source,
  sourceType,
  liveType,
});
const none = () => [];

/** Customers, invoices, lines: the shape of an invoice application. */
const GROUP: GroupTable[] = [
  {
    name: 'narrow',
    live: 'bench_customer',
    source: 'dbo.BenchCustomer',
    columns: [
      at('customer_id', 'CustomerId', 'bigint', 'bigint'),
      at('note', 'Note', 'nvarchar(60)', 'varchar(60)'),
    ],
    row: none,
    edited: 'note',
    changed: 'note',
    share: 0.1,
    ddl: (name) =>
      `CREATE TABLE ${name} (customer_id bigint NOT NULL PRIMARY KEY, note varchar(60) NULL) ENGINE=InnoDB`,
  },
  {
    name: 'narrow',
    live: 'bench_invoice',
    source: 'dbo.BenchInvoice',
    columns: [
      at('invoice_id', 'InvoiceId', 'bigint', 'bigint'),
      at('customer_id', 'CustomerId', 'bigint', 'bigint'),
      at('note', 'Note', 'nvarchar(60)', 'varchar(60)'),
    ],
    row: none,
    edited: 'note',
    changed: 'note',
    share: 0.3,
    ddl: (name, { bench_customer }) =>
      `CREATE TABLE ${name} (invoice_id bigint NOT NULL PRIMARY KEY, customer_id bigint NOT NULL, note varchar(60) NULL, KEY invoice_customer (customer_id), CONSTRAINT ${name}_customer FOREIGN KEY (customer_id) REFERENCES ${bench_customer} (customer_id)) ENGINE=InnoDB`,
  },
  {
    name: 'narrow',
    live: 'bench_line',
    source: 'dbo.BenchLine',
    columns: [
      at('line_id', 'LineId', 'bigint', 'bigint'),
      at('invoice_id', 'InvoiceId', 'bigint', 'bigint'),
      at('note', 'Note', 'nvarchar(60)', 'varchar(60)'),
    ],
    row: none,
    edited: 'note',
    changed: 'note',
    share: 0.6,
    ddl: (name, { bench_invoice }) =>
      `CREATE TABLE ${name} (line_id bigint NOT NULL PRIMARY KEY, invoice_id bigint NOT NULL, note varchar(60) NULL, KEY line_invoice (invoice_id), CONSTRAINT ${name}_invoice FOREIGN KEY (invoice_id) REFERENCES ${bench_invoice} (invoice_id)) ENGINE=InnoDB`,
  },
];

const rowsOf = (table: GroupTable, rows: number) => Math.max(1, Math.floor(rows * table.share));

export interface CutOverOptions {
  rows: number;
  cutOvers: number;
  writers: number;
  /** between two edits of a writer, on average */
  thinkMs: number;
  /** for each of a client's latencies; none are measured without it */
  windowMs?: number;
}

/** Measures cut-overs at one size. */
export async function benchCutOvers(
  bench: Bench,
  { rows, cutOvers, writers, thinkMs, windowMs }: CutOverOptions,
): Promise<{ figures: CutOverFigures; capture: CaptureFigures | undefined }> {
  bench.say(`cut-over: three tables of ${rows} rows together are made`);
  const target = await TargetSide.create(bench.mysqlServer, bench.schema);
  try {
    for (const { source, columns } of GROUP)
      await bench.source.define(
        source,
        columns.map(
          (column, index) => `${column.source} ${column.sourceType} ${index === 0 ? 'NOT ' : ''}NULL`,
        ),
        columns[0]?.source ?? '',
      );
    await fillLive(target.connection, rows);
    await makeFloorTables(target.connection);
    return await new Group(bench, target, rows).measure(cutOvers, { writers, thinkMs }, windowMs);
  } finally {
    await target.close();
    for (const { source } of GROUP) await bench.source.drop(source);
  }
}

async function fillLive(connection: Connection, rows: number): Promise<void> {
  const own = Object.fromEntries(GROUP.map(({ live }) => [live, live]));
  const digits =
    'SELECT 0 AS d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9';
  await connection.query('CREATE TABLE bench_thousand (n int NOT NULL PRIMARY KEY)');
  await connection.query(
    `INSERT INTO bench_thousand SELECT a.d + 10 * b.d + 100 * c.d FROM (${digits}) a, (${digits}) b, (${digits}) c`,
  );
  for (const table of GROUP) {
    await connection.query(table.ddl(table.live, own));
    const parent = GROUP[GROUP.indexOf(table) - 1];
    const count = rowsOf(table, rows);
    for (let from = 0; from < count; from += 1_000_000) {
      const key = `(${from} + a.n * 1000 + b.n + 1)`;
      const parentKey = parent ? `, 1 + ${key} % ${rowsOf(parent, rows)}` : '';
      await connection.query(
        `INSERT INTO ${table.live} SELECT ${key}${parentKey}, CONCAT('note of ', ${key}) FROM bench_thousand a, bench_thousand b WHERE ${key} <= ${count} ORDER BY a.n, b.n`,
      );
    }
  }
}

/** Two sets of tables like live's, that change places. */
async function makeFloorTables(connection: Connection): Promise<void> {
  for (const set of ['a', 'b']) {
    const names = Object.fromEntries(GROUP.map(({ live }) => [live, `floor_${set}_${live}`]));
    for (const { live, ddl } of GROUP) await connection.query(ddl(names[live] ?? '', names));
  }
}

/** R: LOCK + RENAME + UNLOCK of the three tables, alone, in the product's order. @returns milliseconds from the lock to the unlock's end */
async function renameFloor(connection: Connection): Promise<number> {
  const names = GROUP.map(({ live }) => live).reverse();
  const locks = names.flatMap((name) => [`floor_a_${name} WRITE`, `floor_b_${name} WRITE`]);
  const steps = names.flatMap((name) => [
    `floor_a_${name} TO floor_c_${name}`,
    `floor_b_${name} TO floor_a_${name}`,
  ]);
  await connection.query(`LOCK TABLES ${locks.join(', ')}`);
  const granted = performance.now();
  await connection.query(`RENAME TABLE ${steps.join(', ')}`);
  await connection.query('UNLOCK TABLES');
  const ms = performance.now() - granted;
  await connection.query(
    `RENAME TABLE ${names.map((name) => `floor_c_${name} TO floor_b_${name}`).join(', ')}`,
  );
  return ms;
}

type CutOver = Exclude<Awaited<ReturnType<Activities['cutOver']>>, NotYet>;
interface Sample {
  cutOver: CutOver;
  waitMs: number;
  waitWithoutMs: number;
}

class Group {
  readonly #activities: Activities;
  readonly #environment = new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') });
  #generation = 0;

  constructor(
    readonly bench: Bench,
    readonly target: TargetSide,
    readonly rows: number,
  ) {
    const text = stringify({ ...configurationOf('bench-group', GROUP), approve: 'never' });
    const config = parseConfig(text, 'stageswap.yaml', { ...bench.addresses });
    this.#activities = createActivities({ config: () => config });
  }

  async measure(
    cutOvers: number,
    clients: Pick<CutOverOptions, 'writers' | 'thinkMs'>,
    windowMs?: number,
  ): Promise<{ figures: CutOverFigures; capture: CaptureFigures | undefined }> {
    const writers = await Writers.start({
      url: this.target.url,
      ...clients,
      tables: GROUP.map((table) => ({
        name: table.live,
        key: table.columns[0]?.name ?? '',
        rows: rowsOf(table, this.rows),
      })),
    });
    const floors: number[] = [];
    const samples: Sample[] = [];
    try {
      const latency = await this.#firstCutOvers(writers, windowMs);
      while (samples.length < cutOvers) {
        if (samples.length % FLOOR_EVERY === 0) {
          await writers.pause();
          await sleep(300);
          for (let floor = 0; floor < FLOORS_EACH; floor += 1)
            floors.push(await renameFloor(this.target.connection));
          await writers.resume();
          await sleep(300);
        }
        samples.push(await this.#sample(writers));
        if (samples.length % 20 === 0) this.bench.say(`cut-over: ${samples.length} of ${cutOvers}`);
      }
      const { failures } = await writers.within(0, 0);
      const figures = { rows: this.rows, ...clients, ...figuresOf(floors, samples, failures) };
      const { renameFloorMs, heldMsP50, heldMsP99, queuedMsMax } = figures;
      this.bench.say(
        `cut-over: R ${renameFloorMs} ms, locked ${heldMsP50} ms, p99 ${heldMsP99} ms, the longest attempt ${queuedMsMax} ms`,
      );
      return { figures, capture: captureOf(latency) };
    } finally {
      await writers.stop();
    }
  }

  /** Makes two whole generations, whose tables then change places; in between a client's latency with and without triggers. */
  async #firstCutOvers(writers: Writers, windowMs?: number): Promise<number[]> {
    const p50 = async () => {
      if (windowMs === undefined) return 0;
      const from = sharedNow();
      await sleep(windowMs);
      return (await writers.within(from, sharedNow())).p50Ms;
    };
    await writers.resume();
    await sleep(500);
    const without = await p50();
    await this.#begin();
    await this.#fill('baseNext');
    await this.#fill('stage');
    await this.#do('capture');
    const captured = await p50();
    await this.#do('settle');
    await this.#publish();
    const touched = await p50();
    await this.#begin();
    // the first base once more: billing has changed nothing since, so that an edit is no conflict
    await this.#fill('baseNext', this.#generation - 1);
    await this.#take('stage', 'backup', this.#generation - 1);
    await this.#do('capture');
    await this.#do('settle');
    const both = await p50();
    await this.#publish();
    return [without, captured, touched, both];
  }

  /** One more cut-over, with the tables of the generations before. */
  async #sample(writers: Writers): Promise<Sample> {
    await this.#begin();
    await this.#take('stage', 'backup', this.#generation - 1);
    await this.#take('baseNext', 'baseNext', this.#generation - 2);
    await this.#do('capture');
    await this.#do('settle');
    await this.#do('replay');
    await this.#do('backup');
    const from = sharedNow();
    const cutOver = await this.#run(() => this.#activities.cutOver(this.#ref));
    if ('notYet' in cutOver) throw new Error('a cut-over without limits came back before its swap');
    const to = sharedNow();
    await sleep(to - from + 100);
    const within = await writers.within(from, to);
    const without = await writers.within(to + 50, to + 50 + (to - from));
    await this.#end();
    return { cutOver, waitMs: within.maxMs, waitWithoutMs: without.maxMs };
  }

  get #ref() {
    return { pipeline: 'bench-group', generation: this.#generation };
  }

  async #begin(): Promise<void> {
    const begun = await this.#run(() =>
      this.#activities.begin('bench-group', `bench-${this.#generation + 1}`),
    );
    this.#generation = begun.generation;
    await this.#do('prepare');
  }

  async #publish(): Promise<void> {
    await this.#do('replay');
    await this.#do('backup');
    await this.#run(() => this.#activities.cutOver(this.#ref));
    await this.#end();
  }

  async #end(): Promise<void> {
    await this.#do('finalSync');
    const outcome =
      "UPDATE _stageswap_run SET outcome = 'published' WHERE pipeline = 'bench-group' AND generation = ?";
    await this.target.connection.query(outcome, [this.#generation]);
    await this.#do('closeConflicts');
    await this.#do('cleanup');
  }

  /** What ingest or reconcile would have made, of live's rows, or of those of an earlier base. */
  async #fill(kind: 'stage' | 'baseNext', ofBase?: number): Promise<void> {
    const more = kind === 'baseNext' ? ', 0, NULL' : '';
    for (const { live, columns } of GROUP) {
      const names = columns.map(({ name }) => name).join(', ');
      await this.target.connection.query(
        `INSERT INTO ${physicalTable(this.#generation, kind, live)} SELECT ${names}${more} FROM ${ofBase === undefined ? live : physicalTable(ofBase, 'baseNext', live)}`,
      );
    }
  }

  /** Takes a table of an earlier generation in the place of the empty one that `prepare` has made. */
  async #take(kind: 'stage' | 'baseNext', from: 'backup' | 'baseNext', generation: number): Promise<void> {
    await this.target.connection.query('SET foreign_key_checks = 0');
    for (const { live } of GROUP) {
      const name = physicalTable(this.#generation, kind, live);
      await this.target.connection.query(`DROP TABLE ${name}`);
      await this.target.connection.query(`RENAME TABLE ${physicalTable(generation, from, live)} TO ${name}`);
    }
  }

  async #do(
    step: 'prepare' | 'capture' | 'settle' | 'replay' | 'backup' | 'finalSync' | 'closeConflicts' | 'cleanup',
  ): Promise<void> {
    await this.#run<unknown>(() => this.#activities[step](this.#ref));
  }

  #run<R>(work: () => Promise<R>): Promise<R> {
    return this.#environment.run(work) as Promise<R>;
  }
}

function figuresOf(
  floors: number[],
  samples: Sample[],
  deadlocks: number,
): Omit<CutOverFigures, 'rows' | 'writers' | 'thinkMs'> {
  const of = (figure: (cutOver: CutOver) => number) => samples.map(({ cutOver }) => figure(cutOver));
  const held = of(({ heldMs }) => heldMs);
  const p50 = (figure: (cutOver: CutOver) => number) => round(median(of(figure)), 1);
  return {
    cutOvers: samples.length,
    renameFloorMs: round(median(floors), 1),
    heldMsP50: round(median(held), 1),
    heldMsP99: round(percentile(held, 99), 1),
    queuedMsMax: round(Math.max(...of(({ queuedMs }) => queuedMs)), 1),
    attemptsMax: Math.max(...of(({ attempts }) => attempts)),
    checkMsP50: p50(({ checkMs }) => checkMs),
    drainMsP50: p50(({ drainMs }) => drainMs),
    swapMsP50: p50(({ swapMs }) => swapMs),
    replayedUnderLockMax: Math.max(...of(({ replayedUnderLock }) => replayedUnderLock)),
    writersWaitMsMaxP50: round(median(samples.map(({ waitMs }) => waitMs)), 1),
    writersWaitWithoutMsMaxP50: round(median(samples.map(({ waitWithoutMs }) => waitWithoutMs)), 1),
    writersWaitMsMax: round(Math.max(...samples.map(({ waitMs }) => waitMs)), 1),
    writersWaitWithoutMsMax: round(Math.max(...samples.map(({ waitWithoutMs }) => waitWithoutMs)), 1),
    writersDeadlocks: deadlocks,
  };
}

function captureOf([without = 0, captured = 0, touched = 0, both = 0]: number[]): CaptureFigures | undefined {
  if (without === 0) return undefined;
  return {
    withoutMs: round(without, 2),
    captureMs: round(captured, 2),
    touchMs: round(touched, 2),
    captureAndTouchMs: round(both, 2),
    captureRatio: round(captured / without, 2),
    captureInWindowRatio: round(both / touched, 2),
  };
}
