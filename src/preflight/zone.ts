import type { TableConfig } from '../config/load.js';
import type { LiveColumnFacts, LiveTable, ServerFacts } from '../mysql/schema.js';
import { id } from '../sql/text.js';
import type { Report } from './finding.js';

/**
 * What MySQL computes in the time zone of the session that writes: a run's sessions write in UTC, the application's in the
 * server's zone, or in one of their own. A run must not write what neither side said.
 */
export function decideZone(
  table: TableConfig,
  live: LiveTable,
  server: ServerFacts,
  refuse: Report,
  warn: Report,
): void {
  const isUtc = server.timeZone === undefined || UTC.test(server.timeZone);
  for (const { name, what } of storedByZone(live)) {
    const where = `${table.live}.${name}`;
    if (isUtc)
      warn(
        where,
        `${what} is computed from a TIMESTAMP, in UTC when a run writes it, as by any client that sets no time zone`,
        'nothing to do, if no client sets another; else compute it from a DATETIME',
      );
    else
      refuse(
        where,
        `${what} is computed from a TIMESTAMP in the time zone of whoever writes: a run would write it in UTC, and the server's zone is ${server.timeZone}`,
        'compute it from a DATETIME, or make it VIRTUAL and take it out of indexes',
      );
  }
  for (const column of live.columns) {
    if (isUtc || Object.hasOwn(table.columns, column.name) || column.generated) continue;
    if (!isExpression(column) || column.type === 'timestamp' || isNow(column)) continue;
    if (LOCAL.test(column.default ?? ''))
      refuse(
        `${table.live}.${column.name}`,
        `its default ${column.default} depends on the time zone of whoever writes: new rows of a run would get it in UTC, and the server's zone is ${server.timeZone}`,
        'make the default a plain CURRENT_TIMESTAMP, CURDATE() or CURTIME(), for which a run takes the zone of the server, or map the column',
      );
  }
}

const UTC = /^([+-]00:00|UTC|UCT|GMT|Zulu|Universal|Etc\/(UTC|UCT|GMT|Zulu|Universal))?$/i;

const isExpression = (column: LiveColumnFacts) => /DEFAULT_GENERATED/i.test(column.extra);
const LOCAL =
  /\b(now|current_timestamp|localtime|localtimestamp|sysdate|curdate|current_date|curtime|current_time|from_unixtime)\b/i;
const NOW =
  /^(now|current_timestamp|localtime|localtimestamp|curdate|current_date|curtime|current_time)(\(\d*\))?$/i;

/** A default that is the moment, and no more, of a column that keeps it as the server's clock shows it. */
export function isNow(column: LiveColumnFacts): boolean {
  return (
    isExpression(column) &&
    ['datetime', 'date', 'time'].includes(column.type) &&
    NOW.test(column.default ?? '')
  );
}

/** What live stores of values that depend on the zone: generated columns and indexes, over TIMESTAMPs, directly or not. */
function storedByZone(live: LiveTable): { name: string; what: string }[] {
  const local = new Set(live.columns.filter(({ type }) => type === 'timestamp').map(({ name }) => name));
  const depends = (expression: string) => [...local].some((name) => expression.includes(id(name).text));
  const generated = live.columns.filter(({ expression }) => expression);
  const byZone = new Set<string>();
  for (let before = -1; before < byZone.size; ) {
    before = byZone.size;
    for (const { name, type, expression = '' } of generated) {
      if (byZone.has(name) || !depends(expression)) continue;
      byZone.add(name);
      if (type !== 'timestamp') local.add(name);
    }
  }
  const stored = generated.filter(({ name, extra }) => byZone.has(name) && /STORED/i.test(extra));
  const indexes = (live.indexed ?? []).filter(
    ({ columns, expressions }) => columns.some((name) => byZone.has(name)) || expressions.some(depends),
  );
  return [
    ...stored.map(({ name }) => ({ name, what: 'this stored column' })),
    ...indexes.map(({ index }) => ({ name: index, what: 'what this index is over' })),
  ];
}
