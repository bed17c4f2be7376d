import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import type mssql from 'mssql';
import mysql from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { createActivities } from '../activities/index.js';
import { parseMssqlAddress } from '../src/config/address.js';
import { parseConfig } from '../src/config/load.js';
import { control } from '../src/model/names.js';
import { openSource } from '../src/sql-server/connection.js';

/** Rows with a value that live cannot hold are set aside, live keeps its version of them, and they are tried in every run. */
const SCHEMA = 'stageswap_test_quarantine';
const target = new URL(inject('mysqlUrl'));
target.pathname = `/${SCHEMA}`;
let billing: mssql.ConnectionPool;
let application: mysql.Connection;
const environment = new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') });

beforeAll(async () => {
  const address = parseMssqlAddress(inject('mssqlUrl'));
  billing = await openSource(address);
  await billing.request().batch(`ALTER DATABASE [${address.database}] SET ALLOW_SNAPSHOT_ISOLATION ON`);
  const server = await mysql.createConnection(inject('mysqlUrl'));
  await server.query(`DROP DATABASE IF EXISTS ${SCHEMA}`);
  await server.query(`CREATE DATABASE ${SCHEMA} CHARACTER SET utf8mb4`);
  await server.end();
  application = await mysql.createConnection({ uri: target.href, charset: 'utf8mb4' });
});
afterAll(async () => {
  await application?.end();
  await billing?.close();
});

/** A pipeline of two tables with rows on both sides, published once. */
async function published(name: string, badRowsMax: number, badRows = 'quarantine') {
  const batch = (text: string) => billing.request().batch(text);
  await batch(`DROP TABLE IF EXISTS dbo.${name}_line`);
  await batch(`DROP TABLE IF EXISTS dbo.${name}_bill`);
  await batch(
    `CREATE TABLE dbo.${name}_bill (Id int NOT NULL PRIMARY KEY, Name nvarchar(40) NULL, Due datetime2(0) NULL, Amount decimal(18,4) NULL)`,
  );
  await batch(`CREATE TABLE dbo.${name}_line (Id int NOT NULL PRIMARY KEY, BillId int NOT NULL)`);
  const rows = Array.from({ length: 300 }, (_, index) => `(${index + 1}, N'n${index + 1}', '2024-05-06', 1)`);
  await batch(`INSERT INTO dbo.${name}_bill (Id, Name, Due, Amount) VALUES ${rows.join(', ')}`);
  await batch(`INSERT INTO dbo.${name}_line (Id, BillId) VALUES (1, 1), (2, 2)`);
  await application.query(
    `CREATE TABLE ${name}_bill (id INT PRIMARY KEY, name VARCHAR(10), due DATETIME, amount DECIMAL(10,2), note VARCHAR(20))`,
  );
  await application.query(
    `CREATE TABLE ${name}_line (id INT PRIMARY KEY, bill_id INT NOT NULL, CONSTRAINT ${name}_of FOREIGN KEY (bill_id) REFERENCES ${name}_bill (id))`,
  );
  const config = parseConfig(
    `
pipeline: ${name}
source: { url: "\${MSSQL_URL}", moment: transaction }
target: { url: "\${MYSQL_URL}" }
firstRun: source
approve: never
chunkRows: 100
badRows: ${badRows}
badRowsMax: ${badRowsMax}
tables:
  - { source: dbo.${name}_bill, live: ${name}_bill, key: [id], columns: { id: Id, name: Name, due: Due, amount: { from: Amount, owner: source } } }
  - { source: dbo.${name}_line, live: ${name}_line, key: [id], columns: { id: Id, bill_id: BillId } }
`,
    'stageswap.yaml',
    { MSSQL_URL: inject('mssqlUrl'), MYSQL_URL: target.href },
  );
  const activities = createActivities({ config: () => config });
  // biome-ignore lint/suspicious/noExplicitAny: the environment takes any activity
  const run = <R>(activity: (...input: any[]) => Promise<R>, ...input: unknown[]): Promise<R> =>
    environment.run(activity, ...input) as Promise<R>;
  let runs = 0;
  const publish = async (meanwhile: () => Promise<unknown> = async () => {}) => {
    runs += 1;
    const begun = await run(activities.begin, name, `${name}-${runs}`);
    await run(activities.prepare, begun);
    try {
      await run(activities.ingestTransaction, begun);
      await run(activities.capture, begun);
      for (const table of begun.tables) while (!(await run(activities.reconcile, begun, table)).finished);
      await run(activities.settle, begun);
      await run(activities.verify, begun);
      await run(activities.guard, begun);
      await meanwhile();
      await run(activities.replay, begun);
      const held = await run(activities.countHeldBack, begun);
      await run(activities.backup, begun);
      await run(activities.cutOver, begun);
      await run(activities.finalSync, begun);
      const counts = await run(activities.countConflicts, begun);
      await run(activities.end, begun, { outcome: 'published' });
      await run(activities.cleanup, begun);
      return { ...held[`${name}_bill`], conflicts: counts[`${name}_bill`] };
    } catch (error) {
      await run(activities.undo, begun);
      throw error;
    }
  };
  const bills = async (...keys: number[]) => {
    const [found] = await application.query<mysql.RowDataPacket[]>({
      sql: `SELECT id, name, amount, note FROM ${name}_bill WHERE id IN (?) ORDER BY id`,
      values: [keys],
      rowsAsArray: true,
    });
    return found as unknown as unknown[][];
  };
  await publish();
  return { publish, bills, batch };
}

