import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { Random } from '../../demo/app/random.js';
import type { Row } from '../merge/oracle.js';
import { Billing } from './billing.js';
import { endOfBinaryLog, type Place, readBinaryLog } from './binary-log.js';
import { check, type Ended, type Violation } from './check.js';
import { Clients } from './clients.js';
import { endedAs, failureOf, TERMINATED, type Told } from './ended.js';
import { Faults, type Happened } from './faults.js';
import { HandedInEdits } from './handed-in.js';
import { type Lane, PIPELINE, SCHEMA } from './lane.js';
import { Ledger } from './ledger.js';
import { ClientMind, WITNESS } from './operations.js';
import { drawPlan, type Plan, type Step } from './plan.js';
import { Readers } from './readers.js';
import {
  byIdentity,
  campaignOf,
  classOf,
  customerKey,
  drawShape,
  liveDefinitions,
  mappedColumns,
  ownShape,
  type Shape,
  STABLE_CUSTOMERS,
  tablesOf,
} from './shape.js';
import { readDefinitions, readMeter } from './state.js';

export interface Result {
  seed: number;
  faults: Happened[];
  /** edits that clients were told were saved */
  edits: number;
  violations: Violation[];
  ms: number;
  /** the commands and how they ended, for people */
  story: string[];
}

const WORKFLOW_ID = `stageswap-${PIPELINE}`;
const TASK_QUEUE = 'stageswap';
/** A command that has not ended by then, with all that was done to it, will not. */
const COMMAND_MS_MAX = 240_000;
/** A woken worker, or one whose connection is dead, has given its sessions up by then. */
const SESSIONS_MS_MAX = 60_000;
/** So often it is asked whether a command waits for a human. */
const LOOK_MS = 5_000;
const CONNECTIONS = 2;

/** One run of the torture: the plan of a seed, carried out on a lane, and checked after each command. */
export async function torture(lane: Lane, plan: Plan): Promise<Result> {
  const began = performance.now();
  const campaign = campaignOf(plan.seed);
  await lane.prepare(campaign, drawShape(campaign));
  const run = new Run(lane, plan, ownShape(drawShape(campaign)));
  try {
    await run.begin();
    for (const [index, step] of plan.steps.entries()) {
      await run.carryOut(step, index);
      if (run.violations.length > 0) break;
    }
  } finally {
    await run.end();
  }
  return run.result(performance.now() - began);
}

class Run {
  readonly violations: Violation[] = [];
  readonly #billing: Billing;
  readonly #ledger: Ledger;
  readonly #clients: Clients;
  readonly #readers: Readers;
  readonly #edits: HandedInEdits;
  readonly #always: string[];
  #faults: Happened[] = [];
  readonly #story: string[] = [];
  #connection: Connection | undefined;
  #place: Place = { file: '', position: 0 };
  #migrated = false;
  /** when the command first waited for an approval */
  #askedAt: number | undefined;

  constructor(
    readonly lane: Lane,
    readonly plan: Plan,
    readonly shape: Shape,
  ) {
    const { seed } = plan;
    this.#billing = new Billing(lane.pool, new URL(lane.sourceUrl).pathname.slice(1), shape, seed);
    this.#ledger = new Ledger(shape);
    const mind = (hand: number) => new ClientMind(shape, seed, hand, () => this.#billing.next);
    const minds = Array.from({ length: CONNECTIONS }, (_, hand) => mind(hand));
    this.#clients = new Clients(lane.url, shape, lane.points, minds);
    this.#always = [1, 2, 3].map((number) => customerKey(shape, number));
    this.#readers = new Readers(lane.url, this.#always, lane.points);
    this.#edits = new HandedInEdits(
      { pipeline: PIPELINE, workflowId: WORKFLOW_ID, temporal: lane.client, mysqlUrl: lane.url },
      shape,
      mind(CONNECTIONS),
      lane.points,
    );
  }

  violation = (invariant: string, text: string, history: string[] = []): void => {
    const { seed } = this.plan;
    const drawn = JSON.stringify(this.plan) === JSON.stringify(drawPlan(seed));
    const again = drawn ? `--seed ${seed}` : `--plan '${JSON.stringify(this.plan)}'`;
    this.violations.push({ seed, invariant, text, history, rerun: `npm run torture -- ${again}` });
  };

