import { Random } from '../../demo/app/random.js';
import { campaignOf, drawShape } from './shape.js';

/** What happens in one run of the torture, drawn from its seed alone: commands, faults, and the moment of each. */

export const FAULTS = [
  /** SIGKILL of the worker that stands at the point; another one takes its place */
  'kill',
  /** SIGSTOP of it, and SIGCONT at a later moment */
  'stop',
  /** the statement is sent and carried out, and its sender's connection reset before the reply */
  'reset',
  /** its connection is reset before the statement is sent */
  'cut',
  /** every connection of the workers to MySQL is reset */
  'cutAll',
  'mysqlKill',
  'temporalKill',
  /** the source's connections are reset, or the next one after some bytes */
  'sourceCut',
  'latency',
  /** a client's open transaction holds rows and tables of the group */
  'lockHolder',
  /** a snapshot from before the swap that is read after it */
  'longReader',
  'migration',
  'pause',
  'abort',
  'cancel',
  /** the workflow is ended without a word, and repair restores order from what MySQL says */
  'terminate',
  /** a second run, and a rollback, while this one works: both must be refused */
  'secondRun',
  /** MySQL says that the disk is full, for some attempts */
  'diskFull',
  'truncatedSource',
  'doubledSource',
  /** nothing breaks: clients and billing go on while the worker stands still */
  'linger',
] as const;
export type FaultKind = (typeof FAULTS)[number];

/** A statement of an activity, the n-th that fits: `statement` is the beginning of what `nameOf` calls it. */
export interface Point {
  activity: string;
  side: 'before' | 'after';
  statement?: string;
  nth: number;
}

export interface Fault {
  kind: FaultKind;
  at: Point;
  /** clients' commits that pass while the worker stands at the point */
  commits: number;
  /** billing's transactions meanwhile */
  billing: number;
  /** of a stopped worker, a pause, a holder of locks: fail points until it goes on; the end of the command if it comes first */
  points: number;
}

export interface Step {
  command: 'publish' | 'rollback';
  faults: Fault[];
  /** billing's transactions before it */
  billing: number;
}

export interface Plan {
  seed: number;
  steps: Step[];
}

/** Activities of a publish in their order, with how many statements each has at least. */
const PUBLISH: Record<string, number> = {
  begin: 80,
  prepare: 38,
  openMoment: 9,
  planIngest: 30,
  ingestChunks: 45,
  ingestTransaction: 45,
  closeMoment: 4,
  capture: 50,
  reconcile: 60,
  settle: 80,
  verify: 15,
  countConflicts: 5,
  guard: 6,
  replay: 60,
  findOrphans: 5,
  countHeldBack: 11,
  backup: 8,
  cutOver: 150,
  finalSync: 9,
  closeConflicts: 12,
  cleanup: 38,
  end: 3,
  applyEdits: 60,
};
const ROLLBACK_ONLY: Record<string, number> = { beginRollback: 40 };
const NOT_IN_ROLLBACK = [
  'begin',
  'openMoment',
  'planIngest',
  'ingestChunks',
  'ingestTransaction',
  'closeMoment',
];
/** Statements of what restores order, at least. */
const MENDING = 12;

/** What sends no statement is struck as a whole, before it and when it is done. */
const BEFORE_THE_CUT_OVER: [activity: string, statement: string, nthMax: number][] = [
  ['rehearseCutOver', 'CREATE TABLE', 6],
  ['rehearseCutOver', 'ALTER TABLE', 4],
  ['rehearseCutOver', 'RENAME TABLE', 2],
  ['rehearseCutOver', 'DROP TABLE', 6],
  ['rehearseCutOver', 'ACTIVITY', 1],
];
/** Of campaigns that wait at the gate until what they have read is too old. */
const AT_THE_GATE: typeof BEFORE_THE_CUT_OVER = [
  ['nextWindowOf', 'ACTIVITY', 2],
  ['renew', 'SELECT', 12],
  ['renew', 'UPDATE run', 1],
  ['renew', 'COMMIT', 2],
  ['renew', 'ACTIVITY', 1],
  ['undo', 'COMMIT', 1],
  ['undo', 'DROP TABLE', 20],
];

