import { StageswapError } from '../src/model/failures.js';
import { control, physicalTable } from '../src/model/names.js';
import { type RunSpec, type TableSpec, tableOf } from '../src/model/spec.js';
import type { HeldBackCounts } from '../src/model/table-counts.js';
import { carryTriggers } from '../src/mysql/application-triggers.js';
import type { Session } from '../src/mysql/connection.js';
import { DUPLICATE_ENTRY, errorNumber } from '../src/mysql/errors.js';
import { type IndexDefinition, indexesOf } from '../src/mysql/fingerprint.js';
import { createRunTriggers } from '../src/mysql/run-triggers.js';
import { dropIndexes, hasForeignKeys, triggersOf } from '../src/mysql/tables.js';
import { touchTriggers } from '../src/sql/capture.js';
import {
  type Children,
  emptyWork,
  findBadRows,
  findChildrenOfSameKey,
  findOrphansToHold,
  findParentsToKeep,
  type GroupConflict,
  keepAsLive,
  refersToKey,
  type Within,
  waitsInMerged,
  workIsDone,
} from '../src/sql/group.js';
import { countMerge } from '../src/sql/merge.js';
import { unsettleWork } from '../src/sql/settle.js';
import { addForeignKeys } from '../src/sql/stage.js';
import { type Fragment, id, join, raw, sql } from '../src/sql/text.js';
import {
  fallsBack,
  findCollisions,
  findCollisionsOfReplay,
  keysToLookUp,
  lookUpInStage,
} from '../src/sql/unique.js';
import { holdFence } from './context.js';

/**
 * The rules across the group over all of stage, then its indexes, foreign keys and triggers, the application's and those of the
 * rollback window. Repeatable: rules find nothing twice, and what is built is passed over.
 *
 * @throws {StageswapError} Collision: values of a unique index collide and no row can be told to fall back
 */
export async function settleGroup(session: Session, spec: RunSpec): Promise<void> {
  await session.runAll(spec.tables.map((table) => emptyWork(spec, table)));
  if (spec.badRows === 'quarantine')
    for (const table of spec.tables) await keepBadRowsAsLive(session, spec, table);
  while (!((await keepsToForeignKeys(session, spec)) && (await buildIndexes(session, spec))));
  for (const table of spec.tables) {
    const keys = addForeignKeys(spec, table);
    const stage = physicalTable(spec.generation, 'stage', table.live);
    if (keys && !(await hasForeignKeys(session, stage))) await session.run(keys);
    await carryTriggers(session, table.live, stage, spec.generation);
    if (spec.kind === 'publish') await createTouchTriggers(session, spec, table);
  }
}

/** The triggers of the rollback window: on stage before the swap, but after the merge, which would fire them for every row. */
async function createTouchTriggers(session: Session, spec: RunSpec, table: TableSpec): Promise<void> {
  const present = await triggersOf(session, physicalTable(spec.generation, 'stage', table.live));
  await createRunTriggers(session, touchTriggers(spec, table), present);
}

/** Live keeps its version of rows that were set aside, whatever the merge made of their absence. */
async function keepBadRowsAsLive(session: Session, spec: RunSpec, table: TableSpec): Promise<void> {
  await session.transaction(async () => {
    await holdFence(session, spec);
    if ((await session.run(findBadRows(spec, table, 'all'))) === 0) return;
    for (const statement of keepAsLive(spec, table, 'bad', 'stage')) await session.run(statement);
    for (const statement of workIsDone(spec, table, 'all')) await session.run(statement);
  });
}

/**
 * Applies the rules of foreign keys to all of stage.
 *
 * @returns false where a row that comes back collides in an index that is built already: a child fell back after it, so
 *   all indexes are taken away, and collisions looked for again
 */
async function keepsToForeignKeys(session: Session, spec: RunSpec): Promise<boolean> {
  try {
    await foreignKeyRules(session, spec, 'all', new Set());
    return true;
  } catch (error) {
    if (errorNumber(error) !== DUPLICATE_ENTRY) throw error;
    for (const table of spec.tables)
      await dropIndexes(session, physicalTable(spec.generation, 'stage', table.live));
    return false;
  }
}

/**
 * Keeps parents that stage still needs, and holds back rows whose parent is not there, until nothing changes.
 *
 * @param active tables with replayed keys; grows with what the rules touch. Not looked at where all rows are.
 */
