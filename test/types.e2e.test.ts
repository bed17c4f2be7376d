import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { execa } from 'execa';
import mssql from 'mssql';
import mysql from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { createActivities } from '../activities/index.js';
import { parseMssqlAddress } from '../src/config/address.js';
import { parseConfig } from '../src/config/load.js';
import { physicalTable } from '../src/model/names.js';
import { tableOf } from '../src/model/spec.js';
import { gatherFacts } from '../src/preflight/facts.js';
import { freeze } from '../src/preflight/freeze.js';
import { readRange, readRowsOfKey } from '../src/sql-server/read.js';
import { BAD, CUT_IN_KEYS, EXACT, KEYS, type TypeCase } from './support/type-cases.js';
import { CLI } from './support/worker-process.js';

/** Every type on its real way: from the source through the driver, LOAD DATA and the proof into stage, and back. */
const SCHEMA = 'stageswap_test_types';
const KEY_ROWS = 250;
const target = new URL(inject('mysqlUrl'));
target.pathname = `/${SCHEMA}`;
const source = new URL(inject('mssqlUrl'));
source.pathname = `/${SCHEMA}`;

interface Made {
  live: string;
  key: string[];
  columns: string[];
}
interface Run {
  pipeline: string;
  generation: number;
}

let billing: mssql.ConnectionPool;
let application: mysql.Connection;
const environment = new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') });

async function openSource(database: string): Promise<mssql.ConnectionPool> {
  const address = parseMssqlAddress(inject('mssqlUrl'));
  return new mssql.ConnectionPool({
    server: address.host,
    port: address.port,
    user: address.user,
    password: address.password,
    database,
    options: { encrypt: address.encrypt, trustServerCertificate: true, useUTC: true },
  }).connect();
}

beforeAll(async () => {
  const first = await openSource(parseMssqlAddress(inject('mssqlUrl')).database);
  await first.batch(`DROP DATABASE IF EXISTS [${SCHEMA}]`);
  await first.batch(`CREATE DATABASE [${SCHEMA}]`);
  await first.batch(`ALTER DATABASE [${SCHEMA}] SET ALLOW_SNAPSHOT_ISOLATION ON`);
  await first.close();
  billing = await openSource(SCHEMA);
  const server = await mysql.createConnection(inject('mysqlUrl'));
  await server.query(`DROP DATABASE IF EXISTS ${SCHEMA}`);
  await server.query(`CREATE DATABASE ${SCHEMA} CHARACTER SET utf8mb4`);
  await server.end();
  application = await mysql.createConnection({
    uri: target.href,
    charset: 'utf8mb4',
    dateStrings: true,
    supportBigNumbers: true,
    bigNumberStrings: true,
    timezone: 'Z',
  });
  await application.query("SET time_zone = '+00:00'");
});
afterAll(async () => {
  await application?.end();
  await billing?.close();
});

/** Makes a table on both sides. The source's columns are called as live's, in capitals. */
async function makeTable(
  live: string,
  key: string[],
  columns: { name: string; source: string; live: string }[],
  rows: string[][],
): Promise<Made> {
  const theirs = columns.map(
    ({ name, source: type }) => `${name.toUpperCase()} ${type}${key.includes(name) ? ' NOT NULL' : ' NULL'}`,
  );
  await billing.batch(
    `CREATE TABLE dbo.${live} (${theirs.join(', ')}, PRIMARY KEY (${key.map((name) => name.toUpperCase()).join(', ')}))`,
  );
  for (let from = 0; from < rows.length; from += 50) {
    const some = rows.slice(from, from + 50).map((row) => `(${row.join(', ')})`);
    await billing.batch(`INSERT INTO dbo.${live} VALUES ${some.join(', ')}`);
  }
  const ours = columns.map(({ name, live: type }) => `${name} ${type}`);
  await application.query(`CREATE TABLE ${live} (${ours.join(', ')}, PRIMARY KEY (${key.join(', ')}))`);
  return { live, key, columns: columns.map(({ name }) => name) };
}

function yamlOf(name: string, tables: Made[], more = ''): string {
  return `
pipeline: ${name}
source: { url: "\${MSSQL_URL}" }
target: { url: "\${MYSQL_URL}" }
firstRun: source
approve: never
chunkRows: 100
timeZone: Europe/Berlin
${more}
tables:
${tables
  .map(
    ({ live, key, columns }) => `  - source: dbo.${live}
    live: ${live}
    key: [${key.join(', ')}]
    columns: { ${columns.map((column) => `${column}: ${column.toUpperCase()}`).join(', ')} }
`,
  )
  .join('')}`;
}

