import Table from 'cli-table3';
import type { Command } from 'commander';
import { parseMssqlAddress } from '../config/address.js';
import { type Config, loadConfig } from '../config/load.js';
import { EXIT, type ExitCode } from '../model/exit-code.js';
import { isString } from '../model/live-type.js';
import { type NoBase, type RunSpec, type TableSpec, tableOf } from '../model/spec.js';
import { fieldVerdict, type RowTexts, type RowVerdict, rowVerdict, stillSays } from '../model/verdict.js';
import type { Session } from '../mysql/connection.js';
import {
  areOneKey,
  type KnownRow,
  type PendingSettlement,
  readKnownRow,
  spellingsOf,
} from '../mysql/explain.js';
import { decide } from '../preflight/decide.js';
import { freeze } from '../preflight/freeze.js';
import type { SourcePool } from '../sql-server/connection.js';
import { configOption, jsonOption } from './config-option.js';
import { CommandError } from './failure.js';
import { print, printJson } from './output.js';
import { onTarget } from './pipeline-store.js';
import { rowKey, tableNamed } from './row-key.js';
import { short } from './values-text.js';

const HELP = `
The key is written as live has it: bytes as hexadecimal, a TIMESTAMP in UTC; it is looked up at the source as the source has it.
base is what billing said when live was last published; source and live are read now. The verdict is what a run would reach now,
of this row alone: rules across the group (parents, orphans, unique values, CHECK constraints) are looked at by \`stageswap plan\`.

Examples:
  stageswap explain customer 17 --config stageswap.yaml
  stageswap explain invoice_line '[1044, 3]' --config stageswap.yaml`;

const ROW_VERDICTS: Record<RowVerdict, string> = {
  merge: 'both sides have the row: each field is decided on its own',
  insert: 'new at billing: the row is inserted',
  delete: 'gone at billing, and no client edited it: the row is deleted',
  keep: "the application's own row, or one that onSourceDelete keeps: it stays",
  staysDeleted: 'the application deleted it, and billing has not changed it since: it stays deleted',
  sameKey: 'both sides made this key: live stays, billing’s row is held back (conflict sameKey)',
  deletedAtSource: 'gone at billing, but a client edited it: it stays (conflict deletedAtSource)',
  deletedInLive:
    'the application deleted it, and billing changed it since: it stays deleted (conflict deletedInLive)',
  nowhere: 'neither side has such a row',
};

const NO_BASE: Record<NoBase, string> = {
  new: 'new to the mapping: by firstRun',
  otherType: 'its type changed: by firstRun',
  otherSource: 'its source changed: by firstRun',
  otherOwner: 'its owner changed: by firstRun',
};

interface ExplainedColumn {
  column: string;
  /** of a column that is not mapped: application */
  owner: string;
  base: string | null;
  source: string | null;
  live: string | null;
  verdict: string;
  /** why the base says nothing of it, so that firstRun decides; null: it does, or there is none */
  noBase: NoBase | null;
  /** of the run that decided last about this column */
  decidedIn: number | null;
}

interface Explained extends Omit<KnownRow, 'base' | 'live' | 'gaps'> {
  pipeline: string;
  table: string;
  key: Record<string, string | null>;
  row: RowVerdict | 'resync';
  in: { base: boolean; source: boolean; live: boolean };
  columns: ExplainedColumn[];
}

export function addExplain(program: Command, end: (code: ExitCode) => void): void {
  program
    .command('explain')
    .description('one row: base, source, live, owner and verdict of each column, and who decided')
    .argument('<table>', "live's name")
    .argument('<key>', 'of the row; an array in JSON where the key has several columns')
    .addOption(configOption())
    .addOption(jsonOption())
    .addHelpText('after', HELP)
    .action(async (table: string, key: string, options: { config: string; json: boolean }) => {
      const config = loadConfig(options.config);
      const explained = await explain(config, table, rowKey(tableNamed(config.tables, table), key));
      if (options.json) printJson(explained);
      else print(explainedText(explained));
      end(EXIT.done);
    });
}

async function explain(config: Config, live: string, key: string[]): Promise<Explained> {
  // loaded here only, as in check
  const { gatherFacts } = await import('../preflight/facts.js');
  const { withSource } = await import('../sql-server/connection.js');
  const facts = await gatherFacts(config);
  const { refusals } = decide(config, { ...facts, held: null });
  if (refusals.length > 0)
    throw new CommandError(
      EXIT.refused,
      refusals.map(({ where, what }) => `${where}: ${what}`).join('\n'),
      '`stageswap check` says how to cure each',
    );
  return onTarget(config, async (session) => {
    const spec = freeze(config, facts, { runId: '', generation: 0, fingerprints: {} });
    const table = tableOf(spec, live);
    const known = await readKnownRow(session, spec, table, key);
    const source = await withSource(parseMssqlAddress(config.source.url), (pool) =>
      rowOfSource(session, pool, table, key, known),
    );
    return explainRow(spec, table, key, known, source);
  });
}

/**
 * The source's row of a key of live, by its canonical texts; null: it has none. A row that is known is also looked for in other
 * spellings, which takes a scan of the source: its collation may tell apart what live's does not.
 */
