import { ExecaError } from 'execa';

/** Why a program did not do what it was called for, in a few lines: the end of what it said, or that it is not there. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof ExecaError)) return (error as Error).message;
  if (error.code === 'ENOENT') return `there is no ${error.command.split(' ')[0]} on PATH`;
  const said = String(error.stderr ?? '').trim();
  return said ? said.split('\n').slice(-3).join('\n') : error.shortMessage;
}
