/** SQL as text with bound values: the only place that quotes identifiers. */

/** A statement for MySQL: text with `?` places and the values that go there. */
export interface Statement {
  text: string;
  values: unknown[];
}

/** A fragment that is part of the statement's text as it stands. Made by `id`, `raw`, `join` and `sql`. */
export class Fragment implements Statement {
  constructor(
    readonly text: string,
    readonly values: unknown[] = [],
  ) {}
}

/** A quoted MySQL identifier. */
export function id(name: string): Fragment {
  return new Fragment(`\`${name.replaceAll('`', '``')}\``);
}

/** A quoted column of an alias: `l`.`email`. */
export function col(alias: string, name: string): Fragment {
  return new Fragment(`${alias}.${id(name).text}`);
}

/** Text that is taken as it stands: keywords and types from the catalogue, never values. */
export function raw(text: string): Fragment {
  return new Fragment(text);
}

/** Joins fragments with a separator; an empty list gives `empty`. */
export function join(parts: Fragment[], separator = ', ', empty = ''): Fragment {
  if (parts.length === 0) return new Fragment(empty);
  return new Fragment(
    parts.map((part) => part.text).join(separator),
    parts.flatMap((part) => part.values),
  );
}

/** Bound values as IN takes them. An empty list is no SQL, so it becomes NULL: then `IN` finds nothing, and neither does `NOT IN`. */
export function list(values: readonly unknown[]): Fragment {
  return join(
    values.map((value) => sql`${value}`),
    ', ',
    'NULL',
  );
}

/** The tagged template: fragments become text, everything else is bound. */
export function sql(strings: TemplateStringsArray, ...inserts: unknown[]): Fragment {
  let text = strings[0] ?? '';
  const values: unknown[] = [];
  inserts.forEach((insert, index) => {
    if (insert instanceof Fragment) {
      text += insert.text;
      values.push(...insert.values);
    } else {
      text += '?';
      values.push(insert);
    }
    text += strings[index + 1] ?? '';
  });
  return new Fragment(text, values);
}

/** A quoted string literal, for the places where MySQL takes no bound value (trigger bodies). */
export function literal(text: string): Fragment {
  return new Fragment(`'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`);
}
