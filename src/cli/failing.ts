import type { Client, WorkflowExecutionDescription } from '@temporalio/client';
import {
  decodeArrayFromPayloads,
  decodeOptionalFailureToOptionalError,
} from '@temporalio/common/lib/internal-non-workflow/index.js';
import type { Doing, Progress } from '../model/messages.js';

/** A step that has failed and is going to be tried again: what holds a run up although nothing is wrong with the run. */
export interface Failing {
  /** the activity's type, as the Temporal UI shows it */
  step: string;
  attempts: number;
  /** of the list in failures.ts, or an engine's own; absent if Temporal does not say */
  type?: string;
  /** why it failed the last time */
  message: string;
}

/** The steps that are tried again, as Temporal describes a running workflow. */
export async function failingOf(
  client: Client,
  { raw }: Pick<WorkflowExecutionDescription, 'raw'>,
): Promise<Failing[]> {
  const found: Failing[] = [];
  for (const { activityType, attempt, lastFailure } of raw.pendingActivities ?? []) {
    const failure = await decodeOptionalFailureToOptionalError(
      client.options.loadedDataConverter,
      lastFailure,
    );
    if (!failure) continue;
    const { type, message } = failure as Error & { type?: string | null };
    // the attempt that waits, or works, has not failed
    const attempts = Math.max(1, Number(attempt ?? 0) - 1);
    found.push({ step: activityType?.name ?? 'a step', attempts, ...(type ? { type } : {}), message });
  }
  return found;
}

/** How far the steps that work are, by their heartbeats. */
export async function doingOf(
  client: Client,
  { raw }: Pick<WorkflowExecutionDescription, 'raw'>,
): Promise<Doing[]> {
  const found = (raw.pendingActivities ?? []).map(({ heartbeatDetails }) =>
    decodeArrayFromPayloads(client.options.loadedDataConverter, heartbeatDetails?.payloads),
  );
  return (await Promise.all(found)).flatMap(([doing]) => (doing ? [doing as Doing] : []));
}

/** Progress with what steps tell of themselves before they have ended. */
export function withDoing(progress: Progress, doing: Doing[]): Progress {
  const tables = progress.tables.map((table) => {
    const now = doing.find((one) => one.table === table.table && one.chunksDone >= table.chunksDone);
    return now ? { ...table, ...now } : table;
  });
  return { ...progress, tables };
}

/** Why a run does not get on, in one line. */
export function failingText({ step, message }: Failing): string {
  return `step ${step} failed, and is tried again: ${message}`;
}
