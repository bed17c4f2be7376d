import type { Command } from 'commander';

import { loadConfig } from '../config/load.js';
import { EXIT, type ExitCode } from '../model/exit-code.js';
import type { Finding } from '../preflight/finding.js';
import type { Check } from '../preflight/index.js';
import { colours } from './colours.js';
import { configOption, jsonOption } from './config-option.js';
import { examples } from './examples.js';
import { print, printJson } from './output.js';
import { count } from './report-text.js';

interface CheckOptions {
  config: string;
  json: boolean;
  rehearsal: boolean;
}

export function addCheck(program: Command, end: (code: ExitCode) => void): void {
  program
    .command('check')
    .description(
      'look at both engines and say what a run would refuse, what it would need, and how long it would lock; makes empty tables and drops them again, and touches nothing else',
    )
    .addOption(configOption())
    .addOption(jsonOption())
    .option('--no-rehearsal', 'do not rehearse the cut-over: make no table at all')
    .addHelpText(
      'after',
      examples(
        'stageswap check --config stageswap.yaml',
        'stageswap check --config stageswap.yaml --no-rehearsal --json',
      ),
    )
    .action(async (options: CheckOptions) => {
      const config = loadConfig(options.config);
      // loaded here only: SQL Server's driver takes a quarter of a command's start
      const { check } = await import('../preflight/index.js');
      const found = await check(config, { rehearse: options.rehearsal });
      if (options.json) printJson({ pipeline: config.pipeline, ...found });
      else print(checkText(config.pipeline, found));
      end(found.refusals.length > 0 ? EXIT.refused : EXIT.done);
    });
}

export function checkText(pipeline: string, found: Check): string {
  const lines = [
    ...found.refusals.map((finding) => findingText(colours.red('refused'), finding)),
    ...found.warnings.map((finding) => findingText(colours.yellow('warning'), finding)),
    ...needsText(found),
    momentText(found.moment),
    ...emptyText(found.empty),
    ...(found.rehearsal ? [rehearsalText(found.rehearsal)] : []),
    found.refusals.length === 0
      ? `${pipeline} ${colours.green('can run')}`
      : `${pipeline} ${colours.red('cannot run')}: ${found.refusals.length} to cure`,
  ];
  return lines.join('\n');
}

function needsText({ needs }: Check): string[] {
  const says = (what: string, value: string) => `${colours.dim('needs')} ${what}: ${value}`;
  return [
    says(
      'disk while it runs',
      `about ${bytes(needs.diskBytes)} beside live; ${bytes(needs.keptBytes)} stay for the base and the backups`,
    ),
    ...needs.tables.map(
      (table) =>
        `  ${table.table}: ${count(table.rowsEstimate)} rows, stage ${bytes(table.stageBytes)}, base ${bytes(table.baseNextBytes)}, backup ${bytes(table.backupBytes)}`,
    ),
    says(
      'binary log',
      needs.binaryLogBytes === 0 ? 'none, it is off' : `about ${bytes(needs.binaryLogBytes)} a run`,
    ),
    says('privileges', needs.privileges.join(', ')),
  ];
}

function momentText({ expected, because }: Check['moment']): string {
  const why = because === undefined ? '' : ` (no database snapshot: ${because})`;
  switch (expected) {
    case 'snapshot':
      return 'the source will be read in a database snapshot, unless the server refuses to make one';
    case 'transaction':
      return `the source will be read in one SNAPSHOT transaction${why}: a crash or a pause starts the ingest again`;
    case 'fuzzy':
      return 'the source will not be read as of one moment: rows that seem to have come or gone are asked for again';
    case 'none':
      return `the source cannot be read as of one moment${why}`;
  }
}

function emptyText({ live, source }: Check['empty']): string[] {
  return [
    ...(live.length > 0 ? [`live is empty: ${live.join(', ')}`] : []),
    ...(source.length > 0
      ? [
          `${colours.yellow('the source is empty')}: ${source.join(', ')}; a first publish asks about that, a later one stops`,
        ]
      : []),
  ];
}

function rehearsalText({ rounds, lockMs, heldMs, heldMsMax }: NonNullable<Check['rehearsal']>): string {
  return `the cut-over will hold its lock for about ${heldMs} ms, beside clients two to four times as long, after ${lockMs} ms to get it (rehearsed ${rounds} times on empty tables without triggers, at most ${heldMsMax} ms)`;
}

/** 0 bytes · 12.3 MB: in powers of 1000 */
export function bytes(value: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  let unit = 0;
  let rest = value;
  while (rest >= 1000 && unit < units.length - 1) {
    rest /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? rest : rest.toFixed(1)} ${units[unit]}`;
}

function findingText(label: string, { what, where, cure }: Finding): string {
  return `${label} ${where}: ${what}\n  ${colours.dim('cure:')} ${cure}`;
}
