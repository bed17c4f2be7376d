import type { Config, TableConfig } from '../config/load.js';
import { keyRefusalOf, lossOf, refusalOf } from '../model/conversion.js';
import {
  CONSTRAINT_NAME_CHARACTERS_MAX,
  LIVE_NAME_CHARACTERS_MAX,
  originalConstraintName,
} from '../model/names.js';
import type { LiveTable } from '../mysql/schema.js';
import type { SourceTable } from '../sql-server/schema.js';
import { type Facts, sourceOf } from './facts.js';

/** One reason: what is wrong, where, and the cure. */
export interface Finding {
  what: string;
  where: string;
  cure: string;
}
export interface Decision {
  refusals: Finding[];
  warnings: Finding[];
  /** what a run will need on the target's disk, in bytes: stage, base_next and the backup that stays */
  needs: { diskBytes: number; binaryLogBytes: number };
}

/** Decides from recorded facts alone whether a run may start. Collects every reason, not the first. */
export function decide(config: Config, facts: Facts): Decision {
  const refusals: Finding[] = [];
  const warnings: Finding[] = [];
  const refuse = (where: string, what: string, cure: string) => refusals.push({ where, what, cure });
  const warn = (where: string, what: string, cure: string) => warnings.push({ where, what, cure });

  decideServer(config, facts, refuse, warn);
  for (const table of config.tables) {
    const live = facts.live.find((candidate) => candidate.name === table.live);
    const source = sourceOf(facts.source, table.source);
    if (!source)
      refuse(
        table.source,
        'the source has no such table, or the login may not see it',
        'correct tables[].source, or grant SELECT on it',
      );
    if (!live) refuse(table.live, `${facts.schema} has no such table`, 'create it, or correct tables[].live');
    if (live) decideLive(config, facts, table, live, refuse);
    if (live && source) decideColumns(table, live, source, config.timeZone, refuse, warn);
    const bad = facts.badKeys[table.live];
    if (bad && bad.nulls > 0)
      refuse(
        table.source,
        `${bad.nulls} rows have NULL in the key`,
        'choose a key whose columns are never NULL',
      );
    if (bad && bad.doubled > 0)
      refuse(
        table.source,
        `${bad.doubled} keys stand in more than one row`,
        'choose a key that is unique at the source',
      );
    for (const claim of facts.claims) {
      if (claim.live === table.live && claim.pipeline !== config.pipeline)
        refuse(
          table.live,
          `pipeline ${claim.pipeline} publishes this table`,
          'a table belongs to one pipeline: take it out of one of them',
        );
    }
  }
  if (facts.held !== null)
    refuse(
      config.pipeline,
      `the pipeline is held: ${facts.held}`,
      'look at what was rolled back, then stageswap release',
    );
  const bytes = facts.live.reduce((sum, table) => sum + table.dataBytes, 0);
  return {
    refusals,
    warnings,
    needs: { diskBytes: bytes * 3, binaryLogBytes: facts.server.logBin ? bytes * 2 : 0 },
  };
}

type Report = (where: string, what: string, cure: string) => void;

