import {
  ApplicationFailure,
  CancellationScope,
  ContinueAsNew,
  isCancellation,
  workflowInfo,
} from '@temporalio/workflow';
import type { Ending, FailureType } from '../src/model/failures.js';
import type { Report } from '../src/model/report.js';
import type { Continued } from './continued.js';
import { type Problem, problemOf } from './failure.js';
import { Aborted, isNotTriedAgain, type RunState } from './run-state.js';
import { steeredRun } from './steering.js';
import { BRIEF, step } from './steps.js';

/**
 * Registers how a step is undone; before the step, since a step that failed may have taken effect. A step that is done once
 * more is undone once.
 */
export type Undo = (step: string, compensation: () => Promise<unknown>) => void;

/**
 * Governs a run: the steps up to the swap can be aborted, and what they registered is taken back, newest first; once the
 * tables say that the swap was executed there is only the way forward. A plan swaps nothing: it is taken back, too. The
 * report stays in MySQL.
 *
 * @throws {ApplicationFailure} the run failed: of the failure's own type, with the report as detail
 */
export async function governed(
  input: { pipeline: string; continued?: Continued },
  success: 'published' | 'rolledBack' | 'planned' | 'repaired' | 'cleaned',
  finish: (state: RunState) => Promise<void>,
  steps: (state: RunState, undo: Undo) => Promise<void>,
): Promise<Report> {
  const state = steeredRun(input);
  const { ended } = input.continued ?? {};
  if (ended) return CancellationScope.nonCancellable(() => endWith(state, ended));
  const compensations = new Map<string, () => Promise<unknown>>();
  let problem: Problem | undefined;
  try {
    await state.untilSwap(() => steps(state, (step, undo) => compensations.set(step, undo)));
  } catch (error) {
    if (error instanceof ContinueAsNew) throw error;
    problem = reasonOf(state, error);
  }
  if (problem || !state.swapped)
    problem = await CancellationScope.nonCancellable(() =>
      compensate([...compensations.values()].reverse(), problem),
    );
  return CancellationScope.nonCancellable(async () => {
    if (state.swapped) {
      problem = undefined;
      try {
        await finish(state);
      } catch (error) {
        problem = problemOf(error);
      }
    }
    const outcome = !problem ? success : problem.aborted ? 'aborted' : 'failed';
    const report = state.report(workflowInfo().firstExecutionRunId, outcome, problem);
    if (state.hasBegun) await step('keep the report', BRIEF).end(state.run, report);
    state.ended(report);
    await tellOutcome(state, outcome, problem);
    return endWith(state, report);
  });
}

/** Ends the workflow when every edit that it has taken is written. @throws {ApplicationFailure} the run failed */
async function endWith(state: RunState, report: Report): Promise<Report> {
  await state.settled(report);
  if (report.outcome === 'failed') throw failureOf(report);
  return report;
}

/** The failure that Temporal shows: the message first. Where in our code it is thrown helps nobody who looks at it there. */
function failureOf(report: Report): ApplicationFailure {
  const failure = ApplicationFailure.create({
    message: report.problem ?? '',
    type: report.problemType ?? ('Unexpected' satisfies FailureType),
    nonRetryable: true,
    details: [report],
  });
  failure.stack = '';
  return failure;
}

/** A problem's type is what an error said, any text: it is compared with none that the lists do not have. */
const isOf = (problem: Problem | undefined, type: FailureType | Ending) => problem?.type === type;

/** Whoever is woken by it finds the rest in the report: its words may quote values. */
async function tellOutcome(
  state: RunState,
  outcome: Report['outcome'],
  problem: Problem | undefined,
): Promise<void> {
  if (outcome === 'failed' && isOf(problem, 'Held'))
    await state.notify({ kind: 'held', text: 'is held: a run was refused, until stageswap release' });
  else if (outcome === 'failed')
    await state.notify({
      kind: 'failed',
      text: `failed${state.swapped ? ' after its swap' : ', live is untouched'}. stageswap status says why`,
      ...(problem ? { failure: problem.type } : {}),
    });
  if (outcome === 'aborted' && problem && !isOf(problem, 'Aborted'))
    await state.notify({
      kind: 'failed',
      text: 'gave up and was taken back, live is untouched. stageswap status says why',
    });
  if (outcome !== 'rolledBack') return;
  await state.notify({ kind: 'rolledBack', text: 'the latest publish was rolled back' });
  await state.notify({ kind: 'held', text: 'is held, runs are refused until stageswap release' });
}

function reasonOf(state: RunState, error: unknown): Problem {
  // An activity that is cancelled on a worker that hangs ends by its heartbeat's timeout: aborted all the same.
  const isEnded = error instanceof Aborted || isCancellation(error);
  if (state.abortReason !== undefined || isEnded || isNotTriedAgain(error))
    return { type: state.abortType, message: state.abortReason ?? 'cancelled', aborted: true };
  return problemOf(error);
}

/**
 * Takes back step by step. One that fails is told in the report, and does not keep the others from being done.
 *
 * @returns the problem, with what failed meanwhile
 */
async function compensate(
  compensations: (() => Promise<unknown>)[],
  problem: Problem | undefined,
): Promise<Problem | undefined> {
  for (const compensation of compensations) {
    try {
      await compensation();
    } catch (error) {
      if (problem) problem.message += ` Taking back failed, too: ${problemOf(error).message}`;
      else problem = problemOf(error);
    }
  }
  return problem;
}
