import { z } from 'zod';
import { NOTICES } from '../model/messages.js';

/** Limits of a configuration, in one place: the schema, its tests and the manual refer to these. */
export const LIMITS = {
  tablesMax: 100,
  keyColumnsMax: 16,
  chunkRowsMin: 100,
  chunkRowsMax: 1_000_000,
  parallelMax: 64,
  backupsMax: 100,
  approvalHoursMax: 8_760,
  identifierCharactersMax: 64,
} as const;

/** What a configuration means where it is silent; each is tested. */
export const DEFAULTS = {
  moment: 'auto',
  approve: 'firstPublish',
  approvalHoursMax: 72,
  chunkRows: 50_000,
  parallel: 2,
  deleteShareMax: 0.1,
  onOutrun: 'abort',
  roundsMax: 30,
  lockAttemptMsMax: 50,
  attemptsMax: 200,
  heldMsMax: 250,
  backups: 1,
  backup: 'rename' as const,
  badRows: 'stop',
  badRowsMax: 100,
  owner: 'merge',
  onConflict: 'live',
  onSourceDelete: 'delete',
  onLiveDelete: 'respect',
  conflictsMax: 1_000,
  conflictsDays: 365,
  editsDays: 90,
  rollbackDays: 7,
  reportsDays: 365,
} as const;

export type Owner = 'merge' | 'source' | 'live';
export type Side = 'source' | 'live';
export type Moment = 'auto' | 'snapshot' | 'transaction' | 'fuzzy';

const identifier = z
  .string()
  .min(1, 'a name cannot be empty')
  .max(
    LIMITS.identifierCharactersMax,
    `MySQL allows ${LIMITS.identifierCharactersMax} characters for a name`,
  );

const sourceIdentifier = z
  .string()
  .min(1, 'a name cannot be empty')
  .max(128, 'SQL Server allows 128 characters for a name');

const owner = z
  .enum(['merge', 'source', 'live'])
  .describe(
    'merge: three-way, field by field; source: always the source; live: from the source in new rows only',
  );

const side = z.enum(['live', 'source']);

const columnLong = z.strictObject({
  from: sourceIdentifier.describe("the source's column"),
  owner: owner.default(DEFAULTS.owner),
  onConflict: side
    .default(DEFAULTS.onConflict)
    .describe('who wins a merged field that both sides changed differently'),
});

const column = z
  .union([sourceIdentifier, columnLong])
  .describe("live's column: the source's column, or an object that also says owner and onConflict");

const share = z.number().min(0).max(1);
const days = z.int().min(1).max(36_500);

const table = z.strictObject({
  source: z
    .string()
    .min(1)
    .max(260)
    .describe('schema.table of the source; the schema is dbo if it is left out'),
  live: identifier.describe('table of the target schema'),
  key: z.array(identifier).min(1).max(LIMITS.keyColumnsMax).describe("live's columns that tell rows apart"),
  columns: z.record(identifier, column).describe("live's column: the source's column"),
  groups: z.array(z.array(identifier).min(2)).default([]).describe('columns that merge as one value'),
  onSourceDelete: z
    .enum(['delete', 'keep'])
    .default(DEFAULTS.onSourceDelete)
    .describe('a row that is gone at the source: delete it from live, or keep it'),
  onLiveDelete: z
    .enum(['respect', 'restore'])
    .default(DEFAULTS.onLiveDelete)
    .describe('a row that the application deleted: respect that, or restore the row from the source'),
  localKeys: z
    .union([
      z.literal('none'),
      z.strictObject({
        from: z
          .string()
          .regex(/^-?\d+$/, 'a whole number, in quotes')
          .describe("the least key of the application's own rows, in quotes"),
      }),
    ])
    .optional()
    .describe(
      "keys that the application gives to rows of its own: none, or from a number on that billing's keys never reach",
    ),
});

