/** T-SQL tokens. */
import { SqlError } from '../errors.js';

export interface Token {
  /** id: bare word; quoted: [x] or "x"; str; num; hex; var: @x or @@x; op: everything else, one operator a token. */
  readonly kind: 'id' | 'quoted' | 'str' | 'num' | 'hex' | 'var' | 'op';
  /** Content without its quotes. */
  readonly text: string;
  /** Upper case for bare words and operators, empty otherwise, so that keywords compare with one test. */
  readonly word: string;
  /** Offset in the source text. */
  readonly at: number;
}

const PATTERN =
  /(?<space>\s+|--[^\n]*)|(?<str>[nN]?'(?:[^']|'')*')|(?<bracket>\[(?:[^\]]|\]\])*\])|(?<quoted>"(?:[^"]|"")*")|(?<hex>0[xX][0-9a-fA-F]*)|(?<num>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?<var>@@?[\p{L}\p{N}_$#@]*)|(?<id>[\p{L}_#][\p{L}\p{N}_$#@]*)|(?<op><>|<=|>=|!=|!<|!>|\+=|-=|[-+*/%=<>(),.;&|^~:])/uy;

export function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (at < text.length) {
    if (text.startsWith('/*', at)) {
      at = endOfComment(text, at);
      continue;
    }
    PATTERN.lastIndex = at;
    const match = PATTERN.exec(text);
    const groups = match?.groups;
    if (!match || !groups) {
      if (text[at] === "'")
        throw new SqlError(
          105,
          15,
          1,
          `Unclosed quotation mark after the character string '${text.slice(at + 1, at + 60)}'.`,
        );
      throw new SqlError(102, 15, 1, `Incorrect syntax near '${text[at]}'.`);
    }
    const whole = match[0];
    const push = (kind: Token['kind'], content: string, word = ''): void => {
      tokens.push({ kind, text: content, word, at });
    };
    if (groups.str !== undefined) push('str', whole.slice(whole.indexOf("'") + 1, -1).replaceAll("''", "'"));
    else if (groups.bracket !== undefined) push('quoted', whole.slice(1, -1).replaceAll(']]', ']'));
    else if (groups.quoted !== undefined) push('quoted', whole.slice(1, -1).replaceAll('""', '"'));
    else if (groups.hex !== undefined) push('hex', whole.slice(2));
    else if (groups.num !== undefined) push('num', whole);
    else if (groups.var !== undefined) push('var', whole);
    else if (groups.id !== undefined) push('id', whole, whole.toUpperCase());
    else if (groups.op !== undefined) push('op', whole, whole);
    at += whole.length;
  }
  return tokens;
}

/** T-SQL's block comments nest. */
function endOfComment(text: string, start: number): number {
  let depth = 0;
  let at = start;
  while (at < text.length) {
    if (text.startsWith('/*', at)) {
      depth++;
      at += 2;
    } else if (text.startsWith('*/', at)) {
      depth--;
      at += 2;
      if (depth === 0) return at;
    } else at++;
  }
  throw new SqlError(113, 15, 1, "Missing end comment mark '*/'.");
}

export const isName = (token: Token | undefined): token is Token & { readonly kind: 'id' | 'quoted' } =>
  token !== undefined && (token.kind === 'id' || token.kind === 'quoted');

/** Index of the parenthesis that closes the one at `open`. */
export function closing(tokens: readonly Token[], open: number): number {
  let depth = 0;
  for (let i = open; i < tokens.length; i++) {
    const word = tokens[i]?.word;
    if (word === '(') depth++;
    else if (word === ')' && --depth === 0) return i;
  }
  throw new SqlError(102, 15, 1, "Incorrect syntax near '('.");
}

/** Splits at commas outside parentheses; no tokens give no parts. */
export function splitCommas(tokens: readonly Token[]): Token[][] {
  if (tokens.length === 0) return [];
  const parts: Token[][] = [[]];
  let depth = 0;
  for (const token of tokens) {
    if (token.word === '(') depth++;
    if (token.word === ')') depth--;
    if (token.word === ',' && depth === 0) parts.push([]);
    else parts[parts.length - 1]?.push(token);
  }
  return parts;
}
