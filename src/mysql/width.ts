import { StageswapError } from '../model/failures.js';
import { errorNumber } from './errors.js';

/** Too many columns; rows that could be longer than 65,535 bytes. */
const TOO_WIDE = new Set([1117, 1118]);

/** What is wrong with a live table whose run tables MySQL does not make: they have a few columns more, and fewer NOT NULL. */
export const WIDTH = {
  what: "is so wide that MySQL makes no run table after it: those have a few columns more, and live's columns allow NULL there (65,535 bytes a row, 1,017 columns)",
  cure: 'make a long VARCHAR a TEXT, shorten one, or leave columns out of the mapping',
};

export function isTooWide(error: unknown): boolean {
  return TOO_WIDE.has(errorNumber(error) ?? 0);
}

/** @throws {StageswapError} Refused: live is too wide for what `work` makes after it */
export async function withinWidth<T>(live: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isTooWide(error)) throw error;
    throw new StageswapError('Refused', `${live} ${WIDTH.what}. Live is untouched. Cure: ${WIDTH.cure}.`, {
      cause: error,
    });
  }
}
