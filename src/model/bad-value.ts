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

/** What several columns and both sides may say: a reason, and its cure where that is not the usual one. */
export const HALF_A_CHARACTER = 'half of a surrogate pair, which no UTF-8 text can hold';
export const NULL_REFUSED = {
  reason: 'NULL, which live does not allow',
  cure: "Correct it at the source, or allow NULL in live's column.",
};

/** Text of one value that is not NULL. @throws {BadValueError} what cannot be stored unchanged */
export type ToText = (value: NonNullable<unknown>) => string;
