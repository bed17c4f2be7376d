// Bundles the workflows once, so that a worker neither spends the seconds nor the 100 MB that bundling takes.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode } from '@temporalio/worker';

const quiet = { trace() {}, debug() {}, info() {}, warn: console.error, error: console.error, log() {} };
const { code } = await bundleWorkflowCode({
  workflowsPath: fileURLToPath(new URL('../dist/workflows/index.js', import.meta.url)),
  logger: quiet,
});
writeFileSync(new URL('../dist/workflow-bundle.js', import.meta.url), code);
