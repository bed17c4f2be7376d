import type { Command } from 'commander';
import { loadConfig } from '../config/load.js';
import { WORKFLOWS } from '../model/messages.js';
import type { ExitCode } from '../model/report.js';
import { configOption, jsonOption } from './config-option.js';
import { startAndFollow } from './run.js';

export function addRollback(program: Command, end: (code: ExitCode) => void): void {
  program
    .command('rollback')
    .description(
      'take the latest publish back, keeping what clients changed since; the pipeline is held after it',
    )
    .addOption(configOption())
    .addOption(jsonOption())
    .option('--no-wait', 'start the rollback and return')
    .action(async (options: { config: string; json: boolean; wait: boolean }) => {
      const { pipeline } = loadConfig(options.config);
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
