import type { TableConfig } from '../config/load.js';
import {
  CONSTRAINT_NAME_CHARACTERS_MAX,
  constraintName,
  FILE_NAME_BYTES_MAX,
  fileNameBytes,
  GENERATION_MAX,
  IDENTIFIER_CHARACTERS_MAX,
  isMadeByRun,
  isReservedColumn,
  LIVE_NAME_CHARACTERS_MAX,
  originalConstraintName,
  physicalTable,
} from '../model/names.js';
import { cascades, type LiveForeignKey, type LiveTable } from '../mysql/schema.js';
import type { Report } from './finding.js';

/** What a live table may be: its kind, its key, its names, and what hangs on it. */
export function decideLive(
  table: TableConfig,
  live: LiveTable,
  group: { lives: Set<string>; schema: string; missingToDefine: (definer: string) => string | undefined },
  refuse: Report,
  warn: Report,
): void {
  if (live.kind !== 'BASE TABLE') {
    refuse(table.live, `is a ${live.kind}, not a table`, 'name the table behind it');
    return;
  }
  if (live.engine !== 'InnoDB')
    refuse(table.live, `engine ${live.engine} has no transactions`, 'ALTER TABLE … ENGINE=InnoDB');
  if (live.partitioned)
    refuse(
      table.live,
      'is partitioned',
      'partitions are not supported yet: ALTER TABLE … REMOVE PARTITIONING, or leave the table out',
    );
  if (live.notInstant)
    warn(
      table.live,
      `has ${live.notInstant}, so that MySQL cannot change its definition instantly: while clients edit it, the cut-over waits for transactions in REPEATABLE READ to end`,
      'see docs/operators.md "What if the cut-over cannot get its lock"; GRANT SELECT ON performance_schema.events_transactions_current lets it wait for the short ones',
    );
  decideTriggers(table, live, group.missingToDefine, refuse, warn);
  decideKey(table, live, refuse);
  for (const index of live.uniqueIndexes)
    if (index.parts?.some((part) => / array\)$/i.test(part.expression ?? '')))
      refuse(
        table.live,
        `unique index ${index.name} is over an array, of which no comparison tells whether two rows collide`,
        'make it an index that is not unique, or leave the table out',
      );
  decideNames(table, live, refuse, warn);
  for (const key of live.foreignKeys) decideForeignKey(table, key, group, refuse);
  for (const key of live.referencedBy) {
    const ours = (group.lives.has(key.table) || isMadeByRun(key.table)) && key.schema === group.schema;
    if (!ours)
      refuse(
        table.live,
        `foreign key ${key.name} of ${key.schema}.${key.table}, outside of the group, points here and would follow the backup`,
        'take that table into the pipeline, or drop the key',
      );
  }
}

/** Triggers of the application go with every generation: made anew, with their definer, under a name with its number. */
function decideTriggers(
  table: TableConfig,
  live: LiveTable,
  missingToDefine: (definer: string) => string | undefined,
  refuse: Report,
  warn: Report,
): void {
  for (const { name, definer } of live.triggers) {
    if (isMadeByRun(name)) continue;
    const missing = missingToDefine(definer);
    if (missing !== undefined)
      refuse(
        table.live,
        `its trigger ${name} is defined by ${definer}, in whose name this user may not make a trigger without ${missing}`,
        `GRANT ${missing} ON *.* TO the user of the target's address, or make the trigger anew with another DEFINER`,
      );
    if (constraintName(name, GENERATION_MAX).length > IDENTIFIER_CHARACTERS_MAX)
      refuse(
        table.live,
        `the name of trigger ${name} is too long: a generation is added to it`,
        `give it a name of at most ${CONSTRAINT_NAME_CHARACTERS_MAX} characters`,
      );
    else if (originalConstraintName(name) === name)
      warn(
        table.live,
        `trigger ${name} will be called ${name}__ss<generation>, and does not fire for what a run writes: backups keep the old name`,
        'look up its name before a migration drops it',
      );
  }
}

function decideKey(table: TableConfig, live: LiveTable, refuse: Report): void {
  if (live.primaryKey.length === 0) {
    refuse(table.live, 'has no primary key', 'add one: rows are told apart by it');
    return;
  }
  if ([...live.primaryKey].sort().join() !== [...table.key].sort().join()) {
    refuse(
      table.live,
      `key is ${table.key.join(', ')}, but the primary key is ${live.primaryKey.join(', ')}`,
      "name the primary key's columns",
    );
    return;
  }
  for (const name of live.primaryKeyPrefixes ?? [])
    refuse(
      `${table.live}.${name}`,
      'only the beginning of the column is in the primary key',
      'put the whole column into the key',
    );
  for (const name of table.key) {
    const column = live.columns.find((candidate) => candidate.name === name);
    if (column?.generated)
      refuse(`${table.live}.${name}`, 'the key has a generated column', 'use stored columns as key');
  }
}

