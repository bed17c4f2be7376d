import { StageswapError } from '../model/failures.js';
import { refuseBadKey } from '../model/key-text.js';
import { control } from '../model/names.js';
import { type ConflictState, NOT_SETTLED } from '../model/settlement.js';
import type { MergeUnit, RunSpec, Side, TableSpec } from '../model/spec.js';
import {
  type ConflictFilter,
  type ConflictKey,
  conflictIds,
  conflictKinds,
  countConflicts,
  countEdits,
  type LiveRows,
  newestConflicts,
  resyncRow,
  settleConflicts,
  showConflicts,
  showEdits,
  withdrawSettlements,
  yieldEdits,
} from '../sql/settlements.js';
import { type Fragment, id, sql } from '../sql/text.js';
import type { Row, Session } from './connection.js';
import { errorNumber, NO_SUCH_TABLE } from './errors.js';
import { publishedSpec } from './published.js';

/** Values by column, as MySQL prints them; null: the side has no such row. */
export type Values = Record<string, string | null> | null;

export interface Conflict {
  id: string;
  table: string;
  key: Record<string, string | null>;
  kind: string;
  state: ConflictState;
  /** of the run that found it */
  generation: number;
  columns: string[];
  base: Values;
  source: Values;
  live: Values;
  /** UTC, as MySQL prints it */
  foundAt: string;
  /** the run that closed it */
  closedIn: number | null;
  /** what an operator has said, and the next run carries out */
  settledAs: Side | null;
}

const IDS_A_STATEMENT = 2_000;
/** Mistakes in an operator's WHERE: syntax, unknown columns, tables and functions, bad JSON paths, wrong values. */
const BAD_CONDITION = new Set([
  1054, 1064, 1111, 1139, 1146, 1241, 1242, 1267, 1305, 1525, 1582, 1630, 3141, 3143, 3685,
]);

/**
 * The key of a row, to look for its conflicts: as live compares keys, as far as a publish has told the types.
 *
 * @param values in key order, by column
 * @throws {StageswapError} Refused: no row of the table can have that key
 */
export async function keyOfConflicts(
  session: Session,
  pipeline: string,
  live: string,
  values: Record<string, string>,
): Promise<ConflictKey> {
  const spec = await publishedSpec(session, pipeline);
  const table = spec?.tables.find((candidate) => candidate.live === live);
  if (table) refuseBadKey(table, Object.values(values));
  return { values, table };
}

/** The conflicts that fit, newest run first. */
export async function readConflicts(
  session: Session,
  pipeline: string,
  filter: ConflictFilter,
  rowsMax: number,
): Promise<{ count: number; conflicts: Conflict[] }> {
  if (!(await hasConflicts(session))) return { count: 0, conflicts: [] };
  return reading(session, filter.where, async () => {
    const counted = await session.rows(countConflicts(pipeline, filter));
    const ids = (await session.rows(newestConflicts(pipeline, filter, rowsMax))).map((row) => String(row.id));
    const shown = new Map<string, Conflict>();
    for (let from = 0; from < ids.length; from += IDS_A_STATEMENT)
      for (const row of await session.rows(showConflicts(ids.slice(from, from + IDS_A_STATEMENT))))
        shown.set(String(row.id), conflictOf(row));
    return { count: Number(counted[0]?.n ?? 0), conflicts: ids.flatMap((one) => shown.get(one) ?? []) };
  });
}

function conflictOf(row: Row): Conflict {
  const values = (text: string | null | undefined) => (text ? (JSON.parse(text) as Values) : null);
  return {
    id: String(row.id),
    table: row.table_name ?? '',
    key: values(row.key) ?? {},
    kind: row.kind ?? '',
    state: row.state as ConflictState,
    generation: Number(row.run),
    columns: JSON.parse(row.columns ?? '[]') as string[],
    base: values(row.base),
    source: values(row.source),
    live: values(row.live),
    foundAt: row.found_at ?? '',
    closedIn: row.closed_in === null ? null : Number(row.closed_in),
    settledAs: row.settled_as as Side | null,
  };
}

/** Of the conflicts that fit those that cannot be settled, by kind, with what can be done about them. */
export async function notSettleable(
  session: Session,
  pipeline: string,
  filter: ConflictFilter,
): Promise<{ kind: string; count: number; instead: string }[]> {
  if (!(await hasConflicts(session))) return [];
  const rows = await reading(session, filter.where, () => session.rows(conflictKinds(pipeline, filter)));
  return rows.flatMap(({ kind, n }) => {
    const instead = NOT_SETTLED[kind ?? ''];
    return instead === undefined ? [] : [{ kind: kind ?? '', count: Number(n), instead }];
  });
}