/** The shape of `stageswap.yaml`. What spans several keys is checked by load.ts. */
export const configSchema = z
  .strictObject({
    $schema: z.string().optional().describe('for editors; not read'),
    pipeline: z
      .string()
      .regex(
        /^[a-z][a-z0-9_-]{0,39}$/,
        'a small letter, then up to 39 small letters, digits, hyphens and underscores',
      )
      .describe('name of the pipeline'),
    source: z
      .strictObject({
        url: z
          .string()
          .min(1)
          .describe('mssql://user:password@host:port/database, by reference to the environment'),
        moment: z
          .enum(['auto', 'snapshot', 'transaction', 'fuzzy'])
          .default(DEFAULTS.moment)
          .describe(
            'how the group is read as of one moment: snapshot is a database snapshot, transaction one SNAPSHOT transaction, auto the first of them that the source allows; fuzzy is not one moment, for a source that allows neither: rows that seem to have come or gone are asked for again',
          ),
        rowsPerSecondMax: z
          .int()
          .min(1)
          .optional()
          .describe('rows that all readers together may read in a second; absent: as fast as it goes'),
      })
      .describe('the SQL Server that bills'),
    target: z
      .strictObject({
        url: z
          .string()
          .min(1)
          .describe('mysql://user:password@host:port/schema, by reference to the environment'),
        threadsRunningMax: z
          .int()
          .min(1)
          .optional()
          .describe(
            'no chunk is begun while more threads than these work (Threads_running); absent: never waits',
          ),
      })
      .describe('the MySQL schema whose tables are published'),
    firstRun: z
      .enum(['source', 'live'])
      .describe('who is right where a first publish finds both sides different; there is no default'),
    approve: z
      .enum(['never', 'firstPublish', 'always'])
      .default(DEFAULTS.approve)
      .describe('when a run asks before the cut-over; a guard that trips asks whatever is written here'),
    approvalHoursMax: z
      .number()
      .positive()
      .max(LIMITS.approvalHoursMax)
      .default(DEFAULTS.approvalHoursMax)
      .describe('hours for which a run waits for its approval; then it is aborted and taken back'),
    chunkRows: z
      .int()
      .min(LIMITS.chunkRowsMin)
      .max(LIMITS.chunkRowsMax)
      .default(DEFAULTS.chunkRows)
      .describe('rows in a chunk: the unit of work, retry and progress'),
    parallel: z
      .int()
      .min(1)
      .max(LIMITS.parallelMax)
      .default(DEFAULTS.parallel)
      .describe('readers of the source, and merges in MySQL, at a time'),
    window: z
      .string()
      .optional()
      .describe(
        'part of the day in which a run may cut over, such as 02:00-04:00 Europe/Berlin; a run that is ready outside of it waits',
      ),
    sourceAgeMax: z
      .string()
      .regex(/^[1-9]\d{0,4}[smhd]$/, 'a number with its unit: 30m, 6h or 2d')
      .optional()
      .describe(
        'how old what was read from the source may be when it is published, such as 6h: older, it is read again',
      ),
    replay: z
      .strictObject({
        onOutrun: z
          .enum(['abort', 'wait'])
          .default(DEFAULTS.onOutrun)
          .describe('what a run does whose clients write faster than it replays: take itself back, or go on'),
        roundsMax: z
          .int()
          .min(1)
          .max(1_000)
          .default(DEFAULTS.roundsMax)
          .describe('rounds of replay, of up to 20 seconds each, without getting closer, until that is said'),
      })
      .prefault({})
      .describe('how long a run replays edits'),
    guards: z
      .strictObject({
        deleteShareMax: share
          .default(DEFAULTS.deleteShareMax)
          .describe('a run that would delete a greater share of a table stops and asks'),
        changeShareMax: share
          .optional()
          .describe(
            'a run in which the source changed a column in a greater share of its rows stops and asks',
          ),
        emptyShareMax: share
          .optional()
          .describe(
            'a run in which a column became NULL, zero or empty in a greater share of its rows stops and asks',
          ),
      })
      .prefault({})
      .describe('shares of a table, from 0 to 1, above which a run asks first'),
    cutOver: z
      .strictObject({
        lockAttemptMsMax: z
          .int()
          .min(1)
          .max(10_000)
          .default(DEFAULTS.lockAttemptMsMax)
          .describe('milliseconds after which a pending LOCK is taken back'),
        attemptsMax: z
          .int()
          .min(1)
          .max(100_000)
          .default(DEFAULTS.attemptsMax)
          .describe('attempts to lock; after the last one the run fails, live untouched'),
        heldMsMax: z
          .int()
          .min(1)
          .max(600_000)
          .default(DEFAULTS.heldMsMax)
          .describe(
            'milliseconds locked, as rehearsed on empty tables, above which check warns and a run asks first',
          ),
        killBlockersAfterMs: z
          .int()
          .min(1_000)
          .max(86_400_000)
          .optional()
          .describe(
            'age in milliseconds at which a transaction on a live table that keeps the cut-over from its lock is ended by KILL; never if it is left out',
          ),
      })
      .prefault({})
      .describe('the lock under which live is swapped'),
    backups: z
      .int()
      .min(1)
      .max(LIMITS.backupsMax)
      .default(DEFAULTS.backups)
      .describe(
        'backups that are kept: the latest can be rolled back with what clients changed since, older ones are restored as they are; each needs its base, too',
      ),
    backup: z
      .enum(['rename', 'copy'])
      .default(DEFAULTS.backup)
      .describe(
        'rename: the swap makes the backup of live for nothing; copy: a copy of live is written before the cut-over as well, chunk by chunk, for whoever wants one that never was live',
      ),
    badRows: z
      .enum(['stop', 'quarantine'])
      .default(DEFAULTS.badRows)
      .describe(
        'rows with a value that live cannot hold: stop the run, or set them aside and keep live as it is',
      ),
    badRowsMax: z
      .int()
      .min(1)
      .max(100_000)
      .default(DEFAULTS.badRowsMax)
      .describe('rows of a table that may be set aside in a run; one more stops it'),
    assertions: z
      .array(
        z.strictObject({
          name: z.string().min(1).max(100).describe('what must hold, in words'),
          sql: z
            .string()
            .min(1)
            .describe('a SELECT that returns what breaks it; {table} stands for the merged rows of a table'),
        }),
      )
      .default([])
      .describe('looked at before the cut-over: each must return no row'),
    webhook: z
      .strictObject({
        url: z.string().min(1).describe('where to POST, by reference to the environment'),
        on: z
          .array(z.enum(NOTICES))
          .min(1)
          .default([...NOTICES])
          .describe('what people want to be woken by'),
        conflictsMax: z
          .int()
          .min(0)
          .default(DEFAULTS.conflictsMax)
          .describe('a run that finds more conflicts tells conflictLimit'),
      })
      .optional()
      .describe('told, by JSON, when a run waits for a human, fails, is rolled back, held, or skipped'),
    retention: z
      .strictObject({
        conflictsDays: days
          .default(DEFAULTS.conflictsDays)
          .describe('days after which closed conflicts and settlements are deleted'),
        editsDays: days
          .default(DEFAULTS.editsDays)
          .describe(
            'days for which the id of an edit is remembered: a later repetition would be applied again',
          ),
        rollbackDays: days
          .default(DEFAULTS.rollbackDays)
          .describe(
            'days after which stageswap cleanup closes the rollback window of the latest publish: its triggers and first-touch images go, the backup stays',
          ),
        reportsDays: days
          .default(DEFAULTS.reportsDays)
          .describe('days after which reports, plans and the chunk ledger of runs are deleted'),
      })
      .prefault({})
      .describe('how long the records of runs are kept; they are deleted when a run ends'),
    timeZone: z
      .string()
      .min(1)
      .optional()
      .describe("the source's time zone (IANA), needed where a time without one goes into a TIMESTAMP"),
    tables: z.array(table).min(1).max(LIMITS.tablesMax).describe('the group: published together'),
  })
  .describe('A stageswap pipeline');

/** What the schema makes of a file, before load.ts resolves and checks it. */
export type RawConfig = z.output<typeof configSchema>;

/** The JSON Schema of the configuration file, as an author writes it: defaults may be left out. */
export function jsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(configSchema, { target: 'draft-2020-12', io: 'input' });
  return { title: 'stageswap configuration', ...schema };
}
