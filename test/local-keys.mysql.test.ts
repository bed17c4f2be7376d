import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import { publishedSpec } from '../src/mysql/published.js';
import { readLiveTables } from '../src/mysql/schema.js';
import { nextKey, rowOutside } from '../src/preflight/local-keys-facts.js';
import { ByHand, sourceTable } from './support/by-hand.js';

/** What the application's own keys are, as live tells: rows without a base, and the counter. */
const SCHEMA = 'stageswap_test_local_keys';
const mapping = (localKeys: string) => `
  - source: dbo.Customer
    live: customer
    key: [customer_id]
    columns: { customer_id: Id, name: Name }
    localKeys: ${localKeys}
`;
let hand: ByHand;
beforeAll(async () => {
  hand = await ByHand.open(
    inject('mysqlUrl'),
    SCHEMA,
    ['CREATE TABLE customer (customer_id BIGINT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(60))'],
    mapping('none'),
    [sourceTable('Customer', { Id: 'bigint', Name: 'nvarchar' }, ['Id'])],
  );
});
afterAll(async () => hand?.close());

const look = async (localKeys: string) => {
  hand.remap(mapping(localKeys));
  const [table] = hand.config.tables;
  const [live] = await readLiveTables(hand.session.connection, SCHEMA, ['customer']);
  if (!table || !live) throw new Error('one table');
  return {
    outside: await rowOutside(hand.session, table, live, await publishedSpec(hand.session, 'hand')),
    next: await nextKey(hand.session, live),
  };
};

it('a row of the application’s own is found outside of what localKeys says, once there is a base', async () => {
  const range = '{ from: "1000" }';
  expect(await look(range)).toEqual({ outside: undefined, next: '1' });
  await hand.application.query("INSERT INTO customer VALUES (5, 'before the first publish')");
  expect((await look(range)).outside).toBeUndefined();
  await hand.publish({
    customer: [
      [1, 'Ada'],
      [2, 'Bob'],
    ],
  });
  expect(await look(range)).toEqual({ outside: '5', next: '6' });
  expect(await look('none')).toEqual({ outside: '5', next: '6' });
  await hand.application.query('DELETE FROM customer WHERE customer_id = 5');
  await hand.application.query('ALTER TABLE customer AUTO_INCREMENT = 1000');
  await hand.application.query("INSERT INTO customer (name) VALUES ('in the range')");
  expect(await look(range)).toEqual({ outside: undefined, next: '1001' });
  expect((await look('none')).outside).toBe('1000');
  await hand.publish({
    customer: [
      [1, 'Ada'],
      [2, 'Bob'],
      [3, 'Cyd'],
    ],
  });
  expect(await look(range)).toEqual({ outside: undefined, next: '1001' }); // the counter goes with the swap
});
