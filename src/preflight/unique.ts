import type { TableConfig } from '../config/load.js';
import type { LiveColumnFacts, LiveTable } from '../mysql/schema.js';
import { id } from '../sql/text.js';
import type { Report } from './finding.js';

/**
 * Unique indexes that the source cannot fill: a new row gets the defaults of the columns that are not mapped, so of an index
 * over such columns alone all new rows would have one value, and hold each other back (conflict `unique`).
 */
export function decideUnique(table: TableConfig, live: LiveTable, refuse: Report, warn: Report): void {
  for (const index of live.uniqueIndexes) {
    const columns = columnsOf(index, live);
    if (columns.length === 0 || !columns.every((column) => isDefaulted(table, column))) continue;
    const names = columns.map(({ name }) => name).join(', ');
    const over = `unique index ${index.name} is over what is not mapped (${names})`;
    const cure = `map ${names}, or let it be NULL by default, of which any number may be in the index: ALTER TABLE … MODIFY … DEFAULT NULL`;
    // what an expression makes of the defaults may be NULL
    if (index.columns.includes(null))
      warn(table.live, `${over}: of new rows all may have one value there, and then none comes`, cure);
    else
      refuse(
        table.live,
        `${over}: all new rows would have one value there, ${defaults(columns)}, and none would come`,
        cure,
      );
  }
}

const defaults = (columns: LiveColumnFacts[]) =>
  `the default${columns.length > 1 ? 's' : ''} ${columns.map((column) => JSON.stringify(column.default)).join(', ')}`;

/** Columns that an index is over; of an expression those that it names. */
function columnsOf(index: LiveTable['uniqueIndexes'][0], live: LiveTable): LiveColumnFacts[] {
  return live.columns.filter(({ name }) =>
    index.columns.some(
      (column, place) =>
        column === name || (column === null && index.parts?.[place]?.expression?.includes(id(name).text)),
    ),
  );
}

/** Not mapped, and the same in all new rows: a default that is neither NULL nor another one in each row. */
function isDefaulted(table: TableConfig, column: LiveColumnFacts): boolean {
  if (Object.hasOwn(table.columns, column.name) || column.generated || column.autoIncrement) return false;
  if (column.default === null) return false;
  const computed = /DEFAULT_GENERATED/i.test(column.extra);
  return !computed || /^(current_timestamp|now)\b/i.test(column.default) || !column.default.includes('(');
}
