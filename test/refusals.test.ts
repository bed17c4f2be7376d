import { describe, expect, it } from 'vitest';
import { parseConfig } from '../src/config/load.js';
import type { LiveColumnFacts, LiveForeignKey, LiveTable, ServerFacts } from '../src/mysql/schema.js';
import { type Decision, decide } from '../src/preflight/decide.js';
import type { Facts } from '../src/preflight/facts.js';
import type { LocalKeyFacts } from '../src/preflight/local-keys.js';
import { missingPrivileges, PRIVILEGES } from '../src/preflight/privileges.js';
import type { SourceColumnFacts } from '../src/sql-server/schema.js';

/** What bad input gets, decided from recorded facts: every refusal says what is wrong, where, and the cure. */
const ENV = {
  MSSQL_URL: 'mssql://sa:x@127.0.0.1:1/billing',
  MYSQL_URL: 'mysql://app:x@127.0.0.1:1/invoices',
};
const YAML = `
pipeline: billing
source: { url: "\${MSSQL_URL}" }
target: { url: "\${MYSQL_URL}" }
firstRun: source
tables:
  - source: dbo.Customer
    live: customer
    key: [customer_id]
    columns: { customer_id: CustomerId, name: Name }
  - source: dbo.Invoice
    live: invoice
    key: [invoice_id]
    columns: { invoice_id: InvoiceId, customer_id: CustomerId }
`;
const config = parseConfig(YAML, 'stageswap.yaml', ENV);

const liveColumn = (name: string, type: string, more: Partial<LiveColumnFacts> = {}): LiveColumnFacts => ({
  name,
  type,
  columnType: type === 'varchar' ? 'varchar(60)' : type,
  nullable: false,
  charset: type === 'varchar' ? 'utf8mb4' : null,
  collation: type === 'varchar' ? 'utf8mb4_0900_ai_ci' : null,
  precision: null,
  scale: null,
  lengthOctets: type === 'varchar' ? 240 : null,
  lengthCharacters: type === 'varchar' ? 60 : null,
  fractionDigits: null,
  extra: '',
  generated: false,
  autoIncrement: false,
  invisible: false,
  default: null,
  ...more,
});
const sourceColumn = (
  name: string,
  type: string,
  more: Partial<SourceColumnFacts> = {},
): SourceColumnFacts => ({
  name,
  type,
  maxLengthBytes: 120,
  precision: 19,
  scale: 0,
  nullable: false,
  computed: false,
  identity: false,
  collation: null,
  ...more,
});
const foreignKey = (change: Partial<LiveForeignKey> = {}): LiveForeignKey => ({
  name: 'invoice_customer',
  schema: 'invoices',
  table: 'invoice',
  columns: ['customer_id'],
  referencedSchema: 'invoices',
  referencedTable: 'customer',
  referencedColumns: ['customer_id'],
  onDelete: 'NO ACTION',
  onUpdate: 'NO ACTION',
  ...change,
});
const liveTable = (name: string, columns: LiveColumnFacts[], more: Partial<LiveTable> = {}): LiveTable => ({
  name,
  columns,
  primaryKey: [columns[0]?.name ?? ''],
  uniqueIndexes: [],
  foreignKeys: [],
  referencedBy: [],
  triggers: [],
  partitioned: false,
  engine: 'InnoDB',
  kind: 'BASE TABLE',
  checks: [],
  rowsEstimate: 0,
  dataBytes: 16_384,
  ...more,
});
const SERVER: ServerFacts = {
  version: '8.4.3',
  isMariaDb: false,
  localInfile: true,
  logBin: true,
  logBinTrustFunctionCreators: true,
  groupReplication: false,
  grants: ['GRANT ALL PRIVILEGES ON `invoices`.* TO `app`@`%`'],
  user: 'app@%',
  sqlMode: '',
  binlogFormat: 'ROW',
  readOnly: false,
  galera: false,
  lowerCaseTableNames: 0,
};
const CUSTOMER = liveTable('customer', [liveColumn('customer_id', 'bigint'), liveColumn('name', 'varchar')]);
const INVOICE = liveTable(
  'invoice',
  [liveColumn('invoice_id', 'bigint'), liveColumn('customer_id', 'bigint')],
  {
    foreignKeys: [foreignKey()],
  },
);
const FACTS: Facts = {
  server: SERVER,
  schema: 'invoices',
  live: [CUSTOMER, INVOICE],
  source: [
    {
      schema: 'dbo',
      name: 'Customer',
      columns: [sourceColumn('CustomerId', 'bigint'), sourceColumn('Name', 'nvarchar')],
      primaryKey: ['CustomerId'],
      uniqueIndexes: [],
      foreignKeys: [],
    },
    {
      schema: 'dbo',
      name: 'Invoice',
      columns: [sourceColumn('InvoiceId', 'bigint'), sourceColumn('CustomerId', 'bigint')],
      primaryKey: ['InvoiceId'],
      uniqueIndexes: [],
      foreignKeys: [],
    },
  ],
  badKeys: {},
  liveIsEmpty: { customer: true, invoice: true },
  claims: [],
  held: null,
  metadataLocksVisible: true,
};

