// Violations of the directions of dependencies, planted in a copy of the folders: each must be found.
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, test } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
let folder: string;

function write(path: string, text: string): void {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), text);
}

/** @returns the names of the rules that were broken, as `rule: file` */
async function violations(): Promise<string[]> {
  const cruise = join(root, 'node_modules', 'dependency-cruiser', 'bin', 'dependency-cruise.mjs');
  const { stdout } = await execa(
    process.execPath,
    [
      cruise,
      '--config',
      '.dependency-cruiser.cjs',
      '--output-type',
      'json',
      'src',
      'workflows',
      'activities',
      'dist',
    ],
    { cwd: folder, reject: false },
  );
  const found: { from: string; rule: { name: string } }[] = JSON.parse(stdout).summary.violations;
  return found.map(({ from, rule }) => `${rule.name}: ${from}`);
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'stageswap-directions-'));
  copyFileSync(join(root, '.dependency-cruiser.cjs'), join(folder, '.dependency-cruiser.cjs'));
  for (const name of ['mysql2', 'mssql', 'tedious', 'zod', '@temporalio/workflow', '@temporalio/client']) {
    write(`node_modules/${name}/package.json`, JSON.stringify({ name, version: '1.0.0', main: 'index.js' }));
    write(`node_modules/${name}/index.js`, 'exports.a = 1;');
  }
  write('package.json', '{"type":"module","dependencies":{"mysql2":"1","mssql":"1","zod":"1"}}');
  write('src/model/names.ts', 'export const a = 1;');
  write('src/sql/merge.ts', "import { a } from '../model/names.js';\nexport const b = a;");
  write('src/mysql/session.ts', "import { a } from 'mysql2';\nexport const b = a;");
  write('activities/merge.ts', "import { b } from '../src/sql/merge.js';\nexport const c = b;");
  write(
    'workflows/sync.ts',
    "import { a } from '@temporalio/workflow';\nimport type { c } from '../activities/merge.js';\nexport const d: typeof c = a;",
  );
  write('dist/workflows/sync.js', "import { a } from '@temporalio/workflow';\nexport const d = a;");
  write('dist/activities/merge.js', 'export const c = 1;');
  write('demo/main.ts', "import { a } from '../src/model/names.js';\nexport const e = a;");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('nothing is found where the directions hold', async () => {
  expect(await violations()).toEqual([]);
});

test.each([
  ['workflows-are-deterministic', 'workflows/planted.ts', "import { readFileSync } from 'node:fs';"],
  ['workflows-are-deterministic', 'workflows/planted.ts', "import { a } from '@temporalio/client';"],
  ['workflows-are-deterministic', 'workflows/planted.ts', "import { b } from '../src/sql/merge.js';"],
  [
    'workflows-call-activities-by-type',
    'dist/workflows/planted.js',
    "import { c } from '../activities/merge.js';",
  ],
  ['activities-do-not-know-workflows', 'activities/planted.ts', "import { d } from '../workflows/sync.js';"],
  ['sql-is-pure', 'src/sql/planted.ts', "import { b } from '../mysql/session.js';"],
  ['sql-is-pure', 'src/sql/planted.ts', "import type { a } from 'zod';"],
  ['model-knows-nothing', 'src/model/planted.ts', "import { b } from '../sql/merge.js';"],
  ['model-knows-nothing', 'src/model/planted.ts', "import { a } from 'zod';"],
  ['one-place-for-the-mysql-driver', 'activities/planted.ts', "import { a } from 'mysql2';"],
  ['one-place-for-the-sql-server-driver', 'src/mysql/planted.ts', "import type { a } from 'mssql';"],
  ['one-place-for-the-sql-server-driver', 'src/cli/planted.ts', "import { a } from 'tedious';"],
  ['product-stands-alone', 'src/cli/planted.ts', "export const a = import('../../demo/main.js');"],
  ['product-stands-alone', 'activities/planted.ts', "import { e } from '../demo/main.js';"],
  ['every-import-is-found', 'src/cli/planted.ts', "import { a } from './nowhere.js';"],
])('%s: a violation in %s is found (%s)', async (rule, path, statement) => {
  write(path, `${statement}\n`);
  expect(await violations()).toEqual([`${rule}: ${path}`]);
});
