/**
 * How long a test waits for what is about to happen. It bounds what hangs, and says nothing of speed: a machine that is busy, or a
 * third as fast as ours, must pass. Where a time is what a test is about, the test has a limit of its own.
 */
export const WAIT_MS_MAX = 240_000;
/** The same for a whole test, which may wait for many things. */
export const TEST_MS_MAX = 900_000;
