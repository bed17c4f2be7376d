import type { Logger, LogLevel } from '@temporalio/common';
import { type DestinationStream, destination, type Logger as Pino, pino } from 'pino';
import { scrubSecrets } from './model/scrub.js';

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error'] as const;
export type Level = (typeof LOG_LEVELS)[number];

/** Fields that may hold a secret, at the top and one below. */
const SECRET_FIELDS = ['password', 'url', 'apiKey', 'key', 'token', 'authorization', 'mysqlUrl'];

/**
 * The worker's log: a JSON object a line, on standard error. No secret passes: fields that hold one are left out, and
 * passwords are taken out of every text, those in addresses as well as the given ones.
 *
 * @param options.secrets passwords and keys that the worker knows
 */
export function createLog(options: { level: Level; secrets: string[]; to?: DestinationStream }): Pino {
  const clean = (text: string) => scrubSecrets(text, options.secrets);
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: { paths: SECRET_FIELDS.flatMap((field) => [field, `*.${field}`]), censor: '***' },
      formatters: { level: (level) => ({ level }), log: (fields) => cleanFields(fields, clean) },
      hooks: {
        logMethod(input, method) {
          method.apply(
            this,
            input.map((part) => (typeof part === 'string' ? clean(part) : part)) as typeof input,
          );
        },
      },
    },
    options.to ?? destination({ dest: 2, sync: true }),
  );
}

/** Fields as they may be seen: texts without secrets, errors as type, message and stack. */
function cleanFields(
  fields: Record<string, unknown>,
  clean: (text: string) => string,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields)
      .filter(([name]) => name !== 'taskToken')
      .map(([name, value]) => [name, cleanValue(value, clean, 3)]),
  );
}

function cleanValue(value: unknown, clean: (text: string) => string, depth: number): unknown {
  if (typeof value === 'string') return clean(value);
  if (value instanceof Error)
    return { type: value.name, message: clean(value.message), stack: clean(value.stack ?? '') };
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return value;
  if (depth === 0) return undefined;
  if (Array.isArray(value)) return value.map((part) => cleanValue(part, clean, depth - 1));
  return Object.fromEntries(
    Object.entries(value).map(([name, part]) => [name, cleanValue(part, clean, depth - 1)]),
  );
}

/** The same log for Temporal's SDK. */
export function sdkLogger(log: Pino): Logger {
  const write = (level: Level) => (message: string, meta?: Record<string, unknown>) =>
    log[level](meta ?? {}, message);
  return {
    log: (level: LogLevel, message, meta) => log[level.toLowerCase() as Level](meta ?? {}, message),
    trace: write('trace'),
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
  };
}
