import { ApplicationFailure, CancelledFailure, Context } from '@temporalio/activity';
import type { WorkflowClient } from '@temporalio/client';
import { IllegalStateError } from '@temporalio/common';
import { parseMssqlAddress, parseMysqlAddress } from '../src/config/address.js';
import type { Config } from '../src/config/load.js';
import { StageswapError } from '../src/model/failures.js';
import type { Doing } from '../src/model/messages.js';
import { control, physicalTable } from '../src/model/names.js';
import { scrubSecrets, scrubValues } from '../src/model/scrub.js';
import type { RunSpec } from '../src/model/spec.js';
import { type Attempt, enter } from '../src/mysql/attempts.js';
import { Session } from '../src/mysql/connection.js';
import { DUPLICATE_ENTRY, errorNumber, isPassing as isPassingAtTarget } from '../src/mysql/errors.js';
import { definitionOf } from '../src/mysql/fingerprint.js';
import { fenced } from '../src/mysql/owner.js';
import { specOf } from '../src/mysql/run-row.js';
import { tableExists } from '../src/mysql/tables.js';
import { fence } from '../src/sql/control.js';
import { id, sql } from '../src/sql/text.js';
import { isPassing as isPassingAtSource, type SourcePool, withSource } from '../src/sql-server/connection.js';
import { activityDone, activityFailed, whereabouts } from './observe.js';

/** What activities work with; made by the composition root. */
export interface Dependencies {
  /** @throws {StageswapError} NotConfigured: no configuration of that name was given to this worker */
  config(pipeline: string): Config;
  /** whether Temporal knows the search attributes of runs; a run that used unknown ones would stand still */
  searchAttributes?: boolean;
}

/** A run, as it travels through workflow history: never its specification, never a secret. */
export interface RunRef {
  pipeline: string;
  generation: number;
}

export const target = (config: Config) => parseMysqlAddress(config.target.url);
export const source = (config: Config) => parseMssqlAddress(config.source.url);

/** Work has not ended in its time. */
export class Late extends Error {
  constructor(readonly ms: number) {
    super(`it has not ended within ${ms / 1_000} s`);
  }
}

/**
 * Works until the activity is cancelled, or for so many milliseconds. With a timer of its own: AbortSignal.any holds its sources
 * weakly, and one of AbortSignal.timeout is collected, timer and all, before it fires (Node 20).
 *
 * @param work is told by a signal, whose reason is `Late`
 */
export async function within<T>(msMax: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const { cancellationSignal } = Context.current();
  const ending = new AbortController();
  const end = () => ending.abort(cancellationSignal.reason);
  if (cancellationSignal.aborted) end();
  cancellationSignal.addEventListener('abort', end, { once: true });
  const timer = setTimeout(() => ending.abort(new Late(msMax)), msMax);
  try {
    return await work(ending.signal);
  } finally {
    clearTimeout(timer);
    cancellationSignal.removeEventListener('abort', end);
  }
}

/**
 * Works on the pipeline's source. Once the activity is cancelled, a source that hangs does not hold it up.
 *
 * @param options.msMax so long at most; then it fails as `Late`
 */
export function onSource<T>(
  dependencies: Dependencies,
  pipeline: string,
  work: (pool: SourcePool) => Promise<T>,
  { msMax, ...options }: Parameters<typeof withSource>[2] & { msMax?: number } = {},
): Promise<T> {
  const until = (signal: AbortSignal) =>
    withSource(source(dependencies.config(pipeline)), work, { ...options, signal });
  return msMax === undefined ? until(Context.current().cancellationSignal) : within(msMax, until);
}

/** How an activity stands to others, see Attempt; and what its session must be. */
type TargetOptions = Parameters<typeof Session.open>[1] & { shared?: boolean; ofEnded?: boolean };

/**
 * A session on the pipeline's target, closed when the work ends. One connection, never reconnected: of a run, it is the
 * attempt's own, which a later attempt or a newer run ends. Edits are of no run: their ids make them repeatable.
 */
export async function onTarget<T>(
  dependencies: Dependencies,
  of: string | RunRef,
  work: (session: Session) => Promise<T>,
  options: TargetOptions = {},
): Promise<T> {
  const pipeline = typeof of === 'string' ? of : of.pipeline;
  const session = await Session.open(target(dependencies.config(pipeline)), options);
  const signal = Context.current().cancellationSignal;
  // Cancelling an activity does not stop a running statement: closing its connection's statement does.
  const onAbort = () => void killStatement(dependencies, pipeline, session.threadId);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    signal.throwIfAborted(); // before there was somebody to listen
    if (typeof of !== 'string') await enter(session, attemptOf(of, options));
    return await work(session);
  } catch (error) {
    throw (typeof of !== 'string' && (await migratedUnder(session, of, error))) || error;
  } finally {
    signal.removeEventListener('abort', onAbort);
    await session.close();
  }
}

/**
 * At the head of what is repeated in an activity: sees a cancellation that came between two statements, when there was none
 * to be stopped.
 */
