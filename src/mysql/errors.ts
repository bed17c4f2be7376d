/** MySQL's error numbers that more than one place asks for. */
export const LOCK_WAIT_TIMEOUT = 1205;
export const DEADLOCK = 1213;
export const DUPLICATE_ENTRY = 1062;
export const UNKNOWN_COLUMN = 1054;
export const NO_SUCH_TABLE = 1146;
/** what needs a right of the whole server, such as PROCESS */
export const ACCESS_DENIED = 1227;

/** MySQL's error number, or undefined for an error of another kind. */
export function errorNumber(error: unknown): number | undefined {
  const errno = (error as { errno?: unknown })?.errno;
  return typeof errno === 'number' ? errno : undefined;
}

/**
 * Too many connections, shutdown, lock wait, deadlock, interrupted, changed definition, session killed or idle too long; a
 * server that fails over or is maintained: read-only (1290, 1836), offline (3032); a user at its limits (1203, 1226).
 */
const PASSING = new Set([
  1040, 1053, 1077, 1158, 1159, 1160, 1161, 1203, 1205, 1213, 1226, 1290, 1317, 1412, 1836, 1927, 3032, 3169,
  4031,
]);
const CUT = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'PROTOCOL_CONNECTION_LOST',
  'PROTOCOL_ENQUEUE_AFTER_FATAL_ERROR',
]);

/** Trouble that passes: a cut connection, a server that starts again, a lock that somebody else had. Repeating may help. */
export function isPassing(error: unknown): boolean {
  const { code, fatal, message } = error as { code?: string; fatal?: boolean; message?: string };
  const number = errorNumber(error);
  if (number !== undefined && PASSING.has(number)) return true;
  return (code !== undefined && CUT.has(code)) || fatal === true || /closed state/.test(message ?? '');
}

const DISK_FULL = new Set([1021, 1114]);

/** The server has no room left. A run must not wait for it: what is taken back makes room. An edit waits. */
export function isOutOfRoom(error: unknown): boolean {
  return DISK_FULL.has(errorNumber(error) ?? 0);
}
