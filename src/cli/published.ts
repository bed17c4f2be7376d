import { EXIT } from '../model/exit-code.js';
import type { RunSpec, TableSpec } from '../model/spec.js';
import type { Session } from '../mysql/connection.js';
import { publishedSpec } from '../mysql/published.js';
import { CommandError } from './failure.js';

/** The table as it was last published. @throws {CommandError} exit 3: it is new to the pipeline */
export function publishedTable(spec: RunSpec, live: string): TableSpec {
  const table = spec.tables.find((candidate) => candidate.live === live);
  if (table) return table;
  throw new CommandError(EXIT.refused, `${live} has never been published`, 'run `stageswap run` first');
}

/** The specification that live was last published by. @throws {CommandError} exit 3: it never was */
export async function published(session: Session, pipeline: string): Promise<RunSpec> {
  const spec = await publishedSpec(session, pipeline);
  if (spec) return spec;
  throw new CommandError(EXIT.refused, `${pipeline} has never published`, 'run `stageswap run` first');
}
