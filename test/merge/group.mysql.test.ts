import { afterEach, describe, expect, inject, it } from 'vitest';
import type { ByHand } from '../support/by-hand.js';
import { CUSTOMERS_AND_INVOICES, conflictOf, GROUP_CASES, type GroupCase, groupOf } from './group-cases.js';
import { type Group, inOrder, publish } from './oracle.js';
import { openShape, readBase, readConflicts, readLive, type Shape, sourceRows } from './shape.js';

const SHAPE: Shape = { firstRun: 'source', chunkRows: 7, tables: CUSTOMERS_AND_INVOICES };
const all = (pick: (one: GroupCase) => GroupCase['base']): Group =>
  groupOf(GROUP_CASES.map((one, n) => [n, pick(one)]));
const BASE = all(({ base }) => base);
const SOURCE = all(({ source }) => source);
const LIVE = all(({ live }) => live);

let hand: ByHand;
afterEach(() => hand?.close());

/** Clients make of what was published what the cases say of live; the order is one that keys and indexes allow. */
async function makeLive(): Promise<void> {
  const [customers, invoices] = CUSTOMERS_AND_INVOICES.map(({ name }) => ({
    before: BASE[name] ?? new Map(),
    after: LIVE[name] ?? new Map(),
  }));
  if (!customers || !invoices) throw new Error('two tables');
  const { application } = hand;
  await application.query('START TRANSACTION');
  for (const [key, row] of customers.after) {
    if (!customers.before.has(key)) await application.query('INSERT INTO customer SET ?', [row]);
    else await application.query('UPDATE customer SET ? WHERE id = ?', [row, row.id]);
  }
  for (const [key, row] of invoices.after) {
    if (!invoices.before.has(key)) await application.query('INSERT INTO invoice SET ?', [row]);
    else await application.query('UPDATE invoice SET ? WHERE id = ?', [row, row.id]);
  }
  for (const [key, row] of invoices.before)
    if (!invoices.after.has(key)) await application.query('DELETE FROM invoice WHERE id = ?', [row.id]);
  for (const [key, row] of customers.before)
    if (!customers.after.has(key)) await application.query('DELETE FROM customer WHERE id = ?', [row.id]);
  await application.query('COMMIT');
}

async function expectCases(generation: number): Promise<void> {
  expect(await readLive(hand, SHAPE)).toEqual(all(({ merged }) => merged));
  expect(await readBase(hand, SHAPE)).toEqual(all(({ nextBase }) => nextBase));
  const conflicts = await readConflicts(hand, SHAPE, generation);
  const written = GROUP_CASES.flatMap((one, n) => one.conflicts.map((conflict) => conflictOf(n, conflict)));
  expect(conflicts.map(({ kind, table, key }) => ({ kind, table, key }))).toEqual(
    expect.arrayContaining(written),
  );
  const run = { firstRun: SHAPE.firstRun, base: BASE, source: SOURCE, live: LIVE };
  expect(inOrder(conflicts)).toEqual(inOrder(publish(SHAPE.tables, run).conflicts));
}

describe('the rules across the group, case by case, in MySQL', () => {
  it('hold for what clients did before the run', async () => {
    hand = await openShape(inject('mysqlUrl'), 'stageswap_test_group_cases', SHAPE);
    await hand.publish(sourceRows(SHAPE, BASE));
    await makeLive();
    await expectCases((await hand.publish(sourceRows(SHAPE, SOURCE))).generation);
  });
  it('hold for what clients did while the run worked', async () => {
    hand = await openShape(inject('mysqlUrl'), 'stageswap_test_group_cases', SHAPE);
    await hand.publish(sourceRows(SHAPE, BASE));
    await expectCases((await hand.publish(sourceRows(SHAPE, SOURCE), { merged: makeLive })).generation);
  });
});
