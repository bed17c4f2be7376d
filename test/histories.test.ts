import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import proto from '@temporalio/proto';
import { bundleWorkflowCode, DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { beforeAll, describe, expect, test } from 'vitest';

/**
 * Recorded runs, replayed by the workflows as they are: what waits for days must go on with the code that is there then. A
 * change that is meant to break them is recorded anew by scripts/record-histories.ts.
 */
const FOLDER = fileURLToPath(new URL('./histories', import.meta.url));
const NAMES = readdirSync(FOLDER).filter((name) => name.endsWith('.json'));
let workflowBundle: Awaited<ReturnType<typeof bundleWorkflowCode>>;

interface Recorded {
  events: {
    eventType: string;
    activityTaskScheduledEventAttributes?: { activityType: { name: string } };
    timerStartedEventAttributes?: object;
    userMetadata?: { summary?: { data?: string } };
  }[];
}
/** As the API has it. The SDK's own reading of JSON does not work with the protobufjs that is installed beside it. */
const replay = (history: Recorded) =>
  Worker.runReplayHistory(
    { workflowBundle },
    proto.temporal.api.history.v1.History.fromObject(history),
    'stageswap-recorded',
  );
const recorded = (name: string) => JSON.parse(readFileSync(join(FOLDER, name), 'utf8')) as Recorded;

beforeAll(async () => {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  workflowBundle = await bundleWorkflowCode({
    workflowsPath: fileURLToPath(new URL('../workflows/index.ts', import.meta.url)),
    logger: new DefaultLogger('ERROR'),
  });
});

describe('a recorded run', () => {
  test('is there of each kind', () => {
    expect(NAMES).toEqual(
      expect.arrayContaining(
        [
          'published',
          'published-with-edits',
          'rolled-back',
          'waiting',
          'approved',
          'aborted',
          'failed',
          'refused',
          'continued',
          'planned',
          'cleaned',
          'paused',
          'repaired',
          'scheduled',
        ].map((name) => `${name}.json`),
      ),
    );
    const ends = NAMES.filter((name) =>
      /WORKFLOW_EXECUTION_(COMPLETED|FAILED)$/.test(recorded(name).events.at(-1)?.eventType ?? ''),
    );
    expect(NAMES.filter((name) => !ends.includes(name))).toEqual(['paused.json', 'waiting.json']);
  });

  for (const name of NAMES) {
    test(`is carried on by the code of today: ${name}`, async () => {
      await replay(recorded(name));
    });

    test(`says what each activity and timer is for, and holds no path of a machine: ${name}`, () => {
      for (const event of recorded(name).events) {
        const activity = event.activityTaskScheduledEventAttributes?.activityType.name;
        if (activity || event.timerStartedEventAttributes)
          expect(event.userMetadata?.summary?.data, activity ?? 'timer').toBeTruthy();
      }
      expect(readFileSync(join(FOLDER, name), 'utf8')).not.toMatch(/\/(tmp|home|root|work|app)\//);
    });
  }

  test('that took other steps is not carried on', async () => {
    const history = recorded('published.json');
    const prepare = history.events.find(
      (event) => event.activityTaskScheduledEventAttributes?.activityType.name === 'prepare',
    );
    if (prepare?.activityTaskScheduledEventAttributes)
      prepare.activityTaskScheduledEventAttributes.activityType.name = 'somethingElse';
    await expect(replay(history)).rejects.toThrow(/[Nn]ondeterminism/);
  });
});
