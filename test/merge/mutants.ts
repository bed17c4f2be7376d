// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the texts are source code of the product
/** Faults planted in a copy of the product, each such as somebody could make; the tests of the merge must fail of each. */
export interface Mutant {
  /** what is wrong then */
  name: string;
  file: string;
  /** stands exactly once in the file */
  find: string;
  replace: string;
}

const MERGE = 'src/sql/merge.ts';
const GROUP = 'src/sql/group.ts';
const COLUMNS = 'src/sql/columns.ts';
const BASE = 'src/sql/base.ts';
const SHAPE = 'src/sql/shape.ts';
const MAPPING = 'src/model/mapping.ts';
const DIFFERENCES = 'src/sql/differences.ts';

export const MUTANTS: Mutant[] = [
  {
    name: 'values are compared by collation instead of bytes',
    file: COLUMNS,
    find: 'return sql`${value} COLLATE utf8mb4_0900_bin`;',
    replace: 'return value;',
  },
  {
    name: 'doubles are compared as numbers: 0 is -0',
    file: COLUMNS,
    find: "if (isFloating(column) || column.type === 'json')",
    replace: "if (column.type === 'json')",
  },
  {
    name: '= instead of <=>',
    file: COLUMNS,
    find: '(${bytes(left)} <=> ${bytes(right)})',
    replace: '(${bytes(left)} = ${bytes(right)})',
  },
  {
    name: 'NULL is taken for unchanged',
    file: COLUMNS,
    find: '(${bytes(left)} <=> ${bytes(right)})',
    replace: 'COALESCE(${bytes(left)} = ${bytes(right)}, TRUE)',
  },
  {
    name: 'groups are split: each column is merged for itself',
    file: MERGE,
    find: 'return unit ? mergedValue(spec, table, unit, name) :',
    replace: 'return unit ? mergedValue(spec, table, { ...unit, columns: [name] }, name) :',
  },
  {
    name: 'the base is not promoted: the one before the last is merged with',
    file: 'src/preflight/freeze.ts',
    find: 'baseGeneration: published?.generation ?? null,',
    replace: 'baseGeneration: published && (published.generation > 1 ? published.generation - 1 : 1),',
  },
  {
    name: 'the merge reads its own output: a replay takes stage for live',
    file: MERGE,
    find: '${raw(joinLive)} ${id(table.live)} AS',
    replace:
      "${raw(joinLive)} ${id(scope.kind === 'keys' ? physicalTable(spec.generation, 'stage', table.live) : table.live)} AS",
  },
  {
    name: 'an edited row that is gone at the source is deleted',
    file: MERGE,
    find: "return sql`(${absent(table, 'a')} OR ${editedSince(table, shape)})`;",
    replace: "return absent(table, 'a');",
  },
  {
    name: 'rows that only live has are dropped',
    file: MERGE,
    find: "return sql`(${absent(table, 'a')} OR ${editedSince(table, shape)})`;",
    replace: "return sql`(NOT (${absent(table, 'a')}) AND ${editedSince(table, shape)})`;",
  },
  {
    name: 'the winner of a conflict is reversed',
    file: MERGE,
    find: "return unit.onConflict === 'live'",
    replace: "return unit.onConflict !== 'live'",
  },
  {
    name: 'a column of live’s own is overwritten by the source',
    file: MERGE,
    find: "if (unit.owner === 'live') return live;",
    replace: "if (unit.owner === 'live') return incoming;",
  },
  {
    name: 'a row that the application deleted comes back',
    file: MERGE,
    find: "if (!shape.ancestor || table.onLiveDelete === 'restore') return raw('TRUE');",
    replace: "return raw('TRUE');",
  },
  {
    name: 'where both sides made one key, the source overwrites live',
    file: MERGE,
    find: "THEN ${live} WHEN NOT ${hasBase} THEN ${first} WHEN ${sameUnit(table, unit, 'i', 'a')}",
    replace: "THEN ${incoming} WHEN NOT ${hasBase} THEN ${first} WHEN ${sameUnit(table, unit, 'i', 'a')}",
  },
  {
    name: 'the replay forgets the old key of a row whose key changed',
    file: 'src/sql/capture.ts',
    find: "return [of('old'), of('new')];",
    replace: "return [sql`${of('old')} AND ${at(table, 'g', '_ss_operation')} = 'D'`, of('new')];",
  },
  {
    name: 'the replay is given only the edits of the first table',
    file: 'activities/replay.ts',
    find: 'const collect = edited.flatMap(',
    replace: 'const collect = edited.slice(0, 1).flatMap(',
  },
  {
    name: 'held-back keys are given a base',
    file: BASE,
    find: "AS ${as(table, 'i')} ON ${sameKey(table, 'i', 'h')}`,\n    ...(before",
    replace:
      "AS ${as(table, 'i')} ON ${sameKey(table, 'i', 'h')} WHERE ${at(table, 'h', '_ss_keeps_base')} = 1`,\n    ...(before",
  },
  {
    name: 'rows that fell back lose their old base',
    file: BASE,
    find: "WHERE ${at(table, 'h', '_ss_keeps_base')} = 1`,",
    replace: "WHERE ${at(table, 'h', '_ss_keeps_base')} = 2`,",
  },
  {
    name: 'a parent that is gone at the source goes in spite of its children',
    file: GROUP,
    find: "AS ${as(parent, 'l')} ON ${refers(parent, 'l', table, role, key)} WHERE ${where}`,",
    replace: "AS ${as(parent, 'l')} ON ${refers(parent, 'l', table, role, key)} WHERE ${where} AND FALSE`,",
  },
  {
    name: 'children of a held-back row are published',
    file: GROUP,
    find: "= 'sameKey' AND ${firstOf(table, 'l')} IS NULL`,",
    replace: "= 'noKey' AND ${firstOf(table, 'l')} IS NULL`,",
  },
  {
    name: 'a replay leaves out rows that fell back over a unique value',
    file: GROUP,
    find: "WHERE ${at(table, 'h', '_ss_reason')} = 'unique'`,",
    replace: "WHERE ${at(table, 'h', '_ss_reason')} = 'never'`,",
  },
  {
    name: 'a row that is set aside is taken for gone',
    file: 'activities/group.ts',
    find: "if (spec.badRows === 'quarantine')\n    for (const table",
    replace: "if (spec.badRows !== 'quarantine')\n    for (const table",
  },
  {
    name: 'a settlement is carried out although a client has edited the field since',
    file: 'src/sql/settle.ts',
    find: " AND ${stillSays(at(table, 'se', 'live_json'), rowJson(table, 'l'))}))`;",
    replace: '))`;',
  },
  {
    name: 'a rollback takes back what clients changed since',
    file: MERGE,
    find: "= 1 AND ${sameUnit(table, unit, 'l', 'a')} THEN ${incoming} ELSE ${live} END`;",
    replace: "= 1 OR ${sameUnit(table, unit, 'l', 'a')} THEN ${incoming} ELSE ${live} END`;",
  },
  {
    name: 'after a rollback the base of the run that was undone stays valid',
    file: 'activities/drain-and-swap.ts',
    find: "const after = spec.kind === 'rollback' ? (spec.baseGeneration ?? 0) :",
    replace: "const after = spec.kind === 'rollback' ? spec.generation :",
  },
  {
    name: 'rows that both sides made alike are taken for a conflict',
    file: MERGE,
    find: "return sql`${absent(table, 'a')} AND NOT (${agree})`;",
    replace: "return absent(table, 'a');",
  },
  {
    name: 'a column whose owner changed is taken for having a base',
    file: MAPPING,
    find: "return owner !== unit?.owner ? 'otherOwner' : undefined;",
    replace: 'return undefined;',
  },
  {
    name: 'a column that is taken from another one of the source is taken for having a base',
    file: MAPPING,
    find: "if (!sameReading(before, column)) return 'otherSource';",
    replace: '',
  },
  {
    name: 'a column that was made longer is taken for having no base',
    file: MAPPING,
    find: "return (now.type !== 'char' || then.type === 'char') && longer(now, then);",
    replace: 'return false;',
  },
  {
    name: 'a row whose column is of another type is taken for unedited',
    file: MAPPING,
    find: 'export const EDITED: Known = { new: false, otherType: true };',
    replace: 'export const EDITED: Known = { new: false, otherType: false };',
  },
  {
    name: 'a row that was carried over a change of the mapping is taken for having a base of all columns',
    file: SHAPE,
    find: "if (!table.gaps) return raw('TRUE');",
    replace: "return raw('TRUE');",
  },
  {
    name: 'where there is no base, the side that firstRun does not name wins',
    file: MERGE,
    find: "const first = spec.firstRun === 'source' ? incoming : live;",
    replace: "const first = spec.firstRun === 'source' ? live : incoming;",
  },
  {
    name: 'a group with one column that has no base is merged by the bases of the others',
    file: SHAPE,
    find: 'return unit.columns.some((name) => recordedNoBase(table, name) !== undefined);',
    replace: 'return unit.columns.every((name) => recordedNoBase(table, name) !== undefined);',
  },
  {
    name: 'a table that joins the pipeline is merged as if the last publish had found it empty',
    file: 'src/preflight/freeze.ts',
    find: 'if (!then) return { ...table, firstPublish: true };',
    replace: 'if (!then) return table;',
  },
  {
    name: 'rows that the source has deleted are not looked for',
    file: DIFFERENCES,
    find: "return spec.kind === 'rollback' || shapeOf(spec, table).ancestor !== null;",
    replace: "return spec.kind === 'rollback';",
  },
  {
    name: 'a rollback does not look for rows that the publish had brought',
    file: DIFFERENCES,
    find: "return spec.kind === 'rollback' || shapeOf(spec, table).ancestor !== null;",
    replace: "return spec.kind !== 'rollback' && shapeOf(spec, table).ancestor !== null;",
  },
  {
    name: 'a row that differs is copied as live has it',
    file: DIFFERENCES,
    find: "CASE WHEN ${absent(table, 'i')} THEN ${live}",
    replace: 'CASE WHEN TRUE THEN ${live}',
  },
  {
    name: 'a row that is gone at the source stays',
    file: DIFFERENCES,
    find: ' OR ${liveOnlyStays(spec, table, shape)})`;',
    replace: ' OR TRUE)`;',
  },
];
