import { createInterface } from 'node:readline/promises';
import { EXIT } from '../model/exit-code.js';
import { CommandError } from './failure.js';

/**
 * Asks before something is done to many rows. Off a terminal nobody can answer: then `--yes` must have been given.
 *
 * @throws {CommandError} exit 2: not confirmed
 */
export async function confirm(question: string, options: { yes: boolean; json: boolean }): Promise<void> {
  if (options.yes) return;
  if (!canAsk(options)) throw new CommandError(EXIT.usage, `${question}: not confirmed`, 'add --yes');
  await ask(question);
}

/**
 * Asks before something is done that a slip of the hand must not do; off a terminal the command itself is the answer.
 *
 * @throws {CommandError} exit 2: not confirmed
 */
export async function confirmAtTerminal(
  question: string,
  options: { yes: boolean; json: boolean },
): Promise<void> {
  if (!options.yes && canAsk(options)) await ask(question);
}

function canAsk({ json }: { json: boolean }): boolean {
  return Boolean(process.stdin.isTTY && process.stderr.isTTY) && !json;
}

async function ask(question: string): Promise<void> {
  const line = createInterface({ input: process.stdin, output: process.stderr });
  const ended = new Promise<string>((resolve) => line.once('close', () => resolve('')));
  // Ctrl-C and Ctrl-D are a no
  const answer = await Promise.race([line.question(`${question}? [y/N] `).catch(() => ''), ended]);
  line.close();
  if (!/^y(es)?$/i.test(answer.trim())) throw new CommandError(EXIT.usage, 'not confirmed');
}
