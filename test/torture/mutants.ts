// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the texts are source code of the product
import type { FaultKind, Step } from './plan.js';

/**
 * Bugs that others had, and those that TRAPS of the engines invite, planted in a copy of the product one at a time: the
 * torture must find each within a bounded number of runs.
 */
export interface Mutant {
  /** what is wrong then */
  name: string;
  edits: { file: string; find: string; replace: string }[];
  /** runs that are worth trying: with such a fault, or such a command; absent: any */
  focus?: { kinds?: FaultKind[]; activities?: string[]; command?: Step['command'] };
}

const TABLES = 'activities/tables.ts';
const CUT_OVER = 'activities/cut-over.ts';
const SYNC = 'workflows/sync.ts';
const CAPTURE = 'src/sql/capture.ts';

export const MUTANTS: Mutant[] = [
  {
    name: 'a checkpoint is ahead of what was applied: the replay marks every logged edit, also those that came meanwhile',
    edits: [
      {
        file: CAPTURE,
        find: 'SET _ss_applied = 1 WHERE _ss_applied = ${TAKEN}',
        replace: 'SET _ss_applied = 1 WHERE _ss_applied <> 1',
      },
    ],
  },
  {
    name: 'capture begins when live was read already',
    edits: [
      {
        file: SYNC,
        find: "  await state.phase('capture', () => capture(state));\n  await state.phase('reconcile', () => reconcile(state));\n  await state.phase('verify', async",
        replace:
          "  await state.phase('reconcile', () => reconcile(state));\n  await state.phase('capture', () => capture(state));\n  await state.phase('verify', async",
      },
    ],
  },
  {
    name: 'a key change is replayed by its new key alone',
    edits: [
      {
        file: CAPTURE,
        find: "return [from('old'), from('new')];",
        replace: "return [sql`${from('old')} AND ${at(table, 'g', '_ss_operation')} = 'D'`, from('new')];",
      },
    ],
  },
  {
    name: 'deletes are not captured, nor the first half of REPLACE',
    edits: [{ file: CAPTURE, find: "into('D', ['old'], raw('NULL'))", replace: "raw('DO 0;')" }],
  },
  {
    name: 'the log is not drained under the lock: edits come after the last replay and before the swap',
    edits: [
      {
        file: CUT_OVER,
        find: "await replayGroup(session, spec, () => 'all')",
        replace: 'await replayGroup(session, spec, () => [])',
      },
    ],
  },
  {
    name: 'no barrier: a snapshot from before the swap reads an empty table',
    edits: [
      {
        file: CUT_OVER,
        find: 'async function raiseBarrier(session: Session, spec: RunSpec): Promise<void> {\n  for (const table of spec.tables) {',
        replace:
          'async function raiseBarrier(session: Session, spec: RunSpec): Promise<void> {\n  for (const table of spec.tables.slice(0, 0)) {',
      },
    ],
    focus: { kinds: ['longReader'] },
  },
  {
    name: 'a migration of live is lost: its definition is not compared under the lock',
    edits: [
      {
        file: CUT_OVER,
        find: '    if (live?.fingerprint !== table.fingerprint)\n      throw',
        replace: '    if (live === undefined)\n      throw',
      },
    ],
    focus: { kinds: ['migration'], command: 'publish' },
  },
  {
    name: 'a failed swap that was none: what takes back does not ask the tables, and drops what was published',
    edits: [{ file: TABLES, find: '    if (await isSwapped(session, spec)) return false;\n', replace: '' }],
    focus: { kinds: ['abort', 'cancel'], activities: ['cutOver', 'finalSync'] },
  },
  {
    name: 'compensation is registered after the step that it undoes',
    edits: [
      {
        file: SYNC,
        find: "  await state.phase('prepare', () => step('make stage, base and log').prepare(state.run));",
        replace:
          "  await state.phase('prepare', () => step('make stage, base and log').prepare(state.run));\n  undo('run', () => takeBack(state));",
      },
      {
        file: SYNC,
        find: "    undo('run', () => takeBack(state));\n    while (!state.swapped) {",
        replace: '    while (!state.swapped) {',
      },
    ],
    focus: { kinds: ['abort', 'cancel'], activities: ['prepare'] },
  },
  {
    name: 'an abort drops the log, and leaves the triggers that write to it',
    edits: [
      {
        file: TABLES,
        find: '    await dropTriggers(dependencies, session, spec, table.live, (name) => names.includes(name));\n',
        replace: '',
      },
    ],
    focus: {
      kinds: ['abort', 'cancel', 'truncatedSource'],
      activities: ['capture', 'reconcile', 'settle', 'replay'],
    },
  },
  {
    name: 'a chunk and its place in the ledger are two transactions',
    edits: [
      {
        file: 'activities/ingest.ts',
        find: 'await session.transaction(() => loadChunkOnce(session, reader, spec, table, chunk, attempt));',
        replace: 'await loadChunkOnce(session, reader, spec, table, chunk, attempt);',
      },
    ],
    focus: { kinds: ['kill', 'reset', 'cut', 'mysqlKill'], activities: ['ingestChunks'] },
  },
  {
    name: 'tables of the source are read as of different moments',
    edits: [
      {
        file: 'src/sql-server/moment.ts',
        find: 'mssql.ISOLATION_LEVEL.SNAPSHOT',
        replace: 'mssql.ISOLATION_LEVEL.READ_COMMITTED',
      },
    ],
    focus: { activities: ['ingestTransaction'] },
  },
  {
    name: 'an edit that is handed in twice is applied twice',
    edits: [
      {
        file: 'src/mysql/edits.ts',
        find: 'if (errorNumber(error) !== DUPLICATE_ENTRY) throw error;',
        replace: 'if (errorNumber(error) === DUPLICATE_ENTRY) return undefined;',
      },
    ],
  },
  {
    name: 'microseconds are lost',
    edits: [
      {
        file: 'src/model/moments.ts',
        find: 'const delta = value.nanosecondsDelta;',
        replace: 'const delta = 0;',
      },
    ],
  },
  {
    name: 'decimals pass through JavaScript numbers',
    edits: [
      {
        file: 'src/model/pairs.ts',
        find: 'source.precision <= 15 ? native : asDecimalText',
        replace: 'native',
      },
    ],
  },
  {
    name: 'rows that are held back get a base, and are taken for deleted by the application afterwards',
    edits: [
      {
        file: 'src/sql/base.ts',
        find: "STRAIGHT_JOIN ${base} AS ${as(table, 'i')} ON ${sameKey(table, 'i', 'h')}`,",
        replace:
          "STRAIGHT_JOIN ${base} AS ${as(table, 'i')} ON ${sameKey(table, 'i', 'h')} WHERE ${at(table, 'h', '_ss_keeps_base')} = 1`,",
      },
    ],
    focus: { command: 'publish' },
  },
  {
    name: 'a worker that froze is not shut out: the next attempt waits for what it has locked',
    edits: [
      {
        file: 'src/mysql/attempts.ts',
        find: '    if (holders.length === 0) return;',
        replace: '    if (holders.length >= 0) return;',
      },
    ],
    focus: { kinds: ['stop'], activities: ['replay', 'reconcile', 'settle', 'ingestChunks'] },
  },
  {
    name: 'repair takes what was swapped for a run that was not',
    edits: [
      {
        file: 'activities/repair.ts',
        find: '      if (!run.swapped) {\n        await takeBackTables',
        replace: '      if (run.generation > 0) {\n        await takeBackTables',
      },
    ],
    focus: { kinds: ['terminate'], activities: ['cutOver', 'finalSync', 'closeConflicts', 'cleanup', 'end'] },
  },
  {
    name: 'a rollback takes back what clients changed since',
    edits: [
      {
        file: 'src/sql/merge.ts',
        find: "= 1 AND ${sameUnit(table, unit, 'l', 'a')} THEN ${incoming} ELSE ${live} END`;",
        replace: "= 1 OR ${sameUnit(table, unit, 'l', 'a')} THEN ${incoming} ELSE ${live} END`;",
      },
    ],
    focus: { command: 'rollback' },
  },
  {
    name: 'cleanup drops the backup that the rollback needs',
    edits: [{ file: 'src/model/lineage.ts', find: '    kept.add(`${generation}o`);\n', replace: '' }],
  },
  {
    name: 'resume brings deleted rows back: a row that the application deleted is inserted again',
    edits: [
      {
        file: 'src/sql/merge.ts',
        find: "if (!shape.ancestor || table.onLiveDelete === 'restore') return raw('TRUE');",
        replace: "return raw('TRUE');",
      },
    ],
    focus: { command: 'publish' },
  },
];
