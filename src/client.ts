import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, WorkflowNotFoundError, WorkflowUpdateFailedError } from '@temporalio/client';
import { type MysqlAddress, parseMysqlAddress } from './config/address.js';
import { StageswapError } from './model/failures.js';
import {
  type ClientEdit,
  EDITS_A_BATCH_MAX,
  type EditOutcome,
  UPDATES,
  workflowIdOf,
} from './model/messages.js';
import { withSession } from './mysql/connection.js';
import { applyEdit, EDIT_WAIT_TIMEOUT_SECONDS, type Editable } from './mysql/edits.js';
import { errorNumber, isOutOfRoom, isPassing, NO_SUCH_TABLE } from './mysql/errors.js';
import { createControlTables } from './sql/control.js';

export type { ClientEdit, EditOutcome } from './model/messages.js';
export { dataConverterOf } from './temporal/codec.js';

/**
 * What an application may edit, as its types: `{ customer: { key: 'customer_id'; set: 'email' | 'phone' } }`. Without it
 * every name is allowed, and MySQL decides.
 */
export type EditableTables = Record<string, { key: string; set: string }>;

/** One change of one existing row. Without an id it gets one; whoever repeats edits after a crash of his own chooses it. */
export type NewEdit<T extends EditableTables = EditableTables> = {
  [Table in keyof T & string]: {
    table: Table;
    key: Record<T[Table]['key'], string>;
    set: { [Column in T[Table]['set']]?: string | null };
    by?: string;
    editId?: string;
  };
}[keyof T & string];

/** What an application imports to hand in its edits: `import { EditClient } from 'stageswap/client'`. */
export interface EditClientOptions {
  pipeline: string;
  temporal: Client;
  /** live's schema: mysql://user:password@host:port/schema */
  mysqlUrl: string;
  /** live's tables that are edited, with their key columns */
  tables: Editable[];
  /** milliseconds that an edit waits for others to go with it */
  collectMsMax?: number;
  /** milliseconds after which a run's answer is not waited for any longer; the edits are then written directly */
  answerMsMax?: number;
  /** milliseconds for which edits are repeated while MySQL does not answer; then they are given back as doubtful */
  repeatMsMax?: number;
  /** told of what was got around: Temporal or MySQL did not answer, and the edits were repeated or went another way */
  onTrouble?: (error: unknown) => void;
}

/**
 * Nobody knows whether these edits are in live: an engine did not answer for too long, or refused. Hand them in again
 * as they are here: their ids make a repetition harmless.
 */
export class DoubtfulEdits extends Error {
  override name = 'DoubtfulEdits';
  constructor(
    readonly edits: ClientEdit[],
    cause: unknown,
  ) {
    super(
      `${edits.length === 1 ? '1 edit' : `${edits.length} edits`} may or may not be in live: ${wordsOf(cause)}. Hand in again with the same ids.`,
      { cause },
    );
  }
}

const wordsOf = (cause: unknown) =>
  (cause instanceof Error ? cause.message : String(cause)).replace(/\.+$/, '');

/** edits that may wait in one client: more means that they come faster than MySQL takes them */
const WAITING_MAX = 50_000;
const COLLECT_MS_MAX = 250;
const ANSWER_MS_MAX = 10_000;
const REPEAT_MS_MAX = 60_000;
const PAUSE_MS_MAX = 2_000;
/** a Temporal that did not answer is left alone for so long: every batch would wait for it otherwise */
const DIRECT_MS = 10_000;

interface Waiting {
  edit: ClientEdit;
  resolve: (outcome: EditOutcome) => void;
  reject: (error: unknown) => void;
}

/**
 * Hands edits in: to the run that works, or, where none does or it ends that moment, by the statement that a run would
 * execute. Which way an edit goes makes no difference to live, and its id makes it harmless to go both. Edits of one
 * client are written in the order in which they were handed in.
 */
export class EditClient<T extends EditableTables = EditableTables> {
  readonly #address: MysqlAddress;
  readonly #waiting: Waiting[] = [];
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;
  #closed = false;
  #directUntil = 0;

  /** @throws {AddressError} mysqlUrl is no address */
  constructor(readonly options: EditClientOptions) {
    this.#address = parseMysqlAddress(options.mysqlUrl);
  }

