import type { Change, ConflictKind, FieldVerdict, Row, RowVerdict, Side, Unit, Value } from './oracle.js';
import { foldsOf, type ShapedTable, type TypeName } from './shape.js';

/**
 * The specification of the merge, as a table: what the merge decides for one row. Each case is run against
 * the oracle and, through the product's own activities, against MySQL.
 */

/** What a row has beside what every row has (PLAIN); null: no such row. */
export type Fields = Record<string, Value> | null;

export interface Policy {
  onConflict: Side;
  onSourceDelete: 'delete' | 'keep';
  onLiveDelete: 'respect' | 'restore';
  /** present: the first publish, so that there is no base; or, with `changed`, what decides where the base does not */
  firstRun?: Side;
}
export const POLICY: Policy = { onConflict: 'live', onSourceDelete: 'delete', onLiveDelete: 'respect' };

export interface Case {
  name: string;
  base: Fields;
  source: Fields;
  live: Fields;
  owner?: Unit['owner'];
  policy?: Partial<Policy>;
  /** columns of which the mapping changed since the last publish; `wider` is a change that leaves the base as it is */
  changed?: Record<string, Change | 'wider'>;
  merged: Fields;
  /** of the row, or, where both sides have it, of the columns in which they are not all the same */
  verdict: RowVerdict | FieldVerdict;
  conflict?: ConflictKind;
  nextBase: Fields;
  /** the same holds with source and live exchanged, and the policy that names one of them with them */
  symmetric?: true;
}

/** What every row of a case has, except for what the case says. */
export const PLAIN: Record<string, Value> = {
  text: 'plain',
  padded: 'plain',
  latin: 'plain',
  number: '1',
  amount: '10.0000',
  currency: 'EUR',
  street: 'Elm 1',
  city: 'Oslo',
  postcode: '0150',
  doc: '{"a": 1}',
  data: '00FF',
  at: '2024-01-01 00:00:00.000001',
  note: 'none',
};
export const GROUPS = [
  ['amount', 'currency'],
  ['street', 'city', 'postcode'],
];
/** The application's own columns, with the default that a new row gets. */
export const OWN: Record<string, Value> = { note: 'none' };

const TYPES: Record<string, TypeName> = {
  id: 'bigint',
  text: 'text',
  padded: 'padded',
  latin: 'latin',
  number: 'double',
  amount: 'decimal',
  currency: 'currency',
  street: 'text',
  city: 'text',
  postcode: 'padded',
  doc: 'json',
  data: 'bytes',
  at: 'at',
  note: 'text',
};

const text = (value: Value) => ({ text: value });
const address = (street: Value, city: Value, postcode: Value) => ({ street, city, postcode });

const fields: Case[] = [
  {
    name: 'nobody changed anything',
    base: text('b'),
    source: text('b'),
    live: text('b'),
    merged: text('b'),
    verdict: 'agreed',
    nextBase: text('b'),
    symmetric: true,
  },
  {
    name: 'only the source changed',
    base: text('b'),
    source: text('s'),
    live: text('b'),
    merged: text('s'),
    verdict: 'takeSource',
    nextBase: text('s'),
    symmetric: true,
  },
  {
    name: 'only a client changed',
    base: text('b'),
    source: text('b'),
    live: text('l'),
    merged: text('l'),
    verdict: 'keepLive',
    nextBase: text('b'),
    symmetric: true,
  },
  {
    name: 'both made the same change',
    base: text('b'),
    source: text('x'),
    live: text('x'),
    merged: text('x'),
    verdict: 'agreed',
    nextBase: text('x'),
    symmetric: true,
  },
  {
    name: 'both changed, live wins',
    base: text('b'),
    source: text('s'),
    live: text('l'),
    merged: text('l'),
    verdict: 'conflict',
    conflict: 'field',
    nextBase: text('s'),
    symmetric: true,
  },
  {
    name: 'both changed, the source wins',
    base: text('b'),
    source: text('s'),
    live: text('l'),
    policy: { onConflict: 'source' },
    merged: text('s'),
    verdict: 'conflict',
    conflict: 'field',
    nextBase: text('s'),
    symmetric: true,
  },
];