/** Where it matters most: statements after which something is final. */
const DECISIVE: [activity: string, statement: string, nthMax: number][] = [
  ['begin', 'COMMIT', 1],
  ['ingestChunks', 'COMMIT', 3],
  ['ingestChunks', 'LOAD DATA', 3],
  ['ingestTransaction', 'COMMIT', 3],
  ['ingestTransaction', 'LOAD DATA', 3],
  ['capture', 'LOCK TABLES', 3],
  ['capture', 'CREATE TRIGGER', 9],
  ['reconcile', 'COMMIT', 4],
  ['settle', 'ALTER TABLE', 4],
  ['settle', 'COMMIT', 12],
  ['replay', 'COMMIT', 3],
  ['replay', 'UPDATE log', 3],
  ['replay', 'DELETE', 8],
  ['cutOver', 'LOCK TABLES', 2],
  ['cutOver', 'COMMIT', 4],
  ['cutOver', 'RENAME TABLE', 1],
  ['cutOver', 'RENAME TABLE', 1],
  ['cutOver', 'UNLOCK TABLES', 1],
  ['cutOver', 'ALTER TABLE', 6],
  ['finalSync', 'SELECT', 6],
  ['cleanup', 'DROP TRIGGER', 3],
  ['cleanup', 'DROP TABLE', 8],
  ['cleanup', 'COMMIT', 3],
  ['end', 'UPDATE run', 1],
];
const DECISIVE_IN_UNDO: [string, string, number][] = [
  ['undo', 'COMMIT', 1],
  ['undo', 'LOCK TABLES', 3],
  ['undo', 'DROP TRIGGER', 9],
  ['undo', 'DROP TABLE', 20],
  ['undo', 'DELETE', 2],
];

/** Statements for which stage, base or log grow. */
const WRITING: [activity: string, statement: string, nthMax: number][] = [
  ['prepare', 'CREATE TABLE', 3],
  ['ingestChunks', 'LOAD DATA', 3],
  ['ingestTransaction', 'LOAD DATA', 3],
  ['reconcile', 'INSERT', 3],
  ['settle', 'ALTER TABLE', 3],
  ['replay', 'INSERT', 3],
  ['cutOver', 'INSERT', 3],
];
const READING = ['openMoment', 'planIngest', 'ingestChunks', 'ingestTransaction'];
const ABORTABLE = [
  ...READING,
  ...['prepare', 'closeMoment', 'capture', 'reconcile', 'settle', 'verify', 'replay', 'backup', 'cutOver'],
];

const DECISIVE_IN_REPAIR: [string, string, number][] = [
  ['beginRepair', 'COMMIT', 1],
  ['beginRepair', 'INSERT run', 1],
  ['repairTriggers', 'SELECT', 5],
  ['repairTriggers', 'DROP TRIGGER', 4],
  ['repairRuns', 'LOCK TABLES', 2],
  ['repairRuns', 'DROP TABLE', 9],
  ['repairRuns', 'UPDATE run', 1],
  ['repairTables', 'SELECT', 5],
  ['repairTables', 'DROP TABLE', 4],
];

/** How often a fault of each kind is drawn. */
const WEIGHTS: Partial<Record<FaultKind, number>> = {
  kill: 6,
  stop: 6,
  reset: 6,
  cut: 2,
  cutAll: 2,
  mysqlKill: 3,
  temporalKill: 2,
  sourceCut: 2,
  latency: 1,
  lockHolder: 2,
  longReader: 2,
  migration: 1,
  pause: 2,
  abort: 3,
  cancel: 1,
  terminate: 4,
  secondRun: 1,
  diskFull: 1,
  truncatedSource: 1,
  doubledSource: 1,
  linger: 5,
};
const DRAWN = FAULTS.flatMap((kind) => Array<FaultKind>(WEIGHTS[kind] ?? 1).fill(kind));

/** Faults that end a run before its swap; what takes back is struck, too, then. */
const ABORTING = new Set<FaultKind>(['abort', 'cancel']);

export function drawPlan(seed: number): Plan {
  const random = new Random(seed * 104_729 + 11);
  const faults = () => {
    const dice = random.next();
    return dice < 0.6 ? 1 : dice < 0.9 ? 2 : 3;
  };
  const dice = random.next();
  // half of all runs strike the first publish; the others begin with a quiet one, and strike what comes then
  if (dice < 0.5) return { seed, steps: [drawStep(random, seed, 'publish', faults())] };
  const steps = [drawStep(random, seed, 'publish', 0)];
  if (dice > 0.9) steps.push(drawStep(random, seed, random.pick(['publish', 'rollback']), 0));
  steps.push(drawStep(random, seed, random.chance(0.6) ? 'publish' : 'rollback', faults()));
  return { seed, steps };
}

