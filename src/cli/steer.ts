import { hostname } from 'node:os';
import {
  type Client,
  type WorkflowHandle,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
} from '@temporalio/client';
import type { Command } from 'commander';
import { loadPipelineName } from '../config/load.js';
import { EXIT, type ExitCode } from '../model/exit-code.js';
import { SIGNALS, UPDATES, workflowIdOf } from '../model/messages.js';
import { configOption, jsonOption } from './config-option.js';
import { confirmAtTerminal } from './confirm.js';
import { examples } from './examples.js';
import { CommandError } from './failure.js';
import { askProgress } from './follow.js';
import { operator } from './operator.js';
import { note, print, printJson } from './output.js';
import { readWorkflow } from './status.js';
import { isTimeout, rootCause, withTemporal } from './temporal.js';

const ANSWER_MS_MAX = 10_000;

/** What an operator can tell a running workflow; all but approve also go as a signal, which waits for a worker. */
const STEERING = [
  {
    name: 'pause',
    update: UPDATES.pause,
    signal: SIGNALS.pause,
    description:
      'give up what the run is at, which is done again after resume, and stand still; capture goes on',
    done: 'pausing',
    examples: [''],
  },
  {
    name: 'resume',
    update: UPDATES.resume,
    signal: SIGNALS.resume,
    description: 'go on after a pause',
    done: 'resumed',
    examples: [''],
  },
  {
    name: 'abort',
    update: UPDATES.abort,
    signal: SIGNALS.abort,
    description: 'end the run before its swap, and drop what it made; live stays as it is',
    done: 'aborting',
    examples: ['', " --reason 'billing is being corrected'"],
  },
  {
    name: 'approve',
    update: UPDATES.approve,
    signal: undefined,
    description: 'let a run that waits at a gate go on',
    done: 'approved',
    examples: ['', ' --yes'],
  },
] as const;
type Steering = (typeof STEERING)[number];

export function addSteering(program: Command, end: (code: ExitCode) => void): void {
  for (const steering of STEERING) {
    const line = `stageswap ${steering.name} --config stageswap.yaml`;
    const command = program
      .command(steering.name)
      .description(steering.description)
      .addOption(configOption())
      .addOption(jsonOption())
      .option('--yes', 'without being asked', false)
      .addHelpText('after', examples(...steering.examples.map((options) => line + options)))
      .action(async (options: Options) => {
        const pipeline = loadPipelineName(options.config);
        const answer = await withTemporal(async (client) => {
          const handle = client.workflow.getHandle(workflowIdOf(pipeline));
          if (steering.name === 'abort') await confirmAtTerminal(`end the run of ${pipeline}`, options);
          if (steering.name === 'approve') await showWhatIsAsked(client, handle, pipeline, options);
          const reason = steering.name === 'abort' ? abortReason(options.reason) : undefined;
          return steer(steering, pipeline, handle, reason, (call) =>
            client.connection.withDeadline(Date.now() + ANSWER_MS_MAX, call),
          );
        });
        if (options.json) printJson({ pipeline, command: steering.name, ...answer });
        else print(`${pipeline}: ${answer.message}`);
        end(EXIT.done);
      });
    if (steering.name === 'abort') command.option('--reason <text>', 'why, for whoever reads the report');
  }
}

interface Options {
  config: string;
  yes: boolean;
  json: boolean;
  reason?: string;
}

/** What stands in the report of a run that was aborted. */
function abortReason(reason: string | undefined): string {
  const by = `aborted by ${operator()} on ${hostname()}`;
  return reason === undefined ? by : `${by}: ${reason}`;
}

/** Whoever approves sees what he approves. Where no worker answers, the approval itself will say so. */
async function showWhatIsAsked(
  client: Client,
  handle: WorkflowHandle,
  pipeline: string,
  options: Options,
): Promise<void> {
  if (options.yes || options.json || (await readWorkflow(client, pipeline))?.status !== 'RUNNING') return;
  const progress = await askProgress(client, handle);
  if (typeof progress === 'string' || progress.waitingFor === undefined) return;
  note(`${pipeline} waits for: ${progress.waitingFor}`);
  await confirmAtTerminal('let it go on', options);
}

async function steer(
  steering: Steering,
  pipeline: string,
  handle: WorkflowHandle,
  reason: string | undefined,
  withDeadline: <T>(call: () => Promise<T>) => Promise<T>,
): Promise<{ sentAs: 'update' | 'signal'; message: string }> {
  try {
    const answer = await withDeadline(() =>
      reason === undefined
        ? handle.executeUpdate<unknown, []>(steering.update)
        : handle.executeUpdate<unknown, [string]>(steering.update, { args: [reason] }),
    );
    return { sentAs: 'update', message: typeof answer === 'string' ? answer : steering.done };
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) {
      throw new CommandError(
        EXIT.refused,
        `nothing is running for pipeline ${pipeline}`,
        '`stageswap status` shows what ran last',
        { cause: error },
      );
    }
    if (error instanceof WorkflowUpdateFailedError) {
      throw new CommandError(
        EXIT.refused,
        `${steering.name} was refused: ${rootCause(error).message}`,
        '`stageswap status` shows what the run is doing',
        { cause: error },
      );
    }
    if (!isTimeout(error)) throw error;
    if (steering.signal === undefined) {
      throw new CommandError(
        EXIT.unreachable,
        `no worker answered for pipeline ${pipeline}; one that comes may still carry ${steering.name} out`,
        'start `stageswap worker --config FILE`, look at `stageswap status`, and repeat the command only if it still waits',
        { cause: error },
      );
    }
    await handle.signal(steering.signal, ...(reason === undefined ? [] : [reason]));
    return {
      sentAs: 'signal',
      message: `no worker answers; ${steering.name} was left as a signal, which the run reads when a worker is back`,
    };
  }
}
