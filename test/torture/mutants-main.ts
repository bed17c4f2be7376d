import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { execa } from 'execa';
import { MUTANTS, type Mutant } from './mutants.js';
import { drawPlan, type Plan } from './plan.js';
import { described, session } from './session.js';

const USAGE = 'npm run torture:mutants [-- --json FILE --only TEXT --runs N --lanes N --sound]';
const COPIED = [
  'src',
  'activities',
  'workflows',
  'scripts',
  'package.json',
  'tsconfig.json',
  'tsconfig.build.json',
];
/** Runs in which a planted bug must be found. */
const RUNS_MAX = 12;
const SEEDS_SEARCHED = 20_000;

/** `npm run torture:mutants`: plants each bug in a copy of the product and tortures it. Exits with 1 if one is not found. */
async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      json: { type: 'string' },
      only: { type: 'string', default: '' },
      runs: { type: 'string', default: String(RUNS_MAX) },
      lanes: { type: 'string', default: '2' },
      sound: { type: 'boolean', default: false },
    },
  });
  const mutants = MUTANTS.filter(({ name }) => name.includes(values.only));
  if (mutants.length === 0) {
    console.error(`no bug is called ${values.only}\nusage: ${USAGE}`);
    return 2;
  }
  if (values.sound) return unprovoked(mutants, Number(values.lanes));
  const survived: string[] = [];
  for (const mutant of mutants) {
    const runs = await found(mutant, Number(values.runs), Number(values.lanes));
    if (runs === undefined) survived.push(mutant.name);
    console.error(runs === undefined ? `SURVIVED: ${mutant.name}` : `found in ${runs} runs: ${mutant.name}`);
  }
  const result = { planted: mutants.length, found: mutants.length - survived.length, survived };
  if (values.json) writeFileSync(values.json, `${JSON.stringify(result)}\n`);
  console.log(JSON.stringify(result));
  return survived.length === 0 ? 0 : 1;
}

/** Runs that are aimed at bugs, in the product without them: what they find there would be found for another reason. */
async function unprovoked(mutants: Mutant[], lanes: number): Promise<number> {
  const plans = mutants.flatMap((mutant) => mutant.plans ?? []);
  const { violations, ...counts } = await session({ plans, lanes, say: () => {} });
  for (const violation of violations) console.error(described(violation));
  console.log(JSON.stringify({ ...counts, violations: violations.length }));
  return violations.length === 0 ? 0 : 1;
}

/** @returns in how many runs the bug was found; undefined: it was not */
async function found(mutant: Mutant, runs: number, lanes: number): Promise<number | undefined> {
  const product = mkdtempSync(join(tmpdir(), 'stageswap-torture-'));
  try {
    for (const path of COPIED) cpSync(path, join(product, path), { recursive: true });
    symlinkSync(resolve('node_modules'), join(product, 'node_modules'));
    for (const edit of mutant.edits) plant(product, mutant.name, edit);
    await build(product);
    const plans = mutant.plans ?? plansFor(mutant, runs);
    const done = await session({ plans, lanes, product, bail: true, say: () => {} });
    const [first] = done.violations;
    if (first) console.error(`  ${first.invariant}, seed ${first.seed}: ${first.text.slice(0, 300)}`);
    return first ? done.runs : undefined;
  } finally {
    rmSync(product, { recursive: true, force: true });
  }
}

/** @throws {Error} the text that it replaces is not there once */
function plant(product: string, name: string, { file, find, replace }: Mutant['edits'][number]): void {
  const path = join(product, file);
  const sound = readFileSync(path, 'utf8');
  const times = sound.split(find).length - 1;
  if (times !== 1) throw new Error(`${name}: its text stands ${times} times in ${file}, not once`);
  writeFileSync(
    path,
    sound.replace(find, () => replace),
  );
}

async function build(product: string): Promise<void> {
  const compiler = join('node_modules', 'typescript', 'bin', 'tsc');
  await execa(process.execPath, [compiler, '-p', 'tsconfig.build.json'], { cwd: product });
  await execa(process.execPath, ['scripts/bundle-workflows.mjs'], { cwd: product });
}

/** The first random plans that have what the bug wants. */
function plansFor({ name, focus = {} }: Mutant, runs: number): Plan[] {
  const plans: Plan[] = [];
  for (let seed = 0; seed < SEEDS_SEARCHED && plans.length < runs; seed += 1) {
    const plan = drawPlan(seed);
    const steps = plan.steps.filter(
      ({ command }, index) =>
        // what is wrong with a publish shows where one was published before
        focus.command === undefined ||
        (command === focus.command && (index > 0 || focus.kinds !== undefined)),
    );
    const faults = steps.flatMap((step) => step.faults);
    const fits =
      focus.kinds === undefined && focus.activities === undefined
        ? steps.length > 0
        : faults.some(
            ({ kind, at }) =>
              (focus.kinds?.includes(kind) ?? true) && (focus.activities?.includes(at.activity) ?? true),
          );
    if (fits) plans.push(plan);
  }
  if (plans.length < runs)
    throw new Error(`${name}: no ${runs} of ${SEEDS_SEARCHED} seeds have what it wants`);
  return plans;
}

process.exitCode = await main();
