import { afterEach, expect, inject, it } from 'vitest';
import { ByHand, sourceTable } from './support/by-hand.js';

/** Capture is beside the application's way: no edit fails because of it. */
const TABLES = '  - { source: dbo.T, live: t, key: [id], columns: { id: Id, body: Body } }\n';
const SOURCE = [sourceTable('T', { Id: 'int', Body: 'nvarchar' }, ['Id'])];

let hand: ByHand;
afterEach(async () => hand?.close());
const client = (statement: string) => hand.application.query(statement);
const rows = async (statement: string) =>
  (await hand.application.query({ sql: statement, rowsAsArray: true } as { sql: string }))[0] as unknown[][];

it('an edit of values that are together longer than a packet passes, and its image says that it was cut', async () => {
  hand = await ByHand.open(
    inject('mysqlUrl'),
    'stageswap_test_capture',
    ['CREATE TABLE t (id INT PRIMARY KEY, body LONGTEXT, scan LONGBLOB, form JSON, place GEOMETRY)'],
    TABLES,
    SOURCE,
  );
  const [[packetBytes]] = (await rows('SELECT @@max_allowed_packet')) as [[number]];
  const long = Math.ceil(packetBytes * 0.6);
  const set = (letter: string) => [
    `UPDATE t SET body = REPEAT('${letter}', ${long}) WHERE id = 1`,
    `UPDATE t SET scan = REPEAT('${letter}', ${long}) WHERE id = 2`,
    `UPDATE t SET form = JSON_ARRAY(REPEAT('${letter}', ${long})) WHERE id = 3`,
  ];
  const body = 'short';
  const source = { t: [1, 2, 3, 4].map((key) => [key, body]) };
  await hand.publish(source);
  for (const statement of set('x')) await client(statement);
  await hand.publish(source, {
    captured: async () => {
      for (const statement of set('y')) await client(statement);
      await client("UPDATE t SET body = 'new', place = ST_GeomFromText('POINT(1 2)') WHERE id = 4");
      const images = await rows(
        "SELECT old_id, JSON_LENGTH(_ss_changed), RIGHT(COALESCE(_ss_changed->>'$.body[1]', _ss_changed->>'$.scan[1]', _ss_changed->>'$.form[1]'), 40), LENGTH(_ss_changed) < 10000 FROM _ss2l_t ORDER BY _ss_id",
      );
      expect(images).toEqual([
        [1, 1, expect.stringMatching(`^y+ \\.\\.\\. \\(cut: ${long} characters\\)$`), 1],
        [2, 1, expect.stringMatching(`^(79)+ \\.\\.\\. \\(cut: ${long} bytes\\)$`), 1],
        [3, 1, expect.stringMatching(/^y+ \.\.\. \(cut: \d+ bytes\)$/), 1],
        [4, 2, 'new', 1],
      ]);
    },
  });
  expect(await rows('SELECT LEFT(body, 1), LENGTH(body) FROM t WHERE id IN (1, 4) ORDER BY id')).toEqual([
    ['y', long],
    ['n', 3],
  ]);
});
