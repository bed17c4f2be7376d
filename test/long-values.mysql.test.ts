import { afterEach, beforeEach, expect, inject, it } from 'vitest';
import { readConflicts, settle } from '../src/mysql/settlements.js';
import { ByHand, sourceTable } from './support/by-hand.js';

/** Conflicts of values so long that MySQL makes no JSON of them: max_allowed_packet is a megabyte here. */
const PACKET_BYTES = 1_048_576;
const SIZE = 600_000;

let hand: ByHand;
let before = 0;
const ask = async (statement: string) =>
  (await hand.application.query({ sql: statement, rowsAsArray: true } as { sql: string }))[0] as unknown[][];
const packet = (bytes: number) => hand.application.query(`SET GLOBAL max_allowed_packet = ${bytes}`);
const lower = () => packet(PACKET_BYTES);

beforeEach(() => {
  before = 0;
});
afterEach(async () => {
  if (before > 0) await packet(before);
  await hand?.close();
});

const open = async (type: 'LONGTEXT' | 'LONGBLOB') => {
  const source = sourceTable(
    'T',
    { Id: 'int', F: type === 'LONGBLOB' ? 'varbinary' : 'nvarchar', G: 'nvarchar' },
    ['Id'],
  );
  hand = await ByHand.open(
    inject('mysqlUrl'),
    'stageswap_test_long',
    [`CREATE TABLE t (id INT PRIMARY KEY, f ${type}, g LONGTEXT)`],
    '  - { source: dbo.T, live: t, key: [id], columns: { id: Id, f: F, g: G } }\n',
    [
      {
        ...source,
        columns: source.columns.map((column) =>
          column.name === 'Id' ? column : { ...column, maxLengthBytes: -1 },
        ),
      },
    ],
  );
  before = Number((await ask('SELECT @@GLOBAL.max_allowed_packet'))[0]?.[0]);
};
const value = (type: string, letter: string) =>
  type === 'LONGBLOB' ? Buffer.alloc(SIZE, letter) : letter.repeat(SIZE);
const letters = () => ask('SELECT CAST(LEFT(f, 2) AS CHAR), LENGTH(f), g FROM t');

it.each(['LONGTEXT', 'LONGBLOB'] as const)(
  'a conflict of a %s too long to show says its length and a digest, and is carried out when settled',
  async (type) => {
    await open(type);
    await hand.publish({ t: [[1, value(type, 'a'), 'g']] });
    await ask(`UPDATE t SET f = REPEAT('b', ${SIZE})`);
    await hand.publish({ t: [[1, value(type, 'c'), 'g']] }, { captured: lower });
    const { conflicts } = await readConflicts(hand.session, 'hand', {}, 9);
    const shown = /^too long to show: 600000 bytes, SHA-256 [0-9a-f]{64}$/;
    expect(conflicts.map(({ kind, base, source, live }) => [kind, base?.f, source?.f, live?.f])).toEqual([
      ['field', expect.stringMatching(shown), expect.stringMatching(shown), expect.stringMatching(shown)],
    ]);
    expect(conflicts[0]?.source?.f).not.toBe(conflicts[0]?.live?.f);
    expect(await settle(hand.session, 'hand', {}, { side: 'source', by: 'me' })).toBe(1);
    await packet(before);
    await hand.publish({ t: [[1, value(type, 'c'), 'g']] }, { captured: lower });
    expect(await letters()).toEqual([['cc', SIZE, 'g']]);
  },
);

it.each(['LONGTEXT', 'LONGBLOB'] as const)(
  'a settlement of a %s too long to show is void once the value changed, though not its length',
  async (type) => {
    await open(type);
    await hand.publish({ t: [[1, value(type, 'a'), 'g']] });
    await ask(`UPDATE t SET f = REPEAT('b', ${SIZE})`);
    await hand.publish({ t: [[1, value(type, 'c'), 'g']] }, { captured: lower });
    expect(await settle(hand.session, 'hand', {}, { side: 'source', by: 'me' })).toBe(1);
    await packet(before);
    await ask(`UPDATE t SET f = REPEAT('d', ${SIZE})`);
    await hand.publish({ t: [[1, value(type, 'c'), 'g']] }, { captured: lower });
    expect(await letters()).toEqual([['dd', SIZE, 'g']]);
  },
);
