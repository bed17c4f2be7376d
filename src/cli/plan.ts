import Table from 'cli-table3';
import type { Command } from 'commander';

import { configDigest } from '../config/digest.js';
import { type Config, loadConfig, type TableConfig } from '../config/load.js';
import { EXIT, type ExitCode } from '../model/exit-code.js';
import { type PlanInput, WORKFLOWS } from '../model/messages.js';
import type { Plan, PlannedTable } from '../model/plan.js';
import type { Report } from '../model/report.js';
import { colours } from './colours.js';
import { configOption, jsonOption } from './config-option.js';
import { CommandError } from './failure.js';
import { positiveInteger } from './history.js';
import { print, printJson } from './output.js';
import { onTarget, readPlan } from './pipeline-store.js';
import { count, reportText } from './report-text.js';
import { keyOf } from './row-key.js';
import { startAndFollow } from './run.js';
import { keyText, valuesText } from './values-text.js';

const HELP = `
Reads billing and merges as a run does, into tables of its own, which are dropped again; live is only read. It excludes a run
meanwhile, as runs exclude each other. Exit code 4: a run would stop, or wait for a human.

Example:
  stageswap plan --config stageswap.yaml --limit 20`;

export function addPlan(program: Command, end: (code: ExitCode) => void): void {
  program
    .command('plan')
    .description('dry run: what a run would do, conflicts with their values; nothing is written to live')
    .addOption(configOption())
    .option(
      '--limit <rows>',
      'how many conflicts, and rows to insert and to delete, are named',
      positiveInteger,
      50,
    )
    .addOption(jsonOption())
    .addHelpText('after', HELP)
    .action(async (options: { config: string; limit: number; json: boolean }) => {
      const config = loadConfig(options.config);
      const { pipeline } = config;
      const input: PlanInput = {
        pipeline,
        rowsMax: options.limit,
        configDigest: configDigest(config),
      };
      const show = async (report: Report): Promise<ExitCode> => {
        const plan = await planOf(config, report.runId);
        if (options.json) printJson({ ...report, plan });
        else print(planText(report, plan, config.tables));
        return plan.stops.length > 0 ? EXIT.waiting : EXIT.done;
      };
      end(
        await startAndFollow({
          ...{ pipeline, input, json: options.json, wait: true },
          asked: 'plan',
          workflow: WORKFLOWS.plan,
          show,
        }),
      );
    });
}

async function planOf(config: Config, runId: string): Promise<Plan> {
  const plan = await onTarget(config, (session) => readPlan(session, config.pipeline, runId));
  if (plan) return plan;
  throw new CommandError(EXIT.failed, `plan ${runId} is not in MySQL`, 'make it again');
}

function planText(report: Report, plan: Plan, tables: TableConfig[]): string {
  const parts = [reportText(report)];
  for (const table of plan.tables) {
    parts.push(colours.bold(table.table), verdictsText(table));
    const keys = (what: string, listed: PlannedTable['insert'], all: number) => {
      if (listed.length === 0) return;
      const more = all > listed.length ? `, and ${count(all - listed.length)} more` : '';
      parts.push(
        `${what}: ${listed.map((key) => keyText(key, keyOf(tables, table.table))).join(' · ')}${more}`,
      );
    };
    keys('to insert', table.insert, table.inserted);
    keys('to delete', table.delete, table.deleted);
  }
  if (plan.conflicts.length > 0) parts.push('conflicts:', conflictsText(plan, tables));
  for (const stop of plan.stops) parts.push(colours.yellow(`a run would stop: ${stop}`));
  return parts.join('\n');
}

function verdictsText(planned: PlannedTable): string {
  const table = new Table({
    head: ['columns', 'agreed', 'take source', 'keep live', 'conflict', 'of these settled'],
    colAligns: ['left', ...Array<'right'>(5).fill('right')],
    style: { head: [], border: [], compact: true },
  });
  for (const { columns, agreed, takeSource, keepLive, conflict, settled } of planned.verdicts)
    table.push([columns.join(', '), ...[agreed, takeSource, keepLive, conflict, settled].map(count)]);
  return table.toString();
}

function conflictsText(plan: Plan, tables: TableConfig[]): string {
  const table = new Table({
    head: ['table', 'key', 'kind', 'columns', 'base', 'source', 'live'],
    style: { head: [], border: [], compact: true },
  });
  for (const { key, kind, columns, base, source, live, ...conflict } of plan.conflicts) {
    const shown = kind === 'field' ? columns : undefined;
    const names = kind === 'field' ? columns.join('\n') : '(row)';
    table.push([
      ...[conflict.table, keyText(key, keyOf(tables, conflict.table)), kind, names],
      ...[base, source, live].map((values) => valuesText(values, shown)),
    ]);
  }
  return table.toString();
}
