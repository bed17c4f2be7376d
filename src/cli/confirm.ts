import { createInterface } from 'node:readline/promises';
import { EXIT } from '../model/report.js';
import { CommandError } from './failure.js';

/**
 * Asks before something is done to many rows. Off a terminal nobody can answer: then `--yes` must have been given.
 *
 * @throws {CommandError} exit 2: not confirmed
 */
export async function confirm(question: string, options: { yes: boolean; json: boolean }): Promise<void> {
  if (options.yes) return;
  const asks = process.stdin.isTTY && process.stderr.isTTY && !options.json;
  if (!asks) throw new CommandError(EXIT.usage, `${question}: not confirmed`, 'add --yes');
  const line = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await line.question(`${question}? [y/N] `);
  line.close();
  if (!/^y(es)?$/i.test(answer.trim())) throw new CommandError(EXIT.usage, 'not confirmed');
}
