import type { Command } from 'commander';
import pc from 'picocolors';
import { loadConfig } from '../config/load.js';
import { EXIT, type ExitCode } from '../model/report.js';
import type { Decision } from '../preflight/decide.js';
import type { Finding } from '../preflight/finding.js';
import { preflight } from '../preflight/index.js';
import { configOption, jsonOption } from './config-option.js';
import { print, printJson } from './output.js';

export function addCheck(program: Command, end: (code: ExitCode) => void): void {
  program
    .command('check')
    .description(
      'look at both engines and say what a run would refuse, and what it would need; changes nothing',
    )
    .addOption(configOption())
    .addOption(jsonOption())
    .action(async (options: { config: string; json: boolean }) => {
      const config = loadConfig(options.config);
      const decision = await preflight(config);
      if (options.json) printJson({ pipeline: config.pipeline, ...decision });
      else print(checkText(config.pipeline, decision));
      end(decision.refusals.length > 0 ? EXIT.refused : EXIT.done);
    });
}

export function checkText(pipeline: string, found: Decision): string {
  const lines = [
    ...found.refusals.map((finding) => findingText(pc.red('refused'), finding)),
    ...found.warnings.map((finding) => findingText(pc.yellow('warning'), finding)),
    ...Object.entries(found.needs).map(
      ([name, value]) =>
        `${pc.dim('needs')} ${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}`,
    ),
    found.refusals.length === 0
      ? `${pipeline} ${pc.green('can run')}`
      : `${pipeline} ${pc.red('cannot run')}: ${found.refusals.length} to cure`,
  ];
  return lines.join('\n');
}

/** 0 bytes · 12.3 MB: in powers of 1000 */
export function bytes(value: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  let unit = 0;
  let rest = value;
  while (rest >= 1000 && unit < units.length - 1) {
    rest /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? rest : rest.toFixed(1)} ${units[unit]}`;
}

function findingText(label: string, { what, where, cure }: Finding): string {
  return `${label} ${where}: ${what}\n  ${pc.dim('cure:')} ${cure}`;
}
