import { Context } from '@temporalio/activity';
import type { ClientEdit, EditOutcome } from '../src/model/messages.js';
import { applyEdit, EDIT_WAIT_TIMEOUT_SECONDS } from '../src/mysql/edits.js';
import { activity, type Dependencies, onTarget } from './context.js';

/**
 * Edits handed in through Temporal: written to live at once, each in a transaction with its id, captured like any other. An
 * edit is given up only where `applyEdit` refuses it: whatever else goes wrong, a read-only server, a full disk, a revoked
 * right, it is repeated.
 */
export function editActivities(dependencies: Dependencies) {
  const applyEdits = activity(
    async (pipeline: string, edits: ClientEdit[]): Promise<EditOutcome[]> =>
      onTarget(
        dependencies,
        pipeline,
        async (session) => {
          const tables = dependencies.config(pipeline).tables;
          const outcomes: EditOutcome[] = [];
          for (const edit of edits) {
            const outcome = await applyEdit(session, pipeline, tables, edit);
            outcomes.push(outcome);
            // Of one that came by a signal nobody is told: its trace is here, by its id, without a value.
            if (outcome.outcome === 'refused')
              Context.current().log.warn('an edit was refused', {
                pipeline,
                editId: outcome.editId,
                table: String(edit?.table),
                problem: outcome.problem,
              });
          }
          return outcomes;
        },
        { logged: true, waitTimeoutSeconds: EDIT_WAIT_TIMEOUT_SECONDS },
      ),
    { everFinal: false },
  );
  return { applyEdits };
}