  /** Both sides with their first rows. */
  async begin(): Promise<void> {
    await this.#billing.create();
    this.#connection = await this.lane.fresh([...liveDefinitions(this.shape), WITNESS]);
    const rows = this.#firstRows();
    for (const table of tablesOf(this.shape)) {
      const columns = Object.keys(table.types);
      const values = rows[table.name].map((row) => columns.map((column) => row[column] ?? null));
      if (values.length > 0)
        await this.#connection.query(`INSERT INTO ${table.name} (${columns.join(', ')}) VALUES ?`, [values]);
    }
    this.#ledger.begin({
      customer: byIdentity(this.shape.tables.customer, rows.customer),
      invoice: byIdentity(this.shape.tables.invoice, rows.invoice),
      line: byIdentity(this.shape.tables.line, rows.line),
    });
    this.#place = await endOfBinaryLog(this.#connection);
  }

  /** What live holds before anything was ever published: some of billing's rows, which have drifted, and rows of its own. */
  #firstRows(): Record<'customer' | 'invoice' | 'line', Row[]> {
    const random = new Random(this.plan.seed * 53 + 1);
    const source = this.#billing.versions[0]?.rows;
    if (!source) throw new Error('billing has no rows yet');
    const { customer } = this.shape.tables;
    const first = (row: Row, set: Row = {}): Row => ({ ...row, ...set, note: null });
    const customers = [...source.customer.values()].flatMap((row, index) => {
      if (index >= STABLE_CUSTOMERS && random.chance(0.5)) return [];
      const drifted: Row = random.chance(0.3) && index > 0 ? { name: `drifted ${index}` } : {};
      return [first(row, { ...drifted, ...(index === 0 ? { balance: '0.0000' } : {}) })];
    });
    const own = Object.fromEntries(mappedColumns(customer).map((column): [string, null] => [column, null]));
    for (let number = 900_001; number < 900_004; number += 1)
      customers.push(
        first(own, {
          customer_id: customerKey(this.shape, number),
          name: `own ${number}`,
          balance: '1.0000',
        }),
      );
    const there = new Set(customers.map(({ customer_id }) => customer_id));
    const invoices = [...source.invoice.values()].filter(
      (row) => classOf(Number(row.invoice_id)) === 'wild' && there.has(row.customer_id) && random.chance(0.5),
    );
    const chosen = new Set(invoices.map(({ invoice_id }) => invoice_id));
    const lines = [...source.line.values()].filter((row) => chosen.has(row.invoice_id));
    return {
      customer: customers,
      invoice: invoices.map((row) => first(row)),
      line: lines.map((row) => first(row)),
    };
  }

  async carryOut(step: Step, index: number): Promise<void> {
    const { lane } = this;
    const command =
      step.command === 'rollback' && this.#ledger.rollsBack !== undefined ? 'rollback' : 'publish';
    // a rollback does not bring back what a migration has changed since
    if (command === 'rollback' && this.#migrated) return;
    for (let times = 0; times < step.billing; times += 1) await this.#billing.change();
    const meterBefore = this.#billing.meter;
    const definitionsBefore = await readDefinitions(await this.#connected(), this.shape);
    const swapsBefore = this.#ledger.swaps.length;
    const faults = new Faults({
      lane,
      client: lane.client,
      workflowId: WORKFLOW_ID,
      start: (type) => this.#start(type),
      billing: this.#billing,
      clients: this.#clients,
      violation: this.violation,
    });
    if (command === 'rollback') this.#readers.summed = ['billingOnly'];
    lane.points.arm(faults.armed(step.faults));
    lane.workers.arm();
    this.#clients.start();
    this.#readers.start();
    this.#edits.start();
    this.#askedAt = undefined;
    const handle = await this.#start(command === 'publish' ? 'sync' : 'rollback');
    const began = performance.now();
    let ended = await this.#result(handle);
    if (ended.type === TERMINATED) ended = await this.#repair();
    const ms = Math.round(performance.now() - began);
    const { passed } = lane.points;
    await faults.over();
    lane.workers.arm();
    await this.#edits.stop();
    await this.#clients.stop();
    await this.#readers.stop();
    const connection = await this.#connected();
    await this.#untilAlone(connection);
    await this.#edits.handIn(); // also long after the end
    const meterAfter = await readMeter(connection, this.shape);
    const { commits, end } = await readBinaryLog(connection, SCHEMA, this.#place);
    this.#place = end;
    this.#ledger.feed(
      commits,
      {
        operations: new Map(
          [...this.#clients.outcomes].map(([number, { operation }]) => [number, operation]),
        ),
        edits: this.#edits.edits,
      },
      this.#billing.versions[meterAfter - 1],
    );
    this.#faults = [...this.#faults, ...faults.happened];
    this.#migrated ||= faults.happened.some(({ kind }) => kind === 'migration');
    this.#story.push(
      `${index + 1}. ${command}, ${ms} ms, ${passed} points, ${commits.length} commits: ${ended.outcome}${ended.type ? ` (${ended.type}: ${ended.message})` : ''}; ${faults.happened.map(({ kind, activity, point }) => `${kind} at ${activity}, ${point}`).join('; ') || 'no fault'}`,
    );
    await check({
      connection,
      shape: this.shape,
      ledger: this.#ledger,
      billing: this.#billing,
      clients: this.#clients,
      readers: this.#readers,
      edits: this.#edits,
      happened: faults.happened,
      ended,
      command,
      swaps: this.#ledger.swaps.slice(swapsBefore),
      meterBefore,
      meterAfter,
      definitionsBefore,
      violation: this.violation,
    });
    if (faults.happened.some(({ kind }) => kind === 'truncatedSource')) await this.#billing.mend();
    if (this.#ledger.swaps.slice(swapsBefore).some(({ kind }) => kind === 'rollback'))
      await this.#release(connection);
  }

  async end(): Promise<void> {
    this.lane.points.disarm();
    await Promise.all([this.#clients.stop(), this.#readers.stop(), this.#edits.stop()]);
    await this.#connection?.end().catch(() => {});
  }

  result(ms: number): Result {
    const edits =
      [...this.#clients.outcomes.values()].filter(({ outcome }) => outcome === 'done').length +
      [...this.#edits.told.values()].filter((told) => told === 'committed').length;
    return {
      seed: this.plan.seed,
      faults: this.#faults,
      edits,
      violations: this.violations,
      ms,
      story: this.#story,
    };
  }

  #start = async (type: 'sync' | 'rollback' | 'repair'): Promise<WorkflowHandle> =>
    this.lane.client.workflow.start(type, {
      workflowId: WORKFLOW_ID,
      taskQueue: TASK_QUEUE,
      args: [type === 'sync' ? { pipeline: PIPELINE, approveFirst: true } : { pipeline: PIPELINE }],
      workflowIdConflictPolicy: 'FAIL',
      workflowIdReusePolicy: 'ALLOW_DUPLICATE',
    });

  /** Waits until the command has ended, asking again where Temporal was away. Where it waits for a human, one says no. */
  async #result(handle: WorkflowHandle): Promise<Ended> {
    const end = performance.now() + COMMAND_MS_MAX;
    let ended: Ended | undefined;
    const follow = async () => {
      while (!ended && performance.now() < end) {
        try {
          ended = endedAs((await handle.result()) as Told);
        } catch (error) {
          if (error instanceof WorkflowFailedError) ended = failureOf(error);
          else await sleep(200);
        }
      }
    };
    const following = follow();
    while (!ended && performance.now() < end) {
      await Promise.race([following, sleep(LOOK_MS)]);
      this.lane.workers.watch();
      if (!ended) await this.#decide(handle);
    }
    if (ended) return ended;
    await handle.terminate('the torture waits no longer').catch(() => {});
    return { outcome: 'never' };
  }

  /** A run that was terminated is taken back, or finished, by repair; a second one then finds nothing. */
  async #repair(): Promise<Ended> {
    const first = await this.#result(await this.#start('repair'));
    if (first.outcome !== 'repaired') return first;
    if (first.left?.length) this.violation('I8', `repair leaves to a person: ${first.left.join('; ')}`);
    const second = await this.#result(await this.#start('repair'));
    if (second.outcome !== 'repaired' || second.found?.length)
      this.violation(
        'I8',
        `a second repair ended as ${second.outcome} and found ${JSON.stringify(second.found)}`,
      );
    return first;
  }

  /**
   * A run that waits for a human says for what. A broken export may be the reason, and then it is aborted; or that its
   * configuration wants it, and then it is approved when what it has read is too old.
   */
  async #decide(handle: WorkflowHandle): Promise<void> {
    const progress = await this.lane.client
      .withDeadline(Date.now() + 2_000, () => handle.query<{ waitingFor?: string }>('progress'))
      .catch(() => undefined);
    if (!progress?.waitingFor) return;
    const isBroken = this.#billing.versions.some(({ broken }) => broken);
    const { sourceAgeSecondsMax } = this.shape;
    if (!isBroken && sourceAgeSecondsMax !== undefined) {
      this.#askedAt ??= performance.now();
      if (performance.now() - this.#askedAt > sourceAgeSecondsMax * 1_000)
        await handle.executeUpdate('approve', { args: ['torture'] }).catch(() => {});
      return;
    }
    this.#story.push(`waits for a human: ${progress.waitingFor}`);
    if (!isBroken) this.violation('I8', `waits for a human without a reason: ${progress.waitingFor}`);
    await handle.executeUpdate('abort', { args: ['torture'] }).catch(() => {});
  }

  /** Until no session is left but ours: what a woken worker was at has ended. */
  async #untilAlone(connection: Connection): Promise<void> {
    const end = performance.now() + SESSIONS_MS_MAX;
    let others: { id: string; info: string | null }[] = [];
    do {
      const [rows] = await connection.query<RowDataPacket[]>(
        "SELECT id, info FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND user NOT IN ('event_scheduler', 'system user')",
      );
      others = rows as { id: string; info: string | null }[];
      if (others.length === 0) return;
      await sleep(50);
    } while (performance.now() < end);
    this.violation('I6', `sessions are left in MySQL: ${JSON.stringify(others)}`);
  }

  async #connected(): Promise<Connection> {
    try {
      await this.#connection?.query('DO 0');
    } catch {
      this.#connection = undefined; // MySQL was killed
    }
    this.#connection ??= await this.lane.connect();
    return this.#connection;
  }

  /** A pipeline that was rolled back is held until an operator releases it. */
  async #release(connection: Connection): Promise<void> {
    const [rows] = await connection.query<RowDataPacket[]>('SELECT held_reason FROM _stageswap_pipeline');
    if ((rows[0] as { held_reason: string | null } | undefined)?.held_reason == null)
      this.violation('I8', 'the pipeline is not held after its rollback');
    await connection.query('UPDATE _stageswap_pipeline SET held_reason = NULL, held_at = NULL');
  }
}
