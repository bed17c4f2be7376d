import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { makeTelemetryFilterString, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import type { Logger } from 'pino';
import { createActivities } from '../activities/index.js';
import { parseMssqlAddress, parseMysqlAddress } from './config/address.js';
import type { Config } from './config/load.js';
import { createLog, type Level, sdkLogger } from './log.js';
import { StageswapError } from './model/failures.js';
import { TASK_QUEUE } from './model/messages.js';
import { withSession } from './mysql/connection.js';
import { withSource } from './sql-server/connection.js';
import type { TemporalPlace } from './temporal/place.js';
import { registerSearchAttributes } from './temporal/search-attributes.js';

export interface WorkerOptions {
  configs: Config[];
  temporal: TemporalPlace;
  taskQueue?: string;
  /** told what an operator should know when the worker starts */
  say?: (line: string) => void;
}

/** @throws {StageswapError} Unreachable */
function connect({ address, security }: TemporalPlace): Promise<NativeConnection> {
  return NativeConnection.connect({ address, ...security }).catch((error: Error) => {
    throw new StageswapError(
      'Unreachable',
      `Temporal at ${address} does not answer: ${error.message}. Start it, or correct TEMPORAL_ADDRESS.`,
      { cause: error },
    );
  });
}

/** Steps of which a worker does so many at a time, beside as many readers or merges as one of its pipelines may have. */
const STEPS_BESIDE = 20;

/** The composition root: configurations → activities → a worker. @returns a worker that is ready to run */
async function createWorker(connection: NativeConnection, options: WorkerOptions): Promise<Worker> {
  const configs = new Map(options.configs.map((config) => [config.pipeline, config]));
  const { namespace, dataConverter } = options.temporal;
  const searchAttributes = await registerSearchAttributes(connection, namespace, options.say ?? (() => {}));
  return Worker.create({
    connection,
    namespace,
    taskQueue: options.taskQueue ?? TASK_QUEUE,
    ...workflowSource(dataConverter !== undefined),
    ...(dataConverter ? { dataConverter } : {}),
    activities: createActivities({
      searchAttributes,
      config(pipeline) {
        const config = configs.get(pipeline);
        if (!config)
          throw new StageswapError(
            'NotConfigured',
            `this worker has no configuration of pipeline ${pipeline}, and the run waits for one that has it. Start it with its --config: all workers of a task queue must have every pipeline that runs on it. stageswap abort ends the run.`,
          );
        return config;
      },
    }),
    maxConcurrentActivityTaskExecutions:
      STEPS_BESIDE + Math.max(...options.configs.map(({ parallel }) => parallel)),
    shutdownGraceTime: '10 seconds',
    maxHeartbeatThrottleInterval: '5 seconds',
  });
}

/** What a worker tells of itself. */
export interface Telemetry {
  logLevel: Level;
  /** host:port at which Prometheus finds the metrics; absent: none */
  metricsAddress?: string;
}

/**
 * How much garbage V8 lets stand beside what is alive, in percent of it, before it takes it away. By itself it goes up to three
 * times as much while rows stream by: 386 MB at 5,000,000 rows, where it has 257 MB at 2,000,000 so (npm run bench -- --only memory).
 */
const HEAP_GROWING_PERCENT = 50;

/** The limit is computed whenever garbage is taken away, so it is taken away once now. @see Node.js documentation, v8.setFlagsFromString */
function keepHeapSmall(): void {
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`);
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
  setFlagsFromString('--no-expose-gc');
}

/** Runs a worker until it is told to stop; it logs to standard error. */
export async function runWorker(options: WorkerOptions, telemetry: Telemetry): Promise<void> {
  keepHeapSmall();
  const log = createLog({ level: telemetry.logLevel, secrets: options.configs.flatMap(secretsOf) });
  Runtime.install({
    logger: sdkLogger(log),
    telemetryOptions: {
      logging: { forward: {}, filter: makeTelemetryFilterString({ core: 'WARN', other: 'ERROR' }) },
      ...(telemetry.metricsAddress === undefined
        ? {}
        : { metrics: { prometheus: { bindAddress: telemetry.metricsAddress, countersTotalSuffix: true } } }),
    },
  });
  const connection = await connect(options.temporal);
  try {
    const worker = await createWorker(connection, { say: (line) => log.info(line), ...options });
    log.info(
      {
        pipelines: options.configs.map((config) => config.pipeline),
        taskQueue: options.taskQueue ?? TASK_QUEUE,
        temporal: options.temporal.address,
      },
      'the worker works',
    );
    void warnOfEngines(options.configs, log);
    await worker.run();
  } finally {
    await connection.close(); // an open one keeps the process alive for ever
  }
  log.info('the worker has stopped');
}

/** A wrong address of this worker is told where it is wrong, and before a run meets it. Engines may be down, and come back. */
async function warnOfEngines(configs: Config[], log: Logger): Promise<void> {
  const engines = configs.flatMap(({ pipeline, source, target }) => [
    { pipeline, asked: withSource(parseMssqlAddress(source.url), async () => {}) },
    { pipeline, asked: withSession(parseMysqlAddress(target.url), async () => {}) },
  ]);
  await Promise.all(
    engines.map(({ pipeline, asked }) =>
      asked.catch((error: Error) =>
        log.warn({ pipeline }, `this worker cannot work at ${pipeline} yet: ${error.message}`),
      ),
    ),
  );
}

/** What of a configuration must not be seen. */
function secretsOf(config: Config): string[] {
  return [
    parseMssqlAddress(config.source.url).password,
    parseMysqlAddress(config.target.url).password,
    ...(config.webhook ? [config.webhook.url] : []),
  ];
}

/** The bundle that the build made; without a build the workflows are bundled now (some seconds, and more memory). */
function workflowSource(encrypted: boolean) {
  const name = encrypted ? 'workflow-bundle-encrypted.js' : 'workflow-bundle.js';
  const bundle = fileURLToPath(new URL(`../${name}`, import.meta.url));
  if (existsSync(bundle)) return { workflowBundle: { codePath: bundle } };
  const built = fileURLToPath(new URL('../workflows/index.js', import.meta.url));
  return {
    workflowsPath: existsSync(built)
      ? built
      : fileURLToPath(new URL('../workflows/index.ts', import.meta.url)),
  };
}
