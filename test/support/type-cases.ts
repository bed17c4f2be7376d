/** Pairs of types with values that reach their limits: what the source holds, and what MySQL must then hold. */

export interface TypeCase {
  /** T-SQL type of the source's column */
  source: string;
  /** column of live, as CREATE TABLE has it */
  live: string;
  /** T-SQL literal, and what live shows for it */
  values: [literal: string, shown: string][];
}

export interface BadCase {
  source: string;
  live: string;
  /** T-SQL literal of a value that fits the source and not live */
  value: string;
  reason: RegExp;
}

const plain = (source: string, live: string, ...values: string[]): TypeCase => ({
  source,
  live,
  values: values.map((value) => [value, value]),
});
const text = (source: string, live: string, ...values: string[]): TypeCase => ({
  source,
  live,
  values: values.map((value) => [`N'${value.replaceAll("'", "''")}'`, value]),
});
/** Literals in quotes. */
const quoted = (source: string, live: string, ...values: [string, string?][]): TypeCase => ({
  source,
  live,
  values: values.map(([value, shown = value]) => [`'${value}'`, shown]),
});

const INT = ['-2147483648', '2147483647', '0', '-1'];
const BIGINT = ['-9223372036854775808', '9223372036854775807', '9007199254740993', '0'];
const WHOLE38 = `${'9'.repeat(37)}8`;
const SPECIAL = 'back\\slash \t tab \n line \r return \u001f unit \u001e mark \\N NULL "quoted" \'single\'';

