import {
  bytesMax,
  integerRange,
  isBytes,
  isInteger,
  isMembers,
  isString,
  isZerofill,
  lengthOf,
  membersOf,
} from './live-type.js';
import type { LiveColumn, MappedColumn, NoBase, Owner, SourceColumn, TableSpec } from './spec.js';

/**
 * What a mapping that changed between two runs leaves of the base: a pure comparison of the specification that live was last
 * published by with the one of now.
 *
 * @see ARCHITECTURE "Merge and rules": what the base is worth
 */

/**
 * Why the base does not decide about a column; undefined: it does.
 *
 * @param owner undefined: of the key, which is never merged
 * @param then  the table as it was last published
 */
export function noBaseOf(
  column: MappedColumn,
  owner: Owner | undefined,
  then: TableSpec,
): NoBase | undefined {
  const before = then.columns.find(({ live }) => live.name === column.live.name);
  if (!before) return 'new';
  if (!holdsAll(column.live, before.live)) return 'otherType';
  if (!sameReading(before, column)) return 'otherSource';
  const unit = then.units.find(({ columns }) => columns.includes(column.live.name));
  return owner !== unit?.owner ? 'otherOwner' : undefined;
}

/** Reasons in spite of which the base has the column, and its value. */
const COMPARABLE: readonly NoBase[] = ['otherSource', 'otherOwner'];

/** Does the base hold a value of the column that can be shown, and carried over? @param noBase undefined: the base decides */
export const keepsValue = (noBase: NoBase | undefined): boolean =>
  noBase === undefined || COMPARABLE.includes(noBase);

/** What is known, without comparing, by the reason for which a column has no base; by any other its value is compared. */
export type Known = Partial<Record<NoBase, boolean>>;

/**
 * Whether clients edited a column since the last publish: told by the base as live had it. Of a column that was the
 * application's own nobody asks; of one of another type nothing is known, and then it counts as edited: the row is kept.
 */
export const EDITED: Known = { new: false, otherType: true };
/** Whether the source changed it: told by the base if it is the same column; of what is not known nobody says that it changed. */
export const CHANGED: Known = { new: false, otherType: false, otherSource: false };

export function knownOf(noBase: NoBase | undefined, known: Known): boolean | 'compare' {
  return (noBase && known[noBase]) ?? 'compare';
}

/** What of the key differs, in words, so that rows of the base cannot be found by it; undefined: nothing. */
export function otherKey(
  now: { key: string[]; columns: MappedColumn[] },
  then: TableSpec,
): string | undefined {
  const names = (key: string[]) => [...key].sort().join(', ');
  if (names(now.key) !== names(then.key)) return `the key was ${names(then.key)}, and is ${names(now.key)}`;
  for (const name of now.key) {
    const is = (column: MappedColumn) => column.live.name === name;
    const [column, before] = [now.columns.find(is), then.columns.find(is)];
    if (!column || !before) continue;
    if (before.source.name !== column.source.name)
      return `${name} of the key was taken from ${before.source.name}, and is taken from ${column.source.name}`;
    const [is_, was] = [column.live, before.live];
    if (!holdsAll(is_, was) || is_.collation !== was.collation)
      return `${name} of the key was ${typeText(was)}, and is ${typeText(is_)}`;
    if (!sameReading(before, column))
      return `${name} of the key was ${before.source.type} at the source, and is ${column.source.type}`;
  }
  return undefined;
}

const typeText = ({ columnType, collation }: LiveColumn) => [columnType, collation ?? ''].join(' ').trim();

/**
 * Does a column still hold every value that it held, unchanged, so that values of then and now can be compared? Its type
 * is the same, or was made wider: more digits, characters or bytes, more members behind the old ones.
 */
function holdsAll(now: LiveColumn, then: LiveColumn): boolean {
  if (now.charset !== then.charset) return false;
  if (now.columnType === then.columnType) return true;
  if (isInteger(now) && isInteger(then)) {
    const [wide, narrow] = [integerRange(now), integerRange(then)];
    return !isZerofill(now) && !isZerofill(then) && wide.min <= narrow.min && wide.max >= narrow.max;
  }
  // CHAR loses the spaces at the end that other types keep.
  if (isString(now) && isString(then))
    return (now.type !== 'char' || then.type === 'char') && longer(now, then);
  if (isBytes(now) && isBytes(then)) return now.type !== 'binary' && longer(now, then);
  if (isMembers(now) && now.type === then.type) {
    const members = membersOf(now);
    return membersOf(then).every((member, place) => members[place] === member);
  }
  if (now.type !== then.type) return false;
  switch (now.type) {
    case 'decimal':
      return (
        !isZerofill(now) &&
        !isZerofill(then) &&
        now.columnType.includes('unsigned') === then.columnType.includes('unsigned') &&
        (now.scale ?? 0) >= (then.scale ?? 0) &&
        (now.precision ?? 0) - (now.scale ?? 0) >= (then.precision ?? 0) - (then.scale ?? 0)
      );
    case 'datetime':
    case 'timestamp':
    case 'time':
      return (now.fractionDigits ?? 0) >= (then.fractionDigits ?? 0);
    default:
      return false;
  }
}

const CHARACTER_BYTES_MAX = 4;

/** Has a text or binary column at least the room that it had? A family with a limit in bytes must hold every character. */
function longer(now: LiveColumn, then: LiveColumn): boolean {
  const unit = isString(now) ? CHARACTER_BYTES_MAX : 1;
  const [room, had] = [bytesMax(now), bytesMax(then)];
  if (room === undefined) return lengthOf(now) >= (had ?? lengthOf(then));
  return room >= (had ?? lengthOf(then) * unit);
}

function sameReading(then: MappedColumn, now: MappedColumn): boolean {
  if (then.source.name !== now.source.name) return false;
  if (now.live.type === 'timestamp' && then.timeZone !== now.timeZone) return false;
  return readingOf(then.source, now.live) === readingOf(now.source, now.live);
}

/** How a source type becomes text: types of one name are read alike, whatever their length. */
function readingOf({ type, scale }: SourceColumn, live: LiveColumn): string {
  switch (type) {
    case 'tinyint':
    case 'smallint':
    case 'int':
    case 'bigint':
      return 'integer';
    case 'decimal':
    case 'numeric':
      return isString(live) ? `decimal ${scale}` : 'decimal';
    case 'money':
    case 'smallmoney':
      return isString(live) ? 'decimal 4' : 'decimal';
    case 'varchar':
    case 'nvarchar':
      return 'text';
    case 'char':
    case 'nchar':
      return 'padded text';
    case 'timestamp':
    case 'rowversion':
      return 'rowversion';
    default:
      return type;
  }
}
