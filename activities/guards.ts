import { StageswapError } from '../src/model/failures.js';
import { physicalTable } from '../src/model/names.js';
import { mappedNames, type RunSpec, type TableSpec } from '../src/model/spec.js';
import type { Session } from '../src/mysql/connection.js';
import { breaches, countChanges } from '../src/sql/guards.js';
import { id, sql } from '../src/sql/text.js';
import { activity, type Dependencies, loadSpec, onTarget, type RunRef } from './context.js';
import { mergeCounts } from './merge.js';

/** Guards: what a run may not do without being asked. Each stops it before the cut-over. */
export function guardActivities(dependencies: Dependencies) {
  const guard = activity(
    async (ref: RunRef): Promise<void> =>
      onTarget(dependencies, ref.pipeline, async (session) => {
        const spec = await loadSpec(session, ref);
        if (spec.kind === 'rollback') return;
        for (const table of spec.tables) {
          await emptySource(session, spec, table);
          await deletes(session, spec, table);
          await changes(session, spec, table);
        }
        await assertions(session, spec);
      }),
  );
  return { guard };
}

function tripped(message: string): never {
  throw new StageswapError('GuardTripped', `${message} Live is untouched.`);
}

const percent = (part: number, whole: number) => `${((100 * part) / whole).toFixed(1)} %`;

async function rowsOf(session: Session, name: string): Promise<number> {
  const rows = await session.rows<{ n: string }>(sql`SELECT COUNT(*) AS n FROM ${id(name)}`);
  return Number(rows[0]?.n ?? 0);
}

async function emptySource(session: Session, spec: RunSpec, table: TableSpec): Promise<void> {
  if (spec.baseGeneration === null) return;
  const base = (generation: number) => rowsOf(session, physicalTable(generation, 'baseNext', table.live));
  if ((await base(spec.generation)) > 0 || (await base(spec.baseGeneration)) === 0) return;
  tripped(
    `${table.source.schema}.${table.source.table} is empty, and was not when ${table.live} was last published. If it is meant to be empty, delete its rows in live first.`,
  );
}

async function deletes(session: Session, spec: RunSpec, table: TableSpec): Promise<void> {
  const { deleted } = await mergeCounts(session, spec, table.live);
  if (deleted === 0) return;
  const before = await rowsOf(session, table.live);
  const max = spec.guards.deleteShareMax;
  if (before > 0 && deleted / before > max)
    tripped(
      `The run would delete ${deleted} of ${before} rows of ${table.live} (${percent(deleted, before)}), more than guards.deleteShareMax (${max}). Raise the limit if that is right.`,
    );
}

/** A broken export rarely deletes rows: it changes a column everywhere, or empties it. */
async function changes(session: Session, spec: RunSpec, table: TableSpec): Promise<void> {
  const { changeShareMax, emptyShareMax } = spec.guards;
  if (changeShareMax === undefined && emptyShareMax === undefined) return;
  const count = countChanges(spec, table);
  if (!count) return;
  const found = (await session.rows<Record<string, string>>(count))[0] ?? {};
  const compared = Number(found.compared);
  if (compared === 0) return;
  for (const [index, column] of mappedNames(table).entries()) {
    for (const [what, name, max] of [
      ['changed', 'changeShareMax', changeShareMax],
      ['emptied', 'emptyShareMax', emptyShareMax],
    ] as const) {
      const rows = Number(found[`${what}${index}`]);
      if (max !== undefined && rows / compared > max)
        tripped(
          `The source ${what} ${table.live}.${column} in ${rows} of ${compared} rows (${percent(rows, compared)}), more than guards.${name} (${max}). Raise the limit if that is right.`,
        );
    }
  }
}

/** The pipeline's own assertions, of the rows as they would be published. */
async function assertions(session: Session, spec: RunSpec): Promise<void> {
  const broken: string[] = [];
  for (const assertion of spec.assertions) {
    const stage = (live: string) => physicalTable(spec.generation, 'stage', live);
    const rows = await session.rows<{ n: string }>(breaches(assertion, stage));
    const count = Number(rows[0]?.n ?? 0);
    if (count > 0) broken.push(`"${assertion.name}" is broken by ${count} rows`);
  }
  if (broken.length > 0) tripped(`Assertions of the pipeline do not hold: ${broken.join('; ')}.`);
}
