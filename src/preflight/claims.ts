import { triggerNameOf } from '../model/names.js';
import type { Finding } from './finding.js';

/** A row of `_stageswap_claim`: this pipeline publishes this live table. */
export interface Claim {
  live: string;
  pipeline: string;
}

/** Why the pipeline cannot publish its tables beside what other pipelines of the schema claim. */
export function claimedByOthers(pipeline: string, lives: string[], claims: Claim[]): Finding[] {
  const ofOthers = claims.filter((claim) => claim.pipeline !== pipeline);
  return lives.flatMap((live) =>
    ofOthers.flatMap((claim): Finding[] => {
      const free = 'it is free when that one has published twice without it';
      if (claim.live === live) {
        const cure = `a table belongs to one pipeline: take it out of one of them; ${free}`;
        return [{ where: live, what: `pipeline ${claim.pipeline} publishes this table`, cure }];
      }
      if (triggerNameOf(claim.live) !== triggerNameOf(live)) return [];
      const what = `pipeline ${claim.pipeline} publishes ${claim.live}: MySQL ignores case and accents in names of triggers, so both tables would need the same`;
      return [{ where: live, what, cure: `rename one of the two, or take it out of its pipeline; ${free}` }];
    }),
  );
}