const withServer = (change: Partial<ServerFacts>): Facts => ({ ...FACTS, server: { ...SERVER, ...change } });
const withCustomer = (change: Partial<LiveTable>): Facts => ({
  ...FACTS,
  live: [{ ...CUSTOMER, ...change }, INVOICE],
});
const withInvoice = (change: Partial<LiveTable>): Facts => ({
  ...FACTS,
  live: [CUSTOMER, { ...INVOICE, ...change }],
});
const decided = (facts: Facts, change: (yaml: string) => string = (yaml) => yaml): Decision =>
  decide(parseConfig(change(YAML), 'stageswap.yaml', ENV), facts);
/** The one refusal of a decision, as `where: what`. */
function onlyRefusal(decision: Decision): string {
  expect(decision.refusals.map(({ where, what }) => `${where}: ${what}`)).toHaveLength(1);
  const [{ where, what, cure } = { where: '', what: '', cure: '' }] = decision.refusals;
  expect(cure.length).toBeGreaterThan(5);
  return `${where}: ${what}`;
}
const refusal = (facts: Facts) => onlyRefusal(decided(facts));

it('refuses nothing where nothing is wrong', () => {
  expect(decide(config, FACTS).refusals).toEqual([]);
});

describe('of the server, a run refuses', () => {
  it.each([
    ['MySQL 8.0.12', { version: '8.0.12' }, 'target: MySQL 8.0.12 cannot rename locked tables'],
    ['MySQL 5.7', { version: '5.7.44-log' }, 'target: MySQL 5.7.44-log cannot rename locked tables'],
    [
      'MariaDB',
      { isMariaDb: true, version: '11.4.2-MariaDB' },
      'target: MariaDB (11.4.2-MariaDB) is not supported',
    ],
    [
      'Group Replication',
      { groupReplication: true },
      'target: Group Replication does not support LOCK TABLES',
    ],
    ['Galera', { galera: true }, 'target: Galera does not replicate LOCK TABLES'],
    ['local_infile that is off', { localInfile: false }, 'target: local_infile is off'],
    ['a server that is read-only', { readOnly: true }, 'target: the server is read-only'],
    ['statements in the binary log', { binlogFormat: 'STATEMENT' }, 'target: binlog_format is STATEMENT'],
    ['triggers that it may not make', { logBinTrustFunctionCreators: false }, 'error 1419'],
  ] as const)('%s', (_, change, words) => {
    expect(refusal(withServer(change))).toContain(words);
  });
  it.each(['8.0.13', '8.0.36', '8.4.0', '9.7.4-2'])('not MySQL %s', (version) => {
    expect(decided(withServer({ version })).refusals).toEqual([]);
  });
  it('a server that is none to work with without anything else that it could not answer', () => {
    const facts = {
      ...withServer({ isMariaDb: true, localInfile: false, grants: [] }),
      live: [],
      source: [],
    };
    expect(refusal(facts)).toContain('MariaDB');
  });
  it('no triggers of a user who has SUPER, nor statements where nothing is logged', () => {
    const grants = [...SERVER.grants, 'GRANT SUPER ON *.* TO `app`@`%`'];
    expect(decided(withServer({ grants, logBinTrustFunctionCreators: false })).refusals).toEqual([]);
    expect(decided(withServer({ logBin: false, binlogFormat: 'STATEMENT' })).refusals).toEqual([]);
  });
  it('no more rows to remember than commits bear: it warns, where a run has so many', () => {
    const warned = (change: Partial<ServerFacts>, rowsEstimate: number) => {
      const facts = withServer(change);
      const live = facts.live.map((table) => ({ ...table, rowsEstimate }));
      const { refusals, warnings } = decided({ ...facts, live });
      expect(refusals).toEqual([]);
      return warnings.some(({ what }) => what.includes('binlog_transaction_dependency_history_size is'));
    };
    expect(warned({ writeSetsMax: 10_000_000 }, 1_000_000)).toBe(true);
    expect(warned({ writeSetsMax: 10_000_000 }, 1_000)).toBe(false);
    expect(warned({ writeSetsMax: 25_000 }, 1_000_000)).toBe(false);
    expect(warned({ writeSetsMax: 10_000_000, logBin: false }, 1_000_000)).toBe(false);
    expect(warned({}, 1_000_000)).toBe(false);
  });
  it.each([...PRIVILEGES, 'REFERENCES'])('a user without %s, which it names', (privilege) => {
    const rest = [...PRIVILEGES, 'REFERENCES'].filter((one) => one !== privilege).join(', ');
    const grants = ['GRANT USAGE ON *.* TO `app`@`%`', `GRANT ${rest} ON \`invoices\`.* TO \`app\`@\`%\``];
    const decision = decided(withServer({ grants }));
    expect(onlyRefusal(decision)).toBe(`target: the user lacks ${privilege} on invoices`);
    expect(decision.refusals[0]?.cure).toContain(`GRANT ${privilege} ON \`invoices\`.*`);
  });
  it('no missing REFERENCES where there are no foreign keys', () => {
    const grants = [`GRANT ${PRIVILEGES.join(', ')} ON \`invoices\`.* TO \`app\`@\`%\``];
    const facts = { ...withServer({ grants }), live: [CUSTOMER, { ...INVOICE, foreignKeys: [] }] };
    expect(decided(facts).refusals).toEqual([]);
  });
  it('nothing for metadata locks that it may not see, but warns', () => {
    const { refusals, warnings } = decided({ ...FACTS, metadataLocksVisible: false });
    expect(refusals).toEqual([]);
    expect(warnings.map(({ what }) => what).join()).toContain('metadata_locks cannot be read');
  });
  it('killing blockers without the right to', () => {
    const kills = (yaml: string) => `${yaml}cutOver: { killBlockersAfterMs: 60000 }\n`;
    expect(onlyRefusal(decided(FACTS, kills))).toContain('lacks CONNECTION_ADMIN');
    const grants = [...SERVER.grants, 'GRANT CONNECTION_ADMIN ON *.* TO `app`@`%`'];
    expect(decided(withServer({ grants }), kills).refusals).toEqual([]);
    expect(onlyRefusal(decided({ ...withServer({ grants }), sessionsVisible: false }, kills))).toContain(
      'may not see which sessions hold the tables',
    );
  });
  it('nothing for sessions that it may not see, but warns that it cannot name who holds the tables', () => {
    const { refusals, warnings } = decided({ ...FACTS, sessionsVisible: false });
    expect(refusals).toEqual([]);
    expect(warnings.map(({ what }) => what).join()).toContain('cannot be told by name');
  });
  it('nothing for a table that MySQL cannot change instantly, but warns of what the cut-over waits for', () => {
    const facts = {
      ...FACTS,
      live: FACTS.live.map((table) => ({ ...table, notInstant: 'a full-text index' })),
    };
    const { refusals, warnings } = decided(facts);
    expect(refusals).toEqual([]);
    expect(warnings.map(({ what }) => what).join()).toContain('transactions in REPEATABLE READ');
  });
  it('nothing for a user without PROCESS, but warns of TRUNCATE', () => {
    const { refusals, warnings } = decided({ ...FACTS, innodbVisible: false });
    expect(refusals).toEqual([]);
    expect(warnings.map(({ what }) => what).join()).toContain('TRUNCATE of live');
  });
});

