import type { Connection } from '@temporalio/client';
import { SEARCH_ATTRIBUTES } from '../model/messages.js';

/** INDEXED_VALUE_TYPE_KEYWORD of Temporal's API: a word that is found whole */
const KEYWORD = 2;
/** ALREADY_EXISTS of gRPC: another worker was quicker */
const ALREADY_EXISTS = 6;

/**
 * Registers the search attributes of runs where they are missing.
 *
 * @param say told what was done, or why it could not be and what to do; runs work without them
 * @returns whether runs can use them now
 */
export async function registerSearchAttributes(
  { operatorService }: Pick<Connection, 'operatorService'>,
  namespace: string,
  say: (line: string) => void,
): Promise<boolean> {
  const names = Object.values(SEARCH_ATTRIBUTES);
  const known = async () => {
    const { customAttributes = {} } = await operatorService.listSearchAttributes({ namespace });
    return customAttributes ?? {};
  };
  try {
    const before = await known();
    const missing = names.filter((name) => before[name] === undefined);
    if (missing.length > 0) {
      await operatorService
        .addSearchAttributes({
          namespace,
          searchAttributes: Object.fromEntries(missing.map((name) => [name, KEYWORD])),
        })
        .catch((error: { code?: number }) => {
          if (error.code !== ALREADY_EXISTS) throw error;
        });
      say(
        `registered in namespace ${namespace}, for the Temporal UI: search attributes ${missing.join(', ')}`,
      );
    }
    const now = await known();
    const wrong = names.filter((name) => now[name] !== KEYWORD);
    if (wrong.length === 0) return true;
    say(
      `${wrong.join(', ')}: not of type Keyword in namespace ${namespace}. Runs go without search attributes.`,
    );
  } catch (error) {
    say(
      `search attributes ${names.join(', ')} cannot be registered: ${(error as Error).message}. Runs go without. To have them, let an administrator create both as Keyword, and start the worker again.`,
    );
  }
  return false;
}
