// Bundles the workflows once, so that a worker neither spends the seconds nor the 100 MB that bundling takes.
import { existsSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode } from '@temporalio/worker';

const workflowsPath = fileURLToPath(new URL('../dist/workflows/index.js', import.meta.url));
if (!existsSync(workflowsPath)) {
  console.error('no dist/workflows/index.js: no bundle is made, and a worker will bundle when it starts');
  process.exit(0);
}
const quiet = { trace() {}, debug() {}, info() {}, warn: console.error, error: console.error, log() {} };
const { code } = await bundleWorkflowCode({ workflowsPath, logger: quiet });
writeFileSync(new URL('../dist/workflow-bundle.js', import.meta.url), code);
