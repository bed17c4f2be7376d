import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import { EXIT, type ExitCode, exitCodeOf, type Started } from '../model/exit-code.js';
import { type Doing, type Progress, QUERIES, TASK_QUEUE } from '../model/messages.js';
import type { Report } from '../model/report.js';
import { doingOf, type Failing, failingOf, withDoing } from './failing.js';
import { CommandError } from './failure.js';
import { note, print, printJson } from './output.js';
import { progressView } from './progress-view.js';
import { reportText } from './report-text.js';
import { isTimeout, isUnavailable, reportOfFailure, workflowFailure } from './temporal.js';

const POLL_MS = 500;
const QUERY_MS_MAX = 5_000;
const ANSWER_MS_MAX = 2_000;
/** how long Temporal may be away before the command gives up; the run itself does not */
const OUTAGE_MS_MAX = 120_000;

export interface FollowOptions {
  pipeline: string;
  asked: Started;
  json: boolean;
  /** prints the report of one that succeeded, where that is more than a report; @returns the exit code */
  show?: (report: Report) => Promise<ExitCode>;
}

/** An answer, or who did not give it. */
export type Asked = Progress | 'no worker' | 'no Temporal';

/** Asks a workflow how far it is. */
export async function askProgress(client: Client, handle: WorkflowHandle): Promise<Asked> {
  try {
    return await client.connection.withDeadline(Date.now() + QUERY_MS_MAX, () =>
      handle.query<Progress>(QUERIES.progress),
    );
  } catch (error) {
    if (isUnavailable(error)) return 'no Temporal';
    if (isTimeout(error)) return (await answers(client, handle)) ? 'no worker' : 'no Temporal';
    if (isNotAnswered(error)) return 'no worker';
    throw error;
  }
}

/**
 * Asks a workflow how far it is, and Temporal how far its steps are and which of them fail.
 *
 * @returns `failing` is undefined where Temporal did not say
 */
export async function askRun(
  client: Client,
  handle: WorkflowHandle,
): Promise<{ progress: Asked; failing: Failing[] | undefined }> {
  const [progress, steps] = await Promise.all([askProgress(client, handle), askSteps(client, handle)]);
  const known = typeof progress === 'string' ? progress : withDoing(progress, steps?.doing ?? []);
  return { progress: known, failing: steps?.failing };
}

/** @returns undefined where Temporal does not answer: what is asked beside it says so */
async function askSteps(
  client: Client,
  handle: WorkflowHandle,
): Promise<{ failing: Failing[]; doing: Doing[] } | undefined> {
  try {
    const found = await client.connection.withDeadline(Date.now() + ANSWER_MS_MAX, () => handle.describe());
    return { failing: await failingOf(client, found), doing: await doingOf(client, found) };
  } catch (error) {
    if (isTimeout(error) || isUnavailable(error)) return undefined;
    throw error;
  }
}

/** Whether Temporal itself answers; a query's time also runs out when no worker takes it. */
async function answers(client: Client, handle: WorkflowHandle): Promise<boolean> {
  try {
    await client.connection.withDeadline(Date.now() + ANSWER_MS_MAX, () => handle.describe());
    return true;
  } catch (error) {
    if (isTimeout(error) || isUnavailable(error)) return false;
    throw error;
  }
}

/** A query that arrives before the first workflow task, or finds no worker, is refused: ask again later. */
function isNotAnswered(error: unknown): boolean {
  return (
    error instanceof Error &&
    ['QueryNotRegisteredError', 'QueryRejectedError', 'ServiceError'].includes(error.name)
  );
}

/** Waits for the report. Temporal may be restarted meanwhile: the run outlives that, so its command does, too. */
async function awaitReport(handle: WorkflowHandle, signal: AbortSignal): Promise<Report> {
  let lostAt: number | undefined;
  for (;;) {
    const askedAt = Date.now();
    try {
      return (await handle.result()) as Report;
    } catch (error) {
      const report = reportOfFailure(error);
      if (report) return report;
      if (!isUnavailable(error) || signal.aborted) throw error;
      // an attempt that lasted shows that Temporal was back in between
      if (lostAt === undefined || Date.now() - askedAt > OUTAGE_MS_MAX) lostAt = Date.now();
      if (Date.now() - lostAt > OUTAGE_MS_MAX) throw error;
      await sleep(POLL_MS);
    }
  }
}

