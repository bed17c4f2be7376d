import { StageswapError } from './failures.js';
import { isBytes, isMembers, isString, membersOf } from './live-type.js';
import type { LiveColumn, TableSpec } from './spec.js';

const NUMBER = /^-?\d+(\.\d+)?$/;
const HEX = /^([0-9a-fA-F]{2})*$/;
const MOMENT = /^[-\d][\d :.-]*$/;

/**
 * Refuses a key that an operator mistyped, where MySQL would take it for another: it reads 'abc' as 0.
 *
 * @param key one text a key column, in key order; bytes as hexadecimal
 * @throws {StageswapError} Mistyped
 */
export function refuseBadKey(table: TableSpec, key: string[]): void {
  table.key.forEach((name, index) => {
    const column = table.columns.find((candidate) => candidate.live.name === name)?.live;
    const text = key[index] ?? '';
    if (column && !fits(column, text))
      throw new StageswapError(
        'Mistyped',
        `${text} is no value of ${table.live}.${name}, ${column.columnType}. Write the key as live has it; bytes as hexadecimal.`,
      );
  });
}

function fits(column: LiveColumn, text: string): boolean {
  if (isBytes(column)) return HEX.test(text);
  if (column.type === 'enum') return membersOf(column).includes(text);
  if (isMembers(column) || isString(column)) return true;
  return /date|time|year/.test(column.type) ? MOMENT.test(text) : NUMBER.test(text);
}
