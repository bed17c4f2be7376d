import type { Point } from './plan.js';

/** What a worker tells of a statement; see fail-points.mjs. */
export interface Told {
  id: number;
  activity: string;
  attempt: number;
  side: 'before' | 'after';
  engine: 'mysql' | 'source' | 'temporal';
  text: string;
  port?: number;
  waits: boolean;
}

const KINDS: Record<string, string> = {
  n: 'base',
  s: 'stage',
  l: 'log',
  k: 'replay keys',
  o: 'backup',
  t: 'first touches',
  h: 'held-back keys',
  w: 'work keys',
  m: 'merged rows',
};

/** A statement's name: its verb and the table it is about, without generation and values. */
export function nameOf({ text, engine }: Pick<Told, 'text' | 'engine'>): string {
  const plain = text.trim().replaceAll(/\s+/g, ' ');
  const verb =
    /^(CREATE (?:TABLE|TRIGGER|DATABASE)|DROP (?:TABLE|TRIGGER|DATABASE)|LOCK TABLES|UNLOCK TABLES|RENAME TABLE|ALTER TABLE|LOAD DATA|START TRANSACTION|SET|KILL QUERY|\w+)/i
      .exec(plain)?.[1]
      ?.toUpperCase() ?? '?';
  if (engine === 'source') return `source ${verb}`;
  if (engine === 'temporal') return verb;
  const run = /`?_ss(?:_at)?_?\d+([a-z])?(?:[a-z]?)_\w+`?/.exec(plain)?.[1];
  const about =
    (run && KINDS[run]) ??
    /`?_stageswap_(\w+)`?/.exec(plain)?.[1] ??
    /information_schema\.(\w+)|performance_schema\.(\w+)/i.exec(plain)?.slice(1).find(Boolean) ??
    (/`(customer|invoice|line)`/.test(plain) ? 'live' : '');
  return `${verb} ${about}`.trim();
}

export interface Armed {
  at: Point;
  /** does what is wanted while the worker stands at the point; what it gives back is thrown there */
  strike: (told: Told, worker: number) => Promise<{ errno: number; message: string } | undefined>;
  /** strikes once, unless it says otherwise */
  again?: () => boolean;
}

/** The same work under a second name, by which workflows keep it from workers of an older version. */
const WORK_OF: Record<string, string> = { ingestWhilePlanned: 'ingestChunks' };

/** Counts the fail points of a command over all workers, and strikes at those that are armed. */
export class FailPoints {
  #armed: { fault: Armed; seen: number }[] = [];
  #waiters: { until: number; go: () => void }[] = [];
  passed = 0;
  /** every point by its name, in the order in which each came first */
  readonly names = new Map<string, number>();

  /** Activities at whose points workers have to wait for an answer. */
  get activities(): string[] {
    return [...new Set(this.#armed.map(({ fault }) => fault.at.activity))];
  }

  arm(faults: Armed[]): void {
    this.#armed = faults.map((fault) => ({ fault, seen: 0 }));
    this.passed = 0;
  }
  disarm(): void {
    this.#armed = [];
    for (const { go } of this.#waiters.splice(0)) go();
  }

  /** A worker stands at a point, or has passed it. @returns what is thrown there, if anything */
  async reached(point: Told, worker: number): Promise<{ errno: number; message: string } | undefined> {
    const told = { ...point, activity: WORK_OF[point.activity] ?? point.activity };
    this.passed += 1;
    for (const waiter of this.#waiters.filter(({ until }) => until <= this.passed)) waiter.go();
    this.#waiters = this.#waiters.filter(({ until }) => until > this.passed);
    const name = `${told.activity}: ${nameOf(told)}, ${told.side}`;
    this.names.set(name, (this.names.get(name) ?? 0) + 1);
    if (!told.waits) return undefined;
    for (const one of [...this.#armed]) {
      const { at, again, strike } = one.fault;
      if (at.activity !== told.activity || at.side !== told.side) continue;
      // a point without a name is one of the statements
      if (at.statement === undefined && told.engine === 'temporal') continue;
      if (at.statement !== undefined && !nameOf(told).startsWith(at.statement)) continue;
      one.seen += 1;
      if (one.seen < at.nth) continue;
      if (one.seen > at.nth && !again?.()) continue;
      return strike(told, worker);
    }
    return undefined;
  }

  /** As `after`, but for no longer than some milliseconds: where a run stands still, others go on slowly. */
  async pace(points: number, msMax: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const slowly = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, msMax);
    });
    await Promise.race([this.after(points), slowly]);
    clearTimeout(timer);
  }

  /** Resolves when so many more points have been passed, or the command has ended. */
  after(points: number): Promise<void> {
    return new Promise((resolve) => this.#waiters.push({ until: this.passed + points, go: resolve }));
  }
}
