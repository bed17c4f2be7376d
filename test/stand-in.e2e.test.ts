/** The SQL Server stand-in, driven through the unmodified `mssql` package. */
import mssql from 'mssql';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startStandIn } from '../demo/sql-server-stand-in/server.js';

let port = 0;
let stop: () => Promise<void>;
const pools: mssql.ConnectionPool[] = [];

async function connect(options: Partial<mssql.config> = {}): Promise<mssql.ConnectionPool> {
  const pool = new mssql.ConnectionPool({
    server: '127.0.0.1',
    port,
    user: 'sa',
    password: 'Secret-1',
    database: 'shop',
    requestTimeout: 60_000,
    options: { encrypt: false, trustServerCertificate: true },
    pool: { max: 30 },
    ...options,
  });
  pool.on('error', () => {});
  pools.push(pool);
  return pool.connect();
}

const errorOf = async (work: Promise<unknown>): Promise<{ number: number; message: string; class: number }> =>
  work.then(
    () => {
      throw new Error('it did not fail');
    },
    (error: { number: number; message: string; class: number }) => error,
  );

let pool: mssql.ConnectionPool;
beforeAll(async () => {
  const started = await startStandIn({ password: 'Secret-1', databases: ['shop', 'plain'] });
  port = started.port;
  stop = started.stop;
  pool = await connect();
  await pool.query('ALTER DATABASE shop SET ALLOW_SNAPSHOT_ISOLATION ON');
});
afterAll(async () => {
  await Promise.all(pools.map((one) => one.close().catch(() => {})));
  await stop();
});

describe('login', () => {
  it('refuses a wrong password and an unknown database with their numbers', async () => {
    const wrong = await errorOf(connect({ password: 'no' }));
    expect(wrong.message).toContain("Login failed for user 'sa'");
    const unknown = await errorOf(connect({ database: 'nowhere' }));
    expect(unknown.message).toContain('Cannot open database "nowhere"');
  });

  it('knows its database, and USE changes it', async () => {
    expect((await pool.query('SELECT DB_NAME() AS a')).recordset).toEqual([{ a: 'shop' }]);
    const other = await connect({ pool: { max: 1 } });
    expect((await other.batch('USE [plain]; SELECT DB_NAME() AS a')).recordset).toEqual([{ a: 'plain' }]);
  });
});

