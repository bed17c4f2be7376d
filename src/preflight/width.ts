import { parseMysqlAddress } from '../config/address.js';
import type { Config } from '../config/load.js';
import { physicalTable } from '../model/names.js';
import type { RunSpec, TableSpec } from '../model/spec.js';
import { type Session, withSession } from '../mysql/connection.js';
import { isTooWide, WIDTH } from '../mysql/width.js';
import { createBaseNext, createFirstTouch, createLog } from '../sql/stage.js';
import { id, join, sql } from '../sql/text.js';
import type { Facts } from './facts.js';
import type { Finding } from './finding.js';
import { CHECK_RUN, freeze } from './freeze.js';

const MADE = ['baseNext', 'firstTouch', 'log'] as const;

const BUSY: Finding = {
  where: 'target',
  what: 'another check of this schema has been trying out its tables for a minute',
  cure: 'wait until it has ended, and check again',
};

/**
 * Tries whether MySQL makes the tables of a run: empty ones, which are dropped again. Its limits depend on row formats and
 * character sets, so that a try is surer than a sum.
 *
 * @param facts must have passed `decide`
 */
export async function tooWide(config: Config, facts: Facts): Promise<Finding[]> {
  const spec = freeze(config, facts, CHECK_RUN);
  return withSession(parseMysqlAddress(config.target.url), async (session) => {
    // Two checks at a time would drop each other's tables.
    const [lock] = await session.rows<{ granted: number | null }>(
      sql`SELECT GET_LOCK(CONCAT('stageswap_check_', LEFT(SHA2(DATABASE(), 256), 32)), 60) AS granted`,
    );
    if (Number(lock?.granted) !== 1) return [BUSY];
    const found: Finding[] = [];
    for (const table of spec.tables)
      if (await isTooWideToPublish(session, spec, table)) found.push({ where: table.live, ...WIDTH });
    return found;
  });
}

async function isTooWideToPublish(session: Session, spec: RunSpec, table: TableSpec): Promise<boolean> {
  const name = (kind: (typeof MADE)[number]) => id(physicalTable(spec.generation, kind, table.live));
  const dropAll = () => session.run(sql`DROP TABLE IF EXISTS ${join(MADE.map(name))}`);
  await dropAll();
  try {
    for (const create of [createBaseNext, createFirstTouch, createLog])
      await session.run(create(spec, table));
    return false;
  } catch (error) {
    if (isTooWide(error)) return true;
    throw error;
  } finally {
    await dropAll();
  }
}
