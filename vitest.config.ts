import { defineConfig } from 'vitest/config';
import { TEST_MS_MAX, WAIT_MS_MAX } from './test/support/patience.js';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/engines.ts'],
    pool: 'forks',
    fileParallelism: true,
    maxWorkers: 2,
    testTimeout: TEST_MS_MAX,
    hookTimeout: 600_000,
    teardownTimeout: 60_000,
    expect: { poll: { timeout: WAIT_MS_MAX } },
    retry: 0, // a test that passes at the second try has found something
    passWithNoTests: false,
  },
});
