// Bundles the workflows once, so that a worker neither spends the seconds nor the 100 MB that bundling takes. Twice: the
// second bundle is for workers that encrypt payloads, since the failure converter is a part of a bundle.
import { existsSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode } from '@temporalio/worker';

const path = (name) => fileURLToPath(new URL(`../dist/${name}`, import.meta.url));
const workflowsPath = path('workflows/index.js');
if (!existsSync(workflowsPath)) {
  console.error('no dist/workflows/index.js: no bundle is made, and a worker will bundle when it starts');
  process.exit(0);
}
const quiet = { trace() {}, debug() {}, info() {}, warn: console.error, error: console.error, log() {} };
const bundle = async (name, options) => {
  const { code } = await bundleWorkflowCode({ workflowsPath, logger: quiet, ...options });
  writeFileSync(path(name), code);
};
await bundle('workflow-bundle.js', {});
await bundle('workflow-bundle-encrypted.js', {
  failureConverterPath: path('src/temporal/encoded-failures.cjs'),
});