/** Values that a careless comparison takes for the same, or for unchanged. */
const lookalikes: { name: string; column: string; one: Value; other: Value }[] = [
  { name: 'case', column: 'text', one: 'Ada', other: 'ADA' },
  { name: 'accents', column: 'text', one: 'Zoe', other: 'Zoë' },
  { name: 'composed and decomposed letters', column: 'text', one: 'é', other: 'e\u0301' },
  { name: 'a space at the end', column: 'text', one: 'x', other: 'x ' },
  { name: 'a space at the end where the collation pads', column: 'padded', one: 'x', other: 'x ' },
  { name: 'the empty text and spaces', column: 'padded', one: '', other: '  ' },
  { name: 'case in Latin 1', column: 'latin', one: 'straße', other: 'STRAßE' },
  { name: 'NULL and the empty text', column: 'text', one: null, other: '' },
  { name: 'NULL and a text', column: 'text', one: null, other: 'x' },
  { name: 'NULL and the text NULL', column: 'text', one: null, other: 'NULL' },
  { name: 'NULL and zero', column: 'number', one: null, other: '0' },
  { name: 'zero and its negative', column: 'number', one: '0', other: '-0' },
  {
    name: 'neighbours among doubles',
    column: 'number',
    one: '0.1',
    other: '0.10000000000000002',
  },
  { name: 'NULL and the empty bytes', column: 'data', one: null, other: '' },
  { name: 'zero bytes at the end', column: 'data', one: '61', other: '6100' },
  { name: 'JSON numbers of two kinds', column: 'doc', one: '1', other: '1.0' },
  { name: 'NULL and the null of JSON', column: 'doc', one: null, other: 'null' },
  {
    name: 'JSON numbers beyond 2^53',
    column: 'doc',
    one: '9007199254740992',
    other: '9007199254740993',
  },
  {
    name: 'microseconds',
    column: 'at',
    one: '2024-01-01 00:00:00.000001',
    other: '2024-01-01 00:00:00.000002',
  },
];

const looks: Case[] = lookalikes.flatMap(({ name, column, one, other }) => {
  const [a, b] = [{ [column]: one }, { [column]: other }];
  return [
    {
      name: `the source changed by: ${name}`,
      base: a,
      source: b,
      live: a,
      merged: b,
      verdict: 'takeSource',
      nextBase: b,
      symmetric: true,
    },
    {
      name: `the source changed back by: ${name}`,
      base: b,
      source: a,
      live: b,
      merged: a,
      verdict: 'takeSource',
      nextBase: a,
      symmetric: true,
    },
    {
      name: `a client changed by: ${name}`,
      base: b,
      source: b,
      live: a,
      merged: a,
      verdict: 'keepLive',
      nextBase: b,
    },
  ] satisfies Case[];
});

const nulls: Case[] = [
  {
    name: 'NULL everywhere',
    base: text(null),
    source: text(null),
    live: text(null),
    merged: text(null),
    verdict: 'agreed',
    nextBase: text(null),
    symmetric: true,
  },
  {
    name: 'a client set NULL, the source something else',
    base: text('b'),
    source: text('s'),
    live: text(null),
    merged: text(null),
    verdict: 'conflict',
    conflict: 'field',
    nextBase: text('s'),
    symmetric: true,
  },
  {
    name: 'the source set NULL, a client something else',
    base: text('b'),
    source: text(null),
    live: text('l'),
    merged: text('l'),
    verdict: 'conflict',
    conflict: 'field',
    nextBase: text(null),
    symmetric: true,
  },
  {
    name: 'both set what was NULL',
    base: text(null),
    source: text('s'),
    live: text('l'),
    merged: text('l'),
    verdict: 'conflict',
    conflict: 'field',
    nextBase: text('s'),
    symmetric: true,
  },
  {
    name: 'both set NULL',
    base: text('b'),
    source: text(null),
    live: text(null),
    merged: text(null),
    verdict: 'agreed',
    nextBase: text(null),
    symmetric: true,
  },
];

