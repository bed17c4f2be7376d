import { setTimeout as sleep } from 'node:timers/promises';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { type Conflict, inOrder, type Row } from '../merge/oracle.js';
import type { Billing } from './billing.js';
import type { Clients } from './clients.js';
import type { Happened } from './faults.js';
import type { HandedInEdits } from './handed-in.js';
import { historyKey, type Ledger, type Swap } from './ledger.js';
import type { Readers } from './readers.js';
import { type Shape, tablesOf } from './shape.js';
import { readConflicts, readDefinitions, readLeftovers, readRows } from './state.js';

/**
 * The checker: what must hold after every command (ARCHITECTURE "The proof of a run"). It reads MySQL by plain SQL and the
 * binary log, and shares no code with what it checks.
 */

export interface Violation {
  seed: number;
  invariant: string;
  text: string;
  /** what happened to the row, where it is one of a row */
  history: string[];
  rerun: string;
}

/** The longest that a client may have to wait where no fault holds a lock; several servers share the machine. */
const STALL_MS_MAX = 5_000;
/** After a fault its locks live on for so long: MySQL ends a session that holds them and says nothing. */
const AFTER_A_FAULT_MS = 10_000;
const DIFFERENCES_MAX = 8;

/** How a command ended. */
export interface Ended {
  outcome: 'published' | 'rolledBack' | 'aborted' | 'failed' | 'repaired' | 'never';
  type?: string;
  message?: string;
  /** of a repair */
  found?: string[];
  left?: string[];
}

export interface Checked {
  connection: Connection;
  shape: Shape;
  ledger: Ledger;
  billing: Billing;
  clients: Clients;
  readers: Readers;
  edits: HandedInEdits;
  happened: Happened[];
  ended: Ended;
  command: 'publish' | 'rollback';
  /** swaps that this command brought about */
  swaps: Swap[];
  /** billing's meter when it began */
  meterBefore: number;
  meterAfter: number;
  definitionsBefore: Record<string, string>;
  violation: (invariant: string, text: string, history?: string[]) => void;
}

export async function check(checked: Checked): Promise<void> {
  ended(checked);
  acknowledged(checked);
  await live(checked);
  if (checked.command === 'publish') await arrived(checked);
  seen(checked);
  await leftovers(checked);
}

/** I8: a command ends, and by a failure only where a fault asks for it; and the tables say what its report says. */
function ended(checked: Checked): void {
  const { swaps, happened, command, shape, violation } = checked;
  const { outcome, type, message } = checked.ended;
  const because = `${outcome} ${type ?? ''}: ${message ?? ''}`;
  if (outcome === 'never') {
    violation('I8', 'the command did not end');
    return;
  }
  if (swaps.length > 1) violation('I8', `one command swapped ${swaps.length} times`);
  // what repair has finished or taken back the tables tell, and the rest of the checks
  if (outcome === 'repaired') return;
  const swapped = swaps.length > 0;
  const says = outcome === 'published' || outcome === 'rolledBack';
  if (swapped !== says)
    violation('I8', `the report says ${because}, and the tables were ${swapped ? '' : 'not '}swapped`);
  if (says && (outcome === 'published') !== (command === 'publish'))
    violation('I8', `a ${command} ended as ${outcome}`);
  if (says) return;
  // what holds a run up, a slow machine above all, makes what it has read too old
  if (type === 'SourceTooOld' && shape.sourceAgeSecondsMax !== undefined) return;
  if (!excuses(happened).has(outcome === 'aborted' ? 'Aborted' : (type ?? '')))
    violation('I8', `nothing that was done explains that it ended as ${because}`);
}

/** Failures that what happened explains. */
function excuses(happened: Happened[]): Set<string> {
  const types = new Set<string>();
  for (const { kind, activity } of happened) {
    if (kind === 'abort' || kind === 'cancel') types.add('Aborted');
    if (kind === 'migration') types.add('LiveChanged');
    if (kind === 'truncatedSource') for (const type of ['GuardTripped', 'Aborted']) types.add(type);
    if (kind === 'diskFull') types.add('Unexpected');
    // before anything is touched a run does not wait for engines for long
    if (activity === 'begin' || activity === 'beginRollback')
      if (kind === 'mysqlKill' || kind === 'sourceCut') types.add('Unreachable');
  }
  return types;
}