describe('a privilege', () => {
  const all = (on: string) =>
    missingPrivileges([`GRANT ALL PRIVILEGES ON ${on} TO \`a\`@\`%\``], 'in_voices', { references: true });
  it('counts where it is granted on everything, on the schema, or on a pattern of it', () => {
    for (const on of ['*.*', '`in_voices`.*', '`in\\_voices`.*', '`in%`.*', '`in_v%`.*'])
      expect(all(on), on).toEqual([]);
  });
  it('does not count where it is granted on another schema, or on one table', () => {
    for (const on of ['`other`.*', '`in\\_%x`.*', '`in_voices`.`customer`', '`in.voices`.*'])
      expect(all(on), on).toHaveLength(PRIVILEGES.length + 1);
  });
  it('counts on a schema of any name', () => {
    for (const [schema, printed] of [
      ['my invoices', '`my invoices`'],
      ['my-invoices', '`my-invoices`'],
      ['in`voices', '`in``voices`'],
      ['a.b ON c', '`a.b ON c`'],
      ['plain', 'plain'],
    ] as const) {
      const grants = [`GRANT ALL PRIVILEGES ON ${printed}.* TO \`a\`@\`%\` WITH GRANT OPTION`];
      expect(missingPrivileges(grants, schema, { references: true }), schema).toEqual([]);
    }
  });
  it('does not count where it was revoked in part', () => {
    const grants = [
      'GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, ALTER, LOCK TABLES, TRIGGER ON *.* TO `a`@`%`',
      'REVOKE TRIGGER, DROP ON `invoices`.* FROM `a`@`%`',
    ];
    expect(missingPrivileges(grants, 'invoices', { references: true })).toEqual(['DROP', 'TRIGGER']);
    expect(missingPrivileges(grants, 'other', { references: true })).toEqual([]);
  });
});

