import {
  type Client,
  ScheduleAlreadyRunning,
  type ScheduleHandle,
  ScheduleNotFoundError,
  ScheduleOverlapPolicy,
  WorkflowNotFoundError,
} from '@temporalio/client';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { loadPipelineName, loadTarget, type PipelineTarget } from '../config/load.js';
import { EXIT, type ExitCode } from '../model/exit-code.js';
import {
  type CleanupInput,
  type Scheduled,
  type SyncInput,
  scheduledWorkflowIdOf,
  scheduleIdOf,
  TASK_QUEUE,
  WORKFLOWS,
  workflowIdOf,
} from '../model/messages.js';
import { isTimeZone } from '../model/time-zone.js';
import { describeSchedule } from '../temporal/schedule.js';
import { colours } from './colours.js';
import { configOption, jsonOption } from './config-option.js';
import { examples } from './examples.js';
import { CommandError } from './failure.js';
import { askProgress } from './follow.js';
import { operator } from './operator.js';
import { note, print, printJson } from './output.js';
import { onTarget, readHeld } from './pipeline-store.js';
import { withTemporal } from './temporal.js';

/** By the subcommand. */
const EXAMPLES = {
  create:
    "stageswap schedule create --config stageswap.yaml --cron '15 2 * * MON-FRI' --time-zone Europe/Berlin",
  list: 'stageswap schedule list --config stageswap.yaml',
  pause: "stageswap schedule pause --config stageswap.yaml --reason 'month end'",
  resume: 'stageswap schedule resume --config stageswap.yaml',
  trigger: 'stageswap schedule trigger --config stageswap.yaml',
  delete: 'stageswap schedule delete --config stageswap.yaml',
};
const CLEANUP_EXAMPLE =
  "stageswap schedule create --of cleanup --config stageswap.yaml --cron '0 12 * * *' --time-zone UTC";

const HELP = `
A run that is still working, or waits for an approval, is not joined by another: the scheduled start is skipped and
counted, and told to the webhook where the run is not the schedule's own. Starts that Temporal missed are made up for within 10 minutes, and left out after that.
${examples(...Object.values(EXAMPLES))}`;

/** A start that Temporal missed is made up for within this time, then left out: the next one reads the same source. */
const CATCH_UP_WINDOW_MS = 10 * 60_000;

export function addSchedule(program: Command, end: (code: ExitCode) => void): void {
  const schedule = program.command('schedule').description('runs at set times').addHelpText('after', HELP);
  schedule
    .command('create')
    .description('start a run at each time of a cron expression; while one runs, the next is skipped')
    .addOption(configOption())
    .addOption(ofOption())
    .requiredOption('--cron <expression>', 'minute hour day month weekday, such as "15 2 * * *"', cron)
    .requiredOption('--time-zone <name>', 'IANA time zone of the expression, such as Europe/Berlin', timeZone)
    .addOption(jsonOption())
    .addHelpText('after', examples(EXAMPLES.create, CLEANUP_EXAMPLE))
    .action(
      async (options: { config: string; of: Scheduled; cron: string; timeZone: string; json: boolean }) => {
        const pipeline = loadPipelineName(options.config);
        const created = await create(pipeline, options);
        if (options.json) printJson(created);
        else
          print(
            `${created.scheduleId} starts ${options.of}s at ${options.cron}, ${options.timeZone}; next: ${created.next ?? 'never'}`,
          );
        end(EXIT.done);
      },
    );
  schedule
    .command('list')
    .description("the pipeline's schedules and their next times")
    .addOption(configOption())
    .addOption(jsonOption())
    .addHelpText('after', examples(EXAMPLES.list))
    .action(async (options: { config: string; json: boolean }) => {
      const config = loadTarget(options.config);
      const { pipeline } = config;
      const found = [await describe(pipeline, 'run'), await describe(pipeline, 'cleanup')].filter(
        (schedule) => schedule !== undefined,
      );
      const held = found.length > 0 ? await whyHeld(config) : null;
      if (options.json) printJson({ pipeline, schedules: found, held });
      else {
        print(found.length > 0 ? found.map(scheduleText).join('\n') : `${pipeline} has no schedule`);
        if (held !== null)
          print(colours.yellow(`${pipeline} is held: ${held}; runs are refused until stageswap release`));
      }
      end(EXIT.done);
    });
  for (const change of CHANGES) addChange(schedule, change, end);
  schedule
    .command('delete')
    .description('start no more runs; one that is running goes on')
    .addOption(configOption())
    .addOption(ofOption())
    .addOption(jsonOption())
    .addHelpText('after', examples(EXAMPLES.delete))
    .action(async (options: { config: string; of: Scheduled; json: boolean }) => {
      const pipeline = loadPipelineName(options.config);
      const scheduleId = scheduleIdOf(pipeline, options.of);
      await withTemporal(async (client) => {
        await client.schedule.getHandle(scheduleId).delete().catch(noSchedule(pipeline));
      });
      if (options.json) printJson({ pipeline, scheduleId, deleted: true });
      else print(`${scheduleId} is deleted`);
      end(EXIT.done);
    });
}