describe('types', () => {
  it('come back as they went in, with their declared metadata', async () => {
    await pool.batch(`CREATE TABLE dbo.kinds (
      id int NOT NULL CONSTRAINT PK_kinds PRIMARY KEY CLUSTERED, a bit, b tinyint, c smallint, d bigint, e decimal(18,4), f money, g smallmoney,
      h real, i float, j date, k time(3), l smalldatetime, m datetime, n datetime2(6), o datetimeoffset(3), p char(5), q varchar(20), r nchar(4),
      s nvarchar(30), t nvarchar(max), u binary(4), v varbinary(10), w varbinary(max), x uniqueidentifier, y numeric(38,10), z varchar(max))`);
    await pool.batch(`INSERT INTO dbo.kinds VALUES (1, 1, 255, -32768, 9223372036854775807, -12345.6789, 922337203685477.5807, -1.5, 1.5, 1e-7,
      '2024-02-29', '23:59:59.123', '2024-02-29 12:34:00', '2024-02-29 12:34:56.123', '9999-12-31 23:59:59.999999', '2024-02-29 12:00:00.123 +00:00',
      'ab', 'Zoë', N'x', N'Ünïcödé 😀', N'${'long'.repeat(2000)}', 0x01020304, 0xFF, 0x00, '6F9619FF-8B86-D011-B42D-00C04FC964FF',
      1234567890123456789012345678.0123456789, 'y'), (2, ${Array(26).fill('NULL').join(', ')})`);
    const result = await pool.query('SELECT * FROM dbo.kinds ORDER BY id');
    const [row, empty] = result.recordset as unknown as [Record<string, unknown>, Record<string, unknown>];
    expect(row).toMatchObject({
      id: 1,
      a: true,
      b: 255,
      c: -32768,
      d: '9223372036854775807',
      e: -12345.6789,
      g: -1.5,
      h: 1.5,
      i: 1e-7,
      p: 'ab   ',
      q: 'Zoë',
      r: 'x   ',
      s: 'Ünïcödé 😀',
      x: '6F9619FF-8B86-D011-B42D-00C04FC964FF',
      z: 'y',
      t: 'long'.repeat(2000),
    });
    if (!row) throw new Error('no row came back');
    expect((row.u as Buffer).toString('hex')).toBe('01020304');
    expect((row.w as Buffer).toString('hex')).toBe('00');
    expect((row.j as Date).toISOString()).toBe('2024-02-29T00:00:00.000Z');
    expect((row.k as Date).toISOString()).toBe('1970-01-01T23:59:59.123Z');
    expect((row.l as Date).toISOString()).toBe('2024-02-29T12:34:00.000Z');
    expect((row.m as Date).toISOString()).toBe('2024-02-29T12:34:56.123Z');
    expect((row.n as Date).toISOString()).toBe('9999-12-31T23:59:59.999Z');
    expect((row.o as Date).toISOString()).toBe('2024-02-29T12:00:00.123Z');
    expect(Object.values(empty).filter((value) => value !== null)).toEqual([2]);
    const columns = result.recordset.columns;
    expect(columns.e).toMatchObject({ precision: 18, scale: 4, nullable: true });
    expect(columns.n).toMatchObject({ scale: 6 });
    expect(columns.s).toMatchObject({ length: 60 });
    expect(columns.id).toMatchObject({ nullable: false });
    const text =
      await pool.query(`SELECT CONVERT(varchar(50), y) AS y, CONVERT(varchar(40), n, 121) AS n, CONVERT(varchar(40), m, 121) AS m,
      CONVERT(varchar(50), CAST(f AS decimal(19,4))) AS f, CONVERT(varchar(50), x) AS x, CONVERT(varchar(20), v, 2) AS v, CONVERT(varchar(20), u, 1) AS u,
      CONVERT(varchar(50), a) AS a, CONVERT(varchar(40), k, 121) AS k, CONVERT(varchar(40), j, 23) AS j, CONVERT(varchar(50), m, 126) AS iso FROM kinds WHERE id = 1`);
    expect(text.recordset[0]).toEqual({
      y: '1234567890123456789012345678.0123456789',
      n: '9999-12-31 23:59:59.999999',
      m: '2024-02-29 12:34:56.123',
      f: '922337203685477.5807',
      x: '6F9619FF-8B86-D011-B42D-00C04FC964FF',
      v: 'FF',
      u: '0x01020304',
      a: '1',
      k: '23:59:59.123',
      j: '2024-02-29',
      iso: '2024-02-29T12:34:56.123',
    });
  });

  it('go through parameters', async () => {
    const request = pool.request();
    const when = new Date('2024-03-01T10:20:30.123Z');
    request
      .input('i', mssql.Int, -5)
      .input('l', mssql.BigInt, '9007199254740993')
      .input('n', mssql.NVarChar, "O'Brien 😀")
      .input('v', mssql.VarChar, 'é');
    request
      .input('d', mssql.Decimal(18, 4), 12.3456)
      .input('t', mssql.DateTime2(3), when)
      .input('y', mssql.Date, when)
      .input('b', mssql.Bit, true);
    request
      .input('x', mssql.VarBinary, Buffer.from([0, 1, 255]))
      .input('g', mssql.UniqueIdentifier, '6F9619FF-8B86-D011-B42D-00C04FC964FF');
    request.input('f', mssql.Float, 1.1).input('z', mssql.NVarChar, null);
    const { recordset } = await request.query(
      'SELECT @i i, @l l, @n n, @v v, @d d, @t t, @y y, @b b, @x x, @g g, @f f, @z z',
    );
    expect(recordset[0]).toEqual({
      i: -5,
      l: '9007199254740993',
      n: "O'Brien 😀",
      v: 'é',
      d: 12.3456,
      t: when,
      y: new Date('2024-03-01'),
      b: true,
      x: Buffer.from([0, 1, 255]),
      g: '6F9619FF-8B86-D011-B42D-00C04FC964FF',
      f: 1.1,
      z: null,
    });
  });
});

