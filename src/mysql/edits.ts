import type { ClientEdit, EditOutcome } from '../model/messages.js';
import { control, isControlTable, isMadeByRun } from '../model/names.js';
import type { LiveColumn } from '../model/spec.js';
import { keyValue } from '../sql/columns.js';
import { id, join, list, sql } from '../sql/text.js';
import type { Session } from './connection.js';
import { DUPLICATE_ENTRY, errorNumber } from './errors.js';

/** Tables and columns that edits may name: those of the pipeline's configuration. */
export interface Editable {
  live: string;
  key: string[];
}

/**
 * A session that writes edits holds rows of live locked, and must not outlive its program when that freezes or its connection
 * dies without a word: statement follows statement in it, so that a few seconds are enough.
 */
export const EDIT_WAIT_TIMEOUT_SECONDS = 5;

/**
 * Applies one edit to live by field, with its id, in one transaction: applied means committed. The session must be one
 * whose writes capture logs. The first delivery of an id decides: a later one changes nothing, and is told the same.
 *
 * @returns refused, with the reason, for what no repetition can mend; anything else throws and may be repeated
 */
export async function applyEdit(
  session: Session,
  pipeline: string,
  tables: Editable[],
  edit: ClientEdit,
): Promise<EditOutcome> {
  const refused = (problem: string): EditOutcome => ({
    editId: String(edit?.editId),
    outcome: 'refused',
    problem,
  });
  const malformed = whatIsMalformed(edit);
  if (malformed !== undefined) return refused(malformed);
  const table = tables.find((candidate) => candidate.live === edit.table);
  if (!table || isMadeByRun(edit.table) || isControlTable(edit.table))
    return refused(`table ${edit.table} is not part of pipeline ${pipeline}`);
  if (Object.keys(edit.key).sort().join() !== [...table.key].sort().join())
    return refused(`the key of ${edit.table} is ${table.key.join(', ')}`);
  const set = Object.entries(edit.set);
  if (set.length === 0) return refused('the edit sets no column');
  // MySQL knows a column by any case of its letters
  const keyNames = table.key.map((name) => name.toLowerCase());
  if (set.some(([name]) => keyNames.includes(name.toLowerCase())))
    return refused('an edit cannot change the key');
  const { key, timestamps } = await columnsOf(session, table);
  if (key.length < table.key.length)
    throw new Error(
      `MySQL shows no ${table.key.join(', ')} of ${edit.table}: there is no such table, or this user may not see it`,
    );
  const wrong = key.find(
    (column) => isNumber(column) && !/^-?\d+(\.\d+)?$/.test(edit.key[column.name] ?? ''),
  );
  if (wrong) return refused(`${wrong.name} of ${edit.table} is a number, and the edit's key is not`);
  try {
    return await session.transaction(async () => {
      const before = await decidedBefore(session, pipeline, edit, 'applied');
      if (before) return before;
      const where = join(
        // Typed: a whole number compared with text is compared as a double, which beyond 2^53 finds another row, too.
        key.map((column) => sql`${id(column.name)} = ${keyValue(column, edit.key[column.name] ?? '')}`),
        ' AND ',
      );
      const found = await session.rows(
        sql`SELECT 1 AS found FROM ${id(edit.table)} WHERE ${where} FOR UPDATE`,
      );
      if (found.length === 0) throw new NoSuchRow(`${edit.table} has no row with that key`);
      const update = sql`UPDATE ${id(edit.table)} SET ${join(set.map(([name, value]) => sql`${id(name)} = ${value}`))} WHERE ${where}`;
      const inUtc = [...table.key, ...set.map(([name]) => name)].some((name) =>
        timestamps.has(name.toLowerCase()),
      );
      await (inUtc ? session.run(update) : asClient(session, () => session.run(update)));
      return { editId: edit.editId, outcome: 'applied' as const };
    });
  } catch (error) {
    const problem = problemOf(error);
    if (problem === undefined) throw error;
    return (await decidedBefore(session, pipeline, edit, 'refused', problem)) ?? refused(problem);
  }
}

class NoSuchRow extends Error {}

const EDIT_ID_CHARACTERS_MAX = 128;
const BY_CHARACTERS_MAX = 255;

/**
 * Stores the edit's id with what became of it, unless that is known: else an edit that was refused would be written when
 * another of its deliveries, which was under way all the time, finds its row there again. Without IGNORE: that would cut a
 * long id, and take an edit for the repetition of another one.
 *
 * @returns what was decided before; undefined: nothing, and what the caller says holds
 */
async function decidedBefore(
  session: Session,
  pipeline: string,
  edit: ClientEdit,
  outcome: 'applied' | 'refused',
  problem: string | null = null,
): Promise<EditOutcome | undefined> {
  const { editId, table, by = null } = edit;
  try {
    await session.run(
      sql`INSERT INTO ${id(control.edit)} (pipeline, edit_id, live, edited_by, outcome, problem, applied_at) VALUES (${pipeline}, ${editId}, ${table}, ${by}, ${outcome}, ${problem}, UTC_TIMESTAMP(6))`,
    );
    return undefined;
  } catch (error) {
    if (errorNumber(error) !== DUPLICATE_ENTRY) throw error;
  }
  const [decided] = await session.rows<{ outcome: string; problem: string | null }>(
    sql`SELECT outcome, problem FROM ${id(control.edit)} WHERE pipeline = ${pipeline} AND edit_id = ${editId}`,
  );
  return decided?.outcome === 'refused'
    ? { editId, outcome: 'refused', problem: decided.problem ?? '' }
    : { editId, outcome: 'repeated' };
}

