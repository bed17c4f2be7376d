import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { configDigest } from '../src/config/digest.js';
import { loadConfig, loadPipelineName, loadTarget, parseConfig } from '../src/config/load.js';
import { ConfigError } from '../src/config/problems.js';
import { jsonSchema } from '../src/config/schema.js';
import { sourceTableName } from '../src/config/source-table.js';

const ENV = {
  MSSQL_URL: 'mssql://sa:pw@db:1433/billing',
  MYSQL_URL: 'mysql://app:pw@db:3306/invoices',
};

const WHOLE = `pipeline: billing
source: { url: "\${MSSQL_URL}", moment: auto }
target: { url: "\${MYSQL_URL}" }
firstRun: source
approve: firstPublish
tables:
  - source: dbo.Customer
    live: customer
    key: [customer_id]
    columns:
      customer_id: CustomerId
      email: { from: Email, owner: merge, onConflict: live }
      street: Street
      city: City
      postcode: Postcode
      balance: { from: Balance, owner: source }
    groups: [[street, city, postcode]]
    onSourceDelete: delete
    onLiveDelete: respect
`;

/** The whole example with one part changed, as text. */
function changed(change: (config: Loose) => void): string {
  const config = structuredClone(MINIMAL);
  change(config);
  return stringify(config);
}

interface Loose {
  [key: string]: unknown;
  tables: [Record<string, unknown>, ...Record<string, unknown>[]];
}

const MINIMAL: Loose = {
  pipeline: 'billing',
  source: { url: `\${MSSQL_URL}` },
  target: { url: `\${MYSQL_URL}` },
  firstRun: 'source',
  tables: [{ source: 'dbo.Customer', live: 'customer', key: ['id'], columns: { id: 'Id', a: 'A', b: 'B' } }],
};