describe('queries', () => {
  beforeAll(async () => {
    await pool.batch(`CREATE TABLE parent (id int NOT NULL PRIMARY KEY, name nvarchar(50) NOT NULL)
      CREATE TABLE child (id int IDENTITY(10,1) NOT NULL, parent int NOT NULL, amount decimal(10,2) DEFAULT 0, CONSTRAINT PK_child PRIMARY KEY (id),
        CONSTRAINT FK_child FOREIGN KEY (parent) REFERENCES parent (id))
      CREATE UNIQUE INDEX UX_parent ON parent (name)
      INSERT INTO parent (id, name) VALUES (1, N'Ann'), (2, N'bob')
      INSERT child (parent, amount) VALUES (1, 5), (1, 7.5), (2, 1)`);
  });

  it('join, group, order, page and number', async () => {
    const joined =
      await pool.query(`SELECT p.name, COUNT(*) AS n, SUM(c.amount) AS total FROM dbo.parent AS p WITH (NOLOCK)
      JOIN [shop].[dbo].[child] c ON c.parent = p.id GROUP BY p.name HAVING COUNT(*) > 0 ORDER BY p.name DESC`);
    expect(joined.recordset).toEqual([
      { name: 'bob', n: 1, total: 1 },
      { name: 'Ann', n: 2, total: 12.5 },
    ]);
    const request = pool.request().input('skip', mssql.Int, 1).input('top', mssql.Int, 1);
    expect(
      (await request.query('SELECT id FROM child ORDER BY id OFFSET @skip ROWS FETCH NEXT @top ROWS ONLY'))
        .recordset,
    ).toEqual([{ id: 11 }]);
    expect((await request.query('SELECT TOP (@top) id FROM child ORDER BY id DESC')).recordset).toEqual([
      { id: 12 },
    ]);
    expect(
      (
        await pool.query(
          'SELECT id, ROW_NUMBER() OVER (PARTITION BY parent ORDER BY id DESC) AS r FROM child ORDER BY id',
        )
      ).recordset.map((row) => row.r),
    ).toEqual(['2', '1', '1']);
    expect(
      (
        await pool.query(
          "SELECT name + N'!' AS a, 7 / 2 AS b, ISNULL(NULL, 3) AS c, LEN('ab ') AS d, CASE WHEN name = 'ANN' THEN 1 ELSE 0 END e FROM parent WHERE name = 'ann'",
        )
      ).recordset,
    ).toEqual([{ a: 'Ann!', b: 3, c: 3, d: 2, e: 1 }]);
    expect(
      (
        await pool.query(
          'WITH x AS (SELECT MAX(id) AS m FROM child) SELECT COUNT_BIG(*) AS n, MAX(x.m) AS m FROM x WHERE EXISTS (SELECT 1 FROM parent p WHERE p.id = 1)',
        )
      ).recordset,
    ).toEqual([{ n: '1', m: 12 }]);
  });

  it('answers what a client asks about the server', async () => {
    const { recordset } =
      await pool.query(`SELECT @@VERSION v, @@SPID s, @@TRANCOUNT t, SERVERPROPERTY('ProductMajorVersion') p, SERVERPROPERTY('EngineEdition') e,
      DB_ID() d, OBJECT_ID('dbo.parent') o, OBJECT_ID('[dbo].[nothing]') n, SUSER_SNAME() u, HAS_PERMS_BY_NAME('x','OBJECT','SELECT') h, GETDATE() g, NEWID() i`);
    expect(recordset[0]).toMatchObject({ t: 0, p: '16', e: 3, n: null, u: 'sa', h: 1 });
    expect(recordset[0].o).toBeGreaterThan(0);
    expect(recordset[0].v).toContain('stand-in');
  });

  it('counts what changes, and keeps variables and IF', async () => {
    expect(
      (
        await pool.query(
          "UPDATE parent SET name = name + N'x' WHERE id = 2; UPDATE parent SET name = N'bob' WHERE id = 2",
        )
      ).rowsAffected,
    ).toEqual([1, 1]);
    expect((await pool.query('DELETE TOP (1) FROM child WHERE parent = 99')).rowsAffected).toEqual([0]);
    const declared = await pool.batch(`DECLARE @n int = 4, @s nvarchar(10)
      SET @s = N'a' + N'b'
      SELECT @n = COUNT(*) FROM parent
      IF @n = 2 SELECT @s AS s ELSE SELECT 'no' AS s`);
    expect(declared.recordset).toEqual([{ s: 'ab' }]);
    expect((await pool.query('INSERT INTO child (parent) OUTPUT inserted.id VALUES (1)')).recordset).toEqual([
      { id: 13 },
    ]);
  });

  it('fail with the numbers of SQL Server', async () => {
    const number = async (sql: string): Promise<number> => (await errorOf(pool.query(sql))).number;
    expect(await number('SELECT * FROM nothing')).toBe(208);
    expect(await number('SELECT nothing FROM parent')).toBe(207);
    expect(await number("INSERT INTO parent VALUES (1, N'again')")).toBe(2627);
    expect(await number("INSERT INTO parent VALUES (3, N'Ann')")).toBe(2601);
    expect(await number('INSERT INTO parent VALUES (3, NULL)')).toBe(515);
    expect(await number('INSERT INTO child (parent) VALUES (99)')).toBe(547);
    expect(await number('SELEC 1')).toBe(102);
    expect(await number('SELECT 1 FROM')).toBe(102);
    expect(await number('CREATE TABLE parent (id int)')).toBe(2714);
    expect(await number('DROP TABLE nothing')).toBe(3701);
    expect(await number('SELECT 1 / 0 AS a')).toBe(8134);
    expect(await number('SELECT id / (id - id) AS a FROM parent')).toBe(8134);
    expect(await number('USE nowhere')).toBe(911);
    expect(await number('MERGE parent USING child ON 1 = 1')).toBe(102);
    expect(await number('EXEC sp_who')).toBe(2812);
    expect(await number('SELECT SOUNDEX(name) FROM parent')).toBe(195);
    expect(await number('SELECT @x')).toBe(137);
    expect(await number("SELECT CAST('abc' AS int)")).toBe(245);
    expect(await number("SELECT CAST('6F9619FF8B86D011B42D00C04FC964FF' AS uniqueidentifier)")).toBe(8169);
    expect(await number("SELECT CONVERT(uniqueidentifier, 'abc')")).toBe(8169);
    expect(await number("DECLARE @g nvarchar(40) = N'abc'; SELECT CAST(@g AS uniqueidentifier)")).toBe(8169);
    expect(await number('INSERT INTO child (id, parent) VALUES (1, 1)')).toBe(544);
  });
});

