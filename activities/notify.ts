import { ApplicationFailure, Context } from '@temporalio/activity';
import { FAILURES, type FailureType } from '../src/model/failures.js';
import type { Notice } from '../src/model/messages.js';
import { activity, type Dependencies, within } from './context.js';

const ANSWER_MS_MAX = 5_000;
/** What a server says that does not want this message, however often it comes: all of 4xx but these. */
const TRY_AGAIN = new Set([408, 425, 429]);

/** Tells people outside: a POST to the webhook of the configuration. */
export function notifyActivities(dependencies: Dependencies) {
  /** Nothing where no webhook is configured, or not for this. The text has counts and names, neither values nor secrets. */
  const notify = activity(async (pipeline: string, notice: Notice): Promise<{ sent: boolean }> => {
    const { webhook } = dependencies.config(pipeline);
    if (!webhook?.on.includes(notice.kind)) return { sent: false };
    const { info } = Context.current();
    const failure = FAILURES[notice.failure as FailureType];
    const body = {
      pipeline,
      event: notice.kind,
      // the field that chat systems show
      text: `stageswap ${pipeline}: ${notice.text}${failure ? ` (${notice.failure}: ${failure.meaning})` : ''}`,
      ...(notice.failure === undefined ? {} : { failure: notice.failure }),
      workflowId: info.workflowExecution?.workflowId,
      runId: info.workflowExecution?.runId,
      at: new Date().toISOString(),
    };
    const ask = (signal: AbortSignal) =>
      fetch(webhook.url, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'user-agent': 'stageswap',
          // the same for every attempt: a receiver that was slow to answer knows that it has heard this one
          'idempotency-key': `${info.workflowExecution?.runId}/${info.activityId}`,
        },
        body: JSON.stringify(body),
        redirect: 'error',
        signal,
      });
    const answer = await within(ANSWER_MS_MAX, ask);
    await answer.body?.cancel();
    if (answer.ok) return { sent: true };
    throw ApplicationFailure.create({
      message: `the webhook answered ${answer.status}`,
      type: 'WebhookRefused',
      nonRetryable: answer.status >= 400 && answer.status < 500 && !TRY_AGAIN.has(answer.status),
    });
  });
  return { notify };
}
