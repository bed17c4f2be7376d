import { type Cost, noCost, sumOfCosts } from '../src/model/cost.js';
import { control } from '../src/model/names.js';
import type { Pace } from '../src/model/pace.js';
import { type RunSpec, type TableSpec, tableOf } from '../src/model/spec.js';
import type { Session } from '../src/mysql/connection.js';
import { jsonOf } from '../src/mysql/json.js';
import {
  ASKED_FROM,
  askableKeys,
  askedFor,
  collectCameOrWent,
  collectUnlessThere,
  collectWaiting,
  forgetAsked,
  keysAsked,
  nothingOf,
  notYetFrom,
  orphansWait,
  parentsWait,
} from '../src/sql/ask-again.js';
import type { KeyText } from '../src/sql/columns.js';
import { type Fragment, id, sql } from '../src/sql/text.js';
import { withSource } from '../src/sql-server/connection.js';
import { keyText } from '../src/sql-server/keys.js';
import { type Reader, type RowSink, readKeys } from '../src/sql-server/read.js';
import { refuseKeysOfAside } from './bad-rows.js';
import { type Dependencies, onRun, source, stopIfCancelled, WORK_MS_MAX } from './context.js';
import { type IngestProgress, ingestProgress } from './ingest.js';
import { type Load, load } from './load.js';
import { paceOf } from './stand-back.js';

/** Rows that are asked for together: what a crash makes to be asked once more. */
const ASKED_TOGETHER = 500;

/** A parent may have a parent that is missing, too, and a row that is gone may have children: so often all are looked at. */
const LOOKS_MAX = 10;

/**
 * A source that was not read as of one moment is asked again for the rows that seem to have come or gone, and for the parents of
 * orphans: what it says now takes the place of what was read.
 */
export function askAgainActivities(dependencies: Dependencies) {
  /** Asks for the rows of a table that base_next has and base has not, or the other way round; for at most some seconds. */
  const askAgain = onRun(
    dependencies,
    null,
    async (session, spec, live: string): Promise<IngestProgress & { finished: boolean }> => {
      const table = tableOf(spec, live);
      let cost = noCost();
      let finished = false;
      await asking(dependencies, session, spec, async (ask) => {
        const endsAt = Date.now() + WORK_MS_MAX;
        while (!finished && Date.now() < endsAt) {
          const from = await lastAsked(session, spec, table);
          const { keys, cost: more } = await ask(
            table,
            collectCameOrWent(spec, table, from, ASKED_TOGETHER),
            true,
          );
          cost = sumOfCosts(cost, more);
          finished = keys < ASKED_TOGETHER;
        }
      });
      return { ...(await ingestProgress(session, spec, live)), finished, cost };
    },
    { localInfile: true },
  );

  /**
   * Asks for rows whose parent is missing, and then for those parents, until none of them is found any more.
   *
   * @returns by table of live, what there is now
   */
  const askForParents = onRun(
    dependencies,
    null,
    async (session, spec): Promise<Record<string, IngestProgress>> => {
      const costs = new Map<string, Cost>();
      await asking(dependencies, session, spec, async (ask) => {
        /** @returns how many of the keys that wait had no row before, or have none any more */
        const askAll = async (
          table: TableSpec,
          wait: Fragment,
          changed: (keys: number, rows: number) => number,
        ) => {
          await session.run(nothingOf(spec, table, 'replayKeys'));
          await session.run(wait);
          let changes = 0;
          for (;;) {
            const { keys, cost } = await ask(table, [collectWaiting(spec, table, ASKED_TOGETHER)]);
            costs.set(table.live, sumOfCosts(costs.get(table.live) ?? noCost(), cost));
            changes += changed(keys, cost.source.rows);
            if (keys < ASKED_TOGETHER) return changes;
          }
        };
        for (let look = 1, changes = 1; changes > 0 && look <= LOOKS_MAX; look += 1) {
          changes = 0;
          for (const table of [...spec.tables].reverse())
            for (const key of askableKeys(spec, table)) {
              changes += await askAll(table, orphansWait(spec, table, key), (keys, rows) => keys - rows);
              changes += await askAll(
                tableOf(spec, key.parent),
                parentsWait(spec, table, key),
                (_, rows) => rows,
              );
            }
        }
      });
      for (const table of spec.tables) await refuseKeysOfAside(session, spec, table);
      const progress: Record<string, IngestProgress> = {};
      for (const { live } of spec.tables)
        progress[live] = {
          ...(await ingestProgress(session, spec, live)),
          cost: costs.get(live) ?? noCost(),
        };
      return progress;
    },
    { localInfile: true },
  );

  return { askAgain, askForParents };
}

/**
 * Asks for the rows of the keys that `collect` puts into `work`, of the first so many.
 *
 * @param inOrder these keys are looked for in the key's order: the ledger says how far
 */
type Ask = (
  table: TableSpec,
  collect: Fragment[],
  inOrder?: boolean,
) => Promise<{ keys: number; cost: Cost }>;

