import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import type { RowDataPacket } from 'mysql2/promise';
import type { Billing } from './billing.js';
import type { Clients } from './clients.js';
import type { Armed, Told } from './fail-points.js';
import { nameOf } from './fail-points.js';
import type { Lane } from './lane.js';
import type { Fault, FaultKind } from './plan.js';
import { customerKey, METER } from './shape.js';

/** What a fault may touch. */
export interface Stage {
  lane: Lane;
  client: Client;
  workflowId: string;
  start: (type: 'sync' | 'rollback') => Promise<unknown>;
  billing: Billing;
  clients: Clients;
  /** what must not be, found on the way */
  violation: (invariant: string, text: string) => void;
}

/** A fault that has happened. */
export interface Happened {
  kind: FaultKind;
  activity: string;
  point: string;
  from: number;
  to: number;
}

/** What is done with statements that may have to wait for a lock which the standing worker holds. */
const AT_ONCE_MS_MAX = 300;

/** Carries out the faults of one command, and ends what they began when the command is over. */
export class Faults {
  readonly happened: Happened[] = [];
  /** under way beside the command: ended by `over` */
  readonly #beside: Promise<unknown>[] = [];
  readonly #ends: (() => Promise<void>)[] = [];

  constructor(readonly stage: Stage) {}

  armed(faults: Fault[]): Armed[] {
    return faults.map((fault) => {
      let left = fault.kind === 'diskFull' ? 1 + (fault.points % 7) : 0;
      return {
        at: fault.at,
        again: () => {
          left -= 1;
          return left >= 0;
        },
        strike: async (told, worker) => {
          const happened: Happened = {
            kind: fault.kind,
            activity: told.activity,
            point: `${nameOf(told)}, ${told.side}, attempt ${told.attempt}`,
            from: performance.now(),
            to: Number.POSITIVE_INFINITY,
          };
          this.happened.push(happened);
          try {
            await this.stage.clients.until(fault.commits);
            for (let index = 0; index < fault.billing; index += 1) await this.stage.billing.change();
            return await this.#strike(fault, told, worker);
          } finally {
            happened.to = performance.now();
          }
        },
      };
    });
  }

  /** The command has ended: stopped workers are woken, locks given back, old snapshots read. */
  async over(): Promise<void> {
    this.stage.lane.points.disarm();
    for (const end of this.#ends.splice(0)) await end();
    await Promise.all(this.#beside.splice(0));
  }

  async #strike(fault: Fault, told: Told, worker: number): ReturnType<Armed['strike']> {
    const { lane, billing } = this.stage;
    switch (fault.kind) {
      case 'kill':
        await lane.workers.kill(worker);
        break;
      case 'stop':
        lane.workers.stop(worker);
        this.#beside.push(lane.points.after(fault.points).then(() => lane.workers.wake(worker)));
        break;
      case 'reset':
        if (told.port === undefined) lane.source.cut();
        else if (told.side === 'after' || !lane.target.loseReplyTo(told.port)) lane.target.cutOne(told.port);
        break;
      case 'cut':
        if (told.port === undefined) lane.source.cut();
        else lane.target.cutOne(told.port);
        break;
      case 'cutAll':
        lane.target.cut();
        break;
      case 'mysqlKill':
        await lane.mysql.kill();
        await lane.mysql.start();
        break;
      case 'temporalKill':
        await lane.temporal.kill();
        await lane.temporal.start();
        break;
      case 'sourceCut':
        lane.source.cutAfter(100 * (fault.points % 60), 1);
        break;
      case 'latency':
        lane.target.delay(20 + (fault.points % 60), 40);
        break;
      case 'lockHolder':
        await this.#holdLocks(fault.points);
        break;
      case 'longReader':
        await this.#readLong();
        break;
      case 'migration':
        await this.#migrate();
        break;
      case 'pause':
        await this.#pause(fault);
        break;
      case 'abort':
        await this.#handle()
          .executeUpdate('abort', { args: ['torture'] })
          .catch(refused);
        break;
      case 'cancel':
        await this.#handle().cancel().catch(refused);
        break;
      case 'terminate':
        await this.#handle().terminate('torture').catch(refused);
        break;
      case 'secondRun':
        await this.#startAgain('sync');
        await this.#startAgain('rollback');
        break;
      case 'diskFull':
        return { errno: 1114, message: "The table '_ss' is full" };
      case 'truncatedSource':
        await billing.break('truncated');
        break;
      case 'doubledSource':
        await billing.break('doubled');
        break;
      case 'linger':
        break;
    }
    return undefined;
  }

  #handle() {
    return this.stage.client.workflow.getHandle(this.stage.workflowId);
  }

