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

/** Starts the three engines side by side; if one cannot be had, the others are stopped again. */
export async function startEngines(options: {
  say: (line: string) => void;
  databases?: string[];
}): Promise<Engines> {
  const databases = options.databases ?? ['stageswap_demo_billing'];
  const [mysql, temporal, sqlServer] = await Promise.allSettled([
    startMySql(options.say),
    startTemporal(options.say),
    startSqlServer(options.say, { databases }),
  ]);
  const stop = async () => {
    await Promise.all(
      [mysql, temporal, sqlServer].map((engine) =>
        engine.status === 'fulfilled' ? engine.value.stop() : undefined,
      ),
    );
  };
  if (mysql.status === 'fulfilled' && temporal.status === 'fulfilled' && sqlServer.status === 'fulfilled') {
    return { mysql: mysql.value, temporal: temporal.value, sqlServer: sqlServer.value, stop };
  }
  await stop();
  const reasons = [mysql, temporal, sqlServer].flatMap((engine) =>
    engine.status === 'rejected' ? [(engine.reason as Error).message] : [],
  );
  throw new Error(reasons.join('\n'));
}