async function asking(
  dependencies: Dependencies,
  session: Session,
  spec: RunSpec,
  work: (ask: Ask) => Promise<void>,
): Promise<void> {
  const pace = paceOf(spec, 1);
  await session.keptAlive(() =>
    withSource(
      source(dependencies.config(spec.pipeline)),
      (pool) =>
        work((table, collect, inOrder = false) =>
          askFor(session, pool, spec, table, { collect, inOrder, pace }),
        ),
      { connectionsMax: 1 },
    ),
  );
}

async function askFor(
  session: Session,
  reader: Reader,
  spec: RunSpec,
  table: TableSpec,
  { collect, inOrder, pace }: { collect: Fragment[]; inOrder: boolean; pace: Pace | undefined },
): Promise<{ keys: number; cost: Cost }> {
  const askFor = async (keys: Fragment[], order: boolean) => {
    const asked = new Asked(session, reader, spec, table, keys, order);
    return { asked, cost: await load(session, spec, table, asked, pace) };
  };
  const { asked, cost } = await askFor(collect, inOrder);
  const keys = asked.keys.length;
  if (asked.otherwise.size === 0) return { keys, cost };
  // What only the source takes for a key that was asked: where base_next has no such row, it is spelled otherwise by now.
  const spelled = [...asked.otherwise.values()].map((key) => collectUnlessThere(spec, table, key));
  return { keys, cost: sumOfCosts(cost, (await askFor(spelled, false)).cost) };
}

/** Rows that are asked for by their keys: what the source says of them takes the place of what was read. */
class Asked implements Load {
  keys: string[][] = [];
  /** by their text, keys that were found and not asked for */
  readonly otherwise = new Map<string, string[]>();
  #seq = ASKED_FROM;

  constructor(
    readonly session: Session,
    readonly reader: Reader,
    readonly spec: RunSpec,
    readonly table: TableSpec,
    readonly collect: Fragment[],
    readonly inOrder: boolean,
  ) {}

  async begin(): Promise<number | undefined> {
    const { session, spec, table } = this;
    stopIfCancelled();
    for (const statement of [nothingOf(spec, table, 'work'), ...this.collect]) await session.run(statement);
    const rows = await session.rows<Record<string, string>>(keysAsked(spec, table));
    this.keys = rows.map((row) => table.key.map((name) => String(row[name])));
    if (this.keys.length === 0) return undefined;
    const [beyond] = this.keys.splice(ASKED_TOGETHER);
    if (beyond) await session.run(notYetFrom(spec, table, beyond));
    for (const statement of forgetAsked(spec, table)) await session.run(statement);
    const [last] = await session.rows<{ seq: number | null }>(
      sql`SELECT MAX(seq) AS seq FROM ${id(control.chunk)} WHERE ${ofAsked(spec, table)}`,
    );
    this.#seq = Number(last?.seq ?? ASKED_FROM) + 1;
    return this.#seq;
  }

  async read(sink: RowSink, signal: AbortSignal, aside?: Parameters<typeof readKeys>[5]): Promise<void> {
    const asked = new Set(this.keys.map(keyText));
    this.otherwise.clear();
    const ours: RowSink = {
      write: (fields) => {
        const key = fields.slice(0, this.table.key.length);
        const text = keyText(key);
        if (asked.has(text)) return sink.write(fields);
        this.otherwise.set(text, key.map(String));
        return true;
      },
      drained: () => sink.drained(),
    };
    await readKeys(this.reader, this.table, this.keys, ours, signal, aside);
  }

  async done(sent: { rows: number; checksumSum: bigint }): Promise<void> {
    const { session, spec, table } = this;
    const asFarAs = this.inOrder ? JSON.stringify(this.keys.at(-1)) : null;
    await session.run(
      sql`INSERT INTO ${id(control.chunk)} (pipeline, generation, live, step, seq, range_to, done, row_count, checksum_sum) VALUES (${spec.pipeline}, ${spec.generation}, ${table.live}, 'asked', ${this.#seq}, ${asFarAs}, 1, ${sent.rows}, ${sent.checksumSum.toString()})`,
    );
    for (const statement of askedFor(spec, table)) await session.run(statement);
  }
}

const ofAsked = (spec: RunSpec, table: TableSpec) =>
  sql`pipeline = ${spec.pipeline} AND generation = ${spec.generation} AND live = ${table.live} AND step = 'asked'`;

/** How far along the key it was asked which rows came or went; asked again from there, inclusive. */
async function lastAsked(session: Session, spec: RunSpec, table: TableSpec): Promise<KeyText> {
  const [last] = await session.rows<{ range_to: unknown }>(
    sql`SELECT range_to FROM ${id(control.chunk)} WHERE ${ofAsked(spec, table)} AND range_to IS NOT NULL ORDER BY seq DESC LIMIT 1`,
  );
  return last ? jsonOf<KeyText>(last.range_to as string | KeyText) : null;
}