function configOf(name: string, tables: Made[], more?: string) {
  return parseConfig(yamlOf(name, tables, more), 'stageswap.yaml', {
    MSSQL_URL: source.href,
    MYSQL_URL: target.href,
  });
}

function pipeline(name: string, tables: Made[], more?: string) {
  const config = configOf(name, tables, more);
  const activities = createActivities({ config: () => config });
  // biome-ignore lint/suspicious/noExplicitAny: the environment takes any activity
  const run = <R>(activity: (...input: any[]) => Promise<R>, ...input: unknown[]): Promise<R> =>
    environment.run(activity, ...input) as Promise<R>;
  return {
    begin: async (runId: string): Promise<Run> => {
      const begun = await run(activities.begin, name, runId);
      await run(activities.prepare, begun);
      return begun;
    },
    ingest: (of: Run) => run(activities.ingestTransaction, of),
    stage: async (of: Run): Promise<void> => {
      for (const { live } of tables) while (!(await run(activities.reconcile, of, live)).finished);
      await run(activities.settle, of);
      for (const { live } of tables) await run(activities.verify, of, live);
    },
    capture: (of: Run) => run(activities.capture, of),
    swap: async (of: Run): Promise<void> => {
      await run(activities.backup, of);
      await run(activities.cutOver, of);
      await run(activities.finalSync, of);
      await run(activities.end, of, { outcome: 'published' });
      await run(activities.cleanup, of);
    },
  };
}

/** How live shows a column: bytes as hexadecimal, bits as number, doubles by their bits. */
function shownAs(name: string, type: string): string {
  if (/^(VAR)?BINARY|BLOB/.test(type)) return `HEX(${name})`;
  if (/^BIT|ZEROFILL/.test(type)) return `CAST(${name} + 0 AS CHAR)`;
  if (/^(FLOAT|DOUBLE)/.test(type)) return `CAST(CAST(${name} * 1e0 AS JSON) AS CHAR)`;
  return `CAST(${name} AS CHAR)`;
}

describe('a value that fits', () => {
  const rows: Record<string, unknown>[] = [];
  const columns = EXACT.map((one, index) => ({ name: `c${index}`, ...one }));
  beforeAll(async () => {
    const places = Math.max(...EXACT.map(({ values }) => values.length));
    const made = await makeTable(
      'exact',
      ['id'],
      [{ name: 'id', source: 'int', live: 'INT' }, ...columns],
      Array.from({ length: places + 1 }, (_, row) => [
        String(row),
        ...EXACT.map(({ values }) => values[row]?.[0] ?? 'NULL'),
      ]),
    );
    const { begin, ingest, stage } = pipeline('exact', [made]);
    const run = await begin('exact-1');
    await ingest(run);
    await stage(run);
    const [found] = await application.query<mysql.RowDataPacket[]>(
      `SELECT ${columns.map(({ name, live }) => `${shownAs(name, live)} AS ${name}`).join(', ')} FROM ${physicalTable(run.generation, 'stage', 'exact')} ORDER BY id`,
    );
    rows.push(...found);
    expect(rows).toHaveLength(places + 1);
  });

  it.each(columns)('$source is in $live as it was at the source', ({ name, live, values }) => {
    const number = /^(FLOAT|DOUBLE)/.test(live);
    const shown = rows.map((row) => (number && row[name] !== null ? Number(row[name]) : row[name]));
    const wanted = values.map(([, value]) => (number ? Number(value) : value));
    expect(shown).toEqual([...wanted, ...rows.slice(values.length).map(() => null)]);
  });
});

