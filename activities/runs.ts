import { Context } from '@temporalio/activity';
import { configDigest } from '../src/config/digest.js';
import type { Config } from '../src/config/load.js';
import { DEFAULTS } from '../src/config/schema.js';
import { StageswapError } from '../src/model/failures.js';
import type { NoticeKind } from '../src/model/messages.js';
import { control, GENERATION_MAX, physicalTable } from '../src/model/names.js';
import type { Report } from '../src/model/report.js';
import { baseGenerationOf, type RunSpec, withoutBase } from '../src/model/spec.js';
import { evictUpTo, forgetAttempts } from '../src/mysql/attempts.js';
import type { Session } from '../src/mysql/connection.js';
import { definitionOf } from '../src/mysql/fingerprint.js';
import { ownerOf } from '../src/mysql/owner.js';
import { publishedGeneration, publishedSpec } from '../src/mysql/published.js';
import { endRun, insertRun, specOf } from '../src/mysql/run-row.js';
import { readLiveTables } from '../src/mysql/schema.js';
import { type Claim, claimedByOthers } from '../src/preflight/claims.js';
import { decide } from '../src/preflight/decide.js';
import { type Facts, gatherFacts } from '../src/preflight/facts.js';
import type { Finding } from '../src/preflight/finding.js';
import { freeze } from '../src/preflight/freeze.js';
import { createControlTables, createMarker } from '../src/sql/control.js';
import { id, sql } from '../src/sql/text.js';
import {
  activity,
  BEGIN_ATTEMPTS_MAX,
  type Dependencies,
  onTarget,
  type RunRef,
  stopIfOrphaned,
} from './context.js';
import { runEnded } from './observe.js';

export interface Begun extends RunRef {
  runId: string;
  tables: string[];
  parallel: number;
  /** no base: live has never been published by this pipeline */
  firstPublish: boolean;
  /** what has no base although live was published before, so that firstRun decides: of a table that is new no column is named */
  withoutBase?: { table: string; columns: string[] }[];
  approve: RunSpec['approve'];
  /** live is also copied before the cut-over */
  copies?: boolean;
  /** Temporal knows the search attributes of runs */
  searchAttributes?: boolean;
  /** what the pipeline's webhook wants to be told of */
  webhook?: { on: NoticeKind[]; conflictsMax: number };
  approvalHoursMax: number;
  window?: string;
  sourceAgeMsMax?: number;
  replay: RunSpec['replay'];
  heldMsMax: number;
}

const otherConfiguration = (pipeline: string) =>
  new StageswapError(
    'Refused',
    `this worker has another configuration of ${pipeline} than the file that was named, or is of another version of stageswap. A worker reads its files when it starts: restart all workers of ${pipeline} with that file, or name theirs by --config. Live is untouched.`,
  );

/** Begins and ends runs: preflight, the claim on the tables, the generation that fences older runs, the report that stays. */
export function runActivities(dependencies: Dependencies) {
  /**
   * Preflight, then the claim. Repeatable by run id. Nothing is touched before preflight has passed. A plan claims nothing, and
   * may be made of a pipeline that is held.
   */
  const begin = activity(
    async (
      pipeline: string,
      runId: string,
      kind: 'run' | 'plan' = 'run',
      digest?: string,
    ): Promise<Begun> => {
      const config = dependencies.config(pipeline);
      const isOther = digest !== undefined && digest !== configDigest(config);
      // an attempt before this one, on another worker, may have begun the run: that is asked below
      if (isOther && Context.current().info.attempt === 1) throw otherConfiguration(pipeline);
      const facts = await gatherFacts(config, { signal: Context.current().cancellationSignal });
      if (kind === 'plan') facts.held = null;
      if (facts.held !== null)
        throw new StageswapError(
          'Held',
          `${pipeline} is held: ${facts.held}. See to that, then let it run again: stageswap release.`,
        );
      refuseIfDecided(config, facts);
      return onTarget(dependencies, beginning(pipeline), async (session) => {
        for (const statement of createControlTables()) await session.run(statement);
        const known = await specOf(session, pipeline, { runId });
        if (known) return begun(known, dependencies);
        if (isOther) throw otherConfiguration(pipeline);
        await evictOthers(session, pipeline);
        if ((await publishedGeneration(session, pipeline)) === 0) await session.run(createMarker(pipeline));
        const spec = await session.transaction(async () => {
          for (const table of kind === 'plan' ? [] : config.tables) {
            await session.run(
              sql`INSERT IGNORE INTO ${id(control.claim)} (live, pipeline) VALUES (${table.live}, ${pipeline})`,
            );
          }
          await refuseClaimed(
            session,
            pipeline,
            config.tables.map((table) => table.live),
          );
          const generation = await nextGeneration(session, pipeline);
          // Only now no older run can swap any more: its cut-over holds the row that was just raised.
          const published = await publishedSpec(session, pipeline);
          const fingerprints: Record<string, string> = {};
          for (const table of config.tables)
            fingerprints[table.live] = (await definitionOf(session, table.live)).fingerprint;
          // Read again behind the fingerprint: facts took their time, and a column that was added meanwhile would be
          // neither in them nor found as a change at the cut-over.
          const names = config.tables.map((table) => table.live);
          const now = {
            ...facts,
            published,
            live: await readLiveTables(session.connection, facts.schema, names),
          };
          refuseIfDecided(config, now);
          const frozen = freeze(config, now, { runId, generation, fingerprints });
          await refuseMissingBase(session, frozen);
          await insertRun(session, frozen, kind === 'plan' ? 'plan' : frozen.kind);
          return frozen;
        });
        await shutOutOlder(session, spec);
        return begun(spec, dependencies);
      });
    },
    { attemptsMax: BEGIN_ATTEMPTS_MAX },
  );

  /** Ends a run: its report stays in MySQL. */
  const end = activity(async (ref: RunRef, report: Report): Promise<void> => {
    await onTarget(dependencies, ref, (session) => endRun(session, ref, report), { ofEnded: true });
    runEnded(ref.pipeline, report.outcome, report.ms);
  });

  /** Conflicts of a run, by live table. */
  const countConflicts = activity(
    async (ref: RunRef): Promise<Record<string, number>> =>
      onTarget(dependencies, ref, async (session) => {
        const rows = await session.rows<{ live: string; n: string }>(
          sql`SELECT live, COUNT(*) AS n FROM ${id(control.conflict)} WHERE pipeline = ${ref.pipeline} AND generation = ${ref.generation} GROUP BY live`,
        );
        return Object.fromEntries(rows.map((row) => [row.live, Number(row.n)]));
      }),
  );

  return { begin, end, countConflicts };
}

