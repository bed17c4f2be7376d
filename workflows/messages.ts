import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';
import type { EditBatch, EditOutcome, Progress } from '../src/model/messages.js';

export const clientEdits = defineSignal<[EditBatch]>('clientEdits');
export const pauseSignal = defineSignal('pause');
export const resumeSignal = defineSignal('resume');
export const abortSignal = defineSignal<[string?]>('abort');
/** From a scheduled run to the one because of which it is left out. */
export const scheduledSkipped = defineSignal('scheduledSkipped');
export const submitEdits = defineUpdate<EditOutcome[], [EditBatch]>('submitEdits');
export const approve = defineUpdate<string>('approve');
export const pauseUpdate = defineUpdate<string>('pause');
export const resumeUpdate = defineUpdate<string>('resume');
export const abortUpdate = defineUpdate<string, [string?]>('abort');
export const progress = defineQuery<Progress>('progress');
