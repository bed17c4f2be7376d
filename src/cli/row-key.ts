import type { TableConfig } from '../config/load.js';
import { EXIT } from '../model/exit-code.js';
import { CommandError } from './failure.js';

/** A row's key as an operator writes it: the value as it stands, or for a key of several columns a JSON array in key order. */
export function rowKey(table: TableConfig, text: string): string[] {
  if (table.key.length === 1) return [text];
  const parts = parsed(text);
  if (Array.isArray(parts) && parts.length === table.key.length) return parts.map(String);
  throw new CommandError(
    EXIT.usage,
    `${text} is no key of ${table.live}`,
    `its key is ${table.key.join(', ')}: write a JSON array of texts in that order, such as '${JSON.stringify(table.key.map(() => '1'))}'`,
  );
}

/** Texts and whole numbers; any other number would not be the text that was written, or lose digits. */
function parsed(text: string): unknown {
  const besideTexts = text.replace(/"(\\.|[^"\\])*"/g, '');
  if (/[.eE]/.test(besideTexts)) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    const exact = (part: unknown) => typeof part === 'string' || Number.isSafeInteger(part);
    return Array.isArray(value) && value.every(exact) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The key of a table of the configuration; undefined: it is no longer in it. */
export function keyOf(tables: TableConfig[], live: string): string[] | undefined {
  return tables.find((candidate) => candidate.live === live)?.key;
}

/** The table of the configuration that is called so in live. @throws {CommandError} exit 2: there is none */
export function tableNamed(tables: TableConfig[], name: string): TableConfig {
  const table = tables.find((candidate) => candidate.live === name);
  if (table) return table;
  throw new CommandError(
    EXIT.usage,
    `the pipeline has no table ${name}`,
    `it has ${tables.map(({ live }) => live).join(', ')}: name one of them as live calls it`,
  );
}

/** Whether the table, or one of all, maps such a column of live. @throws {CommandError} exit 2: none does */
export function columnNamed(all: TableConfig[], table: string | undefined, name: string): void {
  const tables = table === undefined ? all : [tableNamed(all, table)];
  if (tables.some(({ key, columns }) => key.includes(name) || Object.hasOwn(columns, name))) return;
  const known = tables.map(({ live, columns }) => `${live} has ${Object.keys(columns).join(', ')}`);
  throw new CommandError(
    EXIT.usage,
    table === undefined ? `the pipeline has no column ${name}` : `${table} has no column ${name}`,
    `${known.join('; ')}: name one of them as live calls it`,
  );
}