describe('isolation', () => {
  beforeAll(async () => {
    await pool.batch(
      'CREATE TABLE seen (id int PRIMARY KEY, v int); CREATE TABLE plain.dbo.seen (id int); INSERT INTO seen VALUES (1, 0)',
    );
  });
  const value = async (reader: mssql.Transaction | mssql.ConnectionPool): Promise<number> => {
    const request = reader instanceof mssql.Transaction ? reader.request() : reader.request();
    return (await request.query('SELECT v FROM seen WHERE id = 1')).recordset[0].v;
  };
  const set = (v: number): Promise<unknown> => pool.query(`UPDATE seen SET v = ${v} WHERE id = 1`);

  it('READ COMMITTED sees what others commit, inside a transaction, too', async () => {
    await set(0);
    const transaction = pool.transaction();
    await transaction.begin(mssql.ISOLATION_LEVEL.READ_COMMITTED);
    expect(await value(transaction)).toBe(0);
    await set(1);
    expect(await value(transaction)).toBe(1);
    await transaction.request().query('UPDATE seen SET v = v + 10 WHERE id = 1');
    expect(await value(transaction)).toBe(11);
    expect(await value(pool)).toBe(1);
    await transaction.rollback();
    expect(await value(pool)).toBe(1);
  });

  it('SNAPSHOT begins at the first read and then stands still', async () => {
    await set(0);
    const transaction = pool.transaction();
    await transaction.begin(mssql.ISOLATION_LEVEL.SNAPSHOT);
    await set(2);
    expect(await value(transaction)).toBe(2);
    await set(3);
    await pool.query('INSERT INTO seen VALUES (100, 1)');
    expect(await value(transaction)).toBe(2);
    expect((await transaction.request().query('SELECT COUNT(*) n FROM seen')).recordset[0].n).toBe(1);
    await transaction.commit();
    expect(await value(pool)).toBe(3);
  });

  it('SNAPSHOT is refused with 3952 where the database does not allow it', async () => {
    const transaction = pool.transaction();
    transaction.on('rollback', () => {});
    await transaction.begin(mssql.ISOLATION_LEVEL.SNAPSHOT);
    expect((await errorOf(transaction.request().query('SELECT * FROM plain.dbo.seen'))).number).toBe(3952);
    await transaction.rollback();
  });

  it('writers wait for each other, up to LOCK_TIMEOUT', async () => {
    await set(0);
    const transaction = pool.transaction();
    await transaction.begin();
    await transaction.request().query('UPDATE seen SET v = v + 1 WHERE id = 1');
    expect(
      (await errorOf(pool.batch('SET LOCK_TIMEOUT 50; UPDATE seen SET v = v + 1 WHERE id = 1; '))).number,
    ).toBe(1222);
    const waiting = Promise.all(
      Array.from({ length: 10 }, () =>
        pool.batch('SET LOCK_TIMEOUT -1; UPDATE seen SET v = v + 1 WHERE id = 1'),
      ),
    );
    await new Promise((resolve) => setTimeout(resolve, 50));
    await transaction.commit();
    await waiting;
    expect(await value(pool)).toBe(11);
  });

  it('an error inside a transaction that wrote leaves only ROLLBACK, loudly', async () => {
    const transaction = pool.transaction();
    await transaction.begin();
    await transaction.request().query('INSERT INTO seen VALUES (200, 0)');
    expect((await errorOf(transaction.request().query('INSERT INTO seen VALUES (200, 0)'))).number).toBe(
      2627,
    );
    expect((await errorOf(transaction.request().query('SELECT * FROM seen'))).number).toBe(3930);
    await transaction.rollback();
    expect((await pool.query('SELECT COUNT(*) n FROM seen WHERE id = 200')).recordset[0].n).toBe(0);
  });
});

