import type { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { Pace, screen } from '../src/cli/progress-view.js';
import type { Progress } from '../src/model/messages.js';
import { allCommands, commandsIn, parse } from './support/command-line.js';

/** Help that can be relied on: every command has examples, and every example is understood. */
function help(command: Command): string {
  let text = '';
  command.configureOutput({
    writeOut: (part) => {
      text += part;
    },
  });
  command.outputHelp();
  return text;
}
const examplesOf = (text: string) =>
  (/\nExamples?:\n([\s\S]*)/.exec(text)?.[1] ?? '')
    .split('\n')
    .filter((line) => line.startsWith('  stageswap '));

describe('the help of', () => {
  for (const { words, command } of allCommands()) {
    test(`${words} says what it does, and its examples are understood`, async () => {
      expect(command.description()).not.toBe('');
      const examples = examplesOf(help(command));
      expect(examples.length).toBeGreaterThan(0);
      for (const line of examples)
        for (const [program, ...rest] of commandsIn(line)) if (program === 'stageswap') await parse(rest);
    });
  }
});

test('every command but the servers can answer in JSON', () => {
  const without = allCommands()
    .filter(({ command }) => command.commands.length === 0)
    .filter(({ command }) => !command.options.some((option) => option.long === '--json'))
    .map(({ words }) => words);
  expect(without).toEqual(['worker', 'codec-server']);
});

test('words that no command knows are refused', async () => {
  await expect(parse(['run', '--config', 'x', '--bogus'])).rejects.toThrow('unknown option');
  await expect(parse(['schedule', 'create', '--config', 'x'])).rejects.toThrow('--cron');
});

test('a screen says how fast a table goes, and how long it will take', () => {
  const progress = (rowsDone: number, chunksDone: number): Progress => ({
    phase: 'ingest',
    tables: [{ table: 'customer', phase: 'ingest', rowsDone, chunksDone, chunks: 10 }],
    paused: false,
    generation: 1,
  });
  const pace = new Pace();
  expect(pace.of(progress(0, 0), 1_000).size).toBe(0);
  const speeds = pace.of(progress(20_000, 2), 3_000);
  expect(speeds.get('customer')).toEqual({ rowsASecond: 10_000, remainingMs: 8_000 });
  expect(screen(progress(20_000, 2), { speeds }).join('\n')).toContain(
    '20,000 rows, 2 of 10 chunks, 10,000 rows/s, 8.0 s left',
  );
  expect(pace.of(progress(100_000, 10), 9_000).size).toBe(0); // done
});

test('what is left out has these values', () => {
  const defaults = (name: string) =>
    Object.fromEntries(
      allCommands()
        .find(({ words }) => words === name)
        ?.command.options.filter(({ defaultValue }) => defaultValue !== undefined)
        .map((option) => [option.attributeName(), option.defaultValue]) ?? [],
    );
  expect(defaults('worker')).toEqual({ config: ['stageswap.yaml'], logLevel: 'info' });
  expect(defaults('codec-server')).toEqual({ listen: '127.0.0.1:8888', origin: [] });
  const configs = allCommands()
    .filter(({ command }) => command.options.some((option) => option.long === '--config'))
    .map(({ words }) => defaults(words).config);
  expect(new Set(configs.flat())).toEqual(new Set(['stageswap.yaml']));
  expect(configs.length).toBeGreaterThan(20);
  expect(defaults('rollback')).toMatchObject({ yes: false, json: false });
  expect(defaults('abort')).toMatchObject({ yes: false, json: false });
});
