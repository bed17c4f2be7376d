import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BadValueError } from '../src/model/bad-value.js';
import { canonicalJson } from '../src/model/canonical-json.js';
import { conversionOf, keyRefusalOf, lossOf, refusalOf, stopOf } from '../src/model/conversion.js';
import { membersOf } from '../src/model/live-type.js';
import { doubleText, rescale } from '../src/model/numbers.js';
import { sourceKeyValue } from '../src/model/source-key.js';
import { utcOf } from '../src/model/time-zone.js';
import { liveColumn, sourceColumn, typesTable } from './support/types-table.js';

/** Conversions without an engine; on engines they are in types.e2e.test.ts. */
const convert = (source: string, live: string, value: unknown, timeZone?: string) =>
  conversionOf({
    source: sourceColumn(source),
    live: liveColumn(live),
    ...(timeZone ? { timeZone } : {}),
  }).convert(value);
const moment = (text: string, nanosecondsDelta = 0) => Object.assign(new Date(text), { nanosecondsDelta });

describe('the written table', () => {
  it('is what the code does', () => {
    const written = readFileSync(join(import.meta.dirname, '..', 'docs', 'types.md'), 'utf8');
    expect(written).toContain(typesTable());
  });
});

describe('a key value of live that no value of the source becomes', () => {
  const back = (source: string, live: string, text: string) =>
    sourceKeyValue({ source: sourceColumn(source), live: liveColumn(live), timeZone: 'Europe/Berlin' }, text);
  it.each([
    ['int', 'decimal(10,2)', '1.50'],
    ['int', 'bigint', '2147483648'],
    ['tinyint', 'int', '-1'],
    ['bit', 'int', '2'],
    ['int', 'varchar(10)', 'abc'],
    ['decimal(10,2)', 'decimal(12,4)', '1.2345'],
    ['decimal(4,2)', 'decimal(12,4)', '100.0000'],
    ['smallmoney', 'decimal(20,4)', '214748.3648'],
    ['money', 'varchar(30)', '922337203685477.5808'],
    ['nvarchar(2)', 'varchar(10)', 'abc'],
    ['uniqueidentifier', 'char(36)', '6F9619FF8B86D011B42D00C04FC964FF'],
    ['uniqueidentifier', 'varbinary(16)', '6F9619FF'],
    ['date', 'datetime', '2024-01-01 00:00:01'],
    ['date', 'date', '0000-00-00'],
    ['date', 'date', '2024-02-30'],
    ['smalldatetime', 'datetime', '2024-01-01 00:00:01'],
    ['smalldatetime', 'datetime', '2079-06-07 00:00:00'],
    ['datetime', 'datetime(6)', '2024-01-01 00:00:00.000001'],
    ['datetime', 'datetime', '1752-12-31 00:00:00'],
    ['datetime2(3)', 'timestamp(6)', '2024-10-27 00:30:00.000000'],
    ['time(0)', 'time(6)', '10:00:00.500000'],
    ['time(0)', 'time', '-10:00:00'],
    ['time(0)', 'time', '838:59:59'],
  ])('%s in %s: %s', (source, live, text) => {
    expect(back(source, live, text)).toBeUndefined();
  });
  it('is told from those that are read as the source has them', () => {
    expect(back('int', 'decimal(10,2)', '1.00')).toEqual({ text: '1' });
    expect(back('uniqueidentifier', 'binary(16)', '6F9619FF8B86D011B42D00C04FC964FF')).toEqual({
      text: '6F9619FF-8B86-D011-B42D-00C04FC964FF',
    });
    expect(back('datetime2(3)', 'timestamp(6)', '2024-07-01 10:00:00.125000')).toEqual({
      text: '2024-07-01 12:00:00.125',
    });
    expect(back('datetimeoffset(0)', 'timestamp', '2024-07-01 10:00:00')).toEqual({
      text: '2024-07-01 10:00:00 +00:00',
    });
    expect(back('datetime2(7)', 'datetime(6)', '2024-07-01 10:00:00.123456')).toEqual({
      from: '2024-07-01 10:00:00.1234560',
      to: '2024-07-01 10:00:00.1234569',
    });
    expect(back('nvarchar(10)', "set('a','b')", 'a,b')).toEqual({ members: ['a', 'b'], characters: 3 });
  });
});

