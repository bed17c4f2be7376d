import { randomUUID } from 'node:crypto';
import { type Client, WorkflowNotFoundError, WorkflowUpdateFailedError } from '@temporalio/client';
import { parseMysqlAddress } from './config/address.js';
import { type ClientEdit, type EditOutcome, UPDATES, workflowIdOf } from './model/messages.js';
import { withSession } from './mysql/connection.js';
import { applyEdit, type Editable } from './mysql/edits.js';

export type { ClientEdit, EditOutcome } from './model/messages.js';

/** What an application imports to hand in its edits: `import { EditClient } from 'stageswap/client'`. */
export interface EditClientOptions {
  pipeline: string;
  temporal: Client;
  /** live's schema: mysql://user:password@host:port/schema */
  mysqlUrl: string;
  /** live's tables that are edited, with their key columns */
  tables: Editable[];
  /** milliseconds after which a run's answer is not waited for any longer; the edits are then written directly */
  answerMsMax?: number;
}

/** An edit without an id gets one; whoever repeats an edit after a crash of his own gives it one himself. */
export type NewEdit = Omit<ClientEdit, 'editId'> & { editId?: string };

const EDITS_A_BATCH = 200;
const ANSWER_MS_MAX = 10_000;

/**
 * Hands edits in: to the run that works, or, where none does, by the statement that a run would execute. Which way an
 * edit goes makes no difference to live, and its id makes it harmless to go both.
 */
export class EditClient {
  constructor(readonly options: EditClientOptions) {}

  /**
   * Writes edits of existing rows to live.
   *
   * @returns an outcome an edit, in their order; `applied` means committed in live
   * @throws the database's or Temporal's error: what became of the edits is not known, repeat them with the same ids
   */
  async submit(edits: NewEdit[]): Promise<EditOutcome[]> {
    const named = edits.map((edit) => ({ ...edit, editId: edit.editId ?? randomUUID() }));
    const outcomes: EditOutcome[] = [];
    for (let at = 0; at < named.length; at += EDITS_A_BATCH) {
      const batch = named.slice(at, at + EDITS_A_BATCH);
      outcomes.push(...((await this.#throughRun(batch)) ?? (await this.#directly(batch))));
    }
    return outcomes;
  }

  /** @returns undefined where no run took them, or it did not answer in time */
  async #throughRun(edits: ClientEdit[]): Promise<EditOutcome[] | undefined> {
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
      if (isDoubtful(error)) return undefined;
      throw error;
    }
  }

  async #directly(edits: ClientEdit[]): Promise<EditOutcome[]> {
    const { pipeline, mysqlUrl, tables } = this.options;
    return withSession(
      parseMysqlAddress(mysqlUrl),
      async (session) => {
        const outcomes: EditOutcome[] = [];
        for (const edit of edits) outcomes.push(await applyEdit(session, pipeline, tables, edit));
        return outcomes;
      },
      { logged: true },
    );
  }
}

/** The run ended, or did not answer: whether it wrote the edits is not known, and by their ids does not matter. */
function isDoubtful(error: unknown): boolean {
  const { name, code } = error as { name?: string; code?: number };
  const DEADLINE_EXCEEDED = 4;
  const NOT_FOUND = 5;
  const UNAVAILABLE = 14;
  return (
    name === 'WorkflowUpdateRPCTimeoutOrCancelledError' ||
    [DEADLINE_EXCEEDED, NOT_FOUND, UNAVAILABLE].includes(code ?? -1) ||
    ((error as Error).cause !== undefined && isDoubtful((error as Error).cause))
  );
}