const grouped: Case[] = [
  {
    name: 'a group of which the source changed one column',
    base: address('Elm 1', 'Oslo', '1'),
    source: address('Elm 2', 'Oslo', '1'),
    live: address('Elm 1', 'Oslo', '1'),
    merged: address('Elm 2', 'Oslo', '1'),
    verdict: 'takeSource',
    nextBase: address('Elm 2', 'Oslo', '1'),
    symmetric: true,
  },
  {
    name: 'a group of which each side changed another column is never mixed',
    base: address('Elm 1', 'Oslo', '1'),
    source: address('Elm 2', 'Oslo', '1'),
    live: address('Elm 1', 'Bergen', '1'),
    merged: address('Elm 1', 'Bergen', '1'),
    verdict: 'conflict',
    conflict: 'field',
    nextBase: address('Elm 2', 'Oslo', '1'),
    symmetric: true,
  },
  {
    name: 'a group of which each side changed another column, the source wins',
    base: address('Elm 1', 'Oslo', '1'),
    source: address('Elm 2', 'Oslo', '1'),
    live: address('Elm 1', 'Oslo', null),
    policy: { onConflict: 'source' },
    merged: address('Elm 2', 'Oslo', '1'),
    verdict: 'conflict',
    conflict: 'field',
    nextBase: address('Elm 2', 'Oslo', '1'),
    symmetric: true,
  },
  {
    name: 'a group whose last column alone a client changed from NULL',
    base: address('Elm 1', 'Oslo', null),
    source: address('Elm 1', 'Oslo', null),
    live: address('Elm 1', 'Oslo', ''),
    merged: address('Elm 1', 'Oslo', ''),
    verdict: 'keepLive',
    nextBase: address('Elm 1', 'Oslo', null),
    symmetric: true,
  },
  {
    name: 'an amount does not part from its currency',
    base: { amount: '1.0000', currency: 'EUR' },
    source: { amount: '2.0000', currency: 'EUR' },
    live: { amount: '1.0000', currency: 'USD' },
    merged: { amount: '1.0000', currency: 'USD' },
    verdict: 'conflict',
    conflict: 'field',
    nextBase: { amount: '2.0000', currency: 'EUR' },
    symmetric: true,
  },
];

const owners: Case[] = [
  {
    name: 'owner source: the source stands, though only a client changed',
    owner: 'source',
    base: text('b'),
    source: text('b'),
    live: text('l'),
    merged: text('b'),
    verdict: 'takeSource',
    nextBase: text('b'),
  },
  {
    name: 'owner source: the source stands without a conflict',
    owner: 'source',
    base: text('b'),
    source: text('s'),
    live: text('l'),
    merged: text('s'),
    verdict: 'takeSource',
    nextBase: text('s'),
  },
  {
    name: 'owner source: NULL of the source stands',
    owner: 'source',
    base: text('b'),
    source: text(null),
    live: text('l'),
    merged: text(null),
    verdict: 'takeSource',
    nextBase: text(null),
  },
  {
    name: 'owner live: live stands, though only the source changed',
    owner: 'live',
    base: text('b'),
    source: text('s'),
    live: text('b'),
    merged: text('b'),
    verdict: 'keepLive',
    nextBase: text('s'),
  },
  {
    name: 'owner live: live stands without a conflict',
    owner: 'live',
    base: text('b'),
    source: text('s'),
    live: text(null),
    merged: text(null),
    verdict: 'keepLive',
    nextBase: text('s'),
  },
  {
    name: 'owner live: set from the source when the row is new',
    owner: 'live',
    base: null,
    source: text('s'),
    live: null,
    merged: text('s'),
    verdict: 'inserted',
    nextBase: text('s'),
  },
  {
    name: 'owner source: the same on both sides',
    owner: 'source',
    base: text('b'),
    source: text('x'),
    live: text('x'),
    merged: text('x'),
    verdict: 'agreed',
    nextBase: text('x'),
  },
];