interface Change {
  name: 'pause' | 'resume' | 'trigger';
  description: string;
  done: string;
  change: (handle: ScheduleHandle, note: string) => Promise<void>;
}

/** What is done to a schedule that exists. */
const CHANGES: Change[] = [
  {
    name: 'pause',
    description: 'start no runs until it is resumed',
    done: 'is paused',
    change: (handle, note) => handle.pause(note),
  },
  {
    name: 'resume',
    description: 'start runs again',
    done: 'starts runs again',
    change: (handle, note) => handle.unpause(note),
  },
  {
    name: 'trigger',
    description: 'start a run now, as at one of its times',
    done: 'was triggered: it starts now what it starts at its times, or leaves it out while one works or waits',
    change: (handle) => handle.trigger(ScheduleOverlapPolicy.SKIP),
  },
];

function addChange(
  schedule: Command,
  { name, description, done, change }: Change,
  end: (code: ExitCode) => void,
) {
  const command = schedule
    .command(name)
    .description(description)
    .addOption(configOption())
    .addOption(ofOption());
  if (name !== 'trigger') command.option('--reason <text>', 'why, for whoever looks at it');
  command
    .addOption(jsonOption())
    .addHelpText('after', examples(EXAMPLES[name]))
    .action(async (options: { config: string; of: Scheduled; reason?: string; json: boolean }) => {
      const pipeline = loadPipelineName(options.config);
      const scheduleId = scheduleIdOf(pipeline, options.of);
      await withTemporal(async (client) => {
        const handle = client.schedule.getHandle(scheduleId);
        await change(handle, options.reason ?? `${name}d by ${operator()}`).catch(noSchedule(pipeline));
      });
      if (options.json) printJson({ pipeline, scheduleId, [name]: true });
      else print(`${scheduleId} ${done}`);
      end(EXIT.done);
    });
}

/** Which of the pipeline's schedules is meant. */
function ofOption(): Option {
  return new Option('--of <what>', 'what it starts').choices(['run', 'cleanup']).default('run');
}

async function create(
  pipeline: string,
  { of, cron: expression, timeZone: zone }: { of: Scheduled; cron: string; timeZone: string },
) {
  const scheduleId = scheduleIdOf(pipeline, of);
  const refresh: SyncInput = { pipeline, approveFirst: false };
  const cleanup: CleanupInput = { pipeline, now: false };
  return withTemporal(async (client) => {
    try {
      const handle = await client.schedule.create({
        scheduleId,
        spec: { cronExpressions: [expression], timezone: zone },
        action: {
          type: 'startWorkflow',
          workflowType: of === 'run' ? WORKFLOWS.scheduledSync : WORKFLOWS.scheduledCleanup,
          workflowId: scheduledWorkflowIdOf(pipeline, of),
          taskQueue: TASK_QUEUE,
          args: [of === 'run' ? refresh : cleanup],
          staticSummary: `starts the ${of === 'run' ? 'refresh' : 'cleanup'} of ${pipeline}`,
        },
        policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: CATCH_UP_WINDOW_MS },
        // Temporal turns the expression into ranges of its own: this is what was asked for
        memo: { cron: expression, timeZone: zone },
      });
      const { info } = await handle.describe();
      return {
        pipeline,
        scheduleId,
        cron: expression,
        timeZone: zone,
        next: info.nextActionTimes[0]?.toISOString() ?? null,
      };
    } catch (error) {
      if (error instanceof ScheduleAlreadyRunning) {
        throw new CommandError(
          EXIT.refused,
          `${pipeline} already has a schedule`,
          '`stageswap schedule list` shows it; delete it first by `stageswap schedule delete`',
          { cause: error },
        );
      }
      // the client turns a spec that Temporal refuses into a TypeError
      if (error instanceof TypeError) {
        throw new CommandError(
          EXIT.usage,
          `Temporal refuses the schedule: ${error.message}`,
          'write --cron as five fields: minute hour day month weekday',
          { cause: error },
        );
      }
      throw error;
    }
  });
}

