import { Option } from 'commander';
import { type Config, ConfigError, loadConfig } from '../config/load.js';

const description = 'configuration of the pipeline';

export function configOption(): Option {
  return new Option('--config <file>', description).makeOptionMandatory();
}

export function configsOption(): Option {
  return new Option('--config <file...>', `${description}; may be given for several`).makeOptionMandatory();
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
