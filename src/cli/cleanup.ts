import type { Command } from 'commander';
import { loadPipelineName } from '../config/load.js';
import type { ExitCode } from '../model/exit-code.js';
import { type CleanupInput, WORKFLOWS } from '../model/messages.js';
import { configOption, jsonOption } from './config-option.js';
import { confirmAtTerminal } from './confirm.js';
import { examples } from './examples.js';
import { startAndFollow } from './run.js';

export function addCleanup(program: Command, end: (code: ExitCode) => void): void {
  program
    .command('cleanup')
    .description(
      'close the rollback window of a publish that is older than retention.rollbackDays, and drop what nothing needs',
    )
    .addOption(configOption())
    .option('--now', 'close it whatever its age: the backup stays, but is restored without edits', false)
    .option('--yes', 'without being asked', false)
    .addOption(jsonOption())
    .option('--no-wait', 'start the cleanup and return')
    .addHelpText(
      'after',
      examples(
        'stageswap cleanup --config stageswap.yaml',
        'stageswap cleanup --config stageswap.yaml --now --yes --json',
        "stageswap schedule create --of cleanup --config stageswap.yaml --cron '0 12 * * *' --time-zone UTC",
      ),
    )
    .action(async (options: { config: string; now: boolean; yes: boolean; json: boolean; wait: boolean }) => {
      const pipeline = loadPipelineName(options.config);
      if (options.now)
        await confirmAtTerminal(
          `close the rollback window of ${pipeline}, after which no rollback keeps edits`,
          options,
        );
      const input: CleanupInput = { pipeline, now: options.now };
      end(
        await startAndFollow({
          ...options,
          pipeline,
          asked: 'cleanup',
          workflow: WORKFLOWS.cleanup,
          input,
        }),
      );
    });
}