describe('database snapshots', () => {
  it('hold one moment, cannot be written, and go', async () => {
    await pool.batch(
      "CREATE TABLE moment (id int PRIMARY KEY, s nvarchar(10) NOT NULL); INSERT INTO moment VALUES (1, N'a')",
    );
    const files = await pool.query(
      "SELECT name, physical_name FROM sys.database_files WHERE type_desc = 'ROWS'",
    );
    expect(files.recordset).toHaveLength(1);
    await pool.batch(
      `CREATE DATABASE [shop snap] ON (NAME = [${files.recordset[0].name}], FILENAME = N'C:\\x.ss') AS SNAPSHOT OF [shop]`,
    );
    await pool.query("UPDATE moment SET s = N'b'; INSERT INTO moment VALUES (2, N'c')");
    expect((await pool.query('SELECT * FROM [shop snap].dbo.moment')).recordset).toEqual([{ id: 1, s: 'a' }]);
    const own = await connect({ database: 'shop snap' });
    expect((await own.query('SELECT s FROM moment WHERE id = 1')).recordset).toEqual([{ s: 'a' }]);
    expect((await errorOf(own.query('DELETE FROM moment'))).number).toBe(3906);
    expect(
      (
        await own.query(
          "SELECT source_database_id AS s, is_read_only AS r FROM sys.databases WHERE name = 'shop snap'",
        )
      ).recordset[0].r,
    ).toBe(true);
    expect((await errorOf(pool.batch('DROP DATABASE [shop snap]'))).number).toBe(3702);
    await own.close();
    expect(
      (await errorOf(pool.batch("CREATE DATABASE y ON (NAME = x, FILENAME = 'x') AS SNAPSHOT OF nowhere")))
        .number,
    ).toBe(911);
    expect(
      (
        await errorOf(
          pool.batch("CREATE DATABASE [shop snap] ON (NAME = x, FILENAME = 'x') AS SNAPSHOT OF shop"),
        )
      ).number,
    ).toBe(1801);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await pool.batch('DROP DATABASE [shop snap]');
    await pool.batch('DROP DATABASE IF EXISTS [shop snap]');
    expect((await errorOf(pool.query('SELECT * FROM [shop snap].dbo.moment'))).number).toBe(208);
  });

  it('can be switched off, as on an engine without them', async () => {
    const other = await startStandIn({ password: 'x', databases: ['a'], noDatabaseSnapshots: true });
    const client = await connect({ port: other.port, password: 'x', database: 'a' });
    expect(
      (await errorOf(client.batch("CREATE DATABASE s ON (NAME = a, FILENAME = 'x') AS SNAPSHOT OF a")))
        .number,
    ).toBe(1844);
    await client.close();
    await other.stop();
  });
});

