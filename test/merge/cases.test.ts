import { describe, expect, it } from 'vitest';
import { CASES, isFirstPublish, rowOf, saidBySource, tableBefore, tableOf } from './cases.js';
import { type Group, identityOf, publish, type Row } from './oracle.js';
import { remappedBase, type Shape, type ShapedTable } from './shape.js';

const shapeOf = (table: ShapedTable): Shape => ({ firstRun: 'source', chunkRows: 5, tables: [table] });

describe('the merge, case by case, in the oracle', () => {
  it.each(CASES)('$name', (one) => {
    const table = tableOf(one);
    const group = (row: Row | null): Group => ({
      doc: new Map(row ? [[identityOf(table, row), row]] : []),
    });
    const { outcomes, live, base, conflicts } = publish([table], {
      firstRun: one.policy?.firstRun ?? 'source',
      base: isFirstPublish(one)
        ? null
        : remappedBase(shapeOf(table), group(saidBySource(rowOf(one.base, 1))), shapeOf(tableBefore(one))),
      source: group(saidBySource(rowOf(one.source, 1))),
      live: group(rowOf(one.live, 1)),
    });
    expect(live).toEqual(group(rowOf(one.merged, 1)));
    expect(base).toEqual(group(saidBySource(rowOf(one.nextBase, 1))));
    expect(conflicts.map(({ kind }) => kind)).toEqual(one.conflict ? [one.conflict] : []);
    const outcome = outcomes.doc?.values().next().value;
    const fields = new Set(Object.values(outcome?.fields ?? {}));
    if (fields.size > 1) fields.delete('agreed');
    expect([...fields, outcome?.verdict]).toContain(one.verdict);
  });

  it('has a name for each case', () => {
    expect(new Set(CASES.map(({ name }) => name)).size).toBe(CASES.length);
  });
});
