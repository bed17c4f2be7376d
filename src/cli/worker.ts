import type { Command } from 'commander';
import type { Config } from '../config/load.js';
import { configsOption, loadConfigs } from './config-option.js';
import { temporalPlace, withTemporal } from './temporal.js';

interface WorkerModule {
  runWorker(options: { configs: Config[]; temporalAddress: string; namespace: string }): Promise<void>;
}

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
      const path: string = '../worker.js';
      const { runWorker } = (await import(path)) as WorkerModule;
      await runWorker({ configs, temporalAddress: place.address, namespace: place.namespace });
    });
}
