import type { Client } from '@temporalio/client';
import { type ClientEdit, EditClient, type EditOutcome } from '../../src/client.js';
import type { FailPoints } from './fail-points.js';
import type { HandedIn } from './ledger.js';
import type { ClientMind } from './operations.js';
import type { Shape } from './shape.js';
import { tablesOf } from './shape.js';

const PACE_POINTS = 100;
const PACE_MS_MAX = 2_000;

/** What the one who handed an edit in was told: nothing, that it is in live, or that it cannot be. */
export type Told = 'nothing' | 'committed' | 'refused';

/**
 * An application that hands edits in: through the run that works, by a signal, or directly; some of them again and again
 * with the same id, also long after they were acknowledged and after the run has ended.
 */
export class HandedInEdits {
  /** by the token that each sets */
  readonly edits = new Map<string, HandedIn>();
  readonly told = new Map<string, Told>();
  readonly surprises: string[] = [];
  readonly #client: EditClient;
  readonly #sent: ClientEdit[] = [];
  #running: Promise<void> | undefined;
  #stopping = false;
  readonly #waiting = new Set<Promise<void>>();

  constructor(
    readonly to: { pipeline: string; workflowId: string; temporal: Client; mysqlUrl: string },
    shape: Shape,
    readonly mind: ClientMind,
    readonly points: FailPoints,
  ) {
    const { pipeline, temporal, mysqlUrl } = to;
    this.#client = new EditClient({
      pipeline,
      temporal,
      mysqlUrl,
      tables: tablesOf(shape).map(({ name, key }) => ({ live: name, key })),
      collectMsMax: 50,
      answerMsMax: 3_000,
    });
  }

  start(): void {
    this.#stopping = false;
    this.#running = this.#work();
  }
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#running;
    await this.#client.flush();
    await Promise.all(this.#waiting);
  }

  /** Hands in a few edits, old ones among them; returns when all have their outcome. */
  async handIn(): Promise<void> {
    const random = this.mind.random;
    this.#submit(this.#new());
    if (random.chance(0.5)) this.#submit(this.#new());
    const old = this.#sent.length > 2 && random.chance(0.5) ? random.pick(this.#sent) : undefined;
    if (old) this.#submit(old);
    await Promise.all(this.#waiting);
  }

  async #work(): Promise<void> {
    while (!this.#stopping) {
      if (this.mind.random.chance(0.2)) await this.#signal(this.#new());
      else await this.handIn();
      await this.points.pace(PACE_POINTS, PACE_MS_MAX);
    }
  }

  #new(): ClientEdit {
    const { table, key, set } = this.mind.edit();
    const token = Object.values(set)[0] ?? '';
    this.edits.set(token, { table, key, set });
    this.told.set(token, 'nothing');
    const edit: ClientEdit = { editId: `edit ${token}`, table, key, set, by: 'torture' };
    this.#sent.push(edit);
    return edit;
  }

  #submit(edit: ClientEdit): void {
    const token = Object.values(edit.set)[0] ?? '';
    const done: Promise<void> = this.#client
      .submit([edit as never])
      .then(([outcome]) => this.#note(token, outcome))
      .catch(() => {}) // doubtful: told is nothing
      .finally(() => this.#waiting.delete(done));
    this.#waiting.add(done);
  }

  #note(token: string, outcome: EditOutcome | undefined): void {
    if (!outcome) return;
    if (outcome.outcome !== 'refused') this.told.set(token, 'committed');
    // a repetition may find that its row is gone, and the first time it was there
    else if (this.told.get(token) === 'nothing') this.told.set(token, 'refused');
    if (outcome.outcome === 'refused' && !/no row with that key/.test(outcome.problem ?? ''))
      this.surprises.push(`${token} was refused: ${outcome.problem}`);
  }

  /** Whether a signalled edit is written is nobody's word; that it is not written twice is checked all the same. */
  async #signal(edit: ClientEdit): Promise<void> {
    try {
      const { temporal, workflowId } = this.to;
      await temporal.workflow.getHandle(workflowId).signal('clientEdits', { edits: [edit] });
    } catch {
      // no run works, or Temporal is away
    }
  }
}
