/** The writers of the cut-over's bench: a process of its own, so that what they wait for is not the bench itself. */
import { setTimeout as sleep } from 'node:timers/promises';
import mysql, { type Connection } from 'mysql2/promise';
import { percentile } from './figures.js';
import type { Order, Statements, WritersSetup } from './writers.js';

/** statements that are remembered: as many as any window needs */
const REMEMBERED_MAX = 400_000;
const DEADLOCK = 1213;

interface Done {
  startedAt: number;
  ms: number;
}

let done: Done[] = [];
let failures = 0;
let paused = true;
let stopped = false;

/** Milliseconds of the machine's clock that all processes share. */
const now = () => Number(process.hrtime.bigint()) / 1e6;

async function statement(connection: Connection, text: string, values: unknown[]): Promise<void> {
  const startedAt = now();
  await connection.query(text, values).catch((error: { errno?: number }) => {
    if (error.errno !== DEADLOCK) throw error;
    failures += 1;
  });
  done.push({ startedAt, ms: now() - startedAt });
  if (done.length > REMEMBERED_MAX) done = done.slice(REMEMBERED_MAX / 2);
}

/** One client: an edit a time, now and then two of different tables in one transaction. */
async function write({ url, tables, thinkMs }: WritersSetup, writer: number): Promise<void> {
  const connection = await mysql.createConnection(url);
  for (let edit = 0; !stopped; edit += 1) {
    await sleep(thinkMs * (0.5 + Math.random()));
    if (paused) continue;
    const set = (index: number) => {
      const table = tables[index % tables.length];
      if (!table) return Promise.resolve();
      const key = 1 + Math.floor(Math.random() * table.rows);
      return statement(connection, `UPDATE ${table.name} SET note = ? WHERE ${table.key} = ?`, [
        `writer ${writer} edit ${edit}`,
        key,
      ]);
    };
    if (edit % 10 !== 0) {
      await set(edit);
      continue;
    }
    await connection.query('START TRANSACTION');
    await set(0);
    await set(1);
    await connection.query('COMMIT').catch(() => {});
  }
  await connection.end();
}

/** What the statements that overlapped a window say. */
function within(from: number, to: number): Statements {
  const ms = done.filter((one) => one.startedAt < to && one.startedAt + one.ms > from).map((one) => one.ms);
  return {
    count: ms.length,
    p50Ms: percentile(ms, 50),
    maxMs: ms.reduce((most, one) => Math.max(most, one), 0), // a window of minutes has more than a call takes arguments
    failures,
  };
}

process.on('message', (order: Order) => {
  const answer = (value: unknown) => process.send?.(value);
  switch (order.kind) {
    case 'start':
      Promise.all(
        Array.from({ length: order.setup.writers }, (_, writer) => write(order.setup, writer)),
      ).then(
        () => process.exit(0),
        (error: Error) => {
          console.error(`a writer failed: ${error.message}`);
          process.exit(1);
        },
      );
      return answer('started');
    case 'pause':
      paused = true;
      return answer('paused');
    case 'resume':
      paused = false;
      return answer('resumed');
    case 'within':
      return answer(within(order.from, order.to));
    case 'stop':
      stopped = true;
      return;
  }
});
process.on('disconnect', () => process.exit(0));
