import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import type { ExitCode } from '../model/exit-code.js';
import { addCheck } from './check.js';
import { addCleanup } from './cleanup.js';
import { addCodecServer } from './codec-server.js';
import { addConflicts } from './conflicts.js';
import { addExplain } from './explain.js';
import { addHistory } from './history.js';
import { addHold } from './hold.js';
import { addInit } from './init.js';
import { addPlan } from './plan.js';
import { addRepair } from './repair.js';
import { addResync } from './resync.js';
import { addRollback } from './rollback.js';
import { addRun } from './run.js';
import { addSchedule } from './schedule.js';
import { addStatus } from './status.js';
import { addSteering } from './steer.js';
import { addWorker } from './worker.js';
import { addYield } from './yield.js';

const EXIT_CODES = `
Exit codes: 0 done · 1 unexpected failure · 2 usage or configuration · 3 refused by preflight ·
4 waits for a human · 5 aborted or rolled back · 6 an engine cannot be reached
Temporal is found by TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE.`;

/** The command line. @param end told the exit code of a command that has ended */
export function createProgram(end: (code: ExitCode) => void): Command {
  const program = new Command('stageswap')
    .description('Refreshes live MySQL tables from SQL Server without losing a client edit.')
    .version(version())
    .showHelpAfterError('(add --help for the options)')
    .addHelpText('after', EXIT_CODES)
    .exitOverride();

  addInit(program, end);
  addCheck(program, end);
  addWorker(program);
  addRun(program, end);
  addStatus(program, end);
  addSteering(program, end);
  addRollback(program, end);
  addRepair(program, end);
  addCleanup(program, end);
  addHold(program, end);
  addSchedule(program, end);
  addHistory(program, end);
  addPlan(program, end);
  addConflicts(program, end);
  addExplain(program, end);
  addYield(program, end);
  addResync(program, end);
  addCodecServer(program);
  return program;
}

/** From package.json, which is two levels up in the sources and three in the build. */
function version(): string {
  for (const path of ['../../package.json', '../../../package.json']) {
    try {
      const parsed = JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as Record<
        string,
        unknown
      >;
      if (parsed.name === 'stageswap') return String(parsed.version);
    } catch {
      // the other place
    }
  }
  return 'unknown';
}
