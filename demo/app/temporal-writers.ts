import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import { type Edit, Latency } from './bookkeeping.js';
import { DEMO_TABLES } from './tables.js';
import { type Setting, SqlWriter, type Stage, Territory, updates } from './writers.js';

export const WORKFLOW_ID = 'stageswap-demo';
const EDITS_A_BATCH = 4;
const UPDATE_MS_MAX = 30_000;

/**
 * A client that hands its edits in through Temporal while a run works: batches by signal, or by update, which is
 * answered once the edits are saved. Where no run is active it writes the same edits by SQL.
 *
 * It edits every field once: a signal may arrive late, and then nobody could say which edit of a field was the last.
 */
export class TemporalWriter {
  readonly updateMs = new Latency();
  /** batches that were not answered, or found no run, and went by SQL */
  bySql = 0;
  /** of these, the ones for another reason than that no run was active */
  doubtful = 0;
  readonly #territory: Territory;
  readonly #sql: SqlWriter;
  readonly #used = new Set<string>();

  constructor(
    readonly stage: Stage,
    readonly client: Client,
    readonly via: 'signal' | 'update',
    owner: number,
    readonly pauseMs: number,
  ) {
    this.#territory = new Territory(stage, owner);
    this.#sql = new SqlWriter(stage, owner, pauseMs);
  }

  async work(until: () => boolean, active: () => boolean): Promise<void> {
    while (!until() && !this.stage.signal.aborted) {
      if (active()) await this.#handIn();
      await sleep(this.pauseMs);
    }
    await this.#sql.work(() => true);
  }

  #settings(): Setting[] {
    const territory = this.#territory;
    return Array.from({ length: EDITS_A_BATCH }, () => {
      const column = territory.random.pick(['email', 'phone', 'purchase_order'] as const);
      return territory.setting(column === 'purchase_order' ? 'invoice' : 'customer', column);
    }).filter((setting) => {
      if (!setting) return false;
      const id = `${setting.table}/${setting.key}/${setting.column}`;
      if (this.#used.has(id)) return false;
      this.#used.add(id);
      return true;
    }) as Setting[];
  }

  async #handIn(): Promise<void> {
    const { books } = this.stage;
    const settings = this.#settings();
    if (settings.length === 0) return;
    const edits = settings.map((setting) => books.begin(setting, setting.token, this.via));
    const ids = new Map(edits.map((edit) => [randomUUID() as string, edit]));
    const batch = { edits: [...ids].map(([editId, edit]) => handedIn(editId, edit)) };
    const handle = this.client.workflow.getHandle(WORKFLOW_ID);
    try {
      if (this.via === 'signal') {
        await handle.signal('clientEdits', batch);
        for (const edit of edits) books.settle(edit, 'done');
        return;
      }
      const start = performance.now();
      const outcomes = await this.client.connection.withDeadline(Date.now() + UPDATE_MS_MAX, () =>
        handle.executeUpdate<{ editId: string; outcome: string; problem?: string }[], [typeof batch]>(
          'submitEdits',
          {
            args: [batch],
          },
        ),
      );
      this.updateMs.add(performance.now() - start);
      for (const { editId, outcome, problem } of outcomes) {
        const edit = ids.get(editId);
        if (!edit) continue;
        ids.delete(editId);
        books.settle(edit, outcome === 'refused' ? 'failed' : 'done');
        if (outcome === 'refused') this.stage.refused.push(`submitEdits: ${problem}`);
      }
      for (const edit of ids.values()) books.settle(edit, 'unknown');
    } catch (error) {
      // Not running any more, or closed before it answered: the same edits again, which changes nothing if they are in.
      if (!(error instanceof WorkflowNotFoundError)) this.doubtful += 1;
      this.bySql += 1;
      await this.#sql.commit(edits, 'transaction', (run) =>
        updates(
          run,
          settings.map((setting) => [setting]),
        ),
      );
    }
  }
}

function handedIn(editId: string, edit: Edit) {
  return {
    editId,
    table: edit.table,
    key: { [DEMO_TABLES[edit.table].key]: edit.key },
    set: { [edit.column]: edit.token },
    by: `demo client (${edit.via})`,
  };
}
