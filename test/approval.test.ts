import { describe, expect, it } from 'vitest';
import { approvalText, type Gate, notApproved, type Reason, reasonsOfGate } from '../src/model/approval.js';

/** The gate before the cut-over, as pure functions of the configuration and of what the run found. */
const gate = (change: Partial<Gate> = {}): Gate => ({
  approve: 'firstPublish',
  firstPublish: true,
  passedFirst: false,
  tables: [{ table: 'customer', rowsRead: 30, inserted: 10, updated: 5, deleted: 3, keptLive: 2 }],
  ...change,
});
const empty = [{ table: 'customer', rowsRead: 0, inserted: 0, updated: 0, deleted: 0, keptLive: 0 }];
const kinds = (change: Partial<Gate> = {}) => reasonsOfGate(gate(change)).map(({ kind, of }) => [kind, of]);

describe('a first publish', () => {
  it('waits', () => expect(kinds()).toEqual([['firstPublish', '']]));
  it('from an empty source waits, whatever approve says', () => {
    for (const approve of ['never', 'firstPublish', 'always'] as const)
      expect(kinds({ approve, tables: empty }), approve).toContainEqual(['emptyFirst', 'customer']);
  });
  it('waits for one empty table among others, and names it', () => {
    const tables = [...gate().tables, { ...empty[0], table: 'invoice' } as Gate['tables'][0]];
    expect(kinds({ approve: 'never', tables })).toEqual([['emptyFirst', 'invoice']]);
  });
  it('does not wait for one that passed its gate when starting the run', () => {
    for (const approve of ['never', 'firstPublish', 'always'] as const)
      for (const tables of [gate().tables, empty])
        expect(kinds({ approve, passedFirst: true, tables }), approve).toEqual([]);
  });
});

describe('a later run', () => {
  const later = (change: Partial<Gate>) => kinds({ firstPublish: false, ...change });
  it('does not wait by default', () => expect(later({})).toEqual([]));
  it('does not wait where approve is never', () => expect(later({ approve: 'never' })).toEqual([]));
  it('waits where approve is always, also if the gate of a first publish was passed', () => {
    expect(later({ approve: 'always' })).toEqual([['always', '']]);
    expect(later({ approve: 'always', passedFirst: true })).toEqual([['always', '']]);
  });
  it('leaves an empty source to the guard, which knows the base', () => {
    expect(later({ tables: empty })).toEqual([]);
  });
});

describe('a later run after the mapping changed', () => {
  const changed = (columns: string[], change: Partial<Gate> = {}) =>
    reasonsOfGate(gate({ firstPublish: false, withoutBase: [{ table: 'customer', columns }], ...change }));
  const decided = [
    {
      table: 'customer',
      rowsRead: 30,
      inserted: 0,
      updated: 5,
      deleted: 0,
      keptLive: 2,
      decidedByFirstRun: 7,
    },
  ];
  it('waits for a table that is new to the pipeline, as for a first publish', () => {
    expect(changed([])).toMatchObject([{ kind: 'newTable', of: 'customer' }]);
    expect(changed([], { tables: empty, approve: 'never' })).toMatchObject([{ kind: 'emptyFirst' }]);
  });
  it('waits for a column without a base where firstRun decided something, and says of how many values', () => {
    expect(changed(['phone'], { tables: decided })).toEqual([
      {
        kind: 'noBase',
        of: 'customer',
        measure: 7,
        text: 'phone of customer has no base since the mapping changed, so firstRun alone decided 7 values',
      },
    ]);
    expect(changed(['phone'])).toEqual([]);
  });
  it('does not wait where approve is never, nor for one that passed its gate when starting the run', () => {
    for (const columns of [[], ['phone']]) {
      expect(changed(columns, { tables: decided, approve: 'never' })).toEqual([]);
      expect(changed(columns, { tables: decided, passedFirst: true })).toEqual([]);
    }
  });
});

it('approve: never asks nothing of a first publish that has rows', () => {
  expect(kinds({ approve: 'never' })).toEqual([]);
});

describe('an approval', () => {
  const deletes = (measure: number, of = 'customer'): Reason => ({
    ...{ kind: 'deleteShare', of, measure },
    text: `${measure} rows of ${of}`,
  });
  it('covers what was shown, and what has become less', () => {
    expect(notApproved([deletes(3)], [deletes(3)])).toEqual([]);
    expect(notApproved([deletes(2)], [deletes(3)])).toEqual([]);
  });
  it('does not cover what has become more, nor another table, nor another guard', () => {
    expect(notApproved([deletes(4)], [deletes(3)])).toEqual([deletes(4)]);
    expect(notApproved([deletes(1, 'invoice')], [deletes(3)])).toEqual([deletes(1, 'invoice')]);
    const other: Reason = { ...deletes(1), kind: 'emptySource' };
    expect(notApproved([other], [deletes(3)])).toEqual([other]);
  });
  it('is asked for with every reason, the counts, what to do, and when it is too late', () => {
    const text = approvalText([deletes(3), deletes(7, 'invoice')], gate().tables, '2026-01-02T03:04:05.000Z');
    expect(text).toContain('3 rows of customer; 7 rows of invoice');
    expect(text).toContain(
      'customer: 30 rows at the source, 10 to insert, 5 to update, 3 to delete, 2 where live keeps a value',
    );
    expect(text).toMatch(/stageswap approve.*stageswap abort.*2026-01-02T03:04:05/);
  });
  it('is asked for in a text that stays short, however many reasons there are', () => {
    const many = Array.from({ length: 500 }, (_, index) => deletes(1, `table${index}`));
    expect(approvalText(many, gate().tables, '')).toContain('and 480 more');
  });
});
