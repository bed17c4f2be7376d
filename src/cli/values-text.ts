import type { Values } from '../mysql/settlements.js';

const CHARACTERS_MAX = 40;

/** Some columns' values as a cell of a table: a single one alone, several by name, a row that is not there as such. */
export function valuesText(values: Values, columns?: string[]): string {
  if (values === null) return '(no row)';
  const names = columns ?? Object.keys(values);
  if (names.length === 1) return short(values[names[0] ?? ''] ?? null);
  return names.map((name) => `${name}: ${short(values[name] ?? null)}`).join('\n');
}

export function short(value: string | null): string {
  if (value === null) return 'NULL';
  const text = JSON.stringify(value).slice(1, -1);
  return text.length > CHARACTERS_MAX ? `${text.slice(0, CHARACTERS_MAX)}…` : text;
}

/**
 * A key as commands take it: the value alone where it has one column, else a JSON array. MySQL keeps JSON's members in an
 * order of its own, so the order comes from the table.
 *
 * @param columns the table's key, in order; undefined, or another key than it was then: as MySQL has it
 */
export function keyText(key: Values, columns: string[] | undefined): string {
  const held = key ?? {};
  const known = Object.keys(held);
  const same = columns?.length === known.length && columns.every((name) => known.includes(name));
  const values = (same ? columns : known).map((name) => held[name] ?? null);
  const [first = null] = values;
  if (values.length > 1) return JSON.stringify(values);
  return first === null || /\p{Cc}/u.test(first) ? short(first) : first;
}
