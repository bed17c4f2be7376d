import Table from 'cli-table3';
import { type Command, InvalidArgumentError } from 'commander';
import { loadTarget } from '../config/load.js';
import { EXIT, type ExitCode } from '../model/exit-code.js';
import { configOption, jsonOption } from './config-option.js';
import { examples } from './examples.js';
import { print, printJson } from './output.js';
import { onTarget, type RunRow, readRuns } from './pipeline-store.js';
import { count, duration } from './report-text.js';

export function addHistory(program: Command, end: (code: ExitCode) => void): void {
  program
    .command('history')
    .description('the latest runs with what they did, as MySQL keeps them')
    .addOption(configOption())
    .option('--limit <runs>', 'how many', positiveInteger, 20)
    .addOption(jsonOption())
    .addHelpText('after', examples('stageswap history --config stageswap.yaml --limit 5'))
    .action(async (options: { config: string; limit: number; json: boolean }) => {
      const { pipeline, target } = loadTarget(options.config);
      const runs = await onTarget({ target }, (session) => readRuns(session, pipeline, options.limit));
      if (options.json) printJson({ pipeline, runs });
      else print(runs.length === 0 ? `${pipeline} has never run` : runsText(runs));
      end(EXIT.done);
    });
}

export function positiveInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError('a whole number from 1');
  return value;
}

/** A run that did not succeed, with the failure's type of failures.ts, or of what ended it. */
function outcomeOf({ outcome, phase, report }: RunRow): string {
  if (outcome === null) return `in ${phase}`;
  const type = report?.problemType;
  return type === undefined || type === 'Aborted' ? outcome : `${outcome}: ${type}`;
}

export function runsText(runs: RunRow[]): string {
  const table = new Table({
    head: [
      '#',
      'kind',
      'started (UTC)',
      'took',
      'outcome',
      'inserted',
      'updated',
      'deleted',
      'conflicts',
      'run',
    ],
    style: { head: [], border: [], compact: true },
  });
  for (const run of runs) {
    const sum = (field: 'inserted' | 'updated' | 'deleted' | 'conflicts') =>
      run.report ? count(run.report.tables.reduce((total, row) => total + row[field], 0)) : '';
    table.push([
      run.generation,
      run.kind,
      run.startedAt.slice(0, 19),
      run.report ? duration(run.report.ms) : '',
      outcomeOf(run),
      sum('inserted'),
      sum('updated'),
      sum('deleted'),
      sum('conflicts'),
      run.runId,
    ]);
  }
  return table.toString();
}
