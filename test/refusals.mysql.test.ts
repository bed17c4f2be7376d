import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MockActivityEnvironment } from '@temporalio/testing';
import { execa } from 'execa';
import type { ConnectionPool } from 'mssql';
import mysql, { type Connection } from 'mysql2/promise';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createActivities } from '../activities/index.js';
import { type MySqlEngine, startMySql } from '../demo/engines/mysql.js';
import { type SqlServerEngine, startSqlServer } from '../demo/engines/sql-server.js';
import { parseMssqlAddress } from '../src/config/address.js';
import { type Config, parseConfig } from '../src/config/load.js';
import { StageswapError } from '../src/model/failures.js';
import { gatherFacts } from '../src/preflight/facts.js';
import { check, preflight } from '../src/preflight/index.js';
import { PRIVILEGES } from '../src/preflight/privileges.js';
import { openSource } from '../src/sql-server/connection.js';
import { ByHand, sourceTable } from './support/by-hand.js';

/**
 * What bad input gets, on real engines: facts are gathered and decided as a run does it. A MySQL of its own, since users
 * and global settings are changed. After each refusal the schema is looked at: nothing was touched.
 */
const SCHEMA = 'stageswap_test_refusals';
const OTHER = 'stageswap_test_refusals_other';
const DATABASE = 'stageswap_test_refusals';

let mysqlServer: MySqlEngine;
let sqlServer: SqlServerEngine;
let root: Connection;
let source: ConnectionPool;
let env: { MSSQL_URL: string; MYSQL_URL: string };

const YAML = `
pipeline: refusals
source: { url: "\${MSSQL_URL}" }
target: { url: "\${MYSQL_URL}" }
firstRun: source
tables:
  - source: dbo.Customer
    live: customer
    key: [customer_id]
    columns: { customer_id: CustomerId, name: Name, since: Since }
  - source: dbo.Invoice
    live: invoice
    key: [invoice_id]
    columns: { invoice_id: InvoiceId, customer_id: CustomerId }
`;
const configOf = (yaml = YAML, change: Partial<typeof env> = {}): Config =>
  parseConfig(yaml, 'stageswap.yaml', { ...env, ...change });
const refusals = async (config = configOf()) =>
  (await preflight(config)).refusals.map(({ where, what, cure }) => {
    expect(cure).not.toBe('');
    return `${where}: ${what}`;
  });
const address = (url: string, change: (url: URL) => void) => {
  const changed = new URL(url);
  change(changed);
  return changed.href;
};
/** The type and message of what preflight throws. */
async function thrown(config: Config): Promise<{ type: string; message: string }> {
  const error = await preflight(config).catch((failure: unknown) => failure);
  expect(error).toBeInstanceOf(StageswapError);
  const { type, message } = error as StageswapError;
  return { type, message };
}

beforeAll(async () => {
  [mysqlServer, sqlServer] = await Promise.all([
    startMySql(() => {}),
    startSqlServer(() => {}, { databases: [DATABASE] }),
  ]);
  root = await mysql.createConnection(mysqlServer.url);
  env = {
    MSSQL_URL: sqlServer.url,
    MYSQL_URL: address(mysqlServer.url, (url) => {
      url.pathname = `/${SCHEMA}`;
    }),
  };
  source = await openSource(parseMssqlAddress(sqlServer.url));
});
afterAll(async () => {
  await source?.close();
  for (const schema of [SCHEMA, OTHER]) await root?.query(`DROP DATABASE IF EXISTS ${schema}`);
  await root?.end();
  await Promise.all([mysqlServer?.stop(), sqlServer?.stop()]);
});
beforeEach(async () => {
  for (const statement of [
    `DROP DATABASE IF EXISTS ${OTHER}`,
    `DROP DATABASE IF EXISTS ${SCHEMA}`,
    `CREATE DATABASE ${OTHER}`,
    `CREATE DATABASE ${SCHEMA}`,
    `USE ${SCHEMA}`,
    'CREATE TABLE customer (customer_id BIGINT PRIMARY KEY, name VARCHAR(60), since DATE)',
    'CREATE TABLE invoice (invoice_id BIGINT PRIMARY KEY, customer_id BIGINT, CONSTRAINT invoice_customer FOREIGN KEY (customer_id) REFERENCES customer (customer_id))',
  ])
    await root.query(statement);
  for (const statement of [
    'DROP TABLE IF EXISTS dbo.Customer',
    'DROP TABLE IF EXISTS dbo.Invoice',
    'CREATE TABLE dbo.Customer (CustomerId bigint NOT NULL PRIMARY KEY, Name nvarchar(60) NULL, Since date NULL)',
    'CREATE TABLE dbo.Invoice (InvoiceId bigint NOT NULL PRIMARY KEY, CustomerId bigint NULL)',
    "INSERT INTO dbo.Customer (CustomerId, Name) VALUES (1, N'Ada')",
    'INSERT INTO dbo.Invoice (InvoiceId, CustomerId) VALUES (10, 1)',
    `ALTER DATABASE [${DATABASE}] SET ALLOW_SNAPSHOT_ISOLATION ON`,
  ])
    await source.request().batch(statement);
});
afterEach(async () => {
  const [left] = await root.query(
    `SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema IN (?, ?) AND table_name LIKE '\\_s%' AND table_name <> '_ssl_child'`,
    [SCHEMA, OTHER],
  );
  expect(left, 'nothing was touched').toEqual([]);
});