export const EXACT: TypeCase[] = [
  {
    source: 'bit',
    live: 'TINYINT(1)',
    values: [
      ['1', '1'],
      ['0', '0'],
    ],
  },
  {
    source: 'bit',
    live: 'BOOLEAN',
    values: [
      ['1', '1'],
      ['0', '0'],
    ],
  },
  {
    source: 'bit',
    live: 'BIT(1)',
    values: [
      ['1', '1'],
      ['0', '0'],
    ],
  },
  plain('tinyint', 'TINYINT UNSIGNED', '0', '255'),
  plain('tinyint', 'TINYINT', '0', '127'),
  plain('smallint', 'SMALLINT', '-32768', '32767', '0'),
  plain('smallint', 'SMALLINT UNSIGNED', '0', '32767'),
  plain('int', 'SMALLINT UNSIGNED', '0', '65535'),
  plain('smallint', 'YEAR', '1901', '2155', '1999'),
  plain('int', 'INT', ...INT),
  plain('int', 'INT UNSIGNED', '0', '2147483647'),
  plain('int', 'MEDIUMINT', '-8388608', '8388607'),
  plain('int', 'MEDIUMINT UNSIGNED', '0', '16777215'),
  plain('int', 'BIT(12)', '0', '4095', '7'),
  plain('int', 'INT(8) ZEROFILL', '0', '42'),
  plain('int', 'DECIMAL(10,0)', ...INT),
  plain('int', 'VARCHAR(11)', ...INT),
  plain('int', 'DOUBLE', ...INT),
  plain('int', 'FLOAT', '16777216', '-3'),
  plain('int', 'YEAR', '1901', '2155'),
  plain('bigint', 'BIGINT', ...BIGINT),
  plain('bigint', 'BIGINT UNSIGNED', '0', '9223372036854775807'),
  plain('bigint', 'BIT(64)', '0', '9223372036854775807'),
  plain('bigint', 'DECIMAL(19,0)', ...BIGINT),
  plain('bigint', 'CHAR(20)', ...BIGINT),
  plain('bigint', 'INT', ...INT),
  plain('bigint', 'DOUBLE', '9007199254740992', '-4'),
  plain('decimal(38,0)', 'DECIMAL(38,0)', WHOLE38, `-${WHOLE38}`, '0', '1'),
  {
    source: 'decimal(38,10)',
    live: 'DECIMAL(40,12)',
    values: [
      ['9999999999999999999999999999.9999999999', '9999999999999999999999999999.999999999900'],
      ['-0.0000000001', '-0.000000000100'],
      ['0', '0.000000000000'],
    ],
  },
  quoted('decimal(38,30)', 'DECIMAL(38,30)', [`12345678.${'1'.repeat(30)}`], [`-0.${'9'.repeat(30)}`]),
  plain('numeric(15,5)', 'DECIMAL(15,5)', '9999999999.99999', '-0.00001', '0.00000'),
  plain('decimal(18,0)', 'BIGINT', '999999999999999999', '-999999999999999999'),
  plain('decimal(10,2)', 'VARCHAR(13)', '-99999999.99', '0.50', '12.00'),
  {
    source: 'decimal(9,2)',
    live: 'INT',
    values: [
      ['42.00', '42'],
      ['-1.00', '-1'],
    ],
  },
  {
    source: 'money',
    live: 'DECIMAL(19,4)',
    values: [
      ['922337203685477.5807', '922337203685477.5807'],
      ['-922337203685477.5808', '-922337203685477.5808'],
      ['0.0001', '0.0001'],
    ],
  },
  plain('smallmoney', 'DECIMAL(10,4)', '214748.3647', '-214748.3648'),
  plain(
    'float',
    'DOUBLE',
    '1.7976931348623157e308',
    '-2.2250738585072014e-308',
    '0.1',
    '0.30000000000000004',
    '123456789.125',
    '1e22',
    '0',
  ),
  plain('float', 'FLOAT', '1.5', '-0.0009765625', '16777216'),
  { source: 'float', live: 'DOUBLE', values: [["CAST('-0.0' AS float)", '-0']] },
  { source: 'real', live: 'FLOAT', values: [["CAST('-0.0' AS real)", '-0']] },
  {
    source: 'real',
    live: 'DOUBLE',
    values: [
      ['0.1', '0.10000000149011612'],
      ['3.4028234663852886e38', '3.4028234663852886e38'],
    ],
  },
  {
    source: 'real',
    live: 'FLOAT',
    values: [
      ['0.1', '0.10000000149011612'],
      ['16777217', '16777216'],
      ['1.17549435e-38', '1.1754943508222875e-38'],
    ],
  },
  quoted('date', 'DATE', ['1000-01-01'], ['9999-12-31'], ['2024-02-29']),
  quoted('date', 'DATETIME(3)', ['2024-02-29', '2024-02-29 00:00:00.000']),
  quoted('time(0)', 'TIME', ['23:59:59'], ['00:00:00']),
  quoted('time(7)', 'TIME(6)', ['23:59:59.999999'], ['00:00:00', '00:00:00.000000']),
  quoted('time(6)', 'TIME(6)', ['23:59:59.999999'], ['00:00:00.000001']),
  quoted('smalldatetime', 'DATETIME', ['2079-06-06 23:59:00'], ['1900-01-01 00:00:00']),
  quoted(
    'datetime',
    'DATETIME(3)',
    ['1753-01-01 00:00:00.000'],
    ['9999-12-31 23:59:59.997'],
    ['2024-05-06 07:08:09.123'],
  ),
  quoted('datetime', 'DATE', ['2024-02-29 00:00:00', '2024-02-29']),
  quoted('datetime2(0)', 'DATETIME', ['9999-12-31 23:59:59']),
  quoted('datetime2(3)', 'DATETIME(6)', ['2024-05-06 07:08:09.123', '2024-05-06 07:08:09.123000']),
  quoted('datetime2(6)', 'DATETIME(6)', ['1000-01-01 00:00:00.000001'], ['9999-12-31 23:59:59.999999']),
  quoted('datetime2(7)', 'DATETIME(6)', ['2024-05-06 07:08:09.123456']),
  quoted('datetimeoffset(6)', 'DATETIME(6)', [
    '2024-01-01 00:30:00.000001 +02:00',
    '2023-12-31 22:30:00.000001',
  ]),
  quoted(
    'datetimeoffset(0)',
    'TIMESTAMP NULL',
    ['1970-01-01 00:00:01 +00:00', '1970-01-01 00:00:01'],
    ['2038-01-19 05:14:07 +02:00', '2038-01-19 03:14:07'],
  ),
  quoted(
    'datetime2(3)',
    'TIMESTAMP(3) NULL',
    ['2024-07-01 12:00:00.125', '2024-07-01 10:00:00.125'],
    ['2024-01-01 00:30:00.000', '2023-12-31 23:30:00.000'],
  ),
  quoted(
    'smalldatetime',
    'TIMESTAMP NULL',
    ['2024-03-31 01:59:00', '2024-03-31 00:59:00'],
    ['2024-03-31 03:00:00', '2024-03-31 01:00:00'],
  ),
  text('varchar(40)', 'VARCHAR(40)', '', ' leading and trailing ', 'äöüß€ŒœŠž', "it's"),
  text('varchar(40)', 'VARCHAR(40) CHARACTER SET latin1', 'äöüß€ŒœŠž', ' x '),
  text('varchar(40) COLLATE Latin1_General_100_CI_AS_SC_UTF8', 'VARCHAR(40)', '日本語 😀 é', ''),
  text('varchar(40) COLLATE Polish_CI_AS', 'VARCHAR(40)', 'Łódź, Żółkiewskiego 3', 'zażółć gęślą jaźń'),
  text('varchar(40) COLLATE Cyrillic_General_CI_AS', 'VARCHAR(40)', 'Счёт № 17'),
  text('char(20) COLLATE Japanese_CI_AS', 'VARCHAR(20)', '請求書'),
  text('varchar(5000)', 'TEXT', `${'x'.repeat(4_999)}€`, ''),
  text('varchar(max)', 'LONGTEXT', 'x'.repeat(70_000), ''),
  text('nvarchar(60)', 'VARCHAR(60)', 'ÅÄÖ 日本語 😀 é', 'trailing  '),
  text('nvarchar(100)', 'VARCHAR(100)', SPECIAL),
  text('nvarchar(4)', 'VARCHAR(2)', '😀😀', 'ab'),
  text('nvarchar(20)', 'VARCHAR(20) CHARACTER SET utf8mb3', '日本語'),
  text('nvarchar(20)', 'VARCHAR(20) CHARACTER SET utf16', '日本語😀'),
  text('nvarchar(20)', 'VARCHAR(20) CHARACTER SET cp932', '日本語', 'ｱｲｳ'),
  text('nvarchar(20)', 'VARCHAR(20) CHARACTER SET ascii', 'plain'),
  text('nvarchar(max)', 'TEXT', '日'.repeat(21_845), ''),
  text('nvarchar(max)', 'MEDIUMTEXT', `${'日'.repeat(30_000)}😀`),
  text('nvarchar(max)', 'TINYTEXT CHARACTER SET latin1', 'é'.repeat(255)),
  text(
    'nvarchar(20)',
    "ENUM('new','it''s','back\\\\slash','größe','1')",
    'new',
    "it's",
    'back\\slash',
    'größe',
    '1',
  ),
  {
    source: 'nvarchar(20)',
    live: "SET('a','b','c')",
    values: [
      ["N'c,a'", 'a,c'],
      ["N''", ''],
      ["N'b'", 'b'],
    ],
  },
  {
    source: 'char(6)',
    live: 'CHAR(6)',
    values: [
      ["'ab'", 'ab'],
      ["'abcdef'", 'abcdef'],
      ["''", ''],
    ],
  },
  {
    source: 'nchar(6)',
    live: 'VARCHAR(6)',
    values: [
      ["N'äb'", 'äb'],
      ["N' x'", ' x'],
    ],
  },
  {
    source: 'nvarchar(max)',
    live: 'JSON',
    values: [
      [
        `N'{"bb": 1.0, "a": [1, 1.50, 1e5, -0, 1e300, "\\u00e9\\/\\n日"], "": null, "é": {"x": {}, "y": []}}'`,
        `{"": null, "a": [1, 1.5, 100000.0, 0, 1e300, "é/\\n日"], "bb": 1.0, "é": {"x": {}, "y": []}}`,
      ],
      [
        `N' [18446744073709551615, -9223372036854775808, 0.1, true] '`,
        '[18446744073709551615, -9223372036854775808, 0.1, true]',
      ],
      [`N'"text"'`, '"text"'],
    ],
  },
  {
    source: 'uniqueidentifier',
    live: 'CHAR(36)',
    values: [["'6f9619ff-8b86-d011-b42d-00c04fc964ff'", '6F9619FF-8B86-D011-B42D-00C04FC964FF']],
  },
  {
    source: 'uniqueidentifier',
    live: 'BINARY(16)',
    values: [["'6f9619ff-8b86-d011-b42d-00c04fc964ff'", '6F9619FF8B86D011B42D00C04FC964FF']],
  },
  {
    source: 'binary(4)',
    live: 'BINARY(4)',
    values: [
      ['0x01000000', '01000000'],
      ['0x00000000', '00000000'],
    ],
  },
  { source: 'binary(4)', live: 'VARBINARY(8)', values: [['0x0100FF00', '0100FF00']] },
  {
    source: 'varbinary(8)',
    live: 'VARBINARY(8)',
    values: [
      ['0x', ''],
      ['0x6100', '6100'],
      ['0x1F0A5C00', '1F0A5C00'],
    ],
  },
  { source: 'varbinary(8)', live: 'BINARY(2)', values: [['0x0A00', '0A00']] },
  ...(['TINYBLOB', 'BLOB', 'MEDIUMBLOB'] as const).map((live) => ({
    source: 'varbinary(max)',
    live,
    values: [`${'00FF0A1F5C'.repeat(51)}`, '', '6100'].map((hex): [string, string] => [`0x${hex}`, hex]),
  })),
  {
    source: 'varbinary(max)',
    live: 'LONGBLOB',
    values: [[`0x${'00FF0A1F5C'.repeat(20_000)}`, '00FF0A1F5C'.repeat(20_000)]],
  },
];

