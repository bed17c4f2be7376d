import { MockActivityEnvironment } from '@temporalio/testing';
import mysql, { type RowDataPacket } from 'mysql2/promise';
import type { RunRef } from '../../activities/context.js';
import type { CutOver, NotYet } from '../../activities/cut-over.js';
import { type Activities, createActivities } from '../../activities/index.js';
import { parseMysqlAddress } from '../../src/config/address.js';
import { type Config, parseConfig } from '../../src/config/load.js';
import type { Reason } from '../../src/model/approval.js';
import { NOTHING_TRIED, type Tried } from '../../src/model/cut-over.js';
import { control, physicalTable } from '../../src/model/names.js';
import type { Cleaned } from '../../src/model/report.js';
import type { RollbackFindings } from '../../src/model/rollback.js';
import { type RunSpec, rollbackOf, tableOf } from '../../src/model/spec.js';
import { Session } from '../../src/mysql/connection.js';
import { definitionOf } from '../../src/mysql/fingerprint.js';
import { publishedGeneration, publishedSpec } from '../../src/mysql/published.js';
import { readLiveTables, readServerFacts } from '../../src/mysql/schema.js';
import { type Decision, decide } from '../../src/preflight/decide.js';
import { definerProblems } from '../../src/preflight/definers.js';
import { assertionProblems, type Facts } from '../../src/preflight/facts.js';
import { freeze } from '../../src/preflight/freeze.js';
import { createControlTables, createMarker } from '../../src/sql/control.js';
import { setAside } from '../../src/sql/group.js';
import { id, sql } from '../../src/sql/text.js';
import type { SourceTable } from '../../src/sql-server/schema.js';

/** The rows that the source says, by live table: values in the order of the mapping. */
export type SourceRows = Record<string, (string | number | Buffer | null)[][]>;

/** A source row with a value that does not fit, which ingest sets aside where the configuration says so. */
export interface SetAside {
  live: string;
  key: string[];
  column: string;
  reason: string;
}

/**
 * Where clients come in during a run: edits are captured, the merge has read live, the replay has merged the log, and
 * last in a transaction for which the lock of the cut-over has to wait.
 */
export type Moment = 'captured' | 'merged' | 'replayed' | 'locking';
/** What clients do while a run works; a function alone comes after the merge and before the replay. */
export type Meanwhile = (() => Promise<unknown>) | Partial<Record<Moment, () => Promise<unknown>>>;

export interface ByHandOptions {
  /** another than `hand`: a further pipeline in a schema that is there already */
  pipeline?: string;
  /** user:password of the runs, where it is not the server's own */
  login?: string;
  firstRun?: 'source' | 'live';
  /** may be fewer than a configuration allows, so that few rows make many chunks */
  chunkRows?: number;
  /** how long an attempt to lock may be pending; long by default, for tests that wait until it is */
  lockAttemptMsMax?: number;
  /** further keys of the configuration's `cutOver`, as YAML */
  cutOver?: string;
  /** further keys of the configuration, as YAML */
  more?: string;
}

/**
 * A pipeline on a schema of its own, driven activity by activity without Temporal and without a source: what ingest
 * would have loaded is written into base_next, the source's catalogue is given.
 */
export class ByHand {
  #generation = 0;
  #base: number | null = null;
  readonly #activities: Activities;
  readonly #environment = new MockActivityEnvironment();

  private constructor(
    readonly pipeline: string,
    readonly schema: string,
    readonly application: mysql.Connection,
    readonly session: Session,
    /** by the YAML of `tables` */
    readonly configure: (tables: string) => Config,
    public config: Config,
    public source: SourceTable[],
    readonly chunkRows: number,
  ) {
    this.#activities = createActivities({ config: () => this.config });
  }

  /** The operator changes the mapping, and perhaps the source its tables. @param tables YAML of `tables` */
  remap(tables: string, source: SourceTable[] = this.source): void {
    this.config = this.configure(tables);
    this.source = source;
  }