  /** A client's transaction that has locked rows, and with them the tables' definitions, for a while. */
  async #holdLocks(points: number): Promise<void> {
    const { lane } = this.stage;
    const connection = await lane.connect();
    await connection.query('START TRANSACTION');
    const locked = connection
      .query('SELECT * FROM invoice LEFT JOIN line USING (invoice_id) WHERE invoice_id < 10 FOR UPDATE')
      .catch(() => {});
    await Promise.race([locked, sleep(AT_ONCE_MS_MAX)]);
    this.#beside.push(
      lane.points.after(points).then(async () => {
        await locked;
        connection.destroy();
      }),
    );
  }

  /**
   * A transaction whose snapshot is of now, right after an edit was acknowledged, and which looks at live when the command has
   * ended: it sees that edit, or is told that the table was exchanged.
   */
  async #readLong(): Promise<void> {
    const { lane, clients } = this.stage;
    const key = { customer_id: customerKey(clients.shape, METER) };
    const note = `seen ${clients.outcomes.size}`;
    const edited = clients.perform({ table: 'customer', kind: 'update', keys: [key], set: { note } });
    const isDone = await Promise.race([edited, sleep(AT_ONCE_MS_MAX)]);
    this.#beside.push(edited);
    if (!isDone) return;
    const connection = await lane.connect();
    await connection.query('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ');
    await connection.query('START TRANSACTION WITH CONSISTENT SNAPSHOT');
    this.#ends.push(async () => {
      try {
        const [rows] = await connection.query<RowDataPacket[]>(
          'SELECT note FROM customer WHERE customer_id = ?',
          [key.customer_id],
        );
        const found = (rows[0] as { note: string | null } | undefined)?.note;
        if (found !== note)
          this.stage.violation(
            'I5',
            `a snapshot that has seen ${note} reads ${rows.length === 0 ? 'no row' : found} after the command, without an error`,
          );
      } catch (error) {
        const { errno } = error as { errno?: number };
        if (errno !== undefined && errno > 1000 && !LONG_READERS_ERRORS.has(errno))
          this.stage.violation('I5', `a snapshot from before the swap gets ${(error as Error).message}`);
      }
      connection.destroy();
    });
  }

  async #migrate(): Promise<void> {
    const connection = await this.stage.lane.connect();
    const altered = connection
      .query(`ALTER TABLE customer ADD COLUMN extra${this.stage.clients.outcomes.size} VARCHAR(80) NULL`)
      .catch(() => {})
      .finally(() => connection.destroy());
    this.#beside.push(altered);
    await Promise.race([altered, sleep(AT_ONCE_MS_MAX)]);
  }

  async #pause(fault: Fault): Promise<void> {
    const paused = await this.#handle()
      .executeUpdate('pause', { args: [] })
      .then(() => true, refused);
    if (!paused) return;
    const resume = async () => {
      await this.stage.clients.until(fault.commits + 3);
      for (let attempt = 0; attempt < 20; attempt += 1) {
        if (
          await this.#handle()
            .executeUpdate('resume', { args: [] })
            .then(() => true, refused)
        )
          return;
        const { status } = await this.#handle().describe();
        if (status.name !== 'RUNNING') return;
        await sleep(200);
      }
    };
    this.#beside.push(resume());
  }

  async #startAgain(type: 'sync' | 'rollback'): Promise<void> {
    try {
      await this.stage.start(type);
      this.stage.violation('I8', `a second ${type} was started while a run works`);
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    }
  }
}

/** The exchanged definition; a server that was killed meanwhile took the transaction with it. */
const LONG_READERS_ERRORS = new Set([1412, 1053, 1927]);

const refused = () => false;