const own: Case[] = [
  {
    name: "the application's own column is kept beside what the source changed",
    base: text('b'),
    source: text('s'),
    live: { text: 'b', note: 'mine' },
    merged: { text: 's', note: 'mine' },
    verdict: 'takeSource',
    nextBase: text('s'),
  },
  {
    name: "the application's own column is kept where the source owns all others",
    owner: 'source',
    base: text('b'),
    source: text('s'),
    live: { text: 'l', note: null },
    merged: { text: 's', note: null },
    verdict: 'takeSource',
    nextBase: text('s'),
  },
  {
    name: "a new row gets the default of the application's own column",
    base: null,
    source: text('s'),
    live: null,
    merged: { text: 's', note: 'none' },
    verdict: 'inserted',
    nextBase: text('s'),
  },
];

const rows: Case[] = [
  {
    name: 'new at the source',
    base: null,
    source: text('s'),
    live: null,
    merged: text('s'),
    verdict: 'inserted',
    nextBase: text('s'),
  },
  {
    name: 'both sides made the same key',
    base: null,
    source: text('s'),
    live: text('l'),
    merged: text('l'),
    verdict: 'heldBack',
    conflict: 'sameKey',
    nextBase: null,
  },
  {
    name: 'both sides made the same key, and say the same of it',
    base: null,
    source: text('x'),
    live: { text: 'x', note: 'mine' },
    merged: { text: 'x', note: 'mine' },
    verdict: 'agreed',
    nextBase: text('x'),
  },
  {
    name: 'both sides made the same key, and say the same of it but for a space at the end',
    base: null,
    source: { padded: 'x' },
    live: { padded: 'x ' },
    merged: { padded: 'x ' },
    verdict: 'heldBack',
    conflict: 'sameKey',
    nextBase: null,
  },
  {
    name: 'both sides made the same key, and say NULL of it',
    base: null,
    source: { text: null, number: null, doc: null, data: null },
    live: { text: null, number: null, doc: null, data: null },
    merged: { text: null, number: null, doc: null, data: null },
    verdict: 'agreed',
    nextBase: { text: null, number: null, doc: null, data: null },
  },
  {
    name: 'both sides made the same key, and say the same of columns that the source owns',
    owner: 'source',
    base: null,
    source: text('x'),
    live: text('x'),
    merged: text('x'),
    verdict: 'agreed',
    nextBase: text('x'),
  },
  {
    name: 'both sides made the same key, and the source would win its fields',
    base: null,
    source: text('s'),
    live: text('l'),
    policy: { onConflict: 'source' },
    merged: text('l'),
    verdict: 'heldBack',
    conflict: 'sameKey',
    nextBase: null,
  },
  {
    name: 'both sides made the same key, and the source owns its columns',
    owner: 'source',
    base: null,
    source: text('s'),
    live: { text: 'l', note: 'mine' },
    merged: { text: 'l', note: 'mine' },
    verdict: 'heldBack',
    conflict: 'sameKey',
    nextBase: null,
  },
  {
    name: 'gone at the source',
    base: text('b'),
    source: null,
    live: text('b'),
    merged: null,
    verdict: 'deleted',
    nextBase: null,
  },
  {
    name: 'gone at the source, and never was NULL taken for a change',
    base: { text: null, number: null, data: null, doc: null, at: null },
    source: null,
    live: { text: null, number: null, data: null, doc: null, at: null },
    merged: null,
    verdict: 'deleted',
    nextBase: null,
  },
  {
    name: 'gone at the source, edited by a client',
    base: text('b'),
    source: null,
    live: text('l'),
    merged: text('l'),
    verdict: 'kept',
    conflict: 'deletedAtSource',
    nextBase: null,
  },
  {
    name: 'gone at the source, edited by a client in case only',
    base: text('b'),
    source: null,
    live: text('B'),
    merged: text('B'),
    verdict: 'kept',
    conflict: 'deletedAtSource',
    nextBase: null,
  },
  {
    name: 'gone at the source, set to NULL by a client',
    base: text('b'),
    source: null,
    live: text(null),
    merged: text(null),
    verdict: 'kept',
    conflict: 'deletedAtSource',
    nextBase: null,
  },
  {
    name: 'gone at the source, set by a client from NULL',
    base: text(null),
    source: null,
    live: text('l'),
    merged: text('l'),
    verdict: 'kept',
    conflict: 'deletedAtSource',
    nextBase: null,
  },
  {
    name: 'gone at the source, one column of a group edited',
    base: address('Elm 1', 'Oslo', '1'),
    source: null,
    live: address('Elm 1', 'Oslo', '2'),
    merged: address('Elm 1', 'Oslo', '2'),
    verdict: 'kept',
    conflict: 'deletedAtSource',
    nextBase: null,
  },
  {
    name: 'gone at the source, kept by policy',
    base: text('b'),
    source: null,
    live: text('b'),
    policy: { onSourceDelete: 'keep' },
    merged: text('b'),
    verdict: 'kept',
    nextBase: null,
  },
  {
    name: 'gone at the source, edited, kept by policy',
    base: text('b'),
    source: null,
    live: text('l'),
    policy: { onSourceDelete: 'keep' },
    merged: text('l'),
    verdict: 'kept',
    conflict: 'deletedAtSource',
    nextBase: null,
  },
  {
    name: "the application's own row",
    base: null,
    source: null,
    live: { text: 'l', note: 'mine' },
    merged: { text: 'l', note: 'mine' },
    verdict: 'own',
    nextBase: null,
  },
  {
    name: 'the application deleted it',
    base: text('b'),
    source: text('b'),
    live: null,
    merged: null,
    verdict: 'staysDeleted',
    nextBase: text('b'),
  },
  {
    name: 'the application deleted it, the source changed it since',
    base: text('b'),
    source: text('s'),
    live: null,
    merged: null,
    verdict: 'staysDeleted',
    conflict: 'deletedInLive',
    nextBase: text('s'),
  },
  {
    name: 'the application deleted it, the source changed a trailing space since',
    base: { padded: 'b' },
    source: { padded: 'b ' },
    live: null,
    merged: null,
    verdict: 'staysDeleted',
    conflict: 'deletedInLive',
    nextBase: { padded: 'b ' },
  },
  {
    name: 'the application deleted it, restored by policy',
    base: text('b'),
    source: text('b'),
    live: null,
    policy: { onLiveDelete: 'restore' },
    merged: text('b'),
    verdict: 'inserted',
    nextBase: text('b'),
  },
  {
    name: 'the application deleted it, the source changed it since, restored by policy',
    base: text('b'),
    source: text('s'),
    live: null,
    policy: { onLiveDelete: 'restore' },
    merged: text('s'),
    verdict: 'inserted',
    conflict: 'deletedInLive',
    nextBase: text('s'),
  },
  {
    name: 'both sides deleted it',
    base: text('b'),
    source: null,
    live: null,
    merged: null,
    verdict: 'gone',
    nextBase: null,
    symmetric: true,
  },
];