/** Whose session it is while the run has no generation yet. */
export const beginning = (pipeline: string): RunRef => ({ pipeline, generation: 0 });

/** A run that begins under the pipeline's workflow id is the only one: whoever else is at work there has slept, or its workflow is gone. */
export async function evictOthers(session: Session, pipeline: string): Promise<void> {
  await stopIfOrphaned();
  await evictUpTo(session, pipeline, GENERATION_MAX);
}

/** Those who came in while the generation was being raised; from now on the generation itself keeps them out. */
export async function shutOutOlder(session: Session, { pipeline, generation }: RunRef): Promise<void> {
  await evictUpTo(session, pipeline, generation - 1);
  await forgetAttempts(session, pipeline, generation);
}

export function begun(spec: RunSpec, dependencies: Dependencies): Begun {
  const { webhook } = dependencies.config(spec.pipeline);
  return {
    pipeline: spec.pipeline,
    generation: spec.generation,
    runId: spec.runId,
    tables: spec.tables.map((table) => table.live),
    parallel: spec.parallel,
    firstPublish: spec.kind === 'publish' && spec.baseGeneration === null,
    withoutBase: spec.kind === 'publish' ? withoutBaseIn(spec) : [],
    approve: spec.approve,
    copies: spec.backup === 'copy',
    searchAttributes: dependencies.searchAttributes ?? false,
    ...(webhook ? { webhook: { on: webhook.on, conflictsMax: webhook.conflictsMax } } : {}),
    approvalHoursMax: spec.approvalHoursMax,
    ...(spec.window === undefined ? {} : { window: spec.window }),
    ...(spec.sourceAgeMsMax === undefined ? {} : { sourceAgeMsMax: spec.sourceAgeMsMax }),
    // a run that was published by an older stageswap, and is rolled back now, was frozen without it
    replay: spec.replay ?? { onOutrun: DEFAULTS.onOutrun, roundsMax: DEFAULTS.roundsMax },
    heldMsMax: spec.cutOver.heldMsMax,
  };
}

/** Tables that are new to the pipeline, with no column named; of others the merged columns that have no base. */
function withoutBaseIn(spec: RunSpec): { table: string; columns: string[] }[] {
  if (spec.baseGeneration === null) return [];
  return spec.tables.flatMap((table) => {
    const unbased = withoutBase(table).map(({ name }) => name);
    const columns = table.units
      .filter(({ owner }) => owner === 'merge')
      .flatMap((unit) => (unit.columns.some((name) => unbased.includes(name)) ? unit.columns : []));
    return table.firstPublish || columns.length > 0 ? [{ table: table.live, columns }] : [];
  });
}

function refuseIfDecided(config: Config, facts: Facts): void {
  refuseFound(decide(config, facts).refusals);
}

function refuseFound(refusals: Finding[]): void {
  if (refusals.length > 0)
    throw new StageswapError(
      'Refused',
      refusals.map(({ where, what, cure }) => `${where}: ${what}. Cure: ${cure}.`).join('\n'),
    );
}

/** Preflight saw no other claim, but another pipeline's run may have begun at the same time: the row decides. */
async function refuseClaimed(session: Session, pipeline: string, tables: string[]): Promise<void> {
  const claims = await session.rows<Claim>(sql`SELECT live, pipeline FROM ${id(control.claim)}`);
  refuseFound(claimedByOthers(pipeline, tables, claims));
}

/** Raises the generation: waits for writers of the old one, whose fence holds the row, and shuts them out from then on. */
export async function nextGeneration(session: Session, pipeline: string): Promise<number> {
  await session.run(
    sql`INSERT INTO ${id(control.pipeline)} (pipeline, generation) VALUES (${pipeline}, 1) ON DUPLICATE KEY UPDATE generation = generation + 1`,
  );
  return ownerOf(session, pipeline);
}

/** A base that is gone would make every edit since look like the application's own row: conflicts without an end. */
async function refuseMissingBase(session: Session, spec: RunSpec): Promise<void> {
  for (const table of spec.tables) {
    const base = baseGenerationOf(spec, table);
    if (base === null) continue;
    const name = physicalTable(base, 'baseNext', table.live);
    const rows = await session.rows<{ name: string }>(
      sql`SELECT column_name AS name FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = ${name}`,
    );
    const missing = table.columns.filter(
      ({ live, noBase }) => noBase !== 'new' && !rows.some((row) => row.name === live.name),
    );
    if (missing.length > 0)
      throw new StageswapError(
        'Refused',
        `${name}, the base of ${table.live} from the last publish, ${rows.length === 0 ? 'is gone' : `lacks ${missing.map(({ live }) => live.name).join(', ')}`}. Cure: restore it from a backup of MySQL.`,
      );
  }
}