/** Pairs of which the way back is no plain copy: digits that were cut or added, a zone, no order. */
export const CUT_IN_KEYS: TypeCase[] = [
  quoted('datetime2(7)', 'DATETIME(6)', ['2024-05-06 07:08:09.1234567'], ['1000-01-01 00:00:00.0000009']),
  quoted('datetime2(7)', 'DATETIME', ['2024-05-06 07:08:09.0000009']),
  quoted('time(7)', 'TIME(6)', ['23:59:59.9999999'], ['00:00:00.0000001']),
  quoted('datetimeoffset(7)', 'DATETIME(6)', ['2024-01-01 00:30:00.1234567 +02:00']),
  quoted('datetimeoffset(7)', 'TIMESTAMP(6)', ['2024-01-01 00:30:00.1234567 -11:30']),
  quoted('smalldatetime', 'DATETIME(6)', ['2079-06-06 23:59:00'], ['1900-01-01 00:00:00']),
  quoted('smalldatetime', 'DATE', ['2024-02-29 00:00:00']),
  quoted('datetime2(3)', 'DATE', ['2024-02-29 00:00:00']),
  quoted('date', 'DATETIME(6)', ['2024-02-29'], ['1000-01-01']),
  quoted('datetime', 'DATETIME(6)', ['2024-05-06 07:08:09.123'], ['9999-12-31 23:59:59.997']),
  quoted(
    'datetime',
    'TIMESTAMP(6)',
    ['2024-05-06 07:08:09.123'],
    ['2024-10-27 01:59:59.997'],
    ['2024-10-27 03:00:00.000'],
  ),
  quoted('datetime2(7)', 'TIMESTAMP(6)', ['2024-03-31 01:59:59.9999999'], ['2024-03-31 03:00:00']),
  quoted('datetime2(0)', 'TIMESTAMP', ['1970-01-01 01:00:01'], ['2038-01-19 04:14:07']),
  plain('int', 'DECIMAL(14,4)', ...INT),
  plain('tinyint', 'DECIMAL(4,1)', '0', '255'),
  plain('smallint', 'CHAR(6)', '-32768', '32767'),
  plain('smallmoney', 'DECIMAL(20,10)', '214748.3647', '-214748.3648', '0'),
  plain('money', 'VARCHAR(30)', '922337203685477.5807', '-922337203685477.5808', '0', '1.5'),
  plain('money', 'BIGINT', '922337203685477.0000', '-5'),
  plain('decimal(10,2)', 'CHAR(13)', '-99999999.99', '0.50', '12.00', '0'),
  plain('decimal(5,5)', 'DECIMAL(8,6)', '-0.99999', '0'),
  text('nvarchar(20)', "SET('a','b','c')", 'c,a', 'b', '', 'c,b,a'),
  text('nvarchar(20)', "SET('100%','[x]','_')", '_,100%', '[x]', '[x],_'),
  text('nchar(6)', 'CHAR(6)', 'äb', ' x', "it's"),
  quoted('uniqueidentifier', 'VARBINARY(16)', ['6f9619ff-8b86-d011-b42d-00c04fc964ff']),
  quoted('uniqueidentifier', 'VARCHAR(40)', ['6f9619ff-8b86-d011-b42d-00c04fc964ff']),
];

