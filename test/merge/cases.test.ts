import { describe, expect, it } from 'vitest';
import type { RunSpec, TableSpec } from '../../src/model/spec.js';
import { fieldVerdict, rowVerdict } from '../../src/model/verdict.js';
import { CASES, type Case, isFirstPublish, rowOf, saidBySource, tableBefore, tableOf } from './cases.js';
import { type Group, identityOf, publish, type Row } from './oracle.js';
import { changesOf, mappedColumns, remappedBase, type Shape, type ShapedTable } from './shape.js';

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

/** `explain` has the rules a second time, in TypeScript: by their words, what the specification says. */
describe('the merge, case by case, as `explain` tells it', () => {
  it.each(CASES)('$name', (one) => {
    const { spec, table } = specOf(one);
    const rows = {
      base: saidBySource(rowOf(one.base, 1)),
      source: saidBySource(rowOf(one.source, 1)),
      live: rowOf(one.live, 1),
    };
    const row = rowVerdict(spec, table, rows);
    const fields = new Set(table.units.map((unit) => fieldVerdict(spec, table, unit, rows)));
    if (fields.size > 1) fields.delete('agreed');
    const told = {
      merge: [...fields],
      insert: ['inserted'],
      delete: ['deleted'],
      keep: [one.base ? 'kept' : 'own'],
      staysDeleted: ['staysDeleted'],
      sameKey: ['heldBack'],
      deletedAtSource: ['kept'],
      deletedInLive: ['staysDeleted'],
      nowhere: ['gone'],
    }[row];
    expect(told).toEqual([one.verdict]);
    if (row === 'insert') return; // a row that is restored may be a conflict, too, which the list of conflicts tells
    const conflict = row === 'merge' ? (fields.has('conflict') ? 'field' : undefined) : CONFLICT_OF[row];
    expect(conflict).toBe(one.conflict);
  });
});

const CONFLICT_OF: Partial<Record<ReturnType<typeof rowVerdict>, string>> = {
  sameKey: 'sameKey',
  deletedAtSource: 'deletedAtSource',
  deletedInLive: 'deletedInLive',
};

/** What the two functions read of a specification, of the case's table. */
function specOf(one: Case): { spec: RunSpec; table: TableSpec } {
  const shaped = tableOf(one);
  const changes = changesOf(shaped, tableBefore(one));
  const columns = mappedColumns(shaped).map((name) => ({
    live: { name },
    ...(changes[name] ? { noBase: changes[name] } : {}),
  }));
  const { key, units, onSourceDelete, onLiveDelete } = shaped;
  return {
    spec: {
      firstRun: one.policy?.firstRun ?? 'source',
      baseGeneration: isFirstPublish(one) ? null : 1,
    } as RunSpec,
    table: { live: 'doc', key, columns, units, onSourceDelete, onLiveDelete } as unknown as TableSpec,
  };
}
