import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { configKeys, configurationPage } from '../scripts/config-reference.js';

test('the page of the configuration is what the schema says', () => {
  const written = readFileSync(join(import.meta.dirname, '..', 'docs', 'configuration.md'), 'utf8');
  expect(written, 'write it again: npx tsx scripts/config-reference.ts').toBe(configurationPage());
});

test('every key of the configuration says what it means', () => {
  expect(configKeys().filter(({ meaning }) => meaning === '')).toEqual([]);
});

test('keys inside of lists, names and alternatives are listed, with their defaults', () => {
  const keys = new Map(configKeys().map((key) => [key.path, key]));
  expect(keys.get('tables[].columns.*.onConflict')).toMatchObject({ default: '"live"', required: false });
  expect(keys.get('tables[].localKeys.from')).toMatchObject({ required: true });
  expect(keys.get('cutOver.heldMsMax')).toMatchObject({
    default: '250',
    type: 'whole number, from 1 to 600000',
  });
});
