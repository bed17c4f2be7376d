import { afterEach, describe, expect, inject, it } from 'vitest';
import type { ByHand } from '../support/by-hand.js';
import {
  CASES,
  type Case,
  type Fields,
  isFirstPublish,
  rowOf,
  saidBySource,
  tableBefore,
  tableOf,
} from './cases.js';
import { type Group, identityOf, inOrder, publish, type Row } from './oracle.js';
import {
  catalogueOf,
  migrationTo,
  openShape,
  parameter,
  readBase,
  readConflicts,
  readLive,
  remappedBase,
  type Shape,
  type ShapedTable,
  sourceRows,
  yamlOf,
} from './shape.js';

/** A case in its place: a row of a table that all cases of the same owner and policy share. */
interface Placed {
  one: Case;
  table: ShapedTable;
  id: number;
}

/** Cases by the table that their owner and policy make; a table is published once for all its cases. */
function placed(cases: Case[]): Placed[] {
  const tables = new Map<string, ShapedTable>();
  return cases.map((one, index) => {
    const { units, onSourceDelete, onLiveDelete } = tableOf(one);
    const { units: before, types, from } = tableBefore(one);
    const alike = JSON.stringify([units, onSourceDelete, onLiveDelete, before, types, from]);
    const table = tables.get(alike) ?? tableOf(one, `doc${tables.size}`);
    tables.set(alike, table);
    return { one, table, id: index + 1 };
  });
}

const shapeOf = (places: Placed[], firstRun: 'source' | 'live'): Shape => ({
  firstRun,
  chunkRows: 5,
  tables: [...new Set(places.map(({ table }) => table))],
});

/** One side of all cases, as rows by table. */
function side(places: Placed[], pick: (one: Case) => Fields, as: (row: Row | null) => Row | null): Group {
  const group: Record<string, Map<string, Row>> = {};
  for (const { one, table, id } of places) {
    const rows = group[table.name] ?? new Map<string, Row>();
    group[table.name] = rows;
    const row = as(rowOf(pick(one), id));
    if (row) rows.set(identityOf(table, row), row);
  }
  return group;
}
const whole = (row: Row | null) => row;

let hand: ByHand | undefined;
afterEach(async () => {
  await hand?.close();
  hand = undefined;
});

/** What clients do to live, so that it says what the cases say of it. */
async function makeLive({ application }: ByHand, places: Placed[]): Promise<void> {
  for (const { one, table, id } of places) {
    const row = rowOf(one.live, id);
    const columns = Object.keys(table.types);
    const values = columns.map((column) => parameter(table, column, row?.[column] ?? null));
    if (!row) await application.query(`DELETE FROM ${table.name} WHERE id = ?`, [id]);
    else if (one.base && !isFirstPublish(one)) {
      // MySQL takes JSON 1 and 1.0 for equal, so that UPDATE would leave what is there.
      if (one.live?.doc !== one.base.doc)
        await application.query(`UPDATE ${table.name} SET doc = NULL WHERE id = ?`, [id]);
      await application.query(
        `UPDATE ${table.name} SET ${columns.map((column) => `${column} = ?`).join(', ')} WHERE id = ?`,
        [...values, id],
      );
    } else await application.query(`INSERT INTO ${table.name} (${columns.join(', ')}) VALUES (?)`, [values]);
  }
}

/** What MySQL holds after the run is what each case says, and its conflicts are the oracle's, values included. */
async function expectCases(
  open: ByHand,
  shape: Shape,
  places: Placed[],
  generation: number,
  before: Shape = shape,
): Promise<void> {
  const [live, base] = [await readLive(open, shape), await readBase(open, shape)];
  const found = (group: Group | null, { table, id }: Placed) =>
    group?.[table.name]?.get(identityOf(table, { id: String(id) })) ?? null;
  const conflicts = await readConflicts(open, shape, generation);
  for (const place of places) {
    const { one, table, id } = place;
    expect(found(live, place), `${one.name}: live`).toEqual(rowOf(one.merged, id));
    expect(found(base, place), `${one.name}: base`).toEqual(saidBySource(rowOf(one.nextBase, id)));
    const key = identityOf(table, { id: String(id) });
    const kinds = conflicts.filter((conflict) => conflict.table === table.name && conflict.key === key);
    expect(
      kinds.map(({ kind }) => kind),
      `${one.name}: conflicts`,
    ).toEqual(one.conflict ? [one.conflict] : []);
  }
  const oracle = publish(shape.tables, {
    firstRun: shape.firstRun,
    base: places.some(({ one }) => isFirstPublish(one))
      ? null
      : remappedBase(
          shape,
          side(places, ({ base: said }) => said, saidBySource),
          before,
        ),
    source: side(places, ({ source }) => source, saidBySource),
    live: side(places, ({ live: said }) => said, whole),
  });
  expect(inOrder(conflicts)).toEqual(inOrder(oracle.conflicts));
}