describe('of a live table, a run refuses', () => {
  it.each<[string, Facts, string]>([
    ['one that is not there', { ...FACTS, live: [CUSTOMER] }, 'invoice: invoices has no such table'],
    [
      'a view',
      withCustomer({ kind: 'VIEW', engine: '', primaryKey: [] }),
      'customer: is a VIEW, not a table',
    ],
    ['another engine', withCustomer({ engine: 'MyISAM' }), 'customer: engine MyISAM has no transactions'],
    ['no primary key', withCustomer({ primaryKey: [] }), 'customer: has no primary key'],
    [
      'a key that is not the primary key',
      withCustomer({ primaryKey: ['name'] }),
      'customer: key is customer_id, but the primary key is name',
    ],
    [
      "a key over a column's beginning",
      withCustomer({ primaryKeyPrefixes: ['customer_id'] }),
      'customer.customer_id: only the beginning',
    ],
    ['partitions', withCustomer({ partitioned: true }), 'customer: is partitioned'],
    [
      'a trigger of another user, in whose name this one may make none',
      withCustomer({ triggers: [{ name: 'audit', event: 'UPDATE', timing: 'AFTER', definer: 'a@b' }] }),
      'customer: its trigger audit is defined by a@b, in whose name this user may not make a trigger without SET_ANY_DEFINER',
    ],
    [
      'a trigger to whose name no generation can be added',
      withCustomer({
        triggers: [{ name: 'a'.repeat(60), event: 'UPDATE', timing: 'AFTER', definer: 'app@%' }],
      }),
      'is too long: a generation is added to it',
    ],
    [
      'a column that is named like a run’s own',
      withCustomer({ columns: [...CUSTOMER.columns, liveColumn('_ss_chunk', 'int', { nullable: true })] }),
      'customer._ss_chunk: is a name that runs use',
    ],
    [
      'a column without a default that is not mapped',
      withCustomer({ columns: [...CUSTOMER.columns, liveColumn('own', 'int')] }),
      'customer.own: is not mapped, has no default and is NOT NULL',
    ],
    [
      'a foreign key to a table outside of the group',
      withInvoice({ foreignKeys: [foreignKey({ referencedTable: 'country' })] }),
      'invoice: foreign key invoice_customer points to invoices.country, outside of the group',
    ],
    [
      'a foreign key into another schema',
      withInvoice({ foreignKeys: [foreignKey({ referencedSchema: 'crm' })] }),
      'invoice: foreign key invoice_customer points to crm.customer, outside of the group',
    ],
    [
      'a foreign key from a table outside of the group',
      withCustomer({ referencedBy: [foreignKey({ table: 'ticket', name: 'ticket_customer' })] }),
      'customer: foreign key ticket_customer of invoices.ticket, outside of the group, points here',
    ],
    [
      'a cascading delete',
      withInvoice({ foreignKeys: [foreignKey({ onDelete: 'CASCADE' })] }),
      'cascades (CASCADE/NO ACTION)',
    ],
    [
      'a cascading update',
      withInvoice({ foreignKeys: [foreignKey({ onUpdate: 'CASCADE' })] }),
      'cascades (NO ACTION/CASCADE)',
    ],
    [
      'a foreign key that sets NULL',
      withInvoice({ foreignKeys: [foreignKey({ onDelete: 'SET NULL' })] }),
      'cascades (SET NULL/NO ACTION)',
    ],
    [
      'a foreign key whose name leaves no room for a generation',
      withInvoice({ foreignKeys: [foreignKey({ name: 'x'.repeat(54) })] }),
      'is too long: a generation is added to it',
    ],
  ])('%s', (_, facts, words) => {
    expect(refusal(facts)).toContain(words);
  });

  it('a table that another pipeline publishes, but not one that it publishes itself', () => {
    const claims = [
      { live: 'customer', pipeline: 'crm' },
      { live: 'invoice', pipeline: 'billing' },
    ];
    expect(refusal({ ...FACTS, claims })).toBe('customer: pipeline crm publishes this table');
  });

  it.each(['Customer', 'cústomer'])(
    'a table for which MySQL takes the names of its triggers for those of another pipeline: %s',
    (live) => {
      expect(refusal({ ...FACTS, claims: [{ live, pipeline: 'crm' }] })).toBe(
        `customer: pipeline crm publishes ${live}: MySQL ignores case and accents in names of triggers, so both tables would need the same`,
      );
    },
  );

  it.each(['float', 'double', 'json', 'text', 'blob'])(
    'a key of type %s, which has no exact text or is not indexed whole',
    (type) => {
      const columns = [liveColumn('customer_id', type), liveColumn('name', 'varchar')];
      const found = decided(withCustomer({ columns })).refusals.map(({ where, what }) => `${where}: ${what}`);
      expect(found).toContainEqual(
        expect.stringContaining(`customer.customer_id: ${type} cannot be part of the key`),
      );
    },
  );

  it('warns of keys that live counts itself, unless localKeys says whose they are', () => {
    const columns = [
      liveColumn('customer_id', 'bigint', { autoIncrement: true }),
      liveColumn('name', 'varchar'),
    ];
    const facts = withCustomer({ columns });
    const warned = (more: string) =>
      decided(facts, (yaml) => yaml.replace('live: customer', `live: customer\n    ${more}`)).warnings.map(
        ({ what }) => what,
      );
    const sameKey = expect.stringContaining('AUTO_INCREMENT may give a row');
    expect(warned('')).toContainEqual(sameKey);
    expect(warned('localKeys: none')).not.toContainEqual(sameKey);
    expect(warned('localKeys: { from: "1000000" }')).not.toContainEqual(sameKey);
  });

  describe('localKeys', () => {
    const counted = [
      liveColumn('customer_id', 'bigint', { autoIncrement: true }),
      liveColumn('name', 'varchar'),
    ];
    const found = (localKeys: string, facts: LocalKeyFacts, columns = counted) => {
      const { refusals, warnings } = decided(
        { ...withCustomer({ columns }), localKeys: { customer: facts } },
        (yaml) => yaml.replace('live: customer', `live: customer\n    localKeys: ${localKeys}`),
      );
      return { refusals: refusals.map(({ what }) => what), warnings: warnings.map(({ what }) => what) };
    };
    const range = '{ from: "1000000" }';

    it('that the source reaches into are refused', () => {
      expect(found(range, { sourceInRange: '1000017' }).refusals).toEqual([
        'has the key 1000017, in the range that localKeys gives to the application (from 1000000)',
      ]);
    });
    it('are warned of where live has a row of its own outside of them, or will give such a key', () => {
      const about = (warnings: string[]) => warnings.filter((what) => /localKeys|next key/.test(what));
      expect(about(found(range, { ownOutside: '17', next: '900' }).warnings)).toEqual([
        expect.stringContaining('live has a row 17 that billing did not have'),
        expect.stringContaining('the next key that live gives is 900'),
      ]);
      expect(about(found('none', { ownOutside: '17' }).warnings)).toEqual([
        expect.stringContaining('live has a row 17'),
      ]);
    });
    it('that hold are not spoken of', () => {
      for (const said of [range, 'none'])
        expect(found(said, { next: '1000000' }), said).toEqual(found('none', {}));
    });
    it('with a range are refused where the key is no whole number', () => {
      const text = [liveColumn('customer_id', 'varchar'), liveColumn('name', 'varchar')];
      expect(found(range, {}, text).refusals.join()).toContain('localKeys names a range, and no column');
      expect(found('none', {}, text).refusals.join()).not.toContain('localKeys');
    });
  });

  describe('a unique index over what is not mapped', () => {
    const over = (columns: LiveColumnFacts[], more: Partial<LiveTable['uniqueIndexes'][0]> = {}) =>
      decided(
        withCustomer({
          columns: [...CUSTOMER.columns, ...columns],
          uniqueIndexes: [{ name: 'by_own', columns: columns.map(({ name }) => name), ...more }],
        }),
      );
    const token = (more: Partial<LiveColumnFacts>) => liveColumn('token', 'varchar', more);
    it('whose columns have one default each is refused, by name, with a cure', () => {
      const decision = over([token({ default: '' }), liveColumn('kind', 'int', { default: '1' })]);
      expect(onlyRefusal(decision)).toBe(
        'customer: unique index by_own is over what is not mapped (token, kind): all new rows would have one value there, the defaults "", "1", and none would come',
      );
      expect(decision.refusals[0]?.cure).toContain('map token, kind, or let it be NULL by default');
    });
    it('is refused with a moment as default, which the rows of a chunk share', () => {
      const now = { default: 'CURRENT_TIMESTAMP', extra: 'DEFAULT_GENERATED' };
      expect(onlyRefusal(over([token(now)]))).toContain('by_own');
    });
    it.each<[string, LiveColumnFacts[]]>([
      ['NULL by default', [token({ nullable: true })]],
      ['made anew in each row', [token({ default: 'uuid()', extra: 'DEFAULT_GENERATED' })]],
      ['beside one that is NULL', [token({ default: '' }), liveColumn('at', 'int', { nullable: true })]],
      ['generated', [token({ generated: true, default: null })]],
    ])('is fine where a column is %s', (_, columns) => {
      expect(over(columns).refusals).toEqual([]);
    });
    it('is fine beside a column that is mapped', () => {
      const columns = [token({ default: '' })];
      expect(over(columns, { columns: ['name', 'token'] }).refusals).toEqual([]);
    });
    it('and over an expression is warned of, since that may be NULL', () => {
      const parts = [{ expression: "nullif(`token`,_utf8mb4'')" }];
      const decision = over([token({ default: '' })], { columns: [null], parts });
      expect(decision.refusals).toEqual([]);
      expect(decision.warnings.map(({ what }) => what).join()).toContain('by_own is over what is not mapped');
    });
  });

  it('a generated column in the key', () => {
    const columns = [liveColumn('customer_id', 'bigint', { generated: true }), liveColumn('name', 'varchar')];
    expect(decided(withCustomer({ columns })).refusals.map(({ what }) => what)).toContain(
      'the key has a generated column',
    );
  });

  it('a name too long for the names that MySQL makes after it', () => {
    const name = (length: number) => 'c'.repeat(length);
    const renamed = (length: number, change: Partial<LiveTable> = {}) =>
      decided(
        {
          ...FACTS,
          live: [
            { ...CUSTOMER, name: name(length), ...change },
            { ...INVOICE, foreignKeys: [] },
          ],
        },
        (yaml) => yaml.replace('live: customer', `live: ${name(length)}`),
      ).refusals.map(({ what }) => what);
    expect(renamed(51)).toEqual([]);
    const checks = [{ name: 'positive', clause: '(1)', enforced: true }];
    expect(renamed(46, { checks })).toEqual([]);
    expect(renamed(47, { checks })).toEqual([expect.stringContaining('too long for a table with CHECK')]);
    // MySQL renames a foreign key without a name of its own with its table
    const keyed = (length: number) =>
      renamed(length, {
        foreignKeys: [
          foreignKey({ name: `${name(length)}_ibfk_1`, table: name(length), referencedTable: 'invoice' }),
        ],
      });
    expect(keyed(34)).toEqual([]);
    expect(keyed(35)).toEqual([expect.stringContaining('is too long: a generation is added')]);
    expect(() => parseConfig(YAML.replace('live: customer', `live: ${name(52)}`), 'f', ENV)).toThrow(
      'longer than 51 characters',
    );
  });

  it('a key column whose name leaves no room for the log’s', () => {
    const long = 'k'.repeat(61);
    const live = {
      ...CUSTOMER,
      columns: [liveColumn(long, 'bigint'), liveColumn('name', 'varchar')],
      primaryKey: [long],
    };
    const facts = { ...FACTS, live: [live, { ...INVOICE, foreignKeys: [] }] };
    const change = (yaml: string) =>
      yaml
        .replace('key: [customer_id]', `key: [${long}]`)
        .replace('{ customer_id: CustomerId, name', `{ ${long}: CustomerId, name`);
    expect(onlyRefusal(decided(facts, change))).toContain("the key column's name is too long");
  });

  it('foreign keys that form a cycle, and names its tables', () => {
    const back = foreignKey({ table: 'customer', referencedTable: 'invoice', name: 'last_invoice' });
    const facts = { ...FACTS, live: [{ ...CUSTOMER, foreignKeys: [back] }, INVOICE] };
    expect(refusal(facts)).toContain('customer, invoice: their foreign keys form a cycle');
  });

  it('no foreign key to itself, no key of the group’s backups, and no generated column beside the key', () => {
    const self = foreignKey({ table: 'customer', referencedTable: 'customer', name: 'parent' });
    const columns = [...CUSTOMER.columns, liveColumn('shouted', 'varchar', { generated: true })];
    const referencedBy = [foreignKey(), foreignKey({ table: '_ss4o_invoice' }), self];
    expect(decided(withCustomer({ foreignKeys: [self], columns, referencedBy })).refusals).toEqual([]);
  });

  it('nothing for names that a publish changes, but warns', () => {
    const checks = [
      { name: 'customer_chk_1', clause: '(1)', enforced: true },
      { name: 'positive', clause: '(1)', enforced: true },
    ];
    const { refusals, warnings } = decided(withCustomer({ checks }));
    expect(refusals).toEqual([]);
    expect(warnings.map(({ what }) => what)).toEqual([
      'CHECK constraint positive will be called positive__ss<generation>: backups keep the old name',
      'foreign key invoice_customer will be called invoice_customer__ss<generation>: backups keep the old name',
    ]);
  });
});