/** I1: what was acknowledged is committed, once; what was refused is not. Then it is among what the ledger knows. */
function acknowledged({ clients, edits, ledger, violation }: Checked): void {
  for (const [number, { outcome, changed, operation, error }] of clients.outcomes) {
    const times = ledger.committed.get(number) ?? 0;
    if (outcome === 'done' && changed > 0 && times === 0)
      violation(
        'I1',
        `op ${number} was acknowledged and is not in the binary log: ${JSON.stringify(operation)}`,
      );
    if (outcome === 'failed' && times > 0)
      violation(
        'I1',
        `op ${number} failed, ${error ?? 'as its transaction'}, and is in the binary log: ${ledger.commitOf.get(number)}`,
      );
  }
  for (const [token, told] of edits.told) {
    const times = ledger.committed.get(token) ?? 0;
    if (times > 1) violation('I1', `the edit ${token} was written ${times} times`);
    if (told === 'committed' && times === 0)
      violation('I1', `the edit ${token} was acknowledged and never written`);
    if (told === 'refused' && times > 0) violation('I1', `the edit ${token} was refused, and written`);
  }
  for (const strange of ledger.strange.splice(0)) violation('I3', strange);
}

/** I1, I2, I3: live is what the ledger says, byte for byte, and nothing more. */
async function live(checked: Checked): Promise<void> {
  const { connection, shape, ledger, violation } = checked;
  let count = 0;
  const differs = (invariant: string, text: string, table: 'customer' | 'invoice' | 'line', row: Row) => {
    count += 1;
    if (count <= DIFFERENCES_MAX)
      violation(invariant, text, ledger.history(table, historyKey(shape, table, row)));
  };
  for (const table of tablesOf(shape)) {
    const { name } = table;
    let found: Map<string, Row>;
    try {
      found = await readRows(connection, shape, name);
    } catch (error) {
      violation('I3', `${name} cannot be read: ${(error as Error).message}`);
      continue;
    }
    for (const [key, row] of ledger.live[name]) {
      const is = found.get(key);
      if (!is) {
        differs(sideOf(row), `${name} ${key} is missing; it should be ${JSON.stringify(row)}`, name, row);
        continue;
      }
      for (const [column, value] of Object.entries(row))
        if (is[column] !== value)
          differs(
            sideOf({ [column]: value }),
            `${name} ${key}: ${column} is ${JSON.stringify(is[column])} and should be ${JSON.stringify(value)}`,
            name,
            row,
          );
    }
    for (const [key, row] of found)
      if (!ledger.live[name].has(key))
        differs('I3', `${name} ${key} should not be there: ${JSON.stringify(row)}`, name, row);
  }
  if (count > DIFFERENCES_MAX) violation('I3', `${count} differences in all`);
}

/** Whose value is missing: a client's (I1), or billing's (I2). */
function sideOf(row: Row): string {
  return Object.values(row).some((value) => value !== null && /^[ch]\d+\.\d+\.\d+$/.test(value))
    ? 'I1'
    : 'I2';
}

/** I2: what billing said before the run began has arrived, and conflicts were reported as they are. */
async function arrived(checked: Checked): Promise<void> {
  const { connection, shape, swaps, meterBefore, meterAfter, billing, violation } = checked;
  const [swap] = swaps;
  if (!swap) return;
  if (meterAfter < meterBefore)
    violation(
      'I2',
      `published what billing said at ${meterAfter}; when the run began it was at ${meterBefore}`,
    );
  // nobody can know of a first publish that it lacks something
  if (swap.from > 0 && billing.versions[meterAfter - 1]?.broken)
    violation('I2', 'a broken export was published without anybody having been asked');
  const sorted = (row: Row | null) => row && Object.fromEntries(Object.entries(row).sort());
  const key = ({ base, source, live: l, ...rest }: Conflict) =>
    JSON.stringify({ ...rest, base: sorted(base), source: sorted(source), live: sorted(l) });
  const found = inOrder(await readConflicts(connection, shape, swap.generation)).map(key);
  const wanted = inOrder(swap.conflicts).map(key);
  for (const conflict of wanted.filter((one) => !found.includes(one)).slice(0, DIFFERENCES_MAX))
    violation('I2', `a conflict was not reported: ${conflict}`, historyOf(checked, conflict));
  for (const conflict of found.filter((one) => !wanted.includes(one)).slice(0, DIFFERENCES_MAX))
    violation('I2', `a conflict was reported that is none: ${conflict}`, historyOf(checked, conflict));
}

