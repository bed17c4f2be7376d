import type { Config } from '../config/load.js';
import { otherKey } from '../model/mapping.js';
import { type NoBase, type RunSpec, type TableSpec, withoutBase } from '../model/spec.js';
import type { Report } from './finding.js';

const BECAUSE: Record<NoBase, string> = {
  new: 'is new to the mapping',
  otherType: 'was of another type when it was last published',
  otherSource: 'was taken from another column, or converted otherwise, when it was last published',
  otherOwner: 'had another owner when it was last published',
};

/**
 * What changed since live was last published: keys by which the base cannot be found are refused; of what has no base it
 * is said that `firstRun` decides.
 *
 * @param spec as the next run would be specified
 * @param then as live was last published
 */
export function decideMapping(
  config: Config,
  spec: RunSpec,
  then: RunSpec,
  refuse: Report,
  warn: Report,
): void {
  const decides = `so firstRun: ${spec.firstRun} decides where the two sides differ, and the run asks first unless approve is never`;
  for (const table of spec.tables) {
    const before = then.tables.find(({ live }) => live === table.live);
    if (!before) {
      warn(table.live, `is new to ${config.pipeline}, ${decides}`, 'look at the counts before you approve');
      continue;
    }
    const other = otherKey(table, before);
    if (other !== undefined)
      refuse(table.live, `${other}: rows of the last publish cannot be found by it`, cureOfKey(table));
    for (const { name, noBase } of withoutBase(table))
      warn(
        `${table.live}.${name}`,
        `${BECAUSE[noBase]}, ${decides}`,
        'look at the counts before you approve',
      );
  }
  for (const { live } of then.tables)
    if (!spec.tables.some((table) => table.live === live))
      warn(
        live,
        'was published by this pipeline, and is not among its tables any more: live keeps what it has',
        'put it back into tables if that was not meant',
      );
}

const cureOfKey = (table: TableSpec) =>
  `change it back; or leave ${table.live} out of tables for one publish, with the tables that foreign keys tie to it, and then put it back: it is published like the first time`;
