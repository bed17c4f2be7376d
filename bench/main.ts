import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Engines, startEngines } from '../demo/engines/index.js';
import { benchCutOvers } from './cut-over.js';
import { round } from './figures.js';
import { printed } from './print.js';
import type { Result } from './result.js';
import { type Bench, benchRuns, type RunFigures } from './runs.js';
import { benchMemory, benchWorkers } from './scale.js';
import { SOURCE_DATABASE, SourceSide } from './source.js';
import { NARROW, WIDE } from './tables.js';

const PARTS = ['runs', 'narrow', 'cutover', 'memory', 'workers'] as const;
type Part = (typeof PARTS)[number];
const SCHEMA = 'stageswap_demo_bench';

const USAGE = `npm run bench [-- --rows N --json FILE --only PART,…]
  --rows N              rows of the bench tables (1000000)
  --repeat N            rounds, of which medians are taken (3)
  --json FILE           writes all figures
  --only PART,…         of ${PARTS.join(', ')}
  --cut-over-rows N,…   rows of the three tables together (10000,5000000)
  --cut-overs N,…       as many at each size (100,20)
  --memory-rows N,…     rows at which a worker's memory is measured (100000,5000000)
  --writers N           clients that write meanwhile (50)
  --think-ms N          between two edits of such a client, on average (100)
  --window-ms N         for each of a client's latencies (5000)
  --help                says this`;

interface Given {
  rows: number;
  repeat: number;
  json: string | undefined;
  parts: Part[];
  cutOvers: { rows: number; count: number }[];
  memoryRows: number[];
  writers: number;
  thinkMs: number;
  windowMs: number;
}