/** Without a base, `firstRun` decides where the two differ. */
const first: Case[] = (['source', 'live'] as const).flatMap((firstRun) => {
  const wins = (source: Fields, live: Fields) => (firstRun === 'source' ? source : live);
  const verdict: FieldVerdict = firstRun === 'source' ? 'takeSource' : 'keepLive';
  const policy = { firstRun };
  return [
    {
      name: `firstRun ${firstRun}: the two differ`,
      policy,
      base: null,
      source: text('s'),
      live: text('l'),
      merged: wins(text('s'), text('l')),
      verdict,
      nextBase: text('s'),
      symmetric: true,
    },
    {
      name: `firstRun ${firstRun}: the source says NULL`,
      policy,
      base: null,
      source: text(null),
      live: text('l'),
      merged: wins(text(null), text('l')),
      verdict,
      nextBase: text(null),
      symmetric: true,
    },
    {
      name: `firstRun ${firstRun}: live says NULL`,
      policy,
      base: null,
      source: text('s'),
      live: { text: null, note: 'mine' },
      merged: { ...wins(text('s'), text(null)), note: 'mine' },
      verdict,
      nextBase: text('s'),
    },
    {
      name: `firstRun ${firstRun}: they differ in case only`,
      policy,
      base: null,
      source: text('Ada'),
      live: text('ADA'),
      merged: wins(text('Ada'), text('ADA')),
      verdict,
      nextBase: text('Ada'),
      symmetric: true,
    },
    {
      name: `firstRun ${firstRun}: a group is taken whole`,
      policy,
      base: null,
      source: address('Elm 1', 'Oslo', '1'),
      live: address('Elm 2', 'Oslo', null),
      merged: wins(address('Elm 1', 'Oslo', '1'), address('Elm 2', 'Oslo', null)),
      verdict,
      nextBase: address('Elm 1', 'Oslo', '1'),
      symmetric: true,
    },
    {
      name: `firstRun ${firstRun}: the two agree`,
      policy,
      base: null,
      source: text('x'),
      live: text('x'),
      merged: text('x'),
      verdict: 'agreed',
      nextBase: text('x'),
      symmetric: true,
    },
    {
      name: `firstRun ${firstRun}: a column of the source's is taken`,
      owner: 'source',
      policy,
      base: null,
      source: text('s'),
      live: text('l'),
      merged: text('s'),
      verdict: 'takeSource',
      nextBase: text('s'),
    },
    {
      name: `firstRun ${firstRun}: a column of live's is kept`,
      owner: 'live',
      policy,
      base: null,
      source: text('s'),
      live: text('l'),
      merged: text('l'),
      verdict: 'keepLive',
      nextBase: text('s'),
    },
    {
      name: `firstRun ${firstRun}: a row that only the source has`,
      policy,
      base: null,
      source: text('s'),
      live: null,
      merged: text('s'),
      verdict: 'inserted',
      nextBase: text('s'),
    },
    {
      name: `firstRun ${firstRun}: a row that only live has is the application's own`,
      policy,
      base: null,
      source: null,
      live: text('l'),
      merged: text('l'),
      verdict: 'own',
      nextBase: null,
    },
  ] satisfies Case[];
});

