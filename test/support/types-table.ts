import { howOf, refusalOf } from '../../src/model/conversion.js';
import type { LiveColumn, SourceColumn } from '../../src/model/spec.js';

/** The table of docs/types.md, written from the code: every pair of types, and what becomes of a value. */

/** A column of the source by its T-SQL type. */
export function sourceColumn(declared: string, collation: string | null = null): SourceColumn {
  const [, type = '', first, second] = /^(\w+)(?:\((\w+)(?:,(\d+))?\))?$/.exec(declared) ?? [];
  const wide = type.startsWith('n') && type !== 'numeric' ? 2 : 1;
  const bytes: Record<string, number> = { uniqueidentifier: 16, rowversion: 8 };
  const isLong = /char|binary/.test(type);
  const scaled = /^(time|datetime2|datetimeoffset)$/.test(type);
  return {
    name: 'Column',
    type,
    maxLengthBytes: isLong ? (first === 'max' ? -1 : Number(first ?? 1) * wide) : (bytes[type] ?? 8),
    precision: scaled ? 0 : Number(first ?? 18),
    scale: scaled ? Number(first ?? 7) : Number(second ?? 0),
    collation,
  };
}

/** A column of live by its COLUMN_TYPE. */
export function liveColumn(columnType: string, more: Partial<LiveColumn> = {}): LiveColumn {
  const [, type = '', first, second] = /^(\w+)(?:\((\d+)(?:,(\d+))?\))?/.exec(columnType) ?? [];
  const isText = /char|text|enum|set/.test(type);
  return {
    name: 'column',
    type,
    columnType,
    nullable: true,
    charset: isText ? 'utf8mb4' : null,
    collation: isText ? 'utf8mb4_0900_ai_ci' : null,
    precision: type === 'decimal' ? Number(first ?? 10) : null,
    scale: type === 'decimal' ? Number(second ?? 0) : null,
    fractionDigits: /^(time|datetime|timestamp)$/.test(type) ? Number(first ?? 0) : null,
    ...more,
  };
}

const SOURCES =
  'bit tinyint smallint int bigint decimal(38,10) money smallmoney real float date time(0) time(7) smalldatetime datetime datetime2(3) datetime2(7) datetimeoffset(7) char(10) varchar(10) varchar(max) nchar(10) nvarchar(10) nvarchar(max) binary(8) varbinary(8) varbinary(max) uniqueidentifier rowversion text ntext image xml sql_variant hierarchyid geography geometry'.split(
    ' ',
  );

const LIVES = [
  'tinyint',
  'tinyint unsigned',
  'smallint',
  'smallint unsigned',
  'mediumint',
  'mediumint unsigned',
  'int',
  'int unsigned',
  'bigint',
  'bigint unsigned',
  'bit(8)',
  'decimal(38,10)',
  'float',
  'double',
  'double(10,2)',
  'year',
  'date',
  'time',
  'time(6)',
  'datetime',
  'datetime(3)',
  'datetime(6)',
  'timestamp(6)',
  'char(36)',
  'varchar(10)',
  'text',
  'longtext',
  "enum('a','b')",
  "set('a','b')",
  'json',
  'binary(8)',
  'binary(16)',
  'varbinary(8)',
  'varbinary(16)',
  'blob',
  'longblob',
  'point',
];

/** Lines of the table; a line has all of live's types that share a rule. */
export function typesTable(): string {
  const lines = ['| source | live | a value |', '|---|---|---|'];
  for (const declared of SOURCES) {
    const rules = new Map<string, string[]>();
    const refused: string[] = [];
    for (const columnType of LIVES) {
      const how = howOf(sourceColumn(declared), liveColumn(columnType), 'Europe/Berlin');
      if (how === undefined) refused.push(columnType);
      else rules.set(how, [...(rules.get(how) ?? []), columnType]);
    }
    for (const [how, types] of rules) lines.push(`| ${declared} | ${types.join(', ')} | ${how} |`);
    const everything = refused.length === LIVES.length;
    const cure = everything ? `: ${refusalOf(sourceColumn(declared), liveColumn('int'))?.cure}` : '';
    lines.push(`| ${declared} | ${everything ? 'all' : 'all others'} | refused${cure} |`);
  }
  return lines.join('\n');
}
