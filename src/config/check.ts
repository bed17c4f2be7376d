import {
  isReservedColumn,
  isReservedTable,
  LIVE_NAME_CHARACTERS_MAX,
  triggerNameOf,
} from '../model/names.js';
import { isTimeZone } from '../model/time-zone.js';
import { parseWindow } from '../model/window.js';
import type { Config, TableConfig } from './load.js';
import type { Reporter } from './problems.js';
import { unbracket } from './source-table.js';

/** What spans several keys. Names of live compare without regard to case, as MySQL's columns do. */
export function checkAcross(config: Config, report: Reporter): void {
  if (config.timeZone !== undefined && !isTimeZone(config.timeZone)) {
    report(['timeZone'], `${config.timeZone} is not a time zone`, 'write an IANA name such as Europe/Berlin');
  }
  checkWindow(config.window, report);
  const seenLive = new Map<string, number>();
  const seenSource = new Map<string, number>();
  config.tables.forEach((table, index) => {
    const at = (...rest: PropertyKey[]) => ['tables', index, ...rest];
    const earlier = seenLive.get(triggerNameOf(table.live));
    if (earlier !== undefined) {
      report(
        at('live'),
        `${table.live} is also the live table of tables[${earlier}], or differs from it by case and accents alone`,
        'publish each live table once: MySQL ignores case and accents in names of triggers',
      );
    }
    seenLive.set(triggerNameOf(table.live), index);
    if (!/^[^.]+(\.[^.]+)?$/.test(unbracket(table.source))) {
      report(at('source'), `${table.source} is not schema.table`, 'write schema.table, such as dbo.Customer');
    }
    const twin = seenSource.get(table.source.toLowerCase());
    if (twin !== undefined) {
      report(
        at('source'),
        `${table.source} is also the source of tables[${twin}]`,
        'map each source table once',
      );
    }
    seenSource.set(table.source.toLowerCase(), index);
    if ([...table.live].length > LIVE_NAME_CHARACTERS_MAX) {
      report(
        at('live'),
        `${table.live} is longer than ${LIVE_NAME_CHARACTERS_MAX} characters, so that a run's names beside it would not fit MySQL's 64`,
        'rename the live table',
      );
    }
    if (isReservedTable(table.live)) {
      report(
        at('live'),
        `${table.live} is a name that runs make for themselves`,
        'name a table of the application',
      );
    }
    checkColumns(table, at, report);
    checkGroups(table, at, report);
  });
}

function checkWindow(text: string | undefined, report: Reporter): void {
  if (text === undefined) return;
  const window = parseWindow(text);
  const cure = 'write from-to and an IANA zone, such as 02:00-04:00 Europe/Berlin';
  if (!window) report(['window'], `${text} is no part of a day`, cure);
  else if (!isTimeZone(window.timeZone)) report(['window'], `${window.timeZone} is not a time zone`, cure);
}

type At = (...rest: PropertyKey[]) => PropertyKey[];

function checkColumns(table: TableConfig, at: At, report: Reporter): void {
  const names = Object.keys(table.columns);
  if (names.length === 0) {
    report(at('columns'), `${table.live} maps no column`, 'map at least the key');
  }
  const integerLike = names.find((name) => /^(0|[1-9]\d*)$/.test(name));
  if (integerLike !== undefined) {
    // JavaScript would move such a name to the front of its object, and columns would lose their order
    report(at('columns', integerLike), 'a column whose name is a whole number', 'rename the column');
  }
  const seen = new Set<string>();
  for (const name of names) {
    if (seen.has(name.toLowerCase())) {
      report(at('columns', name), `${name} is mapped twice, MySQL ignores case in columns`, 'map it once');
    }
    seen.add(name.toLowerCase());
    if (isReservedColumn(name)) {
      report(at('columns', name), `${name} is a name that runs make for themselves`, 'rename the column');
    }
  }
  table.key.forEach((name, index) => {
    if (!names.includes(name)) {
      report(at('key', index), `${name} is not among the columns`, `map it: ${name}: itsSourceColumn`);
    }
    if (table.key.indexOf(name) !== index) {
      report(at('key', index), `${name} is named twice in the key`, 'name it once');
    }
  });
}

function checkGroups(table: TableConfig, at: At, report: Reporter): void {
  const seen = new Set<string>();
  table.groups.forEach((group, g) => {
    const first = table.columns[group[0] ?? ''];
    group.forEach((name, index) => {
      const column = table.columns[name];
      const path = at('groups', g, index);
      if (!column) {
        report(path, `${name} is not among the columns`, `map it: ${name}: itsSourceColumn`);
      }
      if (seen.has(name)) {
        report(path, `${name} is in two groups, or twice in one`, 'name it in one group, once');
      }
      seen.add(name);
      if (table.key.includes(name)) {
        report(path, `${name} is of the key, which is never merged`, 'leave it out of the group');
      }
      if (column && first && (column.owner !== first.owner || column.onConflict !== first.onConflict)) {
        report(
          path,
          `${name} differs from ${group[0]} in owner or onConflict`,
          'columns of a group are one value: give all the same owner and onConflict',
        );
      }
    });
  });
}