  /** Makes the schema afresh, but for a further pipeline, and its tables. @param tables YAML of `tables` */
  static async open(
    mysqlUrl: string,
    schema: string,
    definitions: string[],
    tables: string,
    source: SourceTable[],
    {
      pipeline = 'hand',
      login,
      firstRun = 'source',
      chunkRows = 100,
      lockAttemptMsMax = 5_000,
      cutOver = '',
      more = '',
    }: ByHandOptions = {},
  ): Promise<ByHand> {
    const url = new URL(mysqlUrl);
    const server = await mysql.createConnection(mysqlUrl);
    if (pipeline === 'hand') {
      await server.query(`DROP DATABASE IF EXISTS ${schema}`);
      await server.query(`CREATE DATABASE ${schema} CHARACTER SET utf8mb4`);
    }
    await server.end();
    url.pathname = `/${schema}`;
    const application = await mysql.createConnection({
      uri: url.href,
      charset: 'utf8mb4',
      dateStrings: true,
      multipleStatements: false,
    });
    for (const definition of definitions) await application.query(definition);
    const runs = new URL(url);
    if (login) [runs.username = '', runs.password = ''] = login.split(':');
    const configure = (mapping: string) =>
      parseConfig(
        `pipeline: ${pipeline}\nsource: { url: "\${MSSQL_URL}" }\ntarget: { url: "\${MYSQL_URL}" }\nfirstRun: ${firstRun}\napprove: never\ncutOver: { lockAttemptMsMax: ${lockAttemptMsMax}${cutOver && `, ${cutOver}`} }\n${more}\ntables:\n${mapping}`,
        'stageswap.yaml',
        { MSSQL_URL: 'mssql://sa:x@127.0.0.1:1/none?encrypt=false', MYSQL_URL: runs.href },
      );
    const session = await Session.open(parseMysqlAddress(runs.href));
    return new ByHand(
      pipeline,
      schema,
      application,
      session,
      configure,
      configure(tables),
      source,
      chunkRows,
    );
  }

  async close(): Promise<void> {
    await this.session.close();
    if (this.pipeline === 'hand') await this.application.query(`DROP DATABASE IF EXISTS ${this.schema}`);
    await this.application.end();
  }

  /** What a client reads, in the order of its columns. */
  async read(statement: string): Promise<unknown[][]> {
    const [rows] = await this.application.query<RowDataPacket[]>({ sql: statement, rowsAsArray: true });
    return rows as unknown as unknown[][];
  }

  async facts(): Promise<Facts> {
    const names = this.config.tables.map((table) => table.live);
    const live = await readLiveTables(this.session.connection, this.schema, names);
    const server = await readServerFacts(this.session.connection);
    return {
      server,
      schema: this.schema,
      live,
      definerProblems: await definerProblems(this.session, server, this.schema, live),
      assertionProblems: await assertionProblems(this.session, this.config, live),
      source: this.source,
      badKeys: {},
      liveIsEmpty: {},
      claims: [],
      held: null,
      published: this.#base === null ? null : await publishedSpec(this.session, this.pipeline),
      metadataLocksVisible: true,
    };
  }

  async decide(): Promise<Decision> {
    return decide(this.config, await this.facts());
  }

  /** The generation of the base that is valid; null: nothing is published, or that was rolled back. */
  get base(): number | null {
    return this.#base;
  }

  /** A whole publish. */
  async publish(rows: SourceRows, meanwhile: Meanwhile = {}, bad: SetAside[] = []): Promise<RunSpec> {
    const spec = await this.#load(rows, meanwhile, bad);
    await this.#finish(spec, meanwhile);
    return spec;
  }