/** The mapping changed since the last publish: `firstRun` decides where the base says nothing, and the base about all else. */
const CHANGES: Change[] = ['new', 'otherType', 'otherSource', 'otherOwner'];
const remapped: Case[] = (['source', 'live'] as const).flatMap((firstRun) => {
  const wins = (source: Fields, live: Fields) => (firstRun === 'source' ? source : live);
  const verdict: FieldVerdict = firstRun === 'source' ? 'takeSource' : 'keepLive';
  const policy = { firstRun };
  return CHANGES.flatMap((change): Case[] => {
    const changed = { text: change, city: change };
    const named = (name: string) => `${change}, firstRun ${firstRun}: ${name}`;
    /** Whether clients edited the column can be told, unless it was the application's own, or of another type. */
    const tells = change === 'otherSource' || change === 'otherOwner';
    return [
      {
        name: named('the source differs from live, which is as it was'),
        ...{ policy, changed },
        base: text('b'),
        source: text('s'),
        live: text('b'),
        merged: wins(text('s'), text('b')),
        verdict,
        nextBase: text('s'),
        symmetric: true,
      },
      {
        name: named('live differs from the source, which is as it was'),
        ...{ policy, changed },
        base: text('b'),
        source: text('b'),
        live: text('l'),
        merged: wins(text('b'), text('l')),
        verdict,
        nextBase: text('b'),
        symmetric: true,
      },
      {
        name: named('all three differ: it is no conflict'),
        ...{ policy, changed },
        base: text('b'),
        source: text('s'),
        live: text('l'),
        merged: wins(text('s'), text('l')),
        verdict,
        nextBase: text('s'),
        symmetric: true,
      },
      {
        name: named('they agree'),
        ...{ policy, changed },
        base: text('b'),
        source: text('x'),
        live: text('x'),
        merged: text('x'),
        verdict: 'agreed',
        nextBase: text('x'),
        symmetric: true,
      },
      {
        name: named('they differ in case only, and one was NULL'),
        ...{ policy, changed },
        base: text(null),
        source: text('Ada'),
        live: text('ADA'),
        merged: wins(text('Ada'), text('ADA')),
        verdict,
        nextBase: text('Ada'),
        symmetric: true,
      },
      {
        name: named('a column that did not change merges by its base'),
        ...{ policy, changed },
        base: { text: 'x', number: '1' },
        source: { text: 'x', number: '2' },
        live: { text: 'x', number: '1' },
        merged: { text: 'x', number: '2' },
        verdict: 'takeSource',
        nextBase: { text: 'x', number: '2' },
        symmetric: true,
      },
      {
        name: named('beside it another column is in conflict'),
        ...{ policy, changed },
        base: { text: 'b', number: '1' },
        source: { text: 'x', number: '2' },
        live: { text: 'x', number: '3' },
        merged: { text: 'x', number: '3' },
        verdict: 'conflict',
        conflict: 'field',
        nextBase: { text: 'x', number: '2' },
      },
      {
        name: named('of a group with such a column all is decided at once'),
        ...{ policy, changed },
        base: address('Elm 1', 'Oslo', '1'),
        source: address('Elm 2', 'Oslo', '1'),
        live: address('Elm 1', 'Bergen', '1'),
        merged: wins(address('Elm 2', 'Oslo', '1'), address('Elm 1', 'Bergen', '1')),
        verdict,
        nextBase: address('Elm 2', 'Oslo', '1'),
        symmetric: true,
      },
      {
        name: named('a column that the source owns is taken'),
        owner: 'source',
        ...{ policy, changed },
        base: text('b'),
        source: text('b'),
        live: text('l'),
        merged: text('b'),
        verdict: 'takeSource',
        nextBase: text('b'),
      },
      {
        name: named('a column that live owns is kept'),
        owner: 'live',
        ...{ policy, changed },
        base: text('b'),
        source: text('s'),
        live: text('b'),
        merged: text('b'),
        verdict: 'keepLive',
        nextBase: text('s'),
      },
      {
        name: named('gone at the source, and live is as it was'),
        ...{ policy, changed },
        base: text('b'),
        source: null,
        live: text('b'),
        ...(change === 'otherType'
          ? { merged: text('b'), verdict: 'kept', conflict: 'deletedAtSource' }
          : { merged: null, verdict: 'deleted' }),
        nextBase: null,
      },
      {
        name: named('gone at the source, and live differs'),
        ...{ policy, changed },
        base: text('b'),
        source: null,
        live: text('l'),
        ...(tells || change === 'otherType'
          ? { merged: text('l'), verdict: 'kept', conflict: 'deletedAtSource' }
          : { merged: null, verdict: 'deleted' }),
        nextBase: null,
      },
      {
        name: named('the application deleted it, the source changed it since'),
        ...{ policy, changed },
        base: text('b'),
        source: text('s'),
        live: null,
        merged: null,
        verdict: 'staysDeleted',
        ...(change === 'otherOwner' && { conflict: 'deletedInLive' as const }),
        nextBase: text('s'),
      },
      {
        name: named('the application deleted it, the source changed another column since'),
        ...{ policy, changed },
        base: { text: 'b', number: '1' },
        source: { text: 'b', number: '2' },
        live: null,
        merged: null,
        verdict: 'staysDeleted',
        conflict: 'deletedInLive',
        nextBase: { text: 'b', number: '2' },
      },
      {
        name: named('both sides made the same key'),
        ...{ policy, changed },
        base: null,
        source: text('s'),
        live: text('l'),
        merged: text('l'),
        verdict: 'heldBack',
        conflict: 'sameKey',
        nextBase: null,
      },
      {
        name: named('new at the source'),
        ...{ policy, changed },
        base: null,
        source: text('s'),
        live: null,
        merged: text('s'),
        verdict: 'inserted',
        nextBase: text('s'),
      },
    ];
  });
});

