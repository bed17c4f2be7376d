import { physicalTable } from '../src/model/names.js';
import type { RunSpec, TableSpec } from '../src/model/spec.js';
import type { Session } from '../src/mysql/connection.js';
import { errorNumber } from '../src/mysql/errors.js';
import { id, join, sql } from '../src/sql/text.js';

const DUPLICATE_COLUMN = 1060;

/**
 * The barrier: a reader whose snapshot is older than stage's load would see an empty table after the swap, without an
 * error. An instant column, added and dropped, makes such a reader get the retryable 1412 instead (I19).
 *
 * @returns the tables of which stage cannot be changed instantly, and whether the column was left at one of them
 */
export async function raiseInstantly(
  session: Session,
  spec: RunSpec,
): Promise<{ slow: TableSpec[]; isLeft: boolean }> {
  let isLeft = false;
  const slow: TableSpec[] = [];
  for (const table of spec.tables) {
    const stage = stageOf(spec, table);
    let isAdded = false;
    try {
      await session
        .run(sql`ALTER TABLE ${stage} ADD COLUMN _ss_barrier TINYINT NULL INVISIBLE, ALGORITHM=INSTANT`)
        .catch((error: unknown) => {
          // an attempt died between the two; taking the column away changes the definition now, which is all it is for
          if (errorNumber(error) !== DUPLICATE_COLUMN) throw error;
        });
      isAdded = true;
      await session.run(sql`ALTER TABLE ${stage} DROP COLUMN _ss_barrier, ALGORITHM=INSTANT`);
    } catch (error) {
      if (!NOT_INSTANT.has(errorNumber(error) ?? 0)) throw error;
      slow.push(table);
      isLeft ||= isAdded;
    }
  }
  return { slow, isLeft };
}

/** The same for tables that cannot be changed instantly: stage is rebuilt, which takes its time, and is never done with live locked. */
export async function rebuild(session: Session, tables: TableSpec[], spec: RunSpec): Promise<void> {
  for (const table of tables) await session.run(sql`ALTER TABLE ${stageOf(spec, table)} FORCE`);
}

/** A barrier's column that was left on stage, because an attempt died or MySQL could not drop it instantly, must not become live's. */
export async function dropLeftBarriers(session: Session, spec: RunSpec): Promise<void> {
  const names = spec.tables.map(({ live }) => sql`${physicalTable(spec.generation, 'stage', live)}`);
  const left = await session.rows<{ stage: string }>(
    sql`SELECT table_name AS stage FROM information_schema.columns WHERE table_schema = DATABASE() AND column_name = '_ss_barrier' AND table_name IN (${join(names)})`,
  );
  for (const { stage } of left) await session.run(sql`ALTER TABLE ${id(stage)} DROP COLUMN _ss_barrier`);
}

const stageOf = (spec: RunSpec, { live }: TableSpec) => id(physicalTable(spec.generation, 'stage', live));

/**
 * 1845, 1846: INSTANT is not supported for this table; 1064: INVISIBLE is not known before 8.0.23; 4092: the table has had
 * as many instant changes as MySQL keeps, from attempts before this one; 1117, 1118: it is too wide for a column more.
 */
const NOT_INSTANT = new Set([1845, 1846, 1064, 4092, 1117, 1118]);