describe('refusals', () => {
  it.each('text ntext image xml sql_variant hierarchyid geography geometry'.split(' '))(
    '%s is refused by its name',
    (type) => {
      const refusal = refusalOf(sourceColumn(type), liveColumn('longtext'));
      expect(refusal?.what).toContain(`${type} cannot be stored in longtext: the type is not supported`);
      expect(refusal?.cure).toMatch(/ALTER COLUMN|computed column/);
    },
  );
  it('a spatial column of live is refused by its type', () => {
    expect(refusalOf(sourceColumn('nvarchar(10)'), liveColumn('point'))?.what).toContain('point');
  });
  it.each([
    'SQL_Latin1_General_CP1_CI_AS',
    'SQL_Latin1_General_CP437_CI_AS',
    'SQL_Latin1_General_CP1250_CI_AS',
    'Latin1_General_100_CI_AS_SC_UTF8',
    'Japanese_100_CI_AS_SC_UTF8',
    'Finnish_Swedish_CI_AS',
    'Cyrillic_General_CI_AS',
    'Japanese_CI_AS',
  ])('varchar in collation %s is decoded by the source', (collation) => {
    for (const [declared, unicode] of [
      ['varchar(10)', 'nvarchar(10)'],
      ['char(4)', 'nvarchar(4)'],
      ['varchar(4000)', 'nvarchar(4000)'],
      ['varchar(4001)', 'nvarchar(max)'],
      ['varchar(8000)', 'nvarchar(max)'],
      ['varchar(max)', 'nvarchar(max)'],
    ] as const) {
      const source = sourceColumn(declared, collation);
      expect(refusalOf(source, liveColumn('longtext'))).toBeUndefined();
      const { read } = conversionOf({ source, live: liveColumn('longtext') });
      expect(read('[A]')).toBe(`CONVERT(${unicode}, [A])`);
    }
  });
  it('nvarchar is read as it is', () => {
    const column = { source: sourceColumn('nvarchar(10)'), live: liveColumn('varchar(10)') };
    expect(conversionOf(column).read('[A]')).toBe('[A]');
  });
  it('a local time goes into TIMESTAMP only with a time zone', () => {
    const pair = [sourceColumn('datetime2(3)'), liveColumn('timestamp(3)')] as const;
    expect(refusalOf(...pair)?.cure).toContain('set timeZone');
    expect(refusalOf(...pair, 'Europe/Berlin')).toBeUndefined();
    expect(refusalOf(sourceColumn('datetimeoffset(3)'), liveColumn('timestamp(3)'))).toBeUndefined();
  });
  it('a rounded float, a length that never fits, a key that is none', () => {
    expect(refusalOf(sourceColumn('float'), liveColumn('float(7,4)'))?.what).toContain('rounds');
    expect(refusalOf(sourceColumn('binary(4)'), liveColumn('binary(8)'))?.cure).toContain('BINARY(4)');
    expect(refusalOf(sourceColumn('uniqueidentifier'), liveColumn('varchar(35)'))?.cure).toContain(
      'CHAR(36)',
    );
    expect(keyRefusalOf(sourceColumn('float'), liveColumn('double'))?.what).toContain('double cannot');
    expect(keyRefusalOf(sourceColumn('nvarchar(10)'), liveColumn('text'))?.what).toContain('text cannot');
    expect(keyRefusalOf(sourceColumn('nvarchar(10)'), liveColumn('varchar(10)'))).toBeUndefined();
    for (const [declared, collation, refused] of [
      ['varchar(10)', 'Japanese_BIN2', true],
      ['char(10)', 'Chinese_PRC_BIN', true],
      ['varchar(10)', 'Korean_Wansung_BIN2', true],
      ['varchar(10)', 'Japanese_CI_AS', false],
      ['varchar(10)', 'Cyrillic_General_BIN2', false],
      ['varchar(10)', 'Japanese_XJIS_140_BIN2_UTF8', false],
      ['nvarchar(10)', 'Japanese_BIN2', false],
    ] as const) {
      const refusal = keyRefusalOf(sourceColumn(declared, collation), liveColumn('varchar(10)'));
      if (refused) expect(refusal?.what).toContain(`${collation} cannot be part of the key`);
      else expect(refusal).toBeUndefined();
    }
  });
});

