import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { MockActivityEnvironment } from '@temporalio/testing';
import { describe, expect, it } from 'vitest';
import { Late, within } from '../activities/context.js';

const untilAborted = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => {
    const end = () => reject(signal.reason);
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, { once: true });
  });

describe('work within a time', () => {
  it('ends when that is over, though garbage was collected meanwhile', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const working = new MockActivityEnvironment()
      .run(() => within(300, untilAborted))
      .catch((error) => error);
    await sleep(100);
    collect();
    const ended = await Promise.race([working, sleep(5_000, 'still at work')]);
    expect(ended).toBeInstanceOf(Late);
    expect((ended as Late).message).toBe('it has not ended within 0.3 s');
  });
  it('ends when its activity is cancelled', async () => {
    const environment = new MockActivityEnvironment();
    const working = environment.run(() => within(60_000, untilAborted)).catch((error) => error);
    environment.cancel();
    expect(await working).not.toBeInstanceOf(Late);
  });
  it('is told at once where its activity was cancelled before', async () => {
    const environment = new MockActivityEnvironment();
    environment.cancel();
    await expect(environment.run(() => within(60_000, untilAborted))).rejects.not.toBeInstanceOf(Late);
  });
  it('has its own end', async () => {
    const environment = new MockActivityEnvironment();
    expect(await environment.run(() => within(60_000, async () => 'done'))).toBe('done');
  });
});