/** A column that was made longer has its base still: what clients edited is not taken for old drift. */
const wider: Case[] = (['source', 'live'] as const).map((firstRun) => ({
  name: `made wider, firstRun ${firstRun}: the base decides`,
  policy: { firstRun },
  changed: { text: 'wider' },
  base: text('b'),
  source: text('b'),
  live: text('longer than twenty characters'),
  merged: text('longer than twenty characters'),
  verdict: 'keepLive',
  nextBase: text('b'),
  symmetric: true,
}));

const OTHER_SIDE: Record<Side, Side> = { source: 'live', live: 'source' };
const EXCHANGED: Partial<Record<Case['verdict'], FieldVerdict>> = {
  takeSource: 'keepLive',
  keepLive: 'takeSource',
};

/** The same case seen from the other side: live says what the source said. */
function flipped(one: Case): Case {
  const policy: Policy = { ...POLICY, ...one.policy };
  return {
    ...one,
    name: `${one.name} (sides flipped)`,
    source: one.live,
    live: one.source,
    policy: {
      ...policy,
      onConflict: OTHER_SIDE[policy.onConflict],
      ...(policy.firstRun && { firstRun: OTHER_SIDE[policy.firstRun] }),
    },
    verdict: EXCHANGED[one.verdict] ?? one.verdict,
    nextBase: one.live,
  };
}

