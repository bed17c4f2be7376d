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

/** A key for people: its value alone where it has one column. */
export function keyText(key: Values): string {
  return Object.values(key ?? {})
    .map(short)
    .join(', ');
}
