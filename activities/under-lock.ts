import { Context } from '@temporalio/activity';
import { blockersText } from '../src/model/blockers.js';
import { StageswapError } from '../src/model/failures.js';
import { control } from '../src/model/names.js';
import type { RunSpec } from '../src/model/spec.js';
import { blockersOf, isHeldForBackup } from '../src/mysql/blockers.js';
import { Session } from '../src/mysql/connection.js';
import { lockWithBackOff } from '../src/mysql/lock.js';
import { relativesOf, triggersOf } from '../src/mysql/tables.js';
import { owner } from '../src/sql/control.js';
import { id, sql } from '../src/sql/text.js';
import { type Dependencies, target } from './context.js';

/** Whose lock it is, and what asking for it goes by. */
type Locking = Pick<RunSpec, 'pipeline' | 'generation' | 'cutOver'>;

/**
 * DDL on live: only with live locked, the fence held, and the generation checked; the lock is asked for in short attempts. Tables that
 * foreign keys tie to live are named, too. MySQL locks them anyway, after live; those that are named it locks in the order of their names,
 * as at the cut-over, so that clients which write them in that order are the victims of no deadlock (1213).
 */
export async function underLock(
  dependencies: Dependencies,
  session: Session,
  spec: Locking,
  tables: string[],
  work: () => Promise<void>,
  { owned } = { owned: true },
): Promise<void> {
  const watchdog = await Session.open(target(dependencies.config(spec.pipeline)));
  const { lockAttemptMsMax, attemptsMax } = spec.cutOver;
  const { cancellationSignal: signal } = Context.current();
  try {
    const relatives = await relativesOf(session, tables);
    await session.run(sql`SET SESSION lock_wait_timeout = 1`); // should the watchdog be gone
    const locks = await lockWithBackOff(
      session,
      watchdog,
      [
        ...tables.map((name) => ({ name, mode: 'WRITE' as const })),
        ...relatives.map((name) => ({ name, mode: 'READ' as const })),
        { name: control.pipeline, mode: 'READ' as const },
      ],
      { attemptMs: lockAttemptMsMax, attemptsMax },
      {
        before: async () => {
          signal.throwIfAborted();
          return (await isHeldForBackup(watchdog)) ? false : undefined;
        },
        locked: async () => {
          const owners = await session.rows(owner(spec.pipeline, spec.generation));
          if (owned && owners.length === 0)
            throw new StageswapError('Fenced', `a newer run of ${spec.pipeline} owns ${tables[0]}`);
          await work();
        },
      },
    );
    if (locks.granted) return;
    const ours = [session.threadId, watchdog.threadId];
    const blockers = await blockersOf(watchdog, tables, ours, locks.awaited);
    throw new StageswapError(
      'LockNotGranted',
      `no lock on ${tables[0]} within ${attemptsMax} attempts: ${blockersText(blockers)}. End such transactions, or run again later.`,
    );
  } finally {
    await session.run(sql`SET SESSION lock_wait_timeout = 60`).catch(() => {});
    await watchdog.close();
  }
}

/** Drops triggers of live tables, each table's under its lock. @returns their names, by table */
export async function dropTriggers(
  dependencies: Dependencies,
  session: Session,
  spec: Locking,
  triggers: { name: string; on: string }[],
  options?: { owned: boolean },
): Promise<Map<string, string[]>> {
  const dropped = new Map<string, string[]>();
  for (const on of new Set(triggers.map((trigger) => trigger.on))) {
    const names = new Set(triggers.flatMap((trigger) => (trigger.on === on ? trigger.name : [])));
    const drop = async () => {
      for (const name of names) await session.run(sql`DROP TRIGGER IF EXISTS ${id(name)}`);
    };
    await underLock(dependencies, session, spec, [on], drop, options);
    dropped.set(on, [...names]);
  }
  return dropped;
}

/** Drops those of a live table that are this pipeline's own, whichever run owns it by now. */
export async function dropOwnTriggers(
  dependencies: Dependencies,
  session: Session,
  spec: Locking,
  live: string,
  isOwn: (trigger: string) => boolean,
): Promise<void> {
  const own = (await triggersOf(session, live)).filter(isOwn);
  const triggers = own.map((name) => ({ name, on: live }));
  await dropTriggers(dependencies, session, spec, triggers, { owned: false });
}