describe('of the source and its mapping, a run refuses', () => {
  const [customer, invoice] = FACTS.source as [Facts['source'][0], Facts['source'][0]];
  const withSource = (change: Partial<Facts['source'][0]>): Facts => ({
    ...FACTS,
    source: [{ ...customer, ...change }, invoice],
  });
  it.each<[string, Facts, string]>([
    [
      'a table that is not there',
      { ...FACTS, source: [invoice] },
      'dbo.Customer: the source has no such table',
    ],
    [
      'a view',
      { ...FACTS, source: [invoice], isView: { customer: true } },
      'dbo.Customer: is a view, and a run reads tables',
    ],
    [
      'a name that two columns have, but for their case',
      withSource({
        columns: [
          sourceColumn('CustomerId', 'bigint'),
          sourceColumn('NAME', 'nvarchar'),
          sourceColumn('name', 'nvarchar'),
        ],
      }),
      'dbo.Customer.Name: the source has more than one such column: NAME, name',
    ],
    [
      'a column that is not there',
      withSource({ columns: customer.columns.slice(0, 1) }),
      'dbo.Customer.Name: the source has no such column',
    ],
    [
      'a column that live does not have',
      withCustomer({ columns: CUSTOMER.columns.slice(0, 1) }),
      'customer.name: live has no such column',
    ],
    [
      'types that cannot hold each other',
      withSource({ columns: [sourceColumn('CustomerId', 'bigint'), sourceColumn('Name', 'geography')] }),
      'customer.name: geography cannot be stored in varchar(60)',
    ],
    [
      'NULLs in the key',
      { ...FACTS, badKeys: { customer: { nulls: 3, doubled: 0 } } },
      'dbo.Customer: 3 rows have NULL in the key',
    ],
    [
      'keys that are not unique',
      { ...FACTS, badKeys: { customer: { nulls: 0, doubled: 2 } } },
      'dbo.Customer: 2 keys stand in more than one row',
    ],
    [
      'a table that the login may not read',
      { ...FACTS, unreadable: { customer: 'The SELECT permission was denied' } },
      'dbo.Customer: the source does not let the login read it: The SELECT permission',
    ],
    [
      'a column of which the source has ciphertext only',
      withSource({
        columns: [
          sourceColumn('CustomerId', 'bigint'),
          sourceColumn('Name', 'nvarchar', { encrypted: true }),
        ],
      }),
      'customer.name: it is under Always Encrypted',
    ],
    [
      'a generated column that is mapped',
      withCustomer({
        columns: [CUSTOMER.columns[0] as LiveColumnFacts, liveColumn('name', 'varchar', { generated: true })],
      }),
      'customer.name: is a generated column',
    ],
  ])('%s', (_, facts, words) => {
    expect(refusal(facts)).toContain(words);
  });

  it('nothing where one of two such columns is called just so: that one is read', () => {
    const columns = [
      sourceColumn('CustomerId', 'bigint'),
      sourceColumn('NAME', 'geography'),
      sourceColumn('Name', 'nvarchar'),
    ];
    expect(decided(withSource({ columns })).refusals).toEqual([]);
  });

  it('nothing for a masked column, but warns that masks would be published', () => {
    const columns = [
      sourceColumn('CustomerId', 'bigint'),
      sourceColumn('Name', 'nvarchar', { masked: true }),
    ];
    const { refusals, warnings } = decided(withSource({ columns }));
    expect(refusals).toEqual([]);
    expect(warnings.map(({ what }) => what).join()).toContain('the column is masked');
  });

  it('nothing for a fraction that is longer at the source, but warns by column which value would stop the run', () => {
    const columns = [
      sourceColumn('CustomerId', 'bigint'),
      sourceColumn('Name', 'decimal', { precision: 19, scale: 4 }),
    ];
    const money = liveColumn('name', 'decimal', { columnType: 'decimal(12,2)', precision: 12, scale: 2 });
    const live = [{ ...CUSTOMER, columns: [CUSTOMER.columns[0] as LiveColumnFacts, money] }, INVOICE];
    const { refusals, warnings } = decided({ ...withSource({ columns }), live });
    expect(refusals).toEqual([]);
    const warned = warnings.find(({ where }) => where === 'customer.name');
    expect(warned?.what).toContain('a value with more than 2 digits after the point will stop the run');
    expect(warned?.cure).toContain('badRows: quarantine');
  });

  it('says how a column is spelled that differs by case alone', () => {
    const columns = [
      CUSTOMER.columns[0] as LiveColumnFacts,
      liveColumn('Name', 'varchar', { nullable: true }),
    ];
    expect(decided(withCustomer({ columns })).refusals[0]?.cure).toContain('write Name');
  });

  it('nothing for NULLs that live does not allow, and for what the catalogue does not say, but warns', () => {
    const columns = [
      sourceColumn('CustomerId', 'bigint'),
      sourceColumn('Name', 'nvarchar', { nullable: true }),
    ];
    const { refusals, warnings } = decided(withSource({ columns, notSaid: ['row counts (sys.partitions)'] }));
    expect(refusals).toEqual([]);
    const said = warnings.map(({ what }) => what).join('\n');
    expect(said).toContain('the source allows NULL and live does not');
    expect(said).toContain('the source does not say row counts');
  });
});

