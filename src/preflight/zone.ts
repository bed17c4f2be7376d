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
  const { name: zone, isUtc } = server.timeZone ?? { name: '', isUtc: true };
  for (const { name, what } of dependentOnZone(live)) {
    const where = `${table.live}.${name}`;
    if (isUtc)
      warn(
        where,
        `${what} depends on the time zone of whoever writes: it is computed in UTC when a run writes, as by any client that sets none`,
        'nothing to do, if no client sets another; else compute it from a DATETIME',
      );
    else
      refuse(
        where,
        `${what} depends on the time zone of whoever writes: a run would compute it in UTC, and the server's zone is ${zone}`,
        'compute it from a DATETIME; a column may also be VIRTUAL, without an index',
      );
  }
  for (const column of live.columns) {
    if (isUtc || Object.hasOwn(table.columns, column.name) || column.generated) continue;
    if (!isExpression(column) || digitsOfNow(column) !== undefined) continue;
    if (column.type === 'timestamp' ? !MOMENT.test(column.default ?? '') : isLocal(column, live))
      refuse(
        `${table.live}.${column.name}`,
        `its default ${column.default} depends on the time zone of whoever writes: new rows of a run would get it in UTC, and the server's zone is ${zone}`,
        'make the default a plain CURRENT_TIMESTAMP, CURDATE() or CURTIME(), for which a run takes the zone of the server, or map the column',
      );
  }
}

const isExpression = (column: LiveColumnFacts) => /DEFAULT_GENERATED/i.test(column.extra);
/** A moment is one everywhere, and some hours later, too; days are not equally long. */
const MOMENT =
  /^\(*(?:now|current_timestamp|localtime|localtimestamp)(?:\(\d*\))?(?: *[+-] *interval \d+ (?:hour|minute|second|microsecond))?\)*$/i;

/** Speaks of the clock, turns moments into local time or back, or reads a column that holds a moment. */
function isLocal(column: LiveColumnFacts, live: LiveTable): boolean {
  const expression = (column.default ?? '').replace(/_?\w*\\?'(?:[^'\\]|\\[^']|\\'|'')*\\?'/g, "''");
  const reads = live.columns.some(
    ({ name, type }) => type === 'timestamp' && expression.includes(id(name).text),
  );
  return reads || LOCAL.test(expression);
}
const LOCAL =
  /\b(now|current_timestamp|localtime|localtimestamp|sysdate|curdate|current_date|curtime|current_time|from_unixtime|unix_timestamp)\b/i;
/** Functions that are the moment, and no more, by the type of column that keeps them as the server's clock shows them. */
const NOW: Record<string, RegExp> = {
  datetime: /^(?:now|current_timestamp|localtime|localtimestamp)(?:\((\d*)\))?$/i,
  date: /^(?:curdate|current_date)(?:\(\))?$/i,
  time: /^(?:curtime|current_time)(?:\((\d*)\))?$/i,
};

/** Digits after the second of a default that is the moment; undefined: it is another. */
export function digitsOfNow(column: LiveColumnFacts): number | undefined {
  if (!isExpression(column)) return undefined;
  const found = NOW[column.type]?.exec(column.default ?? '');
  return found ? Number(found[1] ?? 0) : undefined;
}

/** What live stores, or MySQL decides, of values that depend on the zone: directly, or by a generated column that does. */
function dependentOnZone(live: LiveTable): { name: string; what: string }[] {
  const timestamps = live.columns.filter(({ type }) => type === 'timestamp');
  const moments = new Set(timestamps.flatMap(({ name, generated: made }) => (made ? [] : name)));
  const local = new Set(timestamps.map(({ name }) => name));
  const depends = (expression: string) =>
    /\bfrom_unixtime\b/i.test(expression) || [...local].some((name) => expression.includes(id(name).text));
  const generated = live.columns.filter(({ expression }) => expression);
  const byZone = new Set<string>();
  for (let before = -1; before < byZone.size; ) {
    before = byZone.size;
    for (const { name, type, expression = '' } of generated) {
      // a TIMESTAMP that is made of anything else was a local time
      if (byZone.has(name) || (type !== 'timestamp' && !depends(expression))) continue;
      byZone.add(name);
      local.add(name);
    }
  }
  const stored = generated.filter(({ name, extra }) => byZone.has(name) && /STORED/i.test(extra));
  const indexes = (live.indexed ?? []).filter(
    ({ columns, expressions }) => columns.some((name) => byZone.has(name)) || expressions.some(depends),
  );
  const checks = live.checks.filter(
    ({ clause, enforced }) => enforced && depends(clause) && !isComparisonAlone(clause, moments),
  );
  return [
    ...stored.map(({ name }) => ({ name, what: 'this stored column' })),
    ...indexes.map(({ index }) => ({ name: index, what: 'what this index is over' })),
    ...checks.map(({ name }) => ({ name, what: 'this CHECK constraint over a TIMESTAMP' })),
  ];
}

/** Two moments compare alike in every zone, as long as nothing else is asked of them. */
function isComparisonAlone(clause: string, moments: Set<string>): boolean {
  const rest = [...moments].reduce((text, name) => text.replaceAll(id(name).text, ''), clause);
  return /^(?:[\s()<>=!&|]|\b(?:check|and|or|not|is|null)\b)*$/i.test(rest);
}
