import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { parseMysqlAddress } from '../src/config/address.js';
import { control, physicalTable } from '../src/model/names.js';
import { type RunSpec, tableOf } from '../src/model/spec.js';
import { Session } from '../src/mysql/connection.js';
import { loadRows, RowStream } from '../src/mysql/load.js';
import { id, sql } from '../src/sql/text.js';
import { ByHand, sourceTable } from './support/by-hand.js';

/** What was sent is what MySQL stored, value by value: whatever is changed in base_next after it was loaded breaks the proof of its row. */
const SCHEMA = 'stageswap_test_proof';
const CHUNK = 7;
const COLUMNS: Record<string, [live: string, source: string]> = {
  id: ['INT', 'int'],
  narrow: ['VARCHAR(20) CHARACTER SET latin1', 'varchar'],
  wide: ['VARCHAR(20)', 'nvarchar'],
  cased: ['VARCHAR(20) COLLATE utf8mb4_general_ci', 'nvarchar'],
  amount: ['DECIMAL(18,4) NOT NULL', 'decimal'],
  moment: ['DATETIME(6)', 'datetime2'],
  day: ['DATE NOT NULL', 'date'],
  bytes: ['VARBINARY(20)', 'varbinary'],
  member: ["ENUM('new','old')", 'nvarchar'],
  ratio: ['DOUBLE', 'float'],
  document: ['JSON', 'nvarchar'],
};
const names = Object.keys(COLUMNS);
const ROWS: (string | null)[][] = [
  [
    '1',
    'né',
    'Zoë 日',
    'abc',
    '10.0000',
    '2024-01-01 10:00:00.123456',
    '2024-01-01',
    '00FF',
    'new',
    '0.5',
    '{"a": 1}',
  ],
  [
    '2',
    'no',
    'Zoé 日',
    'abd',
    '20.0000',
    '2024-01-01 10:00:00.123457',
    '2024-01-02',
    'FF00',
    'old',
    '1.5',
    '{"a": 2}',
  ],
  ['3', null, 'a\tb\n\\\x1f', '', '30.0000', null, '2024-01-03', null, null, null, null],
];

let hand: ByHand;
let spec: RunSpec;
let into: string;

beforeAll(async () => {
  hand = await ByHand.open(
    inject('mysqlUrl'),
    SCHEMA,
    [`CREATE TABLE t (${names.map((name) => `${name} ${COLUMNS[name]?.[0]}`).join(', ')}, PRIMARY KEY (id))`],
    `  - { source: dbo.T, live: t, key: [id], columns: { ${names.map((name) => `${name}: ${name}`).join(', ')} } }\n`,
    [sourceTable('T', Object.fromEntries(names.map((name) => [name, COLUMNS[name]?.[1] ?? ''])), ['id'])],
  );
  spec = await hand.beforeCutOver({ t: [] });
  into = physicalTable(spec.generation, 'baseNext', 't');
  const address = parseMysqlAddress(new URL(`/${SCHEMA}`, inject('mysqlUrl')).href);
  const session = await Session.open(address, { localInfile: true });
  const rows = new RowStream();
  for (const row of ROWS) rows.write(row);
  rows.end();
  await loadRows(session, tableOf(spec, 't'), into, { column: '_ss_chunk', value: CHUNK }, rows);
  await session.run(
    sql`INSERT INTO ${id(control.chunk)} (pipeline, generation, live, step, seq, done, row_count, checksum_sum) VALUES ('hand', ${spec.generation}, 't', 'ingest', ${CHUNK}, 1, ${rows.sent.rows}, ${rows.sent.checksumSum.toString()})`,
  );
  await session.close();
  await hand.application.query(`CREATE TABLE loaded AS SELECT * FROM ${into}`);
});
afterAll(() => hand?.close());

const proved = () => hand.verify(spec);
const changing = async (statement: string) => {
  const [{ affectedRows }] = (await hand.application.query(statement)) as unknown as [
    { affectedRows: number },
  ];
  expect(affectedRows).toBeGreaterThan(0);
  try {
    return await proved().then(
      () => 'proved',
      (error: Error) => error.message,
    );
  } finally {
    await restore();
  }
};
async function restore(): Promise<void> {
  await hand.application.query(`DELETE FROM ${into}`);
  await hand.application.query(`INSERT INTO ${into} SELECT * FROM loaded`);
}