const bad = (source: string, live: string, value: string, reason: RegExp): BadCase => ({
  source,
  live,
  value,
  reason,
});

export const BAD: BadCase[] = [
  bad('tinyint', 'TINYINT', '128', /outside of -128 to 127/),
  bad('int', 'INT UNSIGNED', '-771', /outside of 0 to 4294967295/),
  bad('int', 'BIT(3)', '771', /outside of 0 to 7/),
  bad('int', 'BOOLEAN', '771', /outside of -128 to 127/),
  bad('bigint', 'INT', '9007199254740993', /outside of -2147483648/),
  bad('bigint', 'BIGINT UNSIGNED', '-9007199254740993', /outside of 0/),
  bad('bigint', 'DOUBLE', '9007199254740993', /more digits than DOUBLE/),
  bad('int', 'FLOAT', '16777217', /more digits than FLOAT/),
  bad('int', 'DECIMAL(5,2)', '1771', /more digits than decimal\(5,2\)/),
  bad('int', 'YEAR', '1900', /outside of 1901 to 2155/),
  bad('smallint', 'YEAR', '77', /outside of 1901 to 2155/),
  bad('int', 'YEAR', '0', /outside of 1901 to 2155/),
  bad('decimal(10,3)', 'DECIMAL(10,2)', '1771.005', /more than 2 digits after the point/),
  bad('decimal(10,2)', 'DECIMAL(5,2)', '1771.00', /more digits than decimal\(5,2\)/),
  bad('decimal(10,2)', 'DECIMAL(10,2) UNSIGNED', '-1771.00', /a negative number/),
  bad('decimal(9,2)', 'INT', '1771.50', /more than 0 digits after the point/),
  bad('money', 'DECIMAL(19,2)', '1771.0001', /more than 2 digits after the point/),
  bad('float', 'FLOAT', '0.1', /more digits than FLOAT/),
  bad('float', 'DOUBLE UNSIGNED', '-0.17', /a negative number/),
  bad('date', 'DATE', "'0999-12-31'", /before the year 1000/),
  bad('datetime2(3)', 'DATETIME(3)', "'0999-12-31 23:59:59'", /before the year 1000/),
  bad('datetime2(3)', 'DATETIME', "'2017-07-01 17:17:17.171'", /more than 0 digits after the second/),
  bad('datetime', 'DATE', "'2017-07-01 17:17:17'", /a time of day/),
  bad('time(3)', 'TIME(2)', "'17:17:17.171'", /more than 2 digits after the second/),
  bad('datetimeoffset(0)', 'TIMESTAMP NULL', "'1970-01-01 00:00:00 +00:00'", /outside of 1970/),
  bad('datetimeoffset(0)', 'TIMESTAMP NULL', "'2038-01-19 03:14:08 +00:00'", /outside of 1970/),
  bad('datetime2(0)', 'TIMESTAMP NULL', "'9999-12-31 00:00:00'", /outside of 1970/),
  bad('datetime2(0)', 'TIMESTAMP NULL', "'2024-03-31 02:30:00'", /skips, as clocks went forward/),
  bad('datetime2(0)', 'TIMESTAMP NULL', "'2024-10-27 02:30:00'", /has twice, as clocks went back/),
  bad('nvarchar(20)', 'VARCHAR(7)', "N'overlong'", /more than 7 characters/),
  bad('nvarchar(20)', 'VARCHAR(7)', "N'spaced   '", /more than 7 characters/),
  bad('nvarchar(max)', 'TINYTEXT', `N'${'日'.repeat(86)}'`, /more than 255 bytes/),
  bad('nvarchar(20)', 'VARCHAR(20) CHARACTER SET latin1', "N'日本'", /a character that latin1 does not have/),
  bad('nvarchar(20)', 'VARCHAR(20) CHARACTER SET utf8mb3', "N'😀'", /a character that utf8mb3 does not have/),
  bad('nvarchar(20)', 'VARCHAR(20) CHARACTER SET ascii', "N'é'", /a character that ascii does not have/),
  bad(
    'nvarchar(20)',
    'VARCHAR(20) CHARACTER SET cp932',
    "N'😀'",
    /a character that the column's character set does not have/,
  ),
  bad(
    'nvarchar(20)',
    'VARCHAR(20) CHARACTER SET koi8r',
    "N'日本'",
    /a character that the column's character set does not have/,
  ),
  bad(
    'nvarchar(max)',
    'TINYTEXT CHARACTER SET cp1251',
    `N'${'x'.repeat(256)}'`,
    /more than the column holds/,
  ),
  bad('nvarchar(20)', 'CHAR(20)', "N'spaced '", /trailing spaces/),
  bad('nvarchar(20)', "ENUM('new','old')", "N'NEW'", /no member of the ENUM/),
  bad('nvarchar(20)', "ENUM('new','old')", "N'1'", /no member of the ENUM/),
  bad('nvarchar(20)', "ENUM('new','old')", "N''", /no member of the ENUM/),
  bad('nvarchar(20)', "SET('new','old')", "N'new,gold'", /no member of the SET/),
  bad('nvarchar(max)', 'JSON', `N'{"name": 17,}'`, /not valid JSON/),
  bad('nvarchar(max)', 'JSON', "N''", /not valid JSON/),
  bad('nvarchar(max)', 'JSON', `N'{"name": 17, "name": 18}'`, /a name stands twice/),
  bad('nvarchar(max)', 'JSON', "N'[0.12345678901234567891]'", /more digits than MySQL keeps/),
  bad('nvarchar(max)', 'JSON', "N'[18446744073709551616]'", /more digits than MySQL keeps/),
  bad('varbinary(8)', 'VARBINARY(2)', '0x17A7B7', /more than 2 bytes/),
  bad('varbinary(8)', 'BINARY(4)', '0x17A7B7', /a length other than the 4 bytes/),
  bad('int', 'INT NOT NULL', 'NULL', /NULL, which live does not allow/),
];

