import type { Config } from '../config/load.js';
import { type Decision, decide } from './decide.js';
import { gatherFacts } from './facts.js';

/** Gathers facts from both sides and decides. Changes nothing. */
export async function preflight(config: Config): Promise<Decision> {
  return decide(config, await gatherFacts(config));
}
