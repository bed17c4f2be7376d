import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import { EditClient } from '../../src/client.js';
import { workflowIdOf } from '../../src/model/messages.js';
import { type Edit, Latency } from './bookkeeping.js';
import { DEMO_TABLES, TABLES } from './tables.js';
import { type Setting, SqlWriter, type Stage, Territory, updates } from './writers.js';

const EDITS_A_BATCH = 4;

/**
 * A client that hands its edits in while a run works: batches by signal, or as an application would, by the client that
 * stageswap brings, which answers once the edits are saved. A signal that finds no run goes by SQL.
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
  readonly #edits: EditClient;

  constructor(
    readonly stage: Stage,
    readonly client: Client,
    readonly via: 'signal' | 'update',
    owner: number,
    readonly pauseMs: number,
  ) {
    this.#territory = new Territory(stage, owner);
    this.#sql = new SqlWriter(stage, owner, pauseMs);
    this.#edits = new EditClient({
      pipeline: stage.pipeline,
      temporal: client,
      mysqlUrl: stage.app.url,
      tables: TABLES.map((live) => ({ live, key: [DEMO_TABLES[live].key] })),
    });
  }

  async work(until: () => boolean, active: () => boolean): Promise<void> {
    while (!until() && !this.stage.signal.aborted) {
      if (active()) await this.#handIn();
      await sleep(this.pauseMs);
    }
    await this.#edits.flush();
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
    const batch = [...ids].map(([editId, edit]) => handedIn(editId, edit));
    await (this.via === 'signal' ? this.#signal(batch, edits, settings) : this.#submit(batch, ids));
  }

  async #signal(batch: HandedIn[], edits: Edit[], settings: Setting[]): Promise<void> {
    try {
      await this.client.workflow
        .getHandle(workflowIdOf(this.stage.pipeline))
        .signal('clientEdits', { edits: batch });
      for (const edit of edits) this.stage.books.settle(edit, 'done');
    } catch (error) {
      // Not running any more: the same edits again, which changes nothing if they are in.
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

  async #submit(batch: HandedIn[], ids: Map<string, Edit>): Promise<void> {
    const { books, refused } = this.stage;
    const start = performance.now();
    try {
      for (const { editId, outcome, problem } of await this.#edits.submit(batch)) {
        const edit = ids.get(editId);
        if (!edit) continue;
        ids.delete(editId);
        books.settle(edit, outcome === 'refused' ? 'failed' : 'done');
        if (outcome === 'refused') refused.push(`edit client: ${problem}`);
      }
      this.updateMs.add(performance.now() - start);
    } catch (error) {
      this.doubtful += 1;
      refused.push(`edit client: ${(error as Error).message}`);
    }
    for (const edit of ids.values()) books.settle(edit, 'unknown');
  }
}

type HandedIn = ReturnType<typeof handedIn>;

function handedIn(editId: string, edit: Edit) {
  return {
    editId,
    table: edit.table,
    key: { [DEMO_TABLES[edit.table].key]: edit.key },
    set: { [edit.column]: edit.token },
    by: `demo client (${edit.via})`,
  };
}
