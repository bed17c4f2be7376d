import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, WorkflowFailedError, WorkflowNotFoundError } from '@temporalio/client';
import type { Command } from 'commander';

import { loadTarget, type PipelineTarget } from '../config/load.js';
import { EXIT, type ExitCode } from '../model/exit-code.js';
import { type Doing, type Progress, workflowIdOf } from '../model/messages.js';
import type { Outcome, Report } from '../model/report.js';
import { colours } from './colours.js';
import { configOption, jsonOption } from './config-option.js';
import { examples } from './examples.js';
import { doingOf, type Failing, failingOf, withDoing } from './failing.js';
import { describeFailure, failureText } from './failure.js';
import { askProgress, askRun } from './follow.js';
import { note, print, printJson } from './output.js';
import { type Held, onTarget, type RunRow, readHeld, readRuns } from './pipeline-store.js';
import { progressView, screen } from './progress-view.js';
import { outcomeText, reportText } from './report-text.js';
import { reportOfFailure, withTemporal, workflowFailure } from './temporal.js';

interface Status {
  pipeline: string;
  workflow: { id: string; type: string; runId: string; status: string; startedAt: string } | null;
  /** null if nothing runs, or no worker answers */
  progress: Progress | null;
  /** steps of what runs that have failed and are tried again */
  failing: Failing[];
  /** why the latest workflow failed, as Temporal keeps it: of a run that ended before MySQL had a record of it */
  failure?: { type: string; message: string };
  /** how the latest workflow ended, by its report; absent: it runs, or left none */
  outcome?: Outcome;
  /** whether a run works is not known then */
  isTemporalAway?: true;
  held: Held | null;
  lastRun: RunRow | null;
  /** what could not be read */
  problem?: string;
}

const WATCH_MS = 1_000;

export function addStatus(program: Command, end: (code: ExitCode) => void): void {
  program
    .command('status')
    .description(
      'what runs, what ran last, whether the pipeline is held; exit code 4: it waits for an approval',
    )
    .addOption(configOption())
    .option('--watch', 'show progress until nothing runs', false)
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        'stageswap status --config stageswap.yaml',
        'stageswap status --config stageswap.yaml --watch',
        'stageswap status --config stageswap.yaml --json',
      ),
    )
    .action(async (options: { config: string; watch: boolean; json: boolean }) => {
      const config = loadTarget(options.config);
      const { status, code } = await withTemporal(async (client) => {
        if (options.watch) await watch(client, config.pipeline, options.json);
        return readStatus(client, config);
      }).catch((error: unknown) => withoutTemporal(config, error));
      if (options.json) printJson(status);
      else print(statusText(status));
      end(code);
    });
}

async function watch(client: Client, pipeline: string, silent: boolean): Promise<void> {
  const view = progressView({ silent });
  const handle = client.workflow.getHandle(workflowIdOf(pipeline));
  try {
    while ((await readWorkflow(client, pipeline))?.status === 'RUNNING') {
      const { progress, failing } = await askRun(client, handle);
      if (typeof progress === 'string') view.say(`${progress} answers`);
      else view.show(progress, failing);
      await sleep(WATCH_MS);
    }
  } finally {
    view.done();
  }
}

interface Described {
  workflow: NonNullable<Status['workflow']>;
  /** as the run's row in MySQL names it */
  firstRunId: string;
  failing: Failing[];
  doing: Doing[];
}

/** The pipeline's latest workflow, or null where Temporal knows none. */
export async function readWorkflow(client: Client, pipeline: string): Promise<Status['workflow']> {
  return (await describe(client, pipeline))?.workflow ?? null;
}

async function describe(client: Client, pipeline: string): Promise<Described | undefined> {
  const id = workflowIdOf(pipeline);
  try {
    const found = await client.workflow.getHandle(id).describe();
    const { type, runId, status, startTime } = found;
    return {
      workflow: { id, type, runId, status: status.name, startedAt: startTime.toISOString() },
      firstRunId: found.raw.workflowExecutionInfo?.firstRunId || runId,
      failing: status.name === 'RUNNING' ? await failingOf(client, found) : [],
      doing: status.name === 'RUNNING' ? await doingOf(client, found) : [],
    };
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined;
    throw error;
  }
}

interface Told {
  status: Status;
  code: ExitCode;
}

/** Temporal may be down while MySQL answers, and the other way round: what can be said is said, and the exit code tells the rest. */
async function withoutTemporal(config: PipelineTarget, error: unknown): Promise<Told> {
  const shown = describeFailure(error);
  if (shown.exitCode !== EXIT.unreachable) throw error;
  const { code: _, problem: nothingKnown, ...record } = await readRecord(config);
  if (nothingKnown !== undefined) throw error;
  note(failureText(shown));
  const problem = shown.problems.map(({ message }) => message).join('; ');
  const { pipeline } = config;
  return {
    status: {
      pipeline,
      workflow: null,
      progress: null,
      failing: [],
      isTemporalAway: true,
      ...record,
      problem,
    },
    code: shown.exitCode,
  };
}