/** Settles the conflicts that fit, as one side or, with `undefined`, takes back what was said. @returns how many */
export async function settle(
  session: Session,
  pipeline: string,
  filter: ConflictFilter,
  said: { side: Side | undefined; by: string },
): Promise<number> {
  if (!(await hasConflicts(session))) return 0;
  const conflicts = await reading(session, filter.where, async () =>
    (await session.rows(conflictIds(pipeline, filter))).map((row) => String(row.id)),
  );
  return session.transaction(async () => {
    let settled = 0;
    for (let from = 0; from < conflicts.length; from += IDS_A_STATEMENT) {
      const some = conflicts.slice(from, from + IDS_A_STATEMENT);
      if (said.side === undefined) {
        settled += await session.run(withdrawSettlements(some));
        continue;
      }
      const [replace, insert] = settleConflicts(pipeline, some, said.side, said.by);
      await session.run(replace);
      settled += await session.run(insert);
    }
    return settled;
  });
}

export interface Edit {
  key: Values;
  source: Values;
  live: Values;
}

/** Edits of clients that stand against billing: how many, and some of them. */
export async function readEdits(
  session: Session,
  spec: RunSpec,
  table: TableSpec,
  unit: MergeUnit,
  rows: LiveRows,
  rowsMax: number,
): Promise<{ count: number; edits: Edit[] }> {
  if ('key' in rows) refuseBadKey(table, rows.key);
  return reading(session, 'where' in rows ? rows.where : undefined, async () => {
    const counted = await session.rows(countEdits(spec, table, unit, rows));
    const shown = await session.rows(showEdits(spec, table, unit, rows, rowsMax));
    const values = (text: string | null | undefined) => JSON.parse(text ?? 'null') as Values;
    return {
      count: Number(counted[0]?.n ?? 0),
      edits: shown.map((row) => ({
        key: values(row.row_key),
        source: values(row.source),
        live: values(row.live),
      })),
    };
  });
}

/** Gives edits of clients back to billing, in the next run. @returns how many */
export async function yieldTo(
  session: Session,
  spec: RunSpec,
  table: TableSpec,
  unit: MergeUnit,
  rows: LiveRows,
  by: string,
): Promise<number> {
  return session.run(yieldEdits(spec, table, unit, rows, by));
}

/** Has a row taken from billing in the next run. @returns false: neither live nor what billing last said has such a row, nor was one held back */
export async function resync(
  session: Session,
  spec: RunSpec,
  table: TableSpec,
  key: string[],
  by: string,
): Promise<boolean> {
  refuseBadKey(table, key);
  for (const statement of resyncRow(spec, table, key, by)) {
    if ((await session.run(statement)) > 0) return true;
  }
  return false;
}

/** Settlements that the next run will look at. */
export async function countPending(session: Session, pipeline: string): Promise<number> {
  if (!(await hasConflicts(session))) return 0;
  const rows = await session.rows(
    sql`SELECT COUNT(*) AS n FROM ${id(control.settlement)} WHERE pipeline = ${pipeline} AND state = 'pending'`,
  );
  return Number(rows[0]?.n ?? 0);
}

/** A pipeline that never ran has no control tables. */
export async function hasConflicts(session: Session): Promise<boolean> {
  try {
    await session.rows(sql`SELECT 1 AS found FROM ${id(control.settlement)} LIMIT 0`);
    return true;
  } catch (error) {
    if (errorNumber(error) === NO_SUCH_TABLE) return false;
    throw error;
  }
}

/** Reads with an operator's condition in a transaction that cannot write, and tells a mistake in it as one. */
async function reading<T>(session: Session, where: string | undefined, work: () => Promise<T>): Promise<T> {
  const readOnly: Fragment = sql`SET TRANSACTION READ ONLY`;
  await session.run(readOnly);
  try {
    return await session.transaction(work);
  } catch (error) {
    if (where !== undefined && BAD_CONDITION.has(errorNumber(error) ?? 0))
      throw new StageswapError(
        'Mistyped',
        `MySQL refuses the condition ${where}: ${(error as Error).message}. The command's --help names what a condition may use.`,
        { cause: error },
      );
    throw error;
  }
}