describe('a row with a bad value', () => {
  it('keeps live’s version, edits made meanwhile included, and comes when it is corrected', async () => {
    const { publish, bills, batch } = await published('kept', 10);
    await batch("UPDATE dbo.kept_bill SET Name = N'much too long for it', Amount = 9 WHERE Id = 5"); // MySQL refuses it
    await batch("UPDATE dbo.kept_bill SET Due = '0900-01-01' WHERE Id IN (6, 150)"); // the conversion refuses it
    await batch("UPDATE dbo.kept_bill SET Name = N'good' WHERE Id = 7");
    await application.query("UPDATE kept_bill SET note = 'client' WHERE id = 6");
    const counts = await publish(() =>
      application.query("UPDATE kept_bill SET name = 'client' WHERE id = 5"),
    );
    expect(counts).toMatchObject({ quarantined: 3, conflicts: 3 });
    expect(await bills(5, 6, 7, 150)).toEqual([
      [5, 'client', '1.00', null],
      [6, 'n6', '1.00', 'client'],
      [7, 'good', '1.00', null],
      [150, 'n150', '1.00', null],
    ]);
    const [listed] = await application.query<mysql.RowDataPacket[]>(
      `SELECT row_key, kind, detail FROM ${control.conflict} WHERE pipeline = 'kept' AND live = 'kept_bill' ORDER BY JSON_VALUE(row_key, '$.id' RETURNING SIGNED)`,
    );
    expect(listed.map(({ row_key, kind, detail }) => [row_key.id, kind, detail.column])).toEqual([
      ['5', 'badValue', 'Name'],
      ['6', 'badValue', 'Due'],
      ['150', 'badValue', 'Due'],
    ]);

    await batch("UPDATE dbo.kept_bill SET Name = N'short', Due = '2024-01-01' WHERE Id IN (5, 6, 150)");
    await publish();
    expect(await bills(5, 6, 150)).toEqual([
      [5, 'client', '9.00', null], // both changed the name: live wins; the amount is the source's
      [6, 'short', '1.00', 'client'],
      [150, 'short', '1.00', null],
    ]);
  });

  it('holds back its children where it is new, and is never taken for gone', async () => {
    const { publish, bills, batch } = await published('new', 10);
    await batch("INSERT INTO dbo.new_bill (Id, Name, Due, Amount) VALUES (900, N'new', '0900-01-01', 1)");
    await batch('INSERT INTO dbo.new_line (Id, BillId) VALUES (9, 900)');
    await publish();
    expect(await bills(900)).toEqual([]);
    await batch("UPDATE dbo.new_bill SET Due = '2024-01-01' WHERE Id = 900");
    await batch("UPDATE dbo.new_bill SET Due = '0900-01-01' WHERE Id = 1");
    await publish();
    expect(await bills(1, 900)).toEqual([
      [1, 'n1', '1.00', null],
      [900, 'new', '1.00', null],
    ]);
    const [lines] = await application.query('SELECT id FROM new_line ORDER BY id');
    expect(lines).toEqual([{ id: 1 }, { id: 2 }, { id: 9 }]);
  });

  it('is one that breaks a CHECK constraint of live by itself, however its clause is written', async () => {
    const { publish, bills, batch } = await published('broken', 10);
    await application.query(
      `ALTER TABLE broken_bill ADD CONSTRAINT broken_ok CHECK (amount > 0 AND name NOT LIKE '%it''s"é"?%')`,
    );
    await batch('UPDATE dbo.broken_bill SET Amount = -1 WHERE Id = 5');
    await batch("UPDATE dbo.broken_bill SET Name = N'it''s\"é\"?' WHERE Id = 150");
    await batch("UPDATE dbo.broken_bill SET Name = N'good' WHERE Id = 7");
    await batch("INSERT INTO dbo.broken_bill (Id, Name, Due, Amount) VALUES (900, N'new', '2024-01-01', 0)");
    await batch('INSERT INTO dbo.broken_line (Id, BillId) VALUES (9, 900)');
    expect(await publish()).toMatchObject({ quarantined: 3 });
    expect(await bills(5, 7, 150, 900)).toEqual([
      [5, 'n5', '1.00', null],
      [7, 'good', '1.00', null],
      [150, 'n150', '1.00', null],
    ]);
    const [listed] = await application.query<mysql.RowDataPacket[]>(
      `SELECT row_key, detail FROM ${control.conflict} WHERE pipeline = 'broken' AND kind = 'badValue' ORDER BY JSON_VALUE(row_key, '$.id' RETURNING SIGNED)`,
    );
    const said = {
      column: 'Name, Amount',
      reason: 'what CHECK constraint broken_ok of broken_bill does not allow',
    };
    expect(listed.map(({ row_key, detail }) => [row_key.id, detail])).toEqual([
      ['5', said],
      ['150', said],
      ['900', said],
    ]);
    await batch('UPDATE dbo.broken_bill SET Amount = 2 WHERE Id IN (5, 900)');
    await batch("UPDATE dbo.broken_bill SET Name = N'fine' WHERE Id = 150");
    await publish();
    expect(await bills(5, 150, 900)).toEqual([
      [5, 'n5', '2.00', null],
      [150, 'fine', '1.00', null],
      [900, 'new', '2.00', null],
    ]);
  });

  it('stops the run by default, and is named with its key and the constraint', async () => {
    const { publish, bills, batch } = await published('stopped', 1, 'stop');
    await application.query('ALTER TABLE stopped_bill ADD CONSTRAINT stopped_ok CHECK (amount > 0)');
    await batch('UPDATE dbo.stopped_bill SET Amount = -1 WHERE Id = 250');
    await expect(publish()).rejects.toThrow(
      "dbo.stopped_bill, key Id = 250, column Amount: a value has what CHECK constraint stopped_ok of stopped_bill does not allow. Correct it at the source, or change live's constraint.",
    );
    expect(await bills(250)).toEqual([[250, 'n250', '1.00', null]]);
  });

  it('stops the run when there are more than allowed', async () => {
    const { publish, bills, batch } = await published('many', 3);
    await batch("UPDATE dbo.many_bill SET Due = '0900-01-01' WHERE Id IN (1, 2, 150, 290)");
    await batch("UPDATE dbo.many_bill SET Name = N'good' WHERE Id = 7");
    await expect(publish()).rejects.toThrow('more than 3 rows have a value');
    expect(await bills(7)).toEqual([[7, 'n7', '1.00', null]]);
  });
});
