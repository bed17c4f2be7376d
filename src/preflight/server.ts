import type { ServerFacts } from '../mysql/schema.js';
import type { Finding, Report } from './finding.js';
import { missingPrivileges } from './privileges.js';

const WHERE = 'target';
const CURE_VERSION = 'use MySQL 8.0.13 or later';

/** Why this server is none to work with, whatever else is true of it: nothing more is asked of such a server. */
export function unsuitableServer(server: ServerFacts): Finding | undefined {
  const found = (what: string, cure: string): Finding => ({ where: WHERE, what, cure });
  if (server.isMariaDb)
    return found(
      `MariaDB (${server.version}) is not supported: its locking and DDL differ`,
      `${CURE_VERSION} instead`,
    );
  if (!versionAtLeast(server.version, [8, 0, 13]))
    return found(`MySQL ${server.version} cannot rename locked tables`, CURE_VERSION);
  return undefined;
}

/** What the target's server and this login must allow. */
export function decideServer(
  server: ServerFacts,
  schema: string,
  needs: {
    references: boolean;
    metadataLocksVisible: boolean;
    innodbVisible: boolean;
    sessionsVisible: boolean;
    kills: boolean;
  },
  refuse: Report,
  warn: Report,
): void {
  if (server.groupReplication)
    refuse(
      WHERE,
      'Group Replication does not support LOCK TABLES and RENAME as the swap needs them',
      'use a server outside of a group',
    );
  if (server.galera)
    refuse(
      WHERE,
      'Galera does not replicate LOCK TABLES, which the swap needs',
      'use a server outside of a cluster',
    );
  if (server.readOnly)
    refuse(
      WHERE,
      'the server is read-only: a replica, or closed for maintenance',
      'name the writable server',
    );
  if (!server.localInfile) refuse(WHERE, 'local_infile is off', 'SET GLOBAL local_infile = ON');
  if (server.logBin && server.binlogFormat === 'STATEMENT')
    refuse(
      WHERE,
      'binlog_format is STATEMENT, with which READ COMMITTED cannot write (error 1665)',
      'SET GLOBAL binlog_format = ROW',
    );
  const missing = missingPrivileges(server.grants, schema, needs);
  if (missing.length > 0)
    refuse(
      WHERE,
      `the user lacks ${missing.join(', ')} on ${schema}`,
      `GRANT ${missing.join(', ')} ON \`${schema.replaceAll('`', '``')}\`.* TO the user of the target's address`,
    );
  if (server.logBin && !server.logBinTrustFunctionCreators && !holdsOneOf(server, 'SUPER'))
    refuse(
      WHERE,
      'the binary log is on, and this user may not create triggers then (error 1419)',
      'SET GLOBAL log_bin_trust_function_creators = 1',
    );
  if (!needs.metadataLocksVisible)
    warn(
      WHERE,
      'performance_schema.metadata_locks cannot be read: the cut-over cannot wait for open transactions',
      `GRANT SELECT ON performance_schema.metadata_locks TO the user of the target's address`,
    );
  if (!needs.sessionsVisible)
    warn(
      WHERE,
      'performance_schema.threads cannot be read: sessions that keep the cut-over from its lock cannot be told by name',
      `GRANT SELECT ON performance_schema.threads TO the user of the target's address`,
    );
  if (needs.kills && !/\b(SUPER|CONNECTION_ADMIN)\b|ALL PRIVILEGES ON \*\.\*/.test(server.grants.join('\n')))
    refuse(
      'cutOver.killBlockersAfterMs',
      "the user lacks CONNECTION_ADMIN, without which it cannot end other users' sessions",
      `GRANT CONNECTION_ADMIN ON *.* TO the user of the target's address, or leave killBlockersAfterMs out`,
    );
  if (needs.kills && !(needs.sessionsVisible && needs.metadataLocksVisible))
    refuse(
      'cutOver.killBlockersAfterMs',
      'the user may not see which sessions hold the tables, so that it could end none',
      `GRANT SELECT ON performance_schema.metadata_locks and on performance_schema.threads TO the user of the target's address, or leave killBlockersAfterMs out`,
    );
  if (!needs.innodbVisible)
    warn(
      WHERE,
      'the user lacks PROCESS: a TRUNCATE of live while a run works is not noticed, and its rows come back; every cut-over takes care of old snapshots, whether there are any or not',
      `GRANT PROCESS ON *.* TO the user of the target's address`,
    );
}

/** What a server may remember without anybody noticing that it forgets it. A chunk of the usual size has less, so that replicas may still apply chunks side by side. */
const WRITE_SETS_FEW = 100_000;

/**
 * With its binary log a server remembers changed rows, also those that a run loads, and forgets all of them at each commit that
 * changes a table to which a foreign key points, while the other commits wait. What it takes for them is not given back: 9.7.4, which
 * remembers 10,000,000, needed 3 ms more for each such commit after 1,000,000 loaded rows, 13 ms after 5,000,000.
 *
 * @param rows that a run loads
 */
export function decideWriteSets(server: ServerFacts, rows: number, warn: Report): void {
  const { logBin, writeSetsMax = 0 } = server;
  if (!logBin || Math.min(rows, writeSetsMax) <= WRITE_SETS_FEW) return;
  warn(
    WHERE,
    `binlog_transaction_dependency_history_size is ${writeSetsMax}: once the rows of a run are loaded, each commit that changes a table to which a foreign key points can take milliseconds longer, for every client, until the server is started again`,
    `SET PERSIST binlog_transaction_dependency_history_size = ${WRITE_SETS_FEW}, or where your provider keeps such settings; if a run has loaded rows since the server started, start it again at a quiet time`,
  );
}

/** The right that this user lacks to make a trigger in the name of `definer` (user@host), as far as its own rights tell. */
export function rightToDefine(server: ServerFacts, definer: string): string | undefined {
  if (definer === server.user || holdsOneOf(server, 'SUPER', 'SET_USER_ID', 'SET_ANY_DEFINER'))
    return undefined;
  return versionAtLeast(server.version, [8, 2]) ? 'SET_ANY_DEFINER' : 'SET_USER_ID';
}

/** Has this user one of these rights, which are of the server and not of a schema? */
export function holdsOneOf(server: ServerFacts, ...rights: string[]): boolean {
  const grants = server.grants.join('\n');
  return new RegExp(`\\b(${rights.join('|')})\\b|ALL PRIVILEGES ON \\*\\.\\*`).test(grants);
}

function versionAtLeast(version: string, wanted: number[]): boolean {
  const parts = version.split(/[.-]/).map(Number);
  for (const [index, part] of wanted.entries()) {
    const have = parts[index] ?? 0;
    if (have !== part) return have > part;
  }
  return true;
}
