import type { TestProject } from 'vitest/node';
import { startEngines } from '../../demo/engines/index.js';

declare module 'vitest' {
  export interface ProvidedContext {
    mysqlUrl: string;
    mssqlUrl: string;
    temporalAddress: string;
  }
}

/** Starts the engines once for all tests. One that cannot be had fails the suite: nothing is skipped. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const engines = await startEngines({
    say: (line) => console.log(`engines: ${line}`),
    databases: ['stageswap_test_billing'],
  });
  project.provide('mysqlUrl', engines.mysql.url);
  project.provide('mssqlUrl', engines.sqlServer.url);
  project.provide('temporalAddress', engines.temporal.address);
  return () => engines.stop();
}
