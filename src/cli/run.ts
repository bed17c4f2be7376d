import { type Client, WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import type { Command } from 'commander';
import { configDigest } from '../config/digest.js';
import { loadConfig } from '../config/load.js';
import { EXIT, type ExitCode, type Started } from '../model/exit-code.js';
import {
  type CleanupInput,
  type PlanInput,
  type RepairInput,
  type RollbackInput,
  type SyncInput,
  TASK_QUEUE,
  WORKFLOWS,
  workflowIdOf,
} from '../model/messages.js';
import type { Report } from '../model/report.js';
import { configOption, jsonOption } from './config-option.js';
import { examples } from './examples.js';
import { CommandError } from './failure.js';
import { askProgress, follow } from './follow.js';
import { print, printJson } from './output.js';
import { readWorkflow } from './status.js';
import { withTemporal } from './temporal.js';

interface RunOptions {
  config: string;
  yes: boolean;
  json: boolean;
  wait: boolean;
}

export function addRun(program: Command, end: (code: ExitCode) => void): void {
  program
    .command('run')
    .description('refresh live from the source: start a run, show its progress, print its report')
    .addOption(configOption())
    .option('--yes', 'pass the gate of a first publish', false)
    .addOption(jsonOption())
    .option('--no-wait', 'start the run and return')
    .addHelpText(
      'after',
      examples(
        'stageswap run --config stageswap.yaml',
        'stageswap run --config stageswap.yaml --yes --json',
        'stageswap run --config stageswap.yaml --no-wait && stageswap status --config stageswap.yaml --watch',
      ),
    )
    .action(async (options: RunOptions) => {
      const config = loadConfig(options.config);
      const { pipeline } = config;
      const input: SyncInput = {
        pipeline,
        approveFirst: options.yes,
        configDigest: configDigest(config),
      };
      end(await startAndFollow({ ...options, pipeline, asked: 'run', workflow: WORKFLOWS.sync, input }));
    });
}

/** What runs already, and what to do about it: wait for it, or decide what it waits for. */
async function alreadyRunning(client: Client, pipeline: string, cause: Error): Promise<CommandError> {
  const workflowId = workflowIdOf(pipeline);
  const found = await readWorkflow(client, pipeline);
  const progress = await askProgress(client, client.workflow.getHandle(workflowId));
  const waitingFor = typeof progress === 'object' ? progress.waitingFor : undefined;
  const what =
    found === null
      ? 'something is already running'
      : `a ${nameOf(found.type)} is already running since ${found.startedAt}`;
  const running = `${what} for pipeline ${pipeline} (workflow ${workflowId})`;
  return waitingFor === undefined
    ? new CommandError(
        EXIT.refused,
        running,
        '`stageswap status` shows it; wait until it has ended, or end it by `stageswap abort`',
        { cause },
      )
    : new CommandError(
        EXIT.refused,
        `${running}, and waits for a human: ${waitingFor}`,
        '`stageswap approve` lets it go on, `stageswap abort` ends it',
        { cause },
      );
}

/** What people call a workflow of this type. */
const nameOf = (type: string) => (type === WORKFLOWS.sync ? 'run' : type);

export interface StartOptions {
  pipeline: string;
  asked: Started;
  workflow: string;
  input: SyncInput | RollbackInput | PlanInput | RepairInput | CleanupInput;
  json: boolean;
  wait: boolean;
  /** prints the report of one that succeeded, where that is more than a report; @returns the exit code */
  show?: (report: Report) => Promise<ExitCode>;
}

/** Starts a workflow under the pipeline's id and follows it. @throws {CommandError} exit 3: one is running */
export async function startAndFollow(options: StartOptions): Promise<ExitCode> {
  const { pipeline, asked } = options;
  const workflowId = workflowIdOf(pipeline);
  return withTemporal(async (client) => {
    const handle = await client.workflow
      .start(options.workflow, {
        workflowId,
        taskQueue: TASK_QUEUE,
        args: [options.input],
        workflowIdConflictPolicy: 'FAIL',
        workflowIdReusePolicy: 'ALLOW_DUPLICATE',
        staticSummary: `${asked === 'run' ? 'refresh' : asked} of ${pipeline}`,
      })
      .catch(async (error: unknown) => {
        if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
        throw await alreadyRunning(client, pipeline, error);
      });
    if (!options.wait) {
      const ids = { pipeline, workflowId, runId: handle.firstExecutionRunId };
      if (options.json) printJson(ids);
      else print(`started ${asked} of ${pipeline}: workflow ${workflowId}, Temporal run ${ids.runId}`);
      return EXIT.done;
    }
    const { json, show } = options;
    return follow(client, handle, { pipeline, asked, json, ...(show ? { show } : {}) });
  });
}