/** Keys in an order that differs between the engines: what the source holds by place, and live's column. */
export interface KeyCase {
  name: string;
  columns: { source: string; live: string; literal: (place: number) => string }[];
}

const hex = (value: number, bytes: number) => value.toString(16).padStart(bytes * 2, '0');
const pad = (value: number) => String(value).padStart(3, '0');

export const KEYS: KeyCase[] = [
  {
    name: 'whole',
    columns: [
      { source: 'bigint', live: 'BIGINT', literal: (i) => String(9007199254740993n * BigInt(i - 125)) },
    ],
  },
  {
    name: 'whole_unsigned',
    columns: [
      { source: 'bigint', live: 'BIGINT UNSIGNED', literal: (i) => String(9223372036854775807n - BigInt(i)) },
    ],
  },
  {
    name: 'whole_decimal',
    columns: [
      {
        source: 'decimal(38,0)',
        live: 'DECIMAL(38,0)',
        literal: (i) => `${i % 2 ? '-' : ''}${'9'.repeat(30)}${pad(i)}`,
      },
    ],
  },
  {
    name: 'decimal_key',
    columns: [{ source: 'decimal(18,4)', live: 'DECIMAL(18,4)', literal: (i) => `${i - 125}.${pad(i)}0` }],
  },
  {
    name: 'text_key',
    columns: [
      {
        source: 'nvarchar(40)',
        live: 'VARCHAR(40) COLLATE utf8mb4_0900_ai_ci',
        literal: (i) => `N'${['-a', 'Z_', 'ä', 'ß', '日', '😀', "o''", '\\'][i % 8]}${i}'`,
      },
    ],
  },
  {
    name: 'ansi_key',
    columns: [
      {
        source: 'varchar(40)',
        live: 'VARCHAR(40) CHARACTER SET latin1 COLLATE latin1_swedish_ci',
        literal: (i) => `'${['-a', 'Z_', 'ä', 'Œ', '€'][i % 5]}${i}'`,
      },
    ],
  },
  {
    name: 'cyrillic_key',
    columns: [
      {
        source: 'varchar(40) COLLATE Cyrillic_General_CI_AS',
        live: 'VARCHAR(40)',
        literal: (i) => `N'${['счёт', 'a', 'Ж', '№'][i % 4]}${i}'`,
      },
    ],
  },
  {
    name: 'utf8_key',
    columns: [
      {
        source: 'varchar(40) COLLATE Latin1_General_100_CI_AS_SC_UTF8',
        live: 'VARCHAR(40)',
        literal: (i) => `N'${['日本', 'ä', '😀', 'k'][i % 4]}${i}'`,
      },
    ],
  },
  {
    name: 'char_key',
    columns: [
      {
        source: 'char(8)',
        live: 'CHAR(8) COLLATE utf8mb4_bin',
        literal: (i) => `'${i % 2 ? 'k' : 'K'}${i}'`,
      },
    ],
  },
  {
    name: 'guid_text',
    columns: [
      {
        source: 'uniqueidentifier',
        live: 'CHAR(36)',
        literal: (i) => `'${hex(i * 7919, 4)}-0000-4000-8000-0000000000${hex(255 - (i % 256), 1)}'`,
      },
    ],
  },
  {
    name: 'guid_binary',
    columns: [
      {
        source: 'uniqueidentifier',
        live: 'BINARY(16)',
        literal: (i) => `'${hex(i * 7919, 4)}-0000-4000-8000-0000000000${hex(255 - (i % 256), 1)}'`,
      },
    ],
  },
  {
    name: 'binary_key',
    columns: [
      {
        source: 'varbinary(8)',
        live: 'VARBINARY(8)',
        literal: (i) => `0x${hex(i + 1, 2)}${'00'.repeat(i % 4)}`,
      },
    ],
  },
  {
    name: 'fixed_binary',
    columns: [{ source: 'binary(4)', live: 'BINARY(4)', literal: (i) => `0x${hex(i, 1)}000000` }],
  },
  { name: 'date_key', columns: [{ source: 'date', live: 'DATE', literal: (i) => `'${1000 + i}-01-01'` }] },
  {
    name: 'moment_key',
    columns: [
      { source: 'datetime2(6)', live: 'DATETIME(6)', literal: (i) => `'2024-05-06 07:08:09.000${pad(i)}'` },
    ],
  },
  {
    name: 'timestamp_key',
    columns: [
      {
        source: 'datetimeoffset(0)',
        live: 'TIMESTAMP',
        literal: (i) => `'${1971 + (i % 60)}-0${1 + (i % 9)}-01 00:00:${10 + (i % 50)} +00:00'`,
      },
      { source: 'int', live: 'INT', literal: String },
    ],
  },
  {
    name: 'time_key',
    columns: [{ source: 'time(3)', live: 'TIME(3)', literal: (i) => `'00:00:00.${pad(i)}'` }],
  },
  {
    name: 'enum_key',
    columns: [
      { source: 'varchar(10)', live: "ENUM('z','b','a')", literal: (i) => `'${['a', 'b', 'z'][i % 3]}'` },
      { source: 'int', live: 'INT', literal: String },
    ],
  },
  {
    name: 'set_key',
    columns: [
      {
        source: 'varchar(10)',
        live: "SET('z','b','a')",
        literal: (i) => `'${['a', 'z,b', 'b', ''][i % 4]}'`,
      },
      { source: 'smallint', live: 'YEAR', literal: (i) => String(1901 + (i % 250)) },
    ],
  },
  {
    name: 'bits',
    columns: [
      { source: 'bit', live: 'BIT(1)', literal: (i) => String(i % 2) },
      { source: 'int', live: 'BIT(20)', literal: (i) => String(i * 4099) },
    ],
  },
  {
    name: 'composite',
    columns: [
      { source: 'nvarchar(10)', live: 'VARCHAR(10)', literal: (i) => `N'${['a', 'ä2', 'Z'][i % 3]}'` },
      { source: 'date', live: 'DATE', literal: (i) => `'2024-01-${String(1 + (i % 28)).padStart(2, '0')}'` },
      { source: 'bigint', live: 'BIGINT', literal: (i) => String(-i) },
    ],
  },
];
