#!/usr/bin/env node
// What `npm run demo`, `npm test`, `npm run build` and the other scripts of package.json call. It has no dependencies, for it starts in a
// fresh clone: it installs the pinned packages, builds, then runs what was asked for.
//
// Install scripts: three packages of the tree have one (esbuild, @swc/core, protobufjs). All work without: their binaries
// come as optional packages of the platform, and protobufjs only prints a warning about versions. `allowScripts` in
// package.json therefore denies all three.
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

process.chdir(dirname(dirname(fileURLToPath(import.meta.url))));
const say = (line) => console.error(`stageswap: ${line}`);
const fail = (line, code = 1) => {
  say(line);
  process.exit(code);
};

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  fail(`Node ${process.versions.node} is too old: 20.19 or later is needed (see engines in package.json)`, 2);
}

const [what = '', ...rest] = process.argv.slice(2);
const bin = (path) => join('node_modules', ...path.split('/'));
const commands = {
  demo: ['--import', 'tsx', 'demo/main.ts'],
  test: [bin('vitest/vitest.mjs'), 'run'],
  bench: ['--import', 'tsx', 'bench/main.ts'],
  fuzz: ['--import', 'tsx', 'test/merge/fuzz-main.ts'],
  mutants: ['--import', 'tsx', 'test/merge/mutants-main.ts'],
  torture: ['--import', 'tsx', 'test/torture/main.ts'],
  'torture:mutants': ['--import', 'tsx', 'test/torture/mutants-main.ts'],
  build: [],
};
if (!Object.hasOwn(commands, what)) {
  fail(`usage: node scripts/run.mjs ${Object.keys(commands).join('|')} [arguments]`, 2);
}

let child;
let stopped;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    stopped = signal;
    // A terminal sends Ctrl-C to every process of the group: the child has it already, and a second one means "at once".
    if (!(signal === 'SIGINT' && process.stdin.isTTY)) child?.kill(signal);
  });
}

// npm hands a signal to the shell that it runs us in, and that shell ends without handing it on: a parent that is gone means stop.
const parent = process.ppid;
setInterval(() => {
  if (stopped || process.ppid === parent) return;
  stopped = 'SIGTERM';
  child?.kill(stopped);
}, 500).unref();

/** Runs a program to its end. @returns its exit code, as a shell would say it */
function run(program, args, stdio) {
  return new Promise((resolve) => {
    child = spawn(program, args, { stdio, shell: process.platform === 'win32' && program === 'npm' });
    child.on('error', (error) => {
      say(`${program}: ${error.message}`);
      resolve(1);
    });
    child.on('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal]));
  });
}

/** A step on the way: its output goes to standard error, so that standard output is the command's own. */
async function step(program, args) {
  const code = await run(program, args, ['ignore', 2, 2]);
  if (stopped) process.exit(128 + constants.signals[stopped]);
  return code === 0;
}
const node = (...args) => step(process.execPath, args);

async function install() {
  const written = join('node_modules', '.package-lock.json'); // npm writes it last
  if (existsSync(written) && statSync(written).mtimeMs >= statSync('package-lock.json').mtimeMs) return;
  say('installing packages (npm ci)');
  if (!(await step('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']))) {
    fail(
      'npm ci failed (its message is above). It needs the npm registry, or a mirror: npm config set registry URL; or bring node_modules along from a machine of the same kind',
    );
  }
}

async function build() {
  say('building dist (TypeScript, workflow bundle, JSON Schema)');
  rmSync('dist', { recursive: true, force: true });
  if (!(await node(bin('typescript/bin/tsc'), '-p', 'tsconfig.build.json'))) {
    fail('the build failed: see the errors of tsc above');
  }
  for (const script of ['scripts/bundle-workflows.mjs', 'scripts/config-schema.mjs']) {
    if (!(await node(script))) fail(`${script} failed`);
  }
  chmodSync('dist/src/cli/main.js', 0o755);
}

const directions = (...folders) =>
  node(
    bin('dependency-cruiser/bin/dependency-cruise.mjs'),
    '--config',
    '.dependency-cruiser.cjs',
    ...folders,
  );

/** Everything that is checked beside the tests. @returns what failed: the tests run all the same, and then fail */
async function checks() {
  const failed = [];
  const check = async (name, promise) => {
    if (!(await promise)) failed.push(name);
  };
  say('format and lint, types, directions of dependencies');
  await check(
    'biome (npx biome check --write mends most)',
    node(bin('@biomejs/biome/bin/biome'), 'check', '.'),
  );
  await check('types', node(bin('typescript/bin/tsc'), '--noEmit'));
  await check('directions of dependencies', directions('src', 'workflows', 'activities'));
  await build();
  await check(
    'directions of dependencies in the build',
    directions('dist/src', 'dist/workflows', 'dist/activities'),
  );
  if (process.env.STAGESWAP_CHECKS_FAILED) {
    writeFileSync(process.env.STAGESWAP_CHECKS_FAILED, String(failed.length));
  }
  return failed;
}

await install();
let failed = [];
if (what === 'test') failed = await checks();
else await build();
const command = commands[what];
if (command.length === 0) process.exit(0);
const script = command.at(-1);
if (script.endsWith('.ts') && !existsSync(script)) fail(`there is no ${script} yet`);
const code = await run(process.execPath, [...command, ...rest], 'inherit');
if (failed.length > 0) say(`failed beside the tests: ${failed.join(', ')}`);
process.exit(code === 0 && failed.length > 0 ? 1 : code);