/** Edits come from outside and through signals, which nobody has checked; what has the wrong shape is refused by name. */
function whatIsMalformed(edit: ClientEdit): string | undefined {
  if (!isRecord(edit)) return 'an edit is an object of editId, table, key and set';
  const { editId, by, key, set } = edit;
  // In the id's collation spaces at the end are no difference between two ids.
  if (!isText(editId, EDIT_ID_CHARACTERS_MAX) || editId === '' || editId.endsWith(' '))
    return `editId must be text of 1 to ${EDIT_ID_CHARACTERS_MAX} characters without a space at its end`;
  if (by !== undefined && by !== null && !isText(by, BY_CHARACTERS_MAX))
    return `by must be text of at most ${BY_CHARACTERS_MAX} characters`;
  if (!isRecord(key) || !isRecord(set)) return 'every edit wants editId, table, key and set';
  for (const [name, value] of Object.entries(key))
    if (!isPlain(value)) return `key ${name} must be text, as MySQL would print the value`;
  for (const [name, value] of Object.entries(set))
    if (value !== null && !isPlain(value))
      return `${name} must be set to text, as MySQL would print the value, or to null`;
  return undefined;
}

/** @returns why an edit is given up; undefined: it is repeated */
function problemOf(error: unknown): string | undefined {
  if (error instanceof NoSuchRow) return error.message;
  if (!isRefusal(error)) return undefined;
  const number = errorNumber(error);
  // names alone: the rest of MySQL's words quotes values
  const [, column] = [...(error as Error).message.matchAll(/column '([^']+)'/gi)].at(-1) ?? []; // after the value
  const of = column === undefined ? '' : `, column ${column}`;
  return `MySQL refuses it (error ${number}${of}): ${number === UNKNOWN_COLUMN ? 'there is no such column' : 'a value does not fit its column, or breaks a key'}`;
}
const UNKNOWN_COLUMN = 1054;

const isText = (value: unknown, charactersMax: number): value is string =>
  typeof value === 'string' && value.length <= charactersMax;
const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
/** Whole numbers that JavaScript holds exactly are taken as their digits. */
const isPlain = (value: unknown) => typeof value === 'string' || Number.isSafeInteger(value);

/**
 * Data that does not fit, broken keys and checks, unknown columns, and what triggers refuse: no repetition mends these. This
 * list alone decides that an edit is given up; whatever else MySQL says, it is repeated.
 */
function isRefusal(error: unknown): boolean {
  const { sqlState } = error as { sqlState?: string };
  return REFUSED_STATES.test(sqlState ?? '') || REFUSALS.has(errorNumber(error) ?? 0);
}
const REFUSED_STATES = /^(22|23|45)/;
/**
 * Unknown columns, statements longer than the server takes, truncated data, wrong values and dates, generated columns, checks:
 * their SQLSTATE alone does not say it.
 */
const REFUSALS = new Set([1054, 1153, 1265, 1366, 1411, 1525, 3105, 3819]);

const NUMBERS = new Set(['tinyint', 'smallint', 'mediumint', 'int', 'bigint', 'decimal', 'year']);
const isNumber = (column: LiveColumn) => NUMBERS.has(column.type);

/**
 * What the statement makes MySQL compute, by ON UPDATE and by the application's triggers, is computed in the zone of the server, as
 * for any client that sets none. An edit that names a TIMESTAMP gives it in UTC, in whatever way MySQL reads it: all of that edit
 * is in UTC.
 */
async function asClient(session: Session, work: () => Promise<unknown>): Promise<void> {
  await session.run(sql`SET SESSION time_zone = @@GLOBAL.time_zone`);
  try {
    await work();
  } finally {
    await session.run(sql`SET SESSION time_zone = '+00:00'`);
  }
}

interface Columns {
  key: LiveColumn[];
  /** names of TIMESTAMP columns, in lower case: MySQL knows them by any */
  timestamps: Set<string>;
}
/** By session and table: a session lives for one batch of edits, so what it has seen is fresh enough. */
const known = new WeakMap<Session, Map<string, Columns>>();

async function columnsOf(session: Session, table: Editable): Promise<Columns> {
  const tables = known.get(session) ?? new Map<string, Columns>();
  known.set(session, tables);
  const seen = tables.get(table.live);
  if (seen) return seen;
  const rows = await session.rows<Omit<LiveColumn, 'nullable'>>(
    sql`SELECT column_name AS name, LOWER(data_type) AS type, column_type AS ${id('columnType')}, character_set_name AS charset, collation_name AS collation, numeric_precision AS ${id('precision')}, numeric_scale AS scale, datetime_precision AS ${id('fractionDigits')} FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = ${table.live} AND (data_type = 'timestamp' OR column_name IN (${list(table.key)}))`,
  );
  const columns = {
    key: rows.filter(({ name }) => table.key.includes(name)).map((row) => ({ ...row, nullable: false })),
    timestamps: new Set(
      rows.filter(({ type }) => type === 'timestamp').map(({ name }) => name.toLowerCase()),
    ),
  };
  tables.set(table.live, columns);
  return columns;
}
