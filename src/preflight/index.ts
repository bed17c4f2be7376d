import type { Config } from '../config/load.js';
import { errorNumber } from '../mysql/errors.js';
import { type Decision, decide } from './decide.js';
import { type Facts, gatherFacts } from './facts.js';
import { type Rehearsal, rehearse } from './rehearse.js';
import { tooWide } from './width.js';

/** Gathers facts from both sides and decides. Changes nothing. */
export async function preflight(config: Config): Promise<Decision> {
  return decide(config, await gatherFacts(config));
}

/** What `check` says beyond the decision. */
export interface Check extends Decision {
  /** how a run would read the source, as far as can be told without making a snapshot; a run decides by trying */
  moment: { expected: 'snapshot' | 'transaction' | 'fuzzy' | 'none'; because?: string };
  /** tables of live that are empty, and tables of the source that are: a first publish asks about these */
  empty: { live: string[]; source: string[] };
  /** absent if it was not asked for, or if something is refused */
  rehearsal?: Rehearsal;
}

/**
 * Preflight, with what a run will need. A rehearsal makes empty tables and drops them again; nothing else is touched.
 *
 * @param options.rehearse whether to make empty tables at all: MySQL's limits are tried, and the cut-over is rehearsed. Only done
 *   where nothing else is refused
 */
export async function check(config: Config, options: { rehearse: boolean }): Promise<Check> {
  const facts = await gatherFacts(config, { thorough: true });
  const decision = decide(config, facts);
  const found: Check = {
    ...decision,
    moment: momentToExpect(config, facts),
    empty: { live: named(facts.liveIsEmpty), source: named(facts.sourceIsEmpty ?? {}) },
  };
  if (!options.rehearse || decision.refusals.length > 0) return found;
  try {
    return await tried(config, facts, found);
  } catch (error) {
    if (errorNumber(error) === undefined) throw error;
    const refusal = {
      where: 'target',
      what: `MySQL does not let empty tables like those of a run be made, swapped and dropped: ${(error as Error).message}`,
      cure: 'see what MySQL says, where it waited for a lock who holds one (LOCK INSTANCE FOR BACKUP is one), and check again: a run needs the same',
    };
    return { ...found, refusals: [...found.refusals, refusal] };
  }
}

/** What empty tables tell: whether MySQL makes them, and how long their swap takes. */
async function tried(config: Config, facts: Facts, found: Check): Promise<Check> {
  const refusals = await tooWide(config, facts);
  if (refusals.length > 0) return { ...found, refusals };
  const rehearsal = await rehearse(config, facts);
  const { heldMsMax } = config.cutOver;
  const warnings = [...found.warnings];
  if (rehearsal.heldMs > heldMsMax)
    warnings.push({
      where: 'cutOver.heldMsMax',
      what: `the cut-over of empty tables holds the lock for ${rehearsal.heldMs} ms, more than the ${heldMsMax} ms that are allowed`,
      cure: 'publish fewer tables together, run at a quieter time, or raise the limit',
    });
  return { ...found, warnings, rehearsal };
}

const named = (flags: Record<string, boolean>) =>
  Object.entries(flags).flatMap(([name, flag]) => (flag ? [name] : []));

/** How the source is read as of one moment: by a snapshot where configuration and source allow it, else in one transaction. */
export function momentToExpect(config: Config, facts: Facts): Check['moment'] {
  const { snapshot, transaction } = facts.moments ?? { snapshot: null, transaction: null };
  const configured = config.source.moment;
  if (configured === 'fuzzy') return { expected: 'fuzzy' };
  if (configured !== 'transaction' && snapshot?.possible) return { expected: 'snapshot' };
  const because =
    snapshot && !snapshot.possible && configured !== 'transaction' ? { because: snapshot.because } : {};
  if (configured !== 'snapshot' && transaction?.possible) return { expected: 'transaction', ...because };
  return { expected: 'none', ...because };
}
