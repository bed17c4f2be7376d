import Table from 'cli-table3';
import type { Command } from 'commander';
import { loadTarget, type PipelineTarget } from '../config/load.js';
import { EXIT, type ExitCode, exitCodeOf } from '../model/exit-code.js';
import { type RollbackInput, WORKFLOWS } from '../model/messages.js';
import type { Report } from '../model/report.js';
import type { RollbackFindings } from '../model/rollback.js';
import { type Backup, chooseBackup, readBackups } from '../mysql/backups.js';
import { hasConflicts } from '../mysql/settlements.js';
import { configOption, jsonOption } from './config-option.js';
import { confirm, confirmAtTerminal } from './confirm.js';
import { examples } from './examples.js';
import { note, print, printJson } from './output.js';
import { onTarget, readRollback } from './pipeline-store.js';
import { reportText } from './report-text.js';
import { startAndFollow } from './run.js';

const HELP = `
Without --to-backup the latest publish is taken back, column group by column group: what clients changed since stays, all else
is as it was. Rows that clients made or changed since stay, and are listed; so are fields that were set back to their old
values since the swap, as a form does that was opened before it and saved after it.

A backup named …-without-edits is restored as it is: whatever clients changed since is gone.`;

interface Options {
  config: string;
  list: boolean;
  toBackup?: string;
  yes: boolean;
  json: boolean;
  wait: boolean;
}

export function addRollback(program: Command, end: (code: ExitCode) => void): void {
  program
    .command('rollback')
    .description(
      'take the latest publish back, keeping what clients changed since, or restore a backup; the pipeline is held after it',
    )
    .addOption(configOption())
    .option('--list', 'only list the backups', false)
    .option('--to-backup <name>', 'restore this backup as it is: edits since are not kept')
    .option('--yes', 'without being asked', false)
    .addOption(jsonOption())
    .option('--no-wait', 'start the rollback and return')
    .addHelpText('after', HELP)
    .addHelpText(
      'after',
      examples(
        'stageswap rollback --config stageswap.yaml',
        'stageswap rollback --config stageswap.yaml --yes --json',
        'stageswap rollback --config stageswap.yaml --list',
        'stageswap rollback --config stageswap.yaml --to-backup 5-without-edits',
      ),
    )
    .action(async (options: Options) => {
      const config = loadTarget(options.config);
      end(options.list ? await list(config, options.json) : await rollback(config, options));
    });
}

/** A pipeline that never ran has no control tables, and no backup. */
async function backupsOf(config: PipelineTarget): Promise<Backup[]> {
  return onTarget(config, async (session) =>
    (await hasConflicts(session)) ? readBackups(session, config.pipeline) : [],
  );
}

async function list(config: PipelineTarget, json: boolean): Promise<ExitCode> {
  const backups = await backupsOf(config);
  const { pipeline } = config;
  if (json)
    printJson({ pipeline, backups: backups.map(({ spec, ...shown }) => ({ ...shown, runId: spec.runId })) });
  else if (backups.length === 0) print(`${pipeline} has no backup`);
  else print(backupsText(backups));
  return EXIT.done;
}

function backupsText(backups: Backup[]): string {
  const table = new Table({
    head: ['backup', 'live before the publish of (UTC)', 'command'],
    style: { head: [], border: [], compact: true },
  });
  for (const { name, publishedAt, keepsEdits } of backups)
    table.push([
      name,
      publishedAt?.slice(0, 19) ?? 'a run that has not ended',
      keepsEdits ? 'stageswap rollback' : `stageswap rollback --to-backup ${name}`,
    ]);
  return table.toString();
}

async function rollback(config: PipelineTarget, options: Options): Promise<ExitCode> {
  const { pipeline } = config;
  const { toBackup } = options;
  const chosen =
    toBackup === undefined ? undefined : chooseBackup(pipeline, await backupsOf(config), toBackup);
  if (chosen && !chosen.keepsEdits)
    await confirm(
      `restore live of ${pipeline} as it was before the publish of ${chosen.publishedAt ?? chosen.name}; what clients changed since is not kept`,
      options,
    );
  else await confirmAtTerminal(`take the latest publish of ${pipeline} back, and hold the pipeline`, options);
  const input: RollbackInput = { pipeline, ...(toBackup === undefined ? {} : { backup: toBackup }) };
  return startAndFollow({
    ...options,
    pipeline,
    asked: 'rollback',
    workflow: WORKFLOWS.rollback,
    input,
    show: (report) => show(config, report, options.json),
  });
}

/** The report, with the rows that MySQL keeps beside it; a MySQL that does not answer now takes nothing from the rollback. */
async function show(config: PipelineTarget, report: Report, json: boolean): Promise<ExitCode> {
  const found = await onTarget(config, (session) =>
    readRollback(session, config.pipeline, report.runId),
  ).catch((error: Error) => {
    note(`the rows that stay, and stale forms, are not shown: ${error.message}`);
    return undefined;
  });
  if (json) printJson({ ...report, ...(found ? { found } : {}) });
  else print([reportText(report), ...(found ? findingsText(found) : [])].join('\n'));
  return exitCodeOf(report, 'rollback');
}

const ROWS_SHOWN_MAX = 20;

function findingsText({ stale, staying }: RollbackFindings): string[] {
  const key = (values: Record<string, string | null>) => Object.values(values).join(', ');
  return [
    ...section(
      'set back to the old value since the swap',
      stale.count,
      stale.edits.map(
        ({ table, key: of, published, backup }) =>
          `${table} ${key(of)}: ${JSON.stringify(published)} → ${JSON.stringify(backup)}`,
      ),
    ),
    ...section(
      'rows that are not in the backup and stay',
      staying.count,
      staying.rows.map(({ table, key: of, why }) => `${table} ${key(of)}: ${why}`),
    ),
  ];
}

function section(title: string, count: number, lines: string[]): string[] {
  if (count === 0) return [];
  const shown = lines.slice(0, ROWS_SHOWN_MAX).map((line) => `  ${line}`);
  return [`${title}:`, ...shown, ...(count > shown.length ? [`  … ${count} in all; --json lists more`] : [])];
}
