import type { Config, TableConfig } from '../config/load.js';
import type { SourceTable } from '../sql-server/schema.js';
import { claimedByOthers } from './claims.js';
import { decideColumns } from './columns.js';
import type { Facts } from './facts.js';
import type { Finding, Report } from './finding.js';
import { freeze } from './freeze.js';
import { decideLive, decideReferencedKeys, tablesInCycle } from './live.js';
import { decideLocalKeys } from './local-keys.js';
import { decideMapping } from './mapping.js';
import { type Needs, needsOf } from './needs.js';
import { decideServer, decideWriteSets, rightToDefine, unsuitableServer } from './server.js';
import { sourceOf } from './source-names.js';
import { decideUnique } from './unique.js';
import { decideZone } from './zone.js';

export interface Decision {
  refusals: Finding[];
  warnings: Finding[];
  needs: Needs;
}

/** Decides from recorded facts alone whether a run may start. Collects every reason, not the first. */
export function decide(config: Config, facts: Facts): Decision {
  const refusals: Finding[] = [];
  const warnings: Finding[] = [];
  const refuse: Report = (where, what, cure) => refusals.push({ where, what, cure });
  const warn: Report = (where, what, cure) => warnings.push({ where, what, cure });

  const unsuitable = unsuitableServer(facts.server);
  if (unsuitable) return { refusals: [unsuitable], warnings, needs: needsOf(config, facts) };
  const references = facts.live.some((table) => table.foreignKeys.length > 0);
  const { metadataLocksVisible, innodbVisible = true, sessionsVisible = true } = facts;
  const kills = config.cutOver.killBlockersAfterMs !== undefined;
  const needs = { references, metadataLocksVisible, innodbVisible, sessionsVisible, kills };
  decideServer(facts.server, facts.schema, needs, refuse, warn);
  const sizes = needsOf(config, facts);
  decideWriteSets(
    facts.server,
    sizes.tables.reduce((rows, table) => rows + table.rowsEstimate, 0),
    warn,
  );
  decideMoment(config, facts, refuse, warn);
  const missingToDefine = (definer: string) =>
    facts.definerProblems?.[definer] ?? rightToDefine(facts.server, definer);
  for (const table of config.tables) {
    const live = facts.live.find((candidate) => candidate.name === table.live);
    const source = sourceOf(facts.source, table.source);
    const lives = new Set(config.tables.map((candidate) => candidate.live));
    if (!live) refuse(table.live, `${facts.schema} has no such table`, 'create it, or correct tables[].live');
    else {
      decideLive(table, live, { lives, schema: facts.schema, missingToDefine }, refuse, warn);
      decideUnique(table, live, refuse, warn);
      decideZone(table, live, facts.server, refuse, warn);
      decideLocalKeys(table, live, facts.localKeys?.[table.live] ?? {}, refuse, warn);
    }
    if (source) decideSource(table, source, facts, refuse, warn);
    else if (facts.isView?.[table.live])
      refuse(
        table.source,
        'is a view, and a run reads tables: a view has no key along which it could be read in chunks',
        'name the table that the view reads',
      );
    else
      refuse(
        table.source,
        'the source has no such table, or the login may not see it',
        'correct tables[].source, or grant SELECT on it',
      );
    if (live && source) decideColumns(table, live, source, config.timeZone, refuse, warn);
    refusals.push(...claimedByOthers(config.pipeline, [table.live], facts.claims));
  }
  decideGroup(facts, refuse);
  if (facts.published && refusals.length === 0) {
    const next = freeze(config, facts, { runId: '', generation: 0, fingerprints: {} });
    decideMapping(config, next, facts.published, refuse, warn);
  }
  for (const [name, problem] of Object.entries(facts.assertionProblems ?? {}))
    refuse(
      `assertion "${name}"`,
      problem,
      'write a SELECT that returns what breaks it, with tables of the pipeline in braces, such as {invoice}',
    );
  if (facts.held !== null)
    refuse(
      config.pipeline,
      `the pipeline is held: ${facts.held}`,
      'see to that, then let it run again: stageswap release',
    );
  return { refusals, warnings, needs: sizes };
}

/** Whether the source can be read as of one moment. Unknown is not no: a run decides by trying. */
function decideMoment(config: Config, facts: Facts, refuse: Report, warn: Report): void {
  const { moment } = config.source;
  const where = 'source.moment';
  if (moment === 'fuzzy') {
    warn(
      where,
      'the source is not read as of one moment: what is published may be torn, such as an invoice from its lines, until the next run',
      'where the source allows a database snapshot or SNAPSHOT transactions, use auto',
    );
    for (const { live, key } of config.tables) {
      const columns = facts.live.find(({ name }) => name === live)?.columns ?? [];
      const set = columns.find(({ name, type }) => type === 'set' && key.includes(name));
      if (set)
        refuse(
          `${live}.${set.name}`,
          'is a SET in the key: a row cannot be asked for by it, as fuzzy does, since the source spells its members in any order',
          'use another moment, or another key',
        );
    }
    return;
  }
  const { snapshot, transaction } = facts.moments ?? { snapshot: null, transaction: null };
  const noSnapshot = snapshot !== null && !snapshot.possible;
  const noTransaction = transaction !== null && !transaction.possible;
  if (moment === 'snapshot' && noSnapshot)
    refuse(
      where,
      `no database snapshot can be made: ${snapshot.because}`,
      'grant the right, or set moment: auto',
    );
  if (noTransaction && (moment === 'transaction' || (moment === 'auto' && noSnapshot)))
    refuse(
      where,
      `the source cannot be read as of one moment: ${[noSnapshot ? snapshot.because : '', transaction.because].filter(Boolean).join('; ')}`,
      'ALTER DATABASE … SET ALLOW_SNAPSHOT_ISOLATION ON at the source, or let the login make database snapshots; where neither can be had, moment: fuzzy reads without one',
    );
}

function decideSource(
  table: TableConfig,
  source: SourceTable,
  facts: Facts,
  refuse: Report,
  warn: Report,
): void {
  const unreadable = facts.unreadable?.[table.live];
  if (unreadable !== undefined)
    refuse(
      table.source,
      `the source does not let the login read it: ${unreadable}`,
      'GRANT SELECT on it to the login',
    );
  const bad = facts.badKeys[table.live];
  if (bad && bad.nulls > 0)
    refuse(
      table.source,
      bad.nulls === 1 ? '1 row has NULL in the key' : `${bad.nulls} rows have NULL in the key`,
      'choose a key whose columns are never NULL',
    );
  if (bad && bad.doubled > 0)
    refuse(
      table.source,
      bad.doubled === 1
        ? '1 key stands in more than one row'
        : `${bad.doubled} keys stand in more than one row`,
      'choose a key that is unique at the source',
    );
  for (const silence of source.notSaid ?? [])
    warn(table.source, `the source does not say ${silence}`, 'nothing to do');
}

function decideGroup({ live, server }: Facts, refuse: Report): void {
  for (const table of live) if (server.restrictsForeignKeys) decideReferencedKeys(table, live, refuse);
  const cycle = tablesInCycle(live);
  if (cycle.length > 0)
    refuse(
      cycle.join(', '),
      'their foreign keys form a cycle, so that none can be published before its parents',
      'drop one of the keys',
    );
}