describe('a value that does not fit', () => {
  const columns = BAD.map((one, index) => ({ name: `c${index}`, ...one }));
  let started: { ingest: (of: Run) => Promise<unknown>; run: Run };
  beforeAll(async () => {
    const notNull = (live: string) => (live.endsWith('NOT NULL') ? '1' : 'NULL');
    const made = await makeTable(
      'bad',
      ['id'],
      [{ name: 'id', source: 'bigint', live: 'BIGINT' }, ...columns],
      ['-9007199254740993', '0', '9007199254740993'].map((id) => [
        id,
        ...BAD.map(({ live }) => notNull(live)),
      ]),
    );
    const { begin, ingest } = pipeline('bad', [made]);
    started = { ingest, run: await begin('bad-1') };
  });

  it.each(columns)(
    '$source $value stops the run before $live holds another value',
    async ({ name, live, value, reason }) => {
      const column = name.toUpperCase();
      await billing.batch(`UPDATE dbo.bad SET ${column} = ${value} WHERE ID = -9007199254740993`);
      try {
        const failure: Error = await started.ingest(started.run).then(
          () => expect.unreachable(),
          (error: Error) => error,
        );
        expect(failure.message).toContain(
          `dbo.bad, key ID = -9007199254740993, column ${column}: a value has `,
        );
        expect(failure.message).toMatch(reason);
        const inside = value.replace(/^N?'|'$/g, '').trim();
        const all = `${failure.message} ${(failure.cause as Error | undefined)?.message ?? ''}`;
        if (inside.length > 3 && value !== 'NULL' && !'ID = -9007199254740993'.includes(inside))
          expect(all.split('a value has')[1]).not.toContain(inside);
        expect(failure).toMatchObject({ type: 'BadValue', nonRetryable: true });
      } finally {
        await billing.batch(
          `UPDATE dbo.bad SET ${column} = ${live.endsWith('NOT NULL') ? '1' : 'NULL'} WHERE ID = -9007199254740993`,
        );
      }
    },
  );
});

describe('keys', () => {
  it('are read in chunks that cover every row once, whatever the order on either side', async () => {
    const made: Made[] = [];
    for (const { name, columns } of KEYS) {
      const key = columns.map((_, index) => `k${index}`);
      made.push(
        await makeTable(
          name,
          key,
          [
            ...columns.map((column, index) => ({ name: `k${index}`, ...column })),
            { name: 'place', source: 'int', live: 'INT' },
          ],
          Array.from({ length: KEY_ROWS }, (_, row) => [
            ...columns.map(({ literal }) => literal(row)),
            String(row),
          ]),
        ),
      );
    }
    const { begin, ingest, stage } = pipeline('keys', made);
    const run = await begin('keys-1');
    expect(await ingest(run)).toMatchObject(
      Object.fromEntries(made.map(({ live }) => [live, { rows: KEY_ROWS, chunks: 3, chunksDone: 3 }])),
    );
    await stage(run);
    for (const { live } of made) {
      const [rows] = await application.query<mysql.RowDataPacket[]>(
        `SELECT place FROM ${physicalTable(run.generation, 'stage', live)} ORDER BY place`,
      );
      expect(
        rows.map((row) => row.place),
        live,
      ).toEqual(Array.from({ length: KEY_ROWS }, (_, row) => row));
    }
  });

  const collisions = [
    {
      what: 'case and accents',
      source: 'nvarchar(20)',
      live: 'VARCHAR(20) COLLATE utf8mb4_0900_ai_ci',
      keys: ["N'resume'", "N'other'", "N'Résumé'"],
      named: 'key K0 = "resume" and key K0 = "Résumé"',
    },
    {
      what: 'trailing spaces',
      source: 'nvarchar(20) COLLATE Latin1_General_BIN2',
      live: 'VARCHAR(20) COLLATE utf8mb4_bin',
      keys: ["N'padded'", "N'padded  '"],
      named: 'key K0 = "padded" and key K0 = "padded  "',
    },
    {
      what: 'letters of one sort',
      source: 'nvarchar(20) COLLATE Latin1_General_BIN2',
      live: 'VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_german1_ci',
      keys: ["N'Straße'", "N'Strase'"],
      named: 'key K0 = "Straße" and key K0 = "Strase"',
    },
  ];
  it.each(collisions)('that MySQL calls one key by $what are found and named', async (one) => {
    const live = `collision_${collisions.indexOf(one)}`;
    const made = await makeTable(
      live,
      ['k0'],
      [
        { name: 'k0', source: one.source, live: one.live },
        { name: 'note', source: 'int', live: 'INT' },
      ],
      one.keys.map((key, index) => [key, String(index)]),
    );
    const { begin, ingest } = pipeline(live.replace('_', '-'), [made]);
    const run = await begin(`${live}-1`);
    await expect(ingest(run)).rejects.toThrow(
      `dbo.${live}: keys that are one key in MySQL: ${one.named}. MySQL compares by live's collation`,
    );
  });

  const [good, bad] = ["N'ok'", "N'too long'"];
  it.each([
    { what: 'the first', notes: [bad, good], apart: false },
    { what: 'the second', notes: [good, bad], apart: false },
    { what: 'each', notes: [bad, bad], apart: false },
    { what: 'the first, in another chunk,', notes: [bad, good], apart: true },
    { what: 'each, in another chunk,', notes: [bad, bad], apart: true },
  ])('that MySQL calls one key are named where $what is to be set aside', async ({ what, notes, apart }) => {
    const live = `aside_${what.replace(/\W/g, '_')}`;
    const made = await makeTable(
      live,
      ['k0'],
      [
        { name: 'k0', source: 'nvarchar(20) COLLATE Latin1_General_BIN2', live: 'VARCHAR(20)' },
        { name: 'note', source: 'nvarchar(20)', live: 'VARCHAR(3)' },
      ],
      [
        ["N'Key'", notes[0] ?? ''],
        ...Array.from({ length: apart ? KEY_ROWS : 1 }, (_, row) => [`N'b${row}'`, good ?? '']),
        ["N'key'", notes[1] ?? ''],
      ],
    );
    const { begin, ingest } = pipeline(live.replaceAll('_', '-'), [made], 'badRows: quarantine');
    const run = await begin(`${live}-1`);
    const failure: Error = await ingest(run).then(
      () => expect.unreachable(),
      (error: Error) => error,
    );
    expect(failure.message).toMatch(
      /keys that are one key in MySQL: key K0 = "[Kk]ey" and key K0 = "[Kk]ey"\. /,
    );
    expect(failure.message).toContain('"Key"');
    expect(failure.message).toContain('"key"');
    expect(failure).toMatchObject({ type: 'BadValue', nonRetryable: true });
  });

  it('that MySQL calls one key are found across chunks', async () => {
    const made = await makeTable(
      'across',
      ['k0', 'k1'],
      [
        { name: 'k0', source: 'varchar(10) COLLATE Latin1_General_BIN2', live: 'VARCHAR(10)' },
        { name: 'k1', source: 'int', live: 'INT' },
      ],
      Array.from({ length: KEY_ROWS }, (_, row) => [
        row < 200 ? "'A'" : "'a'",
        String(row < 200 ? row : row - 100),
      ]),
    );
    const { begin, ingest } = pipeline('across', [made]);
    const run = await begin('across-1');
    await expect(ingest(run)).rejects.toThrow('key K0 = "A", K1 = 100 and key K0 = "a", K1 = 100');
  });
});