export async function foreignKeyRules(
  session: Session,
  spec: RunSpec,
  within: Within,
  active: Set<string>,
): Promise<void> {
  // Mostly a replay breaks no rule: all are asked at once then.
  if (within === 'keys') {
    const broken = await session.runAll([...foreignKeySteps(spec, within, active)].map(({ find }) => find));
    if (broken.every((count) => count === 0)) return;
    await session.runAll(spec.tables.map((table) => emptyWork(spec, table)));
  }
  let changed: number;
  do {
    changed = 0;
    for (const { table, find, kind } of foreignKeySteps(spec, within, active)) {
      const into = within === 'keys' && waitsInMerged(table) ? 'merged' : 'stage';
      const found = await takeAsLive(session, spec, table, [find], kind, within, into);
      if (found > 0) active.add(table.live);
      changed += found;
    }
  } while (changed > 0);
}

/** A rule of foreign keys, applied to one of them. */
interface ForeignKeyStep {
  /** whose rows it finds */
  table: TableSpec;
  find: Fragment;
  kind: GroupConflict;
}

/** The rules in their order, each where its tables are active by the time it is reached. */
function* foreignKeySteps(spec: RunSpec, within: Within, active: Set<string>): Generator<ForeignKeyStep> {
  for (const table of [...spec.tables].reverse()) {
    for (const key of table.foreignKeys) {
      const parent = tableOf(spec, key.parent);
      for (const children of childrenToLookAt(spec, table, key, within, active))
        yield { table: parent, find: findParentsToKeep(spec, table, key, children), kind: 'parent' };
    }
  }
  for (const table of spec.tables) {
    for (const key of table.foreignKeys) {
      for (const children of childrenToLookAt(spec, table, key, within, active)) {
        const find = findOrphansToHold(spec, table, key, children);
        if (find) yield { table, find, kind: 'orphan' };
      }
      if (!refersToKey(spec, key)) continue;
      for (const children of childrenToLookAt(spec, table, key, within, active))
        yield { table, find: findChildrenOfSameKey(spec, table, key, children), kind: 'orphan' };
    }
  }
}

/** Where children without parents can be: in a replay, among its rows and among the children of its rows. */
function childrenToLookAt(
  spec: RunSpec,
  table: TableSpec,
  key: TableSpec['foreignKeys'][0],
  within: Within,
  active: Set<string>,
): Children[] {
  if (within === 'all') return ['all'];
  const replayed: Children[] = active.has(table.live) ? ['keys'] : [];
  if (!active.has(key.parent)) return replayed;
  return [...replayed, refersToKey(spec, key) ? 'childrenOfKeys' : 'besideKeys'];
}

/** Finds rows by a rule and takes them as live has them. @returns how many */
export async function takeAsLive(
  session: Session,
  spec: RunSpec,
  table: TableSpec,
  find: Fragment[],
  kind: GroupConflict,
  within: Within,
  into: 'stage' | 'merged' = 'stage',
): Promise<number> {
  const work = async () => {
    let found = 0;
    for (const statement of find) found += await session.run(statement);
    if (found === 0) return 0;
    for (const statement of keepAsLive(spec, table, kind, into)) await session.run(statement);
    await session.run(unsettleWork(spec, table));
    for (const statement of workIsDone(spec, table, within)) await session.run(statement);
    return found;
  };
  if (within === 'keys') return work(); // part of the replay's transaction, or of the lock
  return session.transaction(async () => {
    await holdFence(session, spec);
    return work();
  });
}

/**
 * Lets rows of a replay fall back that collide with one another or with stage, in the first table that has such rows:
 * the rules of foreign keys come before those of the next. @returns whether there were any
 */
export async function separateReplayed(
  session: Session,
  spec: RunSpec,
  active: Set<string>,
): Promise<boolean> {
  for (const table of spec.tables) {
    if (!waitsInMerged(table) || !active.has(table.live)) continue;
    const collisions = [
      ...findCollisionsOfReplay(spec, table),
      ...(await collisionsLookedUp(session, spec, table)),
    ];
    if ((await takeAsLive(session, spec, table, collisions, 'unique', 'keys', 'merged')) > 0) return true;
  }
  return false;
}