describe('of the moment, a run refuses', () => {
  const no = (because: string) => ({ possible: false as const, because });
  const yes = { possible: true as const };
  const moment = (configured: string, moments: NonNullable<Facts['moments']>) =>
    decided({ ...FACTS, moments }, (yaml) =>
      yaml.replace('MSSQL_URL}" }', `MSSQL_URL}", moment: ${configured} }`),
    );
  it('a source that has neither', () => {
    expect(onlyRefusal(moment('auto', { snapshot: no('no files'), transaction: no('not allowed') }))).toBe(
      'source.moment: the source cannot be read as of one moment: no files; not allowed',
    );
  });
  it('the one that was asked for and cannot be had', () => {
    expect(onlyRefusal(moment('snapshot', { snapshot: no('no files'), transaction: yes }))).toContain(
      'no files',
    );
    expect(onlyRefusal(moment('transaction', { snapshot: yes, transaction: no('not allowed') }))).toContain(
      'not allowed',
    );
  });
  it('fuzzy never, of which it warns', () => {
    const { refusals: refused, warnings } = moment('fuzzy', { snapshot: no('x'), transaction: no('y') });
    expect(refused).toEqual([]);
    expect(warnings.map(({ what }) => what).join()).toContain('not read as of one moment');
  });
  it('a SET in the key, by which fuzzy could not ask for a row', () => {
    const keyed = CUSTOMER.columns.map((column) =>
      column.name === CUSTOMER.primaryKey[0] ? liveColumn(column.name, 'set', { nullable: false }) : column,
    );
    const found = decided(withCustomer({ columns: keyed }), (yaml) =>
      yaml.replace('MSSQL_URL}" }', 'MSSQL_URL}", moment: fuzzy }'),
    );
    expect(found.refusals.map(({ where, what }) => `${where}: ${what}`).join()).toContain(
      `customer.${CUSTOMER.primaryKey[0]}: is a SET in the key`,
    );
  });
  it('nothing where one can be had, or nobody knows', () => {
    expect(moment('auto', { snapshot: no('no files'), transaction: yes }).refusals).toEqual([]);
    expect(moment('auto', { snapshot: yes, transaction: no('not allowed') }).refusals).toEqual([]);
    expect(moment('auto', { snapshot: no('no files'), transaction: null }).refusals).toEqual([]);
  });
});

