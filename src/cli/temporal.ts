import {
  ApplicationFailure,
  Client,
  Connection,
  isGrpcServiceError,
  NamespaceNotFoundError,
  type WorkflowFailedError,
  WorkflowNotFoundError,
  type WorkflowUpdateFailedError,
} from '@temporalio/client';
import { EXIT, type ExitCode, exitCodeOfFailure } from '../model/exit-code.js';
import type { Report } from '../model/report.js';
import { type TemporalPlace, temporalPlace } from '../temporal/place.js';
import { CommandError } from './failure.js';

/** Connects, does the work, closes. @throws {CommandError} exit 6 if Temporal does not answer */
export async function withTemporal<T>(work: (client: Client) => Promise<T>): Promise<T> {
  const place = temporalPlace();
  let connection: Connection;
  try {
    connection = await Connection.connect({
      address: place.address,
      ...place.security,
      connectTimeout: '5s',
    });
  } catch (error) {
    throw unreachable(place, error);
  }
  try {
    return await work(
      new Client({
        connection,
        namespace: place.namespace,
        ...(place.dataConverter ? { dataConverter: place.dataConverter } : {}),
      }),
    );
  } catch (error) {
    throw translate(place, error);
  } finally {
    await connection.close().catch(() => {});
  }
}

function unreachable(place: TemporalPlace, cause: unknown): CommandError {
  return new CommandError(
    EXIT.unreachable,
    `Temporal at ${place.address} does not answer: ${rootCause(cause).message}`,
    'start it, or set TEMPORAL_ADDRESS to host:port of its frontend; an address on another machine means TLS: if it speaks none, set TEMPORAL_TLS=false; if it asks for a key, set TEMPORAL_API_KEY',
    { cause },
  );
}

const GRPC = { deadlineExceeded: 4, unavailable: 14 } as const;

function grpcCode(error: unknown): number | undefined {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    if (isGrpcServiceError(at)) return at.code;
  }
  return undefined;
}

function translate(place: TemporalPlace, error: unknown): unknown {
  if (error instanceof CommandError || error instanceof WorkflowNotFoundError) return error;
  if (isUnavailable(error)) return unreachable(place, error);
  if (error instanceof NamespaceNotFoundError) {
    return new CommandError(
      EXIT.usage,
      `Temporal at ${place.address} has no namespace ${place.namespace}`,
      'set TEMPORAL_NAMESPACE, or create the namespace',
      { cause: error },
    );
  }
  return error;
}

/** Whether a call was given up because nobody answered within its deadline. */
export function isTimeout(error: unknown): boolean {
  const code = grpcCode(error);
  return (
    code === GRPC.deadlineExceeded ||
    (error instanceof Error && error.name === 'WorkflowUpdateRPCTimeoutOrCancelledError')
  );
}

/** Whether Temporal itself does not answer, such as while it is restarted. */
export function isUnavailable(error: unknown): boolean {
  return grpcCode(error) === GRPC.unavailable;
}

/** The innermost cause: what happened, without the layers that carried it. */
export function rootCause(error: unknown): { type: string | undefined; message: string } {
  let at = error;
  while (at instanceof Error && at.cause instanceof Error) at = at.cause;
  const type = (at as { type?: unknown } | undefined)?.type;
  return {
    type: typeof type === 'string' ? type : undefined,
    message: at instanceof Error ? at.message : String(at),
  };
}

/** How a workflow that failed is told: the exit code, the failure's type and its message. */
export function workflowFailure(error: WorkflowFailedError | WorkflowUpdateFailedError): {
  exitCode: ExitCode;
  type: string;
  message: string;
} {
  const names: string[] = [];
  for (let at: unknown = error; at instanceof Error; at = at.cause) names.push(at.name);
  if (names.includes('TerminatedFailure')) {
    return {
      exitCode: EXIT.failed,
      type: 'Terminated',
      message:
        'the workflow was terminated, so nothing was cleaned up. Run stageswap repair; the next run takes over, too.',
    };
  }
  if (names.includes('CancelledFailure')) {
    return { exitCode: EXIT.aborted, type: 'Cancelled', message: 'the workflow was cancelled' };
  }
  const { type, message } = rootCause(error);
  return { exitCode: exitCodeOfFailure(type), type: type ?? 'Unexpected', message };
}

/** The report that a failed run left as its failure's detail; undefined if it ended in another way. */
export function reportOfFailure(error: unknown): Report | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    const report =
      at instanceof ApplicationFailure ? (at.details?.[0] as Partial<Report> | undefined) : undefined;
    if (report?.outcome && report.tables) return report as Report;
  }
  return undefined;
}