function historyOf({ ledger }: Checked, conflict: string): string[] {
  const { table, key } = JSON.parse(conflict) as { table: 'customer' | 'invoice' | 'line'; key: string };
  return ledger.history(table, key);
}

/** I4, I5, I7: what readers and clients saw, and how long they waited. */
function seen({ readers, clients, edits, happened, violation }: Checked): void {
  for (const text of [...new Set(readers.wrong.splice(0))].slice(0, DIFFERENCES_MAX)) violation('I4', text);
  for (const text of new Set(readers.surprises.splice(0))) violation('I5', `a reader got: ${text}`);
  for (const text of new Set(clients.surprises.splice(0))) violation('I5', `a client got: ${text}`);
  for (const text of new Set(edits.surprises.splice(0))) violation('I1', text);
  for (const { ms, at } of clients.stalls.splice(0)) {
    const excused = happened.some(({ from, to }) => at > from && at - ms < to + AFTER_A_FAULT_MS);
    if (ms > STALL_MS_MAX && !excused) violation('I7', `a client's transaction took ${Math.round(ms)} ms`);
  }
}

const FREE_WITHIN_MS = 20_000;

async function snapshotsOf({ pool, database }: Billing): Promise<string[]> {
  const { recordset } = await pool.request().query('SELECT name FROM sys.databases');
  return (recordset as { name: string }[])
    .map(({ name }) => name)
    .filter((name) => name.startsWith(`${database}_stageswap_`));
}

/** Also for the seeds that follow on the same engines: each answers for its own. */
async function dropWhenFree({ pool }: Billing, name: string): Promise<boolean> {
  for (const until = Date.now() + FREE_WITHIN_MS; Date.now() < until; await sleep(500)) {
    const dropped = await pool
      .request()
      .batch(`DROP DATABASE [${name}]`)
      .then(
        () => true,
        () => false,
      );
    if (dropped) return true;
  }
  return false;
}

/** I6: nothing is left of what a run made but what the rollback needs; where nothing was swapped, live is defined as it was. */
async function leftovers(checked: Checked): Promise<void> {
  const { connection, ledger, billing, swaps, shape, definitionsBefore, happened, violation } = checked;
  for (const left of await readLeftovers(connection, ledger)) violation('I6', `left behind: ${left}`);
  for (const name of await snapshotsOf(billing)) {
    // A worker that stood still reads it until it wakes up: until then nobody can drop it. The next run does.
    if (!happened.some(({ kind }) => kind === 'stop'))
      violation('I6', `left behind: the database snapshot ${name}`);
    if (!(await dropWhenFree(billing, name)))
      violation('I6', `the database snapshot ${name} is still in use when every worker is awake`);
  }
  if (!happened.some(({ kind }) => kind === 'migration')) {
    const now = await readDefinitions(connection, shape);
    for (const [name, was] of Object.entries(definitionsBefore))
      if (now[name] !== was)
        violation('I6', `${name} is defined otherwise than before: ${now[name]}\ninstead of ${was}`);
  }
  const [open] = await connection.query<RowDataPacket[]>(
    'SELECT generation FROM _stageswap_run WHERE outcome IS NULL',
  );
  for (const { generation } of open as { generation: number }[])
    violation(
      'I8',
      `run ${generation} has no outcome in its record${swaps.length > 0 ? ' although it swapped' : ''}`,
    );
}
