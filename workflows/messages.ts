import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';
import {
  type EditBatch,
  type EditOutcome,
  type Progress,
  QUERIES,
  SIGNALS,
  UPDATES,
} from '../src/model/messages.js';

export const clientEdits = defineSignal<[EditBatch]>(SIGNALS.clientEdits);
export const pauseSignal = defineSignal(SIGNALS.pause);
export const resumeSignal = defineSignal(SIGNALS.resume);
export const abortSignal = defineSignal<[string?]>(SIGNALS.abort);
/** From a scheduled run to the one because of which it is left out. */
export const scheduledSkipped = defineSignal(SIGNALS.scheduledSkipped);
export const submitEdits = defineUpdate<EditOutcome[], [EditBatch]>(UPDATES.submitEdits);
export const approve = defineUpdate<string>(UPDATES.approve);
export const pauseUpdate = defineUpdate<string>(UPDATES.pause);
export const resumeUpdate = defineUpdate<string>(UPDATES.resume);
export const abortUpdate = defineUpdate<string, [string?]>(UPDATES.abort);
export const progress = defineQuery<Progress>(QUERIES.progress);
