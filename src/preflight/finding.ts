/** One reason: what is wrong, where, and the cure. */
export interface Finding {
  what: string;
  where: string;
  cure: string;
}

/** Collects reasons while a decision is made; the decision stays a pure function of the facts. */
export type Report = (where: string, what: string, cure: string) => void;
