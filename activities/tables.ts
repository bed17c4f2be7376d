import { Context } from '@temporalio/activity';
import { blockersText } from '../src/model/blockers.js';
import { StageswapError } from '../src/model/failures.js';
import { retained } from '../src/model/lineage.js';
import {
  constraintName,
  control,
  IDENTIFIER_CHARACTERS_MAX,
  isMadeByRun,
  markerTable,
  parsePhysicalName,
  physicalTable,
  type TableKind,
} from '../src/model/names.js';
import { baseGenerationOf, type RunSpec, type TableSpec } from '../src/model/spec.js';
import { evictUpTo } from '../src/mysql/attempts.js';
import { belongingsOf } from '../src/mysql/belongings.js';
import { blockersOf, isHeldForBackup } from '../src/mysql/blockers.js';
import type { Session } from '../src/mysql/connection.js';
import { Session as MysqlSession } from '../src/mysql/connection.js';
import { checksOf, type IndexDefinition, indexesOf } from '../src/mysql/fingerprint.js';
import { lockWithBackOff } from '../src/mysql/lock.js';
import { pastRunsOf } from '../src/mysql/past-runs.js';
import { publishedGeneration } from '../src/mysql/published.js';
import { createRunTriggers } from '../src/mysql/run-triggers.js';
import { withinWidth } from '../src/mysql/width.js';
import { carryBase } from '../src/sql/base.js';
import { logTriggers } from '../src/sql/capture.js';
import { fence, releaseFromRollback } from '../src/sql/control.js';
import { waitsInMerged } from '../src/sql/group.js';
import { takeBackRun } from '../src/sql/settle.js';
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
import {
  activity,
  type Dependencies,
  holdFence,
  isSwapped,
  loadSpec,
  onTarget,
  type RunRef,
  setPhase,
  tableExists,
  target,
} from './context.js';
import { giveUpClaims, hasLeft, livesOf } from './left-tables.js';
import { forgetOld } from './retention.js';
import { takeBack } from './settlements.js';

/** What a run makes for each table, live's predecessor aside. */
const RUN_TABLES = [
  'stage',
  'merged',
  'baseNext',
  'heldBack',
  'replayKeys',
  'work',
  'log',
  'firstTouch',
  'copy',
  'rehearsedLive',
  'rehearsedStage',
  'rehearsedBackup',
  'rehearsedMarker',
  'rehearsedMarkerNext',
] as const satisfies TableKind[];

/** Makes, and takes away, what a run owns in the target: its tables, capture's triggers, and in the end all of it. */
export function tableActivities(dependencies: Dependencies) {
  /** Makes the run's tables; live is only read. */
  const prepare = activity(
    async (ref: RunRef): Promise<void> =>
      onTarget(dependencies, ref, async (session) => {
        const spec = await loadSpec(session, ref);
        await setPhase(session, ref, 'prepare');
        await takeBack(session, spec, (spec.kind === 'rollback' ? spec.undoes : spec.baseGeneration) ?? 0);
        for (const table of spec.tables) {
          await holdFence(session, ref); // of a run that was taken back nothing is made again
          await withinWidth(table.live, () => makeTables(session, spec, table));
        }
        if (spec.kind === 'publish' && spec.baseGeneration !== null)
          await carryBaseOf(session, ref, spec.baseGeneration);
      }),
  );

  /**
   * Capture begins: triggers on live, made under LOCK TABLES live WRITE with the fence, so that a worker that was stopped
   * and woke up cannot make a trigger whose log is gone. From its return on every edit is in the log.
   */
  const capture = activity(
    async (ref: RunRef): Promise<void> =>
      onTarget(dependencies, ref, async (session) => {
        const spec = await loadSpec(session, ref);
        await setPhase(session, ref, 'capture');
        for (const table of spec.tables) {
          const wanted = logTriggers(spec, table);
          await underLock(
            dependencies,
            session,
            spec,
            [table.live, physicalTable(spec.generation, 'log', table.live)],
            async () => {
              // An attempt that slept over the swap: live has a next generation now, and this one's log will go.
              if (await isSwapped(session, spec)) return;
              await createRunTriggers(session, wanted, await triggersOf(session, table.live));
            },
          );
        }
      }),
  );

  /** Compensation: everything that the run made goes, live stays as it is. After the swap it does nothing: the tables decide. */
  const undo = activity(
    async (ref: RunRef): Promise<{ undone: boolean }> =>
      onTarget(
        dependencies,
        ref,
        async (session) => {
          const spec = await loadSpec(session, ref);
          // The steps before have ended: one of them that is still there has slept, and may hold the fence.
          await evictUpTo(session, ref.pipeline, ref.generation);
          if (!(await shutOut(session, spec))) return { undone: false };
          await takeBackTables(dependencies, session, spec);
          return { undone: true };
        },
        { ofEnded: true },
      ),
  );

  /**
   * Takes away what a published run needs no longer: its log and replay keys, the triggers that went with the backup, and
   * generations of which neither base nor a retained backup is needed. What the rollback needs stays.
   */
  const cleanup = activity(
    async (ref: RunRef): Promise<{ dropped: string[] }> =>
      onTarget(dependencies, ref, async (session) => {
        const spec = await loadSpec(session, ref);
        await setPhase(session, ref, 'cleanup');
        const dropped: string[] = [];
        if (spec.kind === 'publish') await carryBaseOf(session, ref, spec.generation);
        const at = await publishedGeneration(session, ref.pipeline);
        const lives = await livesOf(session, spec);
        const made = await tablesOfRuns(session, lives);
        const kept = retained(at, await pastRunsOf(session, ref.pipeline, at), spec.backups);
        // Triggers before the tables they write to (TRAPS "the swap").
        for (const { name, kind } of made) {
          if (kind !== 'o') continue;
          for (const trigger of await triggersOf(session, name)) {
            if (isMadeByRun(trigger)) await session.run(sql`DROP TRIGGER IF EXISTS ${id(trigger)}`);
          }
        }
        for (const live of lives)
          if (hasLeft(spec, live)) await dropTriggers(dependencies, session, spec, live, isMadeByRun);
        for (const { name, kind, generation, live } of made) {
          const stays = kept.has(`${generation}${kind}`) && (!hasLeft(spec, live) || 'nh'.includes(kind));
          if (generation > spec.generation || stays) continue;
          await session.run(sql`DROP TABLE IF EXISTS ${id(name)}`);
          dropped.push(name);
        }
        await giveUpClaims(session, spec);
        await forgetOld(session, spec, dependencies.config(ref.pipeline).retention);
        return { dropped };
      }),
  );

  return { prepare, capture, undo, cleanup };
}