async function rowOfSource(
  session: Session,
  pool: SourcePool,
  table: TableSpec,
  key: string[],
  known: KnownRow,
): Promise<RowTexts> {
  const { readRowsOfKey } = await import('../sql-server/read.js');
  const spelled = await spellingsOf(session, table, key, known);
  const isText = table.columns.some(({ live }) => table.key.includes(live.name) && isString(live));
  const isKnown = known.base !== null || known.live !== null;
  for (const spelling of isText && isKnown ? (['exact', 'loose'] as const) : (['exact'] as const)) {
    for (const texts of spelled) {
      for (const fields of await readRowsOfKey(pool, table, texts, spelling)) {
        const found = Object.fromEntries(
          table.columns.map((column, index) => [column.live.name, fields[index] ?? null]),
        );
        const itsKey = table.key.map((name) => found[name] ?? '');
        if (await areOneKey(session, table, itsKey, texts)) return found;
      }
    }
  }
  return null;
}

function explainRow(
  spec: RunSpec,
  table: TableSpec,
  key: string[],
  known: KnownRow,
  source: RowTexts,
): Explained {
  const { base, live, gaps, ...more } = known;
  const rows = { base, source, live };
  const holds = (settlement: PendingSettlement) =>
    settlement.kind === 'resync'
      ? source !== null
      : stillSays(settlement.source, source) && stillSays(settlement.live, live);
  const standing = known.settlements.filter(holds);
  const row = standing.some(({ kind }) => kind === 'resync') ? 'resync' : rowVerdict(spec, table, rows, gaps);
  const unitOf = new Map(table.units.flatMap((unit) => unit.columns.map((name) => [name, unit] as const)));
  const verdictOf = (name: string): string => {
    const unit = unitOf.get(name);
    if (!unit) return table.key.includes(name) ? 'key' : 'kept';
    // newest first: the last word stands
    const settled = standing.find(({ columns }) => columns.includes(name));
    if (settled) return `settled: ${settled.side}`;
    return row === 'merge' ? fieldVerdict(spec, table, unit, rows, gaps) : row;
  };
  const decidedIn = (name: string): number | null => {
    const conflict = known.conflicts.find(({ columns }) => columns.includes(name));
    return conflict ? (conflict.closedIn ?? conflict.generation) : (known.published?.generation ?? null);
  };
  const ownerOf = (name: string) =>
    unitOf.get(name)?.owner ?? (table.key.includes(name) ? 'key' : 'application');
  const names = [
    ...table.columns.map((column) => column.live.name),
    ...table.unmapped.map(({ name }) => name),
  ];
  const first = live ?? source ?? base;
  return {
    ...more,
    pipeline: spec.pipeline,
    table: table.live,
    key: Object.fromEntries(table.key.map((name, index) => [name, first?.[name] ?? key[index] ?? null])),
    row,
    in: { base: base !== null, source: source !== null, live: live !== null },
    columns: names.map((column) => ({
      column,
      owner: ownerOf(column),
      base: base?.[column] ?? null,
      source: source?.[column] ?? null,
      live: live?.[column] ?? null,
      verdict: verdictOf(column),
      noBase: table.columns.find(({ live }) => live.name === column)?.noBase ?? gaps[column] ?? null,
      decidedIn: ownerOf(column) === 'application' ? null : decidedIn(column),
    })),
  };
}

function explainedText(explained: Explained): string {
  const table = new Table({
    head: ['column', 'owner', 'base', 'source', 'live', 'verdict', 'decided by run'],
    style: { head: [], border: [], compact: true },
  });
  const cell = (there: boolean, value: string | null) => (there ? short(value) : '');
  for (const { column, owner, base, source, live, verdict, noBase, decidedIn } of explained.columns) {
    const mapped = owner !== 'application';
    table.push([
      column,
      owner,
      cell(explained.in.base && mapped, base),
      cell(explained.in.source && mapped, source),
      cell(explained.in.live, live),
      noBase ? `${verdict} (${NO_BASE[noBase]})` : verdict,
      decidedIn ?? '',
    ]);
  }
  const { row, published, conflicts, settlements } = explained;
  const key = Object.entries(explained.key).map(([name, value]) => `${name} = ${short(value)}`);
  const lines = [
    `${explained.table}, ${key.join(', ')}: ${row === 'resync' ? 'the whole row is taken from billing in the next run' : ROW_VERDICTS[row]}`,
    ...(row === 'nowhere' ? [] : [table.toString()]),
    published
      ? `last published by run ${published.generation} (${published.runId}), started ${published.startedAt.slice(0, 19)} UTC`
      : 'never published',
  ];
  for (const { id, kind, columns, state, generation } of conflicts)
    lines.push(
      `conflict ${id} (${kind}${kind === 'field' ? ` ${columns.join(', ')}` : ''}) of run ${generation}: ${state}`,
    );
  for (const { kind, columns, side, by, at } of settlements)
    lines.push(
      `${kind === 'field' ? columns.join(', ') : kind} settled as ${side} by ${by} at ${at.slice(0, 19)} UTC; waits for a run`,
    );
  return lines.join('\n');
}
