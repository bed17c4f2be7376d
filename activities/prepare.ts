import { constraintName, IDENTIFIER_CHARACTERS_MAX, physicalTable } from '../src/model/names.js';
import type { RunSpec, TableSpec } from '../src/model/spec.js';
import type { Session } from '../src/mysql/connection.js';
import { checksOf, type IndexDefinition } from '../src/mysql/fingerprint.js';
import { dropIndexes } from '../src/mysql/tables.js';
import { withinWidth } from '../src/mysql/width.js';
import { waitsInMerged } from '../src/sql/group.js';
import {
  createBaseNext,
  createFirstTouch,
  createHeldBack,
  createKeyTables,
  createLog,
  createMerged,
  createStage,
} from '../src/sql/stage.js';
import { id, join, raw, sql } from '../src/sql/text.js';
import { carryBaseOf } from './carry-base.js';
import { type Dependencies, holdFence, onRun } from './context.js';
import { takeBack } from './settlements.js';

/** Prepare: a run's tables, beside live. */
export function prepareActivities(dependencies: Dependencies) {
  /** Makes the run's tables; live is only read. */
  const prepare = onRun(dependencies, 'prepare', async (session, spec): Promise<void> => {
    await takeBack(session, spec, (spec.kind === 'rollback' ? spec.undoes : spec.baseGeneration) ?? 0);
    for (const table of spec.tables) {
      await holdFence(session, spec); // of a run that was taken back nothing is made again
      await withinWidth(table.live, () => makeTables(session, spec, table));
    }
    if (spec.kind === 'publish' && spec.baseGeneration !== null)
      await carryBaseOf(session, spec, spec.baseGeneration);
  });
  return { prepare };
}

async function makeTables(session: Session, spec: RunSpec, table: TableSpec): Promise<void> {
  if (spec.kind === 'publish') await session.run(createBaseNext(spec, table));
  await createBareStage(session, spec, table);
  await session.run(createHeldBack(spec, table));
  for (const statement of createKeyTables(spec, table)) await session.run(statement);
  await session.run(createLog(spec, table));
  if (spec.kind === 'publish') await session.run(createFirstTouch(spec, table));
}

/**
 * Makes stage without the indexes that a bulk merge would only slow down, and of which the unique ones would refuse what
 * the rules across the group are to decide. `settle` builds them.
 */
async function createBareStage(session: Session, spec: RunSpec, table: TableSpec): Promise<void> {
  const stage = physicalTable(spec.generation, 'stage', table.live);
  await session.run(createStage(spec, table));
  await nameChecks(session, spec, table);
  await dropIndexes(session, stage);
  if (waitsInMerged(table)) await createUncheckedMerged(session, spec, table);
}

/** Made LIKE stage, but for its CHECK constraints: its rows are yet to be looked at. */
async function createUncheckedMerged(session: Session, spec: RunSpec, table: TableSpec): Promise<void> {
  const merged = physicalTable(spec.generation, 'merged', table.live);
  await session.run(createMerged(spec, table));
  const checks = await checksOf(session, merged);
  if (checks.length > 0)
    await session.run(
      sql`ALTER TABLE ${id(merged)} ${join(checks.map(({ name }) => sql`DROP CHECK ${id(name)}`))}`,
    );
}

/**
 * Gives stage live's CHECK constraints, with live's names and the generation: made LIKE live they have names of MySQL's own,
 * and their text may be printed otherwise, so that nothing tells which is which. Those that MySQL has named in live keep
 * their number, and MySQL names them again at the RENAME.
 */
async function nameChecks(session: Session, spec: RunSpec, table: TableSpec): Promise<void> {
  const stage = physicalTable(spec.generation, 'stage', table.live);
  const ofLive = await checksOf(session, table.live);
  const named = namesInStage(ofLive, table.live, stage, spec.generation);
  const present = await checksOf(session, stage);
  const isPresent = (wanted: IndexDefinition) =>
    present.some(({ name, definition }) => name === wanted.name && definition === wanted.definition);
  if (named.every(isPresent)) return;
  const changes = [
    ...present.map(({ name }) => sql`DROP CHECK ${id(name)}`),
    ...named.map(({ name, definition }) => sql`ADD CONSTRAINT ${id(name)} ${raw(definition)}`),
  ];
  await session.run(sql`ALTER TABLE ${id(stage)} ${join(changes)}`);
}

/** What live's CHECK constraints are called in stage. */
function namesInStage(
  ofLive: IndexDefinition[],
  live: string,
  stage: string,
  generation: number,
): IndexDefinition[] {
  const numberOf = (name: string) => {
    const rest = name.startsWith(`${live}_chk_`) ? name.slice(`${live}_chk_`.length) : '';
    return /^\d+$/.test(rest) ? Number(rest) : undefined;
  };
  let highest = Math.max(0, ...ofLive.map(({ name }) => numberOf(name) ?? 0));
  return ofLive.map(({ name, definition }) => {
    const given = numberOf(name);
    if (given !== undefined) return { name: `${stage}_chk_${given}`, definition };
    const kept = constraintName(name, generation);
    if (kept.length <= IDENTIFIER_CHARACTERS_MAX) return { name: kept, definition };
    highest += 1; // preflight has said so
    return { name: `${stage}_chk_${highest}`, definition };
  });
}
