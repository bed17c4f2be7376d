import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { Engine } from './process.js';

export interface SqlServerEngine {
  /** mssql://user:password@host:port/database?encrypt=… */
  url: string;
  /** the stand-in, not a SQL Server */
  standIn: boolean;
  owned: boolean;
  /** of the process that we started */
  pid: number | undefined;
  stop(): Promise<void>;
}

/**
 * SQL Server: the address in the environment, or the stand-in.
 *
 * @param options.owned one of our own: the address in the environment is passed over
 */
export async function startSqlServer(
  say: (line: string) => void,
  options: { databases: string[]; arguments?: string[]; owned?: boolean },
): Promise<SqlServerEngine> {
  const given = options.owned ? undefined : process.env.MSSQL_URL;
  if (given) {
    say(`SQL Server at ${new URL(given).host} (MSSQL_URL)`);
    return { url: given, standIn: false, owned: false, pid: undefined, stop: async () => {} };
  }
  const password = `P${randomBytes(12).toString('hex')}`;
  const main = fileURLToPath(new URL('../sql-server-stand-in/main.ts', import.meta.url));
  const engine = new Engine('the SQL Server stand-in', [
    process.execPath,
    '--import',
    'tsx',
    main,
    '--port',
    '0',
    '--user',
    'sa',
    '--password',
    password,
    ...options.databases.flatMap((name) => ['--database', name]),
    ...(options.arguments ?? []),
  ]);
  engine.spawn();
  let port = '';
  try {
    await engine.until(async () => {
      port = /listening on 127\.0\.0\.1:(\d+)/.exec(engine.output)?.[1] ?? '';
      return port !== '';
    });
  } catch (error) {
    await engine.stop('SIGKILL');
    throw error;
  }
  say(`a stand-in for SQL Server on port ${port} (no SQL Server: set MSSQL_URL to use a real one)`);
  return {
    url: `mssql://sa:${password}@127.0.0.1:${port}/${options.databases[0]}?encrypt=false`,
    standIn: true,
    owned: true,
    pid: engine.pid,
    stop: () => engine.stop(),
  };
}
