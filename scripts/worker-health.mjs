// The container's health check: whether a worker of this host polls the task queue, as Temporal sees it.
import { hostname } from 'node:os';
import { Connection } from '@temporalio/client';
import { temporalPlace } from '../dist/src/temporal/place.js';

const TASK_QUEUE_TYPE_WORKFLOW = 1;
const { address, namespace, security } = temporalPlace();
const connection = await Connection.connect({ address, ...security, connectTimeout: 5_000 });
const { pollers } = await connection.workflowService.describeTaskQueue({
  namespace,
  taskQueue: { name: 'stageswap' },
  taskQueueType: TASK_QUEUE_TYPE_WORKFLOW,
});
await connection.close();
const here = pollers?.some((poller) => poller.identity?.endsWith(`@${hostname()}`));
if (!here) console.error(`no worker of ${hostname()} polls the task queue stageswap`);
process.exit(here ? 0 : 1);
