// Workflows that behave as the command line may find them: the pipeline's name says how.
import {
  ApplicationFailure,
  condition,
  defineQuery,
  defineSignal,
  defineUpdate,
  setHandler,
  sleep,
} from '@temporalio/workflow';
import type { Progress, SyncInput } from '../../src/model/messages.js';
import type { Outcome, Report } from '../../src/model/report.js';

function report(pipeline: string, outcome: Outcome): Report {
  return {
    pipeline,
    runId: 'double',
    outcome,
    moment: 'snapshot',
    ms: 1,
    tables: [],
    edits: { captured: 0, replayedBefore: 0, replayedUnderLock: 0, handedIn: 0 },
    cutOver: { attempts: 1, heldMs: 1, queuedMs: 1 },
    phases: [],
  };
}

export async function sync({ pipeline, approveFirst }: SyncInput): Promise<Report> {
  let paused = false;
  let aborted = false;
  let approved = approveFirst || pipeline !== 'gated';
  const answer = <T>(value: T, change: () => void) => {
    change();
    return value;
  };
  setHandler(
    defineQuery<Progress>('progress'),
    (): Progress => ({
      phase: 'ingest',
      tables: [{ table: 't', phase: 'ingest', rowsDone: 5, rowsTotal: 10, chunksDone: 1, chunks: 2 }],
      paused,
      generation: 1,
      ...(approved ? {} : { waitingFor: 'the approval of the first publish' }),
    }),
  );
  setHandler(
    defineUpdate<string>('pause'),
    () =>
      answer('paused', () => {
        paused = true;
      }),
    {
      validator: () => {
        if (paused) throw new Error('the run is paused already');
      },
    },
  );
  setHandler(defineUpdate<string>('resume'), () =>
    answer('resumed', () => {
      paused = false;
    }),
  );
  setHandler(defineUpdate<string>('approve'), () =>
    answer('approved', () => {
      approved = true;
    }),
  );
  const abort = () =>
    answer('aborting', () => {
      aborted = true;
    });
  setHandler(defineUpdate<string>('abort'), abort);
  setHandler(defineSignal('abort'), () => void abort());
  if (pipeline === 'refused') {
    throw ApplicationFailure.nonRetryable('table t has no primary key: add one', 'Refused');
  }
  if (pipeline === 'endless') await condition(() => aborted);
  else await sleep(1_000);
  await condition(() => approved || aborted);
  return report(pipeline, aborted ? 'aborted' : 'published');
}

export async function rollback({ pipeline }: { pipeline: string }): Promise<Report> {
  return report(pipeline, 'rolledBack');
}
