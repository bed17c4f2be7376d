import type { Command } from 'commander';
import { createProgram } from '../../src/cli/program.js';

/** Every command, subcommands included, with the words that lead to it. */
export function allCommands(): { words: string; command: Command }[] {
  const walk = (command: Command, words: string[]): { words: string; command: Command }[] =>
    command.commands
      .filter((child) => child.name() !== 'help')
      .flatMap((child) => {
        const path = [...words, child.name()];
        return [{ words: path.join(' '), command: child }, ...walk(child, path)];
      });
  return walk(
    createProgram(() => {}),
    [],
  );
}

/** A line as a shell splits it: quotes, variables left as they are, and `&&`, `||`, `;`, `|` and `&` between commands. */
export function commandsIn(line: string): string[][] {
  const commands: string[][] = [[]];
  for (const [token, single, double] of line
    .replace(/(^|\s)#.*$/, '')
    .matchAll(/'([^']*)'|"((?:[^"\\]|\\.)*)"|&&|\|\||[;|&]|(?:[^\s'"&|;\\]|\\.)+/g)) {
    if (single === undefined && double === undefined && /^(&&|\|\||[;|&])$/.test(token)) commands.push([]);
    else commands.at(-1)?.push(single ?? double ?? token);
  }
  return commands.filter((words) => words.length > 0);
}

/** Parses a command of stageswap as the program does, and does nothing. @throws what commander says of wrong words */
export async function parse(words: string[]): Promise<void> {
  const program = createProgram(() => {});
  const silence = (command: Command): void => {
    command.exitOverride().configureOutput({ writeErr: () => {}, writeOut: () => {} });
    if (command.commands.length === 0) command.action(() => {});
    for (const child of command.commands) silence(child);
  };
  silence(program);
  await program.parseAsync(['node', 'stageswap', ...words]);
}