describe('a run', () => {
  it('of a pipeline that is held is refused, with the reason', () => {
    expect(refusal({ ...FACTS, held: 'rolled back by r-7' })).toBe(
      'billing: the pipeline is held: rolled back by r-7',
    );
  });
  it('is told every reason at once', () => {
    const facts = {
      ...withServer({ localInfile: false }),
      badKeys: { customer: { nulls: 1, doubled: 1 } },
      held: 'x',
    };
    expect(decided(facts).refusals).toHaveLength(4);
  });
  it('is told what it needs', () => {
    const live = [{ ...CUSTOMER, rowsEstimate: 1_000_000, dataBytes: 200_000_000 }, INVOICE];
    const { needs } = decided({ ...FACTS, live });
    expect(needs.tables[0]).toMatchObject({
      table: 'customer',
      rowsEstimate: 1_000_000,
      stageBytes: 200_000_000,
      backupBytes: 200_000_000,
    });
    expect(needs.diskBytes).toBeGreaterThan(200_000_000);
    expect(needs.binaryLogBytes).toBe(needs.diskBytes);
    expect(needs.privileges).toContain('REFERENCES');
    expect(decided(withServer({ logBin: false })).needs.binaryLogBytes).toBe(0);
    // live is empty at a first publish: what will come is told by the source alone
    const [customer, invoice] = FACTS.source as [Facts['source'][0], Facts['source'][0]];
    const many = decided({ ...FACTS, source: [{ ...customer, rowsEstimate: 5_000_000 }, invoice] }).needs;
    expect(many.tables[0]?.stageBytes).toBeGreaterThan(5_000_000 * 50);
  });
});

