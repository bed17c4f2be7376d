import Table from 'cli-table3';
import { type Command, Option } from 'commander';

import { loadConfig, type TableConfig } from '../config/load.js';
import { EXIT, type ExitCode } from '../model/exit-code.js';
import type { Side } from '../model/spec.js';
import type { Session } from '../mysql/connection.js';
import {
  type Conflict,
  countPending,
  keyOfConflicts,
  notSettleable,
  readConflicts,
  settle,
} from '../mysql/settlements.js';
import { CONFLICT_COLUMNS, type ConflictFilter } from '../sql/settlements.js';
import { colours } from './colours.js';
import { configOption, jsonOption } from './config-option.js';
import { confirm } from './confirm.js';
import { CommandError } from './failure.js';
import { positiveInteger } from './history.js';
import { operator } from './operator.js';
import { print, printJson } from './output.js';
import { onTarget } from './pipeline-store.js';
import { count, many } from './report-text.js';
import { columnNamed, keyOf, rowKey, tableNamed } from './row-key.js';
import { keyText, valuesText } from './values-text.js';

const HELP = `
A settlement is bound to the values that are shown, and void if either side changes before it is carried out: by the run
that works now, if that is before its cut-over, else by the next. What each side means, by kind:
  field            its value
  sameKey          its row; from then on the row merges by field
  unique           its row: settle the rows that collide so that their values differ; what would collide again waits
  check            its row; what would break a CHECK constraint of live again waits
  deletedInLive    source brings the row back, live leaves it deleted
  deletedAtSource  source deletes the row when no other row refers to it any more, live keeps it
  parent           likewise
Orphans and bad values are not settled: they go away with their cause.

Examples:
  stageswap conflicts --config stageswap.yaml
  stageswap conflicts --config stageswap.yaml --table customer --key 17
  stageswap conflicts 41 42 --config stageswap.yaml --settle source
  stageswap conflicts --config stageswap.yaml --column email --where "live->>'$.email' LIKE '%@example.com'" --settle live --yes

--key is written as live has it: bytes as hexadecimal, a TIMESTAMP in UTC.
--where sees ${CONFLICT_COLUMNS}; key, base, source and live are JSON objects by column.`;

interface Options {
  config: string;
  table?: string;
  key?: string;
  column?: string;
  kind?: string;
  where?: string;
  all: boolean;
  limit: number;
  settle?: Side;
  withdraw: boolean;
  yes: boolean;
  json: boolean;
}

export function addConflicts(program: Command, end: (code: ExitCode) => void): void {
  program
    .command('conflicts')
    .description('what billing and a client both changed: list it, settle it')
    .argument('[id...]', 'of single conflicts, as listed')
    .addOption(configOption())
    .option('--table <name>', 'of this live table')
    .option('--key <key>', 'of this row; needs --table')
    .option(
      '--column <name>',
      'field conflicts of this column; whole rows are named by --kind, --key or number',
    )
    .option(
      '--kind <kind>',
      'of this kind: field, sameKey, deletedInLive, deletedAtSource, parent, orphan, unique, check, badValue',
    )
    .option('--where <condition>', 'that fulfil an SQL condition')
    .option('--all', 'closed ones, too', false)
    .option('--limit <rows>', 'how many are shown', positiveInteger, 50)
    .addOption(new Option('--settle <side>', 'settle them: this side is right').choices(['source', 'live']))
    .addOption(
      new Option('--withdraw', 'take back what was said, where no run has carried it out')
        .conflicts('settle')
        .default(false),
    )
    .option('--yes', 'settle several without being asked', false)
    .addOption(jsonOption())
    .addHelpText('after', HELP)
    .action(async (ids: string[], options: Options, command: Command) => {
      const { pipeline, target, tables } = loadConfig(options.config);
      if (command.getOptionValueSource('limit') === 'cli' && (options.settle || options.withdraw))
        throw new CommandError(
          EXIT.usage,
          '--limit says how many are shown: what is settled or withdrawn is all that are named',
          'name fewer: by number, --key or --where',
        );
      const filter = filterOf(ids, options, tables);
      await onTarget({ target }, async (session) => {
        if (filter.table !== undefined && filter.key !== undefined)
          filter.key = await keyOfConflicts(session, pipeline, filter.table, filter.key.values);
        const found = await readConflicts(session, pipeline, filter, options.limit);
        if (options.settle === undefined && !options.withdraw) {
          const pending = await countPending(session, pipeline);
          if (options.json) printJson({ pipeline, ...found, settlementsPending: pending });
          else print(listText(pipeline, tables, filter, found, pending));
        } else await decide(session, pipeline, filter, found.count, options);
      });
      end(EXIT.done);
    });
}

