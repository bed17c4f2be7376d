import type { ClientEdit, EditOutcome } from '../model/messages.js';
import { control } from '../model/names.js';
import { id, join, sql } from '../sql/text.js';
import { errorNumber, type Session } from './connection.js';

/** Tables and columns that edits may name: those of the pipeline's configuration. */
export interface Editable {
  live: string;
  key: string[];
}

/**
 * Applies one edit to live by field, with its id, in one transaction: applied means committed. The session must be one
 * whose writes capture logs. An id that is known already changes nothing.
 *
 * @returns refused, with the reason, for what no repetition can mend; anything else throws and may be repeated
 */
export async function applyEdit(
  session: Session,
  pipeline: string,
  tables: Editable[],
  edit: ClientEdit,
): Promise<EditOutcome> {
  const refused = (problem: string): EditOutcome => ({ editId: edit.editId, outcome: 'refused', problem });
  const table = tables.find((candidate) => candidate.live === edit.table);
  if (!table) return refused(`table ${edit.table} is not part of pipeline ${pipeline}`);
  if (Object.keys(edit.key).sort().join() !== [...table.key].sort().join())
    return refused(`the key of ${edit.table} is ${table.key.join(', ')}`);
  const set = Object.entries(edit.set);
  if (set.length === 0) return refused('the edit sets no column');
  if (set.some(([name]) => table.key.includes(name))) return refused('an edit cannot change the key');
  try {
    return await session.transaction(async () => {
      const fresh = await session.run(
        sql`INSERT IGNORE INTO ${id(control.edit)} (pipeline, edit_id, live, edited_by, outcome, applied_at) VALUES (${pipeline}, ${edit.editId}, ${edit.table}, ${edit.by ?? null}, 'applied', UTC_TIMESTAMP(6))`,
      );
      if (fresh === 0) return { editId: edit.editId, outcome: 'repeated' as const };
      const where = join(
        table.key.map((name) => sql`${id(name)} = ${edit.key[name]}`),
        ' AND ',
      );
      const found = await session.rows(
        sql`SELECT 1 AS found FROM ${id(edit.table)} WHERE ${where} FOR UPDATE`,
      );
      if (found.length === 0) throw new NoSuchRow(`${edit.table} has no row with that key`);
      await session.run(
        sql`UPDATE ${id(edit.table)} SET ${join(set.map(([name, value]) => sql`${id(name)} = ${value}`))} WHERE ${where}`,
      );
      return { editId: edit.editId, outcome: 'applied' as const };
    });
  } catch (error) {
    if (error instanceof NoSuchRow) return refused(error.message);
    const number = errorNumber(error);
    if (number !== undefined && REFUSALS.has(number))
      return refused(`MySQL refuses it (error ${number}): a value does not fit its column, or breaks a key`);
    throw error;
  }
}

class NoSuchRow extends Error {}

/** Unknown column, bad values, broken keys and checks: no repetition mends these. */
const REFUSALS = new Set([1048, 1054, 1062, 1264, 1265, 1292, 1366, 1406, 1451, 1452, 3819]);
