import type { TableConfig } from '../config/load.js';
import { isInteger } from '../model/live-type.js';
import type { LiveColumnFacts, LiveTable } from '../mysql/schema.js';
import type { Report } from './finding.js';

/** What `localKeys` says of a table, compared with what the two sides hold; keys are whole numbers as text. */
export interface LocalKeyFacts {
  /** the lowest key of the source in the application's range */
  sourceInRange?: string | undefined;
  /** a row of live, without a base, that is outside of what localKeys gives to the application */
  ownOutside?: string | undefined;
  /** the next key that live gives by itself */
  next?: string | undefined;
}

/** The column that localKeys is about: the one that counts by itself, or the only one of the key; it holds whole numbers. */
export function localKeyColumn(table: TableConfig, live: LiveTable): LiveColumnFacts | undefined {
  const columns = live.columns.filter(({ name }) => table.key.includes(name));
  const column =
    columns.find(({ autoIncrement }) => autoIncrement) ?? (columns.length === 1 ? columns[0] : undefined);
  return column && isInteger(column) ? column : undefined;
}

/** Whose keys an AUTO_INCREMENT column gives, and whether what localKeys says of it is so. */
export function decideLocalKeys(
  table: TableConfig,
  live: LiveTable,
  found: LocalKeyFacts,
  refuse: Report,
  warn: Report,
): void {
  const { localKeys } = table;
  const counted = live.columns.find(({ name, autoIncrement }) => autoIncrement && table.key.includes(name));
  if (localKeys === undefined) {
    if (counted)
      warn(
        `${table.live}.${counted.name}`,
        'AUTO_INCREMENT may give a row of the application the key that billing gives another (conflict sameKey)',
        "say localKeys: none if the application inserts no row, or localKeys: { from: '…' } for a range of its own",
      );
    return;
  }
  const own = `live has a row ${found.ownOutside} that billing did not have when it was last published`;
  if (localKeys === 'none') {
    if (found.ownOutside !== undefined)
      warn(
        table.live,
        `localKeys says that the application inserts no row, and ${own}`,
        "if the application made it, give it a range of its own: localKeys: { from: '…' }",
      );
    return;
  }
  if (!localKeyColumn(table, live)) {
    refuse(
      table.live,
      'localKeys names a range, and no column of the key counts by itself or is a single whole number',
      'write localKeys: none, or leave it out',
    );
    return;
  }
  const { from } = localKeys;
  if (found.sourceInRange !== undefined)
    refuse(
      table.source,
      `has the key ${found.sourceInRange}, in the range that localKeys gives to the application (from ${from})`,
      'let localKeys begin above every key that billing gives',
    );
  if (found.ownOutside !== undefined)
    warn(
      table.live,
      `${own}, outside of the range that localKeys gives to the application (from ${from})`,
      'if the application made it, billing may give its key to another row (conflict sameKey): give it a key of the range',
    );
  if (counted && found.next !== undefined && BigInt(found.next) < BigInt(from))
    warn(
      `${table.live}.${counted.name}`,
      `the next key that live gives is ${found.next}, outside of the range that localKeys gives to the application (from ${from})`,
      `ALTER TABLE ${table.live} AUTO_INCREMENT = ${from}`,
    );
}
