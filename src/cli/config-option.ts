import { Option } from 'commander';
import { type Config, loadConfig } from '../config/load.js';
import { ConfigError } from '../config/problems.js';

/** What `init` is told to write in every example: looked for in the working directory. */
const FILE = 'stageswap.yaml';
const description = 'configuration of the pipeline';

/** Where none is named and none is there, loading it fails with the cure. */
export function configOption(): Option {
  return new Option('--config <file>', description).default(FILE);
}

export function configsOption(): Option {
  return new Option('--config <file...>', `${description}; may be given for several`).default([FILE], FILE);
}

export function jsonOption(): Option {
  return new Option('--json', 'print one JSON object').default(false);
}

/** Loads the configurations of one worker. @throws {ConfigError} two of one name */
export function loadConfigs(files: string[]): Config[] {
  const configs = files.map((file) => loadConfig(file));
  configs.forEach((config, index) => {
    const first = configs.findIndex((other) => other.pipeline === config.pipeline);
    if (first !== index) {
      throw new ConfigError([
        {
          path: files[index] ?? '',
          message: `pipeline ${config.pipeline} is also that of ${files[first]}`,
          cure: 'give each pipeline a name of its own',
        },
      ]);
    }
  });
  return configs;
}
