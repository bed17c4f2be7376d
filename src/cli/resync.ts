import type { Command } from 'commander';
import { loadConfig } from '../config/load.js';
import { EXIT, type ExitCode } from '../model/exit-code.js';
import { resync } from '../mysql/settlements.js';
import { configOption, jsonOption } from './config-option.js';
import { confirm } from './confirm.js';
import { CommandError } from './failure.js';
import { operator } from './operator.js';
import { print, printJson } from './output.js';
import { onTarget } from './pipeline-store.js';
import { published, publishedTable } from './published.js';
import { many } from './report-text.js';
import { rowKey, tableNamed } from './row-key.js';

const HELP = `
The next run takes every mapped column of the row from billing, whatever live says then, and brings back a row that the
application deleted or that was held back; one that lacks its parent, or has a value of a unique index that another row has,
waits until that is over. Columns that are not mapped stay. The key is written as live has it: bytes as hexadecimal, a
TIMESTAMP in UTC.

Example:
  stageswap resync customer 17 18 --config stageswap.yaml`;

export function addResync(program: Command, end: (code: ExitCode) => void): void {
  program
    .command('resync')
    .description('take single rows from billing again, in the next run')
    .argument('<table>', "live's name")
    .argument('<key...>', 'of the rows; an array in JSON where the key has several columns')
    .addOption(configOption())
    .option('--yes', 'several without being asked', false)
    .addOption(jsonOption())
    .addHelpText('after', HELP)
    .action(
      async (table: string, keys: string[], options: { config: string; yes: boolean; json: boolean }) => {
        const config = loadConfig(options.config);
        const known = tableNamed(config.tables, table);
        const wantedKeys = keys.map((text) => rowKey(known, text));
        const by = operator();
        if (keys.length > 1)
          await confirm(`take ${many(keys.length, 'row')} of ${table} from billing again`, options);
        await onTarget(config, async (session) => {
          const spec = await published(session, config.pipeline);
          await session.transaction(async () => {
            for (const [index, key] of wantedKeys.entries()) {
              if (await resync(session, spec, publishedTable(spec, table), key, by)) continue;
              throw new CommandError(
                EXIT.refused,
                `neither ${table} nor what billing last said has a row ${keys[index]}`,
                'a row that is new at billing comes with the next run; look at the key',
              );
            }
          });
        });
        if (options.json) printJson({ pipeline: config.pipeline, table, keys });
        else
          print(
            `${many(keys.length, 'row')} of ${table} ${keys.length === 1 ? 'is' : 'are'} taken from billing in the next run`,
          );
        end(EXIT.done);
      },
    );
}
