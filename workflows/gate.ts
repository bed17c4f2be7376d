import { condition, isCancellation } from '@temporalio/workflow';
import { approvalText, notApproved, type Reason, reasonsOfGate } from '../src/model/approval.js';
import { replayRound, replayUntilShort } from './replay.js';
import type { RunState } from './run-state.js';
import { step } from './steps.js';

/** While a run waits its edits are replayed: soon again after there were some, else more and more rarely. */
const ROUND_MS_MIN = 10_000;
const ROUND_MS_MAX = 300_000;
const HOUR_MS = 3_600_000;

/**
 * The gate before the cut-over: a run stops here while a human must decide. All reasons are asked at once, and looked at
 * again after the wait: what was approved is what is published.
 */
export async function gate(state: RunState, passedFirst: boolean): Promise<void> {
  for (;;) {
    const configured = reasonsOfGate({ ...state.run, passedFirst, tables: state.tables() });
    const reasons = notApproved([...configured, ...state.gate.tripped], state.gate.approved);
    if (reasons.length === 0) return;
    await ask(state, reasons);
    await replayUntilShort(state);
    await lookAtGuards(state);
  }
}

/** Looks at the guards; those that tripped are asked about at the gate. */
export async function lookAtGuards(state: RunState): Promise<void> {
  state.gate.tripped = await state.interruptible(() => step('look at the guards').guard(state.run));
}

/** Waits until an operator approves; when that takes too long the run is aborted, so that later runs are not skipped for ever. */
async function ask(state: RunState, reasons: Reason[]): Promise<void> {
  const { approvalHoursMax } = state.run;
  await countLeftOut(state);
  state.gate.askedAt ??= Date.now();
  const expiresAtMs = state.gate.askedAt + approvalHoursMax * HOUR_MS;
  const expiresAt = new Date(expiresAtMs).toISOString();
  state.gate.asked = reasons;
  state.waitsFor({ human: approvalText(reasons, state.tables(), expiresAt), expiresAt });
  const leftOut = () => countLeftOut(state);
  await waitWithReplay(state, () => state.gate.asked.length === 0, expiresAtMs, leftOut);
  if (state.gate.asked.length > 0) {
    const texts = reasons.map(({ text }) => text).join('; ');
    state.abort(
      `nobody approved within ${approvalHoursMax} hours (approvalHoursMax), so the run was taken back; live is untouched. It asked: ${texts}. Run again, and approve in time.`,
      'ApprovalExpired',
    );
  }
  await state.steer();
  state.gate.askedAt = undefined;
  state.waitsFor(undefined);
}

/**
 * A schedule whose own run has not ended starts nothing that could say so: Temporal counts what it leaves out. A pipeline
 * without a schedule, or a Temporal that does not tell, is no reason to stop waiting.
 */
async function countLeftOut(state: RunState): Promise<void> {
  const ask = step('ask what the schedule has left out', { maximumAttempts: 1 });
  const count = await state
    .interruptible(() => ask.leftOutBySchedule(state.run.pipeline))
    .catch((error: unknown) => {
      if (isCancellation(error)) throw error;
      return null;
    });
  if (count !== null) state.leftOutBySchedule(count);
}

/** Waits, and replays meanwhile, so that the tail of edits stays short. */
async function waitWithReplay(
  state: RunState,
  until: () => boolean,
  untilMs: number,
  meanwhile: () => Promise<void>,
): Promise<void> {
  let pauseMs = ROUND_MS_MIN;
  for (;;) {
    await state.steer();
    await state.checkpoint();
    const leftMs = untilMs - Date.now();
    if (until() || leftMs <= 0) return;
    const woken = await condition(() => until() || state.isDisturbed(), Math.min(pauseMs, leftMs), {
      summary: 'wait; then replay what clients have edited',
    });
    if (woken) continue;
    const { replayed } = await replayRound(state, 'replay edits while the run waits');
    await meanwhile();
    pauseMs = replayed > 0 ? ROUND_MS_MIN : Math.min(ROUND_MS_MAX, pauseMs * 2);
  }
}
