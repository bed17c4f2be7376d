import type { TableConfig } from '../config/load.js';
import { keyRefusalOf, lossOf, refusalOf, stopOf } from '../model/conversion.js';
import type { LiveTable } from '../mysql/schema.js';
import type { SourceTable } from '../sql-server/schema.js';
import type { Report } from './finding.js';
import { alikeColumns, sourceColumnOf } from './source-names.js';

/** What a mapping of columns may be: both sides are there, and one can hold what the other says. */
export function decideColumns(
  table: TableConfig,
  live: LiveTable,
  source: SourceTable,
  timeZone: string | undefined,
  refuse: Report,
  warn: Report,
): void {
  for (const [name, column] of Object.entries(table.columns)) {
    const where = `${table.live}.${name}`;
    const to = live.columns.find((candidate) => candidate.name === name);
    const from = sourceColumnOf(source, column.from);
    const alike = from ? [] : alikeColumns(source, column.from);
    if (!to)
      refuse(
        where,
        'live has no such column',
        `${spelledOtherwise(name, live)}correct tables[].columns, or add the column`,
      );
    if (!from)
      refuse(
        `${table.source}.${column.from}`,
        alike.length > 1
          ? `the source has more than one such column: ${alike.join(', ')}`
          : 'the source has no such column',
        alike.length > 1
          ? 'write the one that is meant, letter by letter'
          : 'correct from, or take the column out',
      );
    if (!to || !from) continue;
    if (to.generated) refuse(where, 'is a generated column: MySQL computes it', 'take it out of columns');
    const refusal = refusalOf(from, to, timeZone);
    if (refusal) refuse(where, refusal.what, refusal.cure);
    const keyRefusal = table.key.includes(name) ? keyRefusalOf(from, to) : undefined;
    if (keyRefusal) refuse(where, keyRefusal.what, keyRefusal.cure);
    if (from.nullable && !to.nullable && !table.key.includes(name))
      warn(where, 'the source allows NULL and live does not: a NULL will stop the run', 'allow NULL in live');
    if (from.masked)
      warn(
        `${table.source}.${from.name}`,
        'the column is masked: a login without the permission UNMASK reads masks, and a run would publish them',
        'GRANT UNMASK to the login, or take the column out',
      );
    const loss = lossOf(from, to, timeZone);
    if (loss !== undefined) warn(where, loss, 'nothing to do, if that is enough');
    const stop = stopOf(from, to, timeZone);
    if (stop !== undefined)
      warn(
        where,
        `${from.type} goes into ${to.columnType}: ${stop} will stop the run`,
        "nothing to do, if there is none; else give live's column the digits, or set such rows aside: badRows: quarantine",
      );
  }
  for (const column of live.columns) {
    if (column.autoIncrement && !Object.hasOwn(table.columns, column.name))
      refuse(
        `${table.live}.${column.name}`,
        'counts itself (AUTO_INCREMENT) and is not mapped: the next version of live would count new rows from 1, and give numbers twice',
        'map it, or take AUTO_INCREMENT off it: ALTER TABLE … MODIFY, with a default',
      );
    if (
      Object.hasOwn(table.columns, column.name) ||
      column.generated ||
      column.nullable ||
      column.default !== null ||
      column.autoIncrement
    )
      continue;
    refuse(
      `${table.live}.${column.name}`,
      'is not mapped, has no default and is NOT NULL: new rows cannot be made',
      'map it, or give it a default',
    );
  }
}

function spelledOtherwise(name: string, live: LiveTable): string {
  const near = live.columns.find((column) => column.name.toLowerCase() === name.toLowerCase());
  return near ? `write ${near.name}; or ` : '';
}
