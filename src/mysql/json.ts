/** A value of type JSON: the driver parses it, or leaves it as text, as its settings and the statement have it. */
export function jsonOf<T>(value: string | T): T {
  return typeof value === 'string' ? (JSON.parse(value) as T) : value;
}