describe('an engine', () => {
  it('is looked at and found well where nothing is wrong', async () => {
    expect(await preflight(configOf())).toMatchObject({ refusals: [], warnings: expect.any(Array) });
    expect(await gatherFacts(configOf())).toMatchObject({
      liveIsEmpty: { customer: true, invoice: true },
      sourceIsEmpty: { customer: false, invoice: false },
      moments: { snapshot: { possible: true }, transaction: { possible: true } },
    });
  });

  it('whose keys reach into the range of the application is refused, by check and by a run alike', async () => {
    const from = (key: string) =>
      configOf(YAML.replace('live: invoice', `live: invoice\n    localKeys: { from: "${key}" }`));
    for (const key of ['10', '-5', '9'])
      expect(await refusals(from(key)), key).toContain(
        `dbo.Invoice: has the key 10, in the range that localKeys gives to the application (from ${key})`,
      );
    for (const key of ['11', '99999999999999999999']) expect(await refusals(from(key)), key).toEqual([]);
  });

  it.each([
    ['MySQL', 'MYSQL_URL'],
    ['SQL Server', 'MSSQL_URL'],
  ] as const)(
    '%s that does not answer is told with its address, and without the password',
    async (name, variable) => {
      const elsewhere = address(env[variable], (url) => {
        url.port = '1';
        url.username = 'billing';
        url.password = 'hidden-7';
      });
      const { type, message } = await thrown(configOf(YAML, { [variable]: elsewhere }));
      expect(type).toBe('Unreachable');
      expect(message).toContain(`${name} at 127.0.0.1:1 does not answer`);
      expect(message).not.toContain('hidden-7');
    },
  );

  it.each([
    ['MySQL', 'MYSQL_URL'],
    ['SQL Server', 'MSSQL_URL'],
  ] as const)('%s refuses a wrong password, and what to do is said', async (name, variable) => {
    const wrong = address(env[variable], (url) => {
      url.password = 'wrong-7';
      if (name === 'MySQL') url.username = 'nobody';
    });
    const { type, message } = await thrown(configOf(YAML, { [variable]: wrong }));
    expect(type).toBe('Refused');
    expect(message).toMatch(/refuses the login:.*Check user, password and/);
    expect(message).not.toContain('wrong-7');
  });

  it.each([
    ['MySQL', 'MYSQL_URL'],
    ['SQL Server', 'MSSQL_URL'],
  ] as const)('%s without the database is told', async (_, variable) => {
    const wrong = address(env[variable], (url) => {
      url.pathname = '/stageswap_test_nowhere';
    });
    const { type, message } = await thrown(configOf(YAML, { [variable]: wrong }));
    expect(type).toBe('Refused');
    expect(message).toContain('stageswap_test_nowhere');
  });
});