type Ended = { report: Report } | { error: unknown };

/**
 * Shows progress until the workflow has ended or waits for a human, then prints its report.
 *
 * @returns the exit code
 */
export async function follow(
  client: Client,
  handle: WorkflowHandle,
  options: FollowOptions,
): Promise<ExitCode> {
  const view = progressView({ silent: options.json });
  let ended: Ended | undefined;
  // A pending call would keep the process alive after the command has its answer, and one that is tried again after the
  // connection was closed throws where nobody catches it: none is left when this returns.
  let asking: Promise<unknown> = Promise.resolve();
  const noLonger = new AbortController();
  setMaxListeners(0, noLonger.signal); // the client adds one for each of its attempts
  const result = client
    .withAbortSignal(noLonger.signal, () => awaitReport(handle, noLonger.signal))
    .then(
      (report) => {
        ended = { report };
      },
      (error: unknown) => {
        ended = { error };
      },
    );
  const interrupted = () => {
    view.done();
    note(
      `the ${options.asked} goes on in Temporal; \`stageswap status --watch\` shows it, \`stageswap abort\` ends it`,
    );
    process.exit(130);
  };
  process.once('SIGINT', interrupted);
  try {
    let waited = 0;
    while (!ended) {
      const asked = askRun(client, handle);
      asking = asked.catch(() => undefined);
      const answer = await Promise.race([asked, result.then(() => undefined)]);
      if (ended) break;
      const progress = answer?.progress;
      if (progress === 'no Temporal') {
        view.say('Temporal does not answer; waiting for it');
      } else if (progress === undefined || progress === 'no worker') {
        waited += 1;
        if (waited > 2) {
          view.say(`no worker answers on task queue ${TASK_QUEUE}: start \`stageswap worker --config FILE\``);
        }
      } else {
        waited = 0;
        const { waitingFor, ...rest } = progress;
        const isForHuman = waitingFor !== undefined && !progress.paused;
        // what it waits for is printed once, at the end
        view.show(isForHuman ? rest : progress, answer?.failing);
        if (isForHuman) {
          view.done();
          return printWaiting(progress, handle, options);
        }
      }
      await Promise.race([result, sleep(POLL_MS)]);
    }
  } finally {
    process.off('SIGINT', interrupted);
    view.done();
    noLonger.abort();
    await asking;
    await result;
  }
  return printEnded(ended, options);
}

function printWaiting(progress: Progress, handle: WorkflowHandle, options: FollowOptions): ExitCode {
  const problem = progress.waitingFor ?? '';
  const { report, ...rest } = progress;
  if (options.json) {
    printJson({
      ...report,
      pipeline: options.pipeline,
      workflowId: handle.workflowId,
      outcome: 'waiting',
      problem,
      progress: rest,
    });
  } else {
    print(`${options.pipeline} waits for a human: ${problem}`);
    print('`stageswap approve --config FILE` lets it go on, `stageswap abort --config FILE` ends it');
  }
  return EXIT.waiting;
}

async function printEnded(ended: Ended, options: FollowOptions): Promise<ExitCode> {
  if ('report' in ended) {
    if (options.show && ended.report.problem === undefined && ended.report.outcome !== 'aborted')
      return options.show(ended.report);
    if (options.json) printJson(ended.report);
    else print(reportText(ended.report));
    return exitCodeOf(ended.report, options.asked);
  }
  if (!(ended.error instanceof WorkflowFailedError)) throw ended.error;
  const failure = workflowFailure(ended.error);
  throw new CommandError(failure.exitCode, failure.message, undefined, { cause: ended.error });
}