function decideServer(config: Config, facts: Facts, refuse: Report, warn: Report): void {
  const { server } = facts;
  const where = 'target';
  if (server.isMariaDb)
    refuse(
      where,
      `MariaDB (${server.version}) is not supported: its locking and DDL differ`,
      'use MySQL 8.0.13 or later',
    );
  else if (!versionAtLeast(server.version, [8, 0, 13]))
    refuse(where, `MySQL ${server.version} cannot rename locked tables`, 'use MySQL 8.0.13 or later');
  if (server.groupReplication)
    refuse(
      where,
      'Group Replication does not support LOCK TABLES and RENAME as the swap needs them',
      'use a server outside of a group',
    );
  if (!server.localInfile) refuse(where, 'local_infile is off', 'SET GLOBAL local_infile = ON');
  const missing = missingPrivileges(server.grants, facts.schema);
  if (missing.length > 0)
    refuse(
      where,
      `the user lacks ${missing.join(', ')} on ${facts.schema}`,
      `GRANT ${missing.join(', ')} ON \`${facts.schema}\`.* TO the user of the target's address`,
    );
  if (
    server.logBin &&
    !server.logBinTrustFunctionCreators &&
    !/\bSUPER\b|SET_ANY_DEFINER|ALL PRIVILEGES ON \*\.\*/.test(server.grants.join('\n'))
  ) {
    refuse(
      where,
      'the binary log is on and triggers may not be created (error 1419)',
      'SET GLOBAL log_bin_trust_function_creators = 1',
    );
  }
  if (!facts.metadataLocksVisible)
    warn(
      where,
      'performance_schema.metadata_locks cannot be read: the cut-over cannot wait for open transactions',
      `GRANT SELECT ON performance_schema.* TO the user`,
    );
  if (config.source.moment === 'fuzzy')
    refuse('source.moment', 'fuzzy is not built yet', 'use auto, snapshot or transaction');
}

function decideLive(config: Config, facts: Facts, table: TableConfig, live: LiveTable, refuse: Report): void {
  const group = new Set(config.tables.map((candidate) => candidate.live));
  if (live.kind !== 'BASE TABLE')
    refuse(table.live, `is a ${live.kind}, not a table`, 'name the table behind it');
  if (live.engine !== 'InnoDB' && live.kind === 'BASE TABLE')
    refuse(table.live, `engine ${live.engine} has no transactions`, 'ALTER TABLE … ENGINE=InnoDB');
  if (table.live.length > LIVE_NAME_CHARACTERS_MAX)
    refuse(
      table.live,
      `the name is longer than ${LIVE_NAME_CHARACTERS_MAX} characters, and the run's tables are named after it`,
      'rename the table',
    );
  if (live.primaryKey.length === 0)
    refuse(table.live, 'has no primary key', 'add one: rows are told apart by it');
  else if ([...live.primaryKey].sort().join() !== [...table.key].sort().join())
    refuse(
      table.live,
      `key is ${table.key.join(', ')}, but the primary key is ${live.primaryKey.join(', ')}`,
      "name the primary key's columns",
    );
  if (live.partitioned) refuse(table.live, 'is partitioned', 'partitions are not supported yet');
  const own = live.triggers.filter((trigger) => !trigger.name.startsWith('_ss'));
  if (own.length > 0)
    refuse(
      table.live,
      `has triggers of the application: ${own.map((trigger) => trigger.name).join(', ')}`,
      'they are not carried over yet: drop them, or leave the table out',
    );
  const generated = live.columns.filter((column) => column.generated);
  if (generated.some((column) => table.key.includes(column.name)))
    refuse(table.live, 'the key has a generated column', 'use stored columns as key');
  for (const key of live.foreignKeys) {
    if (!group.has(key.referencedTable) || key.referencedSchema !== facts.schema)
      refuse(
        table.live,
        `foreign key ${key.name} points to ${key.referencedSchema}.${key.referencedTable}, outside of the group`,
        'take that table into the pipeline, or drop the key',
      );
    if (cascades(key.onDelete) || cascades(key.onUpdate))
      refuse(
        table.live,
        `foreign key ${key.name} cascades (${key.onDelete}/${key.onUpdate}), and cascades fire no triggers`,
        'use RESTRICT or NO ACTION',
      );
    if (originalConstraintName(key.name).length > CONSTRAINT_NAME_CHARACTERS_MAX)
      refuse(
        table.live,
        `the name of foreign key ${key.name} is too long: a generation is added to it`,
        `use at most ${CONSTRAINT_NAME_CHARACTERS_MAX} characters`,
      );
    if (key.referencedTable === table.live) continue;
  }
  for (const key of live.referencedBy) {
    const ours = (group.has(key.table) || key.table.startsWith('_ss')) && key.schema === facts.schema;
    if (!ours)
      refuse(
        table.live,
        `foreign key ${key.name} of ${key.schema}.${key.table}, outside of the group, points here and would follow the backup`,
        'take that table into the pipeline, or drop the key',
      );
  }
}

