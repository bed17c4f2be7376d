// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the texts are source code of the product
import type { Fault, FaultKind, Plan, Step } from './plan.js';

/**
 * Bugs that others had, and those that the engines invite, planted in a copy of the product one at a time: the
 * torture must find each within a bounded number of runs.
 */
export interface Mutant {
  /** what is wrong then */
  name: string;
  edits: { file: string; find: string; replace: string }[];
  /** runs that are worth trying: with such a fault, or such a command; absent: any */
  focus?: { kinds?: FaultKind[]; activities?: string[]; command?: Step['command'] };
  /** a bug that shows at one moment only: runs that strike there, instead of random ones. A sound product passes them. */
  plans?: Plan[];
}

/** A first publish, struck where it is said. */
const publish = (seed: number, ...faults: (Pick<Fault, 'kind' | 'at'> & Partial<Fault>)[]): Plan => ({
  seed,
  steps: [
    {
      command: 'publish',
      faults: faults.map((fault) => ({ commits: 0, billing: 0, points: 0, ...fault })),
      billing: 1,
    },
  ],
});
/** Seeds of campaigns that read from a database snapshot, and in one transaction. */
const [BY_CHUNKS, IN_TRANSACTION] = [10, 30];
/** A worker that is stopped sleeps until the command is over. */
const NEVER = Number.MAX_SAFE_INTEGER;

const UNDO = 'activities/undo.ts';
const CUT_OVER = 'activities/drain-and-swap.ts';
const SYNC = 'workflows/sync.ts';
const CAPTURE = 'src/sql/capture.ts';

export const MUTANTS: Mutant[] = [
  {
    name: 'a checkpoint is ahead of what was applied: the replay marks every logged edit, also those that came meanwhile',
    edits: [
      {
        file: CAPTURE,
        find: 'SET _ss_applied = ${LOG_STATES.merged} WHERE _ss_applied = ${LOG_STATES[edits]}',
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
        find: "return [of('old'), of('new')];",
        replace: "return [sql`${of('old')} AND ${at(table, 'g', '_ss_operation')} = 'D'`, of('new')];",
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
        find: 'await replayPending(session, spec, pending)',
        replace: 'await replayPending(session, spec, [])',
      },
    ],
  },
  {
    name: 'no barrier: a snapshot from before the swap reads an empty table',
    edits: [
      {
        file: 'activities/barrier.ts',
        find: '  const slow: TableSpec[] = [];\n  for (const table of spec.tables) {',
        replace: '  const slow: TableSpec[] = [];\n  for (const table of spec.tables.slice(0, 0)) {',
      },
    ],
    focus: { kinds: ['longReader'] },
  },
  {
    name: 'a migration of live is lost: its definition is not compared under the lock',
    edits: [
      {
        file: CUT_OVER,
        find: 'if (live?.fingerprint !== table.fingerprint) throw liveChanged',
        replace: 'if (live === undefined) throw liveChanged',
      },
    ],
    focus: { kinds: ['migration'], command: 'publish' },
  },
  {
    name: 'a failed swap that was none: what takes back does not ask the tables, and drops what was published',
    edits: [{ file: UNDO, find: '    if (await isSwapped(session, spec)) return false;\n', replace: '' }],
    // an aborted activity that comes to its end looks at the tables itself: here its worker dies between swap and unlock
    plans: [
      publish(
        BY_CHUNKS,
        { kind: 'abort', at: { activity: 'cutOver', statement: 'RENAME TABLE', side: 'after', nth: 1 } },
        { kind: 'kill', at: { activity: 'cutOver', statement: 'UNLOCK TABLES', side: 'before', nth: 1 } },
      ),
    ],
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
    // an aborted prepare mostly comes to its end all the same: here it does not, or fails half-way
    plans: [
      publish(
        BY_CHUNKS,
        { kind: 'abort', at: { activity: 'prepare', statement: 'CREATE TABLE', side: 'after', nth: 3 } },
        { kind: 'kill', at: { activity: 'prepare', statement: 'CREATE TABLE', side: 'before', nth: 4 } },
      ),
      publish(BY_CHUNKS, {
        kind: 'diskFull',
        at: { activity: 'prepare', statement: 'CREATE TABLE', side: 'before', nth: 5 },
        points: 6,
      }),
    ],
  },
  {
    name: 'an abort drops the log, and leaves the triggers that write to it',
    edits: [
      {
        file: UNDO,
        find: '    await dropOwnTriggers(dependencies, session, spec, table.live, (name) => names.includes(name));\n',
        replace: '',
      },
    ],
    focus: {
      kinds: ['abort', 'cancel', 'truncatedSource'],
      activities: ['capture', 'reconcile', 'settle', 'replay'],
    },
  },
  {
    // rows that are loaded twice from one moment are the same: what two transactions alone do nobody would ever see
    name: 'a chunk and its place in the ledger are two transactions, the place first, and the sum of the chunks is not proved',
    edits: [
      {
        file: 'activities/load.ts',
        find: 'await session.transaction(() => loadOnce(session, spec, table, what, on));',
        replace: 'await loadOnce(session, spec, table, what, on);',
      },
      {
        file: 'activities/ingest.ts',
        find: 'return Number(ledger[0]?.done) === 1 ? undefined : seq; // another attempt of this activity may have been first\n',
        replace:
          'if (Number(ledger[0]?.done) === 1) return undefined;\n      await session.run(sql`UPDATE ${id(control.chunk)} SET done = 1, row_count = 0, checksum_sum = 0 WHERE ${of}`);\n      return seq;\n',
      },
      {
        file: 'activities/ingest.ts',
        find: 'if (counted === rows) return;',
        replace: 'if (counted >= rows) return;',
      },
    ],
    plans: (['kill', 'mysqlKill'] as const).map((kind) =>
      publish(BY_CHUNKS, {
        kind,
        at: { activity: 'ingestChunks', statement: 'LOAD DATA', side: 'before', nth: 3 },
      }),
    ),
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
    // billing goes on when customers were read and proved whole, and before their invoices are read
    plans: [6, 8].map((nth) =>
      publish(IN_TRANSACTION, {
        kind: 'linger',
        at: { activity: 'ingestTransaction', statement: 'COMMIT', side: 'after', nth },
        billing: 6,
      }),
    ),
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
    // with a chunk's place in the ledger locked: the run must not wait for a worker that may never wake up
    plans: [
      publish(IN_TRANSACTION, {
        kind: 'stop',
        at: { activity: 'ingestTransaction', statement: 'LOAD DATA', side: 'after', nth: 1 },
        points: NEVER,
      }),
    ],
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
