import { type MySqlEngine, startMySql } from './mysql.js';
import { type SqlServerEngine, startSqlServer } from './sql-server.js';
import { startTemporal, type TemporalEngine } from './temporal.js';

export type { MySqlEngine, SqlServerEngine, TemporalEngine };

export interface Engines {
  mysql: MySqlEngine;
  temporal: TemporalEngine;
  sqlServer: SqlServerEngine;
  stop(): Promise<void>;
}

/**
 * Starts the engines side by side; if one cannot be had, the others are stopped again.
 *
 * @param options.mysql,temporal,sqlServer false leaves that engine out; asking for it afterwards throws
 * @param options.databases of the stand-in; the first one is in the address
 */
export async function startEngines(options: {
  say: (line: string) => void;
  mysql?: boolean;
  temporal?: boolean;
  sqlServer?: boolean;
  databases?: string[];
}): Promise<Engines> {
  const { say, databases = ['stageswap_demo_billing'] } = options;
  const [mysql, temporal, sqlServer] = await Promise.allSettled([
    options.mysql === false ? undefined : startMySql(say),
    options.temporal === false ? undefined : startTemporal(say),
    options.sqlServer === false ? undefined : startSqlServer(say, { databases }),
  ]);
  const all = [mysql, temporal, sqlServer];
  const stop = async () => {
    await Promise.all(
      all.map((engine) => (engine.status === 'fulfilled' ? engine.value?.stop() : undefined)),
    );
  };
  const reasons = all.flatMap((engine) =>
    engine.status === 'rejected' ? [(engine.reason as Error).message] : [],
  );
  if (reasons.length > 0) {
    await stop();
    throw new Error(reasons.join('\n'));
  }
  return {
    get mysql() {
      return wanted(mysql, 'MySQL');
    },
    get temporal() {
      return wanted(temporal, 'Temporal');
    },
    get sqlServer() {
      return wanted(sqlServer, 'SQL Server');
    },
    stop,
  };
}

function wanted<T>(engine: PromiseSettledResult<T | undefined>, name: string): T {
  if (engine.status === 'fulfilled' && engine.value) return engine.value;
  throw new Error(`${name} was not started: it was left out`);
}