const written = [
  ...[...fields, ...looks, ...nulls, ...grouped, ...owners, ...own, ...rows],
  ...[...first, ...remapped, ...wider],
];
export const CASES: Case[] = written.flatMap((one) => (one.symmetric ? [one, flipped(one)] : [one]));

/** The table that a case is about: its policy is the table's, and its owner that of every column. */
export function tableOf(one: Case, name = 'doc'): ShapedTable {
  const policy = { ...POLICY, ...one.policy };
  const singles = Object.keys(PLAIN).filter((column) => !GROUPS.flat().includes(column) && !(column in OWN));
  return {
    name,
    types: TYPES,
    key: ['id'],
    units: [...GROUPS, ...singles.map((column) => [column])].map((columns) => ({
      columns,
      owner: one.owner ?? 'merge',
      onConflict: policy.onConflict,
    })),
    own: OWN,
    onSourceDelete: policy.onSourceDelete,
    onLiveDelete: policy.onLiveDelete,
    references: [],
    unique: [],
    folds: foldsOf(TYPES),
  };
}

export const isFirstPublish = ({ policy, changed }: Case) => policy?.firstRun !== undefined && !changed;

/** The table as it was mapped when it was published before. */
export function tableBefore(one: Case, name = 'doc'): ShapedTable {
  const table = tableOf(one, name);
  for (const [column, change] of Object.entries(one.changed ?? {})) {
    if (change === 'wider') table.types = { ...table.types, [column]: 'short' };
    if (change === 'otherType') table.types = { ...table.types, [column]: 'latin' };
    if (change === 'otherSource') table.from = { ...table.from, [column]: `${column}_before` };
    if (change === 'new') {
      table.units = table.units
        .map((unit) => ({ ...unit, columns: unit.columns.filter((name) => name !== column) }))
        .filter(({ columns }) => columns.length > 0);
      table.own = { ...table.own, [column]: null };
    }
    if (change === 'otherOwner') {
      const owner = one.owner === 'live' ? 'source' : 'live';
      table.units = table.units.map((unit) => (unit.columns.includes(column) ? { ...unit, owner } : unit));
    }
  }
  return { ...table, folds: foldsOf(table.types) };
}

/** The case's row: what every row has, and what this one has. */
export function rowOf(given: Fields, id: number): Row | null {
  return given && { id: String(id), ...PLAIN, ...given };
}

/** A row as the source says it: without the application's own columns. */
export function saidBySource(row: Row | null): Row | null {
  return row && Object.fromEntries(Object.entries(row).filter(([name]) => !(name in OWN)));
}
