// The directions of dependencies, as ARCHITECTURE.md draws them. `npm run lint` looks at the sources, where imports of
// types count as well; `npm test` also looks at what was built, where types are gone, so that a rule which allows types
// only is checked there (a path may therefore start with dist/). TypeScript 7 has no parser for this tool: swc reads the sources.
const at = (folders) => `^(dist/)?(${folders})`;

module.exports = {
  forbidden: [
    {
      name: 'workflows-are-deterministic',
      comment: 'workflows know the model, the Temporal SDK for workflows, and the activities by type',
      severity: 'error',
      from: { path: at('workflows/') },
      to: {
        pathNot: `${at('workflows/|src/model/|activities/')}|^node_modules/@temporalio/(workflow|common)/`,
      },
    },
    {
      name: 'workflows-call-activities-by-type',
      comment: 'a workflow that imports an activity would run it inside the workflow',
      severity: 'error',
      from: { path: '^dist/workflows/' },
      to: { path: '^dist/activities/' },
    },
    {
      name: 'activities-do-not-know-workflows',
      severity: 'error',
      from: { path: at('activities/') },
      to: { path: at('workflows/') },
    },
    {
      name: 'sql-is-pure',
      comment: 'SQL is text made of the model: no driver, no file, no clock',
      severity: 'error',
      from: { path: at('src/sql/') },
      to: { pathNot: at('src/sql/|src/model/') },
    },
    {
      name: 'model-knows-nothing',
      severity: 'error',
      from: { path: at('src/model/') },
      to: { pathNot: at('src/model/') },
    },
    {
      name: 'one-place-for-the-mysql-driver',
      severity: 'error',
      from: { path: at('src/|workflows/|activities/'), pathNot: at('src/mysql/|src/client\\.[jt]s$') },
      to: { path: '^(node_modules/)?mysql2(/|$)' },
    },
    {
      name: 'one-place-for-the-sql-server-driver',
      severity: 'error',
      from: { path: at('src/|workflows/|activities/'), pathNot: at('src/sql-server/') },
      to: { path: '^(node_modules/)?(mssql|tedious)(/|$)' },
    },
    {
      name: 'product-stands-alone',
      comment: 'demo, bench and test use the product, never the reverse',
      severity: 'error',
      from: { path: at('src/|workflows/|activities/') },
      to: { path: at('demo/|bench/|test/') },
    },
    {
      name: 'every-import-is-found',
      comment: 'an import that leads nowhere would pass every other rule',
      severity: 'error',
      from: { path: at('src/|workflows/|activities/') },
      to: { couldNotResolve: true },
    },
  ],
  options: {
    parser: 'swc',
    tsPreCompilationDeps: true,
    exclude: { path: '^dist/.*[.]d[.]ts$' },
    doNotFollow: { path: '^node_modules/' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
    },
  },
};
