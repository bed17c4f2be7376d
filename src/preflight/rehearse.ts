import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { parseMysqlAddress } from '../config/address.js';
import type { Config } from '../config/load.js';
import type { TableSpec } from '../model/spec.js';
import { type Session, withSession } from '../mysql/connection.js';
import { definitionsOf } from '../mysql/fingerprint.js';
import { lockTables } from '../mysql/lock.js';
import { type MarkerNames, type SwapNames, swapGroup } from '../sql/swap.js';
import { type Fragment, id, join, sql } from '../sql/text.js';
import type { Facts } from './facts.js';
import { CHECK_RUN, freeze } from './freeze.js';
import { dropAbandonedTrials, ownTrialPrefix, TRIAL_PREFIX } from './trial.js';

/**
 * Milliseconds of a cut-over on empty tables of the same shape: RENAME takes no longer on full ones. Triggers and the drain are not
 * rehearsed, and come to it.
 */
export interface Rehearsal {
  rounds: number;
  /** from LOCK asked for to granted, where nobody else uses the tables */
  lockMs: number;
  /** from LOCK granted to UNLOCK: what the application would wait, in the median, at best and at worst */
  heldMs: number;
  heldMsMin: number;
  heldMsMax: number;
}

const ROUNDS = 5;
/** With a hundred tables a round takes ten seconds: then fewer of them tell enough. */
const ROUNDS_MS_MAX = 15_000;

/** What the tables of a rehearsal are called. */
export interface RehearsalNames {
  table(live: string, index: number): SwapNames;
  marker: MarkerNames;
}

/**
 * Rehearses the cut-over for `check`: makes empty tables like live and like stage, and swaps them several times as a run does.
 * The tables are dropped again, also those that a rehearsal left whose connection died. Live is only read, by LIKE.
 *
 * @param facts must have passed `decide`
 */
export async function rehearse(config: Config, facts: Facts): Promise<Rehearsal> {
  const { tables } = freeze(config, facts, CHECK_RUN);
  return withSession(parseMysqlAddress(config.target.url), async (session) => {
    await dropAbandonedTrials(session);
    const mine = await ownTrialPrefix(session);
    const names: RehearsalNames = {
      table: (_, index) => ({
        live: `${mine}${index}l`,
        stage: `${mine}${index}s`,
        backup: `${mine}${index}o`,
      }),
      marker: { from: `${mine}at`, to: `${mine}to` },
    };
    return rehearseOn(session, tables, names);
  });
}

/** The same on a session and under names of the caller's. Tables of these names are dropped before and after. */
export async function rehearseOn(
  session: Session,
  group: TableSpec[],
  names: RehearsalNames,
): Promise<Rehearsal> {
  const tables = group.map(({ live }, index) => names.table(live, index));
  const { marker } = names;
  const drop = () =>
    session.run(
      sql`DROP TABLE IF EXISTS ${join([...tables.flatMap(({ live, stage, backup }) => [live, stage, backup]), marker.from, marker.to].map(id))}`,
    );
  await drop();
  try {
    for (const [index, { live }] of group.entries())
      for (const name of [tables[index]?.live ?? '', tables[index]?.stage ?? ''])
        await session.run(sql`CREATE TABLE ${id(name)} LIKE ${id(live)}`);
    for (const statement of foreignKeysOf(group, tables)) await session.run(statement);
    await session.run(sql`CREATE TABLE ${id(marker.from)} (nothing TINYINT PRIMARY KEY) ENGINE=InnoDB`);
    return await swapAgainAndAgain(session, tables, marker);
  } finally {
    await drop();
  }
}

/** LIKE leaves foreign keys out, and for each of them MySQL renames longer. */
function foreignKeysOf(group: TableSpec[], tables: SwapNames[]): Fragment[] {
  const placeOf = new Map(group.map(({ live }, index) => [live, tables[index]] as const));
  // a rehearsal that died may have left others
  const mark = randomBytes(4).toString('hex');
  let number = 0;
  return (['live', 'stage'] as const).flatMap((side) =>
    group.flatMap(({ live, foreignKeys }) =>
      foreignKeys.map(({ columns, parent, parentColumns }) => {
        number += 1;
        const name = `${TRIAL_PREFIX}${mark}_${number}`;
        const of = (table: string) => id(placeOf.get(table)?.[side] ?? '');
        return sql`ALTER TABLE ${of(live)} ADD CONSTRAINT ${id(name)} FOREIGN KEY (${join(columns.map(id))}) REFERENCES ${of(parent)} (${join(parentColumns.map(id))})`;
      }),
    ),
  );
}

async function swapAgainAndAgain(
  session: Session,
  tables: SwapNames[],
  marker: MarkerNames,
): Promise<Rehearsal> {
  const until = performance.now() + ROUNDS_MS_MAX;
  const lock: number[] = [];
  const held: number[] = [];
  while (held.length < ROUNDS && (held.length === 0 || performance.now() < until)) {
    const took = await swapOnce(session, tables, marker);
    lock.push(took.lockMs);
    held.push(took.heldMs);
    await session.run(
      sql`RENAME TABLE ${join(tables.map((table) => sql`${id(table.backup)} TO ${id(table.stage)}`))}, ${id(marker.to)} TO ${id(marker.from)}`,
    );
  }
  return {
    rounds: held.length,
    lockMs: median(lock),
    heldMs: median(held),
    heldMsMin: round(Math.min(...held)),
    heldMsMax: round(Math.max(...held)),
  };
}

/** LOCK → the look at the definitions → RENAME → UNLOCK, as the cut-over does it when nothing is left to drain. */
async function swapOnce(
  session: Session,
  tables: SwapNames[],
  marker: MarkerNames,
): Promise<{ lockMs: number; heldMs: number }> {
  const asked = performance.now();
  await session.run(
    lockTables(
      [...tables.flatMap((table) => [table.live, table.stage]), marker.from].map((name) => ({
        name,
        mode: 'WRITE' as const,
      })),
    ),
  );
  const granted = performance.now();
  try {
    await definitionsOf(
      session,
      tables.map((table) => table.live),
    );
    await session.run(swapGroup(tables, marker));
  } finally {
    await session.connection.query('UNLOCK TABLES');
  }
  return { lockMs: granted - asked, heldMs: performance.now() - granted };
}

const round = (ms: number) => Math.round(ms * 10) / 10;

function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return round(sorted[Math.floor(sorted.length / 2)] ?? 0);
}