/** Statements that take the merged rows, and their counterparts in stage, which collide in an index that no join can use. */
async function collisionsLookedUp(session: Session, spec: RunSpec, table: TableSpec): Promise<Fragment[]> {
  const keys = keysToLookUp(spec, table);
  if (!keys) return [];
  const textsOf = (row: Record<string, string | null>) => table.key.map((name) => String(row[name]));
  const collisions: Fragment[] = [];
  for (const row of await session.rows(keys)) {
    for (const { keep, find } of lookUpInStage(spec, table, textsOf(row))) {
      await session.run(keep);
      const others = await session.rows(find);
      if (others.length === 0) continue;
      collisions.push(fallsBack(spec, table, 'merged', textsOf(row)));
      for (const other of others) collisions.push(fallsBack(spec, table, 'stage', textsOf(other)));
    }
  }
  return collisions;
}

/** Live's indexes that stage has not. */
export async function missingIndexes(
  session: Session,
  spec: RunSpec,
  table: TableSpec,
): Promise<IndexDefinition[]> {
  const present = await indexesOf(session, physicalTable(spec.generation, 'stage', table.live));
  return (await indexesOf(session, table.live)).filter(
    ({ definition }) => !present.some((index) => index.definition === definition),
  );
}

/** Builds what stage lacks of live's indexes. @returns false where rows had to fall back first, so that it must be tried again */
async function buildIndexes(session: Session, spec: RunSpec): Promise<boolean> {
  for (const table of spec.tables) {
    const stage = physicalTable(spec.generation, 'stage', table.live);
    const missing = await missingIndexes(session, spec, table);
    if (missing.length === 0) continue;
    try {
      await session.run(
        sql`ALTER TABLE ${id(stage)} ${join(missing.map(({ definition }) => raw(`ADD ${definition}`)))}`,
      );
    } catch (error) {
      if (errorNumber(error) !== DUPLICATE_ENTRY) throw error;
      if ((await takeAsLive(session, spec, table, findCollisions(spec, table), 'unique', 'all')) === 0)
        throw new StageswapError(
          'Collision',
          `${table.live}: merged rows have the same value in a unique index over expressions or beginnings of columns. Live is untouched. Make them differ at the source.`,
          { cause: error },
        );
      return false;
    }
  }
  return true;
}

/** Counts what the rules across the group take out of the merge's counts; before the swap, as it compares with live. */
export async function heldBackCounts(
  session: Session,
  spec: RunSpec,
  table: TableSpec,
): Promise<HeldBackCounts> {
  const heldBack = id(physicalTable(spec.generation, 'heldBack', table.live));
  const held = await session.rows<{ in_live: string; n: string }>(
    sql`SELECT _ss_keeps_base AS in_live, COUNT(*) AS n FROM ${heldBack} WHERE _ss_reason NOT IN ('sameKey', 'bad') GROUP BY _ss_keeps_base`,
  );
  const kept = await session.rows<{ n: string }>(
    sql`SELECT COUNT(*) AS n FROM ${id(control.conflict)} WHERE pipeline = ${spec.pipeline} AND generation = ${spec.generation} AND live = ${table.live} AND kind = 'parent'`,
  );
  const bad = await session.rows<{ n: string }>(
    sql`SELECT COUNT(*) AS n FROM ${heldBack} WHERE _ss_reason = 'bad'`,
  );
  const of = (inLive: number) => Number(held.find((row) => Number(row.in_live) === inLive)?.n ?? 0);
  let merged: Record<string, string> | undefined;
  if (of(1) > 0) {
    // A row falls back because of another one, too: it may be one that the merge had not changed.
    const keys = join(table.key.map(id));
    const replayKeys = id(physicalTable(spec.generation, 'replayKeys', table.live));
    await session.run(sql`DELETE FROM ${replayKeys}`);
    await session.run(
      sql`INSERT INTO ${replayKeys} (${keys}) SELECT ${keys} FROM ${heldBack} WHERE _ss_reason NOT IN ('sameKey', 'bad') AND _ss_keeps_base = 1`,
    );
    [merged] = await session.rows<Record<string, string>>(countMerge(spec, table, { kind: 'keys' }).incoming);
  }
  return {
    notInserted: of(0),
    fallenBack: of(1),
    notUpdated: Number(merged?.updated ?? 0),
    keptAlready: Number(merged?.kept_live ?? 0),
    parentsKept: Number(kept[0]?.n ?? 0),
    quarantined: Number(bad[0]?.n ?? 0),
  };
}
