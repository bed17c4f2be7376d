#!/usr/bin/env node
import { CommanderError } from 'commander';
import { EXIT, type ExitCode } from '../model/exit-code.js';
import { describeFailure, failureText } from './failure.js';
import { printJson } from './output.js';
import { createProgram } from './program.js';

// The code is set, not exited with: output that is still being written is finished first.
const end = (code: ExitCode) => {
  process.exitCode = code;
};

const wantsJson = process.argv.includes('--json');

try {
  await createProgram(end).parseAsync();
} catch (error) {
  fail(error);
}

function fail(error: unknown): void {
  if (error instanceof CommanderError) {
    // commander has printed its message; help and version are no errors
    if (error.exitCode !== 0 && wantsJson) {
      const problem = error.message.replace(/^error: /, '');
      const problems = [{ message: problem, cure: 'add --help for the options' }];
      printJson({ outcome: 'failed', problem, exitCode: EXIT.usage, type: 'Command', problems });
    }
    end(error.exitCode === 0 ? EXIT.done : EXIT.usage);
    return;
  }
  const shown = describeFailure(error);
  if (wantsJson) {
    printJson({ outcome: 'failed', problem: shown.problems.map((p) => p.message).join('; '), ...shown });
  }
  process.stderr.write(`${failureText(shown)}\n`);
  if (process.env.STAGESWAP_DEBUG) console.error(error);
  end(shown.exitCode);
}
