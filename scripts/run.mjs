#!/usr/bin/env node
// Starts without node_modules: installs the pinned packages, builds, then runs what was asked for.
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(root);
const say = (line) => console.error(`stageswap: ${line}`);
const fail = (line, code = 1) => {
  say(line);
  process.exit(code);
};

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19))
  fail(`Node ${process.versions.node} is too old: 20.19 or later is needed (see engines in package.json)`, 2);

const [what, ...rest] = process.argv.slice(2);
const commands = { demo: ['tsx', 'demo/main.ts'], test: ['vitest', 'run'], build: undefined };
if (!(what in commands))
  fail(`usage: node scripts/run.mjs ${Object.keys(commands).join('|')} [arguments]`, 2);

const shell = process.platform === 'win32';
function run(program, args) {
  const done = spawnSync(program, args, { stdio: ['ignore', 2, 2], shell });
  return done.status ?? 1;
}
const local = (name) => join('node_modules', '.bin', name);

function install() {
  const mark = join('node_modules', '.stageswap-installed');
  if (existsSync(mark) && statSync(mark).mtimeMs >= statSync('package-lock.json').mtimeMs) return;
  say('installing packages (npm ci)');
  if (run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']) !== 0) {
    fail(
      'npm ci failed: the npm registry must be reachable (or a mirror of it, by npm config set registry), or node_modules be brought along',
    );
  }
  writeFileSync(mark, '');
}

function build() {
  say('building dist (TypeScript, workflow bundle, JSON Schema)');
  rmSync('dist', { recursive: true, force: true });
  if (run(local('tsc'), ['-p', 'tsconfig.build.json']) !== 0)
    fail('the build failed: see the errors of tsc above');
  for (const script of ['scripts/bundle-workflows.mjs', 'scripts/config-schema.mjs']) {
    if (run(process.execPath, [script]) !== 0) fail(`${script} failed`);
  }
  chmodSync('dist/src/cli/main.js', 0o755);
}

install();
if (what === 'test') {
  say('formatting, lint and types');
  if (run(local('biome'), ['check', '--diagnostic-level=error', '.']) !== 0)
    fail('biome check failed (npx biome check --write mends most)');
  if (run(local('tsc'), ['--noEmit']) !== 0) fail('the types do not hold');
}
build();
const command = commands[what];
if (!command) process.exit(0);
const child = spawn(local(command[0]), [...command.slice(1), ...rest], { stdio: 'inherit', shell });
// A terminal sends its interrupt to the whole group; a signal to us alone is passed on.
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
child.on('exit', (code, signal) => process.exit(code ?? (signal ? 1 : 0)));