describe('of the configuration, a command refuses', () => {
  const problems = (yaml: string, env: Record<string, string> = ENV) => {
    try {
      parseConfig(yaml, 'stageswap.yaml', env);
    } catch (error) {
      return (error as Error).message;
    }
    return 'no problem';
  };
  it('a key that it does not know, and says which was meant', () => {
    expect(problems(`${YAML}aprove: always`)).toMatch(
      /stageswap.yaml:\d+ at aprove: the key aprove is not known\n {2}cure: did you mean approve\?/,
    );
  });
  it('a key that is missing, and names it', () => {
    expect(problems(YAML.replace('firstRun: source\n', ''))).toMatch(
      /the key firstRun is missing\n {2}cure: write firstRun: source/,
    );
    expect(problems(YAML.replace('    key: [customer_id]\n', ''))).toContain(
      'tables[0].key: the key key is missing',
    );
  });
  it('a variable that is not set, and names it', () => {
    expect(problems(YAML, { MSSQL_URL: ENV.MSSQL_URL })).toContain(
      'the environment variable MYSQL_URL is not set',
    );
  });
  it('a table that is published twice', () => {
    expect(problems(YAML.replace('live: invoice', 'live: customer'))).toContain(
      'customer is also the live table of tables[0]',
    );
  });
});
