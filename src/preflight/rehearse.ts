import { performance } from 'node:perf_hooks';
import { parseMysqlAddress } from '../config/address.js';
import type { Config } from '../config/load.js';
import { type Session, withSession } from '../mysql/connection.js';
import { definitionsOf } from '../mysql/fingerprint.js';
import { lockTables } from '../mysql/lock.js';
import { id, join, sql } from '../sql/text.js';

/** Milliseconds of a cut-over on empty tables of the same shape: RENAME takes no longer on full ones. */
export interface Rehearsal {
  rounds: number;
  /** from LOCK asked for to granted, where nobody else uses the tables */
  lockMs: number;
  /** from LOCK granted to UNLOCK: what the application would wait, in the median and at worst */
  heldMs: number;
  heldMsMax: number;
}

const ROUNDS = 5;
const PREFIX = '_ss_rehearsal_';

/**
 * Rehearses the cut-over: makes empty tables like live and like stage, and swaps them several times as a run does. The
 * tables are dropped again, also those that a rehearsal left whose connection died. Live is only read, by LIKE.
 */
export async function rehearse(config: Config): Promise<Rehearsal> {
  return withSession(parseMysqlAddress(config.target.url), async (session) => {
    await dropAbandoned(session);
    const mine = `${PREFIX}${session.threadId}_`;
    const tables = config.tables.map((table, index) => ({
      like: table.live,
      live: `${mine}${index}l`,
      stage: `${mine}${index}s`,
      backup: `${mine}${index}o`,
    }));
    const marker = { from: `${mine}at`, to: `${mine}to` };
    try {
      for (const table of tables)
        for (const name of [table.live, table.stage])
          await session.run(sql`CREATE TABLE ${id(name)} LIKE ${id(table.like)}`);
      await session.run(sql`CREATE TABLE ${id(marker.from)} (nothing TINYINT PRIMARY KEY) ENGINE=InnoDB`);
      const lock: number[] = [];
      const held: number[] = [];
      for (let round = 0; round < ROUNDS; round += 1) {
        const took = await swapOnce(session, tables, marker);
        lock.push(took.lockMs);
        held.push(took.heldMs);
        await session.run(
          sql`RENAME TABLE ${join(tables.map((table) => sql`${id(table.backup)} TO ${id(table.stage)}`))}, ${id(marker.to)} TO ${id(marker.from)}`,
        );
      }
      return {
        rounds: ROUNDS,
        lockMs: median(lock),
        heldMs: median(held),
        heldMsMax: round(Math.max(...held)),
      };
    } finally {
      await dropAll(session, mine);
    }
  });
}

interface Rehearsed {
  live: string;
  stage: string;
  backup: string;
}

/** LOCK → the look at the definitions → RENAME → UNLOCK, as the cut-over does it when nothing is left to drain. */
async function swapOnce(
  session: Session,
  tables: Rehearsed[],
  marker: { from: string; to: string },
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
    const steps = tables.flatMap((table) => [
      sql`${id(table.live)} TO ${id(table.backup)}`,
      sql`${id(table.stage)} TO ${id(table.live)}`,
    ]);
    await session.run(sql`RENAME TABLE ${join([...steps, sql`${id(marker.from)} TO ${id(marker.to)}`])}`);
  } finally {
    await session.connection.query('UNLOCK TABLES');
  }
  return { lockMs: granted - asked, heldMs: performance.now() - granted };
}

async function dropAll(session: Session, prefix: string): Promise<void> {
  const found = await rehearsalTables(session);
  const mine = found.filter((name) => name.startsWith(prefix));
  if (mine.length > 0) await session.run(sql`DROP TABLE IF EXISTS ${join(mine.map(id))}`);
}

/** Tables of a rehearsal whose connection is gone; one that is under way is left alone. */
async function dropAbandoned(session: Session): Promise<void> {
  const threads = new Set(
    (await rehearsalTables(session)).map((name) => name.slice(PREFIX.length).split('_')[0]),
  );
  for (const thread of threads) {
    const alive = await session.rows(
      sql`SELECT 1 AS found FROM information_schema.processlist WHERE id = ${thread}`,
    );
    if (alive.length === 0) await dropAll(session, `${PREFIX}${thread}_`);
  }
}

async function rehearsalTables(session: Session): Promise<string[]> {
  const rows = await session.rows<{ name: string }>(
    sql`SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name LIKE ${`${PREFIX.replaceAll('_', '\\_')}%`}`,
  );
  return rows.map((row) => row.name);
}

const round = (ms: number) => Math.round(ms * 10) / 10;

function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return round(sorted[Math.floor(sorted.length / 2)] ?? 0);
}