describe('the catalogue', () => {
  it('answers joins over tables, columns, types, indexes and foreign keys', async () => {
    await pool.batch('CREATE SCHEMA sales');
    await pool.batch(`CREATE TABLE sales.head (id int NOT NULL, part smallint NOT NULL, note nvarchar(40) COLLATE Latin1_General_BIN2 NULL, CONSTRAINT PK_head PRIMARY KEY CLUSTERED (id, part DESC));
      CREATE TABLE sales.line (id bigint NOT NULL PRIMARY KEY, head int, part smallint, CONSTRAINT FK_line FOREIGN KEY (head, part) REFERENCES sales.head (id, part));
      INSERT INTO sales.head VALUES (1, 1, N'x'), (2, 1, NULL)`);
    const columns =
      await pool.query(`SELECT c.name, c.column_id, y.name AS type_name, c.max_length, c.precision, c.scale, c.is_nullable, c.is_identity, c.collation_name
      FROM sys.tables AS t JOIN sys.schemas AS s ON s.schema_id = t.schema_id JOIN sys.columns AS c ON c.object_id = t.object_id
      JOIN sys.types y ON y.user_type_id = c.user_type_id WHERE s.name = N'sales' AND t.name = N'head' ORDER BY c.column_id`);
    expect(
      columns.recordset.map((row) => [row.name, row.type_name, row.max_length, row.is_nullable]),
    ).toEqual([
      ['id', 'int', 4, false],
      ['part', 'smallint', 2, false],
      ['note', 'nvarchar', 80, true],
    ]);
    expect(columns.recordset[2].collation_name).toBe('Latin1_General_BIN2');
    const index =
      await pool.query(`SELECT i.name, c.name AS column_name, x.key_ordinal, x.is_descending_key FROM sys.indexes AS i
      JOIN sys.index_columns AS x ON x.object_id = i.object_id AND x.index_id = i.index_id JOIN sys.columns c ON c.object_id = x.object_id AND c.column_id = x.column_id
      WHERE i.object_id = OBJECT_ID(N'[sales].[head]') AND i.is_primary_key = 1 ORDER BY x.key_ordinal`);
    expect(index.recordset).toEqual([
      { name: 'PK_head', column_name: 'id', key_ordinal: 1, is_descending_key: false },
      { name: 'PK_head', column_name: 'part', key_ordinal: 2, is_descending_key: true },
    ]);
    const keys =
      await pool.query(`SELECT f.name, p.name AS parent, r.name AS referenced, COUNT(*) AS n, f.delete_referential_action_desc AS d FROM sys.foreign_keys f
      JOIN sys.foreign_key_columns k ON k.constraint_object_id = f.object_id JOIN sys.tables p ON p.object_id = f.parent_object_id
      JOIN sys.tables r ON r.object_id = f.referenced_object_id WHERE f.name = 'FK_line' GROUP BY f.name, p.name, r.name, f.delete_referential_action_desc`);
    expect(keys.recordset).toEqual([
      { name: 'FK_line', parent: 'line', referenced: 'head', n: 2, d: 'NO_ACTION' },
    ]);
    const rows = await pool
      .request()
      .input('object', mssql.Int, 0)
      .query(
        "SELECT SUM(p.rows) AS row_count FROM sys.partitions AS p WHERE p.object_id = OBJECT_ID('sales.head') AND p.index_id IN (0, 1)",
      );
    expect(Number(rows.recordset[0].row_count)).toBe(2);
    const information = await pool.query(
      "SELECT COLUMN_NAME, DATA_TYPE, CHARACTER_MAXIMUM_LENGTH FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_SCHEMA = 'sales' AND TABLE_NAME = 'head' AND DATA_TYPE = 'nvarchar'",
    );
    expect(information.recordset).toEqual([
      { COLUMN_NAME: 'note', DATA_TYPE: 'nvarchar', CHARACTER_MAXIMUM_LENGTH: 40 },
    ]);
    const databases = await pool.query(
      'SELECT name, snapshot_isolation_state AS s FROM sys.databases WHERE database_id = DB_ID()',
    );
    expect(databases.recordset).toEqual([{ name: 'shop', s: 1 }]);
  });
});

