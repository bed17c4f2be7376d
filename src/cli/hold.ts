import { userInfo } from 'node:os';
import type { Command } from 'commander';
import { parseMysqlAddress } from '../config/address.js';
import { loadConfig } from '../config/load.js';
import { EXIT, type ExitCode } from '../model/report.js';
import { withSession } from '../mysql/connection.js';
import { configOption, jsonOption } from './config-option.js';
import { examples } from './examples.js';
import { print, printJson } from './output.js';
import { hold, release } from './pipeline-store.js';

export function addHold(program: Command, end: (code: ExitCode) => void): void {
  program
    .command('hold')
    .description('refuse runs of the pipeline until it is released')
    .addOption(configOption())
    .option('--reason <text>', 'why, for whoever finds it held')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples("stageswap hold --config stageswap.yaml --reason 'billing is being corrected'"),
    )
    .action(async (options: { config: string; reason?: string; json: boolean }) => {
      const config = loadConfig(options.config);
      const reason = options.reason ?? `held by ${userInfo().username}`;
      await withSession(parseMysqlAddress(config.target.url), (session) =>
        hold(session, config.pipeline, reason),
      );
      if (options.json) printJson({ pipeline: config.pipeline, held: true, reason });
      else print(`${config.pipeline} is held: ${reason}. \`stageswap release\` lets it run again.`);
      end(EXIT.done);
    });
  program
    .command('release')
    .description('let a held pipeline run again')
    .addOption(configOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('stageswap release --config stageswap.yaml'))
    .action(async (options: { config: string; json: boolean }) => {
      const config = loadConfig(options.config);
      const was = await withSession(parseMysqlAddress(config.target.url), (session) =>
        release(session, config.pipeline),
      );
      if (options.json) printJson({ pipeline: config.pipeline, held: false, wasHeld: was });
      else print(was ? `${config.pipeline} is released` : `${config.pipeline} was not held`);
      end(EXIT.done);
    });
}