/** What MySQL keeps of a pipeline. */
async function readRecord({
  pipeline,
  target,
}: PipelineTarget): Promise<Pick<Status, 'held' | 'lastRun' | 'problem'> & { code: ExitCode }> {
  try {
    return await onTarget({ target }, async (session) => ({
      held: (await readHeld(session, pipeline)) ?? null,
      lastRun: (await readRuns(session, pipeline, 1))[0] ?? null,
      code: EXIT.done,
    }));
  } catch (error) {
    const shown = describeFailure(error);
    const problem = shown.problems.map(({ message }) => message).join('; ');
    note(problem);
    return { held: null, lastRun: null, problem, code: shown.exitCode };
  }
}

async function readStatus(client: Client, config: PipelineTarget): Promise<Told> {
  const { pipeline } = config;
  const found = await describe(client, pipeline);
  const workflow = found?.workflow ?? null;
  const asked =
    workflow?.status === 'RUNNING'
      ? await askProgress(client, client.workflow.getHandle(workflow.id))
      : 'no worker';
  const progress = typeof asked === 'string' ? null : withDoing(asked, found?.doing ?? []);
  const failing = found?.failing ?? [];
  const { code: readable, ...record } = await readRecord(config);
  const status: Status = { pipeline, workflow, progress, failing, ...record };
  const code = progress?.waitingFor !== undefined && readable === EXIT.done ? EXIT.waiting : readable;
  const { lastRun } = record;
  const isRecorded = lastRun?.report != null && lastRun.runId === found?.firstRunId;
  const end = found && (isRecorded ? outcomeOf(lastRun?.report) : await readEnd(client, found.workflow));
  return { status: { ...status, ...end }, code };
}

type End = Pick<Status, 'outcome' | 'failure'>;

const outcomeOf = (report: Partial<Report> | null | undefined): End =>
  report?.outcome ? { outcome: report.outcome } : {};

const ENDED = new Set(['COMPLETED', 'FAILED', 'TERMINATED', 'CANCELLED', 'TIMED_OUT']);

/** How a workflow ended, as Temporal keeps it: its report's outcome, or why it failed. */
async function readEnd(client: Client, { id, runId, status }: Described['workflow']): Promise<End> {
  if (!ENDED.has(status)) return {};
  try {
    return outcomeOf((await client.workflow.getHandle(id, runId).result()) as Partial<Report> | null);
  } catch (error) {
    const report = reportOfFailure(error);
    if (report)
      return { failure: { type: report.problemType ?? 'Unexpected', message: report.problem ?? '' } };
    if (!(error instanceof WorkflowFailedError)) throw error;
    const { type, message } = workflowFailure(error);
    return { failure: { type, message } };
  }
}

function statusText(status: Status): string {
  const lines: string[] = [];
  const { workflow, progress, held, lastRun } = status;
  if (workflow?.status === 'RUNNING') {
    lines.push(`${colours.bold(status.pipeline)}: ${workflow.type} is running since ${workflow.startedAt}`);
    lines.push(
      ...(progress
        ? screen(progress, { failing: status.failing, bars: process.stdout.isTTY === true })
        : [colours.yellow('no worker answers: start `stageswap worker`')]),
    );
  } else if (workflow) {
    lines.push(
      `${colours.bold(status.pipeline)}: nothing is running; ${workflow.type} ended: ${status.outcome ? outcomeText(status.outcome) : workflow.status.toLowerCase()}`,
    );
    if (status.failure) lines.push(colours.red(`${status.failure.type}: ${status.failure.message}`));
  } else if (status.isTemporalAway) {
    lines.push(`${colours.bold(status.pipeline)}, as MySQL alone knows it:`);
  } else {
    lines.push(`${colours.bold(status.pipeline)}: nothing is running, and Temporal knows no earlier run`);
  }
  if (held)
    lines.push(
      colours.yellow(`held since ${held.at} UTC: ${held.reason}. \`stageswap release\` lets it run again.`),
    );
  if (workflow?.status !== 'RUNNING' && lastRun) {
    if (status.failure) lines.push('the last run on record:');
    if (lastRun.report) lines.push(reportText(lastRun.report, { isHeld: held !== null }));
    else lines.push(`run ${lastRun.runId}: ${lastRun.outcome ?? `stopped in phase ${lastRun.phase}`}`);
  }
  return lines.join('\n');
}
