import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runDemo } from './app/story.js';

const USAGE = 'npm run demo [-- --rows N --json FILE --keep --seed N]';

function options() {
  const { values } = parseArgs({
    options: {
      rows: { type: 'string', default: '300000' },
      json: { type: 'string' },
      keep: { type: 'boolean', default: false },
      seed: { type: 'string', default: '1' },
    },
  });
  const rows = Number(values.rows);
  const seed = Number(values.seed);
  if (!Number.isInteger(rows) || rows < 1) throw new Error('--rows is a whole number of at least 1');
  if (!Number.isInteger(seed) || seed < 0) throw new Error('--seed is a whole number');
  return { rows, seed, keep: values.keep, json: values.json };
}

async function main(): Promise<number> {
  let given: ReturnType<typeof options>;
  try {
    given = options();
  } catch (error) {
    console.error(`${(error as Error).message}\n${USAGE}`);
    return 2;
  }
  const folder = mkdtempSync(join(tmpdir(), 'stageswap-demo-'));
  const abort = new AbortController();
  let interrupts = 0;
  const interrupt = () => {
    interrupts += 1;
    if (interrupts === 1) abort.abort(new Error('interrupted'));
    else if (interrupts > 2) process.exit(130);
  };
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, interrupt);
  const start = Date.now();
  const say = (line: string) => {
    console.log(`${((Date.now() - start) / 1000).toFixed(1).padStart(7)} s  ${line}`);
  };
  try {
    const { result, failures } = await runDemo({ ...given, folder, say, signal: abort.signal });
    if (given.json) writeFileSync(given.json, `${JSON.stringify(result, null, 2)}\n`);
    return failures === 0 ? 0 : 1;
  } catch (error) {
    if (abort.signal.aborted) {
      say('interrupted; everything that was started is stopped');
      return 130;
    }
    console.error(`\nthe demo failed: ${(error as Error).message}`);
    if (process.env.STAGESWAP_DEBUG) console.error(error);
    return 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

process.exit(await main());
