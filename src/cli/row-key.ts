import type { TableConfig } from '../config/load.js';
import { EXIT } from '../model/report.js';
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

/** Texts only: a JSON number would lose digits. */
function parsed(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) && value.every((part) => typeof part === 'string') ? value : undefined;
  } catch {
    return undefined;
  }
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