describe('of live, preflight refuses', () => {
  it.each<[string, string[], string]>([
    ['a missing table', ['DROP TABLE invoice'], `invoice: ${SCHEMA} has no such table`],
    ['a missing column', ['ALTER TABLE customer DROP COLUMN name'], 'customer.name: live has no such column'],
    [
      'a view',
      [
        'DROP TABLE invoice',
        'CREATE VIEW invoice AS SELECT customer_id AS invoice_id, customer_id FROM customer',
      ],
      'invoice: is a VIEW',
    ],
    ['a table with no primary key', ['ALTER TABLE invoice DROP PRIMARY KEY'], 'invoice: has no primary key'],
    [
      'another primary key',
      ['ALTER TABLE invoice DROP PRIMARY KEY, ADD PRIMARY KEY (invoice_id, customer_id)'],
      'invoice: key is invoice_id, but the primary key is invoice_id, customer_id',
    ],
    [
      "a key over a column's beginning",
      [
        'ALTER TABLE invoice MODIFY invoice_id VARCHAR(40), DROP PRIMARY KEY, ADD PRIMARY KEY (invoice_id(8))',
      ],
      'invoice.invoice_id: only the beginning',
    ],
    [
      'a key of type DOUBLE',
      ['ALTER TABLE invoice MODIFY invoice_id DOUBLE'],
      'invoice.invoice_id: double cannot be part of the key',
    ],
    [
      'an engine without transactions',
      [
        'DROP TABLE invoice',
        'CREATE TABLE invoice (invoice_id BIGINT PRIMARY KEY, customer_id BIGINT) ENGINE=MyISAM',
      ],
      'invoice: engine MyISAM',
    ],
    [
      'partitions',
      [
        'ALTER TABLE invoice DROP FOREIGN KEY invoice_customer',
        'ALTER TABLE invoice PARTITION BY HASH (invoice_id) PARTITIONS 2',
      ],
      'invoice: is partitioned',
    ],
    [
      'cascades',
      [
        'ALTER TABLE invoice DROP FOREIGN KEY invoice_customer',
        'ALTER TABLE invoice ADD CONSTRAINT gone FOREIGN KEY (customer_id) REFERENCES customer (customer_id) ON DELETE CASCADE',
      ],
      'invoice: foreign key gone cascades (CASCADE/NO ACTION)',
    ],
    [
      'a foreign key to a table outside of the group',
      [
        'CREATE TABLE country (id BIGINT PRIMARY KEY)',
        'ALTER TABLE customer ADD CONSTRAINT abroad FOREIGN KEY (customer_id) REFERENCES country (id)',
      ],
      `customer: foreign key abroad points to ${SCHEMA}.country`,
    ],
    [
      'a foreign key from a table outside of the group',
      [
        'CREATE TABLE ticket (id BIGINT PRIMARY KEY, CONSTRAINT asks FOREIGN KEY (id) REFERENCES customer (customer_id))',
      ],
      `customer: foreign key asks of ${SCHEMA}.ticket, outside of the group`,
    ],
    [
      'a foreign key from a table of the application that begins like a run’s own',
      [
        'CREATE TABLE _ssl_child (id BIGINT PRIMARY KEY, CONSTRAINT asks FOREIGN KEY (id) REFERENCES customer (customer_id))',
      ],
      `customer: foreign key asks of ${SCHEMA}._ssl_child, outside of the group`,
    ],
    [
      'a foreign key from another schema',
      [
        `CREATE TABLE ${OTHER}.ticket (id BIGINT PRIMARY KEY, CONSTRAINT far FOREIGN KEY (id) REFERENCES ${SCHEMA}.customer (customer_id))`,
      ],
      `customer: foreign key far of ${OTHER}.ticket, outside of the group`,
    ],
    [
      'a cycle of foreign keys',
      ['ALTER TABLE customer ADD CONSTRAINT back FOREIGN KEY (customer_id) REFERENCES invoice (invoice_id)'],
      'customer, invoice: their foreign keys form a cycle',
    ],
    [
      'a generated column that is mapped',
      ["ALTER TABLE customer DROP COLUMN name, ADD COLUMN name VARCHAR(60) AS ('x') STORED"],
      'customer.name: is a generated column',
    ],
    [
      'a column that new rows cannot fill',
      ['ALTER TABLE customer ADD COLUMN own INT NOT NULL'],
      'customer.own: is not mapped, has no default',
    ],
    [
      'a column beside the key that counts itself and is not mapped',
      ['ALTER TABLE customer ADD COLUMN seq BIGINT NOT NULL AUTO_INCREMENT UNIQUE'],
      'customer.seq: counts itself (AUTO_INCREMENT) and is not mapped',
    ],
    [
      'a column that is named like a run’s own',
      ['ALTER TABLE customer ADD COLUMN _ss_chunk INT'],
      'customer._ss_chunk: is a name that runs use',
    ],
    [
      'types that cannot hold each other',
      ['ALTER TABLE customer MODIFY name DATE'],
      'customer.name: nvarchar cannot be stored in date',
    ],
  ])('%s', async (_, statements, words) => {
    for (const statement of statements) await root.query(statement);
    expect((await refusals()).join('\n')).toContain(words);
  });

  it('a name that leaves no room for those that MySQL makes after it', async () => {
    const long = 'c'.repeat(50);
    await root.query(
      `CREATE TABLE ${long} (customer_id BIGINT PRIMARY KEY, name VARCHAR(60), since DATE, CHECK (customer_id > 0))`,
    );
    const found = await refusals(configOf(YAML.replace('live: customer', `live: ${long}`)));
    expect(found.join('\n')).toContain('the name is too long for a table with CHECK constraints');
  });
});

