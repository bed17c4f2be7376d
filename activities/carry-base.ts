import { physicalTable } from '../src/model/names.js';
import { baseGenerationOf } from '../src/model/spec.js';
import type { Session } from '../src/mysql/connection.js';
import { tableExists } from '../src/mysql/tables.js';
import { carryBase } from '../src/sql/base.js';
import { id, sql } from '../src/sql/text.js';
import { holdFence, loadSpec, type RunRef } from './context.js';

/** Gives the rows that a published run held back the base that they have from then on; a crash before it is mended by the next run. */
export async function carryBaseOf(session: Session, ref: RunRef, generation: number): Promise<void> {
  const published = await loadSpec(session, { pipeline: ref.pipeline, generation });
  for (const table of published.tables) {
    const heldBack = physicalTable(generation, 'heldBack', table.live);
    if (!(await tableExists(session, heldBack))) continue;
    if ((await session.rows(sql`SELECT 1 AS found FROM ${id(heldBack)} LIMIT 1`)).length === 0) continue;
    await session.transaction(async () => {
      await holdFence(session, ref);
      const before = baseGenerationOf(published, table);
      for (const statement of carryBase(table, generation, before)) await session.run(statement);
    });
  }
}
