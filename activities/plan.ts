import { control } from '../src/model/names.js';
import type { Plan, PlannedTable, RowKey, UnitVerdicts } from '../src/model/plan.js';
import type { TableReport } from '../src/model/report.js';
import type { RunSpec, TableSpec } from '../src/model/spec.js';
import type { Session } from '../src/mysql/connection.js';
import { readConflicts } from '../src/mysql/settlements.js';
import { countSettled, countVerdicts, rowsToCome, rowsToGo } from '../src/sql/plan.js';
import { type Fragment, id, sql } from '../src/sql/text.js';
import { type Dependencies, onRun } from './context.js';

/** The dry run's last step. */
export function planActivities(dependencies: Dependencies) {
  /** Writes down what stage would make of live, before it is dropped. @param counts what the run counted, by table */
  const describePlan = onRun(
    dependencies,
    null,
    async (session, spec, counts: TableReport[], stops: string[], rowsMax: number): Promise<void> => {
      const tables: PlannedTable[] = [];
      for (const table of spec.tables) {
        const counted = counts.find((row) => row.table === table.live);
        if (!counted) throw new Error(`${table.live} was not counted`);
        const { inserted, updated, deleted, keptLive, conflicts } = counted;
        tables.push({
          table: table.live,
          ...{ inserted, updated, deleted, keptLive, conflicts },
          verdicts: await verdictsOf(session, spec, table),
          insert: await keysOf(session, rowsToCome(spec, table, rowsMax)),
          delete: await keysOf(session, rowsToGo(spec, table, rowsMax)),
        });
      }
      const found = await readConflicts(session, spec.pipeline, { generation: spec.generation }, rowsMax);
      const plan: Plan = {
        tables,
        conflicts: found.conflicts.map(({ table, key, kind, columns, base, source, live }) => ({
          ...{ table, key, kind, columns, base, source, live },
        })),
        stops,
      };
      await session.run(
        sql`UPDATE ${id(control.run)} SET plan = ${JSON.stringify(plan)} WHERE pipeline = ${spec.pipeline} AND generation = ${spec.generation}`,
      );
    },
  );
  return { describePlan };
}

async function keysOf(session: Session, statement: Fragment): Promise<RowKey[]> {
  return (await session.rows<{ row_key: string }>(statement)).map((row) => JSON.parse(row.row_key) as RowKey);
}

async function verdictsOf(session: Session, spec: RunSpec, table: TableSpec): Promise<UnitVerdicts[]> {
  const counts = (await session.rows<Record<string, string>>(countVerdicts(spec, table)))[0] ?? {};
  const settled = (await session.rows<{ columns_json: string; n: string }>(countSettled(spec, table))).map(
    (row) => ({ columns: JSON.parse(row.columns_json) as string[], n: Number(row.n) }),
  );
  return table.units.map(({ columns }, index) => {
    const of = (verdict: string) => Number(counts[`u${index}_${verdict}`] ?? 0);
    return {
      columns,
      agreed: of('agreed'),
      takeSource: of('takeSource'),
      keepLive: of('keepLive'),
      conflict: of('conflict'),
      settled: settled
        .filter((row) => columns.every((name) => row.columns.includes(name)))
        .reduce((sum, row) => sum + row.n, 0),
    };
  });
}