describe('of the source, preflight refuses', () => {
  it.each<[string, string[], string]>([
    ['a missing table', ['DROP TABLE dbo.Invoice'], 'dbo.Invoice: the source has no such table'],
    [
      'a missing column',
      ['DROP TABLE dbo.Invoice', 'CREATE TABLE dbo.Invoice (InvoiceId bigint NOT NULL PRIMARY KEY)'],
      'dbo.Invoice.CustomerId: the source has no such column',
    ],
    [
      'a key that is not unique',
      [
        'DROP TABLE dbo.Invoice',
        'CREATE TABLE dbo.Invoice (InvoiceId bigint NOT NULL, CustomerId bigint NULL)',
        'INSERT INTO dbo.Invoice (InvoiceId, CustomerId) VALUES (1, 1), (1, 2), (2, 1)',
      ],
      'dbo.Invoice: 1 key stands in more than one row',
    ],
    [
      'a key that is NULL',
      [
        'DROP TABLE dbo.Invoice',
        'CREATE TABLE dbo.Invoice (InvoiceId bigint NULL, CustomerId bigint NULL)',
        'INSERT INTO dbo.Invoice (InvoiceId, CustomerId) VALUES (1, 1), (NULL, 2)',
      ],
      'dbo.Invoice: 1 row has NULL in the key',
    ],
  ])('%s', async (_, statements, words) => {
    for (const statement of statements) await source.request().batch(statement);
    expect((await refusals()).join('\n')).toContain(words);
  });

  it('a moment that cannot be had', async () => {
    await source.request().batch(`ALTER DATABASE [${DATABASE}] SET ALLOW_SNAPSHOT_ISOLATION OFF`);
    const transaction = YAML.replace('MSSQL_URL}" }', 'MSSQL_URL}", moment: transaction }');
    expect((await refusals(configOf(transaction))).join()).toContain(
      'source.moment: the source cannot be read as of one moment',
    );
    expect(await refusals()).toEqual([]); // a database snapshot is left
  });
});

