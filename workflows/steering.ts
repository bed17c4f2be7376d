import { allHandlersFinished, condition, log, setHandler, workflowInfo } from '@temporalio/workflow';
import { EDITS_A_BATCH_MAX, type EditBatch, type EditOutcome } from '../src/model/messages.js';
import type { Continued } from './continued.js';
import { EditBuffer } from './edits.js';
import * as messages from './messages.js';
import { RunState } from './run-state.js';

/** The state of a run, with a handler for every signal, update and query that steers it. */
export function steeredRun(input: { pipeline: string; continued?: Continued }): RunState {
  const edits = new EditBuffer(
    input.pipeline,
    (outcomes) => {
      const count = (wanted: EditOutcome['outcome']) =>
        outcomes.filter(({ outcome }) => outcome === wanted).length;
      state.figures.handedIn += count('applied');
      state.figures.refused = (state.figures.refused ?? 0) + count('refused');
    },
    input.continued?.edits,
  );
  const state = new RunState(input, {
    // Return from the workflow without an await after this, so that no signal comes in between.
    settled: async (orWhen) => {
      state.ending = true;
      const isSettled = () => edits.isIdle() && allHandlersFinished();
      await condition(() => isSettled() || orWhen());
      return isSettled();
    },
    handOver: async () => {
      state.ending = true;
      try {
        return await edits.handOver(allHandlersFinished);
      } catch (error) {
        edits.keep();
        throw error;
      }
    },
  });

  const abort = (reason?: unknown) => {
    if (state.swapped || state.hasEnded) return tooLateToAbort();
    state.abort(typeof reason === 'string' && reason !== '' ? reason : 'aborted by an operator');
    return 'aborting: what the run made is taken back, unless the swap is executed at this moment';
  };
  const pause = () => {
    state.pause();
    const { moment } = state.figures;
    const again =
      moment === 'transaction' && state.progress().phase === 'ingest'
        ? '; the source is read in one transaction, so that reading it begins again from the first row after resume'
        : '';
    return `pausing: the run gives up what it is at, and then stands still; capture goes on${again}`;
  };
  const resume = () => {
    state.resume();
    return 'resumed';
  };

  setHandler(messages.clientEdits, (batch) => {
    // Nobody checks a signal before it is accepted, and an error here would stop the whole run.
    if (!Array.isArray(batch?.edits)) return log.warn('a signal clientEdits without a list of edits');
    edits.push(batch.edits);
    state.signalled();
  });
  setHandler(messages.submitEdits, (batch) => edits.write(batch.edits), {
    validator: (batch) => {
      refuseMalformed(batch);
      refuse(
        state.takesNoEdits(),
        'this execution of the run takes no more edits: write them directly, or repeat them with the same ids',
      );
    },
  });
  setHandler(messages.pauseSignal, () => {
    if (state.isTooLateToPause()) return log.warn('a signal pause came too late, and changes nothing');
    pause();
  });
  setHandler(messages.resumeSignal, () => void resume());
  setHandler(messages.abortSignal, (reason) => void abort(reason));
  setHandler(messages.pauseUpdate, pause, {
    validator: () => {
      refuseIfOver(state);
      refuse(state.paused, 'the run is paused already');
      refuse(state.swapped, 'what is left, after the swap or where there is none, cannot be paused');
    },
  });
  setHandler(messages.resumeUpdate, resume, {
    validator: () => {
      refuseIfOver(state);
      refuse(!state.paused, 'the run is not paused');
    },
  });
  setHandler(messages.abortUpdate, (reason?: string) => abort(reason), {
    validator: (_reason?: string) => {
      refuseIfOver(state);
      refuse(state.swapped, tooLateToAbort());
    },
  });
  setHandler(
    messages.approve,
    () => {
      const count = state.approve();
      return `approved: ${count} ${count === 1 ? 'reason' : 'reasons'} for which the run waited`;
    },
    {
      validator: () => {
        refuseIfOver(state);
        refuse(state.gate.asked.length === 0, 'the run does not wait for an approval');
      },
    },
  );
  setHandler(messages.scheduledSkipped, () => {
    state.skipped();
    const waitsFor = state.progress().waitingFor ?? 'nothing: it works';
    log.warn('the schedule left a run out because this one has not ended', { waitsFor });
  });
  setHandler(messages.progress, () => state.progress());
  return state;
}

/** A rollback that has swapped is not undone by another; cleanup and repair have no swap, and are soon over. */
function tooLateToAbort(): string {
  return workflowInfo().workflowType === 'sync'
    ? 'the swap has been executed: use stageswap rollback'
    : 'it can be aborted no more: it has swapped, or makes no swap, and comes to its end';
}

function refuseIfOver({ isOver }: RunState): void {
  if (isOver !== undefined) throw new Error(isOver);
}

function refuse(when: boolean, reason: string): void {
  if (when) throw new Error(reason);
}

function refuseMalformed(batch: EditBatch): void {
  refuse(
    !Array.isArray(batch?.edits) || batch.edits.length === 0,
    'edits: a list of at least one edit is wanted',
  );
  refuse(batch.edits.length > EDITS_A_BATCH_MAX, `at most ${EDITS_A_BATCH_MAX} edits a batch`);
  for (const edit of batch.edits) {
    refuse(
      !edit?.editId || !edit.table || !edit.key || !edit.set,
      'every edit wants editId, table, key and set',
    );
  }
}
