import { StageswapError } from '../src/model/failures.js';
import { control, physicalTable } from '../src/model/names.js';
import type { RolledBack } from '../src/model/report.js';
import type { RollbackFindings } from '../src/model/rollback.js';
import { type RunSpec, rollbackOf, type TableSpec } from '../src/model/spec.js';
import { applicationTriggers, bodyOf } from '../src/mysql/application-triggers.js';
import { type Backup, chooseBackup, readBackups, readTakenBack } from '../src/mysql/backups.js';
import type { Session } from '../src/mysql/connection.js';
import { definitionOf, shapeLines } from '../src/mysql/fingerprint.js';
import { publishedGeneration } from '../src/mysql/published.js';
import { insertRun, specOf } from '../src/mysql/run-row.js';
import { tableExists, triggersOf } from '../src/mysql/tables.js';
import { touchTriggers } from '../src/sql/capture.js';
import { createControlTables } from '../src/sql/control.js';
import {
  countStale,
  countStaying,
  countTouched,
  findGoneUnlogged,
  listStale,
  listStaying,
} from '../src/sql/rollback.js';
import { type Fragment, id, sql } from '../src/sql/text.js';
import { activity, BEGIN_ATTEMPTS_MAX, type Dependencies, onRun, onTarget } from './context.js';
import { type Begun, beginning, begun, evictOthers, nextGeneration, shutOutOlder } from './runs.js';

const ROWS_SHOWN_MAX = 200;

/** Beginning a rollback, and telling what it does with edits since the swap. */
export function rollbackActivities(dependencies: Dependencies) {
  /**
   * Begins a rollback: of the latest publish, with what clients changed since; or to a backup that is restored as it is.
   *
   * @param backup its name, see Backup; undefined: the latest with edits
   */
  const beginRollback = activity(
    async (pipeline: string, runId: string, backup?: string): Promise<Begun> =>
      onTarget(dependencies, beginning(pipeline), async (session) => {
        for (const statement of createControlTables()) await session.run(statement);
        const known = await specOf(session, pipeline, { runId });
        if (known) return begun(known, dependencies);
        await evictOthers(session, pipeline);
        const at = await publishedGeneration(session, pipeline);
        const chosen = chooseBackup(
          pipeline,
          await readBackups(session, pipeline),
          backup,
          (await readTakenBack(session, pipeline)) ?? (at === 0 ? 'never' : undefined),
        );
        if (chosen.keepsEdits) await refuseMissedEdits(session, chosen);
        const spec = await session.transaction(async () => {
          const generation = await nextGeneration(session, pipeline);
          const fingerprints: Record<string, string> = {};
          for (const { live } of chosen.spec.tables)
            fingerprints[live] = (await definitionOf(session, live)).fingerprint;
          await refuseMigrated(session, chosen);
          const rollback: RunSpec = {
            ...rollbackOf(chosen.spec, { runId, generation, fingerprints }),
            undoes: at,
            ...(chosen.keepsEdits ? {} : { restores: chosen.generation }),
          };
          await insertRun(session, rollback, rollback.kind);
          return rollback;
        });
        await shutOutOlder(session, spec);
        return begun(spec, dependencies);
      }),
    { attemptsMax: BEGIN_ATTEMPTS_MAX },
  );

  /** Writes down what becomes of edits since the swap, as it is before the cut-over. @returns the counts */
  const describeRollback = onRun(dependencies, null, async (session, spec): Promise<RolledBack> => {
    if (spec.restores === undefined) await refuseGoneUnlogged(session, spec);
    const found = spec.restores === undefined ? await findingsOf(session, spec) : await lossOf(session, spec);
    await session.run(
      sql`UPDATE ${id(control.run)} SET plan = ${JSON.stringify(found)} WHERE pipeline = ${spec.pipeline} AND generation = ${spec.generation}`,
    );
    const { stale, staying, editsLost } = found;
    return {
      undid: spec.undoes ?? 0,
      backup: spec.restores ?? spec.undoes ?? 0,
      editsKept: spec.restores === undefined,
      ...{ stale: stale.count, staying: staying.count, editsLost },
    };
  });

  return { beginRollback, describeRollback };
}

/** Where a trigger is gone that keeps rows as published, an edit since would be taken for none. */
async function refuseMissedEdits(session: Session, { spec, generation }: Backup): Promise<void> {
  for (const table of spec.tables) {
    const present = await triggersOf(session, table.live);
    const missing = touchTriggers(spec, table).filter(({ name }) => !present.includes(name));
    if (missing.length > 0)
      throw new StageswapError(
        'NothingToRollBack',
        `somebody has dropped triggers of ${table.live} that keep its rows as published: ${missing.map(({ name }) => name).join(', ')}. Edits since may have been missed, and would be lost. Restore the backup as it is: rollback --to-backup ${generation}-without-edits.`,
      );
  }
}