/** Names that a run makes after those of live must fit MySQL's 64 characters in every generation. */
function decideNames(table: TableConfig, live: LiveTable, refuse: Report, warn: Report): void {
  const tooLong = (what: string, cure: string) => refuse(table.live, what, cure);
  if (table.live.length > LIVE_NAME_CHARACTERS_MAX)
    tooLong(
      `the name is longer than ${LIVE_NAME_CHARACTERS_MAX} characters, and the run's tables are named after it`,
      'rename the table',
    );
  else if (fileNameBytes(physicalTable(GENERATION_MAX, 'backup', table.live)) > FILE_NAME_BYTES_MAX)
    tooLong(
      `the name is too long for a file: the run's tables are named after it, and MySQL writes most characters outside of a-z, 0-9 and _ as five`,
      'rename the table',
    );
  const backup = physicalTable(GENERATION_MAX, 'backup', table.live);
  // MySQL names checks <table>_chk_<n> in a table made LIKE another, and renames them with their table.
  if (
    live.checks.length > 0 &&
    backup.length + `_chk_${live.checks.length}`.length > IDENTIFIER_CHARACTERS_MAX
  )
    tooLong(
      `the name is too long for a table with CHECK constraints: MySQL names them after the run's tables`,
      `use at most ${IDENTIFIER_CHARACTERS_MAX - (backup.length - table.live.length) - '_chk_99'.length} characters`,
    );
  for (const key of live.foreignKeys) {
    const original = originalConstraintName(key.name);
    const kept = constraintName(key.name, GENERATION_MAX);
    // MySQL renames <table>_ibfk_<n> with its table, to the backup's name.
    const renamed = kept.startsWith(`${table.live}_ibfk_`) ? kept.replace(table.live, backup) : kept;
    if (renamed.length > IDENTIFIER_CHARACTERS_MAX)
      tooLong(
        `the name of foreign key ${key.name} is too long: a generation is added to it`,
        `give it a name of its own of at most ${CONSTRAINT_NAME_CHARACTERS_MAX} characters`,
      );
    else if (original === key.name)
      warn(
        table.live,
        `foreign key ${key.name} will be called ${key.name}__ss<generation>: backups keep the old name`,
        'look up its name before a migration drops it',
      );
  }
  for (const { name } of live.checks) {
    if (name.startsWith(`${table.live}_chk_`) || originalConstraintName(name) !== name) continue;
    const kept = constraintName(name, GENERATION_MAX).length <= IDENTIFIER_CHARACTERS_MAX;
    warn(
      table.live,
      kept
        ? `CHECK constraint ${name} will be called ${name}__ss<generation>: backups keep the old name`
        : `the name of CHECK constraint ${name} is too long for a generation: MySQL will rename it to ${table.live}_chk_<n>`,
      'look up its name before a migration drops it',
    );
  }
  for (const column of live.columns) {
    if (isReservedColumn(column.name))
      refuse(
        `${table.live}.${column.name}`,
        'is a name that runs use in their own tables',
        'rename the column',
      );
    if (table.key.includes(column.name) && `old_${column.name}`.length > IDENTIFIER_CHARACTERS_MAX)
      refuse(
        `${table.live}.${column.name}`,
        "the key column's name is too long: the log has it with old_ before it",
        `use at most ${IDENTIFIER_CHARACTERS_MAX - 'old_'.length} characters`,
      );
  }
}

function decideForeignKey(
  table: TableConfig,
  key: LiveForeignKey,
  group: { lives: Set<string>; schema: string },
  refuse: Report,
): void {
  if (!group.lives.has(key.referencedTable) || key.referencedSchema !== group.schema)
    refuse(
      table.live,
      `foreign key ${key.name} points to ${key.referencedSchema}.${key.referencedTable}, outside of the group`,
      'take that table into the pipeline, or drop the key',
    );
  if (cascades(key))
    refuse(
      table.live,
      `foreign key ${key.name} cascades (${key.onDelete}/${key.onUpdate}), and cascades fire no triggers`,
      'use RESTRICT or NO ACTION',
    );
}

/** Foreign keys that MySQL once took, and would not take of the next version of their table. */
export function decideReferencedKeys(table: LiveTable, group: LiveTable[], refuse: Report): void {
  for (const key of table.foreignKeys) {
    const parent = group.find(({ name }) => name === key.referencedTable);
    if (!parent) continue;
    const wanted = [...key.referencedColumns].sort().join();
    const unique = [
      parent.primaryKey,
      ...parent.uniqueIndexes.filter(({ parts }) => !parts).map(({ columns }) => columns),
    ];
    if (unique.some((columns) => [...columns].sort().join() === wanted)) continue;
    refuse(
      table.name,
      `foreign key ${key.name} points to ${parent.name} (${key.referencedColumns.join(', ')}), which no primary or unique key of exactly these columns makes unique: the server no longer takes such a key (restrict_fk_on_non_standard_key)`,
      `add a UNIQUE KEY over these columns to ${parent.name}, point the key to its primary key, or SET PERSIST restrict_fk_on_non_standard_key = OFF`,
    );
  }
}

/**
 * Tables whose foreign keys form a cycle: none of them can be published before its parents. A table that points to
 * itself is none.
 */
export function tablesInCycle(
  tables: { name: string; foreignKeys: { referencedTable: string }[] }[],
): string[] {
  let open = tables;
  for (;;) {
    const names = new Set(open.map((table) => table.name));
    const blocked = open.filter((table) =>
      table.foreignKeys.some((key) => key.referencedTable !== table.name && names.has(key.referencedTable)),
    );
    if (blocked.length === open.length) break;
    open = blocked;
  }
  // What only points into the cycle is blocked, too, but is no part of it.
  const pointedAt = (name: string, among: typeof open) =>
    among.some(
      (table) => table.name !== name && table.foreignKeys.some((key) => key.referencedTable === name),
    );
  for (;;) {
    const within = open.filter((table) => pointedAt(table.name, open));
    if (within.length === open.length) return open.map((table) => table.name);
    open = within;
  }
}
