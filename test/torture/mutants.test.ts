import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { MUTANTS } from './mutants.js';

it.each(MUTANTS)('can be planted: $name', ({ edits }) => {
  for (const { file, find, replace } of edits) {
    expect(readFileSync(file, 'utf8').split(find), `${find} in ${file}`).toHaveLength(2);
    expect(replace).not.toBe(find);
  }
});
