import type { Command } from 'commander';
import { loadTarget } from '../config/load.js';
import { EXIT, type ExitCode } from '../model/exit-code.js';
import { configOption, jsonOption } from './config-option.js';
import { examples } from './examples.js';
import { operator } from './operator.js';
import { print, printJson } from './output.js';
import { hold, onTarget, readHeld, release } from './pipeline-store.js';

export function addHold(program: Command, end: (code: ExitCode) => void): void {
  program
    .command('hold')
    .description('refuse runs of the pipeline until it is released; one that works already goes on')
    .addOption(configOption())
    .option('--reason <text>', 'why, for whoever finds it held')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples("stageswap hold --config stageswap.yaml --reason 'billing is being corrected'"),
    )
    .action(async (options: { config: string; reason?: string; json: boolean }) => {
      const { pipeline, target } = loadTarget(options.config);
      const reason = options.reason ?? `held by ${operator()}`;
      const before = await onTarget({ target }, async (session) => {
        const held = await readHeld(session, pipeline);
        await hold(session, pipeline, reason);
        return held?.reason ?? null;
      });
      if (options.json) printJson({ pipeline, held: true, reason, reasonBefore: before });
      else {
        print(`${pipeline} is held: ${reason}. \`stageswap release\` lets it run again.`);
        if (before !== null) print(`it was held already: ${before}`);
      }
      end(EXIT.done);
    });
  program
    .command('release')
    .description('let a held pipeline run again')
    .addOption(configOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('stageswap release --config stageswap.yaml'))
    .action(async (options: { config: string; json: boolean }) => {
      const { pipeline, target } = loadTarget(options.config);
      const was = await onTarget({ target }, (session) => release(session, pipeline));
      if (options.json) printJson({ pipeline, held: false, wasHeld: was });
      else print(was ? `${pipeline} is released` : `${pipeline} was not held`);
      end(EXIT.done);
    });
}
