import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { startEngines } from '../../demo/engines/index.js';
import { MUTANTS, type Mutant } from './mutants.js';

const USAGE = 'npm run mutants [-- --json FILE --only TEXT]';
const COPIED = [
  'src',
  'activities',
  'workflows',
  'demo',
  'test/merge',
  'test/support',
  'package.json',
  'tsconfig.json',
  'vitest.config.ts',
];
const TESTS = ['cases', 'group', 'differences', 'sequences', 'fuzz'].map(
  (name) => `test/merge/${name}.mysql.test.ts`,
);
const FUZZ_SEEDS = '40';

/** What vitest's JSON reporter says, as far as it is asked. */
interface Report {
  numTotalTests: number;
  numFailedTests: number;
  testResults: { assertionResults: { status: string; title: string; failureMessages: string[] }[] }[];
}

/** `npm run mutants`: plants each fault in a copy of the product and runs the tests of the merge. Exits with 1 if one survives. */
async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { json: { type: 'string' }, only: { type: 'string', default: '' } },
  });
  const mutants = MUTANTS.filter(({ name }) => name.includes(values.only));
  if (mutants.length === 0) {
    console.error(`no fault is called ${values.only}\nusage: ${USAGE}`);
    return 2;
  }
  const folder = mkdtempSync(join(tmpdir(), 'stageswap-mutants-'));
  const engines = await startEngines({ say: console.error, databases: ['stageswap_test_billing'] });
  const env = {
    ...process.env,
    MYSQL_URL: engines.mysql.url,
    MSSQL_URL: engines.sqlServer.url,
    TEMPORAL_ADDRESS: engines.temporal.address,
    FUZZ_SEEDS,
  };
  try {
    for (const path of COPIED) cpSync(path, join(folder, path), { recursive: true });
    symlinkSync(resolve('node_modules'), join(folder, 'node_modules'));
    const sound = await test(folder, env);
    if (sound) throw new Error(`the tests fail without any fault: ${sound}`);
    const survived: string[] = [];
    for (const mutant of mutants) {
      const found = await planted(folder, mutant, () => test(folder, env));
      if (!found) survived.push(mutant.name);
      console.error(`${found ? 'found' : 'SURVIVED'}: ${mutant.name}${found ? `\n  by ${found}` : ''}`);
    }
    const result = { planted: mutants.length, found: mutants.length - survived.length };
    if (values.json) writeFileSync(values.json, `${JSON.stringify(result)}\n`);
    console.log(JSON.stringify(result));
    return survived.length === 0 ? 0 : 1;
  } finally {
    await engines.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Works with the fault in its file, and mends it again. @throws {Error} the text that it replaces is not there once */
async function planted<T>(folder: string, mutant: Mutant, work: () => Promise<T>): Promise<T> {
  const file = join(folder, mutant.file);
  const sound = readFileSync(file, 'utf8');
  const times = sound.split(mutant.find).length - 1;
  if (times !== 1)
    throw new Error(`${mutant.name}: its text stands ${times} times in ${mutant.file}, not once`);
  writeFileSync(
    file,
    sound.replace(mutant.find, () => mutant.replace),
  );
  try {
    return await work();
  } finally {
    writeFileSync(file, sound);
  }
}

/** Runs the tests of the merge up to the first that fails. @returns what failed, or null */
async function test(folder: string, env: NodeJS.ProcessEnv): Promise<string | null> {
  const output = join(folder, 'report.json');
  rmSync(output, { force: true });
  const program = join('node_modules', 'vitest', 'vitest.mjs');
  const options = ['run', '--bail', '1', '--reporter', 'json', '--outputFile', output];
  const child = spawn(process.execPath, [program, ...options, ...TESTS], {
    cwd: folder,
    env,
    stdio: 'ignore',
  });
  await new Promise<void>((done, failed) => {
    child.on('error', failed);
    child.on('exit', () => done());
  });
  const report = JSON.parse(readFileSync(output, 'utf8')) as Report;
  if (report.numTotalTests === 0) throw new Error('no test ran: is the copy complete?');
  const failures = report.testResults
    .flatMap(({ assertionResults }) => assertionResults)
    .filter(({ status }) => status === 'failed');
  if (report.numFailedTests === 0) return null;
  const [first] = failures;
  return `${first?.title}: ${first?.failureMessages[0]?.split('\n')[0]?.slice(0, 150)}`;
}

process.exitCode = await main();