/** Settles what fits, or takes back what was said of it. @throws {CommandError} there is nothing that could be */
async function decide(
  session: Session,
  pipeline: string,
  filter: ConflictFilter,
  found: number,
  { settle: side, ...options }: Options,
): Promise<void> {
  if (found === 0)
    throw new CommandError(EXIT.refused, 'no such conflict is open', '`stageswap conflicts` lists them');
  const what = side === undefined ? 'withdraw' : `settle as ${side}`;
  if (found > 1) await confirm(`${what}: ${many(found, 'conflict')}`, options);
  const settled = await settle(session, pipeline, filter, { side, by: operator() });
  if (side === undefined) {
    if (options.json) printJson({ pipeline, found, withdrawn: settled });
    else print(`${many(settled, 'settlement')} withdrawn`);
    return;
  }
  const notSettled = await notSettleable(session, pipeline, filter);
  if (settled === 0 && notSettled.length > 0)
    throw new CommandError(
      EXIT.refused,
      `nothing to settle: ${notSettled.map(({ kind, count: n }) => `${count(n)} of kind ${kind}`).join(', ')}`,
      notSettled.map(({ instead }) => instead).join('; '),
    );
  if (options.json) printJson({ pipeline, found, settled, notSettled });
  else
    print(
      [
        `${count(settled)} of ${many(found, 'conflict')} settled as ${side}; the next run carries that out, or the one that works now`,
        ...notSettled.map(({ kind, count: n, instead }) => `${count(n)} of kind ${kind} not: ${instead}`),
      ].join('\n'),
    );
}

function filterOf(ids: string[], options: Options, tables: TableConfig[]): ConflictFilter {
  const { table, key, column, kind, where, all } = options;
  const wrong = ids.find((text) => !/^\d+$/.test(text));
  if (wrong !== undefined)
    throw new CommandError(EXIT.usage, `${wrong} is no conflict's number`, 'give the numbers as listed');
  if (key !== undefined && table === undefined)
    throw new CommandError(EXIT.usage, '--key needs --table', 'name the table, too');
  const filter: ConflictFilter = { all };
  if (ids.length > 0) filter.ids = ids;
  if (table !== undefined) {
    const known = tableNamed(tables, table);
    filter.table = table;
    if (key !== undefined) {
      const values = rowKey(known, key);
      const byColumn = Object.fromEntries(known.key.map((name, index) => [name, values[index] ?? '']));
      filter.key = { values: byColumn };
    }
  }
  if (column !== undefined) {
    columnNamed(tables, table, column);
    filter.column = column;
  }
  if (kind !== undefined) filter.kind = kind;
  if (where !== undefined) filter.where = where;
  return filter;
}

function listText(
  pipeline: string,
  tables: TableConfig[],
  filter: ConflictFilter,
  found: { count: number; conflicts: Conflict[] },
  pending: number,
): string {
  const lines = found.count === 0 ? [noneText(pipeline, filter)] : [conflictsTable(found.conflicts, tables)];
  if (found.count > found.conflicts.length)
    lines.push(`${count(found.count - found.conflicts.length)} more: narrow it down, or raise --limit`);
  if (pending > 0) lines.push(`${count(pending)} settlements wait for a run`);
  return lines.join('\n');
}

function noneText(pipeline: string, { all, ...narrowed }: ConflictFilter): string {
  if (Object.keys(narrowed).length > 0) return `${pipeline} has no such conflict`;
  return all ? `${pipeline} has never had a conflict that is kept` : `${pipeline} has no open conflict`;
}

function conflictsTable(conflicts: Conflict[], tables: TableConfig[]): string {
  const table = new Table({
    head: ['#', 'table', 'key', 'kind', 'columns', 'base', 'source', 'live', 'state'],
    style: { head: [], border: [], compact: true },
  });
  for (const conflict of conflicts) {
    const { id, kind, columns } = conflict;
    const shown = kind === 'field' ? columns : undefined;
    table.push([
      id,
      conflict.table,
      keyText(conflict.key, keyOf(tables, conflict.table)),
      kind,
      kind === 'field' ? columns.join('\n') : '(row)',
      valuesText(conflict.base, shown),
      valuesText(conflict.source, shown),
      valuesText(conflict.live, shown),
      stateText(conflict),
    ]);
  }
  return table.toString();
}

function stateText({ state, settledAs, closedIn }: Conflict): string {
  if (state === 'open')
    return settledAs ? colours.green(`${settledAs} at the next run`) : colours.yellow('open');
  return closedIn === null ? state : `${state} by run ${closedIn}`;
}
