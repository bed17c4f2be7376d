/**
 * Names of the physical tables and triggers of a run.
 *
 * Everything that a run makes in the target schema starts with `_ss<generation><kind>_`, so that a person, `repair`
 * and clean-up can tell from a name alone which run made it and what it is. Triggers and tables have separate name
 * spaces in MySQL, so they share the pattern.
 */

export const IDENTIFIER_CHARACTERS_MAX = 64;

/** The highest generation for which names must fit: seven digits. */
export const GENERATION_MAX = 9_999_999;

/** A letter or two each, part of the physical name. */
export const TABLE_KINDS = {
  /** what the source says in this run; once published it is the base of the next */
  baseNext: 'n',
  /** this run's next version of live */
  stage: 's',
  /** edits to live since capture began */
  log: 'l',
  /** keys of one replay round */
  replayKeys: 'k',
  /** live's predecessor, made by the swap */
  backup: 'o',
  /** a copy of live, written before the swap where the configuration wants one */
  copy: 'c',
  /** rows as published, stored when a client first touches them after the swap */
  firstTouch: 't',
  /** keys of source rows that were not published: live's rows, if any, stay as they are */
  heldBack: 'h',
  /** keys that a rule across the group has found and is about to act on */
  work: 'w',
  /** rows of a replay before they go into stage, where unique indexes could refuse them */
  merged: 'm',
  /** empty tables on which a run rehearses its cut-over: as live, stage, backup and marker */
  rehearsedLive: 'rl',
  rehearsedStage: 'rs',
  rehearsedBackup: 'ro',
  rehearsedMarker: 'ra',
  rehearsedMarkerNext: 'rb',
} as const;
export type TableKind = keyof typeof TABLE_KINDS;

const TRIGGER_KINDS = {
  logInsert: 'li',
  logUpdate: 'lu',
  logDelete: 'ld',
  touchInsert: 'ti',
  touchUpdate: 'tu',
  touchDelete: 'td',
} as const;
export type TriggerKind = keyof typeof TRIGGER_KINDS;

/** Name of a table that generation made for a live table. */
export function physicalTable(generation: number, kind: TableKind, live: string): string {
  return `_ss${generation}${TABLE_KINDS[kind]}_${live}`;
}

/** Name of a trigger that a generation made for a live table. */
export function physicalTrigger(generation: number, kind: TriggerKind, live: string): string {
  return `_ss${generation}${TRIGGER_KINDS[kind]}_${live}`;
}

/**
 * MySQL compares names of triggers without case and accents (`utf8mb3_general_ci`, on every system), and those of tables exactly
 * on most. Two live tables for which this is the same would need triggers of one name.
 */
export function triggerNameOf(live: string): string {
  return live.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase();
}

/**
 * The marker: an empty table whose name says which generation's base is valid. It is renamed by the swap's own
 * statement, so base and live change in one atomic step at the cost of one table (measured 5-10 ms), not one per table.
 */
export function markerTable(pipeline: string, generation: number): string {
  return `_ss_at_${generation}_${pipeline}`;
}

/** Reads a marker's name. @returns the generation, or undefined if the name is not this pipeline's marker */
export function generationOfMarker(pipeline: string, name: string): number | undefined {
  const match = /^_ss_at_(\d+)_(.+)$/.exec(name);
  return match && match[2] === pipeline ? Number(match[1]) : undefined;
}

/** What a physical name says, or undefined for a name that no run made. */
export function parsePhysicalName(
  name: string,
): { generation: number; kind: string; live: string } | undefined {
  const [, generation, kind = '', live = ''] = /^_ss(\d+)([a-z]{1,2})_(.+)$/.exec(name) ?? [];
  return KINDS.has(kind) ? { generation: Number(generation), kind, live } : undefined;
}
const KINDS = new Set<string>([...Object.values(TABLE_KINDS), ...Object.values(TRIGGER_KINDS)]);

/** Has a run made the table or trigger of this name? The application may have names of its own that begin with `_ss`. */
export function isMadeByRun(name: string): boolean {
  return parsePhysicalName(name) !== undefined;
}

/** Tables that stageswap makes, of this version and others: of runs, markers, rehearsals and control. The rest is the application's. */
export function isReservedTable(name: string): boolean {
  return /^_ss\d+[a-z]{1,2}_|^_ss_(at_\d+|rehearsal)_|^_stageswap_/i.test(name);
}

/** Columns that runs add to tables of their own, beside live's. */
export function isReservedColumn(name: string): boolean {
  return /^_ss_/i.test(name);
}

/** The longest live table name for which every physical name fits MySQL's 64 characters, with seven digits of generation. */
export const LIVE_NAME_CHARACTERS_MAX = IDENTIFIER_CHARACTERS_MAX - '_ss1234567li_'.length;

/** File systems take 255 bytes, of which `.ibd` is a part. */
export const FILE_NAME_BYTES_MAX = 255 - '.ibd'.length;

/** Letters of other alphabets that MySQL writes as `@` and two characters; all other characters but a-z, 0-9 and _ take five. */
const SHORT_IN_FILES =
  /[\u00c0-\u02af\u0370-\u03ff\u0400-\u058f\u1e00-\u1fff\u2160-\u217f\u24b6-\u24e9\uff21-\uff5a]/;

/** Bytes of the name of a table's file, without its ending. Source: MySQL's manual, "Mapping of Identifiers to File Names". */
export function fileNameBytes(table: string): number {
  return [...table].reduce((bytes, character) => {
    if (/\w/.test(character)) return bytes + 1;
    return bytes + (SHORT_IN_FILES.test(character) ? 3 : 5);
  }, 0);
}

const CONSTRAINT_SUFFIX = /__ss\d+$/;

/**
 * Constraint names are unique per schema, and stage stands beside live and the backups: each generation's constraints
 * have the application's own name and the generation.
 */
export function constraintName(name: string, generation: number): string {
  return `${originalConstraintName(name)}__ss${generation}`;
}
/** The application's own name of a constraint that a run may have made. */
export function originalConstraintName(name: string): string {
  return name.replace(CONSTRAINT_SUFFIX, '');
}
/** The longest constraint name to which a generation of seven digits can be added. */
export const CONSTRAINT_NAME_CHARACTERS_MAX = IDENTIFIER_CHARACTERS_MAX - '__ss1234567'.length;

/** Control tables: one set per target schema, shared by its pipelines. */
export const control = {
  pipeline: '_stageswap_pipeline',
  claim: '_stageswap_claim',
  run: '_stageswap_run',
  chunk: '_stageswap_chunk',
  conflict: '_stageswap_conflict',
  settlement: '_stageswap_settlement',
  edit: '_stageswap_edit',
  attempt: '_stageswap_attempt',
} as const;

export const isControlTable = (name: string): boolean =>
  Object.values<string>(control).includes(name.toLowerCase());

/** What the names of all database snapshots of a pipeline begin with; the generation follows. */
export function snapshotDatabasePrefix(database: string, pipeline: string): string {
  return `${database}_stageswap_${pipeline}_`;
}
/** Name of the database snapshot that a run makes on the source. */
export function snapshotDatabase(database: string, pipeline: string, generation: number): string {
  return `${snapshotDatabasePrefix(database, pipeline)}${generation}`;
}
/** Is this the name of a snapshot that a run up to `generation` made? Other digits than a generation's are somebody else's. */
export function isSnapshotUpTo(name: string, prefix: string, generation: number): boolean {
  const digits = name.startsWith(prefix) ? name.slice(prefix.length) : '';
  return /^\d{1,7}$/.test(digits) && Number(digits) <= generation;
}