export function stopIfCancelled(): void {
  Context.current().cancellationSignal.throwIfAborted();
}

/**
 * Asks Temporal whether the activity's workflow still runs: who was stopped and wakes up when that is over must take the pipeline
 * from nobody. A heartbeat's answer says so, too, but comes late. Where activities are called by hand there is no workflow.
 */
export async function stopIfOrphaned(): Promise<void> {
  const { info } = Context.current();
  const { workflowId, runId } = info.workflowExecution ?? {};
  const client = workflowClient();
  if (!client || !workflowId) return;
  const { status } = await client.getHandle(workflowId, runId).describe();
  if (ENDED.has(status.name))
    throw new StageswapError(
      'Fenced',
      `the workflow ${workflowId} has ended (${status.name.toLowerCase()}); its ${info.activityType} changes nothing more`,
    );
}

const ENDED = new Set(['COMPLETED', 'FAILED', 'CANCELLED', 'TERMINATED', 'CONTINUED_AS_NEW', 'TIMED_OUT']);

function workflowClient(): WorkflowClient | undefined {
  try {
    return Context.current().client.workflow;
  } catch (error) {
    if (error instanceof IllegalStateError) return undefined;
    throw error;
  }
}

function attemptOf({ pipeline, generation }: RunRef, options: TargetOptions): Attempt {
  const { workflowExecution, activityId, activityType, attempt } = Context.current().info;
  const { shared = false, ofEnded = false } = options;
  const activity = `${workflowExecution?.runId ?? ''}/${activityId}`;
  return { pipeline, generation, activity, type: activityType, attempt, shared, ofEnded };
}

async function killStatement(dependencies: Dependencies, pipeline: string, threadId: number): Promise<void> {
  try {
    const killer = await Session.open(target(dependencies.config(pipeline)));
    await killer.connection.query(`KILL QUERY ${threadId}`).catch(() => {});
    await killer.close();
  } catch {
    // MySQL does not answer: then its statement has ended, too.
  }
}

/** A column that is unknown, a table that is not there; a foreign key whose column, or whose parent's column or index, is not. */
const ABOUT_DEFINITIONS = new Set([1054, 1146, 1072, 3734, 1822]);

/** Statements of a run speak of live as it was when the run began: what one fails of is said, not what it stumbled over. */
async function migratedUnder(
  session: Session,
  ref: RunRef,
  error: unknown,
): Promise<StageswapError | undefined> {
  if (!ABOUT_DEFINITIONS.has(errorNumber(error) ?? 0)) return undefined;
  try {
    const spec = await loadSpec(session, ref);
    if (await isSwapped(session, spec)) return undefined;
    for (const { live, fingerprint } of spec.tables) {
      const isThere = await tableExists(session, live);
      if (!isThere || (await definitionOf(session, live)).fingerprint !== fingerprint)
        return liveChanged(live, error);
    }
  } catch {
    // what the work failed of is told
  }
  return undefined;
}

export const liveChanged = (live: string, cause?: unknown): StageswapError =>
  new StageswapError(
    'LiveChanged',
    `${live} was changed as a whole while the run worked: by a migration, or by TRUNCATE, which no trigger logs. Live is untouched. Run again.`,
    { cause },
  );

/** The specification that the run was started with. */
export async function loadSpec(session: Session, ref: RunRef): Promise<RunSpec> {
  const spec = await specOf(session, ref.pipeline, { generation: ref.generation });
  if (!spec)
    throw new StageswapError('Fenced', `run ${ref.generation} of ${ref.pipeline} is not known in MySQL`);
  return spec;
}

/** The first statement of every writing transaction. @throws {StageswapError} Fenced: a newer run owns the pipeline */
export async function holdFence(session: Session, ref: RunRef): Promise<void> {
  const rows = await session.rows(fence(ref.pipeline, ref.generation));
  if (rows.length === 0) throw fenced(ref);
}

/**
 * For what no two transactions of a run may do at once: a second attempt waits until the first has committed or died. Two merges
 * of one key must never overlap.
 */
export async function onlyOneAtATime(session: Session, ref: RunRef): Promise<void> {
  await session.rows(
    sql`SELECT generation FROM ${id(control.run)} WHERE pipeline = ${ref.pipeline} AND generation = ${ref.generation} FOR UPDATE`,
  );
}

/** Was this run's RENAME executed? The tables decide: the backup of its generation is made by it alone. */
export async function isSwapped(session: Session, spec: RunSpec): Promise<boolean> {
  const first = spec.tables[0];
  if (!first) return false;
  return tableExists(session, physicalTable(spec.generation, 'backup', first.live));
}

export async function setPhase(session: Session, ref: RunRef, phase: string): Promise<void> {
  await session.run(
    sql`UPDATE ${id(control.run)} SET phase = ${phase} WHERE pipeline = ${ref.pipeline} AND generation = ${ref.generation}`,
  );
}

/** An activity that works chunk by chunk does so for so long, then reports and is called again: pause and abort are quick. */
export const WORK_MS_MAX = 20_000;