describe('a key of live', () => {
  it('finds its row at the source, whatever its value became on the way', async () => {
    const made: Made[] = [];
    const cases = [...EXACT, ...CUT_IN_KEYS].filter(
      ({ source: from, live }) =>
        !/^(float|real)|\(max\)/.test(from) && !/TEXT|BLOB|JSON|FLOAT|DOUBLE|BOOLEAN/.test(live),
    );
    for (const [index, { source: from, live, values }] of cases.entries())
      made.push(
        await makeTable(
          `key_${index}`,
          ['k'],
          [
            { name: 'k', source: from, live: live.replace(/ NULL$/, '') },
            { name: 'place', source: 'int', live: 'INT' },
          ],
          values.map(([literal], place) => [literal, String(place)]),
        ),
      );
    const config = configOf('key-back', made);
    const spec = freeze(config, await gatherFacts(config), { runId: '', generation: 0, fingerprints: {} });
    for (const { live } of made) {
      const table = tableOf(spec, live);
      const found: (string | null)[][] = [];
      const sink = { write: (row: (string | null)[]) => found.push(row) > 0, drained: async () => {} };
      await readRange(billing, table, null, null, sink, new AbortController().signal);
      expect(found.length).toBeGreaterThan(0);
      for (const row of found) {
        const { source: from, live: to } = cases[made.findIndex((one) => one.live === live)] as TypeCase;
        const again = await readRowsOfKey(billing, table, [row[0] ?? ''], 'exact');
        expect(again, `${from} in ${to}`).toEqual([row]);
      }
    }
  });
});