interface ScheduleShown {
  scheduleId: string;
  cron: string;
  timeZone: string;
  paused: boolean;
  /** what whoever paused it has said */
  pausedBecause: string | null;
  next: string[];
  latest: string | null;
  skipped: number;
  /** starts that came too late to be made up for, as while Temporal was down */
  missed: number;
  /** why starts are skipped at present: what the run that works waits for; null if it does not wait */
  waitingFor: string | null;
}

async function describe(pipeline: string, of: Scheduled): Promise<ScheduleShown | undefined> {
  const scheduleId = scheduleIdOf(pipeline, of);
  return withTemporal(async (client) => {
    const found = await describeSchedule(client, scheduleId);
    if (!found) return undefined;
    return {
      scheduleId,
      cron: String(found.memo?.cron ?? ''),
      timeZone: String(found.memo?.timeZone ?? found.spec.timezone ?? 'UTC'),
      paused: found.state.paused,
      pausedBecause: found.state.paused ? (found.state.note ?? null) : null,
      next: found.info.nextActionTimes.slice(0, 3).map((time) => time.toISOString()),
      latest: found.info.recentActions.at(-1)?.takenAt.toISOString() ?? null,
      skipped: found.info.numActionsSkippedOverlap,
      missed: found.info.numActionsMissedCatchupWindow,
      waitingFor: await waitingFor(client, pipeline),
    };
  });
}

async function waitingFor(client: Client, pipeline: string): Promise<string | null> {
  const handle = client.workflow.getHandle(workflowIdOf(pipeline));
  try {
    if ((await handle.describe()).status.name !== 'RUNNING') return null;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return null;
    throw error;
  }
  const progress = await askProgress(client, handle);
  if (typeof progress === 'string') return null;
  return progress.waitingFor ?? (progress.paused ? 'an operator has paused it: stageswap resume' : null);
}

/** Why every run is refused, where that is to be seen: the schedule is Temporal's, and is listed without MySQL, too. */
async function whyHeld(of: PipelineTarget): Promise<string | null> {
  try {
    return await onTarget(of, async (session) => (await readHeld(session, of.pipeline))?.reason ?? null);
  } catch (error) {
    note(`whether ${of.pipeline} is held is not to be seen: ${(error as Error).message}`);
    return null;
  }
}

function scheduleText(shown: ScheduleShown): string {
  return [
    `${shown.scheduleId}: ${shown.cron}, ${shown.timeZone}${shown.paused ? `, paused: ${shown.pausedBecause ?? 'nobody said why'}` : ''}`,
    `  ${shown.paused ? 'next, once it is resumed' : 'next'}: ${shown.next.join(', ') || 'never'}`,
    `  latest: ${shown.latest ?? 'none yet'}; skipped because the schedule's own last run had not ended: ${shown.skipped}`,
    ...(shown.missed > 0
      ? [colours.yellow(`  missed while Temporal was down, and not made up for: ${shown.missed}`)]
      : []),
    ...(shown.waitingFor
      ? [
          colours.yellow(
            `  a run waits, so that starts are skipped until it goes on or ends: ${shown.waitingFor}`,
          ),
          '  `stageswap approve` lets it go on, `stageswap abort` ends it',
        ]
      : []),
  ].join('\n');
}

function noSchedule(pipeline: string) {
  return (error: unknown): never => {
    if (error instanceof ScheduleNotFoundError) {
      throw new CommandError(
        EXIT.refused,
        `${pipeline} has no schedule`,
        '`stageswap schedule create` makes one',
        {
          cause: error,
        },
      );
    }
    throw error;
  };
}

export function cron(text: string): string {
  const fields = text.trim().split(/\s+/);
  if (fields.length !== 5 || !fields.every((field) => /^[\dA-Za-z*,/?-]+$/.test(field))) {
    throw new InvalidArgumentError('write five fields: minute hour day month weekday, such as "15 2 * * *".');
  }
  return fields.join(' ');
}

export function timeZone(text: string): string {
  if (isTimeZone(text)) return text;
  throw new InvalidArgumentError('write an IANA name such as Europe/Berlin or UTC.');
}
