import type { TestProject } from 'vitest/node';
import { startMySql } from '../../demo/engines/mysql.js';
import { startTemporal } from '../../demo/engines/temporal.js';

declare module 'vitest' {
  export interface ProvidedContext {
    mysqlUrl: string;
    temporalAddress: string;
  }
}

/** Starts the engines once for all tests. One that cannot be had fails the suite: nothing is skipped. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const say = (line: string) => console.log(`engines: ${line}`);
  const [mysql, temporal] = await Promise.all([startMySql(say), startTemporal(say)]);
  project.provide('mysqlUrl', mysql.url);
  project.provide('temporalAddress', temporal.address);
  return async () => {
    await Promise.all([mysql.stop(), temporal.stop()]);
  };
}