describe('the proof of what MySQL stored', () => {
  it('holds for every type as it was loaded', async () => {
    expect(await proved()).toMatchObject({ t: { chunks: 1, chunksVerified: 1 } });
  });
  it.each([
    ['narrow', "UPDATE # SET narrow = 'ne' WHERE id = 1"],
    ['wide', "UPDATE # SET wide = 'Zoe 日' WHERE id = 1"],
    ['wide', "UPDATE # SET wide = 'Zoë 日 ' WHERE id = 1"],
    ['cased', "UPDATE # SET cased = 'ABC' WHERE id = 1"],
    ['amount', 'UPDATE # SET amount = amount + 0.0001 WHERE id = 1'],
    ['amount', 'UPDATE # SET amount = NULL WHERE id = 1'],
    ['moment', "UPDATE # SET moment = '2024-01-01 10:00:00.123457' WHERE id = 1"],
    ['day', "UPDATE # SET day = '2024-01-02' WHERE id = 1"],
    ['bytes', "UPDATE # SET bytes = x'00FF00' WHERE id = 1"],
    ['member', "UPDATE # SET member = 'old' WHERE id = 1"],
    ['ratio', 'UPDATE # SET ratio = -ratio WHERE id = 1'],
    ['document', `UPDATE # SET document = '{"a": 2}' WHERE id = 1`],
    ['the row itself', 'UPDATE # SET _ss_crc = NULL WHERE id = 1'],
  ])('names the row of which %s is stored otherwise: %s', async (_, statement) => {
    expect(await changing(statement.replace('#', into))).toContain(
      `t, chunk ${CHUNK}: MySQL stored 1 of 3 rows otherwise than they were sent, such as {"id":"1"}. Live is untouched.`,
    );
  });
  it.each([
    ["an empty text in NULL's place", "UPDATE # SET narrow = '' WHERE id = 3"],
    ["NULL in an empty text's place", 'UPDATE # SET cased = NULL WHERE id = 3'],
  ])('tells %s', async (_, statement) => {
    expect(await changing(statement.replace('#', into))).toContain('such as {"id":"3"}');
  });
  it('tells values that two rows have exchanged', async () => {
    const exchanged = `UPDATE # SET amount = 30.0000 - amount WHERE id IN (1, 2)`.replace('#', into);
    expect(await changing(exchanged)).toContain(
      '2 of 3 rows otherwise than they were sent, such as {"id":"1"}, {"id":"2"}',
    );
  });
  it('tells a row that is lost, and rows that were not sent', async () => {
    expect(await changing(`DELETE FROM ${into} WHERE id = 2`)).toContain('sent 3 rows');
    const other = `UPDATE ${into} AS a JOIN ${into} AS b ON a.id = 1 AND b.id = 2 SET ${names
      .filter((name) => name !== 'id')
      .map((name) => `a.${name} = b.${name}`)
      .join(', ')}, a._ss_crc = CRC32('forged')`;
    expect(await changing(other)).toContain('otherwise than they were sent');
    const elsewhere = `UPDATE ${into} SET _ss_chunk = 99 WHERE id = 2`;
    expect(await changing(elsewhere)).toContain('t: MySQL has 1 rows of chunk 99, which was not read.');
  });
  it.each([
    ['values', 'wide = 2, document = JSON_ARRAY(REPEAT("x", 65500)), narrow = REPEAT("y", 20)'],
    ['a value', 'document = JSON_ARRAY(REPEAT("x", 70000))'],
  ])('says that %s of a row are longer than MySQL makes a text', async (_, values) => {
    const [[before]] = (await hand.application.query(
      'SELECT @@GLOBAL.max_allowed_packet AS bytes',
    )) as unknown as [[{ bytes: number }]];
    await hand.application.query(`UPDATE ${into} SET ${values} WHERE id = 2`);
    await hand.application.query('SET GLOBAL max_allowed_packet = 65536');
    try {
      await expect(proved()).rejects.toThrow(
        `t, chunk ${CHUNK}: the values of {"id":"2"}, or one of them, are longer than a text of MySQL may be (max_allowed_packet, 65536 bytes;`,
      );
    } finally {
      await hand.application.query(`SET GLOBAL max_allowed_packet = ${before.bytes}`);
      await restore();
    }
  });
  it('says that a worker of an older version has loaded a chunk', async () => {
    expect(await changing(`UPDATE ${into} SET _ss_crc = NULL`)).toContain(
      `t, chunk ${CHUNK}: its rows came without checksums, as an older version of stageswap sends them.`,
    );
  });
  it('says that the tables are of an older version, where they have no checksums', async () => {
    await hand.application.query(`ALTER TABLE ${into} RENAME COLUMN _ss_crc TO before_it`);
    await expect(proved()).rejects.toThrow(
      't: the tables of this run were made by an older version of stageswap',
    );
    await hand.application.query(`ALTER TABLE ${into} RENAME COLUMN before_it TO _ss_crc`);
  });
});