describe('explain', () => {
  /** Explains a row as an operator does. @returns in which of the three it is, and the source's columns but for the key */
  async function explained(made: Made, ...keys: string[]) {
    const folder = mkdtempSync(join(tmpdir(), 'ssw-types-'));
    try {
      const file = join(folder, 'stageswap.yaml');
      writeFileSync(file, yamlOf(made.live.replaceAll('_', '-'), [made]));
      const rows = [];
      for (const key of keys) {
        const env = { MSSQL_URL: source.href, MYSQL_URL: target.href };
        const done = await execa('node', [CLI, 'explain', made.live, key, '--config', file, '--json'], {
          env,
        });
        const { in: where, columns } = JSON.parse(done.stdout) as {
          in: Record<string, boolean>;
          columns: { column: string; source: string | null }[];
        };
        const place = columns.find(({ column }) => column === 'place');
        rows.push([key, where.live, where.source, place?.source]);
      }
      return rows;
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
  async function publish(made: Made) {
    const { begin, ingest, capture, stage, swap } = pipeline(made.live.replaceAll('_', '-'), [made]);
    const run = await begin(`${made.live}-1`);
    await ingest(run);
    await capture(run);
    await stage(run);
    await swap(run);
  }
  const place = { name: 'place', source: 'int', live: 'INT' };

  it('finds the row of a key that was converted on its way', async () => {
    const moments = await makeTable(
      'explained_moments',
      ['k'],
      [{ name: 'k', source: 'datetime2(3)', live: 'TIMESTAMP(3)' }, place],
      [
        ["'2024-07-01 12:00:00.125'", '1'],
        ["'2024-07-01 10:00:00.125'", '2'],
      ],
    );
    await publish(moments);
    const key = '2024-07-01 10:00:00.125';
    expect(await explained(moments, key)).toEqual([[key, true, true, '1']]);
    const identifiers = await makeTable(
      'explained_identifiers',
      ['k'],
      [{ name: 'k', source: 'uniqueidentifier', live: 'BINARY(16)' }, place],
      [["'6f9619ff-8b86-d011-b42d-00c04fc964ff'", '1']],
    );
    await publish(identifiers);
    const bytes = '6f9619ff8b86d011b42d00c04fc964ff';
    expect(await explained(identifiers, bytes)).toEqual([[bytes, true, true, '1']]);
  });

  it.each([
    ['nvarchar', 'nvarchar(20) COLLATE Latin1_General_BIN2'],
    ['varchar', 'varchar(20) COLLATE Latin1_General_BIN2'],
  ])(
    'finds a row that the two sides spell otherwise, of %s, and takes none that live tells apart',
    async (type, source) => {
      const name = `explained_spelling_${type}`;
      const made = await makeTable(
        name,
        ['k'],
        [
          {
            name: 'k',
            source,
            live: 'VARCHAR(20) COLLATE utf8mb4_0900_as_ci',
          },
          place,
        ],
        [
          ["N'Resume'", '1'],
          ["N'Résumé'", '2'],
          ["N'gone'", '3'],
        ],
      );
      await publish(made);
      await application.query(`UPDATE ${name} SET k = UPPER(k) WHERE k <> 'gone'`);
      expect(await explained(made, 'RESUME', 'résumé')).toEqual([
        ['RESUME', true, true, '1'],
        ['résumé', true, true, '2'],
      ]);
      await billing.batch(`UPDATE dbo.${name} SET K = N'résumé' WHERE PLACE = 2`);
      await billing.batch(`UPDATE dbo.${name} SET K = N'Goné' WHERE PLACE = 3`);
      expect(await explained(made, 'RÉSUMÉ', 'gone')).toEqual([
        ['RÉSUMÉ', true, true, '2'],
        ['gone', true, false, null],
      ]);
    },
  );
});

describe('a table with columns of every kind', () => {
  it('merges exactly: what SQL calls equal and is not, is an edit; generated and invisible columns stay what they are', async () => {
    const columns = [
      { name: 'id', source: 'int', live: 'INT' },
      { name: 'ratio', source: 'float', live: 'DOUBLE' },
      { name: 'small', source: 'real', live: 'FLOAT' },
      { name: 'doc', source: 'nvarchar(max)', live: 'JSON' },
      { name: 'state', source: 'varchar(10)', live: "ENUM('new','old')" },
      { name: 'flags', source: 'varchar(10)', live: "SET('a','b','c')" },
      { name: 'hidden', source: 'nvarchar(10)', live: 'VARCHAR(10) CHARACTER SET latin1 INVISIBLE' },
      { name: 'born', source: 'smallint', live: 'YEAR' },
      { name: 'bits', source: 'int', live: 'BIT(10)' },
      { name: 'seen', source: 'datetimeoffset(3)', live: 'TIMESTAMP(3) NULL' },
    ];
    const row = (id: number) =>
      `${id}, 0, 0.1, N'{"n": 1}', 'new', 'c,a', N'ü', 1999, 771, '2024-05-06 07:08:09.125 +00:00'`.split(
        /, (?![^{]*\})/,
      );
    const made = await makeTable('kinds', ['id'], columns, [row(1), row(2), row(3)]);
    await application.query(
      'ALTER TABLE kinds ADD doubled INT AS (id * 2) STORED, ADD name_of_doc VARCHAR(20) AS (doc->>"$.n") VIRTUAL, ADD place POINT NULL',
    );
    const { begin, ingest, capture, stage, swap } = pipeline('kinds', [made]);
    const publish = async (runId: string, meanwhile = async () => {}) => {
      const run = await begin(runId);
      await ingest(run);
      await capture(run);
      await meanwhile();
      await stage(run);
      await swap(run);
    };
    await publish('kinds-1');
    await application.query(
      "UPDATE kinds SET ratio = -0e0, doc = '{\"n\": 1.0}', place = POINT(1, 2), hidden = 'é' WHERE id = 1",
    );
    await billing.batch(
      "UPDATE dbo.kinds SET STATE = 'old', BITS = 1023, SEEN = '2024-05-06 07:08:09.126 +00:00' WHERE ID < 3",
    );
    await publish('kinds-2', async () => {
      await application.query('UPDATE kinds SET small = 0.25, place = POINT(3, 4) WHERE id = 2');
    });
    const [rows] = await application.query<mysql.RowDataPacket[]>(
      `SELECT id, CAST(CAST(ratio AS JSON) AS CHAR) AS ratio, small + 0e0 AS small, CAST(doc AS CHAR) AS doc, state, flags, hidden, born, CAST(bits + 0 AS CHAR) AS bits, seen, doubled, name_of_doc, ST_AsText(place) AS place FROM kinds ORDER BY id`,
    );
    const same = {
      small: 0.10000000149011612,
      flags: 'a,c',
      born: 1999,
      hidden: 'ü',
      place: null,
      ratio: '0.0',
      doc: '{"n": 1}',
      name_of_doc: '1',
    };
    const old = { ...same, state: 'old', bits: '1023', seen: '2024-05-06 07:08:09.126' };
    expect(rows).toEqual([
      {
        ...old,
        id: 1,
        doubled: 2,
        ratio: '-0.0',
        doc: '{"n": 1.0}',
        name_of_doc: '1.0',
        hidden: 'é',
        place: 'POINT(1 2)',
      },
      { ...old, id: 2, doubled: 4, small: 0.25, place: 'POINT(3 4)' },
      { ...same, id: 3, doubled: 6, state: 'new', bits: '771', seen: '2024-05-06 07:08:09.125' },
    ]);
    const [shown] = await application.query<mysql.RowDataPacket[]>('SHOW CREATE TABLE kinds');
    expect(shown[0]?.['Create Table']).toMatch(/`hidden` .* INVISIBLE/);
  });

  it('reads computed columns and rowversion like others, and finds what they changed', async () => {
    await billing.batch(
      'CREATE TABLE dbo.derived (ID int NOT NULL PRIMARY KEY, A int NULL, TWICE AS (CAST(A * 2 AS int)), VERSION rowversion)',
    );
    await billing.batch('INSERT INTO dbo.derived (ID, A) VALUES (1, 10), (2, 20)');
    await application.query('CREATE TABLE derived (id INT PRIMARY KEY, twice INT, version BINARY(8))');
    const { begin, ingest, capture, stage, swap } = pipeline('derived', [
      { live: 'derived', key: ['id'], columns: ['id', 'twice', 'version'] },
    ]);
    const publish = async (runId: string) => {
      const run = await begin(runId);
      await ingest(run);
      await capture(run);
      await stage(run);
      await swap(run);
      const [rows] = await application.query<mysql.RowDataPacket[]>(
        'SELECT id, twice, HEX(version) AS version FROM derived ORDER BY id',
      );
      return rows;
    };
    const first = await publish('derived-1');
    expect(first.map(({ id, twice }) => [id, twice])).toEqual([
      [1, 20],
      [2, 40],
    ]);
    expect(first[0]?.version).toMatch(/^[0-9A-F]{16}$/);
    await billing.batch('UPDATE dbo.derived SET A = 21 WHERE ID = 2');
    const second = await publish('derived-2');
    expect(second[0]).toEqual(first[0]);
    expect(second[1]?.twice).toBe(42);
    expect(BigInt(`0x${second[1]?.version}`)).toBeGreaterThan(BigInt(`0x${first[1]?.version}`));
  });
});