describe('what may stop a run is foreseen', () => {
  it.each([
    ['decimal(19,4)', 'decimal(12,2)', 'more than 2 digits after the point'],
    ['money', 'decimal(19,1)', 'more than 1 digit after the point'],
    ['smallmoney', 'int', 'a digit other than 0 after the point'],
    ['datetime2(3)', 'datetime', 'a digit other than 0 after the second'],
    ['datetime', 'timestamp(2)', 'more than 2 digits after the second'],
    ['datetime2(7)', 'datetime(3)', 'more than 3 digits after the second'],
    ['time(7)', 'time', 'a digit other than 0 after the second'],
    ['datetime', 'date', 'a time of day'],
  ])('%s into %s: %s', (source, live, told) => {
    expect(stopOf(sourceColumn(source), liveColumn(live), 'UTC')).toContain(told);
  });
  it.each([
    ['decimal(12,2)', 'decimal(12,2)'],
    ['decimal(18,0)', 'bigint'],
    ['money', 'decimal(19,4)'],
    ['datetime', 'datetime(3)'],
    ['datetime2(7)', 'datetime(6)'],
    ['smalldatetime', 'timestamp'],
    ['date', 'datetime'],
  ])('%s into %s needs no warning', (source, live) => {
    expect(stopOf(sourceColumn(source), liveColumn(live), 'UTC')).toBeUndefined();
  });
});

describe('text', () => {
  it('with half of a surrogate pair is refused', () => {
    expect(() => convert('nvarchar(10)', 'varchar(10)', 'a\ud83d')).toThrow('half of a surrogate pair');
    expect(() => convert('nvarchar(max)', 'json', '"\\ud83d"')).toThrow('half of a surrogate pair');
    expect(convert('nvarchar(10)', 'varchar(10)', '😀')).toBe('😀');
  });
  it('members are read as MySQL writes them', () => {
    expect(membersOf(liveColumn("enum('a','it''s','b\\\\c','x\\ny','p,q','')"))).toEqual([
      'a',
      "it's",
      'b\\c',
      'x\ny',
      'p,q',
      '',
    ]);
  });
});

describe('moments', () => {
  it('the seventh digit of a second is cut, never rounded, and that is said', () => {
    expect(convert('datetime2(7)', 'datetime(6)', moment('9999-12-31T23:59:59.999Z', 0.0009999))).toBe(
      '9999-12-31 23:59:59.999999',
    );
    expect(convert('time(7)', 'time(6)', moment('1970-01-01T00:00:00.000Z', 0.0000009))).toBe(
      '00:00:00.000000',
    );
    expect(() =>
      convert('datetime2(7)', 'datetime(3)', moment('2024-01-01T00:00:00.000Z', 0.000001)),
    ).toThrow('more than 3 digits');
    expect(lossOf(sourceColumn('datetime2(7)'), liveColumn('datetime(6)'))).toContain('seventh');
    expect(lossOf(sourceColumn('datetime2(6)'), liveColumn('datetime(6)'))).toBeUndefined();
  });
  it.each([
    'Europe/Berlin',
    'America/St_Johns',
    'Australia/Lord_Howe',
    'Asia/Kolkata',
    'Pacific/Apia',
    'Africa/Monrovia',
    'UTC',
  ])('local time of %s becomes the moment that it shows', (zone) => {
    const toUtc = utcOf(zone);
    const shown = new Intl.DateTimeFormat('sv-SE', {
      timeZone: zone,
      dateStyle: 'short',
      timeStyle: 'medium',
    });
    const localOf = (utc: number) => Date.parse(`${shown.format(utc).replace(' ', 'T')}Z`);
    fc.assert(
      fc.property(fc.integer({ min: 86_400, max: 2_147_400_000 }), (seconds) => {
        const local = localOf(seconds * 1000);
        let utc: number;
        try {
          utc = toUtc(local);
        } catch (error) {
          expect((error as Error).message).toContain('has twice');
          return;
        }
        expect(utc).toBe(seconds * 1000);
      }),
      { numRuns: 300 },
    );
  });
  it('a local time that a zone skips or has twice is refused', () => {
    const toUtc = utcOf('Europe/Berlin');
    expect(() => toUtc(Date.UTC(2024, 2, 31, 2, 0))).toThrow('skips');
    expect(toUtc(Date.UTC(2024, 2, 31, 3, 0))).toBe(Date.UTC(2024, 2, 31, 1, 0));
    expect(() => toUtc(Date.UTC(2024, 9, 27, 2, 59))).toThrow('has twice');
    expect(toUtc(Date.UTC(2024, 9, 27, 3, 0))).toBe(Date.UTC(2024, 9, 27, 2, 0));
    expect(() => utcOf('Pacific/Apia')(Date.UTC(2011, 11, 30, 12, 0))).toThrow('skips');
  });
});