describe('of the server and its user, preflight refuses', () => {
  const USER = 'stageswap_test_user';
  const asUser = () =>
    configOf(YAML, {
      MYSQL_URL: address(env.MYSQL_URL, (url) => {
        url.username = USER;
        url.password = 'p';
      }),
    });
  const grant = async (privileges: readonly string[]) => {
    await root.query(`DROP USER IF EXISTS ${USER}`);
    await root.query(`CREATE USER ${USER} IDENTIFIED BY 'p'`);
    await root.query(`GRANT ${privileges.join(', ')} ON \`${SCHEMA}\`.* TO ${USER}`);
  };
  afterEach(async () => {
    await root.query(`DROP USER IF EXISTS ${USER}`);
    await root.query('DROP ROLE IF EXISTS stageswap_test_role');
  });
  const globally = async (variable: string, value: string, work: () => Promise<void>) => {
    const [[before]] = (await root.query<mysql.RowDataPacket[]>(
      `SELECT @@GLOBAL.${variable} AS was`,
    )) as unknown as [[{ was: number | string }]];
    await root.query(`SET GLOBAL ${variable} = ${value}`);
    try {
      await work();
    } finally {
      await root.query(`SET GLOBAL ${variable} = ?`, [before.was]);
    }
  };
  const ALL = [...PRIVILEGES, 'REFERENCES'];

  it.each(ALL)('a user without %s, which it names', async (privilege) => {
    await grant(ALL.filter((one) => one !== privilege));
    expect(await refusals(asUser())).toEqual([`target: the user lacks ${privilege} on ${SCHEMA}`]);
  });

  it('no user of a schema with a space in its name', async () => {
    const spaced = 'stageswap_test_my invoices';
    await root.query(`DROP DATABASE IF EXISTS \`${spaced}\``);
    await root.query(`CREATE DATABASE \`${spaced}\``);
    try {
      await grant(['SELECT']);
      await root.query(`GRANT ${ALL.join(', ')} ON \`${spaced}\`.* TO ${USER}`);
      const there = address(asUser().target.url, (url) => {
        url.pathname = `/${encodeURIComponent(spaced)}`;
      });
      const found = await refusals(configOf(YAML, { MYSQL_URL: there }));
      expect(found.filter((refusal) => refusal.includes('the user lacks'))).toEqual([]);
      expect(found).toContain(`customer: ${spaced} has no such table`);
    } finally {
      await root.query(`DROP DATABASE \`${spaced}\``);
    }
  });

  it('no user who has these by a role', async () => {
    await grant(['SELECT']);
    await root.query('CREATE ROLE stageswap_test_role');
    await root.query(`GRANT ${ALL.join(', ')} ON \`${SCHEMA}\`.* TO stageswap_test_role`);
    await root.query(`GRANT stageswap_test_role TO ${USER}`);
    await root.query(`SET DEFAULT ROLE stageswap_test_role TO ${USER}`);
    expect(await refusals(asUser())).toEqual([]);
  });

  it('no more than is needed: a user with just these rights publishes, merges and rolls back', async () => {
    await grant(ALL);
    await globally('sql_require_primary_key', 'ON', async () => {
      const hand = await ByHand.open(
        mysqlServer.url,
        SCHEMA,
        [
          'CREATE TABLE customer (customer_id BIGINT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(60), CHECK (CHAR_LENGTH(name) > 0), UNIQUE KEY (name))',
          'CREATE TABLE invoice (invoice_id BIGINT PRIMARY KEY, customer_id BIGINT, FOREIGN KEY (customer_id) REFERENCES customer (customer_id))',
        ],
        `
  - { source: dbo.Customer, live: customer, key: [customer_id], columns: { customer_id: CustomerId, name: Name } }
  - { source: dbo.Invoice, live: invoice, key: [invoice_id], columns: { invoice_id: InvoiceId, customer_id: CustomerId } }
`,
        [
          sourceTable('Customer', { CustomerId: 'bigint', Name: 'nvarchar' }, ['CustomerId']),
          sourceTable('Invoice', { InvoiceId: 'bigint', CustomerId: 'bigint' }, ['InvoiceId']),
        ],
        { login: `${USER}:p` },
      );
      try {
        await hand.publish({
          customer: [
            [1, 'Ada'],
            [2, 'Bob'],
          ],
          invoice: [[10, 1]],
        });
        const second = await hand.publish(
          {
            customer: [
              [1, 'Ada L.'],
              [3, 'Cyd'],
            ],
            invoice: [[10, 3]],
          },
          () => hand.application.query("UPDATE customer SET name = 'client' WHERE customer_id = 1"),
        );
        const names = async () =>
          (await hand.application.query('SELECT name FROM customer ORDER BY customer_id'))[0];
        expect(await names()).toEqual([{ name: 'client' }, { name: 'Cyd' }]);
        await hand.rollBack(second);
        expect(await names()).toEqual([{ name: 'client' }, { name: 'Bob' }]);
      } finally {
        await hand.close();
      }
    });
  });

  it('local_infile that is off', async () => {
    await globally('local_infile', 'OFF', async () =>
      expect(await refusals()).toEqual(['target: local_infile is off']),
    );
  });

  it('a user who may not make triggers while the binary log is on', async () => {
    await grant(ALL);
    await globally('log_bin_trust_function_creators', '0', async () => {
      expect((await refusals(asUser())).join()).toContain('error 1419');
      expect(await refusals()).toEqual([]); // root has SUPER
    });
  });

  it('a server that is read-only', async () => {
    await grant(ALL);
    await globally('read_only', 'ON', async () => {
      expect((await refusals(asUser())).join()).toContain('target: the server is read-only');
    });
  });
});

