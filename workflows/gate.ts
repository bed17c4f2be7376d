import { ContinueAsNew, condition, isCancellation } from '@temporalio/workflow';
import {
  approvalText,
  notApproved,
  type Reason,
  reasonsOfGate,
  reasonsOfRehearsal,
} from '../src/model/approval.js';
import { failure } from './failure.js';
import { replayRound, replayUntilShort } from './replay.js';
import type { RunState } from './run-state.js';
import { step } from './steps.js';

/** While a run waits its edits are replayed: soon again after there were some, else more and more rarely. */
const ROUND_MS_MIN = 10_000;
const ROUND_MS_MAX = 300_000;
const HOUR_MS = 3_600_000;
const WINDOW_ATTEMPTS_MAX = 5;
/** Reading again is begun before the window opens, by how long it took the last time and a quarter. */
const LEAD_FACTOR = 1.25;

/**
 * The gate before the cut-over: a run stops here while a human must decide, and while it is outside its window. All reasons are
 * asked at once, and looked at again after a wait: what was approved is what is published.
 *
 * @returns whether the run may cut over now, or has to read the source again, since what it has read became too old
 */
export async function gate(state: RunState, passedFirst: boolean): Promise<'cutOver' | 'renew'> {
  for (;;) {
    const reasons = openReasons(state, passedFirst);
    if (reasons.length > 0) {
      await ask(state, reasons);
      await catchUp(state);
      continue;
    }
    const when = await whenToGoOn(state);
    if (when.next === 'cutOver') state.gate.untilMs = when.untilMs;
    if (when.atMs <= Date.now()) {
      state.delayedBy(undefined);
      return when.next;
    }
    state.delayedBy(when.because);
    await waitWithReplay(state, () => false, when.atMs);
    if (when.next === 'cutOver') await catchUp(state);
  }
}

/** Everything that the configuration, the rehearsal and the guards want to be asked about, and nobody has approved. */
function openReasons(state: RunState, passedFirst: boolean): Reason[] {
  const { run, gate: known } = state;
  return notApproved(
    [
      ...reasonsOfGate({ ...run, passedFirst, tables: state.tables.reports() }),
      ...reasonsOfRehearsal(known.heldMs, run.heldMsMax),
      ...known.tripped,
    ],
    known.approved,
  );
}

/** After a wait: the tail is made short, and where that wrote to stage the guards are looked at again. */
async function catchUp(state: RunState): Promise<void> {
  await replayUntilShort(state);
  if (state.figures.replayedBefore !== state.gate.replayedAtLook) await lookAtGuards(state);
}

interface When {
  next: 'cutOver' | 'renew';
  /** milliseconds since 1970 */
  atMs: number;
  because: string;
  /** the cut-over must not come later than this */
  untilMs?: number | undefined;
}

const isoOf = (ms: number) => new Date(ms).toISOString();

/**
 * When the run may cut over, by its window; or when it has to read the source again, because what it has read would be too
 * old by then: early enough to be ready when the window opens, as far as can be told from how long it took before.
 */
async function whenToGoOn(state: RunState): Promise<When> {
  const { window, sourceAgeMsMax } = state.run;
  const { readAtMs, preparedMs, hasWaited } = state.gate;
  const nowMs = Date.now();
  const ask = step('ask when the window opens', { retry: { maximumAttempts: WINDOW_ATTEMPTS_MAX } });
  const opening =
    window === undefined ? undefined : await state.interruptible(() => ask.nextWindowOf(window, nowMs));
  const opensAtMs = opening?.opensAtMs ?? nowMs;
  const oldAtMs = sourceAgeMsMax === undefined ? Number.POSITIVE_INFINITY : readAtMs + sourceAgeMsMax;
  const because = `ready, and outside its window (${window}), which opens at ${isoOf(opensAtMs)}`;
  if (sourceAgeMsMax === undefined || oldAtMs > opensAtMs) {
    const untilMs = Math.min(opening?.closesAtMs ?? Number.POSITIVE_INFINITY, oldAtMs);
    return {
      ...{ next: 'cutOver', atMs: opensAtMs, because },
      untilMs: Number.isFinite(untilMs) ? untilMs : undefined,
    };
  }
  if (oldAtMs <= nowMs && !hasWaited)
    throw failure(
      'SourceTooOld',
      `what was read from the source at ${isoOf(readAtMs)} was older than sourceAgeMax when the run was ready, after ${Math.round((nowMs - readAtMs) / 1_000)} s of work. Live is untouched. Raise sourceAgeMax above what a run takes.`,
    );
  const leadMs = Math.min(preparedMs * LEAD_FACTOR, sourceAgeMsMax / 2);
  const atMs = opensAtMs - leadMs;
  return { next: 'renew', atMs, because: `${because}; at ${isoOf(atMs)} it reads the source again` };
}

/** Looks at the guards; those that tripped are asked about at the gate. */
export async function lookAtGuards(state: RunState): Promise<void> {
  state.gate.replayedAtLook = state.figures.replayedBefore;
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
  state.waitsFor({ human: approvalText(reasons, state.tables.reports(), expiresAt), expiresAt });
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
  const ask = step('ask what the schedule has left out', { retry: { maximumAttempts: 1 } });
  const count = await state
    .interruptible(() => ask.leftOutBySchedule(state.run.pipeline))
    .catch((error: unknown) => {
      if (isCancellation(error) || error instanceof ContinueAsNew) throw error;
      return null;
    });
  if (count !== null) state.leftOutBySchedule(count);
}

/** Waits, and replays meanwhile, so that the tail of edits stays short. */
async function waitWithReplay(
  state: RunState,
  until: () => boolean,
  untilMs: number,
  meanwhile: () => Promise<void> = async () => {},
): Promise<void> {
  state.gate.hasWaited = true;
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