  /**
   * Hands in one edit; it goes with others of the same quarter of a second, or as soon as there are 200.
   *
   * @returns its outcome: `applied`, and `repeated` for an id that was known, mean committed in live; `refused` says why
   * @throws {DoubtfulEdits} nobody knows; hand it in again with the same id
   */
  edit(edit: NewEdit<T>): Promise<EditOutcome> {
    const outcome = this.#enqueue(edit);
    if (this.#waiting.length >= EDITS_A_BATCH_MAX) void this.flush();
    else this.#timer ??= setTimeout(() => void this.flush(), this.options.collectMsMax ?? COLLECT_MS_MAX);
    return outcome;
  }

  /** Like `edit`, of several that are sent at once. @returns an outcome an edit, in their order */
  async submit(edits: NewEdit<T>[]): Promise<EditOutcome[]> {
    const outcomes = edits.map((edit) => this.#enqueue(edit));
    void this.flush();
    return Promise.all(outcomes);
  }

  /** Sends what waits, and returns when all of it has its outcome. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    while (this.#sending || this.#waiting.length > 0) {
      this.#sending ??= this.#sendAll().finally(() => {
        this.#sending = undefined;
      });
      await this.#sending;
    }
  }

  /** Takes no more edits, and returns when every one that was handed in has its outcome. Closes neither Temporal's client nor more. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.flush();
  }

  #enqueue(edit: NewEdit<T>): Promise<EditOutcome> {
    if (this.#closed) return Promise.reject(new Error('the edit client is closed: make a new one'));
    if (this.#waiting.length >= WAITING_MAX)
      return Promise.reject(
        new Error(`${WAITING_MAX} edits wait already: hand in no more until some have their outcome`),
      );
    const named = { ...edit, editId: edit.editId ?? randomUUID() } as ClientEdit;
    return new Promise((resolve, reject) => {
      this.#waiting.push({ edit: named, resolve, reject });
    });
  }

  async #sendAll(): Promise<void> {
    while (this.#waiting.length > 0) await this.#settle(this.#waiting.splice(0, EDITS_A_BATCH_MAX));
  }

  /** Gives each edit of a batch its outcome; what did not answer is asked again, with the same ids. Never rejects. */
  async #settle(
    batch: Waiting[],
    giveUpAt = Date.now() + (this.options.repeatMsMax ?? REPEAT_MS_MAX),
  ): Promise<void> {
    const edits = batch.map(({ edit }) => edit);
    for (let pauseMs = 100; ; pauseMs = Math.min(PAUSE_MS_MAX, pauseMs * 2)) {
      try {
        const outcomes = (await this.#throughRun(edits)) ?? (await this.#directly(edits));
        for (const [index, { edit, resolve, reject }] of batch.entries()) {
          const outcome = outcomes[index];
          if (outcome) resolve(outcome);
          else reject(new DoubtfulEdits([edit], 'the run left it without an outcome'));
        }
        return;
      } catch (error) {
        const passes = error instanceof StageswapError ? error.retry : isPassing(error) || isOutOfRoom(error);
        if (!passes && batch.length > 1) {
          // which of them it is about is not known: each is asked for by itself, so that one takes no other with it
          for (const one of batch) await this.#settle([one], giveUpAt);
          return;
        }
        if (!passes || Date.now() > giveUpAt) {
          for (const { edit, reject } of batch) reject(new DoubtfulEdits([edit], error));
          return;
        }
        this.options.onTrouble?.(error);
        await sleep(pauseMs);
      }
    }
  }

  /**
   * @returns undefined where no run took them, or it did not answer: it ended, goes on as a new execution, or its worker
   * is away. Whether it wrote them is not known then, and by their ids does not matter.
   */
  async #throughRun(edits: ClientEdit[]): Promise<EditOutcome[] | undefined> {
    if (Date.now() < this.#directUntil) return undefined;
    const { pipeline, temporal, answerMsMax = ANSWER_MS_MAX } = this.options;
    const run = temporal.workflow.getHandle(workflowIdOf(pipeline));
    try {
      return await temporal.withDeadline(Date.now() + answerMsMax, () =>
        run.executeUpdate<EditOutcome[], [{ edits: ClientEdit[] }]>(UPDATES.submitEdits, {
          args: [{ edits }],
        }),
      );
    } catch (error) {
      if (error instanceof WorkflowNotFoundError || error instanceof WorkflowUpdateFailedError)
        return undefined;
      this.#directUntil = Date.now() + DIRECT_MS;
      this.options.onTrouble?.(error);
      return undefined;
    }
  }

  async #directly(edits: ClientEdit[]): Promise<EditOutcome[]> {
    const { pipeline, tables } = this.options;
    return withSession(
      this.#address,
      async (session) => {
        const outcomes: EditOutcome[] = [];
        for (const edit of edits) {
          const apply = () => applyEdit(session, pipeline, tables, edit);
          try {
            outcomes.push(await apply());
          } catch (error) {
            // before the pipeline's first run
            if (errorNumber(error) !== NO_SUCH_TABLE) throw error;
            for (const statement of createControlTables()) await session.run(statement);
            outcomes.push(await apply());
          }
        }
        return outcomes;
      },
      { logged: true, waitTimeoutSeconds: EDIT_WAIT_TIMEOUT_SECONDS },
    );
  }
}
