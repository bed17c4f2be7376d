/**
 * Takes out of texts what must not leave a worker: passwords, and values of rows that engines quote in their messages. What
 * is left names tables, columns and keys, so that a person can act on it.
 */

/** Messages that quote a value which may hold quotes itself: taken whole, from the first quote to what follows the value. */
const QUOTED_VALUES: [pattern: RegExp, replacement: string][] = [
  // MySQL 1062
  [/(Duplicate entry )'[\s\S]*'( for key )/g, "$1'…'$2"],
  // MySQL 1292, 1366, 1411, 1525, and 1292 of casts
  [/(ncorrect [\w ]+ value: )'[\s\S]*?'( for (?:column|function) |$)/g, "$1'…'$2"],
  // MySQL 1064 quotes the statement
  [/( near )'[\s\S]*'( at line \d+)/g, "$1'…'$2"],
  // SQL Server 245, 241, 2627, 2628
  [/(converting the [\w ()]+ value )'[\s\S]*'( to data type )/g, "$1'…'$2"],
  [/(The duplicate key value is )\([\s\S]*\)/g, '$1(…)'],
  [/(Truncated value: )'[\s\S]*'/g, "$1'…'"],
];

/** A quoted name stays where one of these words stands before it; every other quoted text may be a value. */
const NAMED =
  /(?:\b(?:key|column|columns|table|database|schema|user|host|index|constraint|trigger|view|function|procedure|variable|character set|collation|object|login|type|engine|command|server)|@)\s*$/i;
/** Where MySQL says that it met a name. */
const CLAUSE = /^'(?:field list|[a-z ]*clause|group statement|\w+ statement)'$/;

/**
 * An engine's message without the values that it quotes.
 *
 * @param message of MySQL or SQL Server
 */
export function scrubValues(message: string): string {
  let text = message;
  for (const [pattern, replacement] of QUOTED_VALUES) text = text.replace(pattern, replacement);
  return text.replace(/'(?:[^'\\]|\\.|'')*'/g, (quoted, at: number) =>
    NAMED.test(text.slice(0, at)) || CLAUSE.test(quoted) ? quoted : "'…'",
  );
}

/**
 * A text without passwords: those of addresses in it, and every secret that is named.
 *
 * @param secrets such as the passwords of a configuration; ones of fewer than four characters are not looked for
 */
export function scrubSecrets(text: string, secrets: Iterable<string> = []): string {
  let clean = text.replace(/(\b[a-z][a-z0-9+.-]*:\/\/[^:@/\s]*:)[^@\s]*@/gi, '$1***@');
  for (const secret of secrets) if (secret.length >= 4) clean = clean.replaceAll(secret, '***');
  return clean;
}