function decideColumns(
  table: TableConfig,
  live: LiveTable,
  source: SourceTable,
  timeZone: string | undefined,
  refuse: Report,
  warn: Report,
): void {
  for (const [name, column] of Object.entries(table.columns)) {
    const where = `${table.live}.${name}`;
    const to = live.columns.find((candidate) => candidate.name === name);
    const from = source.columns.find(
      (candidate) => candidate.name.toLowerCase() === column.from.toLowerCase(),
    );
    if (!to) refuse(where, 'live has no such column', 'correct tables[].columns, or add the column');
    if (!from)
      refuse(
        `${table.source}.${column.from}`,
        'the source has no such column',
        'correct from, or take the column out',
      );
    if (!to || !from) continue;
    if (to.generated) refuse(where, 'is a generated column: MySQL computes it', 'take it out of columns');
    const refusal =
      refusalOf(from, to, timeZone) ?? (table.key.includes(name) ? keyRefusalOf(from, to) : undefined);
    if (refusal) refuse(where, refusal.what, refusal.cure);
    if (from.nullable && !to.nullable && !table.key.includes(name))
      warn(where, 'the source allows NULL and live does not: a NULL will stop the run', 'allow NULL in live');
    const loss = lossOf(from, to, timeZone);
    if (loss !== undefined) warn(where, loss, 'nothing to do, if that is enough');
  }
  for (const column of live.columns) {
    if (
      column.name in table.columns ||
      column.generated ||
      column.nullable ||
      column.default !== null ||
      column.autoIncrement
    )
      continue;
    refuse(
      `${table.live}.${column.name}`,
      'is not mapped, has no default and is NOT NULL: new rows cannot be made',
      'map it, or give it a default',
    );
  }
}

const cascades = (rule: string) => ['CASCADE', 'SET NULL', 'SET DEFAULT'].includes(rule.toUpperCase());

function versionAtLeast(version: string, wanted: number[]): boolean {
  const parts = version.split(/[.-]/).map(Number);
  for (const [index, part] of wanted.entries()) {
    const have = parts[index] ?? 0;
    if (have !== part) return have > part;
  }
  return true;
}

const PRIVILEGES = [
  'SELECT',
  'INSERT',
  'UPDATE',
  'DELETE',
  'CREATE',
  'DROP',
  'ALTER',
  'INDEX',
  'LOCK TABLES',
  'TRIGGER',
  'REFERENCES',
];

/** Privileges that no grant on everything or on the schema gives. Roles are not resolved by SHOW GRANTS alone. */
export function missingPrivileges(grants: string[], schema: string): string[] {
  const given = new Set<string>();
  for (const grant of grants) {
    const match = /^GRANT (.+) ON (\S+)\.(\S+) TO /i.exec(grant);
    if (!match) continue;
    const on = (match[2] ?? '').replaceAll('`', '').replaceAll('\\', '');
    if (match[3] !== '*' || (on !== '*' && on !== schema && !like(schema, on))) continue;
    for (const privilege of (match[1] ?? '').split(',')) given.add(privilege.trim().toUpperCase());
  }
  return given.has('ALL PRIVILEGES') ? [] : PRIVILEGES.filter((privilege) => !given.has(privilege));
}
/** MySQL takes % and _ in a grant's schema as patterns. */
function like(text: string, pattern: string): boolean {
  const expression = pattern
    .replace(/[.*+?^${}()|[\]]/g, '\\$&')
    .replaceAll('%', '.*')
    .replaceAll('_', '.');
  return new RegExp(`^${expression}$`).test(text);
}