describe('the merge, case by case, in MySQL', () => {
  it('merges with the base of the publish before', async () => {
    const places = placed(CASES.filter((one) => !isFirstPublish(one) && !one.changed));
    const shape = shapeOf(places, 'source');
    hand = await openShape(inject('mysqlUrl'), 'stageswap_test_cases', shape);
    const before = side(places, ({ base }) => base, saidBySource);
    await hand.publish(sourceRows(shape, before));
    expect(await readBase(hand, shape)).toEqual(before);
    await makeLive(hand, places);
    const after = side(places, ({ source }) => source, saidBySource);
    const run = await hand.publish(sourceRows(shape, after));
    await expectCases(hand, shape, places, run.generation);
  });

  it('merges what clients made while the run worked by the same rules', async () => {
    const places = placed(CASES.filter((one) => !isFirstPublish(one) && !one.changed));
    const shape = shapeOf(places, 'source');
    hand = await openShape(inject('mysqlUrl'), 'stageswap_test_cases', shape);
    await hand.publish(
      sourceRows(
        shape,
        side(places, ({ base }) => base, saidBySource),
      ),
    );
    const open = hand;
    const after = side(places, ({ source }) => source, saidBySource);
    const run = await hand.publish(sourceRows(shape, after), { merged: () => makeLive(open, places) });
    await expectCases(hand, shape, places, run.generation);
  });

  it.each(['source', 'live'] as const)('merges a first publish by firstRun: %s', async (firstRun) => {
    const places = placed(CASES.filter((one) => isFirstPublish(one) && one.policy?.firstRun === firstRun));
    const shape = shapeOf(places, firstRun);
    hand = await openShape(inject('mysqlUrl'), 'stageswap_test_cases', shape);
    await makeLive(hand, places);
    const said = side(places, ({ source }) => source, saidBySource);
    const run = await hand.publish(sourceRows(shape, said));
    await expectCases(hand, shape, places, run.generation);
  });

  describe.each(['source', 'live'] as const)('after the mapping changed, with firstRun: %s', (firstRun) => {
    const places = placed(CASES.filter(({ policy, changed }) => changed && policy?.firstRun === firstRun));
    const shape = shapeOf(places, firstRun);
    const tables = new Map(places.map(({ one, table }) => [table.name, tableBefore(one, table.name)]));
    const before: Shape = { ...shape, tables: [...tables.values()] };
    const after = side(places, ({ source }) => source, saidBySource);

    async function published(): Promise<ByHand> {
      const open = await openShape(inject('mysqlUrl'), 'stageswap_test_cases', before);
      hand = open;
      const said = side(places, ({ base }) => base, saidBySource);
      await open.publish(sourceRows(before, said));
      for (const statement of migrationTo(shape, before)) await open.application.query(statement);
      open.remap(yamlOf(shape), catalogueOf(shape));
      return open;
    }

    it('firstRun decides where the base says nothing', async () => {
      const open = await published();
      await makeLive(open, places);
      const run = await open.publish(sourceRows(shape, after));
      await expectCases(open, shape, places, run.generation, before);
    });

    it('the same of what clients made while the run worked', async () => {
      const open = await published();
      const run = await open.publish(sourceRows(shape, after), { merged: () => makeLive(open, places) });
      await expectCases(open, shape, places, run.generation, before);
    });
  });
});