function problemsIn(text: string, env: Record<string, string> = ENV) {
  try {
    parseConfig(text, 'stageswap.yaml', env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

test('two configurations are told apart by all but addresses, and by no order of names', () => {
  const digest = (text: string, env = ENV) => configDigest(parseConfig(text, 'stageswap.yaml', env));
  expect(digest(WHOLE, { ...ENV, MYSQL_URL: ENV.MYSQL_URL.replace(/@[^:/]+/, '@elsewhere') })).toBe(
    digest(WHOLE),
  );
  expect(digest(`chunkRows: 777\n${WHOLE.replace(/^chunkRows: .*$/m, '')}`)).not.toBe(digest(WHOLE));
  const lines = (first: string, second: string) =>
    `${first}\n${second}\nsource: { url: "\${MSSQL_URL}" }\ntarget: { url: "\${MYSQL_URL}" }\nfirstRun: source\ntables: [{ source: dbo.C, live: c, key: [id], columns: { id: Id } }]\n`;
  expect(digest(lines('pipeline: p', 'chunkRows: 777'))).toBe(digest(lines('chunkRows: 777', 'pipeline: p')));
  expect(digest(lines('pipeline: p', 'chunkRows: 778'))).not.toBe(
    digest(lines('chunkRows: 777', 'pipeline: p')),
  );
});

test('the documented example loads, with references resolved and short columns written out', () => {
  const config = parseConfig(WHOLE, 'stageswap.yaml', ENV);
  expect(config.source).toEqual({ url: ENV.MSSQL_URL, moment: 'auto' });
  expect(config.target).toEqual({ url: ENV.MYSQL_URL });
  const [table] = config.tables;
  expect(Object.keys(table?.columns ?? {})).toEqual([
    'customer_id',
    'email',
    'street',
    'city',
    'postcode',
    'balance',
  ]);
  expect(table?.columns.customer_id).toEqual({ from: 'CustomerId', owner: 'merge', onConflict: 'live' });
  expect(table?.columns.balance).toEqual({ from: 'Balance', owner: 'source', onConflict: 'live' });
  expect(table?.groups).toEqual([['street', 'city', 'postcode']]);
});

test('a window and an age of the source are read with their units', () => {
  const config = parseConfig(
    `${stringify(MINIMAL)}window: 02:00-04:00 Europe/Berlin\nsourceAgeMax: 90m\n`,
    'stageswap.yaml',
    ENV,
  );
  expect(config).toMatchObject({ window: '02:00-04:00 Europe/Berlin', sourceAgeMsMax: 5_400_000 });
});

test.each([
  ['window: 2-4', 'no part of a day'],
  ['window: 02:00-04:00 Europe/Nowhere', 'Europe/Nowhere is not a time zone'],
  ['sourceAgeMax: 6', 'sourceAgeMax'],
  ['sourceAgeMax: 6 hours', '30m, 6h or 2d'],
])('what is no such thing is refused: %s', (line, told) => {
  expect(() => parseConfig(`${stringify(MINIMAL)}${line}\n`, 'stageswap.yaml', ENV)).toThrow(told);
});

test('what a configuration leaves out has these defaults', () => {
  const config = parseConfig(stringify(MINIMAL), 'stageswap.yaml', ENV);
  expect(config).toEqual({
    pipeline: 'billing',
    source: { url: ENV.MSSQL_URL, moment: 'auto' },
    target: { url: ENV.MYSQL_URL },
    firstRun: 'source',
    approve: 'firstPublish',
    approvalHoursMax: 72,
    replay: { onOutrun: 'abort', roundsMax: 30 },
    chunkRows: 50_000,
    parallel: 2,
    guards: { deleteShareMax: 0.1 },
    badRows: 'stop',
    badRowsMax: 100,
    assertions: [],
    cutOver: { lockAttemptMsMax: 50, attemptsMax: 200, heldMsMax: 250 },
    backups: 1,
    backup: 'rename',
    retention: { conflictsDays: 365, editsDays: 90, reportsDays: 365, rollbackDays: 7 },
    tables: [
      {
        source: 'dbo.Customer',
        live: 'customer',
        key: ['id'],
        columns: {
          id: { from: 'Id', owner: 'merge', onConflict: 'live' },
          a: { from: 'A', owner: 'merge', onConflict: 'live' },
          b: { from: 'B', owner: 'merge', onConflict: 'live' },
        },
        groups: [],
        onSourceDelete: 'delete',
        onLiveDelete: 'respect',
      },
    ],
  });
});

test('a webhook tells everything unless it says what, and its address comes from the environment', () => {
  const env = { ...ENV, HOOK: 'https://hooks.example/secret', NO_ADDRESS: 'hooks.example' };
  const load = (webhook: object) => parseConfig(stringify({ ...MINIMAL, webhook }), 'stageswap.yaml', env);
  // biome-ignore lint/suspicious/noTemplateCurlyInString: a reference
  expect(load({ url: '${HOOK}' }).webhook).toEqual({
    url: 'https://hooks.example/secret',
    on: ['waiting', 'conflictLimit', 'failed', 'rolledBack', 'held', 'skipped'],
    conflictsMax: 1_000,
  });
  // biome-ignore lint/suspicious/noTemplateCurlyInString: a reference
  expect(() => load({ url: '${NO_ADDRESS}' })).toThrow('no http:// or https:// address');
  expect(() => load({ url: 'https://hooks.example/secret' })).toThrow(
    'is a secret, and is written in the file',
  );
  // biome-ignore lint/suspicious/noTemplateCurlyInString: a reference
  expect(() => load({ url: '${HOOK}', on: ['sometimes'] })).toThrow('waiting');
});

test('a loaded configuration cannot be changed', () => {
  const config = parseConfig(WHOLE, 'stageswap.yaml', ENV);
  expect(() => config.tables[0]?.key.push('x')).toThrow(TypeError);
});

test('an unknown key is refused with its line and the key that was meant', () => {
  const [problem, ...rest] = problemsIn(WHOLE.replace('onSourceDelete', 'onSourceDeleted'));
  expect(rest).toEqual([]);
  expect(problem?.path).toBe('stageswap.yaml:18 at tables[0].onSourceDeleted');
  expect(problem?.cure).toMatch(/did you mean onSourceDelete\?/);
});

test('an unknown key of a column is refused with the key that was meant', () => {
  const [problem] = problemsIn(WHOLE.replace('onConflict: live', 'onConflikt: live'));
  expect(problem?.path).toBe('stageswap.yaml:12 at tables[0].columns.email.onConflikt');
  expect(problem?.cure).toMatch(/did you mean onConflict\?/);
});

test('a missing firstRun is refused and both answers are explained', () => {
  const [problem] = problemsIn(WHOLE.replace('firstRun: source\n', ''));
  expect(problem).toMatchObject({
    path: 'stageswap.yaml:1 at firstRun',
    message: 'the key firstRun is missing',
  });
  expect(problem?.cure).toMatch(/firstRun: source .*firstRun: live/);
});

test('a variable that is not set is refused with its name, its place and the cure', () => {
  const [problem, ...rest] = problemsIn(WHOLE, { MSSQL_URL: ENV.MSSQL_URL });
  expect(rest).toEqual([]);
  expect(problem?.path).toBe('stageswap.yaml:3 at target.url');
  expect(problem?.message).toBe('the environment variable MYSQL_URL is not set');
  expect(problem?.cure).toMatch(/export MYSQL_URL/);
});

test('references are resolved in addresses and nowhere else', () => {
  const text = changed((config) => {
    config.tables[0].columns = { id: `\${MSSQL_URL}` };
  });
  expect(parseConfig(text, 'f', ENV).tables[0]?.columns.id?.from).toBe(`\${MSSQL_URL}`);
});

test('a password written in the file is refused, and not repeated', () => {
  const text = WHOLE.replace(`\${MYSQL_URL}`, 'mysql://app:hunter2@db/invoices');
  const problems = problemsIn(text);
  expect(problems[0]?.message).toBe('a password is written in the file');
  expect(JSON.stringify(problems)).not.toContain('hunter2');
});

test('one bracket that is missing is some problems, not one a line', () => {
  const lines = Array.from({ length: 40 }, (_, index) => `- a${index}: { b: [c }`).join('\n');
  const problems = problemsIn(`${WHOLE}more:\n${lines}\n`);
  expect(problems).toHaveLength(3);
  expect(problems.at(-1)?.cure).toMatch(/\d+ more behind it/);
});

test('all problems are reported at once', () => {
  const problems = problemsIn(
    WHOLE.replace('pipeline: billing', 'pipeline: Billing').replace('auto', 'sometimes'),
  );
  expect(problems.map((problem) => problem.path)).toEqual([
    'stageswap.yaml:1 at pipeline',
    'stageswap.yaml:2 at source.moment',
  ]);
});

test('a file that is not there is a problem of the configuration', () => {
  expect(() => loadConfig('/nonexistent/stageswap.yaml', ENV)).toThrow(ConfigError);
});

test('a file is loaded from its path', () => {
  const folder = mkdtempSync(join(tmpdir(), 'stageswap-config-'));
  try {
    const file = join(folder, 'stageswap.yaml');
    writeFileSync(file, WHOLE);
    expect(loadConfig(file, ENV).pipeline).toBe('billing');
    expect(readFileSync(file, 'utf8')).toBe(WHOLE);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('what steers a run needs its name alone, and what asks MySQL the target, whatever else is wrong', () => {
  const folder = mkdtempSync(join(tmpdir(), 'stageswap-config-'));
  const file = join(folder, 'stageswap.yaml');
  const wrong = changed((config) => {
    config.firstRun = 'neither';
    config.webhook = { url: 'https://written.example/in-the-file' };
  });
  try {
    writeFileSync(file, wrong);
    expect(() => loadConfig(file, {})).toThrow(/firstRun/);
    expect(loadPipelineName(file)).toBe('billing');
    expect(loadTarget(file, { MYSQL_URL: ENV.MYSQL_URL })).toEqual({
      pipeline: 'billing',
      target: { url: ENV.MYSQL_URL },
    });
    expect(() => loadTarget(file, {})).toThrow(/variable MYSQL_URL is not set/);
    writeFileSync(file, 'source: {}');
    expect(() => loadPipelineName(file)).toThrow(/the key pipeline is missing/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

describe('refused', () => {
  const cases: [string, string, RegExp][] = [
    ['a duplicate key', `${WHOLE}pipeline: other\n`, /unique/],
    ['YAML that is none', 'pipeline: [', /flow/i],
    ['a list', '- a', /expected object/],
    ['an empty file', '', /expected object|missing/],
    [
      'a table twice',
      changed((c) => c.tables.push({ ...c.tables[0], source: 'dbo.Other' })),
      /also the live table/,
    ],
    [
      'two tables whose triggers MySQL takes for one',
      changed((c) => c.tables.push({ ...c.tables[0], source: 'dbo.Other', live: 'CUSTÓMER' })),
      /differs from it by case and accents alone/,
    ],
    ['a source twice', changed((c) => c.tables.push({ ...c.tables[0], live: 'other' })), /also the source/],
    ['no table', changed((c) => c.tables.pop()), /tables/],
    [
      'a key column that is not mapped',
      changed((c) => (c.tables[0].key = ['x'])),
      /x is not among the columns/,
    ],
    ['a key column named twice', changed((c) => (c.tables[0].key = ['id', 'id'])), /twice in the key/],
    ['an empty key', changed((c) => (c.tables[0].key = [])), /key/],
    ['no columns', changed((c) => (c.tables[0].columns = {})), /maps no column/],
    [
      'a column twice but for its case',
      changed((c) => (c.tables[0].columns = { id: 'Id', ID: 'Id2' })),
      /ignores case/,
    ],
    ['a group of one', changed((c) => (c.tables[0].groups = [['a']])), /groups/],
    [
      'groups that overlap',
      changed(
        (c) =>
          (c.tables[0].groups = [
            ['a', 'b'],
            ['b', 'a'],
          ]),
      ),
      /in two groups/,
    ],
    ['a group with a key column', changed((c) => (c.tables[0].groups = [['id', 'a']])), /of the key/],
    [
      'a group with an unmapped column',
      changed((c) => (c.tables[0].groups = [['a', 'z']])),
      /z is not among/,
    ],
    [
      'a group of two owners',
      changed((c) => {
        c.tables[0].columns = { id: 'Id', a: 'A', b: { from: 'B', owner: 'source' } };
        c.tables[0].groups = [['a', 'b']];
      }),
      /differs from a in owner/,
    ],
    ['a live name too long for MySQL', changed((c) => (c.tables[0].live = 'x'.repeat(52))), /longer than 51/],
    ['a marker’s name', changed((c) => (c.tables[0].live = '_ss_at_3_billing')), /runs make for themselves/],
    ['a name of our own', changed((c) => (c.tables[0].live = '_ss1s_customer')), /runs make for themselves/],
    ['a source of three parts', changed((c) => (c.tables[0].source = 'a.b.c')), /not schema\.table/],
    ['a time zone that is none', changed((c) => (c.timeZone = 'Mars/Olympus')), /not a time zone/],
    ['chunkRows too small', changed((c) => (c.chunkRows = 99)), /chunkRows/],
    ['chunkRows too great', changed((c) => (c.chunkRows = 1_000_001)), /chunkRows/],
    ['parallel of 0', changed((c) => (c.parallel = 0)), /parallel/],
    ['no backup', changed((c) => (c.backups = 0)), /backups/],
    ['a share above 1', changed((c) => (c.guards = { deleteShareMax: 10 })), /deleteShareMax/],
    ['a pipeline name too long', changed((c) => (c.pipeline = 'p'.repeat(41))), /pipeline/],
    ['a column that is a number', changed((c) => (c.tables[0].columns = { id: 7 })), /neither a column name/],
    [
      'an address of another engine',
      changed((c) => (c.target = { url: `\${MSSQL_URL}` })),
      /must start with mysql/,
    ],
  ];
  test.each(cases)('%s', (_, text, expected) => {
    const problems = problemsIn(text);
    expect(problems.length).toBeGreaterThan(0);
    expect(problems.map((p) => `${p.path} ${p.message}`).join('\n')).toMatch(expected);
    for (const problem of problems) expect(problem.cure).not.toBe('');
  });
});

test('101 tables are refused, 100 are not', () => {
  const many = (count: number) =>
    changed((config) => {
      const table = config.tables[0];
      config.tables = Array.from({ length: count }, (_, n) => ({
        ...table,
        source: `dbo.T${n}`,
        live: `t${n}`,
      })) as unknown as Loose['tables'];
    });
  expect(problemsIn(many(100))).toEqual([]);
  expect(problemsIn(many(101))).toHaveLength(1);
});

test('a source name may leave out dbo, and stand in brackets', () => {
  expect(sourceTableName('Customer')).toEqual({ schema: 'dbo', table: 'Customer' });
  expect(sourceTableName('sales.Customer')).toEqual({ schema: 'sales', table: 'Customer' });
  expect(sourceTableName('[sales].[Order.Line]]s]')).toEqual({ schema: 'sales', table: 'Order.Line]s' });
});

test('the JSON Schema refuses unknown keys, and requires what has no default', () => {
  const schema = jsonSchema();
  expect(schema).toMatchObject({
    additionalProperties: false,
    required: ['pipeline', 'source', 'target', 'firstRun', 'tables'],
  });
});
