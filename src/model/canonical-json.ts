import { BadValueError, HALF_A_CHARACTER } from './bad-value.js';
import { doubleText } from './numbers.js';

const DEPTH_MAX = 100; // MySQL's own limit (error 3157)
const SPACE = /[ \t\n\r]*/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON forbids them unescaped
const STRING = /"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORD = /true|false|null/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: what MySQL escapes
const ESCAPED = /["\\\x00-\x1f]/g;
const ESCAPES: Record<string, string> = {
  '"': '\\"',
  '\\': '\\\\',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
};

/**
 * A JSON document as MySQL prints it once stored: names by length and then by bytes, one space after comma and colon, one
 * spelling for numbers and escapes. JSON gives no meaning to any of these. What would become another value is refused: a
 * number that neither 64 bits nor a double hold, a name that stands twice, half of a surrogate pair.
 *
 * @throws {BadValueError} text that is no JSON, or that MySQL would change
 * @see MySQL manual, The JSON Data Type: Normalization, Merging, and Autowrapping of JSON Values
 */
export function canonicalJson(text: string): string {
  const reader = new Reader(text);
  const canonical = reader.value(1);
  reader.end();
  return canonical;
}

class Reader {
  #at = 0;
  constructor(readonly text: string) {}

  value(depth: number): string {
    this.#take(SPACE);
    const first = this.text[this.#at];
    if (first === '{' || first === '[') {
      if (depth > DEPTH_MAX) throw new BadValueError(`JSON that is nested deeper than ${DEPTH_MAX}`);
      this.#at += 1;
      return first === '{' ? this.#object(depth) : this.#array(depth);
    }
    const canonical = first === '"' ? quote(this.#string()) : (this.#take(WORD) ?? this.#number());
    this.#take(SPACE);
    return canonical;
  }

  end(): void {
    if (this.#at !== this.text.length) throw invalid();
  }

  #array(depth: number): string {
    const values: string[] = [];
    if (!this.#closed(']')) {
      do values.push(this.value(depth + 1));
      while (this.#goesOn(']'));
    }
    return `[${values.join(', ')}]`;
  }

  #object(depth: number): string {
    const members = new Map<string, string>();
    if (!this.#closed('}')) {
      do {
        this.#take(SPACE);
        const name = this.#string();
        this.#take(SPACE);
        if (this.text[this.#at] !== ':') throw invalid();
        this.#at += 1;
        if (members.has(name)) throw new BadValueError('a JSON object in which a name stands twice');
        members.set(name, this.value(depth + 1));
      } while (this.#goesOn('}'));
    }
    const sorted = [...members].map(([name, value]) => ({ bytes: Buffer.from(name), name, value }));
    sorted.sort((a, b) => a.bytes.length - b.bytes.length || a.bytes.compare(b.bytes));
    return `{${sorted.map(({ name, value }) => `${quote(name)}: ${value}`).join(', ')}}`;
  }

  /** Is the container closed at once? */
  #closed(bracket: string): boolean {
    this.#take(SPACE);
    const closed = this.text[this.#at] === bracket;
    if (closed) {
      this.#at += 1;
      this.#take(SPACE);
    }
    return closed;
  }

  /** After a value: another one follows, or the container closes. */
  #goesOn(bracket: string): boolean {
    const next = this.text[this.#at];
    if (next !== ',' && next !== bracket) throw invalid();
    this.#at += 1;
    if (next === bracket) this.#take(SPACE);
    return next === ',';
  }

  #string(): string {
    const token = this.#take(STRING);
    if (token === undefined) throw invalid();
    const value = JSON.parse(token) as string;
    if (!value.isWellFormed()) throw new BadValueError(HALF_A_CHARACTER);
    return value;
  }

  #number(): string {
    const token = this.#take(NUMBER);
    if (token === undefined) throw invalid();
    if (/^-?\d+$/.test(token)) {
      const whole = BigInt(token);
      if (whole >= -(1n << 63n) && whole < 1n << 64n) return whole.toString();
    }
    const number = Number(token);
    const printed = Number.isFinite(number) ? doubleText(number) : '';
    if (decimalOf(printed) !== decimalOf(token))
      throw new BadValueError('a number in JSON with more digits than MySQL keeps');
    return printed;
  }

  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.text)?.[0];
    if (found !== undefined) this.#at += found.length;
    return found;
  }
}

const invalid = () => new BadValueError('text that is not valid JSON');

function quote(text: string): string {
  const escaped = (character: string) =>
    ESCAPES[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return `"${text.replace(ESCAPED, escaped)}"`;
}

/** A number's decimal value in one spelling: sign, digits without zeros at the ends, power of ten. */
function decimalOf(token: string): string {
  const match = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(token);
  if (!match) return token;
  const [, sign = '', whole = '', rest = '', power = '0'] = match;
  const digits = `${whole}${rest}`.replace(/^0+/, '');
  const significant = digits.replace(/0+$/, '');
  if (significant === '') return '0';
  return `${sign}${significant}e${Number(power) - rest.length + digits.length - significant.length}`;
}
