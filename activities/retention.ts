import type { RunSpec } from '../src/model/spec.js';
import type { Session } from '../src/mysql/connection.js';
import { forgetStatements, type Retention } from '../src/sql/retention.js';

/** Deletes records that are older than the configuration keeps them. A rollback, and the run that it returns to, find theirs. */
export async function forgetOld(session: Session, spec: RunSpec, retention: Retention): Promise<void> {
  if (spec.kind !== 'publish' || spec.baseGeneration === null) return;
  for (const statement of forgetStatements(spec.pipeline, spec.baseGeneration, retention)) {
    while ((await session.run(statement)) > 0);
  }
}