  /** A publish that is aborted right before its cut-over. */
  async abort(rows: SourceRows, meanwhile: Meanwhile = {}): Promise<RunSpec> {
    const spec = await this.#load(rows, meanwhile);
    await this.#compute(spec, meanwhile);
    await this.#do('undo', spec);
    await this.session.run(
      sql`UPDATE ${id(control.run)} SET outcome = 'aborted' WHERE pipeline = ${this.pipeline} AND generation = ${spec.generation}`,
    );
    return spec;
  }

  /** Begins a publish, up to where ingest has loaded what the source says. */
  async #load(rows: SourceRows, meanwhile: Meanwhile, bad: SetAside[] = []): Promise<RunSpec> {
    const refusals = (await this.decide()).refusals;
    if (refusals.length > 0)
      throw new Error(refusals.map(({ where, what }) => `${where}: ${what}`).join('\n'));
    for (const statement of createControlTables()) await this.session.run(statement);
    if (this.#base === null) await this.session.run(createMarker(this.pipeline));
    const generation = this.#generation + 1;
    const fingerprints: Record<string, string> = {};
    for (const { live } of this.config.tables)
      await this.session.run(
        sql`INSERT IGNORE INTO ${id(control.claim)} (live, pipeline) VALUES (${live}, ${this.pipeline})`,
      );
    for (const { live } of this.config.tables)
      fingerprints[live] = (await definitionOf(this.session, live)).fingerprint;
    const run = { runId: this.#runId(generation), generation, fingerprints };
    const spec = { ...freeze(this.config, await this.facts(), run), chunkRows: this.chunkRows };
    await this.#begin(spec);
    await this.#do('capture', spec);
    for (const table of spec.tables) {
      const loaded = (rows[table.live] ?? []).map((row) => [...row, 0]);
      if (loaded.length === 0) continue;
      const names = table.columns.map(({ live }) => id(live.name).text).join(', ');
      await this.session.connection.query(
        `INSERT INTO ${id(physicalTable(generation, 'baseNext', table.live)).text} (${names}, _ss_chunk) VALUES ?`,
        [loaded],
      );
    }
    for (const { live, ...row } of bad) await this.session.run(setAside(spec, tableOf(spec, live), row));
    await at(meanwhile, 'captured');
    return spec;
  }

  /** A step of a run once more, as an attempt of it would that slept and wakes up. */
  async again(
    step: 'prepare' | 'capture' | 'countHeldBack' | 'replay' | 'undo' | 'cutOver',
    generation: number,
  ): Promise<unknown> {
    return this.#run<unknown>(() => this.#activities[step]({ pipeline: this.pipeline, generation }));
  }

  /** Gives a run that was taken back a new generation, as the workflow does when its source has become too old. */
  async renew({ generation, runId }: RunSpec): Promise<RunRef> {
    return this.#run(() => this.#activities.renew({ pipeline: this.pipeline, generation }, runId));
  }

  /** Proves what was loaded. @returns what each table's chunks proved */
  async verify({ generation }: RunSpec): ReturnType<Activities['verify']> {
    return this.#run(() => this.#activities.verify({ pipeline: this.pipeline, generation }));
  }

  /** Rehearses a run's cut-over. @returns milliseconds */
  async rehearse({ generation }: RunSpec): Promise<number> {
    return (await this.#run(() => this.#activities.rehearseCutOver({ pipeline: this.pipeline, generation })))
      .heldMs;
  }

  /** Ids of runs are unique in a schema. */
  #runId(of: number | string): string {
    return this.pipeline === 'hand' ? `run-${of}` : `${this.pipeline}-${of}`;
  }

  /** A publish up to where its cut-over comes. */
  async beforeCutOver(rows: SourceRows): Promise<RunSpec> {
    const spec = await this.#load(rows, {});
    await this.#compute(spec, {});
    await this.#do('backup', spec);
    return spec;
  }

  /** One call of the cut-over, as the workflow makes it: it comes back where the lock was not granted. */
  async tryCutOver(tried: Tried = NOTHING_TRIED, untilMs?: number): Promise<CutOver | NotYet> {
    const ref = { pipeline: this.pipeline, generation: this.#generation };
    return this.#run(() => this.#activities.cutOver(ref, tried, untilMs));
  }

  /** What the rollback workflow would do first. */
  async beginRollback(): Promise<void> {
    await this.#run(() => this.#activities.beginRollback(this.pipeline, this.#runId('rollback')));
  }

  /** A whole rollback of a publish. */
  async rollBack(undone: RunSpec, meanwhile: Meanwhile = {}): Promise<void> {
    const generation = this.#generation + 1;
    const fingerprints: Record<string, string> = {};
    for (const { live } of undone.tables)
      fingerprints[live] = (await definitionOf(this.session, live)).fingerprint;
    const spec = rollbackOf(undone, { runId: this.#runId(generation), generation, fingerprints });
    await this.#begin(spec);
    await this.#do('capture', spec);
    await at(meanwhile, 'captured');
    await this.#finish(spec, meanwhile);
  }

  /**
   * A whole rollback as the workflow does it, of the latest publish or to a backup.
   * @param backup its name; undefined: the latest, with edits
   * @returns what it found of edits since the swap, right before the cut-over
   */
  async rollBackTo(
    backup?: string,
    meanwhile: Partial<Record<Moment, () => Promise<unknown>>> = {},
  ): Promise<RollbackFindings> {
    const spec = await this.beginRollbackTo(backup);
    await this.#do('capture', spec);
    await at(meanwhile, 'captured');
    const replayed = async () => {
      await meanwhile.replayed?.();
      await this.#run(() => this.#activities.describeRollback(spec));
    };
    await this.#finish(spec, { ...meanwhile, replayed });
    const [run] = await this.session.rows<{ plan: string }>(
      sql`SELECT CAST(plan AS CHAR) AS plan FROM ${id(control.run)} WHERE pipeline = ${this.pipeline} AND generation = ${spec.generation}`,
    );
    return JSON.parse(run?.plan ?? '') as RollbackFindings;
  }

  /** What the cleanup workflow does. */
  async cleanUp(now: boolean): Promise<Cleaned> {
    const window = await this.#run(() => this.#activities.closeWindow(this.pipeline, now));
    return { ...window, ...(await this.#run(() => this.#activities.dropUnneeded(this.pipeline))) };
  }

  /** A rollback up to where its tables are made. */
  async beginRollbackTo(backup?: string): Promise<RunSpec> {
    const runId = this.#runId(this.#generation + 1);
    const begun = await this.#run(() => this.#activities.beginRollback(this.pipeline, runId, backup));
    this.#generation = begun.generation;
    const [row] = await this.session.rows<{ spec: string }>(
      sql`SELECT CAST(spec AS CHAR) AS spec FROM ${id(control.run)} WHERE run_id = ${runId}`,
    );
    const spec = JSON.parse(row?.spec ?? '') as RunSpec;
    await this.#do('prepare', spec);
    return spec;
  }

  /** Takes a run back that was begun. */
  async takeBack(spec: RunSpec): Promise<void> {
    await this.#do('undo', spec);
    this.#generation += 1;
  }

  /** Looks at the guards of the run that works. @returns those that tripped */
  async guards(): Promise<Reason[]> {
    const ref = { pipeline: this.pipeline, generation: this.#generation };
    return this.#run(() => this.#activities.guard(ref));
  }

  async #begin(spec: RunSpec): Promise<void> {
    this.#generation = spec.generation;
    await this.session.run(
      sql`REPLACE INTO ${id(control.pipeline)} (pipeline, generation) VALUES (${this.pipeline}, ${spec.generation})`,
    );
    await this.session.run(
      sql`INSERT INTO ${id(control.run)} (pipeline, generation, run_id, kind, phase, started_at, spec) VALUES (${this.pipeline}, ${spec.generation}, ${spec.runId}, ${spec.kind}, 'preflight', UTC_TIMESTAMP(6), ${JSON.stringify(spec)})`,
    );
    await this.#do('prepare', spec);
  }

  /** Computes stage: reconcile and replay. */
  async #compute(spec: RunSpec, meanwhile: Meanwhile): Promise<void> {
    for (const table of spec.tables)
      while (!(await this.#run(() => this.#activities.reconcile(spec, table.live))).finished);
    await this.#do('settle', spec);
    await at(meanwhile, 'merged');
    await this.#do('replay', spec);
    await at(meanwhile, 'replayed');
  }

  async #finish(spec: RunSpec, meanwhile: Meanwhile): Promise<void> {
    await this.#compute(spec, meanwhile);
    const orphans = await this.#run(() => this.#activities.findOrphans(spec));
    if (orphans !== null) throw new Error(orphans);
    await this.#do('backup', spec);
    if (spec.backup === 'copy')
      for (const { live } of spec.tables)
        while (!(await this.#run(() => this.#activities.copyLive(spec, live))).finished);
    await this.#cutOver(spec, meanwhile);
    await this.#do('finalSync', spec);
    this.#base = (await publishedGeneration(this.session, this.pipeline)) || null;
    const outcome = spec.kind === 'publish' ? 'published' : 'rolledBack';
    await this.session.run(
      sql`UPDATE ${id(control.run)} SET outcome = ${outcome} WHERE pipeline = ${this.pipeline} AND generation = ${spec.generation}`,
    );
    await this.#do('closeConflicts', spec);
    await this.#do('cleanup', spec);
  }

  async #cutOver(spec: RunSpec, meanwhile: Meanwhile): Promise<void> {
    if (typeof meanwhile === 'function' || !meanwhile.locking) return this.#do('cutOver', spec);
    await this.application.query('START TRANSACTION');
    await meanwhile.locking();
    const done = this.#do('cutOver', spec).then(() => 'done');
    while ((await Promise.race([done, this.#lockIsPending()])) === 'no');
    await this.application.query('COMMIT');
    await done;
  }

  async #lockIsPending(): Promise<'yes' | 'no'> {
    const rows = await this.session.rows(
      sql`SELECT 1 AS found FROM performance_schema.metadata_locks WHERE object_schema = ${this.schema} AND lock_type IN ('SHARED_NO_READ_WRITE', 'SHARED_READ_ONLY') AND lock_status = 'PENDING'`,
    );
    return rows.length > 0 ? 'yes' : 'no';
  }

  async #do(
    step:
      | 'prepare'
      | 'capture'
      | 'settle'
      | 'replay'
      | 'backup'
      | 'cutOver'
      | 'finalSync'
      | 'closeConflicts'
      | 'cleanup'
      | 'undo',
    spec: RunSpec,
  ): Promise<void> {
    await this.#run<unknown>(() => this.#activities[step](spec));
  }

  #run<R>(work: () => Promise<R>): Promise<R> {
    return this.#environment.run(work) as Promise<R>;
  }
}

async function at(meanwhile: Meanwhile, moment: Moment): Promise<void> {
  if (typeof meanwhile !== 'function') await meanwhile[moment]?.();
  else if (moment === 'merged') await meanwhile();
}

/** A source table as its catalogue would describe it. @param columns name: type, such as { Id: 'bigint', Name: 'nvarchar' } */
export function sourceTable(
  name: string,
  columns: Record<string, string>,
  primaryKey: string[],
): SourceTable {
  return {
    schema: 'dbo',
    name,
    columns: Object.entries(columns).map(([column, type]) => ({
      name: column,
      type,
      maxLengthBytes: 80,
      precision: 18,
      scale: type === 'datetime2' ? 6 : 4,
      nullable: !primaryKey.includes(column),
      computed: false,
      identity: false,
      collation: null,
    })),
    primaryKey,
    uniqueIndexes: [],
    foreignKeys: [],
  };
}
