// Loaded into a worker before the product (node --import): every statement that an activity sends to an engine becomes two
// fail points, one before it is sent and one after its reply came; and so does every activity as a whole, before its first
// statement, and when it is done and Temporal does not know yet. The test's process is told of each; for activities
// that it has armed the worker stands still there until it answers. The product knows nothing of this.
import { Context } from '@temporalio/activity';
import { Worker } from '@temporalio/worker';
import mssql from 'mssql';
import mysql from 'mysql2/promise';

/** More says nothing about which statement it is. */
const TEXT_CHARACTERS_MAX = 400;
let armed = new Set();
let last = 0;
const waiting = new Map();

process.on('message', (message) => {
  if (message.armed) armed = new Set(message.armed);
  else waiting.get(message.id)?.(message.failure);
});
process.on('disconnect', () => process.exit(1));
process.channel?.unref(); // the worker ends when it is told to, not when the test does

/** The activity that works here, if one does. */
function whereabouts() {
  try {
    const { activityType, attempt } = Context.current().info;
    return { activity: activityType, attempt };
  } catch {
    return undefined;
  }
}

/** @param port of this end of the connection, by which a proxy knows it */
async function failPoint(side, engine, text, port) {
  const where = whereabouts();
  if (!where || !process.connected) return;
  last += 1;
  const id = last;
  const waits = armed.has(where.activity);
  const reply = waits && new Promise((resolve) => waiting.set(id, resolve));
  process.send({ id, ...where, side, engine, text: String(text).slice(0, TEXT_CHARACTERS_MAX), port, waits });
  if (!reply) return;
  const failure = await reply;
  waiting.delete(id);
  if (failure) throw Object.assign(new Error(failure.message), failure);
}

const { query } = mysql.PromiseConnection.prototype;
mysql.PromiseConnection.prototype.query = async function queryWithFailPoints(statement, ...rest) {
  const text = typeof statement === 'string' ? statement : statement.sql;
  const port = this.connection.stream?.localPort;
  await failPoint('before', 'mysql', text, port);
  const result = await query.call(this, statement, ...rest);
  await failPoint('after', 'mysql', text, port);
  return result;
};

const { create } = Worker;
Worker.create = (options) => {
  const inbound = {
    async execute(input, next) {
      await failPoint('before', 'temporal', 'ACTIVITY');
      const result = await next(input);
      await failPoint('after', 'temporal', 'ACTIVITY');
      return result;
    },
  };
  const { interceptors } = options;
  const activity = [...(interceptors?.activity ?? []), () => ({ inbound })];
  return create.call(Worker, { ...options, interceptors: { ...interceptors, activity } });
};

for (const method of ['query', 'batch']) {
  const send = mssql.Request.prototype[method];
  mssql.Request.prototype[method] = async function sendWithFailPoints(text, ...rest) {
    await failPoint('before', 'source', text);
    const result = await send.call(this, text, ...rest);
    await failPoint('after', 'source', text);
    return result;
  };
}
