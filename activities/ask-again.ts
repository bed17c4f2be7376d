import { type Cost, noCost, sumOfCosts } from '../src/model/cost.js';
import { StageswapError } from '../src/model/failures.js';
import { control, physicalTable } from '../src/model/names.js';
import { type RunSpec, type TableSpec, tableOf } from '../src/model/spec.js';
import type { Session } from '../src/mysql/connection.js';
import { jsonOf } from '../src/mysql/json.js';
import { endOfRange } from '../src/mysql/key-ranges.js';
import type { Sent } from '../src/mysql/load.js';
import {
  ASKED_FROM,
  askableKeys,
  askNow,
  cameOrWentWait,
  forgetAsked,
  keysAsked,
  orphansWait,
  parentsWait,
  waitsUnlessThere,
  wasAsked,
} from '../src/sql/ask-again.js';
import type { KeyText } from '../src/sql/columns.js';
import { ancestorOf } from '../src/sql/shape.js';
import { type Fragment, id, sql } from '../src/sql/text.js';
import { keyText } from '../src/sql-server/keys.js';
import { type Aside, canBeAsked, type Reader, type RowSink, readKeys } from '../src/sql-server/read.js';
import { refuseKeysOfAside } from './bad-rows.js';
import { type Dependencies, holdFence, onRun, onSource, WORK_MS_MAX } from './context.js';
import { type IngestProgress, ingestProgress } from './ingest.js';
import { type Load, load } from './load.js';
import { paceOf } from './stand-back.js';

/** Rows that are asked for in one transaction. */
const ASKED_TOGETHER = 500;
/** Rows of base and of base_next that are compared at a time. */
const COMPARED_TOGETHER = 5_000;
/** A parent may have a parent that is missing, too, and a row that is gone may have children: so often all are looked at. */
const LOOKS_MAX = 10;
/** So often a key may be found under another spelling than it was asked by; each time somebody changed it in between. */
const SPELLINGS_MAX = 10;

/**
 * A source that was not read as of one moment is asked again for the rows that seem to have come or gone, and for orphans and their
 * parents: what it says now takes the place of what was read. Keys wait in MySQL, so that whoever goes on asks for them, too.
 */
export function askAgainActivities(dependencies: Dependencies) {
  /** Asks for the rows of a table that base_next has and base has not, or the other way round; for at most some seconds. */
  const askAgain = onRun(
    dependencies,
    null,
    async (session, spec, live: string): Promise<IngestProgress & { finished: boolean }> => {
      const table = tableOf(spec, live);
      let finished = false;
      const cost = await asking(dependencies, session, spec, async (ask) => {
        const endsAt = Date.now() + WORK_MS_MAX;
        await ask(table);
        while (!finished && Date.now() < endsAt) {
          finished = await compareNext(session, spec, table);
          await ask(table);
        }
      });
      return { ...(await ingestProgress(session, spec, live)), finished, cost: cost(live) };
    },
    { localInfile: true },
  );

  /**
   * Asks for rows whose parent is missing, and for those parents, until there is none or nothing changes any more.
   *
   * @returns by table of live, what there is now
   */
  const askForParents = onRun(
    dependencies,
    null,
    async (session, spec): Promise<Record<string, IngestProgress>> => {
      const cost = await asking(dependencies, session, spec, async (ask) => {
        for (const table of spec.tables) await ask(table);
        const askThose = async (table: TableSpec, wait: Fragment) => {
          await session.transaction(async () => {
            await holdFence(session, spec);
            await session.run(wait);
          });
          return ask(table);
        };
        // a parent may go right after its child was asked for: once nothing has changed, it is looked once more
        for (let look = 1, still = 0; look <= LOOKS_MAX && still < 2; look += 1) {
          let [orphans, changes] = [0, 0];
          for (const table of [...spec.tables].reverse())
            for (const key of askableKeys(spec, table)) {
              const children = await askThose(table, orphansWait(spec, table, key));
              const parents = await askThose(tableOf(spec, key.parent), parentsWait(spec, table, key));
              orphans += children.keys;
              changes += children.keys - children.rows + parents.rows;
            }
          if (orphans === 0) return;
          still = changes === 0 ? still + 1 : 0;
        }
      });
      const progress: Record<string, IngestProgress> = {};
      for (const table of spec.tables) {
        await refuseKeysOfAside(session, spec, table);
        progress[table.live] = {
          ...(await ingestProgress(session, spec, table.live)),
          cost: cost(table.live),
        };
      }
      return progress;
    },
    { localInfile: true },
  );

  return { askAgain, askForParents };
}

/** Asks for the rows of the keys that wait, until none does. @returns keys that were asked, and rows that were found of them */
type Ask = (table: TableSpec) => Promise<{ keys: number; rows: number }>;

/** @returns what was asked of each table has cost */
async function asking(
  dependencies: Dependencies,
  session: Session,
  spec: RunSpec,
  work: (ask: Ask) => Promise<void>,
): Promise<(live: string) => Cost> {
  const costs = new Map<string, Cost>();
  const costOf = (live: string) => costs.get(live) ?? noCost();
  const pace = paceOf(spec, 1);
  const askOn =
    (reader: Reader): Ask =>
    async (table) => {
      const all = { keys: 0, rows: 0 };
      const spellings = new Map<string, number>();
      for (;;) {
        const asked = new Asked(session, reader, spec, table, spellings);
        const cost = await load(session, spec, table, asked, pace);
        if (asked.keys.length === 0) return all;
        costs.set(table.live, sumOfCosts(costOf(table.live), cost));
        all.keys += asked.keys.length;
        all.rows += cost.source.rows;
      }
    };
  await session.keptAlive(() =>
    onSource(dependencies, spec.pipeline, (pool) => work(askOn(pool)), { connectionsMax: 1 }),
  );
  return costOf;
}

