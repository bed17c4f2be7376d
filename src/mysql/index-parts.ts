/**
 * The parts of an index as SHOW CREATE TABLE prints them. The catalogue has expressions, too, but with quotes escaped once
 * more and other letters than ASCII broken (9.7).
 *
 * @param create what SHOW CREATE TABLE says
 * @returns in the index's order: of an expression its text without the parentheses around it; else as printed
 */
export function indexParts(create: string, index: string): string[] {
  const name = `\`${index.replaceAll('`', '``')}\``;
  const line = create.split('\n').find((text) => text.trim().startsWith(`UNIQUE KEY ${name} (`));
  if (line === undefined) return [];
  return topLevelParts(line.slice(line.indexOf(`${name} (`) + name.length + 2)).map((part) =>
    part.startsWith('(') ? part.slice(1, part.lastIndexOf(')')) : part,
  );
}

/** Splits at the commas that are in no parentheses and no quotes, up to the parenthesis that closes the list. */
function topLevelParts(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let from = 0;
  for (let at = 0; at < text.length; at += 1) {
    const sign = text.charAt(at);
    if (sign === "'" || sign === '`') at = endOfQuoted(text, at);
    else if (sign === '(') depth += 1;
    else if (sign === ')' && depth > 0) depth -= 1;
    else if (depth === 0 && (sign === ',' || sign === ')')) {
      parts.push(text.slice(from, at).trim());
      from = at + 1;
      if (sign === ')') break;
    }
  }
  return parts;
}

/** Where what begins at `from` with a quote ends; doubled quotes and, in strings, escaped ones are part of it. */
function endOfQuoted(text: string, from: number): number {
  const quote = text.charAt(from);
  let at = from + 1;
  while (at < text.length) {
    if (text.charAt(at) === '\\' && quote === "'") at += 2;
    else if (text.charAt(at) !== quote) at += 1;
    else if (text.charAt(at + 1) === quote) at += 2;
    else return at;
  }
  return text.length;
}

/**
 * The clause of a CHECK constraint, without the parentheses around it. The catalogue has it with quotes escaped once more.
 *
 * @param create what SHOW CREATE TABLE says
 */
export function checkClause(create: string, name: string): string {
  const begin = `CONSTRAINT \`${name.replaceAll('`', '``')}\` CHECK (`;
  const line = create.split('\n').find((text) => text.trim().startsWith(begin));
  return line === undefined ? 'TRUE' : line.slice(line.indexOf(begin) + begin.length, line.lastIndexOf(')'));
}
