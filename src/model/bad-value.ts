/**
 * A value that its column cannot hold unchanged. The reason has no value in it, since values are personal data; it reads
 * on after "a value has". The cure says what the operator does about it.
 */
export class BadValueError extends Error {
  override name = 'BadValueError';
  constructor(
    reason: string,
    readonly cure = "Correct it at the source, or change live's column.",
  ) {
    super(reason);
  }
}

/** Text of one value that is not NULL. @throws {BadValueError} what cannot be stored unchanged */
export type ToText = (value: NonNullable<unknown>) => string;
