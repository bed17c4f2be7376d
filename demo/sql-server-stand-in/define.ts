/** CREATE, ALTER, DROP and TRUNCATE of tables, indexes, schemas and databases. */
import { type Database, quote } from './catalogue.js';
import { notSupported, SqlError } from './errors.js';
import type { Session } from './session.js';
import { readOnly } from './tsql/changes.js';
import { alterTable, createIndex, createTable, dropTable, existing } from './tsql/definitions.js';
import { skipHints } from './tsql/from.js';
import { closing, splitCommas, type Token } from './tsql/lexer.js';
import { readChain, type Translation } from './tsql/scope.js';
import { type Change, placeOf } from './tsql/table-parts.js';

/** Runs one defining statement. */
export async function define(session: Session, tokens: readonly Token[]): Promise<void> {
  const words = tokens.map((token) => token.word);
  const { standIn } = session;
  const t: Translation = { names: session, databasesRead: new Set() };
  const nextObjectId = (): number => standIn.catalogue.nextObjectId();
  const apply = async (database: Database | undefined, change: Change): Promise<void> => {
    if (database?.source) throw readOnly(database);
    await session.writing(database, async () => {
      for (const sql of change.statements) await session.connection.run(sql);
      change.apply();
    });
  };
  if (words[1] === 'DATABASE') return defineDatabase(session, tokens);
  const ifExists = words[2] === 'IF' && words[3] === 'EXISTS';
  const nameAt = ifExists ? 4 : 2;
  if (words[0] === 'TRUNCATE') {
    const place = placeOf(readChain(tokens, 2).parts, t, session.temporary);
    const table = existing(place, readChain(tokens, 2).parts, 4701);
    return apply(place.database, { statements: [`DELETE FROM ${table.stored}`], apply: () => {} });
  }
  if (words[1] === 'TABLE') {
    if (words[0] === 'DROP') {
      for (const part of splitCommas(tokens.slice(nameAt))) {
        const place = placeOf(readChain(part, 0).parts, t, session.temporary);
        await apply(place.database, dropTable(place, { ifExists }));
      }
      return;
    }
    const { parts, next } = readChain(tokens, 2);
    const place = placeOf(parts, t, session.temporary);
    if (words[0] === 'CREATE')
      return apply(
        place.database,
        createTable(place, tokens.slice(next + 1, closing(tokens, next)), t, nextObjectId),
      );
    return apply(
      place.database,
      alterTable(place, parts, tokens.slice(skipHints(tokens, next)), t, nextObjectId),
    );
  }
  if (words[1] === 'SCHEMA') {
    const name = tokens[nameAt]?.text ?? '';
    const { database } = session;
    const known = database.schemas.has(name.toLowerCase());
    if (words[0] === 'DROP') {
      if (!known && ifExists) return;
      return apply(database, {
        statements: [`DROP SCHEMA ${quote(database.name)}.${quote(name)}`],
        apply: () => database.schemas.delete(name.toLowerCase()),
      });
    }
    if (known) throw new SqlError(2714, 16, 6, `There is already an object named '${name}' in the database.`);
    return apply(database, {
      statements: [`CREATE SCHEMA ${quote(database.name)}.${quote(name)}`],
      apply: () => database.schemas.set(name.toLowerCase(), { id: 4 + database.schemas.size, name }),
    });
  }
  if (words[0] === 'CREATE' && /^(UNIQUE|CLUSTERED|NONCLUSTERED|INDEX)$/.test(words[1] ?? '')) {
    const change = createIndex(tokens, t, session.temporary);
    return apply(change.place.database, change);
  }
  if (words[0] === 'DROP' && words[1] === 'INDEX') {
    const on = words.indexOf('ON');
    const place = placeOf(readChain(tokens, on + 1).parts, t, session.temporary);
    const table = existing(place, [place.name]);
    const at = table.indexes.findIndex(
      (index) => index.name.toLowerCase() === tokens[on - 1]?.text.toLowerCase(),
    );
    const index = table.indexes[at];
    if (!index)
      throw new SqlError(
        3701,
        11,
        7,
        `Cannot drop the index '${tokens[on - 1]?.text}', because it does not exist or you do not have permission.`,
      );
    const path = place.database ? `${quote(place.database.name)}.${quote(place.schema)}.` : 'temp.main.';
    return apply(place.database, {
      statements: index.unique ? [`DROP INDEX IF EXISTS ${path}${quote(`${place.name} ${index.name}`)}`] : [],
      apply: () => table.indexes.splice(at, 1),
    });
  }
  throw notSupported(`${tokens[0]?.text} ${tokens[1]?.text ?? ''}`);
}

async function defineDatabase(session: Session, tokens: readonly Token[]): Promise<void> {
  const words = tokens.map((token) => token.word);
  const { standIn } = session;
  if (session.transaction)
    throw new SqlError(
      226,
      16,
      5,
      `${words[0]} DATABASE statement not allowed within multi-statement transaction.`,
    );
  if (words[0] === 'CREATE') {
    const name = tokens[2]?.text ?? '';
    const as = words.findIndex((word, i) => word === 'AS' && words[i + 1] === 'SNAPSHOT');
    if (as >= 0) {
      if (words[3] !== 'ON') throw new SqlError(102, 15, 1, "Incorrect syntax near 'AS'.");
      return standIn.createSnapshot(name, tokens[as + 3]?.text ?? '');
    }
    await standIn.createDatabase(name);
    return;
  }
  if (words[0] === 'DROP') {
    const ifExists = words[2] === 'IF';
    for (const part of splitCommas(tokens.slice(ifExists ? 4 : 2)))
      await standIn.dropDatabase(part[0]?.text ?? '', { ifExists, by: session });
    return;
  }
  const name = tokens[2]?.text ?? '';
  const database = words[2] === 'CURRENT' ? session.database : session.findDatabase(name);
  if (!database)
    throw new SqlError(
      5011,
      14,
      5,
      `User does not have permission to alter database '${name}', the database does not exist, or the database is not in a state that allows access checks.`,
    );
  if (words[3] !== 'SET') throw notSupported('ALTER DATABASE');
  const on = words[5] === 'ON';
  if (words[4] === 'ALLOW_SNAPSHOT_ISOLATION') database.allowSnapshot = on;
  else if (words[4] === 'READ_COMMITTED_SNAPSHOT') database.readCommittedSnapshot = on;
  else if (!/^(SINGLE_USER|MULTI_USER|RECOVERY|AUTO_\w+)$/.test(words[4] ?? ''))
    throw notSupported(`ALTER DATABASE SET ${tokens[4]?.text ?? ''}`);
}
