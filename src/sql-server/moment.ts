import mssql from 'mssql';
import { StageswapError } from '../model/failures.js';
import { lowerCase, text } from './catalogue.js';
import { errorNumber, quoted } from './connection.js';

/**
 * One moment of the source: a database snapshot that all workers share, or one SNAPSHOT transaction.
 * Which one is decided by trying: the catalogue does not say all that a snapshot may fail on.
 */

const DATABASE_EXISTS = 1801;

/**
 * Makes the run's database snapshot, or finds the one that an earlier attempt of this run made.
 * @throws the server's own error where a snapshot cannot be had: no file names, no right, another engine
 */
export async function createDatabaseSnapshot(
  pool: mssql.ConnectionPool,
  database: string,
  snapshot: string,
): Promise<void> {
  const files = await pool
    .request()
    .query("SELECT name, physical_name FROM sys.database_files WHERE type_desc = 'ROWS'");
  const list = lowerCase(files.recordset).map((file) => {
    const path = text(file.physical_name);
    if (path === '')
      throw new StageswapError('Refused', `the source does not say where ${database} keeps its files`);
    const name = text(file.name);
    const folder = path.replace(/[^/\\]*$/, '');
    return `(NAME = ${quoted(name)}, FILENAME = N'${`${folder}${snapshot}_${name}.ss`.replaceAll("'", "''")}')`;
  });
  if (list.length === 0) throw new StageswapError('Refused', `the source shows no files of ${database}`);
  try {
    await pool
      .request()
      .batch(`CREATE DATABASE ${quoted(snapshot)} ON ${list.join(', ')} AS SNAPSHOT OF ${quoted(database)}`);
  } catch (error) {
    if (errorNumber(error) !== DATABASE_EXISTS) throw error;
  }
}

/** Names of the databases that begin with `prefix`, as far as the login may see them. */
export async function databasesNamed(pool: mssql.ConnectionPool, prefix: string): Promise<string[]> {
  const databases = await pool.request().query('SELECT name FROM sys.databases');
  return lowerCase(databases.recordset)
    .map(({ name }) => text(name))
    .filter((name) => name.startsWith(prefix));
}

/** Drops a database snapshot of a run. The caller has seen that it is there. */
export async function dropDatabaseSnapshot(pool: mssql.ConnectionPool, snapshot: string): Promise<void> {
  await pool.request().batch(`DROP DATABASE ${quoted(snapshot)}`);
}

/**
 * Begins a SNAPSHOT transaction and fixes its moment by a first read, since SNAPSHOT begins there and not at BEGIN.
 * @throws {StageswapError} Refused: the database does not allow it (3952)
 */
export async function beginSnapshotTransaction(
  pool: mssql.ConnectionPool,
  firstRead: string,
): Promise<mssql.Transaction> {
  const transaction = new mssql.Transaction(pool);
  transaction.on('rollback', () => {});
  await transaction.begin(mssql.ISOLATION_LEVEL.SNAPSHOT);
  try {
    await new mssql.Request(transaction).query(firstRead);
  } catch (error) {
    await transaction.rollback().catch(() => {});
    if (errorNumber(error) === 3952) {
      throw new StageswapError(
        'Refused',
        'The source allows neither a database snapshot nor SNAPSHOT transactions, so its tables cannot be read as of one moment. Run ALTER DATABASE … SET ALLOW_SNAPSHOT_ISOLATION ON at the source.',
        { cause: error },
      );
    }
    throw error;
  }
  return transaction;
}
