import { describe, expect, it } from 'vitest';
import { approvalNeeded, type Gate } from '../src/model/approval.js';

/** The gate before the cut-over, as a pure function of the configuration and of what the run found. */
const gate = (change: Partial<Gate> = {}): Gate => ({
  approve: 'firstPublish',
  firstPublish: true,
  passedFirst: false,
  tables: [{ table: 'customer', rowsRead: 30, inserted: 10, updated: 5, keptLive: 2 }],
  ...change,
});
const empty = [{ table: 'customer', rowsRead: 0, inserted: 0, updated: 0, keptLive: 0 }];

describe('a first publish', () => {
  it('waits, and says the counts', () => {
    const why = approvalNeeded(gate());
    expect(why).toContain('nothing was published before');
    expect(why).toContain(
      'customer: 30 rows at the source, 10 to insert, 5 to update, 2 where live keeps a value',
    );
    expect(why).toContain('stageswap approve');
  });
  it('from an empty source waits, whatever approve says', () => {
    for (const approve of ['never', 'firstPublish', 'always'] as const) {
      expect(approvalNeeded(gate({ approve, tables: empty })), approve).toContain(
        'no row at the source for customer',
      );
    }
  });
  it('waits for one empty table among others, and names it', () => {
    const tables = [...gate().tables, { ...empty[0], table: 'invoice' } as Gate['tables'][0]];
    expect(approvalNeeded(gate({ approve: 'never', tables }))).toContain('for invoice.');
  });
  it('does not wait for one that passed its gate when starting the run', () => {
    for (const approve of ['never', 'firstPublish', 'always'] as const)
      for (const tables of [gate().tables, empty])
        expect(approvalNeeded(gate({ approve, passedFirst: true, tables })), approve).toBeUndefined();
  });
});

describe('a later run', () => {
  const later = (change: Partial<Gate>) => approvalNeeded(gate({ firstPublish: false, ...change }));
  it('does not wait by default', () => expect(later({})).toBeUndefined());
  it('does not wait where approve is never', () => expect(later({ approve: 'never' })).toBeUndefined());
  it('waits where approve is always, also if the gate of a first publish was passed', () => {
    expect(later({ approve: 'always' })).toContain('asks in every run');
    expect(later({ approve: 'always', passedFirst: true })).toContain('asks in every run');
  });
  it('leaves an empty source to the guard, which knows the base', () => {
    expect(later({ tables: empty })).toBeUndefined();
  });
});

it('approve: never asks nothing of a first publish that has rows', () => {
  expect(approvalNeeded(gate({ approve: 'never' }))).toBeUndefined();
});