function drawStep(random: Random, seed: number, command: Step['command'], faults: number): Step {
  const known = activitiesOf(seed, command);
  const drawn: Fault[] = [];
  for (let index = 0; index < faults; index += 1) {
    const kind = random.pick(DRAWN);
    drawn.push(drawFault(random, kind, drawPoint(random, known, kind)));
    const mends = ABORTING.has(kind)
      ? DECISIVE_IN_UNDO
      : kind === 'terminate'
        ? DECISIVE_IN_REPAIR
        : undefined;
    if (mends && random.chance(0.6))
      drawn.push(
        drawFault(random, random.pick(['kill', 'stop', 'reset', 'mysqlKill']), drawMending(random, mends)),
      );
  }
  const billing = 1 + random.below(3);
  // drawn last: seeds from before these steps were struck keep what they had
  if (faults > 0 && command === 'publish') drawn.push(...drawBetween(random, seed));
  return { command, faults: drawn, billing };
}

/** Now and then what is between the merge and the cut-over is struck, too. */
function drawBetween(random: Random, seed: number): Fault[] {
  const waits = drawShape(campaignOf(seed)).sourceAgeSecondsMax !== undefined;
  if (!random.chance(waits ? 0.8 : 0.1)) return [];
  const kind = random.pick(['kill', 'stop', 'reset', 'mysqlKill', 'temporalKill', 'abort'] as const);
  const [activity, statement, nthMax] = random.pick(waits ? AT_THE_GATE : BEFORE_THE_CUT_OVER);
  const side = random.pick(['before', 'after'] as const);
  return [drawFault(random, kind, { activity, statement, side, nth: 1 + random.below(nthMax) })];
}

/** Activities that a command has, with how many statements each has at least. */
function activitiesOf(seed: number, command: Step['command']): Record<string, number> {
  const { moment } = drawShape(campaignOf(seed));
  const not = command === 'publish' ? [] : NOT_IN_ROLLBACK;
  const ingest = moment === 'transaction' ? ['planIngest', 'ingestChunks'] : ['ingestTransaction'];
  const all = Object.entries(command === 'publish' ? PUBLISH : { ...PUBLISH, ...ROLLBACK_ONLY });
  return Object.fromEntries(all.filter(([activity]) => ![...not, ...ingest].includes(activity)));
}

export function drawFault(random: Random, kind: FaultKind, at: Point): Fault {
  return {
    kind,
    at,
    commits: random.chance(0.5) ? 1 + random.below(kind === 'linger' ? 12 : 5) : 0,
    billing: random.chance(0.3) ? 1 : 0,
    points: 10 + random.below(300),
  };
}

function drawPoint(random: Random, known: Record<string, number>, kind: FaultKind): Point {
  const side = random.pick(['before', 'after'] as const);
  const among = (activities: string[]): [string, number][] =>
    Object.entries(known).filter(([activity]) => activities.includes(activity));
  const anywhere = (activities: [string, number][]): Point => {
    const [activity, statements] = random.pick(activities);
    return { activity, side, nth: 1 + random.below(statements) };
  };
  // an export breaks before it is read, and a source is cut where it is read
  if (kind === 'truncatedSource' || kind === 'doubledSource')
    return { activity: 'begin' in known ? 'prepare' : 'capture', side, nth: 1 };
  if (kind === 'sourceCut' && 'begin' in known) return anywhere(among(READING));
  // after the swap there is nothing to abort; some try it all the same
  if (ABORTING.has(kind) && random.chance(0.8)) return anywhere(among(ABORTABLE));
  const decisive = kind === 'diskFull' ? WRITING : DECISIVE;
  if (kind !== 'diskFull' && random.chance(0.5)) return anywhere(Object.entries(known));
  const [activity, statement, nthMax] = random.pick(decisive.filter(([name]) => name in known));
  return { activity, statement, side: kind === 'diskFull' ? 'before' : side, nth: 1 + random.below(nthMax) };
}

/** Where that is struck which restores order. */
function drawMending(random: Random, among: [string, string, number][]): Point {
  const side = random.pick(['before', 'after'] as const);
  const [activity, statement, nthMax] = random.pick(among);
  if (random.chance(0.3)) return { activity, side, nth: 1 + random.below(MENDING) };
  return { activity, statement, side, nth: 1 + random.below(nthMax) };
}