describe('numbers', () => {
  it('decimals are never rounded', () => {
    expect(rescale('-0.500', 1)).toBe('-0.5');
    expect(rescale('-0.00', 2)).toBe('0.00');
    expect(() => rescale('0.001', 2)).toThrow(BadValueError);
  });
  it('doubles read back as the same double', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (number) => {
        expect(Object.is(Number(doubleText(number)), number)).toBe(true);
      }),
    );
  });
});

describe('JSON', () => {
  it.each([
    ['{"b":1,"aa":2,"é":3,"":4}', '{"": 4, "b": 1, "aa": 2, "é": 3}'],
    [
      '[1.0,1e2,1E+2,-0,-0.0,1e20,100000000000000000000.0,0.00001]',
      '[1.0, 100.0, 100.0, 0, -0.0, 1e20, 1e20, 0.00001]',
    ],
    ['[1.10 , 12345678901234567890]', '[1.1, 12345678901234567890]'],
    ['"\\u00e9\\/\\u0001\\u007f\\t\\ud83d\\ude00"', '"é/\\u0001\u007f\\t😀"'],
    [' null ', 'null'],
  ])('%s is spelled as MySQL spells it', (text, canonical) => {
    expect(canonicalJson(text)).toBe(canonical);
  });
  it.each([
    '',
    '{',
    '[1,]',
    '{"a" 1}',
    "{'a': 1}",
    '01',
    '1.',
    '.5',
    '+1',
    'nul',
    '"\u0001"',
    '"\\x"',
    '[1] 2',
    '\ufeff1',
    'NaN',
    '{"a":1,}',
    '[',
    '[1 2]',
  ])('%j is none', (text) => {
    expect(() => canonicalJson(text)).toThrow('not valid JSON');
  });
  it('is refused where MySQL would keep another value', () => {
    for (const text of [
      '1e400',
      '1e-400',
      '18446744073709551616',
      '0.12345678901234567891',
      '-9223372036854775809',
    ])
      expect(() => canonicalJson(text), text).toThrow('more digits');
    expect(() => canonicalJson('{"a":{"b":1,"b":1}}')).toThrow('stands twice');
    expect(() => canonicalJson(`${'['.repeat(101)}${']'.repeat(101)}`)).toThrow('deeper than 100');
    expect(canonicalJson(`${'['.repeat(100)}${']'.repeat(100)}`)).toHaveLength(200);
  });
  it('keeps the value, and its own spelling stays', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const canonical = canonicalJson(JSON.stringify(value));
        expect(JSON.parse(canonical)).toEqual(JSON.parse(JSON.stringify(value)));
        expect(canonicalJson(canonical)).toBe(canonical);
      }),
    );
  });
  it('of many megabytes is read without deep recursion', () => {
    const text = JSON.stringify('x\\'.repeat(4_000_000));
    expect(canonicalJson(text)).toBe(text);
  });
});
