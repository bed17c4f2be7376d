import type { Command } from 'commander';
import { type Config, loadConfig } from '../config/load.js';
import { EXIT, type ExitCode } from '../model/exit-code.js';
import { type RepairInput, WORKFLOWS, workflowIdOf } from '../model/messages.js';
import type { RepairFinding } from '../model/report.js';
import { findingsOf, survey } from '../mysql/survey.js';
import { configOption, jsonOption } from './config-option.js';
import { confirm } from './confirm.js';
import { examples } from './examples.js';
import { CommandError } from './failure.js';
import { print, printJson } from './output.js';
import { onTarget } from './pipeline-store.js';
import { startAndFollow } from './run.js';
import { readWorkflow } from './status.js';
import { withTemporal } from './temporal.js';

const HELP = `
For a pipeline whose workflow was terminated, or whose history in Temporal is gone. MySQL alone is asked what is live, what a
run has left, and what a rollback still needs. A run whose swap was executed is finished, any other is taken back; live
itself is not written. Nothing to repair is no error: exit code 0.`;

interface Options {
  config: string;
  yes: boolean;
  json: boolean;
}

export function addRepair(program: Command, end: (code: ExitCode) => void): void {
  program
    .command('repair')
    .description('restore order from what MySQL says, when a run was terminated or its history is gone')
    .addOption(configOption())
    .option('--yes', 'do it without asking', false)
    .addOption(jsonOption())
    .addHelpText('after', HELP)
    .addHelpText(
      'after',
      examples(
        'stageswap repair --config stageswap.yaml',
        'stageswap repair --config stageswap.yaml --yes --json',
      ),
    )
    .action(async (options: Options) => {
      end(await repair(loadConfig(options.config), options));
    });
}

async function repair(config: Config, options: Options): Promise<ExitCode> {
  const { pipeline } = config;
  await refuseWhileRunning(pipeline);
  const lives = config.tables.map((table) => table.live);
  const seen = await onTarget(config, (session) => survey(session, pipeline, lives, config.backups));
  const found = seen ? findingsOf(seen) : [];
  const undecided = seen?.undecided ?? [];
  if (undecided.length > 0) {
    if (options.json) printJson({ pipeline, outcome: 'waiting', found, undecided });
    else print(`${pipeline} cannot be repaired before a person has decided:\n${listed(undecided)}`);
    return EXIT.waiting;
  }
  if (found.length === 0) {
    if (options.json) printJson({ pipeline, outcome: 'repaired', repair: { found, done: [], left: [] } });
    else print(`${pipeline}: nothing to repair`);
    return EXIT.done;
  }
  if (!options.json) print(`${pipeline}:\n${listed(found)}`);
  else if (!options.yes) {
    printJson({ pipeline, outcome: 'waiting', found, problem: 'not confirmed: add --yes' });
    return EXIT.waiting;
  }
  await confirm(`repair ${pipeline}`, options);
  const input: RepairInput = { pipeline };
  return startAndFollow({
    ...options,
    wait: true,
    pipeline,
    asked: 'repair',
    workflow: WORKFLOWS.repair,
    input,
  });
}

/** What works needs no repair. Temporal would refuse a second workflow as well, but only after the question. */
async function refuseWhileRunning(pipeline: string): Promise<void> {
  await withTemporal(async (client) => {
    const workflow = await readWorkflow(client, pipeline);
    if (workflow?.status === 'RUNNING')
      throw new CommandError(
        EXIT.refused,
        `${workflow.type} of ${pipeline} is running (workflow ${workflowIdOf(pipeline)})`,
        '`stageswap abort` ends it in order; terminate it in Temporal only if that does not help',
      );
  });
}

const listed = (findings: RepairFinding[]) =>
  findings.map(({ what, cure }) => `  ${what}\n    → ${cure}`).join('\n');
