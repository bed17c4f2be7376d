import { sourceTableName } from '../config/source-table.js';
import type { SourceColumnFacts, SourceTable } from '../sql-server/schema.js';

/**
 * Names of the source as a configuration has them: as written, else regardless of case where only one thing is called so.
 * In a database that tells `Email` from `email`, one must not be taken for the other.
 */
const sameName = (left: string, right: string) => left.toLowerCase() === right.toLowerCase();

function theOne<T>(
  all: T[],
  isIt: (candidate: T) => boolean,
  mayBe: (candidate: T) => boolean,
): T | undefined {
  const exact = all.find(isIt);
  if (exact) return exact;
  const candidates = all.filter(mayBe);
  return candidates.length === 1 ? candidates[0] : undefined;
}

/** The source's table of a configured name, such as `dbo.Customer`. */
export function sourceOf(source: SourceTable[], name: string): SourceTable | undefined {
  const wanted = sourceTableName(name);
  return theOne(
    source,
    (table) => table.schema === wanted.schema && table.name === wanted.table,
    (table) => sameName(table.schema, wanted.schema) && sameName(table.name, wanted.table),
  );
}

/** The column of a source's table of a configured name. */
export function sourceColumnOf(table: SourceTable, name: string): SourceColumnFacts | undefined {
  return theOne(
    table.columns,
    (column) => column.name === name,
    (column) => sameName(column.name, name),
  );
}

/** Columns that a name could stand for, where it stands for none: a person must say which. */
export function alikeColumns(table: SourceTable, name: string): string[] {
  return table.columns.filter((column) => sameName(column.name, name)).map((column) => column.name);
}
