import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startEngines } from '../demo/engines/index.js';
import { benchRuns } from './runs.js';
import { SOURCE_DATABASE, SourceSide } from './source.js';
import { NARROW, WIDE } from './tables.js';

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '1000000' },
    repeat: { type: 'string', default: '3' },
    json: { type: 'string' },
    only: { type: 'string' },
  },
});
const folder = mkdtempSync(join(tmpdir(), 'stageswap-bench-'));
const say = (line: string) => console.log(line);
const engines = await startEngines({ say, databases: [SOURCE_DATABASE] });
try {
  const source = await SourceSide.create(engines.sqlServer.url);
  const mysqlServer = engines.mysql.url;
  const schema = 'stageswap_demo_bench';
  const bench = {
    addresses: {
      MSSQL_URL: source.url,
      MYSQL_URL: new URL(`/${schema}`, mysqlServer).href,
      TEMPORAL_ADDRESS: engines.temporal.address,
    },
    mysqlServer,
    schema,
    source,
    folder,
    pids: { source: engines.sqlServer.pid, target: engines.mysql.pid },
    say,
  };
  const which = values.only === 'narrow' ? NARROW : WIDE;
  const figures = await benchRuns(bench, which, Number(values.rows), Number(values.repeat));
  console.log(JSON.stringify(figures, null, 2));
  if (values.json) writeFileSync(values.json, JSON.stringify(figures, null, 2));
} finally {
  await engines.stop();
  rmSync(folder, { recursive: true, force: true });
}
process.exit(0);