describe('check', () => {
  it('says what a run needs, how it will read the source, what is empty, and how long it will lock', async () => {
    await source.request().batch('DELETE FROM dbo.Invoice');
    const found = await check(configOf(), { rehearse: true });
    expect(found).toMatchObject({
      refusals: [],
      moment: { expected: 'snapshot' },
      empty: { live: ['customer', 'invoice'], source: ['invoice'] },
      rehearsal: { rounds: 5 },
      needs: { privileges: [...PRIVILEGES, 'REFERENCES'] },
    });
    expect(found.rehearsal?.heldMs).toBeGreaterThan(0);
    expect(found.rehearsal?.heldMsMax).toBeGreaterThanOrEqual(found.rehearsal?.heldMs ?? 0);
    expect(found.needs.tables.map(({ table }) => table)).toEqual(['customer', 'invoice']);
  });

  it('rehearses with the foreign keys of the group, for which MySQL renames longer', async () => {
    const made = async () => {
      const [rows] = await root.query<mysql.RowDataPacket[]>(
        `SELECT COALESCE(SUM(count_star), 0) AS n FROM performance_schema.events_statements_summary_by_digest
         WHERE schema_name = DATABASE() AND digest_text LIKE '%ADD CONSTRAINT%FOREIGN KEY%'`,
      );
      return Number(rows[0]?.n);
    };
    const before = await made();
    await check(configOf(), { rehearse: true });
    expect(await made()).toBe(before + 2); // one of the group's, among tables like live and like stage
  });

  it('warns where the lock would be held for longer than is allowed', async () => {
    const { warnings } = await check(configOf(`${YAML}cutOver: { heldMsMax: 1 }`), { rehearse: true });
    expect(warnings.map(({ where }) => where)).toContain('cutOver.heldMsMax');
  });

  it('refuses a table that is so wide that MySQL makes no run table after it, and leaves none behind', async () => {
    let characters = 16_383;
    const widen = () => root.query(`ALTER TABLE customer MODIFY name VARCHAR(${characters}) NOT NULL`);
    while (
      await widen().then(
        () => false,
        () => true,
      )
    )
      characters -= 1;
    const { refusals: found, rehearsal } = await check(configOf(), { rehearse: true });
    expect(found).toEqual([
      { where: 'customer', what: expect.stringContaining('is so wide'), cure: expect.any(String) },
    ]);
    expect(rehearsal).toBeUndefined();
  });

  it('rehearses nothing where something is refused, or where nobody asked', async () => {
    expect((await check(configOf(), { rehearse: false })).rehearsal).toBeUndefined();
    await root.query('ALTER TABLE invoice DROP PRIMARY KEY');
    expect((await check(configOf(), { rehearse: true })).rehearsal).toBeUndefined();
  });

  it('says with all else that it found what MySQL did not let it try', async () => {
    const clients = await mysql.createConnection({ uri: env.MYSQL_URL });
    await root.query('LOCK INSTANCE FOR BACKUP');
    const kill = setInterval(() => void killDdl().catch(() => {}), 50);
    const killDdl = async () => {
      const [waiting] = await clients.query<mysql.RowDataPacket[]>(
        "SELECT id FROM information_schema.processlist WHERE state = 'Waiting for backup lock'",
      );
      for (const { id } of waiting) await clients.query(`KILL QUERY ${id}`);
    };
    try {
      await source.request().batch('DELETE FROM dbo.Invoice');
      const found = await check(configOf(), { rehearse: true });
      expect(found).toMatchObject({
        refusals: [
          { where: 'target', what: expect.stringContaining('interrupted'), cure: expect.any(String) },
        ],
        empty: { source: ['invoice'] },
      });
      expect(found.rehearsal).toBeUndefined();
    } finally {
      clearInterval(kill);
      await root.query('UNLOCK INSTANCE');
      await clients.end();
    }
  });

  it("leaves another's trial tables alone while its session is alive", async () => {
    const other = await mysql.createConnection({ uri: env.MYSQL_URL });
    const left = async () => {
      const [rows] = await root.query<mysql.RowDataPacket[]>("SHOW TABLES LIKE '\\_ss\\_rehearsal\\_%'");
      return rows.length;
    };
    await other.query("SELECT GET_LOCK('_ss_rehearsal_0a1b2c3d_', 0)");
    await root.query('CREATE TABLE _ss_rehearsal_0a1b2c3d_0l (id INT PRIMARY KEY)');
    await check(configOf(), { rehearse: true });
    expect(await left()).toBe(1);
    await other.end();
    await check(configOf(), { rehearse: true });
    expect(await left()).toBe(0);
  });

  it('drops what an earlier rehearsal left whose connection is gone', async () => {
    await root.query('CREATE TABLE _ss_rehearsal_4000000000_0l (id INT PRIMARY KEY)');
    await root.query(
      'CREATE TABLE _ss_rehearsal_4000000000_1l (id INT, FOREIGN KEY (id) REFERENCES _ss_rehearsal_4000000000_0l (id))',
    );
    expect((await check(configOf(), { rehearse: true })).rehearsal).toBeDefined();
  });

  it('is a command: text for people, one object with --json, 3 where something is refused, 6 where nobody answers', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'stageswap-check-'));
    const file = join(folder, 'stageswap.yaml');
    writeFileSync(file, YAML);
    const main = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url));
    const stageswap = (more: string[], change: Partial<typeof env> = {}) =>
      execa(process.execPath, ['--import', 'tsx', main, 'check', '--config', file, ...more], {
        reject: false,
        env: { ...env, ...change },
      });
    try {
      const text = await stageswap([]);
      expect(text.exitCode, text.stderr).toBe(0);
      for (const words of [
        'disk while it runs',
        'binary log: about',
        'privileges: SELECT',
        'database snapshot',
        'will hold its lock for about',
        'refusals can run',
      ])
        expect(text.stdout).toContain(words);
      const json = await stageswap(['--json', '--no-rehearsal']);
      expect(JSON.parse(json.stdout)).toMatchObject({
        pipeline: 'refusals',
        refusals: [],
        moment: { expected: 'snapshot' },
      });
      await root.query('ALTER TABLE invoice DROP PRIMARY KEY');
      const refused = await stageswap([]);
      expect(refused.exitCode).toBe(3);
      expect(refused.stdout).toMatch(/refused invoice: has no primary key\n\s+cure: add one/);
      const nobody = address(env.MSSQL_URL, (url) => {
        url.port = '1';
      });
      expect((await stageswap(['--json'], { MSSQL_URL: nobody })).exitCode).toBe(6);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe('two pipelines on one table', () => {
  afterEach(async () => {
    await root.query(`DROP DATABASE ${SCHEMA}`);
    await root.query(`CREATE DATABASE ${SCHEMA}`);
  });
  const begin = (pipeline: string) => {
    const config = configOf(YAML.replace('pipeline: refusals', `pipeline: ${pipeline}`));
    const { begin } = createActivities({ config: () => config });
    return new MockActivityEnvironment().run(begin, pipeline, `run of ${pipeline}`);
  };

  it('are refused: the second one is told which has the table', async () => {
    await begin('first');
    await expect(begin('second')).rejects.toThrow('customer: pipeline first publishes this table');
    const [claims] = await root.query(`SELECT live, pipeline FROM ${SCHEMA}._stageswap_claim ORDER BY live`);
    expect(claims).toEqual([
      { live: 'customer', pipeline: 'first' },
      { live: 'invoice', pipeline: 'first' },
    ]);
    await begin('first'); // the same run, repeated
  });

  it('are refused as well where the names of two tables differ by case alone', async () => {
    await begin('first');
    await root.query(`UPDATE ${SCHEMA}._stageswap_claim SET live = 'Customer' WHERE live = 'customer'`);
    await expect(begin('second')).rejects.toThrow(
      'customer: pipeline first publishes Customer: MySQL ignores',
    );
  });

  it('that begin at the same time do not both begin', async () => {
    const begun = await Promise.allSettled([begin('first'), begin('second')]);
    expect(begun.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    const lost = begun.find((one) => one.status === 'rejected') as PromiseRejectedResult;
    expect((lost.reason as Error).message).toMatch(/publishes this table/);
  });
});