/** What was asked for, or nothing where it was how to ask. */
function options(): Given | undefined {
  const { values } = parseArgs({
    options: {
      rows: { type: 'string', default: '1000000' },
      repeat: { type: 'string', default: '3' },
      json: { type: 'string' },
      only: { type: 'string', default: PARTS.join(',') },
      'cut-over-rows': { type: 'string', default: '10000,5000000' },
      'cut-overs': { type: 'string', default: '100,20' },
      'memory-rows': { type: 'string', default: '100000,5000000' },
      writers: { type: 'string', default: '50' },
      'think-ms': { type: 'string', default: '100' },
      'window-ms': { type: 'string', default: '5000' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  const parts = values.only.split(',').map((name) => {
    const part = PARTS.find((known) => known === name);
    if (!part) throw new Error(`--only ${name}: there is no such part`);
    return part;
  });
  const sizes = values['cut-over-rows'].split(',').map(whole);
  const counts = values['cut-overs'].split(',').map(whole);
  if (sizes.length !== counts.length) throw new Error('--cut-over-rows and --cut-overs name as many numbers');
  return {
    rows: whole(values.rows),
    repeat: whole(values.repeat),
    json: values.json,
    parts,
    cutOvers: sizes.map((rows, index) => ({ rows, count: counts[index] ?? 0 })),
    memoryRows: values['memory-rows'].split(',').map(whole),
    writers: whole(values.writers),
    thinkMs: whole(values['think-ms']),
    windowMs: whole(values['window-ms']),
  };
}

function whole(text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1) throw new Error(`${text} is no whole number of at least 1`);
  return number;
}

async function run(
  given: Given,
  engines: Engines,
  folder: string,
  say: (line: string) => void,
): Promise<Result> {
  const { mysql, sqlServer, temporal } = engines;
  const source = await SourceSide.create(sqlServer.url);
  const bench: Bench = {
    addresses: {
      MSSQL_URL: source.url,
      MYSQL_URL: new URL(`/${SCHEMA}`, mysql.url).href,
      TEMPORAL_ADDRESS: temporal.address,
    },
    mysqlServer: mysql.url,
    schema: SCHEMA,
    source,
    folder,
    pids: { source: sqlServer.pid, target: mysql.pid },
    say,
  };
  const result: Result = {
    rows: given.rows,
    repeat: given.repeat,
    startedAt: new Date().toISOString(),
    machine: {
      cpus: cpus().length,
      cpu: cpus()[0]?.model ?? '',
      memoryMb: round(totalmem() / 1024 / 1024),
      node: process.version,
    },
    engines: { mysql: mysql.version, sqlServer: sqlServer.standIn ? 'stand-in' : 'SQL Server' },
  };
  try {
    for (const part of PARTS) if (given.parts.includes(part)) await runPart(part, bench, given, result);
  } finally {
    await source.close();
  }
  return result;
}

async function runPart(part: Part, bench: Bench, given: Given, result: Result): Promise<void> {
  const { rows, repeat } = given;
  switch (part) {
    case 'runs':
      result.wide = await benchRuns(bench, WIDE, rows, repeat);
      Object.assign(result, headline(result.wide));
      return;
    case 'narrow':
      result.narrow = await benchRuns(bench, NARROW, rows, repeat);
      return;
    case 'cutover':
      result.cutOver = [];
      for (const [index, size] of given.cutOvers.entries()) {
        const { figures, capture } = await benchCutOvers(bench, {
          rows: size.rows,
          cutOvers: size.count,
          writers: given.writers,
          thinkMs: given.thinkMs,
          ...(index === 0 ? { windowMs: given.windowMs } : {}),
        });
        result.cutOver.push(figures);
        if (capture) result.capture = capture;
      }
      result.renameFloorMs = result.cutOver[0]?.renameFloorMs ?? Number.NaN;
      result.heldMsP50 = result.cutOver[0]?.heldMsP50 ?? Number.NaN;
      result.heldMsP99 = result.cutOver[0]?.heldMsP99 ?? Number.NaN;
      result.queuedMsMax = Math.max(...result.cutOver.map(({ queuedMsMax }) => queuedMsMax));
      return;
    case 'memory':
      result.memory = [];
      for (const size of given.memoryRows) result.memory.push(await benchMemory(bench, WIDE, size));
      return;
    case 'workers':
      result.workers = await benchWorkers(bench, WIDE, rows, repeat);
      return;
  }
}

function headline(figures: RunFigures): Partial<Result> {
  const { drainMs, loadMs, ingestMs, firstPublishMs, editedRunMs, unchangedRunMs } = figures;
  const ratio = (ms: number) => round(ms / (drainMs + loadMs), 2);
  return {
    drainMs,
    loadMs,
    ingestMs,
    firstPublishMs,
    editedRunMs,
    unchangedRunMs,
    idleRssMb: figures.idleRssMb,
    peakRssMb: figures.peakRssMb,
    ratios: {
      ingest: ratio(ingestMs),
      firstPublish: ratio(firstPublishMs),
      editedRun: ratio(editedRunMs),
      unchangedRun: ratio(unchangedRunMs),
    },
  };
}

async function main(): Promise<number> {
  let given: Given | undefined;
  try {
    given = options();
  } catch (error) {
    console.error(`${(error as Error).message}\n${USAGE}`);
    return 2;
  }
  if (!given) {
    console.log(USAGE);
    return 0;
  }
  const startedAt = Date.now();
  const say = (line: string) =>
    console.error(`${((Date.now() - startedAt) / 1000).toFixed(1).padStart(7)} s  ${line}`);
  const folder = mkdtempSync(join(tmpdir(), 'stageswap-bench-'));
  let engines: Engines | undefined;
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(name, () => {
      rmSync(folder, { recursive: true, force: true });
      void (engines?.stop() ?? Promise.resolve()).finally(() => process.exit(130));
    });
  }
  try {
    engines = await startEngines({ say, databases: [SOURCE_DATABASE] });
    const result = await run(given, engines, folder, say);
    console.log(printed(result));
    if (given.json) writeFileSync(given.json, `${JSON.stringify(result, null, 2)}\n`);
    return 0;
  } catch (error) {
    console.error(`\nthe bench failed: ${(error as Error).message}`);
    if (process.env.STAGESWAP_DEBUG) console.error(error);
    return 1;
  } finally {
    await engines?.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

process.exit(await main());