/** The first of the keys that wait: what the source says of their rows takes the place of what was read. */
class Asked implements Load {
  keys: string[][] = [];
  #seq = ASKED_FROM;
  /** by their text, keys that were found and not asked for: only the source takes them for one that was */
  readonly #otherwise = new Map<string, string[]>();

  constructor(
    readonly session: Session,
    readonly reader: Reader,
    readonly spec: RunSpec,
    readonly table: TableSpec,
    /** how often each key was found otherwise */
    readonly spellings: Map<string, number>,
  ) {}

  async begin(): Promise<number | undefined> {
    const { session, spec, table } = this;
    for (const statement of askNow(spec, table, ASKED_TOGETHER)) await session.run(statement);
    const rows = await session.rows<Record<string, string>>(keysAsked(spec, table));
    this.keys = rows.map((row) => table.key.map((name) => String(row[name])));
    if (this.keys.length === 0) return undefined;
    const lost = this.keys.find(
      (key, index) => Number(rows[index]?._ss_read) === 1 && !canBeAsked(table, key),
    );
    if (lost) throw cannotBeAsked(table, lost);
    for (const statement of forgetAsked(spec, table)) await session.run(statement);
    const [last] = await session.rows<{ seq: number | null }>(
      sql`SELECT MAX(seq) AS seq FROM ${id(control.chunk)} WHERE ${of(spec, table, 'asked')}`,
    );
    this.#seq = Number(last?.seq ?? ASKED_FROM) + 1;
    return this.#seq;
  }

  async read(sink: RowSink, signal: AbortSignal, aside?: Aside): Promise<void> {
    const asked = new Set(this.keys.map(keyText));
    this.#otherwise.clear();
    const ours: RowSink = {
      write: (fields) => {
        const key = fields.slice(0, this.table.key.length);
        const text = keyText(key);
        // two keys of which the source knows one may be asked in two statements: its row comes twice
        if (asked.delete(text)) return sink.write(fields);
        this.#otherwise.set(text, key.map(String));
        return true;
      },
      drained: () => sink.drained(),
    };
    await readKeys(this.reader, this.table, this.keys, ours, signal, aside);
  }

  async done(sent: Sent): Promise<void> {
    const { session, spec, table } = this;
    await session.run(
      sql`INSERT INTO ${id(control.chunk)} (pipeline, generation, live, step, seq, done, row_count, checksum_sum) VALUES (${spec.pipeline}, ${spec.generation}, ${table.live}, 'asked', ${this.#seq}, 1, ${sent.rows}, ${sent.checksumSum.toString()})`,
    );
    for (const statement of wasAsked(spec, table)) await session.run(statement);
    // Where base_next has no such row, the key is spelled otherwise by now.
    for (const [text, key] of this.#otherwise) {
      if (!canBeAsked(table, key)) throw cannotBeAsked(table, key);
      if ((await session.run(waitsUnlessThere(spec, table, key))) === 0) continue;
      const found = (this.spellings.get(text) ?? 0) + 1;
      if (found > SPELLINGS_MAX) throw cannotBeAsked(table, key);
      this.spellings.set(text, found);
    }
  }
}

function cannotBeAsked(table: TableSpec, key: string[]): StageswapError {
  return new StageswapError(
    'ProofFailed',
    `${table.source.schema}.${table.source.table}: the row of key ${keyText(key)} was read, and cannot be asked for by its key. Live is untouched. Use another moment than fuzzy, or report this with the types of its key.`,
  );
}

const of = (spec: RunSpec, table: TableSpec, step: 'asked' | 'compared') =>
  sql`pipeline = ${spec.pipeline} AND generation = ${spec.generation} AND live = ${table.live} AND step = ${step}`;

/**
 * Compares the keys of the next range of base and base_next, and lets those wait that one of them has alone. The ledger says how far
 * this has come.
 *
 * @returns whether it was the last range
 */
async function compareNext(session: Session, spec: RunSpec, table: TableSpec): Promise<boolean> {
  const [ledger] = await session.rows<{ range_to: unknown }>(
    sql`SELECT range_to FROM ${id(control.chunk)} WHERE ${of(spec, table, 'compared')}`,
  );
  const from = ledger ? jsonOf<KeyText>((ledger.range_to ?? null) as string | KeyText) : null;
  if (ledger && from === null) return true;
  const endOf = (name: string, to?: KeyText) => endOfRange(session, table, name, from, COMPARED_TOGETHER, to);
  const incoming = await endOf(physicalTable(spec.generation, 'baseNext', table.live));
  const base = ancestorOf(spec, table);
  // neither side has more in a range than may be compared at a time
  const to = (base && (await endOf(base, incoming))) || incoming;
  await session.transaction(async () => {
    await holdFence(session, spec);
    for (const statement of cameOrWentWait(spec, table, { from, to })) await session.run(statement);
    await session.run(
      sql`REPLACE INTO ${id(control.chunk)} (pipeline, generation, live, step, seq, range_to, done) VALUES (${spec.pipeline}, ${spec.generation}, ${table.live}, 'compared', 0, ${to && JSON.stringify(to)}, 1)`,
    );
  });
  return to === null;
}
