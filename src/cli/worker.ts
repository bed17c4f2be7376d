import type { Command } from 'commander';
import { TASK_QUEUE } from '../model/messages.js';
import { configsOption, loadConfigs } from './config-option.js';
import { note } from './output.js';
import { temporalPlace, withTemporal } from './temporal.js';

export function addWorker(program: Command): void {
  program
    .command('worker')
    .description('do the work: poll Temporal for the steps of runs until stopped')
    .addOption(configsOption())
    .action(async (options: { config: string[] }) => {
      const configs = loadConfigs(options.config);
      const place = temporalPlace();
      await withTemporal(async () => {}); // says at once, and by name, that Temporal does not answer
      // loaded here only: the worker's modules take seconds, the other commands should not
      const { runWorker } = await import('../worker.js');
      const pipelines = configs.map((config) => config.pipeline).join(', ');
      note(
        `worker of ${pipelines}: polls ${TASK_QUEUE} at ${place.address}; Ctrl-C lets running steps finish`,
      );
      await runWorker({ configs, temporalAddress: place.address, namespace: place.namespace, say: note });
    });
}