/**
 * A rollback writes what live had when it was published, into a next version that is made like live: over a migration since,
 * values, foreign keys or checks would be gone, or come back. The backup tells how live was: the swap refuses a run over which
 * live was changed, so a publish leaves the definition that it found.
 */
async function refuseMigrated(session: Session, { spec, generation }: Backup): Promise<void> {
  for (const table of spec.tables) {
    const now = await everythingOf(session, table.live);
    const then = await everythingOf(session, physicalTable(generation, 'backup', table.live));
    const only = (some: string[], others: string[], said: string) =>
      some.filter((line) => !others.includes(line)).map((line) => `${said} ${line.split('\n', 1)[0]}`);
    const changed = [...only(now, then, 'since then it has'), ...only(then, now, 'it had')];
    if (changed.length > 0)
      throw new StageswapError(
        'LiveChanged',
        `the definition of ${table.live} is not what run ${generation} published: ${changed.join('; ')}. Live is untouched. Undo the migration and roll back again, or publish instead.`,
      );
  }
}

/** The definition of a table, the application's triggers included, in lines that are the same in each generation. */
async function everythingOf(session: Session, table: string): Promise<string[]> {
  const lines = await shapeLines(session, table);
  for (const trigger of await applicationTriggers(session, table)) {
    const { name, timing, event } = trigger;
    lines.push(`trigger ${name} ${timing} ${event}\n${await bodyOf(session, trigger)}`);
  }
  return lines;
}

/** What went by TRUNCATE fires no trigger: the rows would come back, although the application took them away. */
async function refuseGoneUnlogged(session: Session, spec: RunSpec): Promise<void> {
  for (const table of spec.tables) {
    if ((await session.rows(findGoneUnlogged(spec, table))).length === 0) continue;
    throw new StageswapError(
      'LiveChanged',
      `rows of ${table.live} that run ${spec.undoes} published are gone, and no trigger has seen them go: by TRUNCATE, or while triggers were off. A rollback would bring them back. Live is untouched. If they should come back, restore the backup as it is: rollback --to-backup ${spec.undoes}-without-edits. Else publish instead.`,
    );
  }
}

async function counted(session: Session, statements: Fragment[]): Promise<number> {
  let count = 0;
  for (const statement of statements)
    count += Number((await session.rows<{ n: string }>(statement))[0]?.n ?? 0);
  return count;
}

type Values = Record<string, string | null>;
const valuesOf = (text: string) => JSON.parse(text) as Values;

async function findingsOf(session: Session, spec: RunSpec): Promise<RollbackFindings> {
  const found: RollbackFindings = {
    stale: { count: 0, edits: [] },
    staying: { count: 0, rows: [] },
    editsLost: 0,
  };
  for (const table of spec.tables) {
    found.stale.count += await counted(session, countStale(spec, table));
    found.staying.count += await counted(session, [countStaying(spec, table)]);
    await list(session, spec, table, found);
  }
  return found;
}

async function list(
  session: Session,
  spec: RunSpec,
  table: TableSpec,
  found: RollbackFindings,
): Promise<void> {
  const { stale, staying } = found;
  for (const statement of listStale(spec, table, ROWS_SHOWN_MAX)) {
    if (stale.edits.length >= ROWS_SHOWN_MAX) break;
    const rows = await session.rows<Record<'row_key' | 'published' | 'backup', string>>(statement);
    for (const { row_key, published, backup } of rows.slice(0, ROWS_SHOWN_MAX - stale.edits.length))
      stale.edits.push({
        table: table.live,
        key: valuesOf(row_key),
        published: valuesOf(published),
        backup: valuesOf(backup),
      });
  }
  const rows = await session.rows<{ row_key: string; why: RollbackFindings['staying']['rows'][0]['why'] }>(
    listStaying(spec, table, Math.max(1, ROWS_SHOWN_MAX - staying.rows.length)),
  );
  for (const { row_key, why } of rows) staying.rows.push({ table: table.live, key: valuesOf(row_key), why });
}

/** Of a backup that is restored as it is, only how many rows clients have touched since the latest swap is known. */
async function lossOf(session: Session, spec: RunSpec): Promise<RollbackFindings> {
  let editsLost = 0;
  for (const table of spec.tables)
    if (await tableExists(session, physicalTable(spec.undoes ?? 0, 'firstTouch', table.live)))
      editsLost += await counted(session, [countTouched(spec, table)]);
  return { stale: { count: 0, edits: [] }, staying: { count: 0, rows: [] }, editsLost };
}
