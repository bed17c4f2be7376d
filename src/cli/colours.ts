import pc from 'picocolors';

/**
 * Colours, only where a person looks at a terminal: picocolors would also use them wherever `CI` is set, and then scripts
 * find escape sequences in what they read. NO_COLOR (https://no-color.org) turns them off on a terminal, too.
 */
export const colours = pc.createColors(
  Boolean(process.stdout.isTTY && process.stderr.isTTY) &&
    process.env.NO_COLOR === undefined &&
    process.env.TERM !== 'dumb',
);
