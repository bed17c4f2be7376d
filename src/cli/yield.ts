import Table from 'cli-table3';
import type { Command } from 'commander';
import { loadConfig } from '../config/load.js';
import { EXIT, type ExitCode } from '../model/exit-code.js';
import type { MergeUnit } from '../model/spec.js';
import { type Edit, readEdits, yieldTo } from '../mysql/settlements.js';
import type { LiveRows } from '../sql/settlements.js';
import { configOption, jsonOption } from './config-option.js';
import { confirm } from './confirm.js';
import { CommandError } from './failure.js';
import { operator } from './operator.js';
import { print, printJson } from './output.js';
import { onTarget } from './pipeline-store.js';
import { published, publishedTable } from './published.js';
import { count, many } from './report-text.js';
import { rowKey, tableNamed } from './row-key.js';
import { keyText, valuesText } from './values-text.js';

const EDITS_SHOWN = 20;

const HELP = `
The next run takes billing's value, unless billing or a client changes the field before. Columns of a group go together.
The key is written as live has it: bytes as hexadecimal, a TIMESTAMP in UTC.

Examples:
  stageswap yield customer 17 email --config stageswap.yaml
  stageswap yield customer --column email --where "email LIKE '%@old.example'" --config stageswap.yaml --yes`;

interface Options {
  config: string;
  column?: string;
  where?: string;
  yes: boolean;
  json: boolean;
}

export function addYield(program: Command, end: (code: ExitCode) => void): void {
  program
    .command('yield')
    .description("give a client's edit back to billing: one field of a row, or many by a condition")
    .argument('<table>', "live's name")
    .argument('[key]', 'of one row; an array in JSON where the key has several columns')
    .argument('[column]', 'of that row')
    .addOption(configOption())
    .option('--column <name>', 'with --where: the column')
    .option('--where <condition>', "an SQL condition on live's columns")
    .option('--yes', 'without being asked', false)
    .addOption(jsonOption())
    .addHelpText('after', HELP)
    .action(
      async (table: string, key: string | undefined, keyColumn: string | undefined, options: Options) => {
        const config = loadConfig(options.config);
        const known = tableNamed(config.tables, table);
        const { column, rows } = wanted(
          key === undefined ? undefined : rowKey(known, key),
          keyColumn,
          options,
        );
        await onTarget(config, async (session) => {
          const spec = await published(session, config.pipeline);
          const tableSpec = publishedTable(spec, table);
          const unit = unitOf(tableSpec.units, table, column);
          const found = await readEdits(session, spec, tableSpec, unit, rows, EDITS_SHOWN);
          if (found.count === 0)
            throw new CommandError(
              EXIT.refused,
              `no such row of ${table} differs from what billing last said in ${unit.columns.join(', ')}`,
              '`stageswap explain` shows a row',
            );
          if (!options.json) print(editsText(unit, tableSpec.key, found));
          if ('where' in rows)
            await confirm(`give ${many(found.count, 'edit')} of ${table} back to billing`, options);
          const yielded = await yieldTo(session, spec, tableSpec, unit, rows, operator());
          if (options.json)
            printJson({
              pipeline: config.pipeline,
              table,
              columns: unit.columns,
              yielded,
              edits: found.edits,
            });
          else
            print(
              `${many(yielded, 'edit')} ${yielded === 1 ? 'goes' : 'go'} back to billing in the next run`,
            );
        });
        end(EXIT.done);
      },
    );
}

/** One row's field, or many rows' by a condition; not both. */
function wanted(
  key: string[] | undefined,
  keyColumn: string | undefined,
  options: Options,
): { column: string; rows: LiveRows } {
  if (key && keyColumn !== undefined && options.where === undefined && options.column === undefined)
    return { column: keyColumn, rows: { key } };
  if (!key && options.where !== undefined && options.column !== undefined)
    return { column: options.column, rows: { where: options.where } };
  throw new CommandError(
    EXIT.usage,
    'which edits?',
    'give TABLE KEY COLUMN for one, or TABLE --column NAME --where CONDITION for many',
  );
}

function unitOf(units: MergeUnit[], table: string, column: string): MergeUnit {
  const unit = units.find(({ columns }) => columns.includes(column));
  if (unit) return unit;
  throw new CommandError(
    EXIT.usage,
    `${table} has no merged column ${column}`,
    `it has ${units.flatMap(({ columns }) => columns).join(', ')}`,
  );
}

function editsText(unit: MergeUnit, keyColumns: string[], found: { count: number; edits: Edit[] }): string {
  const table = new Table({
    head: ['key', 'columns', 'source', 'live'],
    style: { head: [], border: [], compact: true },
  });
  for (const { key, source, live } of found.edits)
    table.push([
      keyText(key, keyColumns),
      unit.columns.join('\n'),
      valuesText(source, unit.columns),
      valuesText(live, unit.columns),
    ]);
  const more = found.count - found.edits.length;
  return more > 0 ? `${table.toString()}\n${count(more)} more` : table.toString();
}
