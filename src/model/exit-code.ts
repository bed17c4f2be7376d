import type { Report } from './report.js';

/** Exit codes of the command line; fixed, scripts rely on them. */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  refused: 3,
  waiting: 4,
  aborted: 5,
  unreachable: 6,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** The exit code of a failure's type (failures.ts); a type that is not of the list is an unexpected failure. */
export function exitCodeOfFailure(type: string | undefined): ExitCode {
  switch (type) {
    case 'Refused':
    case 'Held':
    case 'NotConfigured':
    case 'NothingToRollBack':
      return EXIT.refused;
    case 'Mistyped':
      return EXIT.usage;
    case 'NotRepaired':
      return EXIT.waiting;
    case 'Unreachable':
      return EXIT.unreachable;
    default:
      return EXIT.failed;
  }
}

/** What a command starts. */
export type Started = 'run' | 'rollback' | 'plan' | 'repair' | 'cleanup';

/**
 * The exit code of a report.
 *
 * @param asked what the command was to do: a rollback that ends rolled back is done, a run that does so is not
 */
export function exitCodeOf(
  report: Pick<Report, 'outcome' | 'problemType'>,
  asked: Started = 'run',
): ExitCode {
  switch (report.outcome) {
    case 'published':
    case 'planned':
    case 'repaired':
    case 'cleaned':
      return EXIT.done;
    case 'waiting':
      return EXIT.waiting;
    case 'aborted':
      return EXIT.aborted;
    case 'rolledBack':
      return asked === 'rollback' ? EXIT.done : EXIT.aborted;
    case 'failed':
      return exitCodeOfFailure(report.problemType);
  }
}
