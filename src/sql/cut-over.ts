import { physicalTable } from '../model/names.js';
import type { RunSpec, TableSpec } from '../model/spec.js';
import { tablesOfMerge } from './merge.js';

/** Every table and alias that the cut-over touches for one table of the group: LOCK TABLES wants each (1100). */
export function tablesOfCutOver(
  spec: RunSpec,
  table: TableSpec,
): { name: string; alias?: string; mode: 'READ' | 'WRITE' }[] {
  const stage = physicalTable(spec.generation, 'stage', table.live);
  return [
    ...tablesOfMerge(spec, table).map((wanted) => ({
      ...wanted,
      mode:
        wanted.alias === 'i' || wanted.alias === 'a' || wanted.alias === 'h'
          ? ('READ' as const)
          : ('WRITE' as const),
    })),
    { name: stage, alias: 'c', mode: 'READ' },
    { name: stage, alias: 'p', mode: 'READ' },
  ];
}