describe('large data', () => {
  const ROWS = 200_000;
  beforeAll(async () => {
    const table = new mssql.Table('big');
    table.create = true;
    table.columns.add('id', mssql.Int, { nullable: false, primary: true });
    table.columns.add('name', mssql.NVarChar(50), { nullable: true });
    table.columns.add('amount', mssql.Decimal(18, 4), { nullable: false });
    table.columns.add('at', mssql.DateTime2(3), { nullable: false });
    table.columns.add('raw', mssql.VarBinary(16), { nullable: true });
    for (let i = 0; i < ROWS; i++)
      table.rows.add(
        i,
        i % 7 === 0 ? null : `name ${i}`,
        i / 4,
        new Date(1_700_000_000_000 + i),
        Buffer.from([i & 255]),
      );
    expect((await pool.request().bulk(table)).rowsAffected).toBe(ROWS);
  });

  it('is loaded in bulk, exactly', async () => {
    const { recordset } = await pool.query(
      'SELECT COUNT(*) AS n, SUM(CAST(id AS bigint)) AS s, COUNT(name) AS named, MAX(amount) AS m FROM big',
    );
    expect(recordset[0]).toEqual({
      n: ROWS,
      s: String((ROWS * (ROWS - 1)) / 2),
      named: ROWS - Math.ceil(ROWS / 7),
      m: (ROWS - 1) / 4,
    });
    expect((await pool.query('SELECT * FROM big WHERE id = 5')).recordset).toEqual([
      { id: 5, name: 'name 5', amount: 1.25, at: new Date(1_700_000_000_005), raw: Buffer.from([5]) },
    ]);
  });

  it('a bulk load that breaks a key loads nothing', async () => {
    const table = new mssql.Table('big');
    table.columns.add('id', mssql.Int, { nullable: false });
    table.columns.add('amount', mssql.Decimal(18, 4), { nullable: false });
    table.columns.add('at', mssql.DateTime2(3), { nullable: false });
    table.rows.add(ROWS + 1, 1, new Date());
    table.rows.add(1, 1, new Date());
    expect((await errorOf(pool.request().bulk(table))).number).toBe(2627);
    expect((await pool.query(`SELECT COUNT(*) AS n FROM big WHERE id > ${ROWS}`)).recordset[0].n).toBe(0);
  });

  it('streams with pauses and loses no row', async () => {
    const request = pool.request();
    request.stream = true;
    request.arrayRowMode = true;
    let rows = 0;
    let sum = 0;
    await new Promise<void>((resolve, reject) => {
      request.on('row', (row: [number]) => {
        sum += row[0];
        if (++rows % 20_000 === 0) {
          request.pause();
          setTimeout(() => request.resume(), 5);
        }
      });
      request.on('error', reject);
      request.on('done', (result: { rowsAffected: number[] }) => {
        expect(result.rowsAffected).toEqual([ROWS]);
        resolve();
      });
      void request.query('SELECT id, name, amount, at, raw FROM big');
    });
    expect(rows).toBe(ROWS);
    expect(sum).toBe((ROWS * (ROWS - 1)) / 2);
  });

  it('a cancelled stream ends at once and its connection goes on, inside a transaction, too', async () => {
    const transaction = pool.transaction();
    await transaction.begin(mssql.ISOLATION_LEVEL.SNAPSHOT);
    for (let round = 0; round < 3; round++) {
      const request = transaction.request();
      request.stream = true;
      let rows = 0;
      const started = Date.now();
      await new Promise<void>((resolve) => {
        request.on('row', () => {
          if (++rows === 100) request.cancel();
        });
        request.on('error', () => {});
        request.on('done', () => resolve());
        void request.query('SELECT a.id FROM big a CROSS JOIN big b').catch(() => {});
      });
      expect(Date.now() - started).toBeLessThan(3000);
      expect((await transaction.request().query('SELECT COUNT(*) AS n FROM big')).recordset[0].n).toBe(ROWS);
    }
    await transaction.commit();
  });

  it('a request that times out leaves its connection usable', async () => {
    const one = await connect({ requestTimeout: 300, pool: { max: 1 } });
    expect(
      (await errorOf(one.query('SELECT SUM(CAST(a.id AS float) * b.id) AS s FROM big a CROSS JOIN big b')))
        .message,
    ).toMatch(/Timeout/);
    expect((await one.query('SELECT 1 AS a')).recordset).toEqual([{ a: 1 }]);
  });

  it('serves many connections at once', async () => {
    const many = await connect({ pool: { max: 60 } });
    const results = await Promise.all(
      Array.from({ length: 120 }, (_, i) =>
        many.request().input('i', mssql.Int, i).query('SELECT id FROM big WHERE id = @i'),
      ),
    );
    expect(results.map((result) => result.recordset[0].id)).toEqual(Array.from({ length: 120 }, (_, i) => i));
  });
});
