import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client, Connection } from '@temporalio/client';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, inject, it, test } from 'vitest';
import { startTemporal, type TemporalEngine } from '../demo/engines/temporal.js';
import { parseConfig } from '../src/config/load.js';
import { commandsIn, parse } from './support/command-line.js';
import { WAIT_MS_MAX } from './support/patience.js';
import { PipelineUnderTest } from './support/pipeline-under-test.js';
import { CLI } from './support/worker-process.js';

/** What the manual says is done here: commands, SQL, configuration and code, as they stand in its pages. */
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const PAGES = [
  'README.md',
  ...readdirSync(join(ROOT, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

interface Fence {
  page: string;
  language: string;
  text: string;
}
const fences: Fence[] = PAGES.flatMap((page) =>
  [...readFileSync(join(ROOT, page), 'utf8').matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map((match) => ({
    page,
    language: match[1] ?? '',
    text: match[2] ?? '',
  })),
);
const of = (language: string) => fences.filter((fence) => fence.language === language);
/** Commands of a program, in the order of the pages, each once. */
const commands = (program: string) => {
  const found = of('sh')
    .flatMap(({ text }) => text.split('\n'))
    .flatMap(commandsIn)
    .filter(([first]) => first === program);
  return [...new Map(found.map((words) => [words.join(' '), words.slice(1)])).values()];
};
/** They work until they are told to stop: others tests run them. */
const SERVERS = new Set(['worker', 'codec-server']);

describe('the manual', () => {
  test('has commands, SQL, configuration and code', () => {
    expect(commands('stageswap').length).toBeGreaterThan(30);
    for (const language of ['sh', 'sql', 'yaml', 'ts'])
      expect(of(language).length, language).toBeGreaterThan(0);
  });

  for (const words of commands('stageswap'))
    test(`says a command that the program understands: stageswap ${words.join(' ')}`, async () => {
      await parse(words);
    });

  test.each(of('yaml'))('shows configuration that loads: $page', ({ text }) => {
    const keyOf = (line: string) => line.split(':', 1)[0];
    const rest = `pipeline: billing
source: { url: "\${MSSQL_URL}" }
target: { url: "\${MYSQL_URL}" }
firstRun: source
tables: [{ source: dbo.C, live: customer, key: [id], columns: { id: Id } }]
`
      .split('\n')
      .filter((line) => line === '' || !text.split('\n').some((shown) => keyOf(shown) === keyOf(line)))
      .join('\n');
    const env = {
      MSSQL_URL: 'mssql://sa:x@127.0.0.1/b',
      MYSQL_URL: 'mysql://root:x@127.0.0.1/s',
      STAGESWAP_WEBHOOK_URL: 'https://hooks.example/x',
    };
    expect(parseConfig(`${rest}\n${text}`, 'stageswap.yaml', env).pipeline).toBe('billing');
  });

  test('shows links that lead somewhere', () => {
    for (const page of PAGES) {
      const text = readFileSync(join(ROOT, page), 'utf8');
      for (const [, link = ''] of text.matchAll(/\]\((?!https?:)([^)#]+)\)/g))
        expect(() => readFileSync(join(ROOT, page, '..', link)), `${page}: ${link}`).not.toThrow();
    }
  });

  test('shows code of an application that is of the right types', async () => {
    const [example] = of('ts').filter(({ page }) => page === 'docs/engineers.md');
    const file = join(ROOT, 'dist', 'docs-example.ts');
    writeFileSync(file, example?.text ?? '');
    try {
      const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
      const flags = ['--noEmit', '--strict', '--skipLibCheck', '--module', 'nodenext', '--target', 'es2022'];
      const { stdout, exitCode } = await execa(
        'node',
        [tsc, ...flags, '--types', 'node', '--ignoreConfig', file],
        {
          cwd: ROOT,
          reject: false,
        },
      );
      expect(exitCode, stdout).toBe(0);
    } finally {
      rmSync(file);
    }
  });
});

describe('on a pipeline', () => {
  let temporal: TemporalEngine;
  let pipeline: PipelineUnderTest;
  const empty = mkdtempSync(join(tmpdir(), 'ssw-docs-'));

  beforeAll(async () => {
    temporal = await startTemporal(() => {}, { owned: true });
    pipeline = await PipelineUnderTest.create({
      name: 'billing',
      mysqlUrl: inject('mysqlUrl'),
      mssqlUrl: inject('mssqlUrl'),
      temporalAddress: temporal.address,
      customers: 200,
      invoices: 200,
    });
    // so that a run is still there when the next command comes
    writeFileSync(
      pipeline.file,
      readFileSync(pipeline.file, 'utf8').replace('approve: never', 'approve: always'),
    );
    pipeline.startWorker();
    expect((await pipeline.stageswap('run', '--yes')).report.outcome).toBe('published');
  });
  afterAll(async () => {
    await pipeline?.end();
    await temporal?.stop();
    rmSync(empty, { recursive: true, force: true });
  });

  /** Done, refused by the state that the command finds, or waiting; never misused, unexpected or unreachable. */
  const SOUND = [0, 3, 4, 5];
  /** What may be refused here: the commands of all pages come one after the other, as no operator gives them. */
  const NOT_NOW =
    /nothing is running|does not wait|is not paused|already|no such|has no |nothing to|never|is held|no source table of that name|differs from/i;
  for (const words of commands('stageswap').filter(([command = '']) => !SERVERS.has(command)))
    it(`does what the manual says: stageswap ${words.join(' ')}`, async () => {
      const { exitCode, stderr } = await execa('node', [CLI, ...words], {
        cwd: words[0] === 'init' ? empty : join(pipeline.file, '..'),
        env: pipeline.environment,
        reject: false,
        timeout: WAIT_MS_MAX,
      });
      expect(SOUND, stderr).toContain(exitCode);
      if (exitCode === 3) expect(stderr).toMatch(NOT_NOW);
    });

  it('is steered by the commands of Temporal that the manual names', async () => {
    const connection = await Connection.connect({ address: temporal.address });
    const handle = new Client({ connection }).workflow.getHandle('stageswap-billing');
    await pipeline.stageswap('abort');
    await handle.result().catch(() => {});
    await pipeline.stageswap('release');
    const named = commands('temporal').filter(([, what]) => what === 'signal' || what === 'update');
    expect(named.map((words) => words[words.indexOf('--name') + 1]).sort()).toEqual([
      'abort',
      'clientEdits',
      'pause',
      'resume',
    ]);
    await pipeline.stageswap('run', '--no-wait');
    // what ends the run comes last
    for (const words of named.sort((a, b) => Number(a.includes('abort')) - Number(b.includes('abort')))) {
      const { exitCode, all } = await execa(temporal.program ?? 'temporal', words, {
        env: { TEMPORAL_ADDRESS: temporal.address },
        all: true,
        reject: false,
      });
      expect(exitCode, all).toBe(0);
    }
    expect(await handle.result()).toMatchObject({ outcome: 'aborted' });
    await connection.close();
  });

  it.each(of('sql'))('answers the SQL that the manual shows: $page', async ({ text }) => {
    const database = await pipeline.connect();
    for (const statement of text.split(';').filter((part) => part.trim() !== ''))
      await database.query(statement);
    await database.end();
  });
});