/** What is neither of the list nor passing trouble of an engine is tried again a few times; then a person must look. */
const UNEXPECTED_ATTEMPTS_MAX = 5;

/** How long an activity is repeated. */
interface Patience {
  /** false: no failure ends it, it is repeated until it succeeds; absent: true */
  everFinal?: boolean;
  /**
   * how often it is tried while an engine does not answer; absent: without an end. A worker without the pipeline's
   * configuration never ends it: another worker may have it, and whoever starts that one finds the run waiting.
   */
  attemptsMax?: number;
}

/** A server that does not answer when a run begins is told, not waited for without an end: nothing is touched yet. */
export const BEGIN_ATTEMPTS_MAX = 5;

/**
 * What Temporal is told of a failure, and keeps: the engine's words without the values that it quotes, at every depth.
 */
function failureOf(error: unknown, attempt: number, { everFinal = true, attemptsMax }: Patience): unknown {
  const cause = scrubbed(error);
  const isLast = attemptsMax !== undefined && attempt >= attemptsMax;
  if (error instanceof StageswapError)
    return ApplicationFailure.create({
      message: error.message,
      type: error.type,
      nonRetryable: everFinal && (!error.retry || (isLast && error.type !== 'NotConfigured')),
      ...(cause.cause === undefined ? {} : { cause: cause.cause as Error }),
    });
  if (!isLast && (isPassingAtTarget(error) || isPassingAtSource(error))) return cause;
  if (!everFinal || attempt < UNEXPECTED_ATTEMPTS_MAX) return cause;
  return ApplicationFailure.create({
    message: `${cause.name}: ${cause.message}`,
    type: 'Unexpected',
    nonRetryable: true,
    cause,
  });
}

/** A copy of an error for others to see. Its stack begins with its message, so that is replaced there, too. */
function scrubbed(error: unknown): Error {
  if (error instanceof ApplicationFailure) return error;
  const { name = 'Error', message = String(error), stack, cause } = (error ?? {}) as Partial<Error>;
  const ours = error instanceof StageswapError;
  const clean = new Error(scrubSecrets(ours ? message : scrubValues(message)));
  clean.name = name;
  const frames = /\n\s+at [\s\S]*/.exec(stack ?? '')?.[0] ?? '';
  clean.stack = `${name}: ${clean.message}${frames}`;
  if (cause !== undefined) clean.cause = scrubbed(cause);
  return clean;
}

const doing = new WeakMap<Context, Doing>();

/** What an activity that lasts tells of itself with its heartbeats: the UI and the command line show it, the workflow never hears it. */
export function tellDoing(what: Doing): void {
  doing.set(Context.current(), what);
}

/**
 * Wraps an activity: heartbeats while it works, tells what it did, and failures of the list under their own type.
 */
export function activity<A extends unknown[], R>(
  work: (...input: A) => Promise<R>,
  patience: Patience = {},
): (...input: A) => Promise<R> {
  return async (...input: A) => {
    const context = Context.current();
    const { activityType, attempt } = context.info;
    const where = whereabouts(activityType, input);
    const startedAt = performance.now();
    const beat = setInterval(() => context.heartbeat(doing.get(context)), 2_000);
    try {
      const result = await work(...input);
      activityDone(activityType, where, result, performance.now() - startedAt);
      return result;
    } catch (error) {
      if (context.cancellationSignal.aborted) throw new CancelledFailure('cancelled', [], scrubbed(error));
      context.log.warn(`${activityType} failed`, { ...where, attempt, error: scrubbed(error) });
      const failure = failureOf(error, attempt, patience);
      if (failure instanceof ApplicationFailure && failure.nonRetryable)
        activityFailed(activityType, where, performance.now() - startedAt);
      throw failure;
    } finally {
      clearInterval(beat);
    }
  };
}

/**
 * An activity of a run: it works on a session of its own, with the specification that the run was started with.
 *
 * @param phase written down before the work begins; null: the run stays in the one that it is in
 */
export function onRun<A extends unknown[], R>(
  dependencies: Dependencies,
  phase: string | null,
  work: (session: Session, spec: RunSpec, ...input: A) => Promise<R>,
  options: TargetOptions = {},
): (ref: RunRef, ...input: A) => Promise<R> {
  return activity((ref: RunRef, ...input: A) =>
    onTarget(
      dependencies,
      ref,
      async (session) => {
        const spec = await loadSpec(session, ref);
        if (phase !== null) await setPhase(session, ref, phase);
        return work(session, spec, ...input);
      },
      options,
    ),
  );
}

const RACES_MAX = 20;

/**
 * A client may delete a row between the statement that merges it with live's and the one that takes what is new to live:
 * then it is inserted twice, and the transaction is rolled back. Its second attempt sees live as it is now.
 */
export async function againAfterRace<T>(work: () => Promise<T>): Promise<T> {
  for (let race = 1; ; race += 1) {
    try {
      return await work();
    } catch (error) {
      if (errorNumber(error) !== DUPLICATE_ENTRY || race >= RACES_MAX) throw error;
    }
  }
}
