import { describe, expect, it } from 'vitest';
import { CUSTOMERS_AND_INVOICES, conflictOf, GROUP_CASES, groupOf } from './group-cases.js';
import { publish } from './oracle.js';

describe('the rules across the group, case by case, in the oracle', () => {
  it.each(GROUP_CASES)('$name', (one) => {
    const { live, base, conflicts } = publish(CUSTOMERS_AND_INVOICES, {
      firstRun: 'source',
      base: groupOf([[1, one.base]]),
      source: groupOf([[1, one.source]]),
      live: groupOf([[1, one.live]]),
    });
    expect(live).toEqual(groupOf([[1, one.merged]]));
    expect(base).toEqual(groupOf([[1, one.nextBase]]));
    expect(conflicts.map(({ kind, table, key }) => ({ kind, table, key }))).toEqual(
      expect.arrayContaining(one.conflicts.map((written) => conflictOf(1, written))),
    );
    expect(conflicts).toHaveLength(one.conflicts.length);
  });
});