async function makeTables(session: Session, spec: RunSpec, table: TableSpec): Promise<void> {
  if (spec.kind === 'publish') await session.run(createBaseNext(spec, table));
  await createBareStage(session, spec, table);
  await session.run(createHeldBack(spec, table));
  for (const statement of createKeyTables(spec, table)) await session.run(statement);
  await session.run(createLog(spec, table));
  if (spec.kind === 'publish') await session.run(createFirstTouch(spec, table));
}

/** Drops what a run made before its swap, triggers before the tables that they write to, and what it wrote down. */
export async function takeBackTables(
  dependencies: Dependencies,
  session: Session,
  spec: RunSpec,
): Promise<void> {
  const { pipeline, generation } = spec;
  if (spec.kind === 'rollback') await session.run(releaseFromRollback(spec));
  // A plan claims nothing: what has the same name may be another pipeline's by now.
  const belongs = await belongingsOf(session, pipeline);
  const ours = spec.tables.filter(({ live }) => belongs({ generation, live }));
  for (const table of ours) {
    const names = logTriggers(spec, table).map(({ name }) => name);
    await dropTriggers(dependencies, session, spec, table.live, (name) => names.includes(name));
  }
  await session.run(sql`SET SESSION foreign_key_checks = 0`);
  for (const table of [...ours].reverse())
    for (const kind of RUN_TABLES)
      await session.run(sql`DROP TABLE IF EXISTS ${id(physicalTable(generation, kind, table.live))}`);
  for (const written of [control.chunk, control.conflict])
    await session.run(
      sql`DELETE FROM ${id(written)} WHERE pipeline = ${pipeline} AND generation = ${generation}`,
    );
  await session.run(takeBackRun(spec));
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

export async function dropIndexes(session: Session, table: string): Promise<void> {
  const indexes = await indexesOf(session, table);
  if (indexes.length > 0)
    await session.run(
      sql`ALTER TABLE ${id(table)} ${join(indexes.map(({ name }) => sql`DROP INDEX ${id(name)}`))}`,
    );
}

/** Gives the rows that a published run held back the base that they have from then on; a crash before it is mended by the next run. */
export async function carryBaseOf(session: Session, ref: RunRef, generation: number): Promise<void> {
  const published = await loadSpec(session, { pipeline: ref.pipeline, generation });
  for (const table of published.tables) {
    const heldBack = physicalTable(generation, 'heldBack', table.live);
    if (!(await tableExists(session, heldBack))) continue;
    if ((await session.rows(sql`SELECT 1 AS found FROM ${id(heldBack)} LIMIT 1`)).length === 0) continue;
    await session.transaction(async () => {
      await holdFence(session, ref);
      const before = baseGenerationOf(published, table);
      for (const statement of carryBase(table, generation, before)) await session.run(statement);
    });
  }
}

export function markerOf(spec: RunSpec): { from: string; to: string } {
  const before = spec.kind === 'rollback' ? (spec.undoes ?? 0) : (spec.baseGeneration ?? 0);
  const after = spec.kind === 'rollback' ? (spec.baseGeneration ?? 0) : spec.generation;
  return { from: markerTable(spec.pipeline, before), to: markerTable(spec.pipeline, after) };
}

interface MadeTable {
  name: string;
  generation: number;
  kind: string;
  live: string;
}

/** Tables that runs have made for live's tables, whatever became of the runs. */
async function tablesOfRuns(session: Session, lives: Set<string>): Promise<MadeTable[]> {
  const rows = await session.rows<{ name: string }>(
    sql`SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name LIKE ${'\\_ss%'}`,
  );
  return rows.flatMap(({ name }) => {
    const parsed = parsePhysicalName(name);
    return parsed && lives.has(parsed.live) ? [{ name, ...parsed }] : [];
  });
}

export async function triggersOf(session: Session, table: string): Promise<string[]> {
  const rows = await session.rows<{ name: string }>(
    sql`SELECT trigger_name AS name FROM information_schema.triggers WHERE trigger_schema = DATABASE() AND event_object_table = ${table}`,
  );
  return rows.map((row) => row.name);
}

export async function hasForeignKeys(session: Session, table: string): Promise<boolean> {
  const rows = await session.rows(
    sql`SELECT 1 AS found FROM information_schema.table_constraints WHERE table_schema = DATABASE() AND table_name = ${table} AND constraint_type = 'FOREIGN KEY' LIMIT 1`,
  );
  return rows.length > 0;
}

/** Drops triggers of a live table, under its lock. They are this pipeline's own, whichever run owns it by now. */
async function dropTriggers(
  dependencies: Dependencies,
  session: Session,
  spec: RunSpec,
  live: string,
  isOurs: (trigger: string) => boolean,
): Promise<void> {
  const ours = (await triggersOf(session, live)).filter(isOurs);
  if (ours.length === 0) return;
  const drop = async () => {
    for (const trigger of ours) await session.run(sql`DROP TRIGGER IF EXISTS ${id(trigger)}`);
  };
  await underLock(dependencies, session, spec, [live], drop, { owned: false });
}

/**
 * Before anything is taken back, the run loses the pipeline: an attempt that slept, its cut-over above all, finds the
 * fence shut when it wakes up. Else it could swap while capture's triggers are already gone.
 *
 * @returns false if the swap was executed: then nothing is taken back, and the run keeps the pipeline
 */
async function shutOut(session: Session, spec: RunSpec): Promise<boolean> {
  return session.transaction(async () => {
    // Waits for a cut-over, which holds this table locked, and keeps the next one waiting until this is decided.
    await session.rows(
      sql`SELECT generation FROM ${id(control.pipeline)} WHERE pipeline = ${spec.pipeline} FOR UPDATE`,
    );
    if (await isSwapped(session, spec)) return false;
    await session.run(
      sql`UPDATE ${id(control.pipeline)} SET generation = generation + 1 WHERE pipeline = ${spec.pipeline} AND generation = ${spec.generation}`,
    );
    return true;
  });
}

/** DDL on live: only with live locked, the fence held, and the generation checked; the lock is asked for in short attempts. */
export async function underLock(
  dependencies: Dependencies,
  session: Session,
  spec: Pick<RunSpec, 'pipeline' | 'generation' | 'cutOver'>,
  tables: string[],
  work: () => Promise<void>,
  { owned } = { owned: true },
): Promise<void> {
  const watchdog = await MysqlSession.open(target(dependencies.config(spec.pipeline)));
  const { lockAttemptMsMax, attemptsMax } = spec.cutOver;
  const { cancellationSignal: signal } = Context.current();
  try {
    await session.run(sql`SET SESSION lock_wait_timeout = 1`); // should the watchdog be gone
    const locks = await lockWithBackOff(
      session,
      watchdog,
      [
        ...tables.map((name) => ({ name, mode: 'WRITE' as const })),
        { name: control.pipeline, mode: 'READ' as const },
      ],
      { attemptMs: lockAttemptMsMax, attemptsMax },
      {
        before: async () => {
          signal.throwIfAborted();
          return (await isHeldForBackup(watchdog)) ? false : undefined;
        },
        locked: async () => {
          const { text, values } = fence(spec.pipeline, spec.generation);
          const [owner] = await session.connection.query(text.replace(' FOR SHARE', ''), values);
          if (owned && (owner as unknown[]).length === 0)
            throw new StageswapError('Fenced', `a newer run of ${spec.pipeline} owns ${tables[0]}`);
          await work();
        },
      },
    );
    if (locks.granted) return;
    const ours = [session.threadId, watchdog.threadId];
    const blockers = await blockersOf(watchdog, tables, ours, locks.awaited);
    throw new StageswapError(
      'LockNotGranted',
      `no lock on ${tables[0]} within ${attemptsMax} attempts: ${blockersText(blockers)}. End such transactions, or run again later.`,
    );
  } finally {
    await session.run(sql`SET SESSION lock_wait_timeout = 60`).catch(() => {});
    await watchdog.close();
  }
}
