import { physicalTable } from '../model/names.js';
import { type Assertion, baseGenerationOf, type RunSpec, type TableSpec } from '../model/spec.js';
import { at, same, sameKey } from './columns.js';
import { as } from './shape.js';
import { type Fragment, id, join, raw, sql } from './text.js';

/** What guards ask before the cut-over. */

const NUMBERS = new Set('tinyint smallint mediumint int bigint decimal float double bit'.split(' '));
const TEXTS = new Set('char varchar tinytext text mediumtext longtext'.split(' '));

/**
 * Of the rows that the source has now and had at the last publish: how many there are (`compared`), and by column how
 * many it changed (`changed<n>`) and in how many the value became NULL, zero or empty (`emptied<n>`), n being the
 * column's place in the mapping.
 *
 * @returns null on a first publish: there is nothing to compare with
 */
export function countChanges(spec: RunSpec, table: TableSpec): Fragment | null {
  const before = baseGenerationOf(spec, table);
  if (before === null) return null;
  const source = (generation: number, role: string) =>
    sql`${id(physicalTable(generation, 'baseNext', table.live))} AS ${as(table, role)}`;
  const empty = (role: string, name: string, type: string) => {
    const value = at(table, role, name);
    if (NUMBERS.has(type)) return sql`(${value} IS NULL OR ${value} = 0)`;
    return TEXTS.has(type) ? sql`(${value} IS NULL OR ${value} = '')` : sql`(${value} IS NULL)`;
  };
  const counts = table.columns.flatMap(({ live, noBase }, index) => {
    // Another owner is the same column; of others the base says nothing that could be compared.
    const isThere = noBase === undefined || noBase === 'otherOwner';
    const sum = (name: string, when: Fragment) =>
      sql`COALESCE(SUM(${isThere ? when : raw('FALSE')}), 0) AS ${raw(`${name}${index}`)}`;
    return [
      sum('changed', sql`NOT ${same(live, at(table, 'i', live.name), at(table, 'a', live.name))}`),
      sum('emptied', sql`${empty('i', live.name, live.type)} AND NOT ${empty('a', live.name, live.type)}`),
    ];
  });
  return sql`SELECT COUNT(*) AS compared, ${join(counts)}
FROM ${source(spec.generation, 'i')} JOIN ${source(before, 'a')} ON ${sameKey(table, 'a', 'i')}`;
}

const PLACE = /\{([^{}]+)\}/g;

/** Tables that an assertion names in braces. */
export function tablesOfAssertion(assertion: Assertion): string[] {
  return [...assertion.sql.matchAll(PLACE)].map((match) => match[1] ?? '');
}

/** How many rows break an assertion; `nameOf` says which table stands for a live one. */
export function breaches(assertion: Assertion, nameOf: (live: string) => string): Fragment {
  const text = assertion.sql.trim().replace(/;$/, '');
  return raw(
    `SELECT COUNT(*) AS n FROM (${text.replace(PLACE, (_, live: string) => id(nameOf(live)).text)}) AS breaches`,
  );
}
