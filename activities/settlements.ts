import { type Decision, decisionsOf, type FoundSettlement } from '../src/model/settlement.js';
import type { RunSpec, Side, TableSpec } from '../src/model/spec.js';
import type { Session } from '../src/mysql/connection.js';
import {
  closeApplied,
  closeConflicts,
  closeOfOthers,
  closeReplaced,
  closeSettled,
  closeVoid,
  collectKeysOf,
  markApplied,
  markNotApplied,
  openConflicts,
  overConflicts,
  pendingSettlements,
  settlementsOfKeys,
  settleRows,
  takeBackSince,
  untriedSettlements,
  withChildren,
  withoutParent,
} from '../src/sql/settle.js';
import type { Fragment } from '../src/sql/text.js';
import { type Dependencies, onRun } from './context.js';

const KEYS_A_TRANSACTION = 2_000;

/** Conflicts and their settlement, beside the steps that merge. */
export function settlementActivities(dependencies: Dependencies) {
  /**
   * After the swap: conflicts that are over are closed, settlements that were carried out or are void as well. After a
   * rollback: what the run that was taken back had closed is open again.
   */
  const closeConflicts = onRun(dependencies, null, async (session, spec): Promise<void> => {
    if (spec.kind === 'rollback') await takeBack(session, spec, spec.baseGeneration ?? 0);
    else await closeOver(session, spec);
  });
  return { closeConflicts };
}

/** Brings conflicts and settlements to what the published generation says; the first thing that a run does with them. */
export async function takeBack(session: Session, spec: RunSpec, at: number): Promise<void> {
  await session.transaction(async () => {
    for (const statement of takeBackSince(spec.pipeline, at, spec.generation)) await session.run(statement);
  });
}

/**
 * Collects the keys of settlements that this run has not looked at, a bounded number.
 *
 * @returns the settlements, to be marked as tried when their keys are merged
 */
export async function collectUntried(session: Session, spec: RunSpec, table: TableSpec): Promise<string[]> {
  const settlements = await idsOf(session, untriedSettlements(spec, table, KEYS_A_TRANSACTION));
  if (settlements.length === 0) return [];
  for (const statement of collectKeysOf(spec, table, 'settlement', settlements)) await session.run(statement);
  return settlements;
}

/**
 * Carries out the settlements of the collected keys, whose rows were merged right before; part of the caller's transaction
 * or lock. Settlements that hold no longer are left out, also where an earlier merge of the key had carried them out.
 */
export async function settleKeys(
  session: Session,
  spec: RunSpec,
  table: TableSpec,
  into: 'stage' | 'merged',
): Promise<void> {
  if (spec.kind === 'rollback') return;
  const found = await settlementsFound(session, spec, table);
  if (found.length === 0) return;
  const holding = found.filter(({ holds }) => holds);
  let decided = decisionsOf(table, holding);
  const waiting = new Set<string>();
  for (const [row, unfit] of [
    ['insert', withoutParent],
    ['delete', withChildren],
  ] as const) {
    const candidates = [...decided.values()].filter(({ decision }) => decision.row === row);
    if (candidates.length === 0) continue;
    const all = candidates.flatMap(({ ids }) => ids);
    for (const statement of unfit(spec, table, all))
      for (const settlement of await idsOf(session, statement)) waiting.add(settlement);
  }
  if (waiting.size > 0)
    decided = decisionsOf(
      table,
      holding.filter((settlement) => !waiting.has(settlement.id)),
    );
  const applied = new Set([...decided.values()].flatMap(({ ids }) => ids));
  const notAny = found.filter((one) => one.applied && !applied.has(one.id)).map((one) => one.id);
  if (notAny.length > 0) await session.run(markNotApplied(notAny));
  if (applied.size === 0) return;
  const alike = new Map<string, { decision: Decision; settlements: string[] }>();
  for (const { decision, ids } of decided.values()) {
    const name = JSON.stringify(decision);
    const group = alike.get(name) ?? { decision, settlements: [] };
    group.settlements.push(ids[0] as string);
    alike.set(name, group);
  }
  for (const { decision, settlements } of alike.values())
    for (const statement of settleRows(spec, table, decision, settlements, into))
      await session.run(statement);
  await session.run(markApplied(spec, [...applied]));
}

interface Found extends FoundSettlement {
  holds: boolean;
  /** this run's stage has it already */
  applied: boolean;
}

/** Oldest first. */
async function settlementsFound(session: Session, spec: RunSpec, table: TableSpec): Promise<Found[]> {
  const rows = await session.rows<Record<string, string>>(settlementsOfKeys(spec, table));
  const flag = (value: string | undefined) => Number(value) === 1;
  const oldestFirst = rows.sort((left, right) => Number(BigInt(left.id ?? 0) - BigInt(right.id ?? 0)));
  return oldestFirst.map((row) => ({
    id: row.id ?? '',
    keyHash: row.key_hash ?? '',
    kind: row.kind ?? '',
    side: row.side as Side,
    columns: JSON.parse(row.columns_json ?? '[]') as string[],
    inSource: flag(row.in_source),
    inLive: flag(row.in_live),
    holds: flag(row.holds),
    applied: flag(row.applied),
  }));
}

async function idsOf(session: Session, statement: Fragment): Promise<string[]> {
  return (await session.rows<{ id: string | number }>(statement)).map((row) => String(row.id));
}

/** Closes, after a publish, the conflicts and settlements that are over. Needs the run's table of replay keys. */
export async function closeOver(session: Session, spec: RunSpec): Promise<void> {
  await session.transaction(async () => {
    await session.run(closeApplied(spec));
    await session.run(closeSettled(spec));
    await session.run(closeReplaced(spec));
    for (const statement of closeOfOthers(spec)) await session.run(statement);
  });
  for (const table of spec.tables) {
    await inBatches(
      session,
      (after) => openConflicts(spec, table, after, KEYS_A_TRANSACTION),
      async (conflicts) => {
        for (const statement of collectKeysOf(spec, table, 'conflict', conflicts))
          await session.run(statement);
        const over = await session.rows<{ id: string; state: string }>(overConflicts(spec, table, conflicts));
        for (const state of new Set(over.map((row) => row.state))) {
          const those = over.filter((row) => row.state === state).map((row) => row.id);
          await session.run(closeConflicts(spec, state, those));
        }
      },
    );
    await inBatches(
      session,
      (after) => pendingSettlements(spec, table, after, KEYS_A_TRANSACTION),
      async (settlements) => {
        for (const statement of collectKeysOf(spec, table, 'settlement', settlements))
          await session.run(statement);
        const found = await settlementsFound(session, spec, table);
        // A row that is to be taken from billing again, and is not there, cannot be.
        // Nor can a field that is not merged by itself any more.
        const isUnit = ({ columns }: Found) =>
          table.units.some((unit) => unit.columns.join() === columns.join());
        const isVoid = (one: Found) =>
          !one.holds || (one.kind === 'resync' && !one.inSource) || (one.kind === 'field' && !isUnit(one));
        const those = found.filter(isVoid).map((one) => one.id);
        if (those.length > 0) await session.run(closeVoid(spec, those));
      },
    );
  }
}

/** Works through rows by their ids, a transaction a batch. */
async function inBatches(
  session: Session,
  next: (after: string) => Fragment,
  work: (ids: string[]) => Promise<void>,
): Promise<void> {
  for (let after = '0'; ; ) {
    const ids = await idsOf(session, next(after));
    const last = ids.at(-1);
    if (last === undefined) return;
    await session.transaction(() => work(ids));
    after = last;
  }
}
