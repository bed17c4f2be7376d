import type { Reason } from '../src/model/approval.js';
import { physicalTable } from '../src/model/names.js';
import { baseGenerationOf, mappedNames, type RunSpec, type TableSpec } from '../src/model/spec.js';
import type { Session } from '../src/mysql/connection.js';
import { breaches, countChanges } from '../src/sql/guards.js';
import { id, sql } from '../src/sql/text.js';
import { type Dependencies, onRun } from './context.js';
import { heldBackCounts } from './group.js';
import { mergeCounts } from './merge.js';

/** Guards: what a run may not do without being asked. */
export function guardActivities(dependencies: Dependencies) {
  /** Looks at every guard. @returns those that tripped, each with its counts: the run asks before its cut-over */
  const guard = onRun(dependencies, null, async (session, spec): Promise<Reason[]> => {
    if (spec.kind === 'rollback') return [];
    const tripped: Reason[] = [];
    for (const table of spec.tables) {
      tripped.push(...(await emptySource(session, spec, table)));
      tripped.push(...(await deletes(session, spec, table)));
      tripped.push(...(await changes(session, spec, table)));
    }
    tripped.push(...(await assertions(session, spec)));
    return tripped;
  });
  return { guard };
}

const percent = (part: number, whole: number) => `${((100 * part) / whole).toFixed(1)} %`;

async function rowsOf(session: Session, name: string): Promise<number> {
  const rows = await session.rows<{ n: string }>(sql`SELECT COUNT(*) AS n FROM ${id(name)}`);
  return Number(rows[0]?.n ?? 0);
}

async function emptySource(session: Session, spec: RunSpec, table: TableSpec): Promise<Reason[]> {
  const at = baseGenerationOf(spec, table);
  if (at === null) return [];
  const base = (generation: number) => rowsOf(session, physicalTable(generation, 'baseNext', table.live));
  if ((await base(spec.generation)) > 0) return [];
  const before = await base(at);
  if (before === 0) return [];
  const text = `${table.source.schema}.${table.source.table} is empty, and had ${before} rows when ${table.live} was last published`;
  return [{ kind: 'emptySource', of: table.live, measure: 0, text }];
}

async function deletes(session: Session, spec: RunSpec, table: TableSpec): Promise<Reason[]> {
  const { deleted } = await mergeCounts(session, spec, table.live);
  if (deleted === 0) return [];
  const before = await rowsOf(session, table.live);
  const max = spec.guards.deleteShareMax;
  if (before === 0 || deleted / before <= max) return [];
  // Parents that a child needs are kept: they are counted only where that decides.
  const gone = deleted - (await heldBackCounts(session, spec, table)).parentsKept;
  if (gone / before <= max) return [];
  const text = `the run would delete ${gone} of ${before} rows of ${table.live} (${percent(gone, before)}), more than guards.deleteShareMax (${max})`;
  return [{ kind: 'deleteShare', of: table.live, measure: gone, text }];
}

/** A broken export rarely deletes rows: it changes a column everywhere, or empties it. */
async function changes(session: Session, spec: RunSpec, table: TableSpec): Promise<Reason[]> {
  const { changeShareMax, emptyShareMax } = spec.guards;
  if (changeShareMax === undefined && emptyShareMax === undefined) return [];
  const count = countChanges(spec, table);
  if (!count) return [];
  const found = (await session.rows<Record<string, string>>(count))[0] ?? {};
  const compared = Number(found.compared);
  const tripped: Reason[] = [];
  if (compared === 0) return tripped;
  for (const [index, column] of mappedNames(table).entries()) {
    for (const [what, kind, max] of [
      ['changed', 'changeShare', changeShareMax],
      ['emptied', 'emptyShare', emptyShareMax],
    ] as const) {
      const rows = Number(found[`${what}${index}`]);
      if (max === undefined || rows / compared <= max) continue;
      const of = `${table.live}.${column}`;
      const text = `the source ${what} ${of} in ${rows} of ${compared} rows (${percent(rows, compared)}), more than guards.${kind}Max (${max})`;
      tripped.push({ kind, of, measure: rows, text });
    }
  }
  return tripped;
}

/** The pipeline's own assertions, of the rows as they would be published. */
async function assertions(session: Session, spec: RunSpec): Promise<Reason[]> {
  const broken: Reason[] = [];
  for (const assertion of spec.assertions) {
    const stage = (live: string) => physicalTable(spec.generation, 'stage', live);
    const rows = await session.rows<{ n: string }>(breaches(assertion, stage));
    const count = Number(rows[0]?.n ?? 0);
    if (count === 0) continue;
    const text = `the assertion "${assertion.name}" is broken by ${count} ${count === 1 ? 'row' : 'rows'}`;
    broken.push({ kind: 'assertion', of: assertion.name, measure: count, text });
  }
  return broken;
}
