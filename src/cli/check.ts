import type { Command } from 'commander';
import pc from 'picocolors';
import { type Config, loadConfig } from '../config/load.js';
import { EXIT, type ExitCode } from '../model/report.js';
import { configOption, jsonOption } from './config-option.js';
import { print, printJson } from './output.js';

interface Finding {
  what: string;
  where: string;
  cure: string;
}

interface Preflight {
  refusals: Finding[];
  warnings: Finding[];
  needs: Record<string, unknown>;
}

interface PreflightModule {
  preflight(config: Config): Promise<Preflight>;
}

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
      const path: string = '../preflight/index.js';
      const { preflight } = (await import(path)) as PreflightModule;
      const { refusals, warnings, needs } = await preflight(config);
      if (options.json) printJson({ pipeline: config.pipeline, refusals, warnings, needs });
      else print(checkText(config.pipeline, { refusals, warnings, needs }));
      end(refusals.length > 0 ? EXIT.refused : EXIT.done);
    });
}

export function checkText(pipeline: string, found: Preflight): string {
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

function findingText(label: string, { what, where, cure }: Finding): string {
  return `${label} ${where}: ${what}\n  ${pc.dim('cure:')} ${cure}`;
}
