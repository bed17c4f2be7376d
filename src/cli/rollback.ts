import type { Command } from 'commander';
import { loadConfig } from '../config/load.js';
import { WORKFLOWS } from '../model/messages.js';
import type { ExitCode } from '../model/report.js';
import { configOption, jsonOption } from './config-option.js';
import { confirmAtTerminal } from './confirm.js';
import { examples } from './examples.js';
import { startAndFollow } from './run.js';

export function addRollback(program: Command, end: (code: ExitCode) => void): void {
  program
    .command('rollback')
    .description(
      'take the latest publish back, keeping what clients changed since; the pipeline is held after it',
    )
    .addOption(configOption())
    .addOption(jsonOption())
    .option('--yes', 'without being asked', false)
    .option('--no-wait', 'start the rollback and return')
    .addHelpText(
      'after',
      examples(
        'stageswap rollback --config stageswap.yaml',
        'stageswap rollback --config stageswap.yaml --yes --json',
      ),
    )
    .action(async (options: { config: string; yes: boolean; json: boolean; wait: boolean }) => {
      const { pipeline } = loadConfig(options.config);
      await confirmAtTerminal(`take the latest publish of ${pipeline} back, and hold the pipeline`, options);
      end(
        await startAndFollow({
          ...options,
          pipeline,
          asked: 'rollback',
          workflow: WORKFLOWS.rollback,
          input: { pipeline },
        }),
      );
    });
}
