import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/engines.ts'],
    pool: 'forks',
    fileParallelism: true,
    maxWorkers: 2,
    // bounds what hangs; no test is about speed, and a slow machine must pass
    testTimeout: 900_000,
    hookTimeout: 600_000,
    teardownTimeout: 60_000,
    expect: { poll: { timeout: 240_000 } },
    retry: 0, // a test that passes at the second try has found something
    passWithNoTests: false,
  },
});
