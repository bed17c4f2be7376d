import { refuseBadKey } from '../model/key-text.js';
import { control } from '../model/names.js';
import { baseGenerationOf, type RunSpec, type Side, type TableSpec } from '../model/spec.js';
import type { Gaps, RowTexts } from '../model/verdict.js';
import {
  type ConflictKey,
  isOneKey,
  pendingOfRow,
  printedKey,
  rowOfBase,
  rowOfLive,
} from '../sql/settlements.js';
import { id, sql } from '../sql/text.js';
import type { Session } from './connection.js';
import { type Conflict, hasConflicts, readConflicts } from './settlements.js';

/** What MySQL knows of one row. */
export interface KnownRow {
  base: RowTexts;
  /** columns of which this row's base says nothing: it was carried over a change of the mapping */
  gaps: Gaps;
  live: RowTexts;
  conflicts: Conflict[];
  settlements: PendingSettlement[];
  /** what published live as it is */
  published: { generation: number; runId: string; startedAt: string } | null;
}

export interface PendingSettlement {
  kind: string;
  side: Side;
  columns: string[];
  source: RowTexts;
  live: RowTexts;
  by: string;
  /** UTC, as MySQL prints it */
  at: string;
}

const CONFLICTS_MAX = 100;

/** Reads a row in live and in the base of the published run, with its conflicts and settlements. */
export async function readKnownRow(
  session: Session,
  spec: RunSpec,
  table: TableSpec,
  key: string[],
): Promise<KnownRow> {
  refuseBadKey(table, key);
  const { pipeline, baseGeneration } = spec;
  const texts = (found: string | null | undefined) => (found ? (JSON.parse(found) as RowTexts) : null);
  const [inLive] = await session.rows<{ found: string }>(rowOfLive(table, key));
  const of = baseGenerationOf(spec, table);
  const [inBase] =
    of === null ? [] : await session.rows<{ found: string; gaps: string | null }>(rowOfBase(table, of, key));
  const [live, base] = [texts(inLive?.found), texts(inBase?.found)];
  const gaps = JSON.parse(inBase?.gaps ?? '{}') as Gaps;
  const values = Object.fromEntries(table.key.map((name, index) => [name, key[index] ?? '']));
  const filter = { table: table.live, key: { values, table }, all: true };
  const { conflicts } = await readConflicts(session, pipeline, filter, CONFLICTS_MAX);
  const runs =
    baseGeneration === null
      ? []
      : await session.rows<Record<string, string>>(
          sql`SELECT generation, run_id, started_at FROM ${id(control.run)} WHERE pipeline = ${pipeline} AND generation = ${baseGeneration}`,
        );
  const run = runs[0];
  return {
    base,
    gaps,
    live,
    conflicts: conflicts.filter(({ state }) => state !== 'undone'),
    settlements: await pendingOf(session, pipeline, table.live, filter.key),
    published: run
      ? {
          generation: Number(run.generation),
          runId: run.run_id ?? '',
          startedAt: run.started_at ?? '',
        }
      : null,
  };
}

/**
 * Spellings under which the source may have a row: as it said when it was last published, as live has it, as the operator
 * wrote it. A collation of live may take them for one key where the source's does not.
 */
export async function spellingsOf(
  session: Session,
  table: TableSpec,
  key: string[],
  { base, live }: Pick<KnownRow, 'base' | 'live'>,
): Promise<string[][]> {
  const [printed] = await session.rows<Record<string, string | null>>(printedKey(table, key));
  const spelled = [base, live, printed].flatMap((row) => {
    const texts = table.key.map((name) => row?.[name] ?? null);
    return texts.every((text) => text !== null) ? [texts as string[]] : [];
  });
  return [...new Map(spelled.map((texts) => [JSON.stringify(texts), texts])).values()];
}

/** Does live take two keys, as canonical texts, for one? */
export async function areOneKey(
  session: Session,
  table: TableSpec,
  left: string[],
  right: string[],
): Promise<boolean> {
  const [row] = await session.rows<{ is_one: string | null }>(isOneKey(table, left, right));
  return Number(row?.is_one) === 1;
}

async function pendingOf(
  session: Session,
  pipeline: string,
  live: string,
  key: ConflictKey,
): Promise<PendingSettlement[]> {
  if (!(await hasConflicts(session))) return [];
  const texts = (text: string | null | undefined) => (text ? (JSON.parse(text) as RowTexts) : null);
  const rows = await session.rows<Record<string, string | null>>(pendingOfRow(pipeline, live, key));
  const newestFirst = rows.sort((left, right) => Number(BigInt(right.id ?? 0) - BigInt(left.id ?? 0)));
  return newestFirst.map((row) => ({
    kind: row.kind ?? '',
    side: row.side as Side,
    columns: JSON.parse(row.columns_json ?? '[]') as string[],
    source: texts(row.source_json),
    live: texts(row.live_json),
    by: row.settled_by ?? '',
    at: row.settled_at ?? '',
  }));
}
