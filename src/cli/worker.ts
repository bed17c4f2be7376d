import { type Client, isGrpcServiceError, NamespaceNotFoundError } from '@temporalio/client';
import { type Command, Option } from 'commander';
import { type Level, LOG_LEVELS } from '../log.js';
import { TASK_QUEUE } from '../model/messages.js';
import { temporalPlace } from '../temporal/place.js';
import { configsOption, loadConfigs } from './config-option.js';
import { cannotListen, hostAndPort } from './listening.js';
import { note } from './output.js';
import { withTemporal } from './temporal.js';

const HELP = `
The configuration is read when it starts: restart it after a change.
Logs are JSON, a line each, on standard error. SIGTERM or Ctrl-C lets running steps finish, or hands them to another worker.

Examples:
  stageswap worker --config stageswap.yaml
  stageswap worker --config billing.yaml --config stock.yaml --metrics 127.0.0.1:9464`;

interface Options {
  config: string[];
  metrics?: string;
  logLevel: Level;
}

export function addWorker(program: Command): void {
  program
    .command('worker')
    .description('do the work: poll Temporal for the steps of runs until stopped')
    .addOption(configsOption())
    .option('--metrics <address>', 'serve metrics for Prometheus at HOST:PORT/metrics', hostAndPort)
    .addOption(new Option('--log-level <level>', 'what is logged').choices(LOG_LEVELS).default('info'))
    .addHelpText('after', HELP)
    .action(async (options: Options) => {
      const configs = loadConfigs(options.config);
      const place = temporalPlace();
      await withTemporal((client) => pollable(client, place.namespace)); // says at once, and by name, what is wrong
      // loaded here only: the worker's modules take seconds, the other commands should not
      const { runWorker } = await import('../worker.js');
      const pipelines = configs.map((config) => config.pipeline).join(', ');
      // elsewhere than at a terminal every line is JSON: the log says the same
      if (process.stderr.isTTY)
        note(
          `worker of ${pipelines}: polls ${TASK_QUEUE} at ${place.address}; Ctrl-C lets running steps finish`,
        );
      await runWorker(
        { configs, temporal: place },
        {
          logLevel: options.logLevel,
          ...(options.metrics === undefined ? {} : { metricsAddress: options.metrics }),
        },
      ).catch((error: Error) => {
        if (options.metrics === undefined || !/metrics exporter/i.test(error.message)) throw error;
        throw cannotListen(options.metrics, '--metrics', error);
      });
    });
}

/** Asks for the task queue as the worker will. A namespace that is not there would be an error far from here. */
async function pollable({ workflowService }: Client, namespace: string): Promise<void> {
  const queue = { namespace, taskQueue: { name: TASK_QUEUE }, taskQueueType: WORKFLOW_TASKS };
  await workflowService.describeTaskQueue(queue).catch((error: unknown) => {
    if (isGrpcServiceError(error) && error.code === NOT_FOUND) throw new NamespaceNotFoundError(namespace);
    throw error;
  });
}
const WORKFLOW_TASKS = 1;
const NOT_FOUND = 5;
