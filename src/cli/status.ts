import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import type { Command } from 'commander';

import { parseMysqlAddress } from '../config/address.js';
import { type Config, loadConfig } from '../config/load.js';
import { type Progress, workflowIdOf } from '../model/messages.js';
import { EXIT, type ExitCode } from '../model/report.js';
import { withSession } from '../mysql/connection.js';
import { colours } from './colours.js';
import { configOption, jsonOption } from './config-option.js';
import { examples } from './examples.js';
import { describeFailure } from './failure.js';
import { askProgress } from './follow.js';
import { note, print, printJson } from './output.js';
import { type Held, type RunRow, readHeld, readRuns } from './pipeline-store.js';
import { progressView, screen } from './progress-view.js';
import { reportText } from './report-text.js';
import { withTemporal } from './temporal.js';

interface Status {
  pipeline: string;
  workflow: { id: string; type: string; runId: string; status: string; startedAt: string } | null;
  /** null if nothing runs, or no worker answers */
  progress: Progress | null;
  held: Held | null;
  lastRun: RunRow | null;
  /** what could not be read */
  problem?: string;
}

const WATCH_MS = 1_000;

export function addStatus(program: Command, end: (code: ExitCode) => void): void {
  program
    .command('status')
    .description('what runs, what ran last, whether the pipeline is held')
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
      const config = loadConfig(options.config);
      await withTemporal(async (client) => {
        if (options.watch) await watch(client, config.pipeline, options.json);
        const { status, code } = await readStatus(client, config);
        if (options.json) printJson(status);
        else print(statusText(status));
        end(code);
      });
    });
}

async function watch(client: Client, pipeline: string, silent: boolean): Promise<void> {
  const view = progressView({ silent });
  const handle = client.workflow.getHandle(workflowIdOf(pipeline));
  try {
    while ((await readWorkflow(client, pipeline))?.status === 'RUNNING') {
      const progress = await askProgress(client, handle);
      if (typeof progress === 'string') view.say(`${progress} answers`);
      else view.show(progress);
      await sleep(WATCH_MS);
    }
  } finally {
    view.done();
  }
}

/** The pipeline's latest workflow, or null where Temporal knows none. */
export async function readWorkflow(client: Client, pipeline: string): Promise<Status['workflow']> {
  const id = workflowIdOf(pipeline);
  try {
    const found = await client.workflow.getHandle(id).describe();
    return {
      id,
      type: found.type,
      runId: found.runId,
      status: found.status.name,
      startedAt: found.startTime.toISOString(),
    };
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return null;
    throw error;
  }
}

/** MySQL may be down while Temporal answers: what can be said is said, and the exit code tells the rest. */
async function readStatus(client: Client, config: Config): Promise<{ status: Status; code: ExitCode }> {
  const { pipeline } = config;
  const workflow = await readWorkflow(client, pipeline);
  const asked =
    workflow?.status === 'RUNNING'
      ? await askProgress(client, client.workflow.getHandle(workflow.id))
      : 'no worker';
  const progress = typeof asked === 'string' ? null : asked;
  const status: Status = { pipeline, workflow, progress, held: null, lastRun: null };
  try {
    await withSession(parseMysqlAddress(config.target.url), async (session) => {
      status.held = (await readHeld(session, pipeline)) ?? null;
      status.lastRun = (await readRuns(session, pipeline, 1))[0] ?? null;
    });
    return { status, code: EXIT.done };
  } catch (error) {
    const shown = describeFailure(error);
    status.problem = shown.problems.map((problem) => problem.message).join('; ');
    note(status.problem);
    return { status, code: shown.exitCode };
  }
}

function statusText(status: Status): string {
  const lines: string[] = [];
  const { workflow, progress, held, lastRun } = status;
  if (workflow?.status === 'RUNNING') {
    lines.push(`${colours.bold(status.pipeline)}: ${workflow.type} is running since ${workflow.startedAt}`);
    lines.push(
      ...(progress ? screen(progress) : [colours.yellow('no worker answers: start `stageswap worker`')]),
    );
  } else if (workflow) {
    lines.push(
      `${colours.bold(status.pipeline)}: nothing is running; ${workflow.type} ended ${workflow.status.toLowerCase()}`,
    );
  } else {
    lines.push(`${colours.bold(status.pipeline)}: nothing is running, and Temporal knows no earlier run`);
  }
  if (held)
    lines.push(
      colours.yellow(`held since ${held.at} UTC: ${held.reason}. \`stageswap release\` lets it run again.`),
    );
  if (workflow?.status !== 'RUNNING' && lastRun) {
    if (lastRun.report) lines.push(reportText(lastRun.report));
    else lines.push(`run ${lastRun.runId}: ${lastRun.outcome ?? `stopped in phase ${lastRun.phase}`}`);
  }
  return lines.join('\n');
}
