import { type Client, WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import { type Progress, QUERIES, TASK_QUEUE } from '../model/messages.js';
import { EXIT, type ExitCode, exitCodeOf, type Report } from '../model/report.js';
import { CommandError } from './failure.js';
import { note, print, printJson } from './output.js';
import { progressView } from './progress-view.js';
import { reportText } from './report-text.js';
import { isTimeout, workflowFailure } from './temporal.js';

const POLL_MS = 500;
const QUERY_MS_MAX = 5_000;

export interface FollowOptions {
  pipeline: string;
  asked: 'run' | 'rollback';
  json: boolean;
}

/** Asks a workflow how far it is. @returns undefined if no worker answered in time */
export async function askProgress(client: Client, handle: WorkflowHandle): Promise<Progress | undefined> {
  try {
    return await client.connection.withDeadline(Date.now() + QUERY_MS_MAX, () =>
      handle.query<Progress>(QUERIES.progress),
    );
  } catch (error) {
    if (isTimeout(error) || isNotAnswered(error)) return undefined;
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
  const result = handle.result().then(
    (report: Report) => {
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
      const progress = await Promise.race([askProgress(client, handle), result.then(() => undefined)]);
      if (ended) break;
      if (progress === undefined) {
        waited += 1;
        if (waited > 2) {
          view.say(`no worker answers on task queue ${TASK_QUEUE}: start \`stageswap worker --config FILE\``);
        }
      } else {
        waited = 0;
        view.show(progress);
        if (progress.waitingFor && !progress.paused) {
          view.done();
          return printWaiting(progress, handle, options);
        }
      }
      await Promise.race([result, new Promise((resolve) => setTimeout(resolve, POLL_MS))]);
    }
  } finally {
    process.off('SIGINT', interrupted);
    view.done();
  }
  return printEnded(ended, options);
}

function printWaiting(progress: Progress, handle: WorkflowHandle, options: FollowOptions): ExitCode {
  const problem = progress.waitingFor ?? '';
  if (options.json) {
    printJson({
      pipeline: options.pipeline,
      workflowId: handle.workflowId,
      outcome: 'waiting',
      problem,
      progress,
    });
  } else {
    print(`${options.pipeline} waits for a human: ${problem}`);
    print('`stageswap approve --config FILE` lets it go on, `stageswap abort --config FILE` ends it');
  }
  return EXIT.waiting;
}

function printEnded(ended: Ended, options: FollowOptions): ExitCode {
  if ('report' in ended) {
    if (options.json) printJson(ended.report);
    else print(reportText(ended.report));
    return exitCodeOf(ended.report, options.asked);
  }
  if (!(ended.error instanceof WorkflowFailedError)) throw ended.error;
  const failure = workflowFailure(ended.error);
  throw new CommandError(failure.exitCode, failure.message, undefined, { cause: ended.error });
}
